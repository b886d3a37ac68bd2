"""One answer that a job makes: it waits for its turn, and is cancelled when its client goes away."""

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from pydantic import BaseModel
from starlette.responses import JSONResponse, Response
from starlette.types import Send

from models.errors import UserError
from ui.api.limits import Admission
from ui.api.problems import bug, told
from ui.api.work import Deaf, JobFailed, UntilGone, Work, in_time

HEADERS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store"),
           (b"x-accel-buffering", b"no")]
DONE = b"data: [DONE]\n\n"
Job = Callable[[Work], None]


class Worked(UntilGone):
    """The response whose body is what job told last, as JSON."""

    def __init__(self, admission: Admission, job: Job):
        super().__init__(self._answer)
        self._admission, self._job = admission, job

    async def _answer(self, send: Send) -> None:
        last: BaseModel | None = None
        try:
            async with self._admission.turn(), Work(self._job) as work:
                async for items in work.told():
                    last = items[-1]
            assert last is not None
            response: Response = JSONResponse(last.model_dump(mode="json"))
        except UserError as error:
            response = told(error)
        except JobFailed:
            response = bug()
        await _send_whole(response, send)


class Events(UntilGone):
    """The response that sends each thing that job tells as a Server-Sent Event, the moment it is told."""

    def __init__(self, admission: Admission, job: Job):
        super().__init__(self._answer)
        self._admission, self._job = admission, job
        self._is_open = False                   # the client has got the first line

    async def _answer(self, send: Send) -> None:
        with suppress(Deaf):                    # the server closes the connection
            await self._answer_in_time(in_time(send, self._admission.read_s))

    async def _answer_in_time(self, send: Send) -> None:
        try:
            async with self._admission.turn(), Work(self._job) as work:
                async for items in work.told():
                    await self._send([one.model_dump(mode="json") for one in items], send)
        except (UserError, JobFailed) as error:
            response = told(error) if isinstance(error, UserError) else bug()
            if not self._is_open:               # nothing was sent: it has a status of its own
                await _send_whole(response, send)
                return
            await self._send([{"error": json.loads(bytes(response.body))["detail"]}], send)
        await send({"type": "http.response.body", "body": DONE})

    async def _send(self, items: list[dict[str, Any]], send: Send) -> None:
        if not self._is_open:
            self._is_open = True
            await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        body = b"".join(b"data: " + json.dumps(one).encode() + b"\n\n" for one in items)
        await send({"type": "http.response.body", "body": body, "more_body": True})


async def _send_whole(response: Response, send: Send) -> None:
    await send({"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers})
    await send({"type": "http.response.body", "body": response.body})
