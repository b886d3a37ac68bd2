from collections.abc import Iterator
from pathlib import Path

import pytest

from models import access, catalog, outside, token
from models.errors import UserError
from tests.models.hub import Account, Hub
from ui.actions import token as actions
from ui.views import settings as view

REPO, VALUE = "google/medgemma-4b-it", "hf_quartzA1"


@pytest.fixture
def hub(galen_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub() as one:
        one.add(REPO, {"config.json": b"{}"}, gated="manual")
        one.accounts = {VALUE: Account("ada", accepted={REPO}), "hf_new": Account("bob")}
        for name, value in one.environment(tmp_path).items():
            monkeypatch.setenv(name, value)
        yield one


def test_a_good_one_is_tested_and_kept(hub: Hub):
    assert actions.state() == actions.TokenState()
    told, words = actions.keep(f" {VALUE}\n", REPO)
    assert told and told.verdict == access.YES and token.path().read_text() == VALUE
    assert words == f"The token is kept in {token.path()}, for this account of the computer alone."
    assert actions.state() == actions.TokenState(source=str(token.path()), is_stored=True)
    assert actions.test(REPO) == told


def test_one_that_the_hub_does_not_know_is_not_kept(hub: Hub):
    actions.keep(VALUE, REPO)
    with pytest.raises(UserError, match="It was not kept. The hub does not know this token") as error:
        actions.keep("hf_wrong", REPO)
    assert "hf_wrong" not in str(error.value) and token.path().read_text() == VALUE


def test_one_that_lacks_something_or_can_not_be_tested_is_kept(hub: Hub, monkeypatch: pytest.MonkeyPatch,
                                                               galen_home: Path):
    told, _ = actions.keep("hf_new", REPO)
    assert told and told.verdict == access.LICENCE and token.path().read_text() == "hf_new"
    monkeypatch.setenv(outside.SWITCH, str(galen_home / "settings.json"))
    told, _ = actions.keep(VALUE, REPO)
    assert told and told.verdict == access.UNTESTED and token.path().read_text() == VALUE
    asked = len(hub.seen)
    assert actions.keep("hf_other", REPO, is_tested=False)[0] is None and len(hub.seen) == asked == 2


def test_one_of_the_environment_goes_first_and_is_not_forgotten(hub: Hub, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HUGGINGFACE_TOKEN", "hf_new")
    _, words = actions.keep(VALUE, REPO)
    assert "But HUGGINGFACE_TOKEN sets another one, which goes first" in words
    assert actions.test(REPO).name == "bob"
    assert "HUGGINGFACE_TOKEN sets one, too, which is used now" in actions.forget()
    with pytest.raises(UserError, match="No token is stored; the one in use comes from HUGGINGFACE_TOKEN"):
        actions.forget()
    monkeypatch.delenv("HUGGINGFACE_TOKEN")
    with pytest.raises(UserError, match="There is no token to forget"):
        actions.forget()
    with pytest.raises(UserError, match="There is no token of the hub here. Make one at https://.*, and give it"):
        actions.test(REPO)


def test_a_broken_one_is_a_state_and_can_be_replaced(hub: Hub):
    token.path().parent.mkdir(parents=True)
    token.path().write_text("two words")
    assert "holds no token" in actions.state().problem or "is no token" in actions.state().problem
    told, _ = actions.keep(VALUE, REPO)
    assert told and told.verdict == access.YES and not actions.state().problem


def test_gated_models_of_the_catalog_those_for_medicine_first():
    found = actions.gated()
    assert {one.repo for one in found} == {one.hub_id for one in catalog.catalog() if one.is_gated}
    assert "medgemma" in found[0].repo and found[0].page == f"https://huggingface.co/{found[0].repo}"
    assert actions.chosen("") == found[0]


def test_a_model_goes_by_its_name_in_the_catalog_or_on_the_hub():
    entry = next(one for one in catalog.catalog() if one.is_gated)
    assert actions.chosen(entry.id) == actions.chosen(entry.hub_id) and actions.chosen(entry.id).repo == entry.hub_id
    assert actions.chosen("me/mine").page == "https://huggingface.co/me/mine"
    with pytest.raises(UserError, match="There is no model 'nonsense' in the catalog; there are"):
        actions.chosen("nonsense")


def test_the_page_says_what_there_is_and_shows_nobody_else_s_markup():
    model = actions.Gated(title="<b>M</b>", repo="a/b", page="https://huggingface.co/a/b")
    shown = view.hub_token(actions.TokenState(source="<i>HF_TOKEN"), model)
    assert "&lt;i&gt;HF_TOKEN" in shown and "&lt;b&gt;M" in shown and 'rel="noopener noreferrer"' in shown
    assert "There is no token yet" in view.hub_token(actions.TokenState(), model)
    assert 'class="problem"' in view.hub_token(actions.TokenState(problem="<u>"), model)
    told = access.Access(verdict=access.LICENCE, words=f"<u>Open {model.page} now", page=model.page)
    shown = view.hub_answer(told, "Kept")
    assert '<p class="caution"' in shown and "&lt;u&gt;Open" in shown and shown.count("<a ") == 1 and ">Kept<" in shown
    assert view.hub_answer(None, "") == ""
