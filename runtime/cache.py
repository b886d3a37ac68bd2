"""What lies in a context's cache: kept sequences by their ids, and which of them a prompt can begin with."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from runtime.context import Context
from runtime.pool import KEPT_SEQUENCES

LEAST_SHARED = 16                               # a shorter common beginning is computed anew
TAKEN_OVER = 0.75                               # share of a kept sequence that must be common to cut it instead of copy


@dataclass(eq=False)
class Sequence:
    """One sequence of the cache: the ids whose keys and values lie there, the cells they lie in."""
    number: int
    ids: list[int] = field(default_factory=list)
    cells: list[int] = field(default_factory=list)      # one serial number an id; shared cells share the number
    prompt: list[int] = field(default_factory=list)     # the last prompt that was computed here
    prompt_logits: np.ndarray | None = None             # (n_vocab,) after that prompt
    used: int = 0                                       # when, as a count
    is_busy: bool = False


class Cache:
    """The sequences of one context, and the room that is left. For one thread."""

    def __init__(self, context: Context, slots: int):
        self._context = context
        self._sequences = [Sequence(k) for k in range(slots + KEPT_SEQUENCES)]
        self._serial = itertools.count()
        self._clock = itertools.count(1)
        self.held_cells = 0                             # by score.py, beside the sequences here
        self.is_scoring = False                         # score.py is at work: nothing may be cleared
        self.give_back: Callable[[], None] = lambda: None       # asks score.py for what it does not need now
        self.interrupt_scoring: Callable[[], None] = lambda: None       # and for everything

    def used_cells(self) -> int:
        """Cells that hold a token now."""
        return self.held_cells + len(set().union(*(one.cells for one in self._sequences)))

    def begin(self, ids: list[int], is_fresh: bool) -> tuple[Sequence, int]:
        """Take a sequence for ids and give it what the cache already holds of them: (sequence, how many).

        The last id is left to compute, but where the logits after these very ids are kept: then all of them are
        held. is_fresh: share nothing.
        """
        best, common = (None, 0) if is_fresh else self._longest(ids)
        if best is not None and not best.is_busy and common >= TAKEN_OVER * len(best.ids):
            found = best
            self._cut(found, common)
        else:
            found = self._oldest(best)
            self._cut(found, 0)
            if best is not None:
                self._context.copy(best.number, found.number, common)
                found.ids, found.cells = best.ids[:common], best.cells[:common]
                found.prompt, found.prompt_logits = best.prompt, best.prompt_logits
        found.is_busy, found.used = True, next(self._clock)
        return found, common

    def _longest(self, ids: list[int]) -> tuple[Sequence | None, int]:
        best, most = None, LEAST_SHARED - 1
        for one in self._sequences:
            common = common_length(one.ids, ids)
            if common == len(ids) and not (one.prompt_logits is not None and one.prompt == ids):
                common -= 1                             # its logits must be computed
            if common > most or (common == most and best is not None and best.is_busy and not one.is_busy):
                best, most = one, common
        return (best, most) if best is not None else (None, 0)

    def _oldest(self, kept: Sequence | None) -> Sequence:
        idle = [one for one in self._sequences if not one.is_busy and one is not kept]
        return min(idle, key=lambda one: (bool(one.ids), one.used))

    def grow(self, sequence: Sequence, ids: list[int]) -> None:
        """Note that ids were computed behind sequence's."""
        sequence.ids += ids
        sequence.cells += itertools.islice(self._serial, len(ids))

    def end(self, sequence: Sequence) -> None:
        """The request is done; what it computed stays for the next one."""
        sequence.is_busy, sequence.used = False, next(self._clock)

    def make_room(self, cells: int) -> bool:
        """Drop the kept sequences used longest ago until cells are free. False if that is not enough."""
        while self._context.cells - self.used_cells() < cells:
            idle = [one for one in self._sequences if one.ids and not one.is_busy]
            if idle:
                self.drop(min(idle, key=lambda one: one.used))
                continue
            held = self.held_cells
            self.give_back()
            if held == self.held_cells:
                return False
        return True

    def drop_kept(self) -> None:
        """Forget every sequence that no request is using."""
        for one in self._sequences:
            if one.ids and not one.is_busy:
                self.drop(one)

    def drop(self, sequence: Sequence) -> None:
        """Forget a sequence."""
        self._cut(sequence, 0)
        sequence.is_busy = False

    def clear(self) -> None:
        """Forget everything; only while nothing runs."""
        for one in self._sequences:
            one.ids, one.cells, one.prompt, one.prompt_logits, one.is_busy, one.used = [], [], [], None, False, 0
        self.held_cells = 0
        self._context.clear()

    def _cut(self, sequence: Sequence, length: int) -> None:
        self._context.truncate(sequence.number, length)
        del sequence.ids[length:], sequence.cells[length:]
        if length < len(sequence.prompt):
            sequence.prompt, sequence.prompt_logits = [], None


def common_length(a: list[int], b: list[int]) -> int:
    """How many ids a and b begin with together."""
    low, high = 0, min(len(a), len(b))
    if a[:high] == b[:high]:
        return high
    while low + 1 < high:                               # a[:low] is common, a[:high] is not
        middle = (low + high) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle
    return low
