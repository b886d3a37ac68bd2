"""Where Galen's folder lies: a path that no environment can have, and what is repaired after a move."""

import contextlib
import os
import sys
from pathlib import Path

MOST_BYTES = 1 << 20            # scripts are short; programs are left alone
WINDOWS_MOST = 259              # characters of a path, as long as nobody has switched on longer ones
LONGEST = {"chat": 130, "train": 180, "dev": 130}       # below site-packages; found: 105, 171, 119


def problem(length: int, names: list[str], has_long_paths: bool) -> str:
    """Why these sets do not fit below a folder whose path has so many characters, '' when they do."""
    most = WINDOWS_MOST - len(r"\.venv\Lib\site-packages") - 1 - max(LONGEST[name] for name in names)
    return "" if has_long_paths or length <= most else (
        f"the path of this folder has {length} characters, and Windows allows {most} here; move the folder to a "
        r"shorter one, as C:\Galen, or switch on long paths: https://learn.microsoft.com/windows/win32/fileio/"
        "maximum-file-path-limitation")


def unusable(root: str) -> str:
    """Why no environment can be made below this folder, '' when one can."""
    if os.pathsep in root:                      # Finder shows it as "/"
        return f"the path of this folder holds '{os.pathsep}', which no environment can bear; rename the folder: {root}"
    try:
        root.encode()
    except UnicodeEncodeError:
        return f"the path of this folder is not in UTF-8; rename the folder, or set PYTHONUTF8=1: {root!a}"
    return ""


def infos(venv: Path) -> list[Path]:
    """What pip wrote down of the packages in venv: folders NAME-VERSION.dist-info."""
    return [*venv.glob("lib/python*/site-packages/*.dist-info"), *venv.glob("Lib/site-packages/*.dist-info")]


def packages(venv: Path) -> list[str]:
    """The names of these folders; none where venv is no environment, or one without pip."""
    found = [path.name for path in infos(venv)]
    return found if (venv / "pyvenv.cfg").is_file() and any(name.startswith("pip-") for name in found) else []


def has_long_paths() -> bool:
    """Whether programs of this system can use longer paths."""
    if sys.platform != "win32":
        return True
    import winreg
    name = r"SYSTEM\CurrentControlSet\Control\FileSystem"
    with contextlib.suppress(OSError), winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, name) as key:
        return bool(winreg.QueryValueEx(key, "LongPathsEnabled")[0])
    return False


def repair(venv: Path, scripts: Path, before: str) -> None:
    """Put venv's own path in the place of the one before in its scripts (activate, pip ...) and its pyvenv.cfg.

    What Galen runs itself, PYTHON -m, goes on without; this is for people who use the environment by hand. Each file
    changes whole or not at all.
    """
    old, new = os.fsencode(before), os.fsencode(str(venv))
    for path in [venv / "pyvenv.cfg", *scripts.iterdir()]:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > MOST_BYTES:
            continue
        data = path.read_bytes()
        if old not in data or b"\0" in data:
            continue
        first, _, rest = data.partition(b"\n")
        if first.startswith(b"#!" + old):       # as pip writes it where a path holds spaces, or is long
            first = b"#!/bin/sh\n'''exec' \"" + first[2:] + b"\" \"$0\" \"$@\"\n' '''"
        part = path.with_name(path.name + ".part")
        part.write_bytes((first + b"\n" + rest).replace(old, new))
        part.chmod(path.stat().st_mode)
        part.replace(path)
