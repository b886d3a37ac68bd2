"""A text in words, numbers and signs, with the place of each."""

import re
from collections.abc import Sequence
from typing import NamedTuple

# "38,5" and "0,125", but not the lists "2,5,7" and "2,5 and 7"
DECIMAL_COMMA = r"(?<![\w,.])(?:0,\d+|\d{1,3},\d{1,2})(?!\d|[,.]\d|,? (?:and|or|&) )"
NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?(?!\d)|\d+(?:\.\d+)?|(?<![\w.])\.\d+"
TOKEN = re.compile(rf"{DECIMAL_COMMA}|{NUMBER}|[^\W\d_]+(?:['’][^\W\d_]+)?|\S")
SPELLED_OUT = re.compile(r"(?<![\w'’-])[A-Za-z](?:[ .][A-Za-z])+(?![\w'’])")


class Token(NamedTuple):
    """low: in lower case, with a plain apostrophe. start, end: characters of the text."""

    low: str
    start: int
    end: int

    @property
    def is_word(self) -> bool:
        return self.low[0].isalpha()

    @property
    def is_number(self) -> bool:
        return is_digits(self.low[-1]) and self.low.isascii()

    @property
    def value(self) -> float:
        """What a number is worth: a comma divides thousands, or is the decimal sign of other languages."""
        return float(self.low.replace(",", "." if re.fullmatch(DECIMAL_COMMA, self.low) else ""))


def tokens(text: str) -> list[Token]:
    """All tokens of a text: runs of letters, numbers as "1,500" or "98.6", single signs."""
    return [Token(found[0].lower().replace("’", "'"), found.start(), found.end()) for found in TOKEN.finditer(text)]


def is_digits(word: str) -> bool:
    """True for a run of the digits 0 to 9."""
    return word.isascii() and word.isdigit()


def low_at(found: Sequence[Token], at: int) -> str:
    """The token at a place, "" outside."""
    return found[at].low if 0 <= at < len(found) else ""


def is_glued(found: Sequence[Token], at: int) -> bool:
    """True where nothing stands between a token and the one before it."""
    return 0 < at < len(found) and found[at].start == found[at - 1].end


def spelled_out(text: str) -> set[str]:
    """Words that a text spells letter by letter, "C T" or "A.D.H.D.", in lower case and in one piece."""
    found = set()
    for run in SPELLED_OUT.finditer(text):
        letters = re.sub("[ .]", "", run[0].lower())
        found |= {letters[low:high] for low in range(len(letters))
                  for high in range(low + 2, min(len(letters), low + 6) + 1)}
    return found
