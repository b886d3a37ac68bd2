import pytest

from tasks import classify
from tasks.classify import Labels, Sorted


def test_the_instruction_and_the_labels_stand_before_the_text():
    asked = classify.request("A long text.", Labels(names=("cardio", "neuro"), is_single=False), "A title")
    assert asked == ("Classify the following medical text under one or more of these labels: cardio, neuro. Separate "
                     'several labels with "|".\n\nA title\n\nA long text.')


def test_one_label_is_asked_for_where_no_text_has_two():
    one = classify.request("Text.", Labels(names=("cardio", "neuro"), is_single=True))
    assert one == "Classify the following medical text under one of these labels: cardio, neuro.\n\nText."


@pytest.mark.parametrize("is_single, words", [
    (True, "under one label.\n"), (False, "under one or more labels. Separate")])
def test_too_many_labels_are_not_listed(is_single: bool, words: str):
    names = tuple(f"label {k}" for k in range(classify.MAX_LISTED + 1))
    asked = classify.request("Text.", Labels(names=names, is_single=is_single))
    assert words in asked and "label 1" not in asked


@pytest.mark.parametrize("text, labels", [
    ("Cardio", ("cardio",)), ("a|b", ("a", "b")), ("a, b ;c", ("a", "b", "c")), (" |a||; ,", ("a",)), ("", ()),
    ("a  b|A B", ("a b",)),
])
def test_labels_are_read_from_a_cell_or_an_answer(text: str, labels: tuple):
    assert classify.names(text) == labels


def test_what_is_joined_is_read_back():
    joined = classify.joined(["neuro", "cardio", "neuro"])
    assert joined == "cardio | neuro" and classify.names(joined) == ("cardio", "neuro")


def test_descriptions_follow_the_labels_and_change_nothing_else():
    labels = Labels(names=("cardio", "neuro"), is_single=True)
    asked = classify.request("Text.", labels, "", {"neuro": " brain and nerves ", "other": "not asked for"})
    assert asked == classify.request("", labels) + "\n- neuro: brain and nerves\n\nText."


def test_the_nearest_label_is_named():
    found = classify.nearest([("neuro",), ("nuero", "cardio"), ("zzz",)], ("cardio", "neuro"))
    assert found == [(1, "nuero", "neuro"), (2, "zzz", "")]


def test_the_confidence_is_that_of_exactly_these_labels():
    several = Sorted(labels=("a",), probabilities={"a": 0.9, "b": 0.2}, by=("x",))
    one = Sorted(labels=("a",), probabilities={"a": 0.8, "b": 0.2}, by=("x",), is_single=True)
    assert several.confidence == pytest.approx(0.72) and one.confidence == 0.8
