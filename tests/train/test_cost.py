"""What the whole order costs is told from a few steps of it."""

import random

import pytest

from train.batches import batch_tokens
from train.cost import Load, fit, load_of, to_measure

PRICES = {"each": 0.03, "token": 2e-4, "attention": 3e-8, "learned": 4e-4}


def some_loads(count: int, seed: int = 0) -> list[Load]:
    draw = random.Random(seed)
    lengths = [int(draw.lognormvariate(5, 0.7)) + 20 for _ in range(8 * count)]
    learned = [max(1, int(length * draw.uniform(0.05, 0.5))) for length in lengths]
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    return [load_of([order[k:k + 4], order[k + 4:k + 8]], lengths, learned, False) for k in range(0, len(order), 8)]


def true_seconds(load: Load) -> float:
    return (PRICES["each"] + PRICES["token"] * load.tokens + PRICES["attention"] * load.attention
            + PRICES["learned"] * load.learned)


def test_the_load_of_a_step_counts_padding_and_every_batch():
    lengths, learned = [10, 64, 64, 5], [1, 2, 3, 4]
    assert load_of([[0, 1], [2, 3]], lengths, learned, False) == Load(
        tokens=2 * 64 + 2 * 64, attention=2 * (2 * 64 * 64), learned=10, widest=128)
    whole = batch_tokens(lengths, is_packed=True)
    assert load_of([[0, 1, 2, 3]], lengths, learned, True) == Load(
        tokens=whole, attention=10 ** 2 + 64 ** 2 + 64 ** 2 + 5 ** 2, learned=10, widest=whole)


@pytest.mark.parametrize("count", [1, 2, 3, 60, 400])
def test_the_steps_to_measure_hold_the_largest_and_the_smallest(count: int):
    loads = some_loads(count)
    chosen = to_measure(loads, 10)
    assert len(chosen) == len(set(chosen)) <= min(14, count) and set(chosen) <= set(range(count))
    largest = max(range(count), key=lambda k: loads[k].widest)
    assert largest in chosen[:2] and min(range(count), key=lambda k: loads[k].tokens) in chosen[:4]


@pytest.mark.parametrize("seed", range(4))
def test_a_few_noisy_steps_tell_the_time_of_all(seed: int):
    loads, draw = some_loads(300, seed), random.Random(seed)
    chosen = to_measure(loads, 10)
    predict = fit([loads[k] for k in chosen], [true_seconds(loads[k]) * draw.gauss(1, 0.03) for k in chosen])
    told, true = sum(map(predict, loads)), sum(map(true_seconds, loads))
    assert abs(told / true - 1) < 0.06
    assert all(predict(load) > 0 for load in loads)


def test_few_steps_still_give_a_price():
    [load] = some_loads(1)
    assert fit([load], [2.0])(load) == pytest.approx(2.0)
    loads = some_loads(2)
    predict = fit(loads, [1.0, 1.0])
    assert predict(loads[0]) + predict(loads[1]) == pytest.approx(2.0)
