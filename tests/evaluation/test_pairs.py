import dataclasses
import math

import numpy as np
import pytest

from evaluation import statistics
from evaluation.figures import estimates, labels_of
from evaluation.items import SIDES, Scored
from evaluation.pairs import LISTED, compare, cut, flips, paired, to_read
from evaluation.statistics import mcnemar
from tests.evaluation import made


def both(mine: str, yours: str) -> list[Scored]:
    return made.decided(mine) + made.decided(yours, "against")


def test_only_items_that_both_models_did_are_compared():
    found = paired(both("11s0", "s110"))
    assert [(one.number, other.number, one.side, other.side) for one, other in found] == [
        (1, 1, "model", "against"), (3, 3, "model", "against")]


def test_right_and_wrong_answers_are_compared_by_their_flips():
    found = compare(made.stated(sides=2), paired(both("1" * 8 + "0" * 4, "1" * 3 + "0" * 8 + "1")))
    one = found["metrics"]["accuracy"]
    assert (found["n"], found["main"], one["from"], one["to"]) == (12, "accuracy", pytest.approx(4 / 12, abs=1e-6),
                                                                  pytest.approx(8 / 12, abs=1e-6))
    assert one["p"] == pytest.approx(mcnemar(5, 1)) and one["test"] == statistics.MCNEMAR
    assert one["difference"]["value"] == pytest.approx(4 / 12, abs=1e-6)
    assert one["difference"]["low"] < 4 / 12 < one["difference"]["high"]


def test_items_of_one_patient_are_swapped_together():
    items = [dataclasses.replace(one, cluster=f"p{one.number // 6}") for one in both("1" * 12, "0" * 12)]
    one = compare(made.stated(sides=2), paired(items))["metrics"]["accuracy"]
    assert one["test"] == statistics.SWAPPED and one["p"] == 0.5
    assert compare(made.stated(sides=2), paired(both("1" * 12, "0" * 12)))["metrics"]["accuracy"]["p"] < 0.001


@pytest.mark.parametrize("kind", sorted(made.KINDS))
def test_the_figures_of_a_pair_are_those_of_each_model_on_the_same_items(kind: str):
    items, stated = made.many(kind, 2, 60), made.stated(kind, 2)
    labels = labels_of(items) if kind == "labels" else []
    pairs = paired(items)
    found = compare(stated, pairs, labels)
    assert found["n"] == len(pairs) == 58
    for side, key in ((0, "to"), (1, "from")):
        alone = estimates(stated, [pair[side] for pair in pairs], labels)
        assert set(found["metrics"]) == set(alone)
        for name, one in found["metrics"].items():
            assert one[key] == pytest.approx(alone[name].value, rel=1e-5)
    for one in found["metrics"].values():
        gap = one["difference"]
        assert gap["value"] == pytest.approx(one["to"] - one["from"], abs=1e-4)
        assert gap["low"] < gap["value"] < gap["high"] and 0 < one["p"] <= 1


def test_the_same_answers_differ_in_nothing():
    items = made.many("mean", 1, 30)
    twice = items + [dataclasses.replace(one, side="against", model=made.PRINTS["against"]) for one in items]
    for one in compare(made.stated("mean", 2), paired(twice))["metrics"].values():
        assert one["difference"]["value"] == 0 and one["p"] == 1


def test_a_metric_that_one_side_lacks_on_an_item_counts_for_neither():
    stated = made.stated("mean", 2, metrics=("score", "rare"))
    items = [made.item(k, side=side, value=0.5, values={"rare": value} if value is not None else {})
             for k, (mine, yours) in enumerate([(1.0, 0.0), (None, 0.9), (1.0, None), (0.4, 0.2)])
             for side, value in (("model", mine), ("against", yours))]
    rare = compare(stated, paired(items))["metrics"]["rare"]
    assert (rare["to"], rare["from"]) == (pytest.approx(0.7), pytest.approx(0.1))


def test_texts_are_compared_by_the_byte_where_the_tokens_are_not_the_same():
    stated = made.stated("perplexity", 2)
    items = [made.item(k, side=side, right=None, value=nats / tokens,
                       values={"nats": nats + k, "tokens": tokens, "bytes": 100})
             for k in range(5) for side, nats, tokens in (("model", 50.0, 25), ("against", 60.0, 40))]
    found = compare(stated, paired(items))
    assert found["main"] == "bits_per_byte"
    assert found["metrics"]["bits_per_byte"]["to"] == pytest.approx(52 / math.log(2) / 100, rel=1e-5)
    assert found["metrics"]["perplexity"]["to"] > found["metrics"]["perplexity"]["from"]    # which misleads
    assert flips(stated, paired(items))["better"]["n"] == 5
    alike = [dataclasses.replace(one, values=one.values | {"tokens": 30}) for one in items]
    assert compare(stated, paired(alike))["main"] == "perplexity"


def test_nothing_to_compare():
    found = compare(made.stated(sides=2), paired(both("1s", "s1")))
    assert found == {"n": 0, "main": "accuracy", "metrics": {}}


def test_what_went_wrong_stands_first_the_surest_first():
    stated, items = made.stated(sides=2), both("0001101", "1110001")
    sure = {0: 0.6, 1: 0.9, 2: 0.7}
    items = [dataclasses.replace(one, probabilities={"no": sure.get(one.number, 0.5)}) if one.side == "model" else one
             for one in items]
    found = flips(stated, paired(items))
    assert list(found) == ["worse", "better"]
    assert [one["number"] for one in found["worse"]["items"]] == [1, 2, 0] and found["worse"]["n"] == 3
    assert found["worse"]["numbers"] == [0, 1, 2] and found["better"]["numbers"] == [3, 4]
    assert found["worse"]["items"][0]["is"] == {"answer": "no", "value": 0.0, "note": "", "probability": 0.9}
    assert found["worse"]["items"][0]["was"]["answer"] == "yes"


@pytest.mark.parametrize("is_higher_better", [True, False])
def test_figures_that_moved_furthest_stand_first(is_higher_better: bool):
    stated = made.stated("mean", 2, is_higher_better=is_higher_better)
    items = [made.item(k, side=side, right=None, value=value) for k, pair in enumerate(
        [(0.1, 0.2), (0.1, 0.9), (0.8, 0.1), (0.5, 0.5)]) for side, value in zip(SIDES, pair, strict=True)]
    fell, rose = ("worse", "better") if is_higher_better else ("better", "worse")
    found = flips(stated, paired(items))
    assert [one["number"] for one in found[fell]["items"]] == [1, 0]
    assert [one["number"] for one in found[rose]["items"]] == [2]


def test_of_one_model_the_surest_wrong_answers_are_to_read():
    items = [dataclasses.replace(one, probabilities={"no": 0.5 + one.number / 100}) for one in made.decided("1010-0")]
    found = to_read(made.stated(), items)
    assert found and [one["number"] for one in found["items"]] == [5, 4, 3, 1] and found["n"] == 4
    assert to_read(made.stated("perplexity"), []) is None
    lowest = to_read(made.stated("mean"), [made.item(k, right=None, value=v) for k, v in enumerate((0.4, 0.1, 0.9))])
    assert lowest and [one["number"] for one in lowest["items"]] == [1, 0, 2]


def test_long_lists_and_long_texts_are_cut_and_say_so():
    found = flips(made.stated(sides=2), paired(both("0" * 90, "1" * 90)))
    assert found["worse"]["n"] == len(found["worse"]["numbers"]) == 90 and len(found["worse"]["items"]) == LISTED
    assert cut("abc", 3) == "abc" and cut("abcdef", 3) == "abc … (6 characters; all in items.jsonl)"


def test_f1_of_two_models_is_compared_by_swapping_their_answers():
    generator = np.random.default_rng(0)
    golds = [str(one) for one in generator.choice(list("abc"), 60)]
    mine = [gold if generator.random() < 0.8 else "a" for gold in golds]
    yours = [gold if generator.random() < 0.4 else "a" for gold in golds]
    items = (made.labelled(list(zip(golds, mine, strict=True)))
             + made.labelled(list(zip(golds, yours, strict=True)), "against"))
    found = compare(made.stated("labels", 2), paired(items), labels_of(items))["metrics"]
    assert found["macro_f1"]["test"] == statistics.SWAPPED and found["macro_f1"]["p"] < 0.01
    assert found["subset_accuracy"]["test"] == statistics.MCNEMAR and found["macro_f1"]["difference"]["low"] > 0
