"""Medical text -> labels: how labels are asked for, written and read.

The instruction stands before the text, so that a text cut for its length never takes the instruction with it.
"""

import difflib
import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

JOIN = " | "
MAX_LISTED = 50                     # more labels than this are not listed in a request


@dataclass(frozen=True, kw_only=True)
class Labels:
    """What can be chosen from. names: in alphabetical order; is_single: a text has one label, never several.

    separators: the signs between labels in a cell of the table.
    """

    names: tuple[str, ...]
    is_single: bool
    separators: str = "|"


@dataclass(frozen=True, kw_only=True)
class Paper:
    """What is to be classified."""

    text: str
    title: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to go by."""
        return not (self.text.strip() or self.title.strip())


@dataclass(frozen=True, kw_only=True)
class Sorted:
    """The labels of a text, and how likely every label is; by: who said so; note: "", or what the reader should know.

    probabilities: they add up to 1 where a text has one label, else each label has its own.
    """

    labels: tuple[str, ...]
    probabilities: Mapping[str, float]
    by: tuple[str, ...]
    note: str = ""
    is_single: bool = False

    @property
    def confidence(self) -> float:
        """How likely it is that exactly these labels are right, the labels of one text taken as independent."""
        if not self.labels:
            return 0.0
        if self.is_single:
            return self.probabilities[self.labels[0]]
        return math.prod(p if label in self.labels else 1.0 - p for label, p in self.probabilities.items())


def nothing(labels: Labels) -> Sorted:
    """What an empty text gets."""
    return Sorted(labels=(), probabilities={}, by=(), note="There is no text to classify.", is_single=labels.is_single)


def request(text: str, labels: Labels, title: str = "", descriptions: Mapping[str, str] | None = None) -> str:
    """The user message that asks for the labels of a text; descriptions: what is meant by some of the labels."""
    some = "one" if labels.is_single else "one or more"
    if 0 < len(labels.names) <= MAX_LISTED:
        instruction = f"Classify the following medical text under {some} of these labels: {', '.join(labels.names)}."
    else:
        instruction = f"Classify the following medical text under {some} label{'' if labels.is_single else 's'}."
    if not labels.is_single:
        instruction += f' Separate several labels with "{JOIN.strip()}".'
    if descriptions:
        instruction += "".join(f"\n- {name}: {descriptions[name].strip()}" for name in labels.names
                               if name in descriptions)
    return "\n\n".join(part for part in (instruction, title.strip(), text.strip()) if part)


def joined(labels: Iterable[str]) -> str:
    """Labels as one text, each once, in alphabetical order: the answer to learn, and the gold label of a row."""
    return JOIN.join(sorted(set(labels)))


def separators(cells: Collection[str]) -> str:
    """The signs that stand between labels in these cells: "|" where it is used; else ";" and "," where most of the
    parts are labels of their own in another cell ("Pain, chronic" is one label, "cardio, neuro" is two)."""
    if any("|" in cell for cell in cells):
        return "|"
    return "|" + "".join(sign for sign in ";," if _divides(sign, {cell.casefold() for cell in cells}))


def _divides(sign: str, cells: Collection[str]) -> bool:
    alone = {name for cell in cells if len(found := names(cell, sign)) == 1 for name in found}
    parts = {name for cell in cells if len(found := names(cell, sign)) > 1 for name in found}
    return bool(parts) and len(parts & alone) * 2 > len(parts)


def names(text: str, between: str = "|,;") -> tuple[str, ...]:
    """The labels in a cell or an answer: split at the signs in between, lower-cased, without stray separators."""
    parts = (" ".join(part.split()).strip(" ,;|") for part in re.split(f"[{re.escape(between)}]", text.casefold()))
    return tuple(dict.fromkeys(part for part in parts if part))


def nearest(golds: Iterable[Collection[str]], names: Collection[str]) -> list[tuple[int, str, str]]:
    """Labels that are none of names: (row, counted from 0; the label; the name most like it, or "")."""
    found = []
    for row, gold in enumerate(golds):
        for label in sorted(set(gold) - set(names)):
            near = difflib.get_close_matches(label, list(names), n=1)
            found.append((row, label, near[0] if near else ""))
    return found
