import random

import pytest

from tasks import ensemble
from tasks.classify import Labels
from tasks.ensemble import Weights

SEVERAL = Labels(names=("a", "b"), is_single=False)
ONE = Labels(names=("a", "b"), is_single=True)


def said(labels: Labels, rows: int = 200) -> tuple[dict, list]:
    """A member that is mostly right, and one that knows nothing."""
    draw = random.Random(1)
    golds = [({"a"}, {"b"}, {"a", "b"})[draw.randrange(2 if labels.is_single else 3)] for _ in range(rows)]
    good = [{name: (1.5 if name in gold else -1.5) + draw.gauss(0, 1) for name in "ab"} for gold in golds]
    noise = [{name: draw.gauss(0, 3) for name in "ab"} for _ in golds]
    return {"good": good, "noise": noise}, golds


@pytest.mark.parametrize("labels", [ONE, SEVERAL])
def test_who_is_right_counts_and_who_knows_nothing_does_not(labels: Labels):
    rows, golds = said(labels)
    found = ensemble.fit(rows, golds, labels)
    assert found.of["good"] > 0.7 and found.of["noise"] < 0.1 * found.of["good"]


def test_a_member_that_is_always_wrong_is_not_turned_round():
    rows, golds = said(SEVERAL)
    wrong = [{name: -value for name, value in one.items()} for one in rows["good"]]
    assert ensemble.fit({"wrong": wrong, "noise": rows["noise"]}, golds, SEVERAL).of["wrong"] == 0.0


def test_a_single_member_is_left_as_it_is():
    rows, golds = said(SEVERAL)
    found = ensemble.fit({"good": rows["good"]}, golds, SEVERAL)
    assert [found.combined({"good": one}) for one in rows["good"]] == rows["good"]


def test_a_label_that_a_member_does_not_know_is_spoken_for_by_the_others():
    both = Weights({"one": 1.0, "other": 0.5}, {"a": 0.25})
    found = both.combined({"one": {"a": 2.0}, "other": {"a": 1.0, "new": 4.0}})
    assert found == {"a": pytest.approx(2.75), "new": pytest.approx(6.0)}


def test_a_member_that_leans_to_one_label_gets_a_bias_against_it():
    rows, golds = said(SEVERAL)
    leaning = [{"a": one["a"] + 4.0, "b": one["b"]} for one in rows["good"]]
    assert ensemble.fit({"leaning": leaning, "noise": rows["noise"]}, golds, SEVERAL).biases["a"] < -2.0
