"""The window of its own, with a program in the place of the browser that does what a test says."""

import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

from tests.ui.fakes import wait_for
from tests.ui.running import START, RunningApp
from tests.ui.test_ending import ask_for, has_begun, is_gone
from ui.window import NAMES, Window

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="finds the browser along PATH")


@pytest.fixture
def browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The first browser along PATH: it writes down how it was called, and stays until it is ended."""
    programs = tmp_path / "bin"
    programs.mkdir()
    path = programs / NAMES[0]
    path.write_text(f"#!/bin/sh\ntrap 'exit 0' TERM\n"          # before anybody can know that it is here
                    f'echo $$ "$@" > "{tmp_path}/part"\nmv "{tmp_path}/part" "{tmp_path}/called"\n'
                    "while :; do sleep 0.2; done\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return tmp_path / "called"


class WindowedApp(RunningApp):
    """The same with a window of its own."""
    start = START.replace("if model else None)", "if model else None, opens='window')")


def window_of(called: Path) -> tuple[psutil.Process, list[str]]:
    wait_for(called.exists)
    number, *arguments = called.read_text().split()
    return psutil.Process(int(number)), arguments


def test_closing_the_window_ends_galen(demo_gguf: Path, tmp_path: Path, browser: Path):
    folder = ask_for(tmp_path / "home", "one")
    app = WindowedApp(tmp_path / "home", demo_gguf)
    window, arguments = window_of(browser)
    assert f"--app={app.url}" in arguments and f"--user-data-dir={tmp_path}/home/cache/window" in arguments
    job = wait_for(lambda: has_begun(folder))
    window.terminate()
    wait_for(lambda: any("Galen goes on" in line and "Training one" in line for line in app.said))
    psutil.Process(job).kill()                  # it is over, and no page is open
    assert app.process.wait(60) == 0


def test_the_window_ends_with_galen(demo_gguf: Path, tmp_path: Path, browser: Path):
    app = WindowedApp(tmp_path / "home", demo_gguf)
    window, _ = window_of(browser)
    app.end(signal.SIGKILL)
    wait_for(lambda: is_gone(window))


def test_why_there_is_no_window(browser: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    program = tmp_path / "bin" / NAMES[0]
    program.write_text("#!/bin/sh\nexit 21\n")
    window = Window("http://127.0.0.1:9", tmp_path)
    wait_for(lambda: window.is_closed)
    assert window.problem == "The browser did not open a window of its own."
    monkeypatch.setenv("PATH", str(tmp_path))
    window = Window("http://127.0.0.1:9", tmp_path)
    wait_for(lambda: window.is_closed)
    assert "no Chromium, Chrome, Edge" in window.problem
