"""Which known texts share most of their word triples with another one: exact, none is missed.

A text that holds (1 - s) of a set's triples and one more holds one of every choice of that many: so only each set's
rarest triples are looked up (prefix filtering, as in Chaudhuri, Ganti and Kaushik, ICDE 2006).
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from corpus.near import Triples

PART_TRIPLES = 20           # a shorter text may stand in a longer one by chance


@dataclass(frozen=True, kw_only=True)
class Shared:
    """key: the known set. jaccard: shared triples over all of both; part: over those of the smaller one."""

    key: int
    jaccard: float
    part: float


class Overlap:
    """Sets of triples, all known from the start."""

    def __init__(self, sets: Sequence[Triples], similarity: float) -> None:
        self.similarity = similarity
        self._sets = sets
        values = np.concatenate(sets) if sets else np.empty(0, dtype=np.uint64)
        owners = np.repeat(np.arange(len(sets)), [one.size for one in sets])
        _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
        is_rare = np.zeros(values.size, dtype=bool)
        start = 0
        for one in sets:
            is_rare[start + self._rarest(counts[places[start:start + one.size]])] = True
            start += one.size
        self._all = _Postings.of(values, owners)
        self._rare = _Postings.of(values[is_rare], owners[is_rare])

    def find(self, one: Triples, wanted: Callable[[int], bool] | None = None) -> Iterator[Shared]:
        """Every known set of this similarity, or of which this share of the smaller of the two (20 triples at least)
        stands in the other; only wanted keys, which is asked just before each is looked at."""
        counts = self._all.counts(one)
        own = one[self._rarest(counts)]
        for key in np.union1d(self._rare.owners_of(one), self._all.owners_of(own)).tolist():
            if wanted is None or wanted(key):
                other = self._sets[key]
                shared = np.intersect1d(one, other, assume_unique=True).size
                smaller = min(one.size, other.size)
                found = Shared(key=key, jaccard=shared / (one.size + other.size - shared), part=shared / smaller)
                if found.jaccard >= self.similarity or (
                        found.part >= self.similarity and smaller >= PART_TRIPLES):
                    yield found

    def _rarest(self, counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Places of the triples of which any set that shares enough must hold one."""
        size = counts.size
        few = size - math.ceil(self.similarity * size - 1e-9) + 1
        return np.argsort(counts, kind="stable")[:few]


@dataclass(frozen=True, kw_only=True)
class _Postings:
    """values sorted, owners beside them: which sets hold a triple."""

    values: Triples
    owners: NDArray[np.int64]

    @classmethod
    def of(cls, values: Triples, owners: NDArray[np.int64]) -> "_Postings":
        order = np.argsort(values, kind="stable")
        return cls(values=values[order], owners=owners[order])

    def counts(self, one: Triples) -> NDArray[np.int64]:
        """How many sets hold each of these triples."""
        return np.searchsorted(self.values, one, "right") - np.searchsorted(self.values, one, "left")

    def owners_of(self, one: Triples) -> NDArray[np.int64]:
        """The sets that hold one of these triples, some more than once."""
        start = np.searchsorted(self.values, one, "left")
        counts = self.counts(one)
        steps = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        return self.owners[np.repeat(start, counts) + steps]
