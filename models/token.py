"""The token of the Hugging Face hub: where it is found on this computer, kept, and forgotten; nothing here goes online.

The first of these that is set: HF_TOKEN, HUGGING_FACE_HUB_TOKEN and HUGGINGFACE_TOKEN in the environment, the same
names in the file .env of the checkout, then of the folder of models and runs, and the hub library's own file.
"""

import codecs
import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from models import runs
from models.errors import UserError

NAMES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_TOKEN")
FROM_LIBRARY = NAMES[:2]        # the hub library reads these by itself
DOTENV = ".env"
PAGE = "https://huggingface.co/settings/tokens"
NEW_PAGE = PAGE + "/new?tokenType=fineGrained&canReadGatedRepos=true"   # with the right that gated models need
KEEP = "give it to Galen in Settings or with: python launcher.py token"
WHOLE = re.compile(r"[!-~]{1,4096}")            # a token goes into a header: printable ASCII without spaces
BEGINS = ("hf_", "api_org_")    # of the tokens that the hub gives
LOOKS_SO = re.compile(r"\b(hf_|api_org_)(?:(?:oauth|jwt)_[\w.-]+|[A-Za-z0-9]{20,})")
ASSIGNED = re.compile(rf"\s*(?:export\s+)?({'|'.join(NAMES)})\s*=\s*(.*?)\s*")
MOST_BYTES = 1 << 20
AROUND = "\ufeff\u200b\u2060\0 \t\r\n\"'"        # what copying puts around a token
PART = ".token.part"            # ends the names of files that store() writes


@dataclass(frozen=True, kw_only=True)
class Token:
    """A token, and where it was found: the name of a variable, or the path of a file. Printing it does not show it."""
    value: str = field(repr=False)
    source: str
    is_stored: bool = False     # in the hub library's own file, which store() writes and forget() deletes


def find() -> Token | None:
    """The token that counts, None if there is none. Raises UserError naming its source if it can be none."""
    token = next(_found(), None)
    if token and not WHOLE.fullmatch(token.value):
        raise UserError(f"What {token.source} holds is no token of the hub: a token is one word of letters and digits. "
                        f"Correct it, or make a new one at {PAGE}.")
    return token


def behind() -> list[str]:
    """Where further tokens were found, which do not count because that of find() goes before them."""
    sources = list(dict.fromkeys(token.source for token in _found()))
    return sources[1:]


def for_hub() -> str | bool:
    """What the hub library is given as token=: the value; False if there is none, so that it looks for none itself.

    True for its own file: it then reads that itself, and renews there what `hf auth login` keeps when it runs out. Not
    if it can not read it: what PowerShell wrote begins with a mark, or is UTF-16.
    """
    token = find()
    if token is None:
        return False
    return (token.is_stored and _bytes(path()).isascii()) or token.value


def given(text: str) -> str:
    """The token in what a person typed or pasted. Raises UserError, which does not repeat it, for what is none."""
    value = text.strip(AROUND)
    if not value:
        raise UserError(f"No token was given; make one at {PAGE} and paste it.")
    if not WHOLE.fullmatch(value) or not value.startswith(BEGINS):
        raise UserError(f"That is no token of the hub: a token is one word and begins with hf_. Copy it from {PAGE}, "
                        "where a new one is shown once.")
    return value


def decoded(data: bytes) -> str:
    """The text of a small file or a pipe, as any system writes it."""
    is_utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))      # as `>` of PowerShell writes
    return data.decode("utf-16" if is_utf16 else "utf-8-sig", "replace")


def hidden(text: str) -> str:
    """text without what looks like a token of the hub."""
    return LOOKS_SO.sub(r"\1...", text)


def path() -> Path:
    """The hub library's own file, by its own rules."""
    cache = os.environ.get("XDG_CACHE_HOME", os.path.join(os.path.expanduser("~"), ".cache"))
    home = _expanded(os.environ.get("HF_HOME", os.path.join(cache, "huggingface")))
    return Path(_expanded(os.environ.get("HF_TOKEN_PATH", os.path.join(home, "token"))))


def store(value: str) -> Path:
    """Keep the token where the hub library does, readable by this user alone; the file appears whole or not at all.

    Returns the file. Raises UserError if it can not be written.
    """
    to, value, part = Path(os.path.realpath(path())), given(value), None        # a link to it stays a link
    try:
        to.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        number, part = tempfile.mkstemp(PART, to.name, to.parent)       # for this user alone from the first byte on
        with os.fdopen(number, "w", encoding="ascii") as file:
            file.write(value)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, to)
    except OSError as error:
        if part:
            Path(part).unlink(missing_ok=True)
        raise UserError(f"The token could not be written to {to} ({error.strerror}); make that folder writable, or set "
                        "HF_TOKEN.") from error
    return to


def forget() -> bool:
    """Delete the stored token; False if there was none. Raises UserError if it can not be deleted."""
    at = Path(os.path.realpath(path()))
    was_there = at.is_file()
    left = [one for one in at.parent.glob("*" + PART) if one.name.startswith(at.name)]      # by a store that was killed
    try:
        for one in (at, *left):
            one.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"The token in {at} could not be deleted ({error.strerror}); delete that file.") from error
    return was_there


def _found() -> Iterator[Token]:
    """All that there are, the one that counts first."""
    for name in NAMES:
        if value := os.environ.get(name, "").strip().strip("'\""):     # `set NAME="..."` of Windows keeps the quotes
            yield Token(value=value, source=name)
    for folder in (runs.ROOT, runs.home()):
        yield from _in_dotenv(folder / DOTENV)
    at = path()
    if value := _text(at).strip():
        yield Token(value=value, source=str(at), is_stored=True)


def _in_dotenv(at: Path) -> Iterator[Token]:
    """The tokens that a file of NAME=value lines sets; of a name that stands there twice the last one."""
    set_there = {line.group(1): line.group(2) for text in _text(at).splitlines() if (line := ASSIGNED.fullmatch(text))}
    for name in NAMES:
        if value := _unquoted(set_there.get(name, "")):
            yield Token(value=value, source=str(at))


def _unquoted(value: str) -> str:
    """Without quotes; without quotes around it, also without a comment behind it."""
    if value[:1] in ("'", '"'):
        return value[1:].partition(value[0])[0].strip()
    return re.split(r"(?:^|\s)#", value, maxsplit=1)[0].strip()


def _text(at: Path) -> str:
    """What a small text file holds; "" if there is none. Raises UserError if it can not be read."""
    return decoded(_bytes(at))


def _bytes(at: Path) -> bytes:
    """The same before it is decoded."""
    try:
        with at.open("rb") as file:
            return file.read(MOST_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return b""
    except OSError as error:
        raise UserError(f"{at}, where a token for the hub may be, can not be read ({error.strerror}); make it "
                        "readable, or delete it.") from error


def _expanded(text: str) -> str:
    return os.path.expandvars(os.path.expanduser(text))
