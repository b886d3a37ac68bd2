"""A place in a text, as the searches for the kinds hand it on."""

from typing import NamedTuple


class Span(NamedTuple):
    """Characters start to end of a text look like an identifier of this kind.

    is_said: words around say so (a title, a label), which a list of names alone does not. rank: of two spans that
    overlap the one of the lower rank counts.
    """

    start: int
    end: int
    kind: str
    is_said: bool = True
    rank: int = 5


def before(text: str, at: int, chars: int) -> str:
    """The end of the line before a place."""
    low = max(0, at - chars)
    return text[max(low, text.rfind("\n", low, at) + 1):at]
