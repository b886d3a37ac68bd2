from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.layouts import Example, load
from corpus.split import input_key, split, without_repeats
from models.errors import UserError


def example(line: int, question: str) -> Example:
    return Example(file="a.csv", line=line, messages=(
        {"role": "user", "content": question}, {"role": "assistant", "content": f"answer {line}"}))


@given(inputs=st.lists(st.integers(0, 20), min_size=2).filter(lambda inputs: len(set(inputs)) > 1),
       share=st.floats(0.01, 0.5), seed=st.integers(0, 99))
def test_no_row_is_lost_and_no_input_straddles(inputs: list[int], share: float, seed: int):
    examples = [example(line, f"Question {k}?") for line, k in enumerate(inputs)]
    training, validation = split(examples, share, seed)
    assert sorted(training + validation, key=lambda e: e.line) == examples
    assert training and validation
    assert not {input_key(e) for e in training} & {input_key(e) for e in validation}
    assert split(examples, share, seed) == (training, validation)


def test_the_share_is_kept_and_the_seed_decides():
    examples = [example(line, f"Question {line}?") for line in range(100)]
    drawn = [split(examples, 0.1, seed)[1] for seed in range(3)]
    assert [len(validation) for validation in drawn] == [10, 10, 10]
    assert drawn[0] != drawn[1] != drawn[2]


def test_one_input_for_all_rows_can_not_be_split():
    with pytest.raises(UserError, match="The 2 usable rows have one and the same input"):
        split([example(1, "Why?"), example(2, " why")], 0.5, 0)


def test_an_input_is_the_dialogue_whatever_section_is_asked_for():
    asked = [Example(file="a", line=k, input="Doctor: Hi!", messages=(
        {"role": "user", "content": f"Section {k}\n\nDoctor: Hi!"}, {"role": "assistant", "content": "x"}))
        for k in (1, 2)]
    assert {input_key(example) for example in asked} == {"doctor hi"}


def test_training_rows_that_recur_in_validation_are_listed():
    kept, repeats = without_repeats([example(1, "Why?"), example(2, "How?")], [example(7, "why ?")])
    assert [e.line for e in kept] == [2]
    assert [(row.line, row.reason) for row in repeats] == [(1, "its input is also a validation row's")]


def test_the_two_known_repeats_of_mts_dialog_are_found(shared_data: Path):
    rows = {name: load([str(shared_data / "mts-dialog" / f"{name}.csv")]).examples for name in ("train", "validation")}
    assert len(without_repeats(rows["train"], rows["validation"])[1]) == 2
