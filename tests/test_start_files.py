"""The files for a double click, with programs that only pretend to be Python."""

import os
import pty
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
        for name in ("dirname", "readlink"):
            (self.programs / name).symlink_to(shutil.which(name))

    def add(self, name: str, refuses: str = "nothing") -> None:
        """A Python that answers the questions of the script with yes, but for those that hold a word."""
        text = ('#!/bin/sh\n[ "${PYTHONHOME-}${PYTHONPATH-}" = "" ] || exit 1\n'
                f'case "$1 $2" in "-c "*{refuses}*) exit 1 ;; "-c "*) exit 0 ;; esac\n'
                f'echo {name} "$@" "$PYTHONNOUSERSITE$PYTHONUTF8"\necho $$ >&2\nexit 7\n')
        (self.programs / name).write_text(text)
        (self.programs / name).chmod(0o755)

    @property
    def environment(self) -> dict[str, str]:
        return {"PATH": str(self.programs), "PYTHONHOME": "/nowhere", "PYTHONPATH": "/nowhere", "CDPATH": "/usr"}

    def start(self, *arguments: str, cwd: Path | None = None, shell: str = "/bin/sh",
              file: Path | None = None) -> subprocess.CompletedProcess:
        return subprocess.run([shell, file or self.folder / self.script, *arguments], capture_output=True, text=True,
                              env=self.environment, cwd=cwd, stdin=subprocess.DEVNULL)


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


@pytest.mark.parametrize("shell", ["dash", "bash", "zsh", "busybox"])
def test_whoever_reads_it_passes_the_status_on(desk: Desk, shell: str):
    """A person types `zsh Start-macOS.command` where the file may not be run; zsh has variables of its own."""
    assert "status=" not in (ROOT / desk.script).read_text()       # zsh's own; for machines without one
    found = shutil.which(shell)
    if not found:
        pytest.skip(f"{shell} is not here")
    desk.add("python3.12")
    if shell == "busybox":
        found = str(desk.programs / "sh")
        Path(found).symlink_to(str(shutil.which(shell)))
    done = desk.start(shell=found)
    assert (done.returncode, done.stdout) == (7, f"python3.12 {desk.folder}/launcher.py 11\n"), done.stderr


def test_without_a_terminal_the_python_takes_its_place(desk: Desk):
    """Else a signal to the start file would end the start file alone."""
    desk.add("python3.12")
    with subprocess.Popen(["/bin/sh", desk.folder / desk.script], env=desk.environment, stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as started:
        assert started.communicate()[1] == f"{started.pid}\n"


def test_an_error_stays_on_the_screen_after_a_double_click(desk: Desk):
    """In a terminal, that is: it waits for Enter, and the status is passed on."""
    desk.add("python3.12")
    ours, theirs = pty.openpty()
    with subprocess.Popen(["/bin/sh", desk.folder / desk.script], env=desk.environment, stdin=theirs,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as started:
        os.write(ours, b"\n")
        said = started.communicate(timeout=30)[0]
    assert said.endswith("Press Enter to close this window. ") and started.returncode == 7
    os.close(ours)
    os.close(theirs)
    assert "Press Enter" not in desk.start().stdout


def test_a_link_to_the_start_file_starts_its_own_galen(tmp_path: Path):
    desk = Desk(tmp_path, "Start-Linux.sh")
    desk.add("python3.12")
    link = tmp_path / "desktop" / "Galen"
    link.parent.mkdir()
    link.symlink_to(desk.folder / desk.script)
    assert desk.start(file=link).stdout == f"python3.12 {desk.folder}/launcher.py 11\n"


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
    assert b'set "PYTHON_MANAGER_AUTOMATIC_INSTALL=false"\r\n' in data     # it only looks
    for name in (b"PYTHONHOME", b"PYTHONPATH"):
        assert b'set "' + name + b'="\r\n' in data


@pytest.mark.parametrize(("length", "names", "has_long_paths", "says"), [
    (60, ["chat"], False, ""), (55, ["chat", "train"], False, "has 55 characters, and Windows allows 54 here"),
    (150, ["chat"], False, "switch on long paths: https://learn.microsoft.com"), (200, ["train"], True, "")])
def test_a_path_too_long_for_windows_is_said_before(length: int, names: list[str], has_long_paths: bool, says: str):
    problem = place.problem(length, names, has_long_paths)
    assert says in problem and bool(problem) == bool(says)
