import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from tasks import metrics

YES_NO = frozenset({"yes", "no", "maybe"})
DOMAINS = frozenset({"cardiovascular", "neurological", "neurological diseases", "hepatorenal"})
SETS = st.lists(st.tuples(*[st.frozensets(st.sampled_from("abcd"), max_size=3)] * 2), min_size=1, max_size=12)


def test_overlap_is_what_the_library_says():
    reference, answer = "The patient denies chest pains.", "Patient denied chest pain"
    theirs = RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=True).score(reference, answer)
    assert metrics.rouge(reference, answer) == {
        "rouge_1": theirs["rouge1"].fmeasure, "rouge_2": theirs["rouge2"].fmeasure,
        "rouge_l": theirs["rougeL"].fmeasure}
    assert metrics.rouge_l(reference, answer) == theirs["rougeL"].fmeasure
    assert metrics.rouge(reference, "") == {"rouge_1": 0, "rouge_2": 0, "rouge_l": 0}


@pytest.mark.parametrize("answer, decision", [
    ("yes", {"yes"}), ("Yes, because it helps.", {"yes"}), ("no: not in this trial", {"no"}), ("No. Long.", {"no"}),
    ("MAYBE\n\nmore", {"maybe"}), ("not at all", set()), ("I don't know", set()), ("The answer is yes", set()),
    ("", set()), ("noxious", set()), ("no_", set()), ("  yes", {"yes"}), ("diagnosis", set()), ("no no", {"no"})])
def test_a_decision_is_what_an_answer_begins_with(answer: str, decision: set):
    assert metrics.decided(answer, YES_NO) == decision


@pytest.mark.parametrize("answer, decision", [
    ("neurological | cardiovascular", {"neurological", "cardiovascular"}),
    ("Neurological  Diseases|hepatorenal", {"neurological diseases", "hepatorenal"}),
    ("cardiovascular, hepatorenal; neurological", {"cardiovascular", "hepatorenal", "neurological"}),
    ("cardiovascular and hepatorenal", {"cardiovascular"}), ("cardiovascular | oncological", {"cardiovascular"}),
    ("cardiovascular |", {"cardiovascular"}), ("cardiovascular|cardiovascular", {"cardiovascular"})])
def test_several_labels_stand_one_behind_the_other(answer: str, decision: set):
    assert metrics.decided(answer, DOMAINS) == decision


def test_labels_of_a_row_do_not_depend_on_case_spaces_and_order():
    assert metrics.labels(" Neurological  diseases | cardiovascular|") == {"neurological diseases", "cardiovascular"}
    assert metrics.labels("") == frozenset()


def f1(gold: list[bool], found: list[bool]) -> float:
    """The harmonic mean of precision and recall, by the book."""
    both = sum(a and b for a, b in zip(gold, found, strict=True))
    if not both:
        return 0.0
    precision, recall = both / sum(found), both / sum(gold)
    return 2 * precision * recall / (precision + recall)


@given(SETS)
def test_accuracy_and_macro_f1_by_the_book(pairs: list):
    gold, found = map(list, zip(*pairs, strict=True))
    names = frozenset().union(*gold, *found)
    scores = [f1([name in row for row in gold], [name in row for row in found]) for name in names]
    assert metrics.macro_f1(gold, found) == pytest.approx(sum(scores) / len(scores) if scores else 0)
    assert metrics.accuracy(gold, found) == sum(a == b for a, b in pairs) / len(pairs)


def test_macro_f1_counts_rare_labels_as_much_as_common_ones():
    gold = [frozenset({"a"})] * 9 + [frozenset({"b"})]
    assert metrics.macro_f1(gold, gold) == 1
    assert metrics.macro_f1(gold, [frozenset({"a"})] * 10) == pytest.approx(18 / 19 / 2)
    assert metrics.accuracy(gold, [frozenset({"a"})] * 10) == 0.9
