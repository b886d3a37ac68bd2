"""Control strings in a text, found in one pass over it, however many of them a vocabulary has."""

import os
import re
from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache
from itertools import groupby

MAX_DEPTH = 60                  # of nested groups in a pattern; below it, words are tried one by one
# tokens that are meant as controls although their tokenizer calls them plain: a GGUF has them as controls;
# not so the quotation mark of Gemma 4
LOOKS_SPECIAL = re.compile(r"<pad>|<mask>|<2mass>|\[@BOS@\]|<\|(?!\x22\|>).*\|>|<\uff5c.*\uff5c>|<unused.*>", re.DOTALL)


class Controls:
    """Finds the control strings of one vocabulary; where several begin together, the longest."""

    def __init__(self, texts: frozenset[str]):
        self._sorted = sorted(texts - {""})
        self.characters = frozenset("".join(self._sorted))
        self._longest = max(map(len, self._sorted), default=0)
        self._firsts = frozenset(text[0] for text in self._sorted)
        begins = [(first, sorted({word[1:] for word in words}))
                  for first, words in groupby(self._sorted, key=lambda word: word[0])]
        self._whole = re.compile(f"({_any_of(self._sorted)})") if begins else None
        self._start = re.compile("|".join(re.escape(first) + f"(?={_any_of(rests)})" for first, rests in begins))

    def split(self, text: str) -> list[str]:
        """text in parts: plain, control string, plain, ..., plain."""
        return self._whole.split(text) if self._whole else [text]

    def pieces(self, text: str, length: int) -> list[str]:
        """text in pieces of about that length or longer, each but the last ending with one of the strings."""
        found, begun, size = [], list[str](), 0
        for k, part in enumerate(self.split(text)):
            begun.append(part)
            size += len(part)
            if k % 2 and size >= length:
                found.append("".join(begun))
                begun, size = [], 0
        return [*found, "".join(begun)]

    def first(self, text: str) -> str:
        """The first control string in text, or ""."""
        found = self._whole.search(text) if self._whole else None
        return found[0] if found else ""

    def marked(self, text: str, mark: str) -> str:
        """text with mark after the first character of each control string, whole or begun at its very end."""
        if not self._sorted:
            return text
        text = self._start.sub(lambda found: found[0] + mark, text)
        end = text.rstrip()
        for start in range(max(0, len(end) - self._longest), len(end)):
            if end[start] in self._firsts and self._begins(end[start:]):
                return text[:start + 1] + mark + text[start + 1:]
        return text

    def _begins(self, text: str) -> bool:
        at = bisect_left(self._sorted, text)
        return at < len(self._sorted) and self._sorted[at].startswith(text)


@lru_cache(maxsize=16)
def controls_of(texts: frozenset[str]) -> Controls:
    """The Controls of these control strings; built once for a vocabulary."""
    return Controls(texts)


def _any_of(words: Sequence[str], depth: int = 0) -> str:
    """A pattern for the longest of words (sorted, distinct) that fits, shaped as a tree of their beginnings."""
    if depth >= MAX_DEPTH:
        return "(?:" + "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True)) + ")"
    branches = []
    for _, group in groupby((word for word in words if word), key=lambda word: word[0]):
        same = list(group)
        shared = os.path.commonprefix([same[0], same[-1]])
        rests = [word[len(shared):] for word in same]
        branches.append(re.escape(shared) + (_any_of(rests, depth + 1) if rests != [""] else ""))
    if not branches:
        return ""
    return f"(?:{'|'.join(branches)})" + ("?" if words[0] == "" else "")
