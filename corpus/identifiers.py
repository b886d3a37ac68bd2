"""The scan of a person's rows for identifiers: each kind is kept, masked, or drops its rows."""

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from corpus.config import DataConfig
from corpus.findings import Finding, finding, rows_word
from corpus.layouts import Example
from corpus.table import Unusable
from models import runs
from models.errors import UserError
from tasks import phi
from tasks.phi.words import lists

STEP = "identifiers"
ALL = "all"
CONTEXT_CHARS = 40          # shown on each side of a hit
LEAST_DIGITS = {"date": 5, "age over 89": 99}       # of what is looked for in the whole row; else:
LEAST_CODE, LEAST_LETTERS = 4, 3
WORDY = ("e-mail", "web address", "home folder")
QUOTED = re.compile(r"""(?<!\w)(['"]).*\1|\(.*\)""", re.DOTALL)  # where a reason to leave a row out tells of its values
KEPT, MASKED, DROPPED = "kept", "masked", "row dropped"
NO_CERTIFICATE = ("English patterns and lists: what they do not know they do not find, and what they find may be none. "
                  "This certifies nothing.")
ABOUT = {"about": "Hits of a scan for identifiers of persons, one a line, with the text around each. " + NO_CERTIFICATE
         + " The file itself holds identifiers: keep it as safe as the data."}


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A hit to review. where: "user 3" for the third message. done: kept, masked, row dropped."""

    file: str
    line: int
    where: str
    kind: str
    text: str
    context: str
    done: str


@dataclass(frozen=True, kw_only=True)
class Scanned:
    """kept: the rows that stay, masked where asked. left_out: those that were dropped. hits: all, of both."""

    kept: tuple[Example, ...]
    left_out: tuple[Unusable, ...]
    findings: tuple[Finding, ...]
    hits: tuple[Shown, ...]


def scan(examples: Iterable[Example], config: DataConfig) -> Scanned:
    """Search every row; mask the kinds of config.mask, leave out rows with one of config.drop, keep the rest.

    Where something is masked or dropped, the ids of patients and documents become digests. Raises UserError for a kind
    that is none.
    """
    mask, drop = _kinds(config.mask, "mask"), _kinds(config.drop, "drop")
    kept: list[Example] = []
    left_out: list[Unusable] = []
    hits: list[Shown] = []
    shown: list[dict[str, Any]] = []
    rows = 0
    for example in examples:
        found = row_hits(example)
        dropping = sorted({hit.kind for one in found for hit in one} & drop)
        of_row = _shown(example, found, mask, bool(dropping))
        rows += bool(of_row)
        hits += of_row
        shown += _reviewed(of_row, example, found, mask | drop)
        if dropping:
            left_out.append(Unusable(file=example.file, line=example.line, reason=f"it holds: {', '.join(dropping)}"))
        else:
            kept.append(mask_example(example, mask, found) if mask or drop else example)
    return Scanned(kept=tuple(kept), left_out=tuple(left_out), hits=tuple(hits),
                   findings=(_finding(hits, shown, rows, len(left_out)),))


def row_hits(example: Example) -> list[list[phi.Hit]]:
    """The hits of each message; what one message says to be an identifier is one in all messages of the row."""
    texts = [message["content"] for message in example.messages]
    found = [phi.find(text) for text in texts]
    said = _said([hit for hits in found for hit in hits], example.group)
    if not said:
        return found
    longest_first = "|".join(re.escape(one) for one in sorted(said, key=len, reverse=True))
    known = re.compile(rf"(?<!\w)(?:{longest_first})(?!\w)", re.IGNORECASE)
    return [_with_known(text, hits, known, said) for text, hits in zip(texts, found, strict=True)]


def mask_example(example: Example, kinds: Iterable[str], found: Sequence[Sequence[phi.Hit]] | None = None) -> Example:
    """The example with [KIND] in place of each hit, in its messages and in what names a part of them alike.

    found: the hits of each message, if they are known already. Input and section are masked as their place in a
    message of the user is, the label as its place in an answer, so that they still stand there. The group becomes a
    digest, whatever the kinds.
    """
    kinds = set(kinds)
    found = found if found is not None else row_hits(example)
    messages = tuple({**message, "content": phi.replaced(message["content"], hits, kinds)}
                     for message, hits in zip(example.messages, found, strict=True))
    asked: list[tuple[str, Sequence[phi.Hit]]] = []
    told: list[tuple[str, Sequence[phi.Hit]]] = []
    for message, hits in zip(example.messages, found, strict=True):
        (told if message["role"] == "assistant" else asked).append((message["content"], hits))
    return replace(example, messages=messages, input=_masked_part(example.input, asked, kinds),
                   section=_masked_part(example.section, asked, kinds), label=_masked_part(example.label, told, kinds),
                   group=_digest(example.group))


def mask_rows(examples: Iterable[Example], config: DataConfig) -> list[Example]:
    """Rows that training is guarded against, masked as those that it learns from: masked text must meet masked text."""
    mask, drop = _kinds(config.mask, "mask"), _kinds(config.drop, "drop")
    return [mask_example(example, mask) if mask or drop else example for example in examples]


def mask_finding(found: Finding, config: DataConfig) -> Finding:
    """What a step found, its sentence and its excerpts masked by the kinds that config masks or drops."""
    kinds = _hidden(config)
    if not kinds:
        return found
    rows = [{**row, **{name: phi.masked(value, kinds) for name, value in row.items()
                       if isinstance(value, str) and not name.endswith("file")}} for row in found.rows]
    return replace(found, text=phi.masked(found.text, kinds), rows=tuple(rows))


def mask_reasons(rows: Iterable[Unusable], config: DataConfig) -> tuple[Unusable, ...]:
    """Rows left out before the scan, without what the reasons tell of their values."""
    kinds = _hidden(config)
    if not kinds:
        return tuple(rows)
    return tuple(replace(row, reason=phi.masked(QUOTED.sub("[...]", row.reason), kinds)) for row in rows)


def mask_words(text: str, config: DataConfig) -> str:
    """A line for the person, masked by the kinds that config masks or drops."""
    kinds = _hidden(config)
    return phi.masked(text, kinds) if kinds else text


def write_audit(path: Path, hits: Sequence[Shown]) -> None:
    """Write the hits as JSON lines that only their owner may read; the first line says what they are, and what not."""
    with runs.whole_file(path) as part:
        part.unlink(missing_ok=True)            # the mode counts only for a new file
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8",
                  errors="backslashreplace") as file:
            for row in (ABOUT, *map(asdict, hits)):
                file.write(json.dumps(row, ensure_ascii=False) + "\n")


def _kinds(named: Sequence[str], knob: str) -> set[str]:
    """The kinds that a knob names. Raises UserError for one that is none."""
    asked = {" ".join(name.lower().split()) for name in named}
    wrong = sorted(asked - {ALL, *phi.KINDS})
    if wrong:
        raise UserError(f"{wrong[0]!r} is no kind of identifier to {knob}; use {ALL}, or of these: "
                        f"{', '.join(phi.KINDS)}.")
    return set(phi.KINDS) if ALL in asked else asked


def _shown(example: Example, found: Sequence[Sequence[phi.Hit]], mask: set[str], is_dropped: bool) -> list[Shown]:
    """The hits of a row with what is around each, on one line."""
    shown = []
    for number, (message, hits) in enumerate(zip(example.messages, found, strict=True), 1):
        text = message["content"]
        for hit in hits:
            around = text[max(0, hit.start - CONTEXT_CHARS):hit.end + CONTEXT_CHARS]
            done = DROPPED if is_dropped else MASKED if hit.kind in mask else KEPT
            shown.append(Shown(file=example.file, line=example.line, where=f"{message['role']} {number}", kind=hit.kind,
                               text=hit.text, context=" ".join(around.split()), done=done))
    return shown


def _hidden(config: DataConfig) -> set[str]:
    return _kinds(config.mask, "mask") | _kinds(config.drop, "drop")


def _digest(group: str) -> str:
    """What stands for the id of a patient or document: alike for alike ids, in all files."""
    return f"case {hashlib.sha256(group.encode(errors='backslashreplace')).hexdigest()[:12]}" if group else ""


def _said(hits: Iterable[phi.Hit], group: str) -> dict[str, str]:
    """{what to look for in the whole row, in lower case: its kind}, from its hits and the id of its patient."""
    said: dict[str, str] = {}
    for hit in hits:
        text = hit.text.casefold()
        if hit.kind == "name" and (hit.is_said or " " in text):
            said.update(dict.fromkeys(_name_parts(text), "name"))
        elif sum(map(str.isdigit, text)) >= LEAST_DIGITS.get(hit.kind, LEAST_CODE) or (
                hit.kind in WORDY) or (hit.kind == "place" and _is_telling(text)):
            pieces = [piece for piece in text.split() if sum(map(str.isdigit, piece)) > LEAST_CODE]
            said.update(dict.fromkeys((text, *pieces), hit.kind))
    for part in re.findall(r"[^\W_]+", group.casefold()):
        if len(part) >= LEAST_LETTERS and lists().is_name(part) and not lists().is_other(part):
            said.setdefault(part, "name")
        for code in (part, *re.findall(r"\d+", part)):
            if sum(map(str.isdigit, code)) > LEAST_CODE:
                said.setdefault(code, "record number")
    return said


def _name_parts(name: str) -> list[str]:
    """A name in lower case, and those of its words that are no ordinary ones."""
    words = [*(word for word in name.split() if "'" not in word), *re.findall(r"[^\W\d_]+", name)]
    return [*([name] if " " in name else []),
            *(word for word in words if len(word) >= LEAST_LETTERS and not lists().is_other(word))]


def _is_telling(place: str) -> bool:
    """False for a place in lower case of one or two ordinary words."""
    words = place.split()
    return len(words) > 2 or not all(map(lists().is_other, words))


def _with_known(text: str, hits: list[phi.Hit], known: re.Pattern[str], said: dict[str, str]) -> list[phi.Hit]:
    """The hits of a text, and where else in it something known stands."""
    more = [phi.Hit(kind=said[one.group().casefold()], text=one.group(), line=text.count("\n", 0, one.start()) + 1,
                    start=one.start(), end=one.end())
            for one in known.finditer(text) if one.group().casefold() in said
            and not any(hit.start < one.end() and hit.end > one.start() for hit in hits)]
    return sorted((*hits, *more), key=lambda hit: hit.start) if more else hits


def _within(hits: Sequence[phi.Hit], start: int, end: int) -> list[phi.Hit]:
    """What of the hits of a text lies in a part of it, placed in that part."""
    return [replace(hit, start=max(hit.start, start) - start, end=min(hit.end, end) - start)
            for hit in hits if hit.start < end and hit.end > start]


def _reviewed(shown: Sequence[Shown], example: Example, found: Sequence[Sequence[phi.Hit]], hidden: set[str]
              ) -> list[dict[str, Any]]:
    """The hits of a row for its finding, where the kinds that are hidden are masked, also around others."""
    around = []
    for message, hits in zip(example.messages, found, strict=True):
        for hit in hits:
            start, end = max(0, hit.start - CONTEXT_CHARS), hit.end + CONTEXT_CHARS
            around.append(phi.replaced(message["content"][start:end], _within(hits, start, end), hidden))
    return [{"file": one.file, "line": one.line, "where": one.where, "kind": one.kind,
             "text": f"[{one.kind.upper()}]" if one.kind in hidden else one.text, "context": " ".join(context.split()),
             "why": one.done} for one, context in zip(shown, around, strict=True)]


def _masked_part(part: str, texts: Sequence[tuple[str, Sequence[phi.Hit]]], kinds: set[str]) -> str:
    """A part of one of these texts, with the same hits masked as there."""
    if not part or not kinds:
        return part
    whole_words = re.compile(rf"(?<!\w){re.escape(part)}(?!\w)")
    for text, hits in texts:
        place = whole_words.search(text)
        if place:
            start, end = place.span()
            return phi.replaced(part, _within(hits, start, end), kinds)
    return phi.masked(part, kinds)


def _finding(hits: Sequence[Shown], shown: Sequence[dict[str, Any]], rows: int, dropped: int) -> Finding:
    kinds = Counter(hit.kind for hit in hits)
    done = Counter(hit.done for hit in hits)
    told = ", ".join(f"{kind} {count:,}" for kind, count in kinds.most_common())
    text = "Nothing looks like an identifier of a person. "
    if hits:
        text = (f"{rows_word(rows, 'hold')} what looks like identifiers of persons: {told}. Masked {done[MASKED]:,}, "
                f"kept {done[KEPT]:,}; {rows_word(dropped)} dropped. ")
    return finding(STEP, rows, text + NO_CERTIFICATE, shown)
