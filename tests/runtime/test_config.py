import pytest

from runtime.config import own_sampling
from runtime.messages import Loaded, from_line, to_line


def test_a_header_says_how_its_model_is_drawn_from():
    said = {"general.sampling.temp": 1, "general.sampling.top_k": 20, "general.sampling.top_p": 0.8,
            "general.sampling.min_p": 0.05, "general.sampling.penalty_repeat": 1.1, "general.name": "x"}
    assert own_sampling(said) == {
        "temperature": 1.0, "top_k": 20, "top_p": 0.8, "min_p": 0.05, "repeat_penalty": 1.1}
    assert own_sampling({}) == {}


@pytest.mark.parametrize("value", ["1", True, float("nan"), float("inf"), -1, 99, 1e300, None, [1]])
def test_what_is_out_of_our_limits_counts_as_nothing(value: object):
    assert own_sampling({"general.sampling.temp": value, "general.sampling.top_p": 0.5}) == {"top_p": 0.5}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**400])
def test_nor_what_is_no_whole_number(value: object):
    assert own_sampling({"general.sampling.top_k": value}) == {}


def test_what_a_session_is_told_of_it_comes_over_the_pipe_and_tells_two_states_apart():
    told = from_line(to_line(Loaded(path="a", name="a", fingerprint="1", ctx_tokens=8, description="", can_chat=True,
                                    sampling={"top_k": 20})))
    assert told.sampling == {"top_k": 20} and isinstance(hash(told), int)
