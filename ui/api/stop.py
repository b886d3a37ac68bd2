"""The address with which the page's Stop button ends Galen."""

from typing import Any, Literal

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from ui.ending import Ending


def router(ending: Ending) -> APIRouter:
    """POST /stop?jobs=ask|keep|stop: 409 with the jobs that run or wait, if they are to be asked for; else 202."""
    made = APIRouter(include_in_schema=False)

    @made.post("/stop")
    def stop(jobs: Literal["ask", "keep", "stop"] = "ask") -> JSONResponse:
        found: list[dict[str, Any]] = []
        if jobs == "stop":
            ending.ask_with_jobs()
        else:
            views = ending.open_jobs() if jobs == "ask" else []
            found = [{"title": view.title, "state": view.state, "words": view.words} for view in views]
            if not found:
                ending.ask()
        return JSONResponse({"jobs": found}, status_code=409 if found else 202)

    return made
