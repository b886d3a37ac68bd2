"""Connections of a real server that say nothing, say half, or say all."""

import asyncio
import contextlib
import http.client
import socket
import threading
from collections.abc import Callable, Iterator

import pytest
import uvicorn

from tests.ui.fakes import wait_for
from ui.api.connection import Connection

SOON_S = 30


class Quick(Connection):
    head_s = 3600.0             # shorter once a test wants that: nothing it says before comes too late


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From now on heads are awaited for a moment only."""
    return lambda: monkeypatch.setattr(Quick, "head_s", 0.2)


@pytest.fixture
def may_end() -> threading.Event:
    """Set by a test that has seen enough of an answer that is still being made."""
    return threading.Event()


@pytest.fixture
def has_begun() -> threading.Event:
    """Set when a request has reached the app."""
    return threading.Event()


@pytest.fixture
def port(has_begun: threading.Event, may_end: threading.Event) -> Iterator[int]:
    async def app(scope, receive, send):
        has_begun.set()
        while scope["path"] == "/long" and not may_end.is_set():
            await asyncio.sleep(0.02)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    server = uvicorn.Server(uvicorn.Config(
        app, http=Quick, lifespan="off", log_config=None, timeout_keep_alive=2 * SOON_S))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        wait_for(lambda: server.started)
        yield listener.getsockname()[1]
        may_end.set()
        server.should_exit = True
        thread.join(SOON_S)


@pytest.mark.parametrize("said", [b"", b"GET / HT", b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "])
@pytest.mark.parametrize("asked_before", [False, True])
def test_a_head_that_does_not_come_ends_the_connection(port: int, hurry, said: bytes, asked_before: bool):
    if not asked_before:
        hurry()
    with socket.create_connection(("127.0.0.1", port), timeout=SOON_S) as client:
        if asked_before:
            client.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            got = b""
            while not got.endswith(b"ok"):
                assert (more := client.recv(1000))
                got += more
            hurry()
        with contextlib.suppress(ConnectionError):              # closed before it was said, on a busy machine
            client.sendall(said or (b"G" if asked_before else b""))
            assert client.recv(1000) == b""     # the end, and no timeout


def test_who_asked_waits_for_an_answer_as_long_as_it_takes(port: int, hurry, has_begun: threading.Event,
                                                           may_end: threading.Event):
    asking = http.client.HTTPConnection("127.0.0.1", port, timeout=SOON_S)
    asking.request("GET", "/long")
    assert has_begun.wait(SOON_S)
    hurry()
    with socket.create_connection(("127.0.0.1", port), timeout=SOON_S) as silent:
        assert silent.recv(1) == b""            # opened later, and closed: the time is over
    Quick.head_s = 3600.0
    may_end.set()
    assert asking.getresponse().read() == b"ok"
    asking.request("GET", "/again")             # over the same connection
    assert asking.getresponse().read() == b"ok"
    asking.close()
