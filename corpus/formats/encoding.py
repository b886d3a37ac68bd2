"""In which encoding a text file is written, and its text."""

import codecs
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from models.errors import UserError

BLOCK = 1 << 20
HEAD = 1 << 16
MARKS = ((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"), (codecs.BOM_UTF16_LE, "utf-16"),
         (codecs.BOM_UTF16_BE, "utf-16"))
CONTROLS = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1a\x1b"))
SAMPLE_LINES, SAMPLE = 2000, 1 << 18        # enough to know an encoding by
NOT_ASCII = bytes(range(128, 256))
TOO_FEW, ENOUGH = 8, 24             # bytes beyond ASCII from which an encoding, a language can be told
CANDIDATES = ("cp1252", "cp1250", "mac_roman", "cp1251", "cp1253", "cp1255", "cp1256", "koi8_r", "cp932", "euc_jp",
              "gb18030", "big5", "cp949", "cp1254", "iso8859_2", "iso8859_15")
LATIN = ("cp1252", "cp1250", "mac_roman")
CENTRAL = ("Polish", "Czech", "Slovak", "Hungarian", "Romanian", "Croatian", "Slovene")     # written in cp1250
# a sign or a capital within a word, as in Polish that was read as Windows-1252
ODD_IN_WORD = re.compile(r"[^\W\d_][¡-©«-¯±´¸»-¿×÷][^\W\d_]|[a-zà-ÿ][À-ÖØ-ÞŠŒŽŸ]")


@dataclass(frozen=True, kw_only=True)
class Text:
    """A text file whose encoding is known. whole: its text, where it could not be read as it stands."""

    path: Path
    encoding: str = "utf-8-sig"
    whole: str | None = None
    notes: tuple[str, ...] = ()

    def open(self) -> TextIO:
        """The text from its start, line ends as they are."""
        if self.whole is not None:
            return io.StringIO(self.whole, newline="")
        return self.path.open(encoding=self.encoding, errors="replace", newline="")

    def head(self) -> str:
        """The first 64 thousand characters."""
        with self.open() as file:
            return file.read(HEAD)


def text_of(path: Path) -> Text:
    """The text of a file, its encoding detected. Raises UserError if it holds binary data or no known encoding."""
    with path.open("rb") as file:
        head = file.read(HEAD)
    marked = next((name for mark, name in MARKS if head.startswith(mark)), "") or _unmarked_utf16(head)
    if marked:
        return Text(path=path, encoding=marked, notes=(f"{path.name} was read as {marked.upper()}.",))
    if _is_binary(head):
        raise UserError(f"{path} is not a table: it holds binary data. "
                        "Use CSV, TSV, JSONL, JSON, XLSX or Parquet.")
    is_utf8, has_nul = _scanned(path)
    if is_utf8 and not has_nul:
        return Text(path=path)
    data = path.read_bytes()
    notes: tuple[str, ...] = ()
    if has_nul:
        line = data.count(b"\n", 0, data.index(b"\0")) + 1
        notes = (f"NUL bytes in {path.name} were left out: {data.count(0):,}, the first in line {line}.",)
        data = data.replace(b"\0", b"")
    if is_utf8:
        return Text(path=path, whole=data.decode("utf-8-sig"), notes=notes)
    text, note = _decoded(data.removeprefix(codecs.BOM_UTF8), path)
    return Text(path=path, whole=text, notes=(*notes, note))


def _unmarked_utf16(head: bytes) -> str:
    """The UTF-16 of a text without a mark: of western text every second byte is zero, and no other."""
    even, odd = head[0::2].count(0), head[1::2].count(0)
    if len(head) >= 8 and not even and odd > len(head) // 5:
        return "utf-16-le"
    return "utf-16-be" if len(head) >= 8 and not odd and even > len(head) // 5 else ""


def _is_binary(head: bytes) -> bool:
    text = head.rstrip(b"\0")               # a copy that was cut off is filled up with zeros
    controls = len(text) - len(text.translate(None, CONTROLS))
    return controls > 8 + len(text) // 20 or b"\0" in head[:12]


def _scanned(path: Path) -> tuple[bool, bool]:
    """(is the file UTF-8, does it hold a NUL byte)."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    is_utf8, has_nul = True, False
    for block in _blocks(path):
        has_nul = has_nul or b"\0" in block
        if is_utf8:
            try:
                decoder.decode(block, final=not block)
            except UnicodeDecodeError:
                is_utf8 = False
    return is_utf8, has_nul


def _blocks(path: Path) -> Iterator[bytes]:
    """The file's bytes, an empty block last."""
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            yield block
    yield b""


def _decoded(data: bytes, path: Path) -> tuple[str, str]:
    """The text of what is not UTF-8, and a note. Lines that are UTF-8 are read so when others are not."""
    lines = data.split(b"\n")
    is_good = [_is_utf8(line) for line in lines]
    bad = [k for k, good in enumerate(is_good) if not good]
    known = sum(good and not line.isascii() for line, good in zip(lines, is_good, strict=True))
    encoding = _detected(b"\n".join(lines[k] for k in bad[:SAMPLE_LINES]))
    first = bad[0] + 1
    if not encoding:
        raise UserError(f"{path} is neither UTF-8 nor in another encoding that can be told (line {first}); "
                        "save it as UTF-8.")
    shown = encoding.upper().replace("CP125", "Windows-125")
    is_mixed = known > (0 if _is_single_byte(encoding) else len(bad))
    try:
        if not is_mixed:
            return data.decode(encoding), f"{path.name} is not UTF-8 (line {first}); it was read as {shown}."
        text = "\n".join(line.decode("utf-8" if good else encoding) for line, good in zip(lines, is_good, strict=True))
    except UnicodeDecodeError as error:
        raise UserError(f"{path} mixes encodings: not all of its {len(bad):,} lines that are not UTF-8 (the first: "
                        f"line {first}) are {shown}; save it as UTF-8.") from error
    return text, (f"{path.name} mixes encodings: its lines that are not UTF-8 ({len(bad):,} of {len(lines):,}, the "
                  f"first: line {first}) were read as {shown}.")


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _is_single_byte(encoding: str) -> bool:
    return not codecs.lookup(encoding).name.startswith(("gb", "big5", "euc", "shift", "cp932", "cp949", "johab", "hz"))


def _detected(data: bytes) -> str:
    """The encoding of a sample, "" if it can not be told.

    Few letters beyond ASCII (as in English with a "°C") are Windows-1252: no other can be told from so few.
    """
    from charset_normalizer import from_bytes
    beyond = len(data) - len(data.translate(None, NOT_ASCII))
    western = _as_western(data)
    is_western = western is not None and (beyond < TOO_FEW or not ODD_IN_WORD.search(western))
    if beyond < (ENOUGH if is_western else TOO_FEW):
        return "cp1252" if is_western else ""
    found = from_bytes(data[:SAMPLE], cp_isolation=list(CANDIDATES))
    best = max(found, key=lambda one: one.coherence - 1.5 * one.chaos, default=None)
    if best is None or (is_western and best.encoding in LATIN and best.language not in CENTRAL):
        return "cp1252" if is_western else ""
    is_odd = best.encoding == "mac_roman" and ODD_IN_WORD.search(data.decode("mac_roman"))
    return "cp850" if is_odd and not ODD_IN_WORD.search(data.decode("cp850")) else best.encoding


def _as_western(data: bytes) -> str | None:
    """data as Windows-1252, None if it holds a byte that has no letter there."""
    try:
        return data.decode("cp1252")
    except UnicodeDecodeError:
        return None
