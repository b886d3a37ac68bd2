"""The file Galen.desktop in Galen's folder: what a Linux desktop starts on a double click."""

import contextlib
import os
import sys
from pathlib import Path

NAME = "Galen.desktop"          # git-ignored: it holds absolute paths
STARTER, ICON = "Start-Linux.sh", "ui/icon.svg"
# Source: Desktop Entry Specification 1.5, "The Exec key" and "Possible value types"; Version=1.1, which has Actions, is
# what older desktops know. Terminal=true: the first start shows how the set-up goes on, and the window can be closed.
# /bin/sh: a name of a program must not hold "=".
TEXT = """[Desktop Entry]
Type=Application
Version=1.1
Name=Galen
Comment=A medical-LLM workbench for your own computer
Exec=/bin/sh {starter}
Path={folder}
Icon={icon}
Terminal=true
Categories=Science;MedicalSoftware;
Actions=window;

[Desktop Action window]
Name=In a window of its own
Exec=/bin/sh {starter} start --window
"""


def write(root: Path) -> None:
    """Make it, or make it anew if the folder was moved; nothing on other systems, or where it can not be written."""
    if not sys.platform.startswith("linux"):
        return
    path, data = root / NAME, os.fsencode(text(root))
    with contextlib.suppress(OSError):          # a folder that only others may write: started another way
        if path.is_file() and path.read_bytes() == data:
            return
        part = path.with_name(NAME + ".part")
        part.write_bytes(data)
        part.chmod(0o755)                       # desktops start only what may be run
        os.replace(part, path)


def text(root: Path) -> str:
    """What stands in the file for Galen in root."""
    return TEXT.format(starter=_argument(str(root / STARTER)), folder=_string(str(root)),
                       icon=_string(str(root / ICON)))


def _argument(word: str) -> str:
    """word as one argument of Exec: quoted, and then written as a string."""
    for sign in '\\"`$':
        word = word.replace(sign, "\\" + sign)
    return _string('"' + word.replace("%", "%%") + '"')


def _string(value: str) -> str:
    """value as the file holds strings."""
    for sign, written in (("\\", "\\\\"), ("\n", "\\n"), ("\t", "\\t"), ("\r", "\\r")):
        value = value.replace(sign, written)
    return value
