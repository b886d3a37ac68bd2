"""Medical text -> labels: how the request and its answer are worded, and how labels are written.

The instruction stands before the text, so that a text cut for its length never takes the instruction with it.
"""

import re
from collections.abc import Collection, Iterable
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


def request(text: str, labels: Labels, title: str = "") -> str:
    """The user message that asks for the labels of a text."""
    some = "one" if labels.is_single else "one or more"
    if 0 < len(labels.names) <= MAX_LISTED:
        instruction = f"Classify the following medical text under {some} of these labels: {', '.join(labels.names)}."
    else:
        instruction = f"Classify the following medical text under {some} label{'' if labels.is_single else 's'}."
    if not labels.is_single:
        instruction += f' Separate several labels with "{JOIN.strip()}".'
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
