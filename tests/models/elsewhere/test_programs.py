"""What LM Studio, the hub's cache and llama.cpp's cache hold is found, once, and used where it lies."""

import json
import os
import sys

import pytest

from models import library
from models.elsewhere import llama_cache, lm_studio
from models.opened import open_header
from models.projector import projector_for
from models.shelf import Shelf
from tests.models.places import in_hub_cache, rewritten
from tests.runtime.seeing import export_seeing, make_seeing


def others():
    return [entry for entry in Shelf(is_patient=True).look() if entry.spot.program]


@pytest.fixture(scope="module")
def seeing(tmp_path_factory, demo_base):
    """A model and its projector, of one name."""
    model = export_seeing(make_seeing(tmp_path_factory.mktemp("base"), demo_base), tmp_path_factory.mktemp("gguf"))
    return model, model.parent / "mmproj-seeing.gguf"


def copy(source, *to):
    for place in to:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(source.read_bytes())


def test_lm_studio_keeps_models_by_publisher_and_repository(user, demo_gguf, seeing, tmp_path):
    repo = user / ".lmstudio" / "models" / "jane" / "tiny-GGUF"
    [renamed] = rewritten(seeing[0], tmp_path / "renamed.gguf", text={"general.name": "Tuned by Jane"})
    copy(renamed, repo / "tiny-Q8_0.gguf")
    copy(seeing[1], repo / "mmproj-F16.gguf")
    copy(demo_gguf, user / ".cache" / "lm-studio" / "models" / "old" / "repo" / "old.gguf",
         user / ".lmstudio" / "models" / "not-seen-there.gguf")
    tiny, old = others()
    assert (tiny.path, tiny.spot.repo, tiny.spot.program) == (repo / "tiny-Q8_0.gguf", "jane/tiny-GGUF", "LM Studio")
    assert tiny.projector == repo / "mmproj-F16.gguf" == projector_for(open_header(tiny.path), "")  # of one repository
    assert old.spot.repo == "old/repo" and not tiny.is_ours
    assert library.find_model("tiny-Q8_0") == tiny.path


def test_lm_studio_says_where_its_models_are(user, tmp_path):
    far, chosen = tmp_path / "far", tmp_path / "chosen"
    (user / ".lmstudio-home-pointer").write_text(f"{far}\n")
    far.mkdir()
    (far / "settings.json").write_text(json.dumps({"downloadsFolder": str(chosen)}))
    assert lm_studio.stores()[:3] == [chosen, far / "models", user / ".lmstudio" / "models"]
    (far / "settings.json").write_text(json.dumps({"downloadsFolder": str(chosen)}), encoding="utf-8-sig")
    assert lm_studio.stores()[0] == chosen              # as Windows programs write it
    for text in ("[]", "nonsense", '{"downloadsFolder": 3}', '{"downloadsFolder": "relative"}'):
        (far / "settings.json").write_text(text)
        assert lm_studio.stores()[0] == far / "models"


def test_the_hubs_cache_is_used_by_its_names(user, demo_gguf, seeing, tmp_path):
    cache = tmp_path / "hub"
    parts = rewritten(demo_gguf, tmp_path / "big.gguf", split=40)
    snapshot = in_hub_cache(cache, "jane/tiny-GGUF", {
        "Q8_0/tiny-Q8_0.gguf": seeing[0], "mmproj-F16.gguf": seeing[1], **{one.name: one for one in parts}})
    in_hub_cache(cache, "jane/tiny-GGUF", {"Q8_0/tiny-Q8_0.gguf": demo_gguf}, "b" * 40, is_main=False)
    in_hub_cache(cache, "google/gemma", {"config.json": seeing[1]})
    big, tiny = others()
    assert big.path == snapshot / "big-00001-of-00003.gguf" and len(big.files) == 3 and big.can_chat
    assert tiny.path == snapshot / "Q8_0" / "tiny-Q8_0.gguf" and tiny.spot.repo == "jane/tiny-GGUF"
    assert tiny.projector == snapshot / "mmproj-F16.gguf" == projector_for(open_header(tiny.path), "")
    assert {model.name for model in library.chat_models()} == {"demo", "big", "tiny-Q8_0"}
    assert library.find_model("big") == library.find_model(str(big.path)) == big.path      # a name, not a blob


def test_a_link_that_leads_nowhere_is_not_there(user, demo_gguf, tmp_path):
    snapshot = in_hub_cache(tmp_path / "hub", "jane/tiny", {"a.gguf": demo_gguf, "b.gguf": demo_gguf})
    [entry] = others()                          # two names of one file
    assert entry.path == snapshot / "a.gguf"
    (snapshot / "a.gguf").resolve().unlink()
    assert not others()


@pytest.mark.skipif(sys.platform != "linux", reason="the place is another one there")
def test_llama_cpps_cache_keeps_all_repositories_in_one_folder(user, demo_gguf, seeing, tmp_path, monkeypatch):
    folder = user / ".cache" / "llama.cpp"
    copy(seeing[0], folder / "jane_tiny-GGUF_tiny-Q8_0.gguf", folder / "joe_tiny-GGUF_tiny-Q8_0.gguf")
    copy(seeing[1], folder / "jane_tiny-GGUF_mmproj-F16.gguf")
    (folder / "manifest=jane=tiny-GGUF=latest.json").write_text("{}")
    (folder / "jane_tiny-GGUF_big.gguf.downloadInProgress").write_bytes(b"GGUF")
    jane, joe = others()
    assert jane.projector == folder / "jane_tiny-GGUF_mmproj-F16.gguf" == projector_for(open_header(jane.path), "")
    assert jane.spot.program == "llama.cpp cache" and not jane.is_ours and joe.can_chat
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert llama_cache.stores() == [tmp_path / "xdg" / "llama.cpp"] and not others()
    monkeypatch.setenv("LLAMA_CACHE", str(tmp_path / "own"))
    in_hub_cache(tmp_path / "own", "jane/new", {"new.gguf": demo_gguf})     # as llama.cpp of 2026 keeps them
    assert [entry.path.name for entry in others()] == ["new.gguf"]


def test_one_file_under_two_roofs_is_listed_once_and_ours_first(user, galen_home, demo_gguf):
    copy(demo_gguf, galen_home / "mine.gguf")
    theirs = user / ".lmstudio" / "models" / "a" / "b" / "theirs.gguf"
    theirs.parent.mkdir(parents=True)
    os.link(galen_home / "mine.gguf", theirs)
    assert not others() and [model.name for model in library.chat_models()] == ["demo", "mine"]


def test_links_in_a_circle_lead_nowhere(user, demo_gguf, tmp_path):
    (tmp_path / "hub").symlink_to(tmp_path / "hub")
    (user / ".ollama").mkdir()
    (user / ".ollama" / "models").symlink_to(user / ".ollama" / "models")
    around = user / ".lmstudio" / "models"
    around.mkdir(parents=True)
    (around / "again").symlink_to(around)
    copy(demo_gguf, around / "jane" / "tiny" / "tiny.gguf")
    assert [entry.path.name for entry in others()] == ["tiny.gguf"]


def test_a_newer_version_of_which_parts_are_missing_does_not_hide_a_whole_one(user, demo_gguf, tmp_path):
    parts = rewritten(demo_gguf, tmp_path / "big.gguf", split=40)
    old = in_hub_cache(tmp_path / "hub", "jane/big", {one.name: one for one in parts}, "b" * 40, is_main=False)
    in_hub_cache(tmp_path / "hub", "jane/big", {parts[0].name: parts[0]})
    [entry] = others()
    assert entry.path == old / parts[0].name and not entry.problem and entry.can_chat
