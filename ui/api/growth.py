"""The text of answers that are being written, as Server-Sent Events for the chat page: only what grows is sent."""

import asyncio
import json
import time
from collections.abc import AsyncIterator

from fastapi import APIRouter
from fastapi.responses import Response, StreamingResponse
from starlette.concurrency import run_in_threadpool

from ui.actions.chat import Chat
from ui.views.markdown import rendered

LOOK_S = 0.12                   # between two updates of an answer, at least
SHARE = 0.05                    # of one core that the rendering of a very long answer may take


def router(chat: Chat) -> APIRouter:
    """GET /chat/growth?c=CONVERSATION; 204 when nothing is being written there, which ends an EventSource."""
    made = APIRouter(include_in_schema=False)

    @made.get("/chat/growth")
    async def growth(c: str) -> Response:
        if not chat.running(c):
            return Response(status_code=204)
        return StreamingResponse(updates(chat, c), media_type="text/event-stream",
                                 headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})

    return made


async def updates(chat: Chat, conversation: str) -> AsyncIterator[str]:
    """One event for each answer whose text has grown, {"id", "html"}; "end" when the last one has ended."""
    seen: dict[int, int] = {}
    while answers := chat.running(conversation):
        start, changed = time.monotonic(), [one for one in answers if one.text and seen.get(one.number) != one.count]
        for answer in changed:
            seen[answer.number] = answer.count
            html = await run_in_threadpool(rendered, answer.text)
            yield f"data: {json.dumps({'id': answer.number, 'html': html})}\n\n"
        await asyncio.sleep(max(LOOK_S, (time.monotonic() - start) / SHARE if changed else 0.0))
    yield "event: end\ndata: \n\n"
