"""A message as plain lower-case words with their places: contractions, numbers and spelling made one."""

import re
import tomllib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from tasks.safety.spelling import corrected

WORD = re.compile(r"\d+(?:[.,]\d+)?|[^\W\d_]+(?:['’`´][^\W\d_]+){0,3}|[.,;:?!()\"“”\n&+-]")
STOPS = frozenset(".?!;")
MARKS = STOPS | frozenset(",:()\"")
LONGEST_WORD = 24
FILE = Path(__file__).parent / "plain.toml"


@lru_cache(maxsize=1)
def plain() -> dict[str, Any]:
    """The lists and tables of plain.toml."""
    return tomllib.loads(FILE.read_text(encoding="utf-8"))


@dataclass(frozen=True, kw_only=True)
class Words:
    """The words of a message; places[k] is where word k stands in it."""
    words: tuple[str, ...]
    places: tuple[tuple[int, int], ...]


def words_of(text: str, start: int = 0) -> Words:
    """The words of text, punctuation among them. start: where text begins in the whole message."""
    words: list[str] = []
    places: list[tuple[int, int]] = []
    for found in WORD.finditer(text):
        place = (start + found.start(), start + found.end())
        for word in _plain(found[0]):
            if word == "not" and words and words[-1] in plain()["auxiliaries"] and places[-1][1] == place[0] - 1:
                words[-1] = {"can": "cant", "will": "wont"}.get(words[-1], words[-1] + "nt")
                places[-1] = (places[-1][0], place[1])
                continue
            if word in MARKS and words and words[-1] == word:
                continue                                        # "!!!" is one mark
            words.append(word)
            places.append(place)
    return Words(words=tuple(words), places=tuple(places))


def _plain(token: str) -> list[str]:
    """The plain words that stand for one token; a hyphen and a plus stand for nothing."""
    token = token.lower().replace("’", "'").replace("`", "'").replace("´", "'")
    if token in "-+&":
        return []
    if token[0].isdigit():
        return [token.replace(",", ".")]
    if not token[0].isalpha():
        return ["." if token == "\n" else '"' if token in "“”" else token]
    if token.endswith("'s") and token[:-2] not in plain()["keeps_s"]:
        token = token[:-2] + " s"
    token = plain()["contractions"].get(token, token).replace("'", "")[:LONGEST_WORD]
    same, numbers = plain()["same"], plain()["numbers"]
    words = (same.get(word, numbers.get(word) or corrected(word)) for word in token.split(" "))
    return " ".join(words).split(" ")
