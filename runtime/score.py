"""Log-probabilities of candidate continuations: what prompts share is computed once, and candidates share a batch.

Items go in fixed groups, so that alone on the context the figures repeat exactly.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from models.errors import UserError
from runtime.cache import Cache, common_length
from runtime.context import MAX_SEQUENCES, Aborted, Context, NoRoom, Row, log_softmax_at

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
        self._sequences = range(first_sequence + 1, MAX_SEQUENCES)
        self._prefix: list[int] = []            # what lies in the prefix sequence
        self._clears = -1                       # context.clears when it was computed alone; else it is not kept
        cache.give_back = self._forget

    def score(self, items: Sequence[Item], is_alone: Callable[[], bool],
              budget: Callable[[], int]) -> Iterator[list[Scores] | None]:
        """Yields None after each batch, and the scores of all items last.

        is_alone: nobody else uses the context; budget: rows that a batch may take now.
        Raises UserError for an item that can not be scored.
        """
        self._check(items)
        found: list[Scores] = [[[0.0] * len(one) for one in item.candidates] for item in items]
        self._cache.is_scoring = True
        try:
            yield from self._prepare(items, is_alone(), budget)
            for group in self._groups(items):
                yield from self._run(items, group, found, budget)
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
            for token in (*item.prompt, *(t for one in item.candidates for t in one)):
                if not 0 <= token < self._context.model.n_vocab:
                    raise UserError(f"There is no token {token} in this model.")

    def _prepare(self, items: Sequence[Item], is_alone: bool, budget: Callable[[], int]) -> Iterator[None]:
        """Have the common beginning of all prompts in the prefix sequence."""
        prefix = _common_prefix([item.prompt for item in items])
        is_kept = self._clears == self._context.clears and prefix == self._prefix
        if is_alone:
            self._cache.drop_kept()
        if is_kept:
            return
        if is_alone:
            self._cache.clear()
        self._forget_prefix()
        if len(prefix) < LEAST_PREFIX:
            return
        rows = [Row(token, at, (self._prefix_sequence,)) for at, token in enumerate(prefix)]
        yield from self._compute(rows, budget)
        self._prefix = prefix
        self._clears = self._context.clears if is_alone else -1

    def _groups(self, items: Sequence[Item]) -> Iterator[list[tuple[int, list[int]]]]:
        """Items that go in together: (item, its candidates), as many as the sequences and the cells allow."""
        group: list[tuple[int, list[int]]] = []
        tags, cells = 0, len(self._prefix)
        for number, item in enumerate(items):
            every = list(range(len(item.candidates)))
            for start in range(0, len(every), len(self._sequences)):
                part = every[start:start + len(self._sequences)]
                needed = len(item.prompt) - len(self._prefix) + sum(len(item.candidates[k]) - 1 for k in part)
                if group and (tags + len(part) > len(self._sequences) or cells + needed > self._context.cells):
                    yield group
                    group, tags, cells = [], 0, len(self._prefix)
                group.append((number, part))
                tags, cells = tags + len(part), cells + needed
        if group:
            yield group

    def _run(self, items: Sequence[Item], group: list[tuple[int, list[int]]], found: list[Scores],
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
        for tag in self._sequences:
            self._context.truncate(tag, 0)
        self._cache.held_cells = len(self._prefix)

    def _compute(self, rows: list[Row], budget: Callable[[], int], wanted: dict[int, Wanted] | None = None,
                 found: list[Scores] | None = None) -> Iterator[None]:
        """Decode rows in batches, and read the wanted ones out."""
        waiting = deque(rows)
        while waiting:
            batch: list[Row] = []
            outputs, most = 0, max(1, min(budget(), self._context.batch_tokens))
            while waiting and len(batch) < most and outputs + waiting[0].has_logits <= self._context.max_outputs:
                outputs += waiting[0].has_logits
                batch.append(waiting.popleft())
            while True:
                if not self._cache.make_room(len(batch)):
                    yield None                  # until a stream beside us ends
                    continue
                try:
                    self._context.decode(batch)
                    break
                except (Aborted, NoRoom):       # somebody else's cancel; or cells that are counted, not yet free
                    yield None
            self._cache.held_cells += len(batch)
            if wanted is not None and found is not None:
                for at, row in enumerate(batch):
                    if id(row) in wanted:
                        self._read(at, wanted[id(row)], found)
            yield None

    def _read(self, at: int, wanted: Wanted, found: list[Scores]) -> None:
        values = log_softmax_at(self._context.logits(at), [target[3] for target in wanted.targets])
        for (item, candidate, place, _), value in zip(wanted.targets, values, strict=True):
            found[item][candidate][place] = value

    def _release(self) -> None:
        for tag in self._sequences:
            self._context.truncate(tag, 0)
        if self._clears != self._context.clears:        # not computed alone: not the same figures next time
            self._forget_prefix()
        self._cache.held_cells = len(self._prefix)

    def _forget(self) -> None:
        """Give the kept beginning back, unless it is in use."""
        if not self._cache.is_scoring:
            self._forget_prefix()

    def _forget_prefix(self) -> None:
        self._context.truncate(self._prefix_sequence, 0)
        self._prefix, self._clears = [], -1
        self._cache.held_cells = 0


def _common_prefix(prompts: list[list[int]]) -> list[int]:
    """What all prompts begin with, at least one id less than the shortest."""
    shared = min(prompts, key=len)[:-1]
    for prompt in prompts:
        shared = shared[:common_length(shared, prompt)]
    return shared if len(shared) >= LEAST_PREFIX else []
