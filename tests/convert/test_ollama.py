import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from convert import ollama
from convert.modelfile import Modelfile
from convert.ollama import Answer, Comparison
from models import runs
from models.errors import UserError
from tests.convert.fake_ollama import FakeOllama, fake_ollama

MESSAGES = [{"role": "user", "content": "What is asthma?"}]
DESCRIBED = Modelfile(model="x.gguf", projector="mmproj.gguf", template="{{ .Messages }}", system="Be brief.",
                      parameters={"stop": ["<end>"], "top_k": 64}, licence="Terms.")


def silent(text: str, done: int, of: int) -> None:
    """Say nothing."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "x.gguf").write_bytes(bytes(range(256)) * 10_000)
    (tmp_path / "mmproj.gguf").write_bytes(b"projector")
    return tmp_path


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeOllama]:
    with fake_ollama() as state:
        monkeypatch.setenv("OLLAMA_HOST", state.address)
        yield state


def test_a_model_is_made_of_both_files_under_their_digests(server: FakeOllama, folder: Path):
    said: list[tuple[str, int, int]] = []
    ollama.create("notes:q4", folder, DESCRIBED, lambda *one: said.append(one))
    made = server.models["notes:q4"]
    digests = {name: "sha256:" + hashlib.sha256((folder / name).read_bytes()).hexdigest()
               for name in ("x.gguf", "mmproj.gguf")}
    assert made["files"] == digests and set(server.blobs) == set(digests.values())
    assert (made["template"], made["system"], made["license"]) == ("{{ .Messages }}", "Be brief.", "Terms.")
    assert made["parameters"] == {"stop": ["<end>"], "top_k": 64}
    sent = [done for text, done, of in said if text == "Sending x.gguf"]
    assert len(sent) == 3 and sent == sorted(sent) and sent[-1] == 2_560_000        # a chunk is 1 MiB
    assert ("Ollama: success", 0, 1) in said


def test_a_file_that_is_there_is_not_sent_again(server: FakeOllama, folder: Path):
    ollama.create("a", folder, DESCRIBED, silent)
    said: list[str] = []
    ollama.create("b", folder, DESCRIBED, lambda text, done, of: said.append(text))
    assert "b" in server.models and not [text for text in said if text.startswith("Sending")]


def test_known_digests_save_the_reading(server: FakeOllama, folder: Path):
    said: list[str] = []
    known = {"x.gguf": hashlib.sha256((folder / "x.gguf").read_bytes()).hexdigest()}
    ollama.create("a", folder, DESCRIBED, lambda text, done, of: said.append(text), digests=known)
    assert "Reading x.gguf" not in said and "Reading mmproj.gguf" in said and "a" in server.models


def test_a_wrong_digest_is_refused_by_the_server(server: FakeOllama, folder: Path):
    with pytest.raises(UserError, match="Ollama refused 'a': digest mismatch.*`ollama create a -f Modelfile` in"):
        ollama.create("a", folder, DESCRIBED, silent, digests={"x.gguf": "0" * 64})
    assert not server.models


def test_ollama_that_does_not_run(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    with pytest.raises(UserError, match="Ollama does not run here: start it .*`ollama create a -f Model") as e:
        ollama.create("a", folder, DESCRIBED, silent)
    assert "\n" not in str(e.value) and str(folder) in str(e.value)
    with pytest.raises(UserError, match="Ollama does not run here"):
        ollama.compare("a", MESSAGES, lambda messages, most: Answer(text="", prompt_tokens=None, reason=""))


@pytest.mark.parametrize("host", ["http://[bad", "ftp://x:99999", "ftp://x", "http://x:99999"])
def test_an_address_that_is_none(folder: Path, monkeypatch: pytest.MonkeyPatch, host: str):
    monkeypatch.setenv("OLLAMA_HOST", host)
    for call in (ollama.check_host, lambda: ollama.create("a", folder, DESCRIBED, silent)):
        with pytest.raises(UserError, match=r"OLLAMA_HOST is no address \(.*\); correct or remove it"):
            call()


def test_a_bad_address_hinders_no_other_export():
    """The library makes a client of OLLAMA_HOST when it is imported."""
    words = "import os, convert.handover, convert.ollama as o\nprint(os.environ['OLLAMA_HOST'])\no.check_host()"
    done = subprocess.run([sys.executable, "-c", words], cwd=runs.ROOT, env={**os.environ, "OLLAMA_HOST": "http://[bad"},
                          capture_output=True, text=True, timeout=60)
    assert done.stdout == "http://[bad\n"
    assert done.stderr.splitlines()[-1].startswith("models.errors.UserError: OLLAMA_HOST is no address (Invalid IPv6")


def test_ollama_that_is_too_old(server: FakeOllama, folder: Path):
    server.version = "0.4.7"
    with pytest.raises(UserError, match="running Ollama is 0.4.7; .* needs 0.5.5 or newer"):
        ollama.create("a", folder, DESCRIBED, silent)
    assert not server.blobs


def test_a_connection_that_breaks_off(server: FakeOllama, folder: Path):
    server.breaks_off = True
    with pytest.raises(UserError, match="The connection to Ollama broke off"):
        ollama.create("a", folder, DESCRIBED, silent)


def test_a_name_it_does_not_take_is_said_before_anything_is_sent(server: FakeOllama, folder: Path):
    with pytest.raises(UserError, match="is no name for a model"):
        ollama.create("a b", folder, DESCRIBED, silent)
    assert not server.blobs


def test_stopping_half_way_makes_nothing(server: FakeOllama, folder: Path):
    class Stopped(Exception):
        pass

    def stop(text: str, done: int, of: int) -> None:
        if text.startswith("Sending"):
            raise Stopped

    with pytest.raises(Stopped):
        ollama.create("a", folder, DESCRIBED, stop)
    assert not server.blobs and not server.models


def test_one_prompt_is_asked_greedily_of_both(server: FakeOllama, folder: Path):
    asked: list[tuple[Sequence, int]] = []

    def ours(messages: Sequence, most: int) -> Answer:
        asked.append((messages, most))
        return Answer(text="Two words.", prompt_tokens=9, reason="stop")

    ollama.create("a", folder, DESCRIBED, silent)
    found = ollama.compare("a", MESSAGES, ours, max_tokens=7)
    assert found.is_ok is True and found.note == "the same answer, 2 words, ended by stop"
    assert asked == [(MESSAGES, 7)] and server.unloaded == ["a"]
    options = server.chats[0]["options"]
    assert options["temperature"] == 0 and options["repeat_penalty"] == 1 and options["num_predict"] == 7
    assert server.chats[0]["messages"] == MESSAGES


@pytest.mark.parametrize(("theirs", "is_ok", "note"), [
    (Answer(text="Two words. ", prompt_tokens=None, reason="stop"), True, "the same answer"),
    (Answer(text="Two ways", prompt_tokens=9, reason="stop"), None, "the first 5 characters of the answer; then other"),
    (Answer(text="Two words.", prompt_tokens=10, reason="stop"), False, "as 10 tokens and we as 9: its template gives"),
    (Answer(text=" ", prompt_tokens=9, reason="stop"), False, "Ollama answers nothing"),
])
def test_what_a_difference_means(theirs: Answer, is_ok: bool | None, note: str):
    found = Comparison(ours=Answer(text="Two words.", prompt_tokens=9, reason="stop"), theirs=theirs)
    assert found.is_ok is is_ok and note in found.note


def test_a_model_that_ollama_does_not_have(server: FakeOllama):
    with pytest.raises(UserError, match="Ollama refused 'b': model 'b' not found"):
        ollama.compare("b", MESSAGES, lambda messages, most: Answer(text="", prompt_tokens=None, reason=""))
