"""A conversation cut into parts at its turns, each within a number of tokens."""

import math
import re
from collections.abc import Callable, Iterator

SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
ASKED = 3                                       # turns that a cut moves up at most, so as not to part an answer from it

Count = Callable[[str], int]                    # text -> tokens


def parted(dialogue: str, room_tokens: int, count: Count) -> list[str]:
    """The parts of a dialogue in order, of about equal length and together the whole of it; one where it fits.

    Cut at turns (lines), not behind a question; a turn that is longer than a part at its sentences, else at words.
    """
    assert room_tokens > 0
    if count(dialogue) <= room_tokens:
        return [dialogue]
    turns = [piece for turn in dialogue.splitlines() if turn.strip() for piece in _pieces(turn, room_tokens, count)]
    sizes = [count(turn + "\n") for turn in turns]
    wanted = min(room_tokens, math.ceil(sum(sizes) / math.ceil(sum(sizes) / room_tokens)) + max(sizes, default=0) // 2)
    parts: list[list[str]] = [[]]
    filled = 0
    for turn, size in zip(turns, sizes, strict=True):
        if parts[-1] and filled + size > wanted:
            parts.append(_unanswered(parts[-1]))
            filled = sum(count(one + "\n") for one in parts[-1])
            if filled + size > room_tokens:     # the question stays behind after all
                parts[-2] += parts[-1]
                parts[-1], filled = [], 0
        parts[-1].append(turn)
        filled += size
    return ["\n".join(part) for part in parts if part]


def _unanswered(part: list[str]) -> list[str]:
    """The questions at the end of a part, taken out of it."""
    at = len(part)
    while at > 1 and len(part) - at < ASKED and part[at - 1].rstrip().endswith("?"):
        at -= 1
    moved = part[at:]
    del part[at:]
    return moved


def _pieces(turn: str, room_tokens: int, count: Count) -> Iterator[str]:
    """A turn, or what it has to be cut into."""
    if count(turn + "\n") <= room_tokens:
        yield turn
        return
    for pattern in (SENTENCE_END, re.compile(r"\s+")):
        pieces = [piece for piece in pattern.split(turn) if piece]
        if len(pieces) > 1:
            yield from _gathered(pieces, room_tokens, count)
            return
    half = len(turn) // 2
    if not half:
        yield turn
        return
    for piece in (turn[:half], turn[half:]):
        yield from _pieces(piece, room_tokens, count)


def _gathered(pieces: list[str], room_tokens: int, count: Count) -> Iterator[str]:
    """As many pieces together as there is room for."""
    sizes = [count(piece + " ") for piece in pieces]
    start = filled = 0
    for at, size in enumerate(sizes):
        if at > start and filled + size >= room_tokens:
            yield from _pieces(" ".join(pieces[start:at]), room_tokens, count)
            start, filled = at, 0
        filled += size
    last = " ".join(pieces[start:])
    if start:
        yield from _pieces(last, room_tokens, count)
    else:
        yield from (last[:len(last) // 2], last[len(last) // 2:])
