"""Cells of a table whose head says what stands in them: "UR;surname;given" over "3121703;Aleppo;Ida"."""

import re
from collections.abc import Callable, Iterator

from tasks.phi.page import Page
from tasks.phi.span import Span

ROWS = 200                  # under one head
SEPARATORS = (";", "|", "\t")
HEADS = {                   # in lower case, a whole cell
    "name": re.compile(r"(?:(?:pt|patient|client|full|first|last|given|family|sur|middle|maiden|fore|nok|gp|doctor"
                       r"|consultant|surgeon|nurse"
                       r"|next of kin|contact|carer|mother|father|seen by|key ?worker)[ _.]?(?:names?)?|surname"
                       r"|forename|names?|pcp|physician|provider"
                       r"|clinician|attending|resident|therapist|referrer|author|initials)"),
    "place": re.compile(r"(?:home )?address(?: ?\d| line \d)?|suburb|town|city|village|locality|post ?code"
                        r"|zip(?: ?code)?|county|district"
                        r"|hospital|clinic|practice|surgery|school|site name|facility"),
    "telephone": re.compile(r"(?:home|work|cell|mobile|contact)?[ _.]?(?:tele)?(?:phone|tel|mobile|cell"
                            r"|ph)\.?(?: ?(?:no\.?|number|#))?"),
    "fax": re.compile(r"fax(?: ?(?:no\.?|number|#))?"),
    "age over 89": re.compile(r"age(?: ?\(?(?:yrs?|years|y)\)?)?"),
}
VALUES = {
    "name": re.compile(r"(?:(?:Dr|Mr|Mrs|Ms|Miss|Prof)\.? )?([A-ZÀ-Þ][\w'’.-]*(?:,? [A-ZÀ-Þ][\w'’.-]*){0,3})"),
    "place": re.compile(r"([\w'’.,/ -]{0,40}[A-ZÀ-Þ\d][\w'’.,/ -]{2,60})"),
    "telephone": re.compile(r"(\+?[\d() .-]{7,20})"),
    "fax": re.compile(r"(\+?[\d() .-]{7,20})"),
    "age over 89": re.compile(r"(9\d|1[01]\d)(?: ?[yYMF]\w*)?"),
}
NO_NAME = {"pending", "nil", "none", "unknown", "na", "n/a", "yes", "no", "male", "female", "refused", "self",
    "awaiting", "vacant", "tbc", "other"}


def spans(page: Page, coded: Callable[[str], str | None], code: Callable[[str, int, str],
    Span | None]) -> Iterator[Span]:
    """The cells under a telling head. coded: the kind of code of a label. code: the code at a place."""
    text = page.text
    marks = [mark for mark in SEPARATORS if mark in text]
    if "\n" not in text or not marks:
        return
    for mark in marks:
        kinds: list[str | None] = []
        rows = at = 0
        for line in text.split("\n"):
            if line.count(mark) < 2 or len(line) > 1000:
                kinds = []
            elif not any(sign.isdigit() for sign in line):
                kinds, rows = [_kind(cell.strip().lower(), coded) for cell in line.split(mark)], 0
            elif any(kinds) and rows < ROWS:
                rows += 1
                yield from _row(text, at, line.split(mark), kinds, len(mark), code)
            at += len(line) + 1


def _kind(head: str, coded: Callable[[str], str | None]) -> str | None:
    """What stands under this head, if that is an identifier."""
    for kind, pattern in HEADS.items():
        if pattern.fullmatch(head):
            return kind
    return coded(head)


def _row(text: str, at: int, cells: list[str], kinds: list[str | None], gap: int, code: Callable[[str, int, str],
    Span | None]
         ) -> Iterator[Span]:
    """The identifiers of one row that begins at this place."""
    for cell, kind in zip(cells, kinds, strict=False):
        start = at + len(cell) - len(cell.lstrip())
        at += len(cell) + gap
        if kind in VALUES:
            found = VALUES[kind].fullmatch(cell.strip())
            if found and found[1].lower() not in NO_NAME:
                yield Span(start + found.start(1), start + found.end(1), kind, rank=2)
        elif kind:
            span = code(text, start, kind)
            if span and span.end <= start + len(cell.strip()):
                yield span
