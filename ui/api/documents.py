"""The document that describes the API, /openapi.json, and the page that shows it, /docs."""

import functools
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.responses import HTMLResponse, JSONResponse

from ui.views import api_page

TITLE, VERSION = "Galen", "1.0.0"
DESCRIPTION = (
    "Everything is computed on this computer. Endpoints under /v1 speak OpenAI's protocol; the others take the bodies "
    "of the programs that Galen stands in for. Where other computers can reach Galen, each request carries the token "
    "that it shows when it starts: Authorization: Bearer TOKEN. For learning and research: not a medical device.")
SECURITY = {"token": {"type": "http", "scheme": "bearer", "description": (
    "Asked for where other computers can reach Galen, or where the settings say so")}}


def install(app: FastAPI) -> None:
    """Put both addresses on app. The document is made when it is first asked for, of the endpoints there are then."""
    told = functools.cache(lambda: _described(app))

    @app.get("/openapi.json", include_in_schema=False)
    def document() -> JSONResponse:
        return JSONResponse(told())

    @app.get("/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        return HTMLResponse(api_page.page(told()))


def _described(app: FastAPI) -> dict[str, Any]:
    told = get_openapi(title=TITLE, version=VERSION, description=DESCRIPTION, routes=app.routes)
    told.setdefault("components", {})["securitySchemes"] = SECURITY
    told["security"] = [{}, {"token": []}]
    return told
