import re
from typing import Any

import pytest

from evaluation import report, words
from tests.evaluation import made
from tests.evaluation.test_pairs import both


def said(items: list[Any], kind: str = "accuracy", sides: int = 2, **values: Any) -> list[str]:
    stated = made.stated(kind, sides, **values)
    return report.report(stated, items)["sentences"]


def test_a_difference_that_could_be_chance():
    items = both("1" * 114 + "0" * 186, "0" * 63 + "1" * 51 + "1" * 48 + "0" * 138)
    first, second, *_ = said(items)
    assert first == ("Accuracy goes from 33% (base) to 38% (tuned) on 300 items: the difference could be chance, "
                     "p = 0.18.")
    assert second.startswith("With 95% confidence the change lies between -") and "points (300 items)" in second


@pytest.mark.parametrize(("mine", "yours", "words"), [
    ("1" * 40 + "0" * 20, "0" * 60, "to 67% (tuned) on 60 items: the difference is hardly chance, p < 0.001; tuned is "
                                    "better."),
    ("0" * 60, "1" * 40 + "0" * 20, "from 67% (base) to 0% (tuned) on 60 items: the difference is hardly chance, "
                                    "p < 0.001; base is better."),
    ("1100", "1100", "Accuracy is 50% with both base and tuned on 4 items: no difference, p = 1."),
    ("1010", "0101", "Accuracy is 50% with both base and tuned on 4 items: no difference, p = 1."),
    ("1", "0", "from 0% (base) to 100% (tuned) on 1 item: the difference could be chance, p = 1."),
    ("ss", "11", "No item was scored by both models, so there is nothing to compare."),
    ("1" * 201 + "0" * 199, "1" * 200 + "0" * 200, "from 50.0% (base) to 50.2% (tuned) on 400 items: the difference "
                                                   "could be chance, p = 1.")])
def test_the_headline_of_a_pair(mine: str, yours: str, words: str):
    assert said(both(mine, yours))[0].endswith(words)


def test_where_less_is_better():
    items = [made.item(k, side=side, right=None, value=value, values={"rouge_1": value}) for k in range(30)
             for side, value in (("model", 0.2 + k / 100), ("against", 0.4 + k / 90))]
    first = said(items, "mean", is_higher_better=False)[0]
    assert first.startswith("ROUGE-1 goes from 0.561 (base) to 0.345 (tuned) on 30 items")
    assert first.endswith("tuned is better.")


@pytest.mark.parametrize(("is_higher_better", "words"), [(True, "does better"), (False, "does worse")])
def test_above_a_trivial_answer_is_better_only_where_more_is(is_higher_better: bool, words: str):
    items = [made.item(k, right=None, value=0.5 + k / 100, baselines={"none": 0.2}) for k in range(20)]
    assert f"gets 0.200 on the same 20 items; tuned {words}." in " ".join(
        said(items, "mean", 1, metrics=("score",), is_higher_better=is_higher_better))


@pytest.mark.parametrize(("right", "words"), [
    ("1" * 20, "tuned: accuracy 100% on 20 items (95% interval 84% to 100%)."),
    ("0" * 20, "tuned: accuracy 0% on 20 items (95% interval 0% to 16%)."),
    ("1", "tuned: accuracy 100% on 1 item (95% interval 21% to 100%)."),
    ("ss", "tuned: no item could be scored, so there is no accuracy."),
    ("", "tuned: no item could be scored, so there is no accuracy.")])
def test_the_headline_of_one_model(right: str, words: str):
    assert said(made.decided(right), sides=1, drawn=len(right))[0] == words


def test_no_interval_says_why():
    assert said([made.item(k, right=None, value=0.5) for k in range(12)], "mean", 1, metrics=("score",))[0] == (
        "tuned: score 0.500 on 12 items (no interval: all alike, so resampling shows no spread).")


def test_what_leaked_items_are_part_of_says_so():
    leaked = [made.item(k, leak="train.csv, line 2: the same", baselines={"always no": 0.0}) for k in range(12)]
    fresh = [made.item(k, right=False, value=0.0, baselines={"always no": 0.0}) for k in range(12, 20)]
    found = said(leaked + fresh, sides=1, drawn=20)
    assert "With leaked items: The best trivial answer (always no) gets 0% on the same 20 items; tuned does better." \
        in found
    assert any(text.startswith("Without leaked items: The best trivial answer") for text in found)
    assert not any(text.startswith("The best") for text in found)
    found = said(leaked, sides=1, drawn=12)
    assert found[1] == ("All 12 items also stand among the training rows, so that says nothing of items that were not "
                        "learned from.")
    assert not any("could be scored" in text for text in found)


def test_perplexity_stands_beside_the_trivial_answer_in_its_unit():
    text = " ".join(said(made.many("perplexity", 1, 30), "perplexity", 1, drawn=30))
    assert re.search(r"gets 2\.400 bits a byte on the same 29 items; tuned, with \d\.\d{3}, does", text)


def test_labels_are_counted_as_labels_and_as_items():
    text = " ".join(said(made.many("labels", 1, 40), "labels", 1, drawn=40))
    assert "of the 190 labels of 38 items apply" in text


def test_the_p_values_of_groups_say_that_they_are_corrected():
    items = [*made.many("accuracy", 2, 60)]
    assert any("The p values of these 2 groups are corrected for their number (Holm)." in text for text in said(items))
    assert not any("Holm" in text for text in said(made.many("accuracy", 1, 60), sides=1))


def test_what_has_to_be_read_with_it():
    items = [made.item(k, answer=answer, right=right, value=value, skipped=skipped, leak=leak,
                       baselines={"always yes": 0.5})
             for k, (answer, right, value, skipped, leak) in enumerate(
                 [("yes", True, 1.0, "", "train.csv, line 2: the same")] * 5 + [("no", False, 0.0, "", "")] * 3
                 + [("", False, 0.0, "", "")] * 2 + [("", None, None, "too long: 900 tokens", "")] * 2)]
    text = " ".join(said(items, sides=1, drawn=20))
    assert "tuned was asked only 12 of the 20 items that were drawn." in text
    assert ("The best trivial answer (always yes) gets 50% on the same 10 items; tuned is not told apart from it."
            in text)
    assert "tuned could not be scored on 2 of 12 items, which are left out of its figures; counted as wrong, " \
           "accuracy is 42%." in text
    assert "tuned gave no answer to 2 of 10 items, which count as wrong; of the 8 others 62% are right." in text
    assert "5 items of 12 also stand among the training rows, so that says less than it seems." in text
    assert "Without leaked items: tuned: accuracy 0% on 5 items (95% interval 0% to 43%)." in text


def test_few_groups_are_said_and_many_are_a_table():
    groups = [made.item(k, group=f"g{k % 2}") for k in range(8)]
    assert "g1: tuned: accuracy 100% on 4 items (95% interval 51% to 100%)." in said(groups, sides=1)
    many = [made.item(k, group=f"g{k}") for k in range(20)]
    assert not [text for text in said(many, sides=1) if text.startswith("g")]


@pytest.mark.parametrize(("p", "text"), [
    (0.0, "p < 0.001"), (0.00099, "p < 0.001"), (0.001, "p = 0.001"), (0.0049, "p = 0.005"), (0.2, "p = 0.20"),
    (0.04999, "p = 0.04999"), (0.05, "p = 0.050"), (0.0496, "p = 0.04960"), (0.999, "p = 1.00"), (1.0, "p = 1"),
    (0.0999, "p = 0.100")])
def test_p_values_are_on_the_side_of_the_limit_where_they_are(p: float, text: str):
    assert words.p_words(p) == text


def test_models_of_one_name_are_told_apart():
    models = [{"side": "model", "name": "x", "fingerprint": "a" * 64},
              {"side": "against", "name": "x", "fingerprint": "b" * 64}]
    assert words.names(made.stated(models=tuple(models))) == {"model": "x (aaaaaaaa)", "against": "x (bbbbbbbb)"}
    models[1]["fingerprint"] = "a" * 64
    assert len(set(words.names(made.stated(models=tuple(models))).values())) == 2


@pytest.mark.parametrize(("number", "text"), [
    (0.1234, "0.123"), (12.345, "12.35"), (-0.5, "-0.500"), (1234.5, "1,234.5")])
def test_numbers(number: float, text: str):
    assert words.plain(number) == text


def test_changes_have_a_sign_and_nothing_has_none():
    shares, numbers = made.stated(), made.stated("mean")
    assert [words.change(shares, value, 100) for value in (0.05, -0.031, 0.0, -0.001)] == ["+5", "-3", "0", "0"]
    assert [words.change(numbers, value, 100) for value in (0.05, -0.031, 0.0)] == ["+0.050", "-0.031", "0.000"]
