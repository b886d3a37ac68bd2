"""Typing mistakes in the words that the patterns hang on: one letter missing, too many, wrong or swapped."""

from functools import lru_cache
from pathlib import Path

from tasks.phi.words import lists

SHORTEST = 6                 # shorter words are too near to other words
FILE = Path(__file__).parent / "spelled.txt"


def corrected(word: str) -> str:
    """The listed word that word is one mistake away from; word itself if it is a word, or near to none or to two."""
    if len(word) < SHORTEST or word in _listed() or word in lists().words or word in lists().terms:
        return word
    near = {listed for form in _forms(word) for listed in _by_form().get(form, ())}
    found = [listed for listed in near if listed[0] == word[0] and _is_one_mistake(word, listed)]
    return found[0] if len(found) == 1 else word


@lru_cache(maxsize=1)
def _listed() -> frozenset[str]:
    return frozenset(FILE.read_text(encoding="utf-8").split())


@lru_cache(maxsize=1)
def _by_form() -> dict[str, set[str]]:
    """Every listed word under itself and under each of its forms with one letter left out."""
    found: dict[str, set[str]] = {}
    for word in _listed():
        for form in _forms(word):
            found.setdefault(form, set()).add(word)
    return found


def _forms(word: str) -> set[str]:
    return {word} | {word[:k] + word[k + 1:] for k in range(len(word))}


def _is_one_mistake(a: str, b: str) -> bool:
    """True when one letter added, left out, changed, or two neighbours swapped make a into b."""
    at = next((k for k, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    rest_a, rest_b = a[at:], b[at:]
    if len(a) == len(b):
        return rest_a[1:] == rest_b[1:] or (rest_a[:2] == rest_b[1::-1] and rest_a[2:] == rest_b[2:])
    return rest_a[1:] == rest_b or rest_a == rest_b[1:]
