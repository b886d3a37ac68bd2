"""The red flags of a message: which situations it tells of, what to do, and where it says so. English only.

One file a situation lies in situations/: its urgency; its notice, in which {call} is the sentence about emergency
numbers; `signs`, one way to recognise it a line, whose parts, joined by " + ", must all be there in any order, and
those with a ! must not; `strong`, the same for words that count in a question or about the past as well. words.toml
and otherwise.toml hold the groups of words, patterns.py the language, scope.py what is no sign of now.

A help to see what must not be overlooked, made of word patterns: it misses some emergencies and raises some false
alarms (tests/tasks/safety/GUIDE.md has the figures), and knows no other language.
"""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from tasks.safety import scope
from tasks.safety.patterns import compiled, split
from tasks.safety.text import words_of

FOLDER = Path(__file__).parent
CALL = "Call your emergency number now: 112 in Europe, 999 in the UK, 911 in the US and Canada."
READ_CHARS = 8_000              # of a longer text only so much of its beginning and of its end is looked at
WINDOW, STEP = 240, 160         # words that are looked at together; a long text is looked at in steps


@dataclass(frozen=True, kw_only=True)
class Flag:
    """One red flag."""
    id: str                     # of the situation: the name of its file in situations/
    notice: str                 # what to do
    where: tuple[int, int]      # the characters of the message that raised it


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What must be there together, and what must not."""
    present: tuple[re.Pattern[str], ...]
    absent: tuple[re.Pattern[str], ...]


@dataclass(frozen=True, kw_only=True)
class Situation:
    """One situation; strong rules also count in questions and about the past."""
    id: str
    notice: str
    rules: tuple[Rule, ...]
    strong: tuple[Rule, ...]


def red_flags(text: str) -> tuple[Flag, ...]:
    """What in text (English) may be an emergency now, most urgent first; () for nearly every message."""
    parts = [words_of(part, start) for start, part in _parts(text)]
    signs, strong = scope.live(tuple(word for part in parts for word in part.words))
    found: dict[str, Flag] = {}
    before = 0
    for part in parts:
        for first in range(0, max(1, len(part.words) - WINDOW + STEP), STEP):
            window = slice(before + first, before + min(first + WINDOW, len(part.words)))
            texts = (scope.joined(signs[window])[0], scope.joined(strong[window])[0])
            for situation in situations():
                if situation.id not in found and (span := _match(situation, *texts)):
                    where = (part.places[first + span[0]][0], part.places[first + span[1] - 1][1])
                    found[situation.id] = Flag(id=situation.id, notice=situation.notice, where=where)
        before += len(part.words)
    return tuple(found[one.id] for one in situations() if one.id in found)


def notice(text: str) -> str:
    """What belongs above the answer to text: the most urgent notice, and the crisis lines if it is about suicide as
    well; "" for nearly every message."""
    flags = red_flags(text)
    return "\n".join(flag.notice for k, flag in enumerate(flags) if k == 0 or flag.id == "suicide")


@lru_cache(maxsize=1)
def situations() -> tuple[Situation, ...]:
    """All situations, most urgent first."""
    groups = {name: pattern for file in ("words.toml", "otherwise.toml")
              for name, pattern in tomllib.loads((FOLDER / file).read_text(encoding="utf-8")).items()}
    read = [(path.stem, tomllib.loads(path.read_text(encoding="utf-8"))) for path in FOLDER.glob("situations/*.toml")]
    return tuple(Situation(id=name, notice=one["notice"].replace("{call}", CALL),
                           rules=_rules(one.get("signs", ""), groups), strong=_rules(one.get("strong", ""), groups))
                 for name, one in sorted(read, key=lambda pair: pair[1]["urgency"]))


def _rules(text: str, groups: dict[str, str]) -> tuple[Rule, ...]:
    return tuple(_rule(line.strip(), groups) for line in text.split("\n") if line.strip())


def _rule(line: str, groups: dict[str, str]) -> Rule:
    """"a + b !c": a and b, but not c."""
    parts = [part for piece in split(line, "+") for part in _signed(piece)]
    return Rule(present=tuple(compiled(part, groups) for is_absent, part in parts if not is_absent),
                absent=tuple(compiled(part, groups) for is_absent, part in parts if is_absent))


def _signed(piece: str) -> Iterator[tuple[bool, str]]:
    for k, part in enumerate(split(piece, "!")):
        if part:
            yield k > 0, part




def _parts(text: str) -> list[tuple[int, str]]:
    """Where each part begins that is looked at, and the part."""
    if len(text) <= 2 * READ_CHARS:
        return [(0, text)]
    return [(0, text[:READ_CHARS]), (len(text) - READ_CHARS, text[-READ_CHARS:])]


def _match(situation: Situation, signs: str, strong: str) -> tuple[int, int] | None:
    """The first and one past the last word that tell of situation; None if none do."""
    for text, rules in ((signs, situation.rules), (strong, situation.strong)):
        for rule in rules:
            found = [pattern.search(text) for pattern in rule.present]
            hits = [hit for hit in found if hit]
            if len(hits) == len(found) and not any(pattern.search(text) for pattern in rule.absent):
                return text.count(" ", 0, hits[0].start()), text.count(" ", 0, hits[0].end())
    return None
