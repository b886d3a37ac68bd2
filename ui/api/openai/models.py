"""GET /v1/models: what can be asked, and one of it by its id."""

from fastapi import APIRouter
from starlette.responses import Response

from models.library import LocalModel
from ui.api.openai import shapes
from ui.api.openai.errors import ApiError, json_response
from ui.workbench import Workbench


def add_to(router: APIRouter, bench: Workbench) -> None:
    """Put the endpoints on router."""

    @router.get("/models", response_model=shapes.ModelList)
    def list_models() -> Response:
        """Every model that can be named in a request."""
        return json_response(shapes.ModelList(object="list", data=[_item(one) for one in bench.model.all()]))

    @router.get("/models/{model:path}", response_model=shapes.ModelItem)
    def retrieve_model(model: str) -> Response:
        """One of them."""
        found = next((one for one in bench.model.all() if one.name == model), None)
        if found is None:
            raise ApiError(404, f"There is no model {model[:200]!r}; GET /v1/models lists those there are.",
                           param="model", code="model_not_found")
        return json_response(_item(found))


def _item(model: LocalModel) -> shapes.ModelItem:
    try:
        created = int(model.path.stat().st_mtime)
    except OSError:
        created = 0                             # deleted a moment ago
    return shapes.ModelItem(id=model.name, object="model", created=created, owned_by="galen")
