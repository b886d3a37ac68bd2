"""Prompts that are answered together: all told at once, cancelled together, none of them if one can not be served."""

import pytest

from models.errors import UserError
from runtime.config import LoadConfig, SampleConfig
from runtime.group import Group
from runtime.llama import Model
from runtime.messages import Completed, Failed, Piece
from runtime.scheduler import Request
from runtime.service import Service

EXACT = LoadConfig(exact=True, threads=1, slots=3)
LONG = SampleConfig(temperature=0.0, max_tokens=400)


class Desk:
    """A service with what it told."""

    def __init__(self, path):
        self.told = []
        self.model = Model(path, EXACT)
        self.service = Service(self.model, EXACT, self.told.append)

    def ask(self, number, count, sample=LONG, longest=0):
        prompts = [[2, *range(20 + k, 60 + k)] for k in range(count)] + ([[5] * longest] if longest else [])
        group = Group(number, [Request(number=number, ids=ids, sample=sample, is_read=False) for ids in prompts])
        self.service.submit_group(group, "")
        return group

    def run(self, steps=10_000):
        for _ in range(steps):
            if not self.service.has_work:
                return
            self.service.step()


@pytest.fixture(scope="module")
def desk(window_gguf):
    found = Desk(window_gguf)
    yield found
    found.model.close()


@pytest.fixture(autouse=True)
def nothing_told(desk):
    desk.told.clear()


def test_all_are_told_in_order_when_the_last_has_ended(desk):
    desk.ask(1, 7, SampleConfig(temperature=0.0, max_tokens=9))
    desk.run()
    [found] = desk.told
    assert isinstance(found, Completed) and found.id == 1 and len(found.answers) == 7
    assert [(tokens, reason) for _, tokens, reason in found.answers] == [(9, "length")] * 7
    assert not desk.service._groups and not desk.service._group_of and not desk.service._places


def test_nobody_reads_along_so_prompts_take_whole_batches(desk):
    desk.ask(2, 5)
    desk.run(6)
    scheduler = desk.service._lane("").scheduler
    assert any(one.is_streaming for one in scheduler._running) and not scheduler.is_read
    desk.service.cancel(2)
    desk.run()


def test_a_group_is_cancelled_as_a_whole(desk):
    desk.ask(3, 7)
    desk.run(12)
    desk.service.cancel(3)
    desk.run(3)
    [found] = desk.told
    assert {reason for _, _, reason in found.answers} == {"cancelled"}
    assert found.answers[-1][1] == 0 < found.answers[0][1]
    assert not desk.service.has_work and 3 not in desk.service._cancelled
    desk.service.cancel(4)                                      # before it has come
    desk.ask(4, 2)
    assert not desk.service.has_work


def test_if_one_can_not_be_served_none_is(desk):
    with pytest.raises(UserError, match="The prompt is 3,000 tokens long"):
        desk.ask(5, 3, longest=3000)
    assert not desk.service.has_work and not desk.service._groups
    desk.ask(6, 1, SampleConfig(temperature=0.0, max_tokens=3))
    desk.run()
    assert len(desk.told) == 1 and not any(isinstance(one, Piece) for one in desk.told)


def test_a_failure_is_told_once_and_ends_the_others(desk):
    group = desk.ask(7, 4)                                      # one more than there are slots
    desk.run(8)
    desk.service._lane("").scheduler._finish(group.requests[1], UserError("it broke"))
    assert not desk.told
    desk.run(3)
    assert desk.told == [Failed(7, "it broke", True)] and not desk.service.has_work and not desk.service._groups
