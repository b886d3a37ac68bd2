"""The files for a double click, with programs that only pretend to be Python."""

import shutil
import subprocess
from pathlib import Path

import pytest

from setup import place
from tests.launching import ROOT

FOLDER = "galen ünï it's $HOME `x` %PATH% !y! & (z)"
SCRIPTS = ["Start-Linux.sh", "Start-macOS.command"]


class Desk:
    """A start file in a folder with an awkward name, and a PATH with nothing on it but what a test puts there."""

    def __init__(self, folder: Path, script: str):
        self.folder, self.script, self.programs = folder / FOLDER, script, folder / "bin"
        self.folder.mkdir()
        self.programs.mkdir()
        shutil.copy(ROOT / script, self.folder)
        (self.programs / "dirname").symlink_to(shutil.which("dirname"))

    def add(self, name: str, refuses: str = "nothing") -> None:
        """A Python that answers the questions of the script with yes, but for those that hold a word."""
        text = ('#!/bin/sh\n[ "${PYTHONHOME-}${PYTHONPATH-}" = "" ] || exit 1\n'
                f'case "$1 $2" in "-c "*{refuses}*) exit 1 ;; "-c "*) exit 0 ;; esac\n'
                f'echo {name} "$@" "$PYTHONNOUSERSITE$PYTHONUTF8"\nexit 7\n')
        (self.programs / name).write_text(text)
        (self.programs / name).chmod(0o755)

    def start(self, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess:
        return subprocess.run(["/bin/sh", self.folder / self.script, *arguments], capture_output=True, text=True,
                              env={"PATH": str(self.programs), "PYTHONHOME": "/nowhere", "PYTHONPATH": "/nowhere",
                                   "CDPATH": "/usr"}, cwd=cwd)


@pytest.fixture(params=SCRIPTS)
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Desk:
    return Desk(tmp_path, request.param)


def test_no_python_is_said_with_where_to_get_one(desk: Desk):
    missing = desk.start("x")
    assert missing.returncode == 2 and "Python 3.11 to 3.14, and none was found" in missing.stderr
    assert "https://www.python.org/downloads/" in missing.stderr and missing.stdout == ""


def test_the_newest_python_that_works_is_taken(desk: Desk):
    desk.add("python3.14", refuses="sys")
    desk.add("python3.12")
    desk.add("python3")
    done = desk.start("chat", "a  b")
    assert (done.returncode, done.stdout) == (7, f"python3.12 {desk.folder}/launcher.py chat a  b 11\n"), done.stderr
    (desk.folder / "bin").mkdir()
    assert desk.start(cwd=desk.folder).stdout == f"python3.12 {desk.folder}/launcher.py 11\n"


def test_a_python_that_can_make_an_environment_comes_first(tmp_path: Path):
    desk = Desk(tmp_path, "Start-Linux.sh")             # Debian's may lack the modules for it
    desk.add("python3.13", refuses="ensurepip")
    assert desk.start().stdout.startswith("python3.13 ")            # launcher.py says what to install
    desk.add("python3.11")
    assert desk.start().stdout.startswith("python3.11 ")


def test_the_windows_start_file_has_windows_line_ends_and_quotes_its_path():
    data = (ROOT / "Start-Windows.bat").read_bytes()
    assert data.count(b"\n") == data.count(b"\r\n") > 10 and data.isascii()
    assert b'%FOUND% "%~dp0launcher.py" %*' in data and b"DisableDelayedExpansion" in data
    for name in (b"PYTHONHOME", b"PYTHONPATH"):
        assert b'set "' + name + b'="\r\n' in data


@pytest.mark.parametrize(("length", "names", "has_long_paths", "says"), [
    (60, ["chat"], False, ""), (55, ["chat", "train"], False, "has 55 characters, and Windows allows 54 here"),
    (150, ["chat"], False, "switch on long paths: https://learn.microsoft.com"), (200, ["train"], True, "")])
def test_a_path_too_long_for_windows_is_said_before(length: int, names: list[str], has_long_paths: bool, says: str):
    problem = place.problem(length, names, has_long_paths)
    assert says in problem and bool(problem) == bool(says)
