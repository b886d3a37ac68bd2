"""Whitespace and control characters of a text, put in order without changing what it says."""

import re
from collections import Counter

# the directions of bidirectional text and the invisible spaces; the joiners of Persian and Indic words stay
_INVISIBLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff"
                        "\ufff9-\ufffb]")
_RULES = (
    ("line end", re.compile("\r\n?|\x85|\u2028|\u2029|\x0b|\x0c"), "\n"),
    ("control character", _INVISIBLE, ""),
    ("odd space", re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]"), " "),
    ("run of spaces", re.compile("(?<=[^ \t\n])[ \t]{2,}(?=[^ \t\n])"), " "),
    ("space at a line's end", re.compile("[ \t]+(?=\n|$)"), ""),
    ("run of empty lines", re.compile("\n{3,}"), "\n\n"),
    ("space around the text", re.compile(r"\A\s+|\s+\Z"), ""),
)


def tidied(text: str, changes: Counter[str] | None = None) -> str:
    """The text with plain line ends, spaces and no control characters; lines keep their indentation.

    changes: gets {what was changed: how often}.
    """
    for name, pattern, by in _RULES:
        text, count = pattern.subn(by, text)
        if count and changes is not None:
            changes[name] += count
    return text
