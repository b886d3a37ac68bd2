"""`token` on the command line; and everything that any of this writes is searched for the token."""

import base64
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest

from models import runs
from tests.models.fetching import Fetching
from tests.models.hub import Account, Hub

REPO = "google/medgemma-4b-it"
READS = "The token is read from the input, to its end.\n"
VALUE, NEW, BAD = "hf_quartzlungA1" + "x7" * 12, "hf_quartzlungB2" + "y8" * 12, "hf_quartzlungC3" + "z9" * 12


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as one:
        one.add(REPO, {"config.json": b"{}", "model.gguf": b"GGUF" * 999}, gated="manual")
        one.accounts = {VALUE: Account("ada", accepted={REPO}), NEW: Account("bob")}
        yield one


@pytest.fixture
def environment(hub: Hub, tmp_path: Path) -> dict[str, str]:
    """Everything that a child may write lies under tmp_path."""
    for name in ("tmp", "home", "galen"):
        (tmp_path / name).mkdir()
    return {**os.environ, **hub.environment(tmp_path), "PYTHONPATH": str(runs.ROOT), "TMPDIR": str(tmp_path / "tmp"),
            "HOME": str(tmp_path / "home"), "GALEN_HOME": str(tmp_path / "galen"), "OMP_NUM_THREADS": "1",
            "DISPLAY": "", "WAYLAND_DISPLAY": "", "HF_DEBUG": "1"}


def galen(environment: dict[str, str], *words: str, given: str = "", **more: str) -> tuple[int, str, str]:
    done = subprocess.run([sys.executable, "-m", "ui.commands", *words], env={**environment, **more}, input=given,
                          capture_output=True, text=True, timeout=120, cwd=environment["TMPDIR"])
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


def places_of(folder: Path, value: str) -> list[str]:
    """The files under folder that hold value in UTF-8, UTF-16 or base64, or are named after it."""
    looked_for = [*(value.encode(one) for one in ("utf-8", "utf-16-le", "utf-16-be")), base64.b64encode(value.encode())]
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*")
                  if value in path.name or (path.is_file() and any(one in path.read_bytes() for one in looked_for)))


def test_keep_test_status_and_forget(hub: Hub, environment: dict[str, str], tmp_path: Path):
    assert galen(environment, "token", "--status")[1].startswith("There is no token. Make one at https://")
    status, out, err = galen(environment, "token", "--model", REPO, given=VALUE + "\n")
    assert (status, err) == (0, READS) and "The token is kept in" in out
    assert f"belongs to ada (a read token) and may read {REPO}" in out
    assert galen(environment, "token", "--status") == (0, f"A token is there, from {tmp_path}/hf/token.\n", "")
    said = json.loads(galen(environment, "token", "--test", "--model", "medgemma-4b-it", "--json")[1])
    assert (said["verdict"], said["name"], said["repo"]) == ("yes", "ada", REPO)
    status, out, err = galen(environment, "token", "--model", REPO, "--json", given=NEW)
    assert status == 2 and json.loads(out)["verdict"] == "licence" and len(err.removeprefix(READS).splitlines()) == 1
    assert f"licence of {REPO} is not accepted yet. Open https://huggingface.co/{REPO} as bob" in err
    assert places_of(tmp_path, NEW) == ["hf/token"] and not places_of(tmp_path, VALUE)
    status, out, err = galen(environment, "token", "--forget")
    assert status == 0 and "is deleted. It is still good on the hub until you delete it at" in out
    assert not places_of(tmp_path, NEW) and galen(environment, "token", "--forget")[0] == 2
    assert json.loads(galen(environment, "token", "--status", "--json")[1]) == {
        "source": "", "others": [], "is_stored": False, "problem": ""}


@pytest.mark.parametrize("words, given, more, expected", [
    (["token"], BAD, {}, "It was not kept. The hub does not know this token"),
    (["token"], "", {}, "No token was given"),
    (["token"], "quartzlung password", {}, "That is no token of the hub"),
    (["token", VALUE], "", {}, "A token is not given in the command line"),
    (["token", f"--token={VALUE}"], "", {}, "unrecognized arguments: --token=hf_... (see `python launcher.py"),
    (["token", "--model", VALUE], "", {}, "There is no model 'hf_...' in the catalog"),
    (["token", f"--token=api_org_{BAD[3:]}"], "", {}, "unrecognized arguments: --token=api_org_..."),
    (["token", VALUE, "--nonsense"], "", {}, "unrecognized arguments"),
    (["token", "--test"], "", {"HUGGINGFACE_TOKEN": BAD}, "does not know this token"),
    (["token", "--test"], "", {"HF_TOKEN": "quartzlung word"}, "What HF_TOKEN holds is no token"),
    (["token"], VALUE, {"HF_ENDPOINT": "http://127.0.0.1:9"}, "The token was not tested. The connection to"),
    (["token", "--model", "nonsense"], VALUE, {}, "There is no model 'nonsense' in the catalog"),
    (["token", "--status", "--forget"], "", {}, "not allowed with argument"),
])
def test_what_goes_wrong_is_one_line_without_the_token(environment: dict[str, str], tmp_path: Path, words: list[str],
                                                       given: str, more: dict[str, str], expected: str):
    status, out, err = galen(environment, *words, given=given, **more)
    assert status == 2 and expected in err and len(err.removeprefix(READS).splitlines()) == 1, err
    assert "quartzlung" not in out + err
    is_kept = "was not tested" in err
    assert places_of(tmp_path, "quartzlung") == (["hf/token"] if is_kept else [])


def test_several_are_told_apart(environment: dict[str, str], tmp_path: Path):
    """Which one counts, which others there are, and that a broken one in front of it keeps a good one from use."""
    (tmp_path / "galen" / ".env").write_text(f"HF_TOKEN={NEW}\n")
    assert "But HF_TOKEN sets the same" in galen(environment, "token", "--no-test", given=VALUE, HF_TOKEN=VALUE)[1]
    said = galen(environment, "token", "--status", HF_TOKEN=VALUE, HUGGINGFACE_TOKEN=BAD)[1]
    others = ["HUGGINGFACE_TOKEN", f"{tmp_path}/galen/.env", f"{tmp_path}/hf/token"]
    assert said == f"A token is there, from HF_TOKEN. It goes before what is set in {', '.join(others)}.\n"
    said = galen(environment, "token", "--status", "--json", HF_TOKEN=VALUE, HUGGINGFACE_TOKEN=BAD)[1]
    assert json.loads(said)["others"] == others
    (tmp_path / "galen" / ".env").unlink()
    status, _, err = galen(environment, "token", "--no-test", given=NEW, HF_TOKEN="two words")
    assert status == 2 and "The token is kept in" in err and "it is not used: What HF_TOKEN holds is no token" in err
    assert places_of(tmp_path, NEW) == ["hf/token"]
    status, _, err = galen(environment, "token", "--forget", HF_TOKEN="two words")
    assert status == 2 and err.startswith(f"The token in {tmp_path}/hf/token is deleted. What HF_TOKEN holds")
    assert not places_of(tmp_path, NEW)


def test_a_pipe_is_read_in_any_encoding_and_said_to_be_waited_for(environment: dict[str, str], tmp_path: Path):
    for text in ("\ufeff" + VALUE, "\u200b" + VALUE + "\0\r\n"):
        for encoding in ("utf-8", "utf-16"):
            process = subprocess.Popen([sys.executable, "-m", "ui.commands", "token", "--no-test"], env=environment,
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            assert process.stderr is not None and process.stderr.readline().decode() == READS       # before it waits
            out, err = process.communicate(text.encode(encoding))
            assert (process.returncode, err) == (0, b"") and b"is kept in" in out
            assert (tmp_path / "hf" / "token").read_text() == VALUE


@contextmanager
def in_a_terminal(environment: dict[str, str], *words: str) -> Iterator[tuple[subprocess.Popen, int]]:
    """A command in a terminal of its own, and our end of that."""
    ours, theirs = pytest.importorskip("pty").openpty()
    process = subprocess.Popen([sys.executable, "-m", "ui.commands", *words], env=environment, stdin=theirs,
                               stdout=theirs, stderr=theirs, cwd=environment["TMPDIR"], start_new_session=True)
    os.close(theirs)
    try:
        yield process, ours
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)          # and what it opened
        process.wait()
        os.close(ours)


def test_in_a_terminal_it_is_asked_for_without_echo(hub: Hub, environment: dict[str, str], tmp_path: Path):
    with in_a_terminal(environment, "token", "--model", REPO) as (process, ours):
        shown = read_until(ours, "press Enter): ")
        assert "https://huggingface.co/settings/tokens/new" in shown and f"https://huggingface.co/{REPO}" in shown
        os.write(ours, VALUE.encode() + b"\r")
        shown += read_until(ours, "may read")
        assert process.wait(60) == 0 and "quartzlung" not in shown
    assert places_of(tmp_path, VALUE) == ["hf/token"]


@pytest.mark.skipif(sys.platform != "linux", reason="a browser as the variable BROWSER names it")
@pytest.mark.parametrize("browser", ['"no closing quotation %s', "/no/such/browser %s", "BLOCKS %s"])
def test_no_browser_keeps_it_from_asking(environment: dict[str, str], tmp_path: Path, browser: str):
    """One that comes back only when it is closed, too."""
    blocks = tmp_path / "blocks"
    blocks.write_text(f'#!/bin/sh\necho "$1" >>{tmp_path}/opened\nexec sleep 600 </dev/null >/dev/null 2>&1\n')
    blocks.chmod(0o755)
    more = {"DISPLAY": ":0", "BROWSER": browser.replace("BLOCKS", str(blocks))}
    with in_a_terminal({**environment, **more}, "token", "--no-test") as (process, ours):
        shown = read_until(ours, "press Enter): ")
        assert "Traceback" not in shown
        if browser.startswith("BLOCKS"):
            for _ in range(6000):
                said = (tmp_path / "opened").read_text() if (tmp_path / "opened").exists() else ""
                if said.count("\n") == 2 or process.poll() is not None:
                    break
                time.sleep(0.01)
            assert "/settings/tokens/new" in said and "/google/medgemma" in said


@pytest.mark.parametrize("typed, status, expected", [
    (b"\xff\xfequartzlung\r", 2, "\r\nThat is no token of the hub"), (b"\x04", 2, "\r\nNo token was given"),
    ("SIGINT", 130, "\r\nStopped.\r\n")])
def test_what_else_is_typed_ends_in_one_line(environment: dict[str, str], tmp_path: Path, typed: bytes | str,
                                            status: int, expected: str):
    with in_a_terminal(environment, "token", "--no-test") as (process, ours):
        read_until(ours, "press Enter): ")
        if isinstance(typed, str):
            while psutil.Process(process.pid).status() != psutil.STATUS_SLEEPING:
                time.sleep(0.01)            # it has asked, and does not wait yet
            process.send_signal(signal.SIGINT)
        else:
            os.write(ours, typed)
        shown = read_until(ours, expected)
        assert process.wait(60) == status and "Traceback" not in shown and "quartzlung" not in shown
    assert not places_of(tmp_path, "quartzlung")


def test_enter_alone_asks_nobody_where_nothing_is_to_be_tested(hub: Hub, environment: dict[str, str], tmp_path: Path):
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf" / "token").write_text(VALUE)
    with in_a_terminal(environment, "token", "--no-test") as (process, ours):
        read_until(ours, "press Enter): ")
        os.write(ours, b"\r")
        read_until(ours, "The token that was there stays.")
        assert process.wait(60) == 0 and not hub.seen


def read_until(terminal: int, words: str) -> str:
    """What is shown up to words; fails after a minute without any."""
    shown = b""
    while words.encode() not in shown:
        assert select.select([terminal], [], [], 60)[0], shown
        shown += os.read(terminal, 4096)
    return shown.decode()


USES = """
import sys, logging
from pathlib import Path
from models.errors import UserError
from corpus.config import DataConfig
from corpus.hub import read_hub
from convert import hub
logging.basicConfig(level=logging.DEBUG, filename=sys.argv[1])
for tried in (lambda: read_hub("hf:me/none", DataConfig()),
              lambda: hub._in_child([sys.argv[2], "me/notes"], lambda *said: None)):
    try:
        tried()
    except UserError as error:
        print(error)
"""


def test_no_use_of_it_leaves_it_anywhere(hub: Hub, environment: dict[str, str], tmp_path: Path):
    """Data sets and uploads with a good token and a bad one, from two kinds of places, every library's log kept."""
    (tmp_path / "out").mkdir()
    (tmp_path / "galen" / ".env").write_text(f"HUGGINGFACE_TOKEN={BAD}\n")
    for more in ({}, {"HF_TOKEN": VALUE}):
        done = subprocess.run([sys.executable, "-c", USES, str(tmp_path / "debug.log"), str(tmp_path / "out")],
                              env={**environment, **more}, cwd=tmp_path / "tmp", capture_output=True, text=True)
        assert done.returncode == 0 and len(done.stdout.splitlines()) == 2, done.stderr
        assert "quartzlung" not in done.stdout + done.stderr
    asked = {one.authorization for one in hub.seen}
    assert asked == {f"Bearer {BAD}", f"Bearer {VALUE}"}
    assert places_of(tmp_path, "quartzlung") == ["galen/.env"]


def test_no_download_leaves_it_anywhere(hub: Hub, tmp_path: Path):
    """A gated file refused with a bad one and with one that lacks the licence; fetched with the stored one."""
    (tmp_path / "tmp").mkdir()
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf" / "token").write_text(VALUE)
    place = {"TMPDIR": str(tmp_path / "tmp")}
    for name, value in (("bad", BAD), ("new", NEW)):
        said = Fetching(hub, tmp_path, {**place, "HF_TOKEN": value}).refused(name, "model.gguf", repo=REPO)
        assert "quartzlung" not in said
    Fetching(hub, tmp_path, place).get("good", "model.gguf", repo=REPO)
    assert {one.authorization for one in hub.asked("hub")} >= {f"Bearer {one}" for one in (VALUE, BAD, NEW)}
    assert {one.authorization for one in hub.asked("store")} == {""}
    assert places_of(tmp_path, "quartzlung") == ["hf/token"]


ASKS = USES + """
from models import access, listing, token
print(access.ask(token.for_hub(), "me/model").words)
try:
    listing.ask("me/model")
except UserError as error:
    print(error)
"""


@contextmanager
def repeating() -> Iterator[str]:
    """A proxy or mirror that refuses everything, with the header it got in its words; its address."""
    class Repeating(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            words = f"bad header: {self.headers.get('Authorization')}"
            body = json.dumps({"error": words}).encode()
            self.send_response(400)
            self.send_header("X-Error-Message", words)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(b"" if self.command == "HEAD" else body)

        do_POST = do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Repeating)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def test_an_answer_that_repeats_it_is_not_repeated(environment: dict[str, str], tmp_path: Path):
    run = tmp_path / "galen" / "run"
    (tmp_path / "out").mkdir()
    run.mkdir()
    (run / "config.json").write_text(json.dumps({"repo": "me/model", "files": ["m.gguf"]}))
    with repeating() as address:
        asked = {**environment, "HF_ENDPOINT": address, "HF_TOKEN": "quartzlung-of-a-mirror"}
        done = [subprocess.run([sys.executable, *words], env=asked, cwd=runs.ROOT, capture_output=True, text=True)
                for words in (["-c", ASKS, str(tmp_path / "debug.log"), str(tmp_path / "out")],
                              ["-m", "models.worker", str(run)])]
    said = "".join(one.stdout + one.stderr for one in done)
    assert said.count("bad header: Bearer .") == 4 and "quartzlung" not in said, said
    assert places_of(tmp_path, "quartzlung") == []
