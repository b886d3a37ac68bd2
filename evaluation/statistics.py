"""What a sample says beyond itself: 95% intervals of its figures, and whether two differ by more than chance."""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95
Z = 1.959963984540054               # the normal quantile of (1 + LEVEL) / 2
CHANCE = 0.05                       # a p value from here on could be chance
RESAMPLES = 10_000
SWAPS = 10_000
LEAST_ITEMS = 10                    # that are independent: resampling fewer promises too narrow an interval
SEED = 0
MOST_AT_ONCE = 4_000_000            # numbers held in memory
TIE = 1e-9                          # sums in another order differ by less

Floats = NDArray[np.float64]
Statistic = Callable[[Floats], Floats]      # sums of columns (R, columns) -> figures (R, figures), nan = undefined

WILSON, BOOTSTRAP, NEWCOMBE = "Wilson", "bootstrap (BCa)", "Newcombe"
WEIGHTED = "Wilson, of Kish's number of items"
MCNEMAR, SWAPPED = "McNemar, exact", "swaps of the two models' results"
ALIKE, FEW = "all alike, so resampling shows no spread", f"fewer than {LEAST_ITEMS} independent items"


@dataclass(frozen=True)
class Estimate:
    """A figure of n items with its 95% interval. None = undefined, or nothing can be said; how: the method, or why."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    how: str


def share(right: int, n: int) -> Estimate:
    """The share right / n of independent items, with its Wilson interval."""
    if n == 0:
        return Estimate(None, None, None, 0, WILSON)
    return Estimate(right / n, *wilson(right, n), n, WILSON)


def weighted_share(values: Floats, weights: Floats) -> Estimate:
    """The share of independent items that are 1, by weight: Wilson's interval of as many equal items as say as much.

    Source of that number: Kish 1965, Survey Sampling, the effective sample size.
    """
    total = float(weights.sum())
    if total == 0:
        return Estimate(None, None, None, 0, WEIGHTED)
    equal, value = total ** 2 / float((weights ** 2).sum()), float((values * weights).sum()) / total
    low, high = wilson(value * equal, equal)
    return Estimate(value, 0.0 if value == 0 else low, 1.0 if value == 1 else high, len(values), WEIGHTED)


def wilson(right: float, n: float) -> tuple[float, float]:
    """The score interval of a share; (0, 1) of no items. Source: Wilson 1927, doi:10.1080/01621459.1927.10502953."""
    if n == 0:
        return 0.0, 1.0
    p, z2 = right / n, Z * Z
    middle = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = Z / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    return (0.0 if right == 0 else middle - half), (1.0 if right == n else middle + half)


def mean(values: Sequence[float], clusters: Sequence[str] | None = None) -> Estimate:
    """The mean of values, with its bootstrap interval."""
    if not len(values):
        return Estimate(None, None, None, 0, FEW)
    parts = np.stack([np.asarray(values, dtype=np.float64), np.ones(len(values))], 1)
    return bootstrap(parts, lambda sums: sums[:, :1] / sums[:, 1:], clusters)[0]


def bootstrap(parts: Floats, statistic: Statistic, clusters: Sequence[str] | None = None, seed: int = SEED
              ) -> list[Estimate]:
    """The figures that statistic makes of the sums of parts (items, columns), with intervals by resampling items.

    clusters: a name for each item; items of one name are drawn together. Bias-corrected and accelerated; percentiles
    where the correction is undefined. Source: Efron 1987, doi:10.1080/01621459.1987.10478410.
    """
    n, sums = len(parts), _of_clusters(parts, clusters)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = statistic(sums.sum(0, keepdims=True))[0]
        if len(sums) < LEAST_ITEMS:
            return [Estimate(_number(value), None, None, n, FEW) for value in values]
        drawn = np.concatenate([statistic(counts @ sums) for counts in _resamples(len(sums), seed)])
        without = statistic(sums.sum(0) - sums)
    return [_estimate(value, some, jackknife, n)
            for value, some, jackknife in zip(values, drawn.T, without.T, strict=True)]


def _estimate(value: float, drawn: Floats, without: Floats, n: int) -> Estimate:
    drawn, without = drawn[np.isfinite(drawn)], without[np.isfinite(without)]
    if not math.isfinite(value) or not len(drawn):
        return Estimate(_number(value), None, None, n, BOOTSTRAP)
    if np.ptp(drawn) <= TIE * max(1.0, abs(value)):
        return Estimate(float(value), None, None, n, ALIKE)
    low, high = np.quantile(drawn, _levels(value, drawn, without))
    return Estimate(float(value), float(low), float(high), n, BOOTSTRAP)


def _levels(value: float, drawn: Floats, without: Floats) -> tuple[float, float]:
    """Which quantiles of the resampled figures bound the interval."""
    from scipy.special import ndtr, ndtri
    below = float(np.mean(drawn < value - TIE) + np.mean(drawn <= value + TIE)) / 2
    away = without.mean() - without if len(without) else np.zeros(1)
    spread = float((away ** 2).sum()) ** 1.5
    if not 0 < below < 1 or spread <= 0:
        return CHANCE / 2, 1 - CHANCE / 2
    bias, skew = float(ndtri(below)), float((away ** 3).sum()) / (6 * spread)
    low, high = (float(ndtr(bias + (bias + z) / (1 - skew * (bias + z)))) for z in (-Z, Z))
    return (low, high) if 0 < low < high < 1 else (CHANCE / 2, 1 - CHANCE / 2)


def _of_clusters(parts: Floats, clusters: Sequence[str] | None) -> Floats:
    """The sums of each cluster, in the order of first mention."""
    if clusters is None:
        return parts
    places = {name: k for k, name in enumerate(dict.fromkeys(clusters))}
    sums = np.zeros((len(places), parts.shape[1]))
    np.add.at(sums, [places[name] for name in clusters], parts)
    return sums


def _resamples(n: int, seed: int) -> Iterator[Floats]:
    """(some resamples, n): how often each of n is drawn."""
    generator, left = np.random.default_rng(seed), RESAMPLES
    while left:
        rows = min(left, max(1, MOST_AT_ONCE // n))
        places = generator.integers(0, n, (rows, n)) + n * np.arange(rows)[:, None]
        yield np.bincount(places.ravel(), minlength=rows * n).reshape(rows, n).astype(np.float64)
        left -= rows


def mcnemar(only_one: int, only_other: int) -> float:
    """The exact two-sided p value of a pair of answers that are right or wrong, from the items on which they differ.

    Source: McNemar 1947, doi:10.1007/BF02295996, by the binomial distribution.
    """
    from scipy.stats import binomtest
    n = only_one + only_other
    return float(binomtest(only_one, n, 0.5).pvalue) if n else 1.0


def newcombe(both: int, only_one: int, only_other: int, neither: int) -> Estimate:
    """The difference of two shares of the same items, one - other.

    Source: Newcombe 1998, doi:10.1002/(SICI)1097-0258(19981130)17:22<2635::AID-SIM954>3.0.CO;2-C, method 10.
    """
    n = both + only_one + only_other + neither
    if n == 0:
        return Estimate(None, None, None, 0, NEWCOMBE)
    one, other = both + only_one, both + only_other
    (low_one, high_one), (low_other, high_other) = wilson(one, n), wilson(other, n)
    p, q = one / n, other / n
    margins = one * (n - one) * other * (n - other)
    cross = float(both * neither - only_one * only_other)
    phi = (max(cross - n / 2, 0.0) if cross > 0 else cross) / math.sqrt(margins) if margins else 0.0

    def reach(up: float, down: float) -> float:
        return math.sqrt(max(0.0, up * up - 2 * phi * up * down + down * down))

    return Estimate(p - q, p - q - reach(p - low_one, high_other - q), p - q + reach(high_one - p, q - low_other), n,
                    NEWCOMBE)


def swapped(one: Floats, other: Floats, statistic: Statistic, clusters: Sequence[str] | None = None, seed: int = SEED
            ) -> list[float | None]:
    """The two-sided p value of each figure's difference: how often it is as large when results are swapped at random.

    one, other: (items, columns) of the same items. All ways to swap are tried where there are few. Of answers that
    are right or wrong this is mcnemar(). Source: Noreen 1989, approximate randomization.
    """
    one, other = _of_clusters(one, clusters), _of_clusters(other, clusters)
    middle, half = (one + other).sum(0) / 2, (one - other) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        def gap(signs: Floats) -> Floats:
            return np.abs(statistic(middle + signs @ half) - statistic(middle - signs @ half))

        seen = gap(np.ones((1, len(half))))[0]
        counts, tries = np.zeros(len(seen)), 0
        is_all = 2 ** len(half) <= SWAPS
        for signs in _signs(len(half), is_all, seed):
            counts += (gap(signs) >= seen - TIE).sum(0)
            tries += len(signs)
    ps = counts / tries if is_all else (counts + 1) / (tries + 1)
    return [float(p) if math.isfinite(value) else None for p, value in zip(ps, seen, strict=True)]


def _signs(n: int, is_all: bool, seed: int) -> Iterator[Floats]:
    """(some swaps, n) of 1 and -1: every one, or SWAPS at random."""
    if is_all:
        yield np.array(list(itertools.product((1.0, -1.0), repeat=n))).reshape(2 ** n, n)
        return
    generator, left = np.random.default_rng(seed), SWAPS
    while left:
        rows = min(left, max(1, MOST_AT_ONCE // n))
        yield generator.choice(np.array([-1.0, 1.0]), (rows, n))
        left -= rows


def holm(ps: Sequence[float]) -> list[float]:
    """p values corrected for how many were looked at. Source: Holm 1979, Scandinavian Journal of Statistics 6:65."""
    order = sorted(range(len(ps)), key=lambda k: ps[k])
    corrected, most = [0.0] * len(ps), 0.0
    for rank, k in enumerate(order):
        most = max(most, min(1.0, (len(ps) - rank) * ps[k]))
        corrected[k] = most
    return corrected


def _number(value: Any) -> float | None:
    return float(value) if math.isfinite(value) else None
