"""Galen.desktop, read back as a desktop reads it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from ui import shortcut

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the file of Linux desktops")
ESCAPES = {"s": " ", "n": "\n", "t": "\t", "r": "\r", "\\": "\\"}


def values(data: bytes) -> dict[str, str]:
    """The keys of the first group, their strings unescaped."""
    lines = data.decode("utf-8", "surrogateescape").split("\n\n")[0].splitlines()[1:]
    return {key: re.sub(r"\\(.)", lambda found: ESCAPES[found[1]], value)
            for key, _, value in (line.partition("=") for line in lines)}


def arguments(text: str) -> list[str]:
    """The words of an Exec line, as the specification takes it apart; no field codes are expected."""
    words = re.findall(r'"((?:\\.|[^"\\])*)"|(\S+)', text)
    whole = [re.sub(r"\\(.)", r"\1", quoted) if quoted else plain for quoted, plain in words]
    return [re.sub(r"%(.?)", lambda found: {"%": "%"}[found[1]], word, flags=re.S) for word in whole]


@pytest.mark.parametrize("name", ["galen", "ga len ünï", "it's 100% \"q\" `x` $HOME \\n = !y", "line\nbreak\ttab",
                                  "tail\\", "\udcff latin"])
def test_it_starts_the_file_of_its_own_folder(name: str, tmp_path: Path):
    root = tmp_path / name
    root.mkdir()
    starter = root / "Start-Linux.sh"
    starter.write_text('printf "%s|" "$0" "$@"\n')
    shortcut.write(root)
    read = values((root / "Galen.desktop").read_bytes())
    assert arguments(read["Exec"]) == ["/bin/sh", str(starter)] and read["Path"] == str(root)
    assert read["Icon"] == f"{root}/ui/icon.svg"
    ran = subprocess.run(arguments(read["Exec"]), capture_output=True)
    assert ran.stdout.decode("utf-8", "surrogateescape") == f"{starter}|"
    assert (root / "Galen.desktop").stat().st_mode & 0o111
    assert read["Version"] == "1.1"             # the first with Actions; desktop-file-validate 0.26 refuses 1.5


def test_it_follows_a_move_and_is_not_written_for_nothing(tmp_path: Path):
    root = tmp_path / "before"
    root.mkdir()
    shortcut.write(root)
    at = (root / "Galen.desktop").stat().st_mtime_ns
    shortcut.write(root)
    assert (root / "Galen.desktop").stat().st_mtime_ns == at
    moved = root.rename(tmp_path / "after")
    shortcut.write(moved)
    text = (moved / "Galen.desktop").read_text()
    assert str(moved) in text and str(root) not in text and [one.name for one in moved.iterdir()] == ["Galen.desktop"]
    shortcut.write(Path("/proc"))               # where nothing can be written, nothing is said
