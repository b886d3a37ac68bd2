import pytest

from corpus.table import split_named, split_of_name


@pytest.mark.parametrize("name, split", [
    ("train", "train"), ("medical_tc_train", "train"), ("challenge_train2850", "train"), ("training", "train"),
    ("MTS-Dialog-TrainingSet", "train"), ("train-00000-of-00002", "train"), ("train_sft", "train"),
    ("valid", "validation"), ("pqal_dev500", "validation"), ("anatomy_val", "validation"), ("Validation", "validation"),
    ("test1", "test"), ("TestSet-2", "test"), ("anatomy_test", "test"),
    ("contest", ""), ("latest", ""), ("blood_tests", ""), ("trainer", ""), ("medical", ""), ("train_test", ""),
    ("", ""),
])
def test_a_split_is_known_by_a_word_of_the_name(name: str, split: str):
    assert split_of_name(name) == split


@pytest.mark.parametrize("value, split", [
    ("Train", "train"), (" dev ", "validation"), ("test1", "test"), ("test of strength", ""), ("fold1", ""), (1, ""),
    (None, ""), ("", "")])
def test_a_value_is_the_name_of_a_split_or_none(value: object, split: str):
    assert split_named(value) == split
