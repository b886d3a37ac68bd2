"""Turns are given in order, as many at once as the model has slots; the queue is bounded, and so is the time."""

import asyncio
import dataclasses
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any

import pytest

from tests.ui.api.openai.fakes import INFO
from ui.api.limits import Admission, Full, TooLong


def admission(slots: int = 1, **limits: Any) -> Admission:
    session: Any = SimpleNamespace(info=dataclasses.replace(INFO, slots=slots))
    return Admission(session, **limits)


class Visitors:
    """Clients that ask for a turn and stay until they are told to leave."""

    def __init__(self, limits: Admission):
        self._limits = limits
        self.inside: list[str] = []
        self._leave: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def _visit(self, name: str) -> None:
        async with self._limits.turn():
            self.inside.append(name)
            try:
                await self._leave[name].wait()
            finally:
                self.inside.remove(name)

    async def come(self, *names: str) -> None:
        for name in names:
            self._leave[name] = asyncio.Event()
            self.tasks[name] = asyncio.create_task(self._visit(name))
            await settled()

    async def leave(self, name: str) -> None:
        self._leave[name].set()
        await settled()

    async def go_away(self, name: str) -> None:
        self.tasks[name].cancel()
        await settled()


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 60))


def test_as_many_as_the_model_has_slots_and_the_rest_in_order():
    async def test() -> None:
        visitors = Visitors(admission(slots=2))
        await visitors.come("a", "b", "c", "d")
        assert visitors.inside == ["a", "b"]
        await visitors.leave("b")
        assert visitors.inside == ["a", "c"]
        await visitors.leave("a")
        assert visitors.inside == ["c", "d"]
        await visitors.leave("c")
        await visitors.leave("d")
        assert visitors.inside == []
        await asyncio.gather(*visitors.tasks.values())
    run(test())


def test_a_full_queue_says_when_to_come_again():
    async def test() -> None:
        visitors = Visitors(admission(max_waiting=2))
        await visitors.come("a", "b", "c", "d")
        with pytest.raises(Full, match="1 requests are at work and 2 wait; try again in") as told:
            await visitors.tasks["d"]
        assert 1 <= told.value.retry_s <= 60
        await visitors.leave("a")
        await visitors.come("e")
        assert visitors.inside == ["b"] and not visitors.tasks["e"].done()
        for name in "bce":
            await visitors.leave(name)
    run(test())


def test_who_goes_away_leaves_the_queue_and_the_place():
    async def test() -> None:
        visitors = Visitors(admission(max_waiting=2))
        await visitors.come("a", "b", "c")
        await visitors.go_away("b")                             # while it waits
        await visitors.come("d")
        await visitors.go_away("a")                             # while it is at work
        assert visitors.inside == ["c"]
        await visitors.leave("c")
        assert visitors.inside == ["d"]
        await visitors.leave("d")
    run(test())


def test_who_goes_away_at_the_moment_of_being_let_in_passes_the_place_on():
    async def test() -> None:
        visitors = Visitors(admission())
        await visitors.come("a", "b", "c")
        visitors.tasks["a"].cancel()
        await asyncio.sleep(0)                                  # b has the place, and has not run yet
        visitors.tasks["b"].cancel()
        await settled()
        assert visitors.inside == ["c"]
        await visitors.leave("c")
        await visitors.come("d")
        assert visitors.inside == ["d"]
        await visitors.leave("d")
    run(test())


def test_who_goes_away_just_before_being_let_in_is_passed_over():
    async def test() -> None:
        visitors = Visitors(admission())
        await visitors.come("a", "b", "c")
        leaving = asyncio.create_task(visitors.leave("a"))
        await asyncio.sleep(0)
        visitors.tasks["b"].cancel()                            # its place is void before a has left
        await leaving
        assert visitors.inside == ["c"]
        await visitors.leave("c")
        await asyncio.gather(visitors.tasks["a"], visitors.tasks["c"])
    run(test())


def test_waiting_and_work_have_an_end():
    async def test() -> None:
        limits = admission(queue_s=0.05, work_s=0.05)
        with pytest.raises(TooLong, match="more than 0 seconds"):
            async with limits.turn():
                with pytest.raises(Full, match="No place became free"):
                    async with limits.turn():
                        raise AssertionError("there was no place")
                await asyncio.sleep(20)
        async with limits.turn():
            pass
        with pytest.raises(TimeoutError):                       # somebody else's
            async with limits.turn():
                raise TimeoutError
    run(test())


def test_without_a_model_there_are_places_for_the_default():
    session: Any = SimpleNamespace(info=None)
    assert Admission(session).slots == 8
