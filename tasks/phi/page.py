"""A text as the searches read it: what it holds is looked up once, so that most of them need not read it whole."""

import re
from collections.abc import Collection, Iterable, Iterator

LETTERS = re.compile("[a-z]+")
NUMBER = re.compile(r"\d+")
CAPITAL = re.compile(r"[A-ZÀ-Þ](?:(?<!×)\w+)?")         # the sign of times is among the letters of this range


class Page:
    """A text. low: the same in lower case, place for place. words: its runs of letters, in lower case.

    numbers: where its runs of digits begin and end. capitals: its words from their first capital on, with where they
    begin: (1, "RNA") of "mRNA".
    """

    def __init__(self, text: str):
        self.text = text
        self.low = folded(text)
        self.words = frozenset(LETTERS.findall(self.low))
        self.numbers = [found.span() for found in NUMBER.finditer(text)]
        self.capitals = [(found.start(), found[0]) for found in CAPITAL.finditer(text)]
        self.capital_words = frozenset([word for _, word in self.capitals])

    def is_any_in(self, parts: Iterable[str]) -> bool:
        """Whether one of these parts, in lower case, stands in it."""
        return any(part in self.low for part in parts)

    def places(self, words: Collection[str]) -> list[int]:
        """Where one of these words begins, in order."""
        found, low = [], self.low
        for word in self.words.intersection(words):
            at = low.find(word)
            while at >= 0:
                end = at + len(word)
                if not ("a" <= low[at - 1:at] <= "z" or "a" <= low[end:end + 1] <= "z"):
                    found.append(at)
                at = low.find(word, end)
        return sorted(found)

    def capitals_in(self, words: Collection[str]) -> list[int]:
        """Where one of these words with a capital begins, in order."""
        if self.capital_words.isdisjoint(words):
            return []
        return [at for at, word in self.capitals if word in words]


def folded(text: str) -> str:
    """text in lower case as patterns that ignore the case read it, every character in its old place."""
    if text.isascii():
        return text.lower()
    return text.replace("İ", "i").lower().replace("ſ", "s").replace("ı", "i")


def starting(pattern: re.Pattern[str], text: str, starts: Iterable[int]) -> Iterator[re.Match[str]]:
    """What pattern.finditer(text) gives for a pattern that matches from these places only, in their order."""
    end = 0
    for start in starts:
        found = pattern.match(text, start) if start >= end else None
        if found:
            yield found
            end = found.end()


def near(pattern: re.Pattern[str], text: str, places: Iterable[int], before: int, after: int
         ) -> Iterator[re.Match[str]]:
    """What pattern.finditer(text) gives for a pattern whose every match has one of these places in it, in order.

    No match begins more than before characters in front of its place, or looks further than the end of the word
    that is after characters behind it.
    """
    return within(pattern, text, ((place - before, place + after) for place in places))


def within(pattern: re.Pattern[str], text: str, windows: Iterable[tuple[int, int]]) -> Iterator[re.Match[str]]:
    """What pattern.finditer(text) gives for a pattern that matches in these windows only, in their order.

    A window goes on to the end of the word at its end.
    """
    start = end = 0
    for low, high in windows:
        if low > end:
            if end:
                yield from pattern.finditer(text, start, end)
            start = end = low
        if high > end:
            space = text.find(" ", high)
            end = space if space >= 0 else len(text)
    if end:
        yield from pattern.finditer(text, start, end)
