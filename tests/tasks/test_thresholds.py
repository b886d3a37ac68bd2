import random

from tasks import thresholds
from tasks.thresholds import Thresholds


def rows(cut: float, count: int = 300) -> tuple[list, list]:
    """Labels that apply from a probability of cut on."""
    draw = random.Random(2)
    shares = [{"a": draw.random(), "b": draw.random()} for _ in range(count)]
    return shares, [{name for name in "ab" if one[name] >= (cut if name == "a" else 0.5)} or {
        max(one, key=lambda name: one[name])} for one in shares]


def test_a_threshold_off_the_middle_is_found_and_kept():
    found = thresholds.fit(*rows(0.2))
    assert found.is_kept and abs(found.of["a"] - 0.2) < 0.06 and found.after > found.before > 0
    assert found.labels({"a": 0.3, "b": 0.1}, False) == ("a",) and "kept" in found.why


def by_chance(seed: int) -> Thresholds:
    """Fitted on labels that apply exactly as often as their probabilities say: 0.5 is best."""
    draw = random.Random(seed)
    shares = [{"a": draw.random(), "b": draw.random()} for _ in range(120)]
    return thresholds.fit(shares, [{name for name in "ab" if draw.random() < one[name]} for one in shares])


def test_thresholds_that_help_on_other_rows_by_chance_are_not_kept():
    found = [by_chance(seed) for seed in range(20)]
    assert any(one.after > one.before for one in found) and sum(one.is_kept for one in found) <= 2
    assert all(("not kept" in one.why) != one.is_kept for one in found)


def test_thresholds_that_are_not_kept_are_not_used():
    assert Thresholds(of={"a": 0.1}).labels({"a": 0.3, "b": 0.6}, False) == ("b",)


def test_few_rows_with_a_label_give_it_no_threshold():
    shares = [{"a": k / 100, "rare": 0.1} for k in range(100)]
    golds = [{"rare"} if k < 5 else {"a"} if k > 20 else set() for k in range(100)]
    assert "rare" not in thresholds.fit(shares, golds).of


def test_a_text_always_has_a_label_and_one_where_it_can_have_one():
    plain = Thresholds()
    assert plain.labels({"a": 0.2, "b": 0.3}, False) == ("b",)
    assert plain.labels({"b": 0.9, "a": 0.8}, False) == ("a", "b")
    assert plain.labels({"a": 0.9, "b": 0.95}, True) == ("b",) and plain.labels({}, False) == ()
    kept = Thresholds(of={"a": 0.1, "b": 0.9}, is_kept=True)
    assert kept.labels({"a": 0.08, "b": 0.3}, False) == ("a",)


def test_json_gives_the_same_back():
    found = thresholds.fit(*rows(0.2))
    assert Thresholds.from_json(found.to_json()) == found
