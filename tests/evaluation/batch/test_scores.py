"""Scores of a batch: scikit-learn's and rouge-score's, with intervals that hold them and the trivial answer beside."""

import random

import pytest

from evaluation.batch import scores
from evaluation.batch.work import PROBLEM

NAMES = ("a", "b", "c")


def rows(count, seed=0):
    draw = random.Random(seed)
    golds = [frozenset(name for name in NAMES if draw.random() < 0.4) or frozenset("a") for _ in range(count)]
    said = [gold if draw.random() < 0.7 else frozenset(draw.choice(NAMES)) for gold in golds]
    return golds, said


def test_labels_are_scored_as_scikit_learn_does():
    from sklearn.metrics import accuracy_score, f1_score
    from sklearn.preprocessing import MultiLabelBinarizer
    golds, said = rows(60)
    found = scores.labels([*golds, None, golds[0]], [*said, said[0], None], NAMES)
    coder = MultiLabelBinarizer(classes=NAMES).fit([NAMES])
    right, given = coder.transform(golds), coder.transform(said)
    assert found["n"] == 60 and found["subset_accuracy"] == pytest.approx(accuracy_score(right, given))
    for name, average in (("macro_f1", "macro"), ("micro_f1", "micro")):
        assert found[name] == pytest.approx(f1_score(right, given, average=average))
        low, high = found["intervals"][name]
        assert low < found[name] < high and high - low < 0.35
    assert found["labels"]["b"]["n"] == sum("b" in gold for gold in golds)
    assert 0 < found["baseline"]["subset_accuracy"] < found["subset_accuracy"]


def test_more_rows_say_more():
    def width(count):
        low, high = scores.labels(*rows(count), NAMES)["intervals"]["macro_f1"]
        return high - low
    assert width(400) < 0.6 * width(60)


def test_choices_count_no_answer_as_wrong_and_leave_out_what_was_not_done():
    found = scores.choices(["A", "B", "B", "", "A"], [
        {"answer": "A", PROBLEM: ""}, {"answer": "", PROBLEM: ""}, {"answer": "B", PROBLEM: ""},
        {"answer": "A", PROBLEM: ""}, {PROBLEM: "too long"}])
    assert found["n"] == 3 and found["accuracy"] == pytest.approx(2 / 3) and found["not_answered"] == 1
    assert found["baseline"] == {"name": "always B", "accuracy": pytest.approx(2 / 3)}


def test_summaries_stand_beside_the_dialogue_itself():
    found = scores.summaries(["He took five tablets."] * 12, [{"summary": "He took tablets.", PROBLEM: ""}] * 12,
                             ["Doctor: What? Patient: Five tablets."] * 12)
    assert found["rouge_1"] == pytest.approx(6 / 7) and found["n"] == 12 and 0 < found["baseline"]["rouge_1"] < 1


@pytest.mark.parametrize("found", [scores.choices([""], [{"answer": "A", PROBLEM: ""}]),
                                   scores.labels([None], [frozenset("a")], NAMES),
                                   scores.summaries([""], [{"summary": "x", PROBLEM: ""}], ["y"])])
def test_without_right_answers_there_are_no_scores(found):
    assert found == {}
