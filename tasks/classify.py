"""Medical text -> labels: how the request and its answer are worded, and how labels are written.

The instruction stands before the text, so that a text cut for its length never takes the instruction with it.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

JOIN = " | "
MAX_LISTED = 50                     # more labels than this are not listed in a request


@dataclass(frozen=True, kw_only=True)
class Labels:
    """What can be chosen from. names: in alphabetical order; is_single: a text has one label, never several."""

    names: tuple[str, ...]
    is_single: bool


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


def names(text: str) -> tuple[str, ...]:
    """The labels in a cell or an answer: split at "|", "," and ";", lower-cased, without stray separators."""
    parts = (" ".join(part.split()) for part in re.split(r"[|,;]", text.casefold()))
    return tuple(dict.fromkeys(part for part in parts if part))
