"""A first search for identifiers of persons in a text: the clear kinds only. It certifies nothing.

Found are e-mail addresses, telephone and social security numbers, dates of birth and record numbers that say what
they are, web and network addresses, names after a title, and home folders, which hold a user's name. Plain names,
dates and places are not found.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address

DATE = (r"(?:\d{1,4}[./-]\d{1,2}[./-]\d{1,4}|\d{1,2}(?:st|nd|rd|th)?\.? [A-Z][a-z]{2,8}\.?,? \d{4}"
        r"|[A-Z][a-z]{2,8}\.? \d{1,2},? \d{4})")
NUMBER = r"[#: ]{0,3}(?:is )?[A-Z]{0,4}-?\d[\d -]{3,14}\d"
WORD = r"[A-Z]\w*(?:['’-]\w+)*"
NAME = rf"(?!I\b){WORD}(?: {WORD}){{0,2}}"
KINDS: dict[str, re.Pattern[str]] = {
    "e-mail": re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,24}\b"),
    "telephone": re.compile(r"(?<![\w.+-])(?:\+\d{1,3}(?:[ .-]?\(?\d{1,5}\)?){2,6}|\(\d{3}\) ?\d{3}[ .-]\d{4}"
                            r"|\d{3}[ .-]\d{3}[ .-]\d{4})(?![\w-])"),
    "social security number": re.compile(r"(?<![\w-])(?!000|666|9\d\d)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\w-])"),
    "date of birth": re.compile(rf"\b(?i:born(?: on)?|date of birth|birth ?date|d\.?o\.?b\.?)[:, ]{{0,3}}{DATE}"),
    "record number": re.compile(r"\b(?i:mrn|medical record(?: number| no\.?)?|record (?:number|no\.?)|patient "
                                rf"(?:id|number|no\.?)|nhs(?: number| no\.?)?|hospital (?:number|no\.?)){NUMBER}"),
    "web address": re.compile(r"\b(?:https?|ftp)://[^\s\"'<>()\[\]{}|\\^`]+", re.IGNORECASE),
    "network address": re.compile(r"(?<![\w.])\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}(?![\w]|\.\d)"),
    "name after a title": re.compile(rf"\b(?:Mrs?|Ms|Miss|Dr|Prof|Professor)\b\.? {NAME}"
                                     rf"|\b(?i:patient|full) (?i:name):? {NAME}"),
    "home folder": re.compile(r"(?:/home/|/Users/)[^\s/\\\"'<>:|]+"
                              r"|\b[A-Za-z]:(?:\\{1,2}|/)Users(?:\\{1,2}|/)[^/\\\"'<>:|]+"),
}
MIN_DIGITS, MAX_DIGITS = 8, 15                  # of a telephone number


@dataclass(frozen=True, kw_only=True)
class Hit:
    """One place that looks like an identifier; line counts from 1."""
    kind: str
    text: str
    line: int


def find(text: str, known: Iterable[str] = ()) -> list[Hit]:
    """Every hit in text, in order; what stands in one of the known texts (a licence, public addresses) is none."""
    known = list(known)
    hits = []
    for number, line in enumerate(text.split("\n"), 1):
        spans = sorted((found.start(), -found.end(), kind) for kind, pattern in KINDS.items()
                       for found in pattern.finditer(line))
        end = 0
        for start, stop, kind in spans:
            value = line[start:-stop].rstrip(".,;:!? ")
            if -stop > end and _is_meant(kind, value) and not any(value in one for one in known):
                hits.append(Hit(kind=kind, text=value, line=number))
                end = -stop             # a number within a longer hit is not told again
    return hits


def _is_meant(kind: str, value: str) -> bool:
    if kind == "telephone":
        return MIN_DIGITS <= sum(c.isdigit() for c in value) <= MAX_DIGITS
    if kind == "network address":
        try:
            address = ip_address(value)
        except ValueError:
            return False
        return not (address.is_loopback or address.is_unspecified)
    return True
