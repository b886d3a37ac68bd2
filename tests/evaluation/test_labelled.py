import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, multilabel_confusion_matrix, precision_recall_fscore_support

from evaluation.figures import indicators
from evaluation.labelled import MOST_LABELS, confusion, per_label
from tests.evaluation import made
from tests.evaluation.test_figures import random_labels


def test_precision_recall_and_f1_of_each_label_are_scikit_learns():
    items = random_labels(80, 4)
    gold, said, labels = indicators(items)
    expected = precision_recall_fscore_support(gold, said, average=None, zero_division=0)
    cells = multilabel_confusion_matrix(gold, said)
    found = per_label(made.stated("labels"), items)
    assert found and [row["label"] for row in found["labels"]] == labels
    for k, row in enumerate(found["labels"]):
        assert (row["precision"], row["recall"], row["f1"]["value"]) == pytest.approx(
            tuple(part[k] for part in expected[:3]), abs=1e-5)
        assert (row["right"], row["n"], row["said"]) == (cells[k, 1, 1], cells[k, 1].sum(), cells[k, :, 1].sum())
        assert row["f1"]["low"] <= row["f1"]["value"] <= row["f1"]["high"]


def test_what_is_undefined_is_not_zero():
    found = per_label(made.stated("labels"), made.labelled([("a", ""), ("a", "b"), ("a", "")]))
    a, b = found["labels"] if found else ({}, {})
    assert (a["precision"], a["recall"], a["f1"]["value"]) == (None, 0.0, 0.0)     # never said
    assert (b["precision"], b["recall"], b["f1"]["value"]) == (0.0, None, 0.0)     # never right


@pytest.mark.parametrize("pairs", [[("a", "a")] * 5, [("a", "")] * 5, [("", "a"), ("a", "a")]])
def test_one_label_only(pairs: list[tuple[str, str]]):
    found = per_label(made.stated("labels"), made.labelled(pairs))
    assert found and [row["label"] for row in found["labels"]] == ["a"]
    right = sum(pair == ("a", "a") for pair in pairs)
    assert found["labels"][0]["right"] == right
    assert found["labels"][0]["recall"] == pytest.approx(right / sum(gold == "a" for gold, _ in pairs))


def test_of_single_labels_it_is_the_confusion_matrix():
    generator = np.random.default_rng(2)
    pairs = [(str(gold), str(said)) for gold, said in generator.choice(["a", "b", "c"], (60, 2))]
    expected = confusion_matrix(*zip(*pairs, strict=True), labels=["a", "b", "c"])
    found = confusion(made.labelled(pairs))
    assert {key: n for key, n in found.items() if n} == {
        (gold, said): int(expected[i, j]) for i, gold in enumerate("abc") for j, said in enumerate("abc")
        if expected[i, j]}


def test_of_several_labels_each_missed_one_stands_beside_each_wrong_one():
    assert confusion(made.labelled([("a | b", "a | c | d")])) == {("a", "a"): 1, ("b", "c"): 1, ("b", "d"): 1}
    assert confusion(made.labelled([("a | b", "a"), ("a", "a | b")])) == {
        ("a", "a"): 2, ("b", ""): 1, ("", "b"): 1}
    assert confusion(made.labelled([("", "")])) == {}


def test_free_texts_and_questions_with_a_right_answer_each_have_no_labels():
    assert per_label(made.stated("mean"), made.many("mean", 1, 9)) is None
    many = [made.item(k, gold=f"answer {k}") for k in range(MOST_LABELS + 1)]
    assert per_label(made.stated(), many) is None and per_label(made.stated(), []) is None
    assert per_label(made.stated("labels"), made.labelled([("", "")])) is None
