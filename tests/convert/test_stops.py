"""The rule of stopping: an exact type ends its own answers, another one where it or the reference ends."""

from types import SimpleNamespace

import numpy as np
import pytest

from convert.check import Check, stop_checks
from convert.survey import Start

END, OTHER_END = 7, 8
ENDLESS = ([9] * 512, "length")
EXACT, NEARLY, SMALLER = "BF16", "Q8_0", "Q4_K_M"


class Answering:
    """A file that answers from a table, {prompt: (ids, reason)}, and ends at an id."""

    def __init__(self, answers: dict[tuple[int, ...], tuple[list[int], str]], end: int = END):
        self.answers, self.end = answers, end

    def generate(self, ids: list[int], max_tokens: int) -> tuple[list[int], str]:
        made, reason = self.answers[tuple(ids)]
        return made[:max_tokens], reason

    def logits(self, ids: list[int]) -> np.ndarray:
        return np.eye(10, dtype=np.float32)[[self.end] * len(ids)]


def checked(model: Answering, weights_type: str, count: int = 1) -> list[Check]:
    """count starts where the reference answers 3 4, and one where it goes on for ever."""
    starts = [Start(ids=[k], answer=[3, 4], reason="stop") for k in range(count)]
    starts.append(Start(ids=[99], answer=[9] * 256, reason="length"))
    tokenizer = SimpleNamespace(template="", eos="<end>", encode=lambda text, control: [END])
    return stop_checks(model, SimpleNamespace(starts=starts, tokenizer=tokenizer), weights_type)


@pytest.mark.parametrize("weights_type", [EXACT, NEARLY, SMALLER])
@pytest.mark.parametrize(("answers", "is_ok"), [
    ({(0,): ([3, 4], "stop")}, True), ({(0,): ([9, 9, 9], "stop")}, True), ({(0,): ([3], "stop")}, True),
    ({(0,): ENDLESS, (0, 3, 4): ([7], "length")}, False), ({(0,): ([3, 4] + [9] * 510, "length")}, False),
    ({(0,): ENDLESS, (0, 3, 4): ([], "stop")}, False),
], ids=["same words", "other words", "fewer words", "no end at all", "same words without end", "never by itself"])
def test_a_file_ends_where_the_reference_does(answers: dict, is_ok: bool, weights_type: str):
    stops, itself = checked(Answering(answers), weights_type)
    assert stops.is_ok is is_ok and "stops in 1 of 2" in stops.note
    assert itself.figure == is_ok and itself.is_ok is None


def test_other_words_without_end_count_for_a_type_that_may_use_them_only():
    answers = {(0,): ENDLESS, (0, 3, 4): ([], "stop"), (1,): ([3, 4], "stop")}
    for weights_type in (NEARLY, SMALLER):
        loose, _ = checked(Answering(answers), weights_type, 2)
        assert loose.is_ok and loose.figure == 0 and "in 1 the file words its answer otherwise" in loose.note
    exact, _ = checked(Answering(answers), EXACT, 2)
    assert exact.is_ok is False and exact.figure == 1 and exact.limit == 0


@pytest.mark.parametrize(("missed", "is_ok"), [(0, True), (2, True), (3, False), (8, False)])
def test_a_smaller_type_may_miss_one_in_four(missed: int, is_ok: bool):
    answers = {(k,): ENDLESS if k < missed else ([3, 4], "stop") for k in range(8)}
    answers |= {(k, 3, 4): ([7], "length") for k in range(8)}
    stops, _ = checked(Answering(answers), SMALLER, 8)
    assert stops.is_ok is is_ok and stops.figure == missed and stops.limit == 2
    for weights_type in (EXACT, NEARLY):
        assert checked(Answering(answers), weights_type, 8)[0].is_ok is (missed == 0)


@pytest.mark.parametrize("weights_type", [EXACT, NEARLY, SMALLER])
def test_an_answer_that_is_cut_short_at_another_id_is_no_end(weights_type: str):
    stops, itself = checked(Answering({(0,): ([3], "stop")}, OTHER_END), weights_type)
    assert stops.is_ok is False and itself.figure == 0


def test_where_the_reference_never_stops_nothing_is_demanded():
    [stops] = checked(Answering({}), EXACT, 0)
    assert stops.is_ok is None and stops.figure is None and "stops nowhere within 256 tokens" in stops.note
