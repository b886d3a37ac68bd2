"""Errors under /v1 in the protocol's shape, whatever raised them."""

import json
import logging
import re
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import TypedDict

from models.errors import UserError
from runtime.session import WorkerDied
from ui.actions.model import Busy
from ui.api.limits import Full, TooLong
from ui.api.problems import BUG, BUSY_RETRY_S
from ui.api.work import JobFailed

LONGEST_WORDS = 300             # pydantic's own may repeat what was sent
TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}
TYPE_TAG = re.compile(r"(str|int|float|bool|dict|list|constrained-\w+)(\[.*)?")     # pydantic's, of a union's branches

log = logging.getLogger("galen")


class ErrorText(TypedDict):
    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(TypedDict):
    error: ErrorText


RESPONSES: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorBody, "description": "The request can not be served as it is; error.param names the field"},
    401: {"model": ErrorBody, "description": "A token is missing, or is not the right one"},
    403: {"model": ErrorBody, "description": "The address or origin of the request is not allowed"},
    404: {"model": ErrorBody, "description": "There is no such model or endpoint"},
    413: {"model": ErrorBody, "description": "The request is too large"},
    500: {"model": ErrorBody, "description": "A bug"},
    503: {"model": ErrorBody, "description": "Too much to do; Retry-After says when to ask again"},
    504: {"model": ErrorBody, "description": "The answer took too long"},
    "default": {"model": ErrorBody, "description": "Anything else that went wrong"},
}


class ApiError(UserError):
    """A request that is refused, as the protocol says it."""

    def __init__(self, status: int, message: str, *, param: str | None = None, code: str | None = None,
                 headers: Mapping[str, str] | None = None):
        super().__init__(message)
        self.status, self.headers = status, dict(headers or {})
        kind = "server_error" if status >= 500 else TYPES.get(status, "invalid_request_error")
        self.body = ErrorBody(error=ErrorText(message=message, type=kind, param=param, code=code))

    def response(self) -> Response:
        """The whole answer."""
        return json_response(self.body, self.status, self.headers)


def json_response(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """content as JSON in ASCII, so that half a character of a client's comes back as it was written."""
    return Response(json.dumps(content).encode(), status, headers, "application/json")


def error_response(status: int, message: str, code: str | None = None,
                   headers: Mapping[str, str] | None = None) -> Response:
    """A refusal in the protocol's shape, for whoever stands in front of these endpoints."""
    return ApiError(status, message, code=code, headers=headers).response()


def told(error: UserError | JobFailed) -> ApiError:
    """What a client is told of error."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, Full | Busy):
        retry_s = error.retry_s if isinstance(error, Full) else BUSY_RETRY_S
        return ApiError(503, str(error), code="busy", headers={"Retry-After": str(retry_s)})
    if isinstance(error, WorkerDied):
        return ApiError(503, str(error), code="model_ended", headers={"Retry-After": "1"})
    if isinstance(error, TooLong):
        return ApiError(504, str(error), code="timeout")
    if isinstance(error, JobFailed):
        return ApiError(500, BUG)
    return ApiError(400, str(error))


class Route(APIRoute):
    """An endpoint whose every failure is told in the protocol's shape."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        serve = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            try:
                return await serve(request)
            except RequestValidationError as error:
                return refusal(error.errors()).response()
            except UserError as error:
                return told(error).response()
            except HTTPException as error:
                return ApiError(error.status_code, str(error.detail), headers=error.headers).response()
            except Exception:
                log.exception("a request under /v1 failed")
                return error_response(500, BUG)
        return guarded


def refusal(errors: Sequence[Mapping[str, Any]]) -> ApiError:
    """The one error that says most of what pydantic found: the one that lies deepest."""
    error = max(errors, key=lambda one: len(one["loc"]))
    loc, kind = list(error["loc"]), error["type"]
    if kind in ("json_invalid", "model_attributes_type") or loc == ["body"] and kind == "missing":
        return ApiError(400, "The body is no JSON object; send one, with the content type application/json.")
    param = _path([*loc[1:], *([error["ctx"]["field"]] if kind == "not_supported" else [])])
    if kind == "extra_forbidden":
        return ApiError(400, f"There is no field {param} that Galen knows; leave it out.", param=param,
                        code="unknown_parameter")
    if kind == "not_supported":
        return ApiError(400, f"{param}: {error['msg']}", param=param, code="unsupported_parameter")
    if kind == "missing":
        return ApiError(400, f"The field {param} is missing.", param=param, code="missing_required_parameter")
    message = str(error["msg"])[:LONGEST_WORDS].rstrip(".")
    return ApiError(400, f"{param}: {message[:1].lower()}{message[1:]}.", param=param, code="invalid_value")


def _path(loc: Sequence[str | int]) -> str:
    """A place in the body as the protocol writes it: "messages[0].content"."""
    names = [one for one in loc if isinstance(one, int) or not TYPE_TAG.fullmatch(one)]
    path = ""
    for k, one in enumerate(names):
        if isinstance(one, int):
            path += f"[{one}]"
        elif k < 2 or names[k - 2] != "content":                # else the type of the part, said once more
            path += f".{one}" if path else one
    return path[:200]
