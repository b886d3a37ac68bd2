"""How far a file's numbers are from the reference's: KL divergence, agreement, perplexity."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np

from convert.survey import Survey
from runtime.reference import Reference

NUMBERS_AT_ONCE = 1 << 22               # of logits in float64
MOST_RATIO = 1e6                        # of perplexities; a file that is worse than that is broken in any case


class Readable(Protocol):
    """What is needed of a runtime.probe.Probe."""

    def logits_by_chunk(self, ids: list[int]) -> Iterator[tuple[int, np.ndarray]]: ...


class Loss:
    """Running comparison of a file's logits with the reference's. nll: sums of -log p of the tokens that came."""

    def __init__(self) -> None:
        self.positions = self.agreed = self.targets = 0
        self.non_finite = self.reference_non_finite = 0
        self.kl_sum = self.kl_max = self.largest = 0.0
        self.nll = self.reference_nll = 0.0

    def add(self, wanted: np.ndarray, got: np.ndarray, following: Sequence[int] = ()) -> None:
        """wanted, got: (T, vocab) float32; following: the token that came after each, one less at a row's end.

        Ids that only one of them has (rows of the embedding that are no tokens) are left out.
        """
        width = min(wanted.shape[1], got.shape[1])
        step = max(1, NUMBERS_AT_ONCE // width)
        for start in range(0, len(wanted), step):
            a, b = (rows[start:start + step, :width].astype(np.float64) for rows in (wanted, got))
            is_wrong, is_lost = _has_non_finite(b), _has_non_finite(a)
            self.non_finite += int(is_wrong.sum())
            self.reference_non_finite += int(is_lost.sum())
            self._add_finite(a, b, ~(is_wrong | is_lost), np.asarray(following[start:start + step], np.int64))

    def _add_finite(self, a: np.ndarray, b: np.ndarray, chosen: np.ndarray, following: np.ndarray) -> None:
        if not chosen.any():
            return
        has_next = chosen[:len(following)]
        a, b = a[chosen], b[chosen]
        self.positions += len(a)
        self.agreed += int((a.argmax(1) == b.argmax(1)).sum())
        self.largest = max(self.largest, float(np.abs(a - b).max()))
        _to_log_softmax(a)
        _to_log_softmax(b)
        targets = following[has_next]
        known = np.flatnonzero(targets < a.shape[1])
        self.targets += len(known)
        self.nll -= float(b[known, targets[known]].sum())
        self.reference_nll -= float(a[known, targets[known]].sum())
        np.subtract(a, b, out=b)
        kl = np.einsum("tv,tv->t", np.exp(a, out=a), b)
        self.kl_sum += float(kl.sum())
        self.kl_max = max(self.kl_max, float(kl.max()))

    @property
    def mean_kl(self) -> float:
        """Nats a token; never below 0, as rounding can bring the sum of equals. It says nothing without positions."""
        return max(0.0, self.kl_sum / max(1, self.positions))

    @property
    def agreement(self) -> float:
        """The share of positions where both would say the same next."""
        return self.agreed / max(1, self.positions)

    @property
    def perplexity_ratio(self) -> float:
        """Of the file to the reference, at most MOST_RATIO; above 1 the file is the worse one."""
        apart = (self.nll - self.reference_nll) / max(1, self.targets)
        return MOST_RATIO if apart > math.log(MOST_RATIO) else math.exp(apart)


def compare(model: Readable, survey: Survey, reference: Reference, step: Callable[[int, int], None]) -> Loss:
    """Hold a model against the reference on the survey's rows, a few positions at a time."""
    loss = Loss()
    for k, (ids, state) in enumerate(zip(survey.rows, survey.states, strict=True)):
        step(k, len(survey.rows))
        for at, got in model.logits_by_chunk(ids):
            end = at + len(got)
            [wanted] = reference.logits_of([state[at:end]])
            loss.add(wanted, got, ids[at + 1:end + 1])
    return loss


def _has_non_finite(rows: np.ndarray) -> np.ndarray:
    found: np.ndarray = ~np.isfinite(rows).all(axis=1)
    return found


def _to_log_softmax(rows: np.ndarray) -> None:
    """Logits into log-probabilities, in place."""
    rows -= rows.max(axis=1, keepdims=True)
    rows -= np.log(np.exp(rows).sum(axis=1, keepdims=True))
