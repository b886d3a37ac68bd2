"""What may stand in a report that leaves this computer: of texts that programs wrote, the part that names nobody."""

import builtins
import contextlib
import os
import re
import socket
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from models import runs, token
from ui.doctor.finding import FAILURES

LEFT_OUT = "[left-out]"
NAMES = ("USER", "LOGNAME", "USERNAME", "USERDOMAIN", "COMPUTERNAME", "HOSTNAME")       # variables
SECRETS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_TOKEN")
FOLDERS = ("HOME", "USERPROFILE", "GALEN_HOME", "HF_HOME", "HF_HUB_CACHE", "TMPDIR", "TEMP", "TMP", "APPDATA",
           "LOCALAPPDATA")
SHORTEST = 3                    # of names that are looked for inside a line
ORDINARY = {"root", "user", "admin", "administrator", "localhost", "vm", "galen", "python"}     # nobody's name
QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|`[^`]*`|“[^”]*”")
NUMBER = r"\d+(?:\.\d+)*(?:\.?(?:post|dev|rc|a|b)\d+)*(?:\+\w+)?"
WHEEL = r"(?:[-.](?:cp\d+\w*|py[23]|abi3|none|any|\w+linux\w*|linux\w*|macosx\w*|win\w*|whl|tar|gz|metadata))*"
VERSION = re.compile(r"\d+(?:\.\d+){0,2}(?:\+\w+)?%?")                # four numbers are an address
NAMED_VERSION = re.compile(rf"[A-Za-z][\w-]*?(?:\[\w+\])?(?:==|>=|<=|~=|-){NUMBER}{WHEEL}")
SEPARATORS, PATH_END = re.compile(r"[/\\]"), re.compile(r"[,;:)\]]$|\.[a-z]{2,8}$")
PLAIN = re.compile(r"[^./\\@:~$%]*")
PLACE = re.compile(r'File "(.+)", line (\d+), in (\S+)')
SHORT_PLACE = re.compile(r"\s+([\w./-]+\.py):(\d+) in (\S+)")
KIND = re.compile(r"(?:[a-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Interrupt|Exit|Died|Interrupted|Offline|Warning)\b")
ELSEWHERE = "elsewhere"
LIBRARIES = ("site-packages", "dist-packages")


class Impersonal:
    """Takes out of lines what may name a person, a file of theirs, or a computer."""

    def __init__(self) -> None:
        folders = sorted({form for path in _folders() for form in (path, path.replace("\\", "/"))
                          if len(path) > len("C:\\x")}, key=len)
        words = {word for word in _words() if len(word) >= SHORTEST and word.lower() not in ORDINARY}
        self._folders = re.compile("|".join(map(re.escape, reversed(folders))) or r"(?!)", re.IGNORECASE)
        self._words = re.compile(r"(?<![A-Za-z0-9])(?:" + "|".join(map(re.escape, sorted(words, key=len)[::-1]))
                                 + r")(?![A-Za-z0-9])" if words else r"(?!)", re.IGNORECASE)

    def named(self, text: str) -> str:
        """text without the folders, names and tokens of this computer."""
        return token.hidden(self._words.sub(LEFT_OUT, self._folders.sub(LEFT_OUT, text)))

    def line(self, text: str) -> str:
        """A line that a program wrote, without quotations, paths, addresses, file names and hosts."""
        bare = QUOTED.sub(LEFT_OUT, self.named(text))
        kept, is_in_path = list[str](), False       # the words of a path with spaces lie behind its first part
        for part in bare.split():
            is_in_path = (is_in_path and not part.startswith("(")) or SEPARATORS.search(part) is not None
            kept.append(part if _is_harmless(part) and not is_in_path else LEFT_OUT)
            is_in_path = is_in_path and not PATH_END.search(part)
        return " ".join(kept)


def _is_harmless(part: str) -> bool:
    """True for a word, a number, a version, and a package with its version; not for what may be a path or a host."""
    bare = part.strip("()[]{},;:.!?")
    return bool(PLAIN.fullmatch(bare) or VERSION.fullmatch(bare) or NAMED_VERSION.fullmatch(bare))


def places(lines: Iterable[str]) -> list[str]:
    """Of tracebacks among lines: where in our code and in packages they passed, and the kinds of errors."""
    found, is_open = list[str](), False
    for line in lines:
        place = PLACE.search(line) or SHORT_PLACE.fullmatch(line)
        kind = KIND.match(line.strip()) if is_open and not line.startswith("    ") else None
        if place:
            where = code_place(place[1])
            found.append("    " + (where if where == ELSEWHERE else f"{where}:{place[2]} in {place[3]}"))
            is_open = True
        elif kind:              # what is said behind it, and below, may be anybody's words
            is_known = "." in kind[0] or hasattr(builtins, kind[0])         # else it is of somebody's own script
            found.append(f"  {kind[0] if is_known else 'an error'}")
            is_open = False
    return found


def code_place(path: str) -> str:
    """A file of ours or of a package, by its place in it; all others as ELSEWHERE."""
    parts = path.replace("\\", "/").split("/")
    for library in LIBRARIES:
        if library in parts:
            return "/".join(parts[parts.index(library) + 1:])
    file = Path(os.path.normpath(runs.ROOT / path))
    is_ours = file.is_relative_to(runs.ROOT) and not file.is_relative_to(runs.ROOT / "models" / "files")
    return file.relative_to(runs.ROOT).as_posix() if is_ours and file.suffix == ".py" and file.is_file() else ELSEWHERE


def _folders() -> Iterator[str]:
    """Every folder of this computer that names its person, or where they put Galen."""
    yield from (os.environ[name] for name in FOLDERS if os.path.isabs(os.environ.get(name, "")))
    yield from (str(runs.ROOT), sys.prefix, sys.base_prefix, os.path.expanduser("~"))
    for folder in (runs.home, Path.cwd, tempfile.gettempdir):
        with contextlib.suppress(*FAILURES):        # told in a finding
            yield str(folder())


def _words() -> Iterator[str]:
    """Names of the person and of the computer, and secrets."""
    yield from (os.environ[name] for name in (*NAMES, *SECRETS) if os.environ.get(name))
    yield Path(os.path.expanduser("~")).name
    host = socket.gethostname()
    yield from (host, host.partition(".")[0])
    try:
        found = token.find()
    except FAILURES:
        return
    if found:
        yield found.value
