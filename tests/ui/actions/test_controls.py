from types import SimpleNamespace

import pytest

from models import catalog, runs
from runtime.config import SampleConfig
from ui.actions.asking import SHOWN, Asking
from ui.actions.controls import ALL, PICTURE, lacking, without
from ui.views.chat import lacks


def info(name: str, path: str = "/x/y.gguf"):
    return SimpleNamespace(name=name, path=path)


@pytest.mark.parametrize("name", ["Gemma 3 1b It", "MedGemma 27B Text It"])
def test_a_known_model_shows_what_its_entry_names(name: str):
    entry = catalog.entry_for([name])
    assert entry and set(lacking(info(name))) == set(ALL) - set(entry.controls) == {"picture"}
    assert lacking(info("?", f"/models/{entry.ggufs[0].files[0].name}")) == ("picture",)


def test_what_the_catalog_does_not_know_shows_all():
    assert lacking(info("My tuned one")) == lacking(None) == ()


def test_every_control_of_the_catalog_is_one_of_the_page():
    assert {name for entry in catalog.catalog() for name in entry.controls} <= set(ALL)
    assert set(SHOWN) <= set(ALL)


def test_a_control_that_is_not_shown_has_no_say():
    asked = Asking(preset="p", system="Be brief.", sampling=SampleConfig(temperature=0.9, seed=7))
    assert without(asked, ()) == asked
    plain = without(asked, ("system", "temperature", "preset"))
    assert plain.system == plain.preset == "" and plain.sampling == SampleConfig(seed=7)


@pytest.mark.parametrize("name", [name for name in ALL if name != PICTURE])
def test_the_style_hides_each_that_is_lacked(name: str):
    style = (runs.ROOT / "ui" / "pages" / "chat.css").read_text(encoding="utf-8")
    assert f'#drawer:has([data-lacks~="{name}"]) #' in style
    assert f'data-lacks="{name}"' in lacks((name,)) and lacks(()) == ""
