"""What goes wrong in an endpoint, as its client sees it: one sentence and a status."""

import logging
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from models import runs
from models.errors import UserError
from runtime.session import WorkerDied
from ui.actions.classifiers import NoSuchModel, NotNow
from ui.actions.datasets import NoSuchSet
from ui.actions.model import Busy
from ui.api.limits import Full, TooLong
from ui.history import Locked

BUSY_RETRY_S = 5
SHOWN = 3
BUG = "Something went wrong inside Galen, and it is not your doing; its log says where."
DISK_FULL = "The disk is full. Free some space and try again."

STATUS = {TooLong: 504, NoSuchSet: 404, NoSuchModel: 404, NotNow: 409, Locked: 423}

log = logging.getLogger("galen.api")


class Problem(BaseModel):
    """Why a request was not done."""

    detail: str = Field(description="One or two sentences: what is wrong, and what to do.")


def answers(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The refusals of an endpoint, for its description; those that every endpoint has are among them."""
    words = {400: "It can not be done as it was asked for", 401: "The token is missing or wrong",
             403: "Not from here", 404: "There is nothing of this id", 409: "Not now", 413: "Too large",
             423: "The conversations are locked",
             422: "A field is wrong", 429: "Too many wrong tokens", 500: "A bug of ours",
             503: "The queue is full, or the model in use; Retry-After says when to try again",
             504: "It took too long"}
    every = (400, 401, 403, 413, 422, 429, 503)
    return {status: {"model": Problem, "description": words[status]} for status in sorted({*every, *statuses})}


def install(app: FastAPI) -> None:
    """Let the endpoints of app answer so."""

    @app.exception_handler(UserError)
    async def on_user_error(request: Request, error: UserError) -> JSONResponse:
        return told(error)

    @app.exception_handler(RequestValidationError)
    async def on_wrong_field(request: Request, error: RequestValidationError) -> JSONResponse:
        wrong = error.errors()
        parts = [f"{'.'.join(map(str, one['loc'][1:])) or 'the body'}: {one['msg']}" for one in wrong[:SHOWN]]
        more = f" And {len(wrong) - SHOWN} more." if len(wrong) > SHOWN else ""
        return _answer(422, "; ".join(parts) + "." + more)

    @app.exception_handler(ClientDisconnect)
    async def on_leaving(request: Request, error: ClientDisconnect) -> Response:
        return Response(status_code=400)        # nobody reads it

    @app.exception_handler(Exception)
    async def on_bug(request: Request, error: Exception) -> JSONResponse:
        log.error("an endpoint failed", exc_info=error)
        return bug()


async def on_disk_full(request: Request, error: Exception) -> PlainTextResponse:
    """What the page is told when the disk is full in the middle of an upload."""
    if not (isinstance(error, OSError) and runs.is_disk_full(error)):
        raise error
    return PlainTextResponse(DISK_FULL, 507)


def told(error: UserError) -> JSONResponse:
    """What a client gets for error."""
    if isinstance(error, Full):
        return _answer(503, str(error), error.retry_s)
    if isinstance(error, Busy | WorkerDied):
        return _answer(503, str(error), BUSY_RETRY_S)
    return _answer(next((status for kind, status in STATUS.items() if isinstance(error, kind)), 400), str(error))


def bug() -> JSONResponse:
    """What a client gets for a bug of ours."""
    return _answer(500, BUG)


def plain(text: str) -> str:
    """text as UTF-8 can hold it: half a character that somebody sent is spelled out."""
    return text.encode("utf-8", "backslashreplace").decode()


def _answer(status: int, text: str, retry_s: int = 0) -> JSONResponse:
    return JSONResponse({"detail": plain(text)}, status, {"Retry-After": str(retry_s)} if retry_s else None)
