from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus.config import DataConfig
from corpus.layouts import Example, load
from corpus.same import cases
from corpus.split import Parts, divide, draw, stratum
from models.errors import UserError
from tests.corpus.rows import row, words

SHARES = {"training": 0.7, "validation": 0.15, "test": 0.15}


def parts_of(examples: list[Example], **values: object) -> Parts:
    return divide(examples, DataConfig(**values))


def lines(part: tuple[Example, ...]) -> list[int]:
    return [example.line for example in part]


def in_parts(parts: Parts) -> dict[str, tuple[Example, ...]]:
    return {name: getattr(parts, name) for name in SHARES}


def labelled(labels: list[str]) -> list[Example]:
    """Rows of which no two are one case."""
    return [row(k, words(k, 12), label=label) for k, label in enumerate(labels)]


@given(groups=st.lists(st.integers(0, 20), min_size=2, max_size=60).filter(lambda found: len(set(found)) > 1),
       labels=st.lists(st.sampled_from("abc"), min_size=60, max_size=60), eval_share=st.floats(0.01, 0.5),
       test_share=st.floats(0, 0.4), seed=st.integers(0, 99))
@settings(max_examples=80, deadline=None)
def test_no_row_is_lost_and_no_case_straddles(groups: list[int], labels: list[str], eval_share: float,
                                              test_share: float, seed: int):
    examples = [row(k, words(group, 12), label=label) for k, (group, label) in enumerate(zip(groups, labels,
                                                                                             strict=False))]
    config = DataConfig(seed=seed)
    parts = draw(examples, config, eval_share, test_share)
    assert sorted(sum(parts, []), key=lambda e: e.line) == examples
    assert all(part == sorted(part, key=lambda e: e.line) for part in parts)
    assert parts[0] and parts[1]
    part_of = {example.line: k for k, part in enumerate(parts) for example in part}
    assert all(len({part_of[k] for k in case}) == 1 for case in cases(examples, config.similarity))
    assert draw(examples, config, eval_share, test_share) == parts


@given(sizes=st.lists(st.integers(1, 80), min_size=1, max_size=25), eval_share=st.floats(0.05, 0.4),
       test_share=st.floats(0.05, 0.4), seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_every_label_keeps_its_proportion_and_so_does_the_whole(sizes: list[int], eval_share: float,
                                                                test_share: float, seed: int):
    """Rare or common, a label is within two rows of its share, and all together within two rows of theirs."""
    labels = [f"label {k}" for k, size in enumerate(sizes) for _ in range(size)]
    if len(labels) < 2:
        return
    shares = (1 - eval_share - test_share, eval_share, test_share)
    parts = draw(labelled(labels), DataConfig(seed=seed), eval_share, test_share)
    counts, all_of_them = [Counter(map(stratum, part)) for part in parts], Counter(labels)
    for share, part, count in zip(shares, parts, counts, strict=True):
        assert abs(len(part) - share * len(labels)) < 2
        assert all(abs(count[label] - share * size) < 2 for label, size in all_of_them.items())


@given(sizes=st.lists(st.integers(1, 12), min_size=30, max_size=60), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_patients_with_several_rows_keep_the_shares(sizes: list[int], seed: int):
    examples = [row(1000 * patient + k, words(1000 * patient + k, 12), group=f"p{patient}",
                    label="ab"[patient % 2])
                for patient, size in enumerate(sizes) for k in range(size)]
    parts = draw(examples, DataConfig(seed=seed), 0.15, 0.15)
    for share, part in zip((0.7, 0.15, 0.15), parts, strict=True):
        assert abs(len(part) - share * len(examples)) <= 6
        for label in "ab":
            rows = [e for e in part if e.label == label]
            assert abs(len(rows) - share * sum(e.label == label for e in examples)) <= 12


def test_the_seed_decides():
    drawn = [lines(parts_of(labelled(["a"] * 100), seed=seed).validation) for seed in (0, 1, 0)]
    assert drawn[0] == drawn[2] != drawn[1] and len(drawn[0]) == 15


def test_one_giant_case_goes_to_training():
    examples = [row(k, words(k, 12), group="one patient" if k < 60 else "") for k in range(100)]
    parts = parts_of(examples)
    assert {e.line for e in parts.training} >= set(range(60))
    assert [len(part) for part in in_parts(parts).values()] == [70, 15, 15]


@pytest.mark.parametrize("count, sizes", [(2, [1, 1, 0]), (3, [2, 1, 0]), (4, [3, 1, 0]), (7, [5, 1, 1])])
def test_few_rows_still_give_training_and_validation(count: int, sizes: list[int]):
    assert [len(part) for part in in_parts(parts_of(labelled(["a"] * count))).values()] == sizes


def test_two_cases_that_want_to_be_elsewhere_still_give_training_and_validation():
    parts = draw(labelled(["a", "b"]), DataConfig(), 0.5, 0.4)
    assert [len(part) for part in parts[:2]] == [1, 1]


def test_what_the_files_say_is_kept():
    examples = [row(k, words(k, 12), split=split) for k, split in enumerate(
        ("train", "validation", "", "test", "train"))]
    parts = parts_of(examples)
    assert {name: lines(part) for name, part in in_parts(parts).items()} == {
        "training": [0, 2, 4], "validation": [1], "test": [3]}
    assert parts.finding.text == ("3 rows for training, 1 for validation, 1 set aside as test: as the files give them.")
    no_test = parts_of([e for e in examples if e.split != "test"])
    assert lines(no_test.validation) == [1] and not no_test.test


def test_where_the_files_give_test_rows_only_validation_is_drawn():
    examples = [row(k, words(k, 12), split="test" if k % 4 == 0 else "train") for k in range(80)]
    parts = parts_of(examples)
    assert lines(parts.test) == list(range(0, 80, 4)) and [len(parts.training), len(parts.validation)] == [51, 9]
    assert "the test rows as the files give them, the others drawn with seed 0" in parts.finding.text


def test_the_finding_counts_each_label():
    parts = parts_of(labelled(["a"] * 40 + ["b"] * 20))
    assert parts.finding.rows == ({"stratum": "a", "training": 28, "validation": 6, "test": 6},
                                  {"stratum": "b", "training": 14, "validation": 3, "test": 3})
    assert "by label, no case in two parts" in parts.finding.text


@pytest.mark.parametrize("examples, words_of_it", [
    ([row(1, "Why?"), row(2, " why")], "The 2 rows that can be used have one and the same input"),
    ([row(1, words(1, 12), group="p"), row(2, words(2, 12), group="p")], "or one patient or document"),
    ([row(1, "Why?", split="test")], "None of 1 row is for training"),
])
def test_rows_that_can_not_be_divided_are_named(examples: list[Example], words_of_it: str):
    with pytest.raises(UserError, match=words_of_it):
        parts_of(examples)


def test_twenty_skewed_headers_keep_their_proportions(shared_data):
    examples = load([str(shared_data / "mts-dialog" / "train.csv")]).examples
    headers = Counter(e.section for e in examples)
    assert len(headers) == 20 and headers.most_common()[0][1] == 351 and headers.most_common()[-1][1] == 2
    for seed in range(3):
        for (name, part), share in zip(in_parts(parts_of(examples, seed=seed)).items(), SHARES.values(), strict=True):
            assert abs(len(part) - share * 1201) < 2, name
            counts = Counter(e.section for e in part)
            assert all(abs(counts[header] - share * size) < 2 for header, size in headers.items())
