"""The API as one application: its routers, and the document that describes them."""

import os

from fastapi import FastAPI
from pydantic import BaseModel

from ui.api import documents, files, openai, problems, tasks
from ui.api.limits import Admission
from ui.workbench import Workbench


class Health(BaseModel):
    """The server answers."""

    status: str
    model: str | None = None
    pid: int | None = None


def create_api(bench: Workbench) -> FastAPI:
    """The application over the workbench, without the pages."""
    app = FastAPI(title=documents.TITLE, version=documents.VERSION, description=documents.DESCRIPTION,
                  docs_url=None, redoc_url=None, openapi_url=None)
    admission = Admission(bench.session)
    problems.install(app)

    @app.get("/health", tags=["Galen"], summary="Whether the server answers, and with which model")
    def health() -> Health:
        return Health(status="ok", model=bench.model.state.name or None, pid=os.getpid())

    app.include_router(openai.router(bench, admission))
    app.include_router(tasks.router(bench, admission))
    app.include_router(files.router(bench))
    documents.install(app)
    return app
