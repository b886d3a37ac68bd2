"""Answers on their way to clients that read slowly, or not at all."""

import asyncio
from types import SimpleNamespace
from typing import Any

from pydantic import BaseModel

from ui.api.limits import Admission
from ui.api.work import Work
from ui.api.worked import Events


class Piece(BaseModel):
    content: str


def job(work: Work) -> None:
    for _ in range(3):
        work.tell(Piece(content="x"))


def test_a_client_that_takes_nothing_keeps_no_place_at_the_model():
    async def test() -> None:
        admission = Admission(SimpleNamespace(info=SimpleNamespace(slots=1)), read_s=0.05)  # type: ignore[arg-type]
        sent: list[str] = []

        async def send(message: Any) -> None:
            sent.append(message["type"])
            if len(sent) > 1:
                await asyncio.sleep(60)             # its buffers are full

        async def receive() -> Any:
            await asyncio.sleep(60)

        answering = asyncio.ensure_future(Events(admission, job)({}, receive, send))
        await asyncio.wait({answering}, timeout=30)
        assert answering.done()
        assert sent == ["http.response.start", "http.response.body"]
        async with asyncio.timeout(30), admission.turn():
            pass
    asyncio.run(test())


def test_each_piece_is_an_event_and_the_last_says_that_it_is_done():
    async def test() -> None:
        sent: list[bytes] = []

        async def send(message: Any) -> None:
            sent.append(message.get("body", b""))

        async def receive() -> Any:
            await asyncio.sleep(60)

        admission = Admission(SimpleNamespace(info=None))       # type: ignore[arg-type]
        await Events(admission, job)({}, receive, send)
        assert b"".join(sent) == b'data: {"content": "x"}\n\n' * 3 + b"data: [DONE]\n\n"
    asyncio.run(test())
