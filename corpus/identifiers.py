"""The scan of a person's rows for identifiers: each kind is kept, masked, or drops its rows."""

import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from corpus.config import DataConfig
from corpus.findings import Finding, finding, rows_word
from corpus.layouts import Example
from corpus.table import Unusable
from models import runs
from models.errors import UserError
from tasks import phi

STEP = "identifiers"
ALL = "all"
CONTEXT_CHARS = 40          # shown on each side of a hit
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

    Raises UserError for a kind that is none.
    """
    mask, drop = _kinds(config.mask, "mask"), _kinds(config.drop, "drop")
    kept: list[Example] = []
    left_out: list[Unusable] = []
    hits: list[Shown] = []
    for example in examples:
        found = [phi.find(message["content"]) for message in example.messages]
        dropping = sorted({hit.kind for one in found for hit in one} & drop)
        hits += _shown(example, found, mask, bool(dropping))
        if dropping:
            left_out.append(Unusable(file=example.file, line=example.line, reason=f"it holds: {', '.join(dropping)}"))
        else:
            kept.append(mask_example(example, mask, found) if mask else example)
    return Scanned(kept=tuple(kept), left_out=tuple(left_out), hits=tuple(hits),
                   findings=(_finding(hits, len(left_out)),))


def mask_example(example: Example, kinds: Iterable[str], found: Sequence[Sequence[phi.Hit]] | None = None) -> Example:
    """The example with [KIND] in place of each hit, in its messages and in what names a part of them alike.

    found: the hits of each message, if they are known already. Input and section are masked as their place in a
    message of the user is, the label as its place in an answer, so that they still stand there.
    """
    kinds = set(kinds)
    found = found if found is not None else [phi.find(message["content"]) for message in example.messages]
    messages = tuple({**message, "content": phi.replaced(message["content"], hits, kinds)}
                     for message, hits in zip(example.messages, found, strict=True))
    asked: list[tuple[str, Sequence[phi.Hit]]] = []
    told: list[tuple[str, Sequence[phi.Hit]]] = []
    for message, hits in zip(example.messages, found, strict=True):
        (told if message["role"] == "assistant" else asked).append((message["content"], hits))
    return replace(example, messages=messages, input=_masked_part(example.input, asked, kinds),
                   section=_masked_part(example.section, asked, kinds), label=_masked_part(example.label, told, kinds))


def mask_rows(examples: Iterable[Example], config: DataConfig) -> list[Example]:
    """Rows that training is guarded against, masked as those that it learns from: masked text must meet masked text."""
    mask = _kinds(config.mask, "mask")
    return [mask_example(example, mask) if mask else example for example in examples]


def mask_finding(found: Finding, config: DataConfig) -> Finding:
    """What a step found, its sentence and its excerpts masked by the kinds that config masks or drops."""
    kinds = _kinds(config.mask, "mask") | _kinds(config.drop, "drop")
    if not kinds:
        return found
    rows = []
    for row in found.rows:
        texts = {name: phi.masked(value, kinds) for name, value in row.items()
                 if isinstance(value, str) and not name.endswith("file")}
        if row.get("kind") in kinds:            # a hit of the scan: its text alone may not be found once more
            texts["text"] = f"[{str(row['kind']).upper()}]"
        rows.append({**row, **texts})
    return replace(found, text=phi.masked(found.text, kinds), rows=tuple(rows))


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


def _masked_part(part: str, texts: Sequence[tuple[str, Sequence[phi.Hit]]], kinds: set[str]) -> str:
    """A part of one of these texts, with the same hits masked as there."""
    if not part:
        return ""
    whole_words = re.compile(rf"(?<!\w){re.escape(part)}(?!\w)")
    for text, hits in texts:
        place = whole_words.search(text)
        if place:
            start, end = place.span()
            inside = [replace(hit, start=max(hit.start, start) - start, end=min(hit.end, end) - start)
                      for hit in hits if hit.start < end and hit.end > start]
            return phi.replaced(part, inside, kinds)
    return phi.masked(part, kinds)


def _finding(hits: Sequence[Shown], dropped: int) -> Finding:
    kinds = Counter(hit.kind for hit in hits)
    rows = len({(hit.file, hit.line) for hit in hits})
    done = Counter(hit.done for hit in hits)
    told = ", ".join(f"{kind} {count:,}" for kind, count in kinds.most_common())
    text = "Nothing looks like an identifier of a person. "
    if hits:
        text = (f"{rows_word(rows, 'hold')} what looks like identifiers of persons: {told}. Masked {done[MASKED]:,}, "
                f"kept {done[KEPT]:,}; {rows_word(dropped)} dropped. ")
    return finding(STEP, rows, text + NO_CERTIFICATE, (
        {"file": hit.file, "line": hit.line, "where": hit.where, "kind": hit.kind, "text": hit.text,
         "context": hit.context, "why": hit.done} for hit in hits))
