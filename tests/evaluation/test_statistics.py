import math
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest
from scipy import stats

from evaluation import statistics
from evaluation.statistics import bootstrap, holm, mcnemar, mean, newcombe, share, swapped, wilson

RATIO = lambda sums: sums[:, :1] / sums[:, 1:]                      # noqa: E731


def columns(values: Any) -> Any:
    """Values as the sums of a mean."""
    return np.stack([np.asarray(values, dtype=float), np.ones(len(values))], 1)


@pytest.mark.parametrize(("right", "n"), [(0, 1), (1, 1), (0, 20), (20, 20), (7, 20), (114, 300), (1, 9_999)])
def test_wilson_is_scipys(right: int, n: int):
    theirs = stats.binomtest(right, n).proportion_ci(0.95, method="wilson")
    assert wilson(right, n) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_a_share_of_nothing_is_undefined_and_one_of_all_right_is_not_certain():
    assert share(0, 0) == statistics.Estimate(None, None, None, 0, statistics.WILSON)
    assert share(20, 20).high == 1.0 and 0.83 < (share(20, 20).low or 0) < 0.85
    assert wilson(0, 0) == (0.0, 1.0)


def tables(n: int) -> Iterator[tuple[int, int, int, int]]:
    return ((a, b, c, n - a - b - c) for a in range(n + 1) for b in range(n + 1 - a) for c in range(n + 1 - a - b))


@pytest.mark.parametrize("chances", [(0.25, 0.25, 0.25, 0.25), (0.6, 0.2, 0.1, 0.1), (0.05, 0.3, 0.05, 0.6),
                                     (0.9, 0.04, 0.04, 0.02)])
def test_newcombes_interval_holds_the_true_difference_as_often_as_it_says(chances: tuple[float, ...]):
    n, held = 24, 0.0
    for table in tables(n):
        found = newcombe(*table)
        if found.low - 1e-12 <= chances[1] - chances[2] <= found.high + 1e-12:
            held += float(stats.multinomial.pmf(table, n, chances))
    assert 0.93 < held <= 1.0


def test_newcombes_interval_of_a_table_and_of_the_same_turned_round():
    found = newcombe(36, 12, 2, 0)
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.0569, 0.3404), abs=5e-5)
    mirrored = newcombe(36, 2, 12, 0)
    assert (mirrored.low, mirrored.high) == pytest.approx((-found.high, -found.low))


def test_newcombes_interval_where_nothing_differs_is_not_a_point():
    found = newcombe(50, 0, 0, 0)
    assert found.value == 0.0 and found.low == pytest.approx(-found.high) and 0.05 < found.high < 0.1
    assert newcombe(0, 0, 0, 0).value is None


@pytest.mark.parametrize(("one", "other"), [(0, 0), (0, 5), (3, 9), (9, 3), (20, 35), (1, 0), (6, 6)])
def test_mcnemar_counts_the_ways_the_flips_could_have_fallen(one: int, other: int):
    n = one + other
    ways = [math.comb(n, k) / 2 ** n for k in range(n + 1)]
    expected = sum(way for way in ways if way <= ways[one] * (1 + 1e-9))
    assert mcnemar(one, other) == pytest.approx(min(1.0, expected))


def test_the_bootstrap_interval_is_scipys():
    values = np.random.default_rng(1).exponential(size=60)
    found, = bootstrap(columns(values), RATIO)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=10_000, method="BCa", rng=2).confidence_interval
    assert found.value == pytest.approx(values.mean()) and found.n == 60
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=0.03)
    assert abs(found.high - found.value) > 1.1 * abs(found.value - found.low)       # as skewed as the values


def test_the_interval_of_a_skewed_mean_holds_it_as_often_as_it_says():
    generator = np.random.default_rng(5)
    held = 0
    for _ in range(200):
        found = mean(list(generator.exponential(size=40)))
        held += found.low <= 1.0 <= found.high
    assert 0.88 <= held / 200 <= 0.985


def test_a_seed_gives_the_same_interval_and_another_one_nearly_the_same():
    values = columns(np.random.default_rng(0).random(50))
    assert bootstrap(values, RATIO) == bootstrap(values, RATIO)
    one, other = bootstrap(values, RATIO)[0], bootstrap(values, RATIO, seed=9)[0]
    assert one != other and one.low == pytest.approx(other.low, abs=0.01)


def test_many_items_are_resampled_in_pieces_and_come_near_the_normal_interval():
    values = np.random.default_rng(0).random(3_000)
    assert len(values) * statistics.RESAMPLES > 2 * statistics.MOST_AT_ONCE
    found, half = mean(list(values)), statistics.Z * values.std() / math.sqrt(len(values))
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=half / 20)


def test_copies_in_one_cluster_are_no_new_evidence():
    values = np.random.default_rng(3).random(30)
    alone, = bootstrap(columns(values), RATIO)
    copied, = bootstrap(columns(np.repeat(values, 4)), RATIO, [f"patient {k // 4}" for k in range(120)])
    naive, = bootstrap(columns(np.repeat(values, 4)), RATIO)
    assert (copied.low, copied.high) == pytest.approx((alone.low, alone.high)) and copied.n == 120
    assert copied.high - copied.low > 1.8 * (naive.high - naive.low)


@pytest.mark.parametrize(("values", "how"), [([0.3], statistics.FEW), ([], statistics.FEW),
                                             ([0.3] * 20, statistics.ALIKE)])
def test_no_interval_where_resampling_says_nothing(values: list[float], how: str):
    found = mean(values)
    assert (found.low, found.high, found.how, found.n) == (None, None, how, len(values))
    assert found.value == (pytest.approx(0.3) if values else None)


def test_figures_that_resamples_leave_undefined():
    parts = np.array([[1.0, 1.0], [0.0, 1.0], *[[0.0, 0.0]] * 10])
    with np.errstate(all="raise"):
        found, = bootstrap(parts, RATIO)                            # some resamples hold no item that counts
        nothing, = bootstrap(parts * 0, RATIO)
    assert found.value == 0.5 and (found.low, found.high) == (0.0, 1.0)
    assert nothing.value is None and nothing.low is None


@pytest.mark.parametrize(("both", "one", "other", "neither"), [(3, 1, 4, 2), (5, 0, 3, 0), (4, 2, 2, 1), (6, 0, 0, 3)])
def test_swapping_right_and_wrong_answers_is_mcnemar(both: int, one: int, other: int, neither: int):
    mine = [1.0] * both + [1.0] * one + [0.0] * other + [0.0] * neither
    yours = [1.0] * both + [0.0] * one + [1.0] * other + [0.0] * neither
    assert swapped(columns(mine), columns(yours), RATIO) == pytest.approx([mcnemar(one, other)])


@pytest.mark.parametrize("n", [9, 40])
def test_swapping_is_scipys_permutation_test(n: int):
    generator = np.random.default_rng(n)
    mine, yours = generator.random(n) + 0.1, generator.random(n)
    theirs = stats.permutation_test((mine, yours), lambda x, y, axis: np.mean(x, axis) - np.mean(y, axis),
                                    permutation_type="samples", vectorized=True, n_resamples=10_000, rng=1)
    found, = swapped(columns(mine), columns(yours), RATIO)
    assert found == pytest.approx(theirs.pvalue, abs=1e-9 if n < 14 else 0.02)


def test_swapping_models_that_are_alike_finds_a_difference_in_one_of_twenty():
    generator = np.random.default_rng(8)
    ps = [swapped(columns(generator.random(20)), columns(generator.random(20)), RATIO)[0] for _ in range(200)]
    assert 0.01 <= np.mean([p < 0.05 for p in ps]) <= 0.09
    assert swapped(columns([0.5] * 30), columns([0.5] * 30), RATIO) == [1.0]


def test_whole_clusters_are_swapped():
    mine, yours = np.array([1.0] * 12), np.array([0.0] * 12)
    assert swapped(columns(mine), columns(yours), RATIO) == [2 / 2 ** 12]
    assert swapped(columns(mine), columns(yours), RATIO, ["a"] * 6 + ["b"] * 6) == [0.5]
    assert swapped(columns(mine[:0]), columns(yours[:0]), RATIO) == [None]


def test_holm():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])       # a textbook's example
    assert holm([]) == [] and holm([0.2]) == [0.2] and holm([0.9, 0.8]) == [1.0, 1.0]
    generator = np.random.default_rng(0)
    for _ in range(50):                                             # the definition: reject one by one
        ps = [float(p) for p in generator.random(5) ** 3]
        corrected = holm(ps)
        for level, (p, q) in product((0.01, 0.05, 0.2), zip(ps, corrected, strict=True)):
            order = sorted(ps)
            rejected = [x for k, x in enumerate(order) if all((5 - j) * order[j] <= level for j in range(k + 1))]
            assert (q <= level) is (p in rejected)


def test_a_share_by_weight_is_the_plain_one_where_weights_are_alike():
    values = np.array([1.0] * 7 + [0.0] * 13)
    found, plain = statistics.weighted_share(values, np.full(20, 3.0)), statistics.share(7, 20)
    assert (found.value, found.n) == (0.35, 20)
    assert (found.low, found.high) == pytest.approx((plain.low, plain.high))


def test_a_share_by_weight_covers_the_true_one():
    generator, held = np.random.default_rng(4), 0
    for _ in range(1000):
        weights = generator.choice([1.0, 2.0, 5.0], 22)
        found = statistics.weighted_share((generator.random(22) < 0.2).astype(float), weights)
        held += found.low <= 0.2 <= found.high
    assert 930 <= held <= 975


def test_nothing_seen_is_not_nothing_possible():
    found = statistics.weighted_share(np.zeros(22), np.array([1.0, 3.0] * 11))
    assert (found.value, found.low, found.n) == (0.0, 0.0, 22)
    assert statistics.wilson(0, 22)[1] < found.high < 0.2
    assert statistics.weighted_share(np.zeros(0), np.zeros(0)).value is None
