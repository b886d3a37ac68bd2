"""A search for identifiers of persons in English text: the 18 kinds of HIPAA's Safe Harbor. It certifies nothing.

Patterns and lists, no model: what is written in another language, or in a way that nobody thought of, is not found.
How much is found was measured; tests/tasks/phi/GUIDE.md says on what.
"""

import bisect
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tasks.phi import codes, contact, dates, names, places
from tasks.phi.page import Page
from tasks.phi.span import Span

KINDS = ("name", "place", "date", "age over 89", "telephone", "fax", "e-mail", "social security number",
    "record number",
         "health plan number", "account number", "licence number", "vehicle", "device", "web address",
         "network address",
         "biometric", "photograph", "other number", "home folder")


@dataclass(frozen=True, kw_only=True)
class Hit:
    """Characters start to end of a text look like an identifier; line counts from 1.

    is_said: words around say so (a title, a label); False where only a list or the form speaks for it.
    """

    kind: str
    text: str
    line: int
    start: int
    end: int
    is_said: bool = True


def find(text: str, known: Iterable[str] = ()) -> list[Hit]:
    """Every hit in text, in order, none within another.

    What stands in one of the known texts (a licence, public addresses) is none.
    """
    known = list(known)
    lines = [0, *(found.end() for found in re.finditer("\n", text))]
    return [Hit(kind=span.kind, text=text[span.start:span.end], line=bisect.bisect_right(lines, span.start),
                start=span.start, end=span.end, is_said=span.is_said)
            for span in _chosen(text) if not any(text[span.start:span.end] in one for one in known)]


def masked(text: str, kinds: Iterable[str] = KINDS) -> str:
    """text with [KIND] in place of each hit of these kinds: [NAME], [AGE OVER 89]."""
    return replaced(text, find(text), kinds)


def replaced(text: str, hits: Sequence[Hit], kinds: Iterable[str]) -> str:
    """text with [KIND] in place of those of its hits that are of these kinds."""
    kinds, parts, end = set(kinds), [], 0
    for hit in hits:
        if hit.kind in kinds:
            parts += [text[end:hit.start], f"[{hit.kind.upper()}]"]
            end = hit.end
    return "".join([*parts, text[end:]])


def _chosen(text: str) -> list[Span]:
    """The spans of all kinds without overlaps: by rank, what is said before what is not, the longer one."""
    page = Page(text)
    spans = [*contact.spans(page), *codes.spans(page), *dates.spans(page), *places.spans(page), *names.spans(page)]
    spans.sort(key=lambda span: (span.rank, not span.is_said, span.start - span.end, span.start))
    taken: list[tuple[int, int]] = []
    chosen = []
    for span in spans:
        at = bisect.bisect_left(taken, (span.start, span.start))
        if (at < len(taken) and taken[at][0] < span.end) or (at and taken[at - 1][1] > span.start):
            continue
        taken.insert(at, (span.start, span.end))
        chosen.append(span)
    return sorted(chosen)
