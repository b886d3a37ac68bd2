"""What the embedded model learned from is recognised by hashes, which are those of its training rows."""

import pytest

from models.demo import seen


def test_the_hashes_are_those_of_its_training_rows(shared_data, tmp_path):
    assert seen.write(shared_data, tmp_path / "seen.bin") == seen.SEEN.stat().st_size // seen.BYTES
    assert (tmp_path / "seen.bin").read_bytes() == seen.SEEN.read_bytes()


@pytest.mark.parametrize(("text", "is_seen"), [
    ("Can tailored interventions increase mammography use among HMO women?", True),
    ("CAN tailored interventions, increase mammography use among HMO women", True),
    ("Can tailored interventions decrease mammography use among HMO women?", False), ("What is asthma?", False),
    ("", False)])
def test_a_question_is_known_whatever_its_case_and_punctuation(text, is_seen):
    assert seen.has_seen(text) is is_seen
