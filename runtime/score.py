"""Log-probabilities of candidate continuations: what prompts share is computed once, and candidates share a batch.

Items go in fixed groups, so that alone on the context the figures repeat exactly.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from models.errors import UserError
from runtime.cache import Cache, common_length
from runtime.context import Aborted, Context, NoRoom, Row, log_softmax_at

Part = tuple[int, list[int]]                    # the number of an item, and which of its candidates
Scores = list[list[float]]                      # of one item: for each candidate, log p of each of its tokens, in nats
LEAST_PREFIX = 8                                # a shorter common beginning is not worth a sequence


@dataclass(frozen=True)
class Item:
    """A prompt and what may follow it, as ids; no candidate is empty."""
    prompt: list[int]
    candidates: list[list[int]]


@dataclass
class Wanted:
    """A row whose logits say how likely some tokens are: (item, candidate, place in it, token) each."""
    row: Row
    targets: list[tuple[int, int, int, int]]


class Scorer:
    """Scores on a context beside its scheduler, with sequences of its own. For one thread."""

    def __init__(self, context: Context, cache: Cache, first_sequence: int):
        """The sequences from first_sequence up are the scorer's."""
        self._context, self._cache = context, cache
        self._prefix_sequence = first_sequence
        self._sequences = range(first_sequence + 1, context.sequences)
        self._prefix: list[int] = []            # what lies in the prefix sequence
        self._clears = -1                       # context.clears when it was computed alone; else it is not kept
        self._is_ready = False                  # the prefix sequence holds what the running job needs
        self._is_interrupted = False
        cache.give_back, cache.interrupt_scoring = self._give_back, self.interrupt

    def score(self, items: Sequence[Item], is_alone: Callable[[], bool],
              budget: Callable[[], int]) -> Iterator[list[Scores] | None]:
        """Yields None after each batch, and the scores of all items last.

        is_alone: nobody else uses the context; budget: rows that a batch may take now.
        Raises UserError for an item that can not be scored.
        """
        self._check(items)
        found: list[Scores] = [[[0.0] * len(one) for one in item.candidates] for item in items]
        prefix = _common_prefix([item.prompt for item in items])
        self._cache.is_scoring = True
        try:
            for group in self._groups(items, prefix):
                yield from self._whole(items, prefix, group, found, is_alone, budget)
        finally:
            self._cache.is_scoring = False
            self._release()
        yield found

    def _check(self, items: Sequence[Item]) -> None:
        for item in items:
            if not item.prompt or not item.candidates or not all(item.candidates):
                raise UserError("There is nothing to score: a prompt and every candidate need at least one token.")
            length = len(item.prompt) + max(map(len, item.candidates))
            if length > self._context.cells:
                raise UserError(f"A prompt with its candidate is {length:,} tokens long and the context holds "
                                f"{self._context.cells:,}; shorten it, or load the model with a longer context.")

    def _groups(self, items: Sequence[Item], prefix: list[int]) -> Iterator[list[Part]]:
        """Parts of items that go in together: as many as sequences and cells allow, several only if they fill no more
        than a batch. Each row looks at every cell in use, its own or not: fuller groups take longer (docs/log.md)."""
        several = min(self._context.cells // 2, len(prefix) + self._context.batch_tokens)
        group: list[Part] = []
        tags, cells = 0, len(prefix)
        for number, item in enumerate(items):
            own = len(item.prompt) - len(prefix)
            part: list[int] = []
            for k, candidate in enumerate(item.candidates):
                needed = len(candidate) - 1 + (own if not part else 0)
                most = several if group else self._context.cells
                if tags == len(self._sequences) or (cells + needed > most and (group or part)):
                    yield [*group, *([(number, part)] if part else [])]
                    group, part, tags, cells = [], [], 0, len(prefix)
                    needed = len(candidate) - 1 + own
                part.append(k)
                tags, cells = tags + 1, cells + needed
            group.append((number, part))
        yield group

    def _whole(self, items: Sequence[Item], prefix: list[int], group: list[Part], found: list[Scores],
               is_alone: Callable[[], bool], budget: Callable[[], int]) -> Iterator[None]:
        """One group, begun again if a stream takes its cells."""
        while True:
            self._is_interrupted = False
            yield from self._prepare(prefix, is_alone(), budget)
            if not self._is_interrupted:
                yield from self._run(items, group, found, budget)
            if not self._is_interrupted:
                return
            while not is_alone():               # the streams need the cells: after them
                yield None

    def _prepare(self, prefix: list[int], is_alone: bool, budget: Callable[[], int]) -> Iterator[None]:
        """Have the common beginning of all prompts in the prefix sequence."""
        if self._is_ready and prefix == self._prefix:
            return                              # the group before has left it there
        is_kept = self._clears == self._context.clears and prefix == self._prefix
        if is_alone:
            self._cache.drop_kept()
        if not is_kept:
            if is_alone:
                self._cache.clear()
            self._forget_prefix()
            rows = [Row(token, at, (self._prefix_sequence,)) for at, token in enumerate(prefix)]
            yield from self._compute(rows, budget)
            if self._is_interrupted:
                return
            self._prefix = prefix
            self._clears = self._context.clears if is_alone else -1
        self._is_ready = True

    def _run(self, items: Sequence[Item], group: list[Part], found: list[Scores],
             budget: Callable[[], int]) -> Iterator[None]:
        free = iter(self._sequences)
        rows: list[Row] = []
        wanted: dict[int, Wanted] = {}
        for number, part in group:
            item = items[number]
            tags = [next(free) for _ in part]
            for tag in tags:
                if self._prefix:
                    self._context.copy(self._prefix_sequence, tag, len(self._prefix))
            last = len(item.prompt) - 1
            for at in range(len(self._prefix), last + 1):
                rows.append(Row(item.prompt[at], at, tags, at == last))
            wanted[id(rows[-1])] = Wanted(rows[-1], [(number, k, 0, item.candidates[k][0]) for k in part])
            for k, tag in zip(part, tags, strict=True):
                candidate = item.candidates[k]
                for place, token in enumerate(candidate[:-1]):
                    rows.append(Row(token, last + 1 + place, (tag,), True))
                    wanted[id(rows[-1])] = Wanted(rows[-1], [(number, k, place + 1, candidate[place + 1])])
        yield from self._compute(rows, budget, wanted, found)
        if not self._is_interrupted:
            self._drop_group()

    def _compute(self, rows: list[Row], budget: Callable[[], int], wanted: dict[int, Wanted] | None = None,
                 found: list[Scores] | None = None) -> Iterator[None]:
        """Decode rows in batches, and read the wanted ones out; ends early when interrupted."""
        waiting = deque(rows)
        while waiting and not self._is_interrupted:
            batch: list[Row] = []
            outputs, most = 0, max(1, min(budget(), self._context.batch_tokens))
            while waiting and len(batch) < most and outputs + waiting[0].has_logits <= self._context.max_outputs:
                outputs += waiting[0].has_logits
                batch.append(waiting.popleft())
            if not self._cache.make_room(len(batch)):
                self.interrupt()                # streams hold the cells: begun again after them
                return
            try:
                self._context.decode_steady(batch)
            except Aborted:                     # somebody else's cancel
                waiting.extendleft(reversed(batch))
                yield None
                continue
            except NoRoom:
                self.interrupt()
                return
            self._cache.held_cells += len(batch)
            if wanted is not None and found is not None:
                for at, row in enumerate(batch):
                    if id(row) in wanted:
                        self._read(at, wanted[id(row)], found)
            yield None

    def interrupt(self) -> None:
        """Give all cells back to the streams; the group is begun again when they are done."""
        self._is_interrupted = True
        self._drop_group()
        self._forget_prefix()

    def _read(self, at: int, wanted: Wanted, found: list[Scores]) -> None:
        values = log_softmax_at(self._context.logits(at), [target[3] for target in wanted.targets])
        for (item, candidate, place, _), value in zip(wanted.targets, values, strict=True):
            found[item][candidate][place] = value

    def _drop_group(self) -> None:
        for tag in self._sequences:
            self._context.truncate(tag, 0)
        self._cache.held_cells = len(self._prefix)

    def _release(self) -> None:
        self._drop_group()
        self._is_ready = False
        if self._clears != self._context.clears:        # not computed alone: not the same figures next time
            self._forget_prefix()

    def _give_back(self) -> None:
        """Give the kept beginning back, unless it is in use."""
        if not self._cache.is_scoring:
            self._forget_prefix()

    def _forget_prefix(self) -> None:
        self._context.truncate(self._prefix_sequence, 0)
        self._prefix, self._clears, self._is_ready = [], -1, False
        self._cache.held_cells = 0


def _common_prefix(prompts: list[list[int]]) -> list[int]:
    """What all prompts begin with, at least one id less than the shortest."""
    if not prompts:
        return []
    shared = min(prompts, key=len)[:-1]
    for prompt in prompts:
        shared = shared[:common_length(shared, prompt)]
    return shared if len(shared) >= LEAST_PREFIX else []
