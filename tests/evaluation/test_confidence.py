import dataclasses
import random

import pytest

from evaluation.confidence import calibration, judged
from evaluation.statistics import wilson
from tests.evaluation import made


def sure(p: float, is_right: bool, number: int = 0, answer: str = ""):
    gold = "yes" if is_right else "no"
    return made.item(number, gold=gold, answer=answer or "yes", right=is_right,
                     probabilities={"yes": p, "no": 1 - p})


def test_confidence_is_that_of_the_likeliest_choice_even_where_it_was_not_given():
    assert judged(made.stated(), [sure(0.8, True), sure(0.7, False), sure(0.3, True)]) == (
        [0.8, 0.7, 0.7], [True, False, False])
    unsaid = dataclasses.replace(sure(0.6, True), answer="", right=False)
    assert judged(made.stated(), [unsaid, made.item(1)]) == ([0.6], [True])


def test_of_labels_each_is_judged():
    one = made.item(0, gold="a | c", probabilities={"a": 0.9, "b": 0.2, "c": 0.4})
    assert judged(made.stated("labels"), [one]) == ([0.9, 0.2, 0.4], [True, False, True])


def test_error_and_bins():
    items = [sure(0.75, k < 3, k) for k in range(10)] + [sure(0.95, k < 9, k + 10) for k in range(10)]
    found = calibration(made.stated(), items)
    assert found and found["n"] == 20 and [one["n"] for one in found["bins"]] == [10, 10]
    assert found["error"] == pytest.approx((10 * 0.45 + 10 * 0.05) / 20)
    right = found["bins"][0]["right"]
    assert (right["value"], right["low"], right["high"]) == pytest.approx((0.3, *wilson(3, 10)), abs=1e-5)
    assert (found["confidence"], found["right"]) == (0.85, 0.6)


@pytest.mark.parametrize(("bend", "is_more"), [(0.0, 0), (0.3, 1)])
def test_true_probabilities_stay_below_what_chance_makes_of_them_19_times_of_20(bend: float, is_more: int):
    generator, more = random.Random(1), []
    for _ in range(40):
        ps = [generator.uniform(0.5, 1.0) for _ in range(200)]
        found = calibration(made.stated(), [sure(p, generator.random() < p - bend, k) for k, p in enumerate(ps)])
        assert found
        more.append(found["error"] > found["perfect_up_to"])
    assert (sum(more) == 40) if is_more else (sum(more) <= 6)


def test_without_probabilities_there_is_nothing_to_calibrate():
    assert calibration(made.stated(), made.decided("1100")) is None and calibration(made.stated(), []) is None
    assert calibration(made.stated("mean"), made.many("mean", 1, 5)) is None
