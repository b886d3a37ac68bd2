"""The OpenAI-compatible endpoints under /v1: every field of the protocol is obeyed, or refused by name."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from ui.api.limits import Admission
from ui.api.openai import chat, completions, embeddings, models
from ui.api.openai.errors import RESPONSES, Route, error_response
from ui.workbench import Workbench

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY"]


def router(bench: Workbench, admission: Admission) -> APIRouter:
    """The endpoints over the workbench; admission is shared with every other endpoint that asks the model."""
    made = APIRouter(prefix="/v1", route_class=Route, tags=["OpenAI"], responses=RESPONSES)
    models.add_to(made, bench)
    chat.add_to(made, bench, admission)
    completions.add_to(made, bench, admission)
    embeddings.add_to(made, bench, admission)
    known = {"/v1/models": "GET", "/v1/chat/completions": "POST", "/v1/completions": "POST", "/v1/embeddings": "POST"}

    @made.api_route("/{path:path}", methods=METHODS, include_in_schema=False)
    def refuse(request: Request, path: str) -> Response:
        method = known.get(f"/v1/{path}", "GET" if path.startswith("models/") else "")
        if method:
            return error_response(405, f"/v1/{path[:200]} takes {method} only, not {request.method}.",
                                  code="method_not_allowed", headers={"Allow": method})
        return error_response(404, f"There is no /v1/{path[:200]} here; there are {', '.join(known)}.",
                              code="unknown_url")
    return made
