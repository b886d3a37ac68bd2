"""Which words of a message do not tell of somebody's signs now: denied, past, supposed, asked in general, or a text."""

import re
import tomllib
from functools import lru_cache
from pathlib import Path

from tasks.safety.patterns import compiled
from tasks.safety.text import STOPS, plain

FILE = Path(__file__).parent / "scope.toml"
BLANK = "_"
PAUSES = frozenset(",:()\"")


@lru_cache(maxsize=1)
def _patterns() -> dict[str, re.Pattern[str]]:
    groups = tomllib.loads(FILE.read_text(encoding="utf-8"))
    return {name: compiled(pattern, groups) for name, pattern in groups.items()}


def joined(words: list[str]) -> tuple[str, list[int]]:
    """The words with one space behind each, and where each begins."""
    starts, at = [], 0
    for word in words:
        starts.append(at)
        at += len(word) + 1
    return "".join(word + " " for word in words), starts


def live(words: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """The words with blanks for what is no sign of now, and the same in which only texts, figures of speech and
    denials are blanked: for words that count in a question or about the past as well."""
    found = list(words)
    if _has(found, "whole_task"):
        return [BLANK] * len(found), [BLANK] * len(found)
    _blank_matches(found, "figure")
    _blank_tasks(found)
    _blank_denials(found)
    strong = list(found)
    was_past = False
    for start, end in sentences(words):
        sentence = list(words[start:end])
        is_asked = _begins(sentence, "general") and not _has(sentence, "own")
        if is_asked or _begins(sentence, "asks") and not _has(sentence, "recent"):
            found[start:end] = [BLANK] * (end - start)
            continue
        was_past = _blank_past(found, start, end, was_past)
        _blank_supposed(found, start, end)
    return found, strong


def sentences(words: tuple[str, ...]) -> list[tuple[int, int]]:
    """Where each sentence begins and ends."""
    found, start = [], 0
    for k, word in enumerate(words):
        if word in STOPS:
            found.append((start, k + 1))
            start = k + 1
    return [*found, (start, len(words))] if start < len(words) else found


def _has(words: list[str], name: str) -> bool:
    return _patterns()[name].search(joined(words)[0]) is not None


def _begins(words: list[str], name: str) -> bool:
    """True when a pattern matches at the first words, behind a greeting or a "please"."""
    text = joined([word for word in words if word not in plain()["polite"]])[0]
    return _patterns()[name].match(text) is not None


def _spans(words: list[str], name: str) -> list[tuple[int, int]]:
    """The matches of a pattern as positions of words."""
    text, starts = joined(words)
    place = {start: k for k, start in enumerate([*starts, len(text)])}
    return [(place[found.start()], place[found.end()]) for found in _patterns()[name].finditer(text)
            if found.end() > found.start()]


def _blank(words: list[str], start: int, end: int) -> None:
    words[start:end] = [word if word in STOPS else BLANK for word in words[start:end]]


def _blank_matches(words: list[str], name: str) -> None:
    for start, end in _spans(words, name):
        _blank(words, start, end)


def _blank_tasks(words: list[str]) -> None:
    """A text to work on: what stands behind the request; the request's own sentence when it only asks to write."""
    for start, _ in _spans(words, "work_on"):
        _blank(words, start, len(words))
        return
    for start, _ in _spans(words, "write"):
        end = next((end for begin, end in sentences(tuple(words)) if begin <= start < end), len(words))
        has_text = ":" in words[start:end] or '"' in words[start:end]
        _blank(words, start, len(words) if has_text else end)


def _blank_denials(words: list[str]) -> None:
    for start, end in _spans(words, "denial"):
        until = _denied_until(words, end)
        _blank(words, start, until)
    _blank_matches(words, "denied_after")


def _denied_until(words: list[str], start: int) -> int:
    """Where a denial ends: at the end of its clause; behind a list that ends in "or" if it is one."""
    breaks = STOPS | PAUSES | frozenset(plain()["breaks"])
    ends = [k for k in range(start, min(len(words), start + 40)) if words[k] in breaks and words[k] != ","]
    end = ends[0] if ends else min(len(words), start + 40)
    commas = [k for k in range(start, end) if words[k] == ","]
    is_report = any(word.startswith(("deni", "deny")) or word == "negative" for word in words[max(0, start - 3):start])
    if commas and not is_report and not any(word in ("or", "nor") for word in words[commas[0]:end]):
        return min(commas[0], start + 9)
    is_list = bool(commas)
    return end if is_list else min(end, start + 9)


def _blank_past(words: list[str], start: int, end: int, was_past: bool) -> bool:
    """Blank what is told of long ago. Returns whether the sentence spoke of the past only."""
    sentence = words[start:end]
    if not _has(sentence, "long_ago"):
        if was_past and _has(sentence, "past_verb") and not _has(sentence, "present"):
            _blank(words, start, end)
            return True
        return False
    if not _has(sentence, "recent"):
        _blank(words, start, end)
        return True
    for clause_start, clause_end in _clauses(words, start, end):
        clause = words[clause_start:clause_end]
        if _has(clause, "long_ago") and not _has(clause, "recent"):
            _blank(words, clause_start, clause_end)
    return False


def _clauses(words: list[str], start: int, end: int) -> list[tuple[int, int]]:
    cuts = [k for k in range(start, end) if words[k] in PAUSES or words[k] in ("but", "now", "today", "and", "since")]
    edges = [start, *cuts, end]
    return [(a, b) for a, b in zip(edges, edges[1:], strict=False) if a < b]


def _blank_supposed(words: list[str], start: int, end: int) -> None:
    """Blank what may happen, and what happens to animals, to the end of its clause."""
    for name in ("supposed", "animals"):
        for first, last in _spans(words[start:end], name):
            stop = next((k for k in range(start + last, end) if words[k] in PAUSES or words[k] == "and"), end)
            _blank(words, start + first, stop)
