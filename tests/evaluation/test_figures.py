import dataclasses
import math
import random

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score
from sklearn.preprocessing import MultiLabelBinarizer

from evaluation import figures, statistics
from evaluation.figures import beside, estimates, labels_of, measured, rounded
from evaluation.items import Scored
from tasks import metrics
from tests.evaluation import made


def random_labels(rows: int, seed: int, names: str = "abcdef") -> list[Scored]:
    generator = random.Random(seed)
    pick = [" | ".join(sorted(generator.sample(names, generator.choice((0, 1, 1, 2))))) for _ in range(2 * rows)]
    return made.labelled(list(zip(pick[::2], pick[1::2], strict=True)))


@pytest.mark.parametrize(("rows", "names"), [(1, "ab"), (7, "abcdef"), (60, "abcdef"), (9, "aa")])
@pytest.mark.parametrize("seed", range(3))
def test_f1_is_scikit_learns_and_what_is_resampled_is_the_same(rows: int, names: str, seed: int):
    items = random_labels(rows, seed, names)
    labels = labels_of(items)
    if len(labels) < 2:
        items = made.labelled([("a", "a"), ("b", "a"), ("", "b")])
        labels = labels_of(items)
    binarizer = MultiLabelBinarizer(classes=labels)
    gold, said = (binarizer.fit_transform([metrics.labels(text) for text in texts])
                  for texts in ([one.gold for one in items], [one.answer for one in items]))
    found = measured(made.stated("labels"), items, labels)
    with np.errstate(all="ignore"):
        figure = found.statistic(found.parts.sum(0, keepdims=True))[0]
    expected = [accuracy_score(gold, said), f1_score(gold, said, average="macro", zero_division=0),
                f1_score(gold, said, average="micro", zero_division=0)]
    assert list(figure) == pytest.approx(expected)
    named = estimates(made.stated("labels"), items, labels)
    assert [named[name].value for name in found.names] == pytest.approx(expected)
    assert metrics.macro_f1([metrics.labels(one.gold) for one in items], [metrics.labels(one.answer) for one in items]
                            ) == pytest.approx(expected[1])


def test_a_single_label_is_not_taken_for_two_classes():
    items = made.labelled([("a", "a"), ("a", ""), ("", "a"), ("", "")])
    named = estimates(made.stated("labels"), items, ["a"])
    assert named["macro_f1"].value == named["micro_f1"].value == pytest.approx(0.5)
    assert named["subset_accuracy"].value == 0.5


def test_labels_of_the_other_model_do_not_change_the_figures_of_this_one():
    items = random_labels(40, 1)
    own = estimates(made.stated("labels"), items, labels_of(items))
    more = estimates(made.stated("labels"), items, sorted([*labels_of(items), "never", "zzz"]))
    assert {name: one.value for name, one in own.items()} == {name: one.value for name, one in more.items()}


def test_accuracies_have_wilsons_interval_unless_items_belong_together():
    items = made.decided("1" * 7 + "0" * 13)
    alone = estimates(made.stated(), items)["accuracy"]
    assert (alone.value, alone.low, alone.high, alone.n, alone.how) == (
        0.35, *statistics.wilson(7, 20), 20, statistics.WILSON)
    together = [dataclasses.replace(one, cluster=f"patientid=p{one.number // 2}") for one in items]
    wider = estimates(made.stated(), together)["accuracy"]
    assert wider.value == 0.35 and wider.how == statistics.BOOTSTRAP
    assert wider.high - wider.low > 1.2 * (alone.high - alone.low)
    four = [dataclasses.replace(one, cluster=f"patientid=p{one.number // 5}") for one in items]
    few = estimates(made.stated(), four)["accuracy"]
    assert (few.value, few.low, few.how) == (0.35, None, statistics.FEW)


def test_means_are_weighted_and_each_metric_has_its_own_n():
    stated = made.stated("mean", metrics=("score", "rare", "finished", "never"))
    items = [made.item(0, value=0.5, weight=3, values={"score": 0.5, "rare": 0.2, "finished": 1.0, "holds: x": 9.0}),
             made.item(1, value=1.0, weight=1, values={"score": 1.0, "finished": 0.0})]
    found = estimates(stated, items)
    assert found["score"].value == pytest.approx(2.5 / 4) and found["score"].n == 2
    assert (found["rare"].value, found["rare"].n) == (pytest.approx(0.2), 1)
    assert found["finished"].value == pytest.approx(0.75) and found["finished"].how == statistics.WEIGHTED
    assert (found["never"].value, found["never"].n) == (None, 0) and set(found) == set(stated.metrics)


def test_a_share_among_the_means_has_wilsons_interval():
    found = estimates(made.stated("mean"), made.many("mean", 1, 60))
    assert found["finished"].how == statistics.WILSON and found["rouge_1"].how == statistics.BOOTSTRAP


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_mean_that_happens_to_be_0_or_1_everywhere_is_no_share(value: float):
    for rows, how in ((1, statistics.FEW), (12, statistics.ALIKE)):
        items = [made.item(k, right=None, value=value, values={"rouge_1": value, "rouge_l": value, "finished": value},
                           baselines={"none": 0.5}) for k in range(rows)]
        found = estimates(made.stated("mean"), items)
        assert (found["rouge_1"].low, found["rouge_1"].how) == (None, how)
        assert found["finished"].how == statistics.WILSON
        assert beside(made.stated("mean"), items)[0]["difference"]["how"] == how


def test_perplexity_is_of_all_tokens_and_not_the_mean_of_the_items():
    items = [made.item(0, value=1.0, right=None, values={"nats": 10.0, "tokens": 10, "bytes": 40}),
             made.item(1, value=3.0, right=None, values={"nats": 270.0, "tokens": 90, "bytes": 360})]
    found = estimates(made.stated("perplexity"), items)
    assert found["perplexity"].value == pytest.approx(math.exp(2.8))
    assert found["bits_per_byte"].value == pytest.approx(280 / math.log(2) / 400)


@pytest.mark.parametrize("kind", sorted(made.KINDS))
def test_no_items_have_no_figures(kind: str):
    assert {(one.value, one.low, one.n) for one in estimates(made.stated(kind), []).values()} == {(None, None, 0)}
    assert beside(made.stated(kind), []) == []


def with_baselines(items: list[Scored], **values: list[float]) -> list[Scored]:
    return [dataclasses.replace(one, baselines={name: values[name][k] for name in values})
            for k, one in enumerate(items)]


@pytest.mark.parametrize(("right", "always", "verdict"), [
    ("1" * 40 + "0" * 10, [1.0] * 20 + [0.0] * 30, "above"), ("1" * 10 + "0" * 40, [0.0] * 10 + [1.0] * 40, "below"),
    ("1" * 25 + "0" * 25, [1.0] * 24 + [0.0] * 26, "not told apart"), ("1" * 50, [0.25] * 50, "above"),
    ("0" * 50, [0.25] * 50, "below"), ("1" * 13 + "0" * 37, [0.25] * 50, "not told apart"),
    ("1" * 40 + "0" * 10, [0.25, 0.5] * 25, "above"), ("1", [0.25], "not told apart")])
def test_the_model_beside_a_trivial_answer(right: str, always: list[float], verdict: str):
    found, = beside(made.stated(), with_baselines(made.decided(right), always=always))
    ours = right.count("1") / len(right)
    assert found["verdict"] == verdict and found["value"] == pytest.approx(np.mean(always)) and found["n"] == len(right)
    assert found["difference"]["value"] == pytest.approx(ours - np.mean(always), abs=1e-5)


def test_trivial_answers_stand_best_first_whichever_way_is_better():
    items = with_baselines(made.decided("10" * 10), low=[0.1] * 20, high=[0.9] * 20)
    assert [one["name"] for one in beside(made.stated(), items)] == ["high", "low"]
    assert [one["name"] for one in beside(made.stated(is_higher_better=False), items)] == ["low", "high"]


def test_trivial_answers_are_weighted_like_the_model():
    items = [made.item(0, value=0.5, weight=3, baselines={"none": 0.0}),
             made.item(1, value=1.0, weight=1, baselines={"none": 1.0})]
    found, = beside(made.stated("mean", metrics=("score",)), items)
    assert found["value"] == 0.25 and found["difference"]["value"] == pytest.approx(2.5 / 4 - 0.25)


def test_a_text_is_held_against_xz_in_bits_a_byte():
    items = figures.scored(made.many("perplexity", 1, 30))
    found, = beside(made.stated("perplexity"), items)
    assert found["metric"] == "bits_per_byte" and found["value"] == 2.4 and found["verdict"] == figures.BELOW


def test_figures_are_written_with_as_many_digits_as_every_machine_agrees_on():
    assert rounded(0.1 + 0.2) == 0.3 and rounded(123456.789) == 123457.0
    assert rounded(None) is None and rounded(math.nan) is None and rounded(math.inf) is None
