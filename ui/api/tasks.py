"""The endpoints of the programs that Galen stands in for, with the bodies that their clients send."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Match

from ui.actions.classifiers import Classifiers
from ui.actions.datasets import Datasets
from ui.api import answer, classifiers, classify, datasets, info, medgemma
from ui.api.limits import Admission
from ui.workbench import Workbench

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY"]
OURS = ("/api/{path:path}", "/medgemma", "/medgemma/", "/answer", "/answer/", "/model_info", "/model_info/", "/health")


def router(bench: Workbench, admission: Admission) -> APIRouter:
    """The endpoints over the workbench; admission is shared with every other endpoint that asks the model."""
    routes, sets = APIRouter(), Datasets(bench.home)
    made = Classifiers(bench.home, sets, bench.jobs, bench.model)
    parts = (info.router(bench), medgemma.router(bench, admission), answer.router(bench, admission),
             classify.router(bench, made, admission), classifiers.router(made, sets), datasets.router(bench))
    for one in parts:
        routes.include_router(one)
    known = [route for one in parts for route in one.routes]

    async def refuse(request: Request) -> JSONResponse:
        """What is none of the above, before the page takes it for an address of its own."""
        there = {method for route in known if route.matches(request.scope)[0] is Match.PARTIAL
                 for method in getattr(route, "methods", None) or ()}
        if there or request.url.path == "/health":
            allowed = ", ".join(sorted(there or {"GET"}))
            return JSONResponse({"detail": f"This takes {allowed}, not {request.method}."}, 405, {"Allow": allowed})
        return JSONResponse({"detail": "There is nothing at this address; /docs lists what there is."}, 404)

    for path in OURS:
        routes.add_api_route(path, refuse, methods=METHODS, include_in_schema=False)
    return routes
