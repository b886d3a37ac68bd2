import math

import pytest

from tasks import label_sets

END = 5


def test_every_set_of_four_labels_is_a_candidate_pairs_of_ten_and_what_was_seen():
    four = label_sets.candidates(("d", "a", "c", "b"), False)
    assert len(four) == 15 and four[0] == ("a",) and four[-1] == ("a", "b", "c", "d")
    ten = [f"{k:02}" for k in range(10)]
    pairs = label_sets.candidates(ten, False, [["03", "01", "02"], ["01", "unknown"]])
    assert len(pairs) == 10 + 45 + 1 and pairs[-1] == ("01", "02", "03")
    many = label_sets.candidates([*ten, "10"], False, [["04", "02"], ["04", "02"]])
    assert len(many) == 11 + 1 and many[-1] == ("02", "04")


def test_a_text_with_one_label_has_no_sets():
    assert label_sets.candidates(("b", "a"), True, [("a", "b")]) == [("a",), ("b",)]


def test_the_answers_add_up_to_one_and_keep_their_shares_where_they_part():
    written = [[1, END], [1, 9, 2, END], [2, END]]
    scores = [[math.log(0.6), math.log(0.5)], [math.log(0.6), math.log(0.25), math.log(0.3), math.log(0.9)],
              [math.log(0.2), math.log(1.0)]]
    found = [math.exp(one) for one in label_sets.logs(written, scores)]
    assert found == pytest.approx([0.75 * 2 / 3, 0.75 / 3, 0.25]) and sum(found) == pytest.approx(1.0)


def test_a_token_that_only_one_answer_goes_on_with_costs_nothing():
    """The separator of labels is a byte to which the embedded model gives 0.004, whatever came before."""
    likely, unlikely = ([[math.log(0.5), 0.0], [math.log(0.5), math.log(p), 0.0, 0.0]] for p in (0.5, 1e-9))
    unlikely[0][1], likely[0][1] = math.log(0.5), math.log(0.5)
    unlikely[1][1] = likely[1][1] = math.log(0.5)
    unlikely[1][2] = math.log(1e-9)
    written = [[1, END], [1, 8, 9, 2]]
    assert label_sets.logs(written, likely) == pytest.approx(label_sets.logs(written, unlikely))


def test_a_label_is_as_likely_as_all_sets_that_hold_it():
    sets = {("a",): math.log(0.5), ("b",): math.log(0.2), ("a", "b"): math.log(0.3)}
    odds = label_sets.label_logs(sets, ("a", "b"), False)
    assert odds["a"] == pytest.approx(math.log(0.8 / 0.2)) and odds["b"] == pytest.approx(0.0, abs=1e-12)
    assert label_sets.label_logs({("a",): -1.0, ("b",): -2.0}, ("a", "b"), True) == {"a": -1.0, "b": -2.0}


def test_no_label_is_certain():
    odds = label_sets.label_logs({("a",): 0.0, ("b",): -500.0}, ("a", "b"), False)
    assert odds == {"a": label_sets.MOST_ODDS, "b": -label_sets.MOST_ODDS}
