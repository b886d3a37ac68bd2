"""Real sockets in child processes: what is told, what is refused, what does not count."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from models import outside, runs

CHILD = """
import socket, sys
from models import outside
outside.watch()
def attempt(call):
    try:
        call()
        return "made"
    except outside.Offline as error:
        return f"refused: {error}"
    except OSError as error:
        return "failed"
"""


def child(tmp_path: Path, code: str, is_offline: bool | None = None) -> tuple[list[str], list[dict]]:
    """What a watched process printed, and the events it told."""
    told, switch = tmp_path / "told.jsonl", tmp_path / "settings.json"
    environment = {**os.environ, outside.TOLD_TO: str(told), "PYTHONPATH": str(runs.ROOT)}
    if is_offline is not None:
        switch.write_text(json.dumps({"is_offline": is_offline}))
        environment[outside.SWITCH] = str(switch)
    done = subprocess.run([sys.executable, "-c", CHILD + code], env=environment, capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in told.read_text().splitlines()] if told.exists() else []
    return done.stdout.splitlines(), events


# 192.0.2.0/24 is for documentation: nothing of it is anywhere
CONNECT = """
one = socket.socket()
one.settimeout(0.05)
print(attempt(lambda: one.connect(("192.0.2.1", 443))))
"""


def test_a_connection_is_told_with_its_reason(tmp_path: Path):
    _, events = child(tmp_path, CONNECT + """
with outside.reason("the hub: a test"):
    other = socket.socket(socket.AF_INET6)
    other.settimeout(0.05)
    print(attempt(lambda: other.connect(("2001:db8::1", 80))))
print(attempt(lambda: one.connect_ex(("192.0.2.1", 80))))
""")
    seen = [(event["what"], event["address"], event["reason"], event["is_refused"]) for event in events]
    assert seen[:2] == [("connected", "192.0.2.1:443", "unknown", False),
                        ("connected", "[2001:db8::1]:80", "the hub: a test", False)]
    assert seen[2][1:3] == ("192.0.2.1:80", "unknown")
    assert {event["kind"] for event in events} == {"connection"}


def test_packets_and_names_are_told_and_packets_to_one_address_once(tmp_path: Path):
    _, events = child(tmp_path, """
one = socket.socket(type=socket.SOCK_DGRAM)
for k in range(5):
    attempt(lambda: one.sendto(b"x", ("192.0.2.7", 9)))
attempt(lambda: socket.getaddrinfo("name.invalid", 80))
attempt(lambda: socket.gethostbyname("other.invalid"))
""")
    assert [(event["what"], event["address"]) for event in events] == [
        ("sent to", "192.0.2.7:9"), ("looked up", "name.invalid"), ("looked up", "other.invalid")]


def test_whose_address_it_is_is_asked_of_others_too(tmp_path: Path):
    said, events = child(tmp_path, """
print(attempt(lambda: socket.gethostbyaddr("192.0.2.7")))
print(attempt(lambda: socket.getnameinfo(("192.0.2.8", 80), 0)))
attempt(lambda: socket.getnameinfo(("127.0.0.1", 80), 0))
attempt(lambda: socket.gethostbyaddr("::1"))
""", is_offline=True)
    assert [(event["what"], event["address"]) for event in events] == [
        ("looked up", "192.0.2.7"), ("looked up", "192.0.2.8")]
    assert all(one.startswith("refused") for one in said)


def test_this_computer_is_not_outside(tmp_path: Path):
    said, events = child(tmp_path, """
import tempfile, os
server = socket.create_server(("127.0.0.1", 0))
for host in ("127.0.0.1", "localhost"):
    print(attempt(lambda: socket.create_connection((host, server.getsockname()[1]), 2)))
place = os.path.join(tempfile.mkdtemp(), "s")
unix = socket.socket(socket.AF_UNIX)
unix.bind(place)
unix.listen()
print(attempt(lambda: socket.socket(socket.AF_UNIX).connect(place)))
socket.getaddrinfo("192.0.2.1", 80)
""", is_offline=True)
    assert said == ["made"] * 3 and events == []


def test_offline_refuses_with_a_sentence_before_anything_leaves(tmp_path: Path):
    said, events = child(tmp_path, CONNECT + 'print(attempt(lambda: socket.getaddrinfo("name.invalid", 80)))',
                         is_offline=True)
    assert said[0] == ("refused: Galen is offline, so the connection to 192.0.2.1:443 was refused; "
                       "switch Offline off in Settings to allow it.")
    assert said[1].startswith("refused: Galen is offline, so the connection to name.invalid")
    assert [event["is_refused"] for event in events] == [True, True]


def test_the_switch_is_obeyed_in_the_middle_of_a_process(tmp_path: Path):
    said, events = child(tmp_path, CONNECT + f"""
from pathlib import Path
Path({str(tmp_path / "settings.json")!r}).write_text('{{"is_offline": true}}')
print(attempt(lambda: one.connect(("192.0.2.1", 80))))
""", is_offline=False)
    assert said[0] == "failed" and said[1].startswith("refused")
    assert [event["is_refused"] for event in events] == [False, True]


def test_children_of_a_process_tell_the_same_file_and_reason(tmp_path: Path):
    grandchild = CHILD + CONNECT
    _, events = child(tmp_path, f"""
import subprocess
with outside.reason("a download"):
    subprocess.run([sys.executable, "-c", {grandchild!r}], check=True)
""")
    assert [(event["address"], event["reason"]) for event in events] == [("192.0.2.1:443", "a download")]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost", "LOCALHOST.", "a.localhost",
                                  "", "0.0.0.0", "::", "::ffff:127.0.0.1", "::1%lo"])
def test_names_of_this_computer(host: str):
    assert outside.is_here(host)


@pytest.mark.parametrize("host", ["192.0.2.1", "10.0.0.1", "2001:db8::1", "localhost.example", "127.example",
                                  socket.gethostname() + ".example", "169.254.169.254"])
def test_names_of_others(host: str):
    assert not outside.is_here(host)


HOOKED = """
import sys
def hook(event, values):
    if event == "sys.addaudithook":
        print("hooked", file=sys.stderr)
sys.addaudithook(hook)
import runpy
runpy.run_module("runtime.worker", run_name="__main__")
"""


def test_the_models_process_is_watched():
    done = subprocess.run([sys.executable, "-c", HOOKED], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=60, env={**os.environ, "PYTHONPATH": str(runs.ROOT)})
    assert "hooked" in done.stderr


@pytest.mark.parametrize("words, reason", [
    (["corpus.hub", "owner/name", "", "", "0", "."], "the hub: the dataset owner/name"),
    (["convert.hub", ".", "owner/name"], "the hub: upload to owner/name")])
def test_what_goes_to_the_hub_has_its_reason_and_is_refused_offline(tmp_path: Path, words: list[str], reason: str):
    pytest.importorskip("datasets")
    told, switch = tmp_path / "told.jsonl", tmp_path / "settings.json"
    switch.write_text('{"is_offline": true}')
    environment = {key: value for key, value in os.environ.items() if not key.endswith("_OFFLINE")
                   and not key.lower().endswith("_proxy")}
    environment |= {outside.TOLD_TO: str(told), outside.SWITCH: str(switch), "HF_TOKEN": "hf_none",
                    "PYTHONPATH": str(runs.ROOT), "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(tmp_path / "hf"),
                    "HF_ENDPOINT": "https://hub.invalid"}
    done = subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True, timeout=120, cwd=tmp_path,
                          env=environment)
    assert done.returncode == 2 and "Galen is offline" in done.stderr.splitlines()[-1], done.stderr
    events = [json.loads(line) for line in told.read_text().splitlines()]
    assert events and {(event["address"], event["reason"], event["is_refused"]) for event in events} == {
        ("hub.invalid", reason, True)}


# Run by us while we make Galen; reads figures of processes; is the command line, of which serve() watches.
OTHERS = {"models/demo/make.py", "models/demo/seen.py", "ui/memory.py", "ui/commands.py"}


def test_every_process_of_ours_is_watched():
    packages = ("models", "runtime", "convert", "corpus", "train", "evaluation", "tasks", "ui")
    texts = {path.relative_to(runs.ROOT).as_posix(): path.read_text(encoding="utf-8")
             for package in packages for path in (runs.ROOT / package).rglob("*.py")}
    started = {name for name, text in texts.items() if '__name__ == "__main__"' in text} - OTHERS
    assert len(started) > 8
    assert [name for name in sorted(started) if "outside.watch()" not in texts[name] and "job.main(" not in texts[name]
            and "from models.job import" not in texts[name]] == []
