"""What a step costs in time, learned from a few measured ones: which to measure, and a fit over the whole order."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from train.batches import batch_tokens


@dataclass(frozen=True, kw_only=True)
class Load:
    """What one optimizer step has to compute, summed over its batches; padding counts.

    tokens: all of them; attention: tokens x the width of their row, since each looks back over its row; learned:
    those that go through the head. widest: tokens of its largest batch, which is what memory follows.
    """

    tokens: int
    attention: int
    learned: int
    widest: int

    def row(self) -> list[float]:
        """As a row of the fit: a constant, and the three quantities."""
        return [1.0, float(self.tokens), float(self.attention), float(self.learned)]


def load_of(batches: Sequence[Sequence[int]], lengths: Sequence[int], learned: Sequence[int], is_packed: bool) -> Load:
    """The load of a step of these batches of sample numbers; lengths, learned: tokens of every sample."""
    tokens = [batch_tokens([lengths[k] for k in batch], is_packed) for batch in batches]
    attention = sum(sum(lengths[k] ** 2 for k in batch) if is_packed else count * count // len(batch)
                    for batch, count in zip(batches, tokens, strict=True))
    return Load(tokens=sum(tokens), attention=attention, learned=sum(learned[k] for batch in batches for k in batch),
                widest=max(tokens))


def to_measure(loads: Sequence[Load], count: int) -> list[int]:
    """Numbers of about count steps that stand for all: the middle one, the largest, then from every size.

    The first of them is for warming up. The sizes are cut so that each part has the same share of all tokens.
    """
    order = sorted(range(len(loads)), key=lambda k: loads[k].tokens)
    sums = np.cumsum([loads[k].tokens for k in order])
    parts = [order[int(np.searchsorted(sums, sums[-1] * (part + 0.5) / count))] for part in range(count)]
    largest = max(range(len(loads)), key=lambda k: (loads[k].widest, loads[k].attention, loads[k].learned))
    most_learned = max(range(len(loads)), key=lambda k: loads[k].learned)
    chosen = [order[len(order) // 2], largest, most_learned, order[0], *_spread(parts)]
    return list(dict.fromkeys(chosen))


def _spread(parts: Sequence[int]) -> list[int]:
    """The same in an order whose every beginning covers the range."""
    if len(parts) < 2:
        return list(parts)
    return [*_spread(parts[1::2]), *_spread(parts[::2])] if len(parts) > 2 else list(parts)


def fit(loads: Sequence[Load], seconds: Sequence[float]) -> Callable[[Load], float]:
    """Seconds of any step, from measured ones: a constant and a price for each quantity, none of them negative.

    The error is made small in proportion to each step, so that long ones do not rule; then all is scaled such that
    the measured steps together come out as they were.
    """
    rows, times = np.array([load.row() for load in loads]), np.array(seconds)
    sizes = rows.max(axis=0).clip(min=1.0)
    prices = nnls(rows / sizes / times[:, None], np.ones(len(times)))[0] / sizes
    total = float((rows @ prices).sum())
    scale = float(times.sum()) / total if total else 0.0
    return lambda load: scale * float(np.dot(load.row(), prices))
