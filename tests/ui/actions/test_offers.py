import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

from models import catalog
from models.errors import UserError
from models.listing import HubFile, Listing
from tests.ui.fakes import wait_for
from ui.actions.models import Found
from ui.actions.offers import BASE, FILES, Offers
from ui.outside import Outside
from ui.settings import SettingsFile

ID = "medgemma-1.5-4b-it"
OTHER, ANY = "someone/thing-GGUF", "hub:someone:thing-GGUF"


@dataclass(frozen=True)
class FakeFits:
    """As ui/actions/fits.py says it."""
    words: str = "fits, about 12 tokens/s"
    kind: str = "fits"


class FakeMachine:
    """Holds models of less than limit bytes."""

    def __init__(self, limit: int = 3_000_000_000):
        self.limit = limit
        self.asked: list[tuple[int, str]] = []

    def for_file(self, count, entry, type="", projector_bytes=0):
        self.asked.append((count, entry.id))
        return FakeFits() if count < self.limit else FakeFits("too large by 1.1 GB", "too large")

    def recommended(self):
        return catalog.find(ID), "Q4_K_M", "The largest medical one that fits."

    def version(self):
        return "1"


class FakeHub:
    """Answers when it is let; a problem is raised."""

    def __init__(self):
        self.asked: list[str] = []
        self.problem = ""
        self.is_gated = False
        self.may_answer = threading.Event()
        self.may_answer.set()

    def ask(self, repo):
        self.asked.append(repo)
        assert self.may_answer.wait(60)
        if self.problem:
            raise UserError(self.problem)
        if repo == OTHER:
            files = [("thing-Q4_K_M.gguf", 1_000_000_000), ("mmproj-F16.gguf", 800_000_000)]
        elif repo in (catalog.find(ID).hub_id, "someone/base"):
            files = [("config.json", 900), ("model.safetensors", 8_600_000_000), ("tokenizer.json", 33_000_000)]
        else:
            files = [(f"medgemma-1.5-4b-it-{kind}.gguf", count) for kind, count in
                     (("Q4_K_M", 2_489_894_976), ("Q8_0", 4_130_402_048))] + [("mmproj-F16.gguf", 851_251_328)]
        return Listing(repo=repo, revision="c" * 40, is_gated=self.is_gated,
                       files=tuple(HubFile(name=name, bytes=count, sha256="a" * 64) for name, count in files))


@pytest.fixture
def hub() -> FakeHub:
    return FakeHub()


@pytest.fixture
def outside(galen_home: Path) -> Outside:
    made = Outside(galen_home, SettingsFile(galen_home))
    made.switch(False)
    return made


@pytest.fixture
def offers(outside: Outside, hub: FakeHub) -> Offers:
    return Offers(outside, FakeMachine(), hub.ask)


def offer(offers: Offers, kind: str = ""):
    return next(one for one in offers.listed(f"{ID}/{kind}") if one.entry.id == ID)


def choice(offers: Offers, kind: str):
    return next(one for one in offer(offers, kind).choices if one.type == kind)


def test_before_anybody_was_asked_the_catalog_says_what_there_is(offers: Offers, hub: FakeHub):
    listed = offers.listed()
    assert [one.entry for one in listed] == list(catalog.catalog()) and hub.asked == []
    found = choice(offers, "Q4_K_M")
    assert found.bytes == 2_489_894_976 and not found.is_exact and found.fits.kind == "fits" and not found.is_here
    assert choice(offers, "Q8_0").fits.kind == "too large"
    assert choice(offers, BASE).bytes == 0
    assert all(one.type == BASE or one.bytes > 0 for one in listed[0].choices)


def test_a_choice_asks_the_hub_once_and_tells_the_exact_size_with_the_eyes(offers: Offers, hub: FakeHub):
    hub.may_answer.clear()
    before = offers.version()
    offers.choose(ID, "Q4_K_M")
    offers.choose(ID, "Q4_K_M")
    assert offer(offers, "Q4_K_M").is_asking and offers.version() != before
    hub.may_answer.set()
    wait_for(lambda: choice(offers, "Q4_K_M").is_exact)
    offers.choose(ID, "Q8_0")                           # of the same repository: known by now
    assert hub.asked == ["unsloth/medgemma-1.5-4b-it-GGUF"]
    found = choice(offers, "Q4_K_M")
    assert found.bytes == 2_489_894_976 + 851_251_328 and found.files[1] == "mmproj-F16.gguf"
    config, title = offers.config(ID, "Q4_K_M")
    assert config.repo == hub.asked[0] and config.files == found.files and config.entry == ID
    assert title == "MedGemma 1.5 4B Q4_K_M"


def test_a_whole_base_is_asked_of_the_original(offers: Offers, hub: FakeHub):
    with pytest.raises(UserError, match="has not said yet"):
        offers.config(ID, BASE)
    offers.choose(ID, BASE)
    wait_for(lambda: choice(offers, BASE).is_exact)
    assert hub.asked == ["google/medgemma-1.5-4b-it"] and choice(offers, BASE).bytes == 8_633_000_900
    config, title = offers.config(ID, BASE)
    assert config.files == () and config.repo == "google/medgemma-1.5-4b-it" and "for training" in title


def test_what_the_hub_refuses_is_told_and_may_be_asked_again(offers: Offers, hub: FakeHub):
    hub.problem = "The licence is not accepted yet; open https://huggingface.co/google/medgemma-1.5-4b-it."
    offers.choose(ID, BASE)
    wait_for(lambda: offer(offers, BASE).problem)
    assert offer(offers, BASE).is_gated and offer(offers, "Q4_K_M").problem == ""
    hub.problem = "There is no network."
    offers.choose(ID, "Q4_K_M")
    wait_for(lambda: offer(offers, "Q4_K_M").problem)
    assert not offer(offers, "Q4_K_M").is_gated         # the files of others ask for no account
    hub.problem = ""
    offers.choose(ID, BASE)
    wait_for(lambda: choice(offers, BASE).is_exact)
    assert offer(offers, BASE).problem == ""


def test_nobody_is_asked_while_galen_is_offline(offers: Offers, hub: FakeHub, outside: Outside):
    before = offers.version()
    outside.switch(True)
    offers.choose(ID, "Q4_K_M")
    assert hub.asked == [] and not offer(offers, "Q4_K_M").is_asking and offers.version() != before


def test_what_is_not_offered_is_refused(offers: Offers):
    for entry, kind, words in (("no-such", "Q8_0", "There is no model 'no-such'"),
                               (ID, "Q9_9", "can not be had as 'Q9_9'"),
                               ("gemma-3n-e2b-it", BASE, "can not be had as 'base'")):
        with pytest.raises(UserError, match=words):
            offers.choose(entry, kind)


def test_what_lies_in_the_hubs_cache_is_here(offers: Offers, hub: FakeHub, tmp_path: Path,
                                             monkeypatch: pytest.MonkeyPatch):
    from huggingface_hub import constants
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    at = tmp_path / "hub" / "models--unsloth--medgemma-1.5-4b-it-GGUF" / "snapshots" / "abc"
    at.mkdir(parents=True)
    (at / "medgemma-1.5-4b-it-Q8_0.gguf").write_bytes(b"x")
    assert choice(offers, "Q8_0").is_here and not choice(offers, "Q4_K_M").is_here
    assert offers.suggested().is_here is False
    (at / "medgemma-1.5-4b-it-Q4_K_M.gguf").write_bytes(b"x")
    assert offers.suggested().is_here and offers.suggested().type == "Q4_K_M"


def test_any_repository_of_the_hub_can_be_asked_for(offers: Offers, hub: FakeHub):
    listed = offers.listed(f"{ANY}/{FILES}")
    assert listed[0].entry.id == ANY and [one.type for one in listed[0].choices] == [FILES] and hub.asked == []
    offers.choose(ANY, FILES)
    wait_for(lambda: offers.listed(f"{ANY}/{FILES}")[0].is_said)
    offers.choose(ANY, FILES)                           # looked at again: it has said all
    found = offers.listed(f"{ANY}/Q4_K_M")[0]
    assert hub.asked == [OTHER] and [one.type for one in found.choices] == ["Q4_K_M"]
    config, title = offers.config(ANY, "Q4_K_M")
    assert (config.repo, config.files, config.entry) == (OTHER, ("thing-Q4_K_M.gguf", "mmproj-F16.gguf"), "")
    assert title == "thing Q4_K_M" and len(offers.listed()) == len(catalog.catalog())
    assert offers.named(f"{ANY}/Q4_K_M") == f"{ANY}/Q4_K_M" and offers.named(f"{ID}/Q8_0") == f"{ID}/Q8_0"
    assert offers.named(f"hub:google:{ID}/{FILES}") == ID and offers.named(f"hub:google:{ID}/Q8_0") == f"{ID}/Q8_0"


def test_a_folder_to_train_from_is_offered_once_the_hub_says_so(offers: Offers):
    base = "hub:someone:base"
    assert BASE not in [one.type for one in offers.listed(f"{base}/{FILES}")[0].choices]
    offers.choose(base, FILES)
    wait_for(lambda: offers.listed(f"{base}/{FILES}")[0].is_said)
    assert [one.type for one in offers.listed(f"{base}/{BASE}")[0].choices] == [BASE]
    assert offers.config(base, BASE)[0].files == ()


def test_what_another_program_holds_is_here_too(outside: Outside, hub: FakeHub):
    def found(file: str, **values) -> Found:
        return Found(key=file, path=Path(file), file=file, place="Ollama", bytes=1, **{"can_chat": True, **values})

    here = [found("gemma3:4b"), found("medgemma-1.5-4b-it-Q8_0.gguf"), found("gemma-3-1b-it-Q4_K_M.gguf", is_made=True),
            found("gemma-2-2b-it-Q4_K_M.gguf", can_chat=False), found("x.gguf", title="Gemma 3 12b It")]
    offers = Offers(outside, FakeMachine(), hub.ask, lambda: here)
    assert {one.entry.id: one.held for one in offers.listed() if one.held} == {
        "gemma-3-4b-it": ("",), ID: ("Q8_0",), "gemma-3-12b-it": ("",)}
    assert choice(offers, "Q8_0").is_here and not choice(offers, "Q4_K_M").is_here and not offers.suggested().is_here
    here = [found("medgemma-1.5-4b-it-Q4_K_M.gguf")]
    assert offers.suggested().is_here
