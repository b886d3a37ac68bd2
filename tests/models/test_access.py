import json
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from models import access, outside, token
from models.errors import UserError
from tests.models.hub import Account, Hub
from tests.processes import command
from tests.ui.fakes import wait_for

REPO, OPEN = "google/medgemma", "org/open"
VALUE = "hf_quartzA1"


class Lenient(Account):
    """Its token lacks the right, as whoami says, which asks first; the check of access lets it through all the same."""

    def __getattribute__(self, name: str) -> Any:
        if name != "reads_gated":
            return super().__getattribute__(name)
        return vars(self).setdefault("asked", []).append(1) or len(vars(self)["asked"]) > 1


@pytest.fixture
def hub(galen_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub() as one:
        one.add(REPO, {"config.json": b"{}"}, gated="manual")
        one.add(OPEN, {"config.json": b"{}"})
        one.accounts = {
            VALUE: Account("ada", accepted={REPO}), "hf_new": Account("bob"),
            "hf_wait": Account("cid", pending={REPO}),
            "hf_fine": Account("dan", accepted={REPO}, kind="fineGrained", reads_gated=False),
            "hf_lenient": Lenient("eve", accepted={REPO}, kind="fineGrained")}
        for name, value in one.environment(tmp_path).items():
            monkeypatch.setenv(name, value)
        yield one


@pytest.mark.parametrize("value, repo, verdict, words, page", [
    (VALUE, REPO, access.YES, r"belongs to ada \(a read token\) and may read google/medgemma\.", ""),
    (VALUE, "", access.YES, r"belongs to ada \(a read token\)\.$", ""),
    ("hf_fine", OPEN, access.YES, r"dan \(a fine-grained token\) and may read org/open\.", ""),
    ("hf_lenient", REPO, access.SCOPE, r"eve \(a fine-grained token\), but lacks the right", token.PAGE),
    ("hf_new", REPO, access.LICENCE, r"licence of google/medgemma is not accepted yet\. Open https://huggingface.co/"
     "google/medgemma as bob and accept", "https://huggingface.co/google/medgemma"),
    ("hf_wait", REPO, access.WAITING, "have not answered the request", "https://huggingface.co/google/medgemma"),
    ("hf_fine", REPO, access.SCOPE, r"dan \(a fine-grained token\), but lacks the right that google/medgemma needs\. "
     "Tick \"Read access to contents of all public gated", token.PAGE),
    (VALUE, "google/none", access.MISSING, "ada .* the hub shows no model google/none", "https://huggingface.co/models"),
    ("hf_gone", REPO, access.BAD, "does not know this token: .* Make a new one at https://huggingface.co/settings/tokens",
     token.PAGE),
])
def test_what_the_hub_says_of_a_token(hub: Hub, value: str, repo: str, verdict: str, words: str, page: str):
    told = access.ask(value, repo)
    assert (told.verdict, told.page, told.repo) == (verdict, page, repo)
    assert re.search(words, told.words), told.words
    assert value not in repr(told)
    assert {one.authorization for one in hub.seen} == {f"Bearer {value}"}


def test_the_stored_one_is_read_by_the_hub_library_itself(hub: Hub):
    token.store(VALUE)
    told = access.ask(token.for_hub(), REPO)
    assert (told.verdict, told.name, told.kind) == (access.YES, "ada", "read")


def test_what_is_no_verdict_leaves_it_untested(hub: Hub, monkeypatch: pytest.MonkeyPatch):
    hub.faults.is_portal = True
    assert "is no hub: the log-in page of a network" in untested(access.ask(VALUE, REPO))
    hub.faults.is_portal = False
    hub.faults.refusals = 1
    assert "too many requests" in untested(access.ask(VALUE, REPO))
    hub.faults.status = {"auth-check": 503}
    told = access.ask(VALUE, REPO)
    assert "it answered 503" in untested(told) and told.name == "ada"
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert "The connection to 127.0.0.1 failed" in untested(access.ask(VALUE, REPO))


def untested(told: access.Access) -> str:
    assert told.verdict == access.UNTESTED and "fetched" not in told.words
    return told.words


def test_offline_nobody_is_asked(hub: Hub, galen_home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(outside.SWITCH, str(galen_home / "settings.json"))
    assert "Galen is offline. Switch Offline off in Settings" in untested(access.ask(VALUE, REPO))
    assert not hub.seen
    (galen_home / "settings.json").write_text(json.dumps({"is_offline": False}))
    assert access.ask(VALUE, REPO).verdict == access.YES


def test_the_connection_is_told_with_its_reason(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(outside.TOLD_TO, str(tmp_path / "told.jsonl"))
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.invalid")
    assert "hub.invalid" in untested(access.ask(VALUE, REPO))
    told = (tmp_path / "told.jsonl").read_text()
    assert "hub.invalid" in told and f"the hub: whose the token is, and whether it may read {REPO}" in told
    assert VALUE not in told


def test_a_silent_hub_is_left_and_the_token_is_in_no_command_line_and_no_environment(
        hub: Hub, monkeypatch: pytest.MonkeyPatch):
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{deaf.getsockname()[1]}")
        told: list[access.Access] = []
        asking = threading.Thread(target=lambda: told.append(access.ask(VALUE, REPO, wait_s=90)))
        asking.start()
        deaf.settimeout(60)
        connection, _ = deaf.accept()           # the child is asking now
        children = [one for one in psutil.Process().children() if "models.access" in command(one)]
        shown = [" ".join(command(one)) + repr(one.environ()) for one in children]
        assert shown and VALUE not in "".join(shown)
        connection.close()
    asking.join(60)
    untested(told[0])
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{deaf.getsockname()[1]}")
        assert "gave no answer in 0.2 s" in untested(access.ask(VALUE, REPO, wait_s=0.2))
    wait_for(lambda: not [one for one in psutil.Process().children() if one in children])


@pytest.mark.parametrize("repo", ["alone", "a/../b", "a b/c", "https://huggingface.co/a/b", "../x", "a/b?x=1"])
def test_what_names_no_model(repo: str):
    with pytest.raises(UserError, match="is no name of a model on the hub; write owner/name"):
        access.ask(VALUE, repo)


def test_a_fault_of_ours_rises_as_one(hub: Hub):
    hub.accounts["hf_odd"] = Account("eve", kind=["hf_odd"])    # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="Testing the token ended with status 1") as error:
        access.ask("hf_odd", REPO)
    assert "TypeError" in str(error.value) and "hf_odd" not in str(error.value)
