"""How large the body of a request may be, as told and as sent, and how much of all bodies is held at once."""

import asyncio
from types import TracebackType
from typing import Self

from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope

MOST_BYTES = 32 << 20
MOST_OF = {"/v1/": 48 << 20,                                    # a picture of 32 MB, as text
           "/gradio_api/upload": 512 << 20, "/api/datasets": 52 << 20, "/files/": 1 << 40}
TO_DISK = ("/gradio_api/upload", "/api/datasets", "/files/")            # goes there as it comes
MOST_VALUES, MOST_NAMES = 150_000, 30_000       # of JSON: each takes hundreds of bytes once it is read
HELD_BYTES = 256 << 20
STALL_S = 60.0                  # a client that sends nothing more of its body for so long has gone
RETRY_S = 1

TOO_LARGE = "This is too large; send less at once."
TOO_MANY = f"The body has more than {MOST_VALUES:,} values or {MOST_NAMES:,} names; send less at once."
TOO_SLOW = "The rest of the request did not come; send it again."
CROWDED = "Too much is being sent at the same time; try again in a moment."


class Unwelcome(Exception):
    """A body that is not taken: status and text of the answer."""

    def __init__(self, status: int, text: str):
        super().__init__(text)
        self.status, self.text = status, text


class Held:
    """The bytes of the bodies that are in memory now."""

    def __init__(self) -> None:
        self.bytes = 0


class Body:
    """The receive of one request, inside a with block: raises Unwelcome as soon as more comes than may.

    problem: what it raised, None while all is well.
    """

    def __init__(self, scope: Scope, receive: Receive, held: Held, stall_s: float = STALL_S):
        """Raises Unwelcome if the header says that too much will come."""
        self._receive, self._held, self._stall_s = receive, held, stall_s
        path = scope["path"]
        self._most = next((most for start, most in MOST_OF.items() if path.startswith(start)), MOST_BYTES)
        self._is_kept = not path.startswith(TO_DISK)
        self._seen, self._is_whole = 0, False
        self.problem: Unwelcome | None = None
        told = Headers(scope=scope).get("content-length", "0")
        if not (told.isascii() and told.isdigit() and len(told) < 20 and int(told) <= self._most):
            raise Unwelcome(413, TOO_LARGE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._held.bytes -= self._seen if self._is_kept else 0

    async def __call__(self) -> Message:
        if self.problem:
            raise self.problem
        message = await self._next()
        size = len(message.get("body", b""))
        self._seen += size
        self._held.bytes += size if self._is_kept else 0
        if self._seen > self._most:
            self.problem = Unwelcome(413, TOO_LARGE)
        elif self._is_kept and self._held.bytes > HELD_BYTES:
            self.problem = Unwelcome(503, CROWDED)
        if self.problem:
            raise self.problem
        return message

    async def _next(self) -> Message:
        try:
            async with asyncio.timeout(None if self._is_whole else self._stall_s):
                message = await self._receive()
        except TimeoutError:
            self.problem = Unwelcome(408, TOO_SLOW)
            raise self.problem from None
        self._is_whole = not message.get("more_body", False)
        return message


def has_too_many_values(body: bytes) -> bool:
    """Whether a body is JSON of more values or names than anything here takes; the text of its strings counts nothing.
    """
    if body.count(b",") < MOST_VALUES and body.count(b":") <= MOST_NAMES:
        return False
    if b"\0" in body:                   # UTF-16, whose quotes are not found so
        return True
    plain = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    if plain.count(b'"') > 2 * (MOST_VALUES + MOST_NAMES):
        return True
    outside = b"".join(plain.split(b'"')[::2])
    return outside.count(b",") >= MOST_VALUES or outside.count(b":") > MOST_NAMES


async def read_whole(receive: Receive) -> tuple[bytes, Receive]:
    """The whole body, and a receive that gives it again, then what comes after it."""
    parts: list[bytes] = []
    last: Message = {"type": "http.request", "more_body": True}
    while last["type"] == "http.request" and last.get("more_body", False):
        last = await receive()
        parts.append(last.get("body", b""))
    body = b"".join(parts)
    kept: list[Message] = [{"type": "http.request", "body": body, "more_body": False}
                           if last["type"] == "http.request" else last]

    async def again() -> Message:
        return kept.pop() if kept else await receive()

    return body, again
