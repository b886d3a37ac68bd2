"""One request at work: a thread that asks the model, and the event loop that hears of it and ends it."""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from models.errors import UserError
from runtime.session import Stream

log = logging.getLogger("galen")


class Stopped(UserError):
    """Nobody wants what this job does any more."""


class Deaf(Exception):
    """The client takes nothing of its answer."""


class JobFailed(RuntimeError):
    """A bug ended a job; its traceback is in the log."""


class Work:
    """A job in a thread of its own, for as long as the async with block runs; leaving it early stops the job."""

    def __init__(self, job: "Callable[[Work], None]"):
        """job(work) asks the model and tells what comes of it; it is called in the thread."""
        self._job = job
        self._loop = asyncio.get_running_loop()
        self._told: deque[Any] = deque()
        self._has_news, self._has_ended = asyncio.Event(), asyncio.Event()
        self._is_loop_called = False
        self._lock = threading.Lock()
        self._stream: Stream | None = None
        self._is_stopped = False

    # the job's thread

    def tell(self, item: Any) -> None:
        """Hand item to the event loop. Raises Stopped if nobody waits for it."""
        if self._is_stopped:
            raise Stopped("The client has gone.")
        self._post(item)

    @contextmanager
    def reading(self, stream: Stream) -> Iterator[Stream]:
        """Close stream at the end of the block, or as soon as the work is stopped: then it has no end."""
        with stream:
            with self._lock:
                self._stream = stream
                if self._is_stopped:
                    stream.close()
            yield stream
            with self._lock:
                self._stream = None

    def _run(self) -> None:
        try:
            self._job(self)
        except UserError as error:
            self._post(error)
        except Exception:
            log.exception("a request's job failed")
            self._post(JobFailed("a request's job failed"))
        finally:
            self._call(self._has_ended.set)
            self._call(self._has_news.set)

    def _post(self, item: Any) -> None:
        self._told.append(item)
        if not self._is_loop_called:
            self._is_loop_called = True
            self._call(self._has_news.set)

    def _call(self, what: Callable[[], None]) -> None:
        with suppress(RuntimeError):            # the loop has ended with the app: nobody listens
            self._loop.call_soon_threadsafe(what)

    def _stop(self) -> None:
        with self._lock:
            if self._stream:
                self._stream.close()

    # the event loop

    async def __aenter__(self) -> "Work":
        threading.Thread(target=self._run, name="request", daemon=True).start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        trace: TracebackType | None) -> None:
        self._is_stopped = True
        if not self._has_ended.is_set():        # in a thread: the model's pipe may be full
            threading.Thread(target=self._stop, name="stop", daemon=True).start()
            await self._has_ended.wait()

    async def told(self) -> AsyncIterator[list[Any]]:
        """What the job told, everything at once that came since the last time, until it ends.

        Raises the UserError that ended it, or JobFailed.
        """
        while not self._has_ended.is_set() or self._told:
            await self._has_news.wait()
            self._has_news.clear()
            self._is_loop_called = False
            items: list[Any] = []
            while self._told:
                item = self._told.popleft()
                if isinstance(item, Exception):
                    if items:
                        yield items
                    raise item
                items.append(item)
            if items:
                yield items


class UntilGone(Response):
    """A response that serve(send) sends; it is cancelled when the client goes away."""

    def __init__(self, serve: Callable[[Send], Awaitable[None]]):
        super().__init__()
        self._serve = serve

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        serving = asyncio.ensure_future(self._serve(send))
        leaving = asyncio.ensure_future(_gone(receive))
        with suppress(asyncio.CancelledError):  # the whole server ends: nothing is to be told any more
            try:
                await asyncio.wait((serving, leaving), return_when=asyncio.FIRST_COMPLETED)
            finally:
                serving.cancel()
                leaving.cancel()
                await asyncio.wait((serving, leaving))
        if serving.done() and not serving.cancelled():
            serving.result()                    # a bug rises


def in_time(send: Send, limit_s: float) -> Send:
    """send, but it raises Deaf when the client takes nothing for limit_s seconds."""
    async def send_in_time(message: Message) -> None:
        try:
            async with asyncio.timeout(limit_s):
                await send(message)
        except TimeoutError:
            raise Deaf from None
    return send_in_time


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue
