"""A request's job runs in a thread; the loop hears of it in batches, and ends it when the client goes away."""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any

import pytest

from models.errors import UserError
from tests.ui.api.openai.fakes import FakeStream
from ui.api.work import JobFailed, UntilGone, Work


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 60))


async def all_told(job: Any) -> list[list[Any]]:
    async with Work(job) as work:
        return [batch async for batch in work.told()]


def test_everything_told_arrives_in_order_and_what_came_together_as_one():
    held = threading.Event()

    def job(work: Work) -> None:
        work.tell("first")
        assert held.wait(60)
        for number in range(1000):
            work.tell(number)

    async def test() -> None:
        async with Work(job) as work:
            batches = []
            async for batch in work.told():
                batches.append(batch)
                held.set()
        assert batches[0] == ["first"] and sum(batches, []) == ["first", *range(1000)]
        assert len(batches) < 1001
    run(test())


def test_each_piece_of_news_is_heard_before_the_job_ends():
    heard = [threading.Event() for _ in range(3)]

    def job(work: Work) -> None:
        for number, event in enumerate(heard):
            work.tell(number)
            assert event.wait(60)

    async def test() -> None:
        async with Work(job) as work:
            async for batch in work.told():
                for number in batch:
                    heard[number].set()
    run(test())
    assert all(event.is_set() for event in heard)


def test_a_job_without_news_ends():
    run(asyncio.wait_for(all_told(lambda work: None), 10))


def test_what_ended_the_job_is_raised_after_what_it_told(caplog):
    def refused(work: Work) -> None:
        work.tell("first")
        raise UserError("no model")

    def broken(work: Work) -> None:
        raise KeyError("secret")

    async def test() -> None:
        told = []
        with pytest.raises(UserError, match="no model"):
            async with Work(refused) as work:
                async for batch in work.told():
                    told += batch
        assert told == ["first"]
        with pytest.raises(JobFailed):
            await all_told(broken)
    run(test())
    assert "KeyError" in caplog.text


def test_leaving_closes_the_stream_and_waits_for_the_job():
    stream, over = FakeStream(["a", None, "b"], {}), threading.Event()

    def job(work: Work) -> None:
        with work.reading(stream):
            for text in stream:
                work.tell(text)
        assert stream.end is None
        over.set()

    async def test() -> None:
        async with Work(job) as work:
            async for batch in work.told():
                assert batch == ["a"]
                break
        assert over.is_set() and stream.is_cancelled
    run(test())


def test_a_stream_that_begins_after_the_client_has_gone_is_closed_at_once():
    stream, gone, heard = FakeStream([None, "a"], {}), threading.Event(), []

    def job(work: Work) -> None:
        assert gone.wait(60)
        with work.reading(stream):
            heard.extend(stream)

    async def test() -> None:
        work = Work(job)
        await work.__aenter__()
        leaving = asyncio.ensure_future(work.__aexit__(None, None, None))
        await asyncio.sleep(0)
        gone.set()
        await leaving
        assert heard == [] and stream.is_cancelled
    run(test())


def test_a_job_that_only_tells_is_stopped_too():
    begun, gone, told = threading.Event(), threading.Event(), []

    def job(work: Work) -> None:
        begun.set()
        assert gone.wait(60)
        for number in range(5):
            work.tell(number)
            told.append(number)

    async def test() -> None:
        async with Work(job) as work:
            leaving = asyncio.ensure_future(work.__aexit__(None, None, None))
            await asyncio.sleep(0)
            gone.set()
            await leaving
        assert begun.is_set() and told == []
    run(test())


class Client:
    """One HTTP request as an ASGI server passes it on."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.gone = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.sent.append(message)


def test_a_response_ends_when_the_client_goes_away_and_not_before():
    async def test() -> None:
        client, ended = Client(), []

        async def serve(send: Any) -> None:
            await send("first")
            try:
                await asyncio.sleep(20)
            finally:
                ended.append(True)

        answering = asyncio.ensure_future(UntilGone(serve)({}, client.receive, client.send))
        while not client.sent:
            await asyncio.sleep(0)
        assert not answering.done()
        client.gone.set()
        await answering
        assert ended == [True]

        async def serve_all(send: Any) -> None:
            await send("whole")

        client = Client()
        await UntilGone(serve_all)({}, client.receive, client.send)
        assert client.sent == ["whole"]
    run(test())


def test_a_response_that_the_server_cancels_ends_without_a_word():
    async def test() -> None:
        client, ended = Client(), []

        async def serve(send: Any) -> None:
            await send("first")
            try:
                await asyncio.sleep(60)
            finally:
                ended.append(True)

        answering = asyncio.ensure_future(UntilGone(serve)({}, client.receive, client.send))
        while not client.sent:
            await asyncio.sleep(0)
        answering.cancel()
        await answering
        assert ended == [True]
    run(test())


def test_a_bug_in_a_response_rises():
    async def serve(send: Any) -> None:
        raise KeyError("bug")

    async def test() -> None:
        client = Client()
        with pytest.raises(KeyError):
            await UntilGone(serve)({}, client.receive, client.send)
    run(test())
