"""Single looks, with machines, drivers and networks that a test makes up."""

import http.server
import os
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from models import runs
from ui import instance
from ui.doctor import engines, machine, packages, place, reach, smoke
from ui.doctor.finding import BAD, CAUTION, GOOD, said

ARM = "processor\t: 0\nFeatures\t: fp asimd evtstrm aes crc32 atomics asimddp i8mm\n"
X86 = "model name\t: Old\nflags\t\t: fpu sse4_2 avx f16c\n\nflags\t\t: avx2\n"


@contextmanager
def served(answer: bytes, status: int = 200, to: str = ""):
    """A server on this machine that answers everything so; its port."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.send_header("Content-Type", "text/html")
            if to:
                self.send_header("Location", to)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer if self.command == "GET" else b"")

        do_HEAD = do_GET

        def log_message(self, *words):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def nvidia_smi(tmp_path, monkeypatch):
    """Have a driver's program that does what the given shell script says."""
    def have(script: str) -> None:
        program = tmp_path / engines.NVIDIA_SMI
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return have


@pytest.mark.parametrize(("script", "used", "state", "words"), [
    ("echo 'NVIDIA H100 80GB, 550.54.15, 81559'", "H100", GOOD, "NVIDIA H100 80GB (driver 550.54.15, 85.5 GB)"),
    ("echo 'NVIDIA H100 80GB HBM3, 550.54.15, [N/A]'", None, GOOD, "HBM3 (driver 550.54.15)"),
    ("echo 'NVIDIA T4, 550.1, 15360'", "", CAUTION, "llama.cpp was built without it"),
    ("echo \"NVIDIA-SMI has failed because it couldn't communicate with the driver\"; exit 9", None, CAUTION,
     "reaches no card"),
    ("echo 'No devices were found'", None, CAUTION, "reaches no card"),
    ("exec sleep 60", None, CAUTION, "no answer within 1 s")])
def test_what_an_nvidia_driver_says(nvidia_smi, script, used, state, words):
    nvidia_smi(script)
    made = engines.graphics(used, within_s=1.0 if "sleep" in script else 60.0)
    if packages.installed("torch").endswith("+cpu") and state == GOOD:
        state = CAUTION         # such a torch beside such a card is worth a word
    assert made.state == state and words in made.found


def test_cards_without_nvidias_driver():
    assert engines.other_cards([], "Apple M2 (16.0 GB)").found == "Apple M2 (16.0 GB), which llama.cpp can use"
    assert engines.other_cards(["NVIDIA"], "").state == engines.other_cards(["AMD"], "").state == CAUTION
    assert engines.other_cards(["Intel"], "").state == engines.other_cards(["AMD"], None).state == GOOD


@pytest.mark.parametrize(("words", "found"), [
    ("FileNotFoundError: [Errno 2] No such file or directory: '/proc/meminfo'", "this system shows no /proc"),
    ("it gave no answer in 60 s", "gives no answer"), ("ended with status -6.", "(status -6)")])
def test_why_llama_cpp_can_not_be_asked(words, found):
    assert found in engines._not_loaded(RuntimeError(f"Traceback\n{words}")).found


def test_features_of_a_processor():
    assert machine.linux_features(ARM) == ("NEON", "NEON dot product", "I8MM")
    assert machine.linux_features(X86) == ("AVX", "F16C")
    assert machine.linux_features("") == ()


def test_a_program_that_is_not_there_and_one_that_fails():
    with pytest.raises(FileNotFoundError):
        said(["no-such-program-of-galen"], 1.0)
    assert said([sys.executable, "-c", "print('x'); raise SystemExit(3)"], 20.0) == (3, "x\n")


def test_pins_are_compared_where_they_apply():
    pins = packages.versions("chat")
    assert pins["numpy"][0] == pins["numpy"][1]
    assert ("audioop-lts" in pins) == (sys.version_info >= (3, 13))
    made = packages.compared("P", {"a": ("1.0", "1.0+cpu"), "b": ("2.0", "2.1")})
    assert made.state == CAUTION and made.found == "other versions than tested: b 2.1 (pinned: 2.0)"
    assert packages.compared("P", {"a": ("1.0", "1.0+cpu")}).state == GOOD
    assert packages.compared("P", {"a": ("1.0", "")}).state == BAD


def test_a_package_of_which_a_file_is_missing_or_cut_short(monkeypatch, tmp_path):
    details = tmp_path / "galentry-1.0.dist-info"
    details.mkdir()
    (details / "METADATA").write_text("Metadata-Version: 2.1\nName: galentry\nVersion: 1.0\n")
    (details / "RECORD").write_text(
        "galentry.py,sha256=0,6\n../../bin/galentry,sha256=0,99\n__pycache__/galentry.pyc,,\n")
    module, pins = tmp_path / "galentry.py", {"galentry": ("1.0", "1.0")}
    module.write_text("x = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert packages.compared("P", pins).state == GOOD
    for spoil in (lambda: module.write_text("x ="), module.unlink):
        spoil()
        made = packages.compared("P", pins)
        assert (made.state, made.found) == (BAD, "files are missing or cut short of: galentry")


def test_little_room_is_told(tmp_path):
    def room(*limits):
        return place.written(place.Folder(name="F", path=tmp_path / "a" / "b", room=limits, elsewhere="go")).state
    assert room(0, 0) == GOOD and room(0, 1e18) == CAUTION and room(1e18, 1e18) == BAD
    assert not (tmp_path / "a").exists()


def test_a_smoke_prompt_that_takes_too_long_is_given_up():
    made = smoke.answered(0.0)
    assert made.state == BAD and "no answer within 0 s" in made.found


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def test_a_port_that_is_free_or_held():
    tried = (free_port() for _ in range(20))            # anybody may take one meanwhile
    assert any(reach.listened(number, number).state == GOOD for number in tried)
    with served(b"a page") as number:
        made = reach.listened(number, number)
        assert made.state == BAD and "process" in made.personal and "process" not in made.found
        assert reach.listened(number, number + 40).state == CAUTION
    with served(b'{"status": "ok"}') as number:
        made = reach.listened(number, number)
        assert made.state == GOOD and "a running Galen" in made.found
        with served(b"", 302, f"http://127.0.0.1:{number}/health") as other:
            assert not reach._is_galen(other)           # nobody sends Galen elsewhere, which may be outside


@pytest.mark.parametrize("words", [b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", b"",
                                   b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n" + b"[" * 9999])
def test_a_port_whose_holder_speaks_otherwise(words):
    with socket.create_server(("127.0.0.1", 0)) as holder:
        def answer():
            for _ in range(2):
                one, _ = holder.accept()
                with one:
                    one.recv(4096)
                    one.sendall(words)

        work = threading.Thread(target=answer, daemon=True)
        work.start()
        number = holder.getsockname()[1]
        assert reach.listened(number, number).found == f"none from {number} to {number} is free"
        made = reach.hub(f"http://127.0.0.1:{number}", 20.0)
        assert made.state == (GOOD if words.startswith(b"HTTP") else BAD)
        work.join(60)


def test_the_running_app_of_this_folder_is_told(galen_home):
    assert reach.running_app() is None
    held = instance.claim(galen_home)
    with served(b'{"status": "ok"}') as number:
        held.publish(f"http://127.0.0.1:{number}")
        made = reach.running_app()
        assert made.state == GOOD and made.found == "runs" and str(number) in made.personal
    assert reach.running_app().state == CAUTION
    held.release()


def test_the_hub_is_reachable_or_not(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with served(b"", 404) as number:
        assert reach.hub(f"http://127.0.0.1:{number}", 20.0).state == GOOD
        monkeypatch.setenv("http_proxy", f"http://anna:secret@127.0.0.1:{number}")
        assert reach.hub("http://hub.invalid", 20.0).state == GOOD      # the proxy's answer is one
    with served(b"", 407) as number:
        monkeypatch.setenv("http_proxy", f"http://anna:secret@127.0.0.1:{number}")
        made = reach.hub("http://hub.invalid", 20.0)
        assert made.state == BAD and "password" in made.found and "secret" not in made.personal
        assert "secret" not in reach.proxy().personal and reach.proxy().found == "set for http"
    monkeypatch.setenv("all_proxy", "socks5://127.0.0.1:9")
    assert reach.proxy().state == BAD
    monkeypatch.delenv("http_proxy")
    monkeypatch.delenv("all_proxy")
    assert reach.hub(f"http://127.0.0.1:{free_port()}", 20.0).found == "gives no answer"
    assert reach.hub("no address at all", 20.0).state == BAD


def test_what_variables_say_that_is_no_browser_and_no_address(monkeypatch):
    monkeypatch.setenv("BROWSER", '"no closing quotation %s')
    code = "from ui.doctor import reach; print([(one.state, one.found) for one in reach.browser()])"
    done = subprocess.run([sys.executable, "-c", code], cwd=runs.ROOT, capture_output=True, text=True)
    assert done.stdout == f"[('{CAUTION}', 'what the variable BROWSER says is no command')]\n", done.stderr
    assert reach.hub("huggingface.co", 20.0).found == "HF_ENDPOINT is no address"


def test_pips_index_is_asked_as_pip_is_set(monkeypatch):
    page = b'<html><body><a href="pip-26.0-py3-none-any.whl">pip-26.0-py3-none-any.whl</a></body></html>'
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
    with served(page) as number:
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{number}/simple")
        has_pip = not subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True).returncode
        assert reach.index().state == (GOOD if has_pip else CAUTION)
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{free_port()}/simple")
    assert reach.index().state == CAUTION


@pytest.mark.parametrize(("home", "note", "found"), [
    ("~nobody-here/x", "", "can not be looked into"), ("{}/" + "x" * 300, "", "can not be looked into"),
    ("{}", "{}", "the note of where it was moved to is damaged"),
    ("{}", '{"to": "/no/such/disk"}', "the disk that it was moved to is not there")])
def test_why_there_is_no_folder(monkeypatch, tmp_path, home, note, found):
    monkeypatch.setenv("GALEN_HOME", home.replace("{}", str(tmp_path)))
    if note:
        (tmp_path / runs.MOVED_TO).write_text(note)
    made, = place.home()
    assert (made.state, made.found) == (BAD, found) and ("GALEN_HOME" in made.advice or note)


def test_folders_are_where_the_variables_say(monkeypatch, tmp_path):
    monkeypatch.setenv("GALEN_HOME", str(tmp_path))
    made, = place.home()
    assert made.personal == str(Path(tmp_path).resolve()) and str(tmp_path) not in made.found
