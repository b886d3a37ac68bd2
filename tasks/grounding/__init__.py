"""Marks every number, dose, date, frequency and name of a note that its conversation does not hold. English only.

Spelled numbers, units, frequencies and dates are read alike on both sides: "two weeks" is "14 days", "b.i.d." is
"twice a day", "120/80" is "one twenty over eighty". What is marked may still be right, and what is not marked may
be wrong of something else; how much is found was measured (bench/grounding.py).
"""

from dataclasses import dataclass

from tasks.grounding.checks import Found, unsaid
from tasks.grounding.said import Said

KINDS = ("number", "dose", "date", "frequency", "name", "medicine")


@dataclass(frozen=True, kw_only=True)
class Mark:
    """Characters start to end of a note are not held by its conversation; why: a sentence for the reader."""

    start: int
    end: int
    kind: str                                   # one of KINDS
    text: str
    why: str


def marks(summary: str, dialogue: str) -> list[Mark]:
    """Every mark of a summary in order, none within another."""
    chosen: list[Found] = []
    taken = bytearray(len(summary))             # 1 for a character within a mark
    for one in sorted(unsaid(Said(summary), Said(dialogue)), key=lambda found: (found.start - found.end, found.start)):
        if not any(taken[one.start:one.end]):
            chosen.append(one)
            taken[one.start:one.end] = b"\1" * (one.end - one.start)
    return [Mark(start=one.start, end=one.end, kind=one.kind, text=summary[one.start:one.end], why=one.why)
            for one in sorted(chosen)]
