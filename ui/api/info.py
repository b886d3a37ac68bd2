"""/model_info: what answers now, and what it can do."""

from fastapi import APIRouter
from pydantic import BaseModel, Field

from tasks.chat import REMINDER
from ui.api.problems import answers
from ui.workbench import Workbench


class Capabilities(BaseModel):
    """What the model in use can do."""

    chat: bool
    stream: bool
    vision: bool
    embeddings: bool


class Controls(BaseModel):
    """Which fields of /medgemma do something."""

    temperature: bool = True
    reason: bool = True
    verbosity: bool = True
    system_message: bool = True


class ModelInfo(BaseModel):
    """The model in use."""

    model: str | None = Field(description="Name and type; null while none is loaded")
    name: str | None = Field(description="What the field model of a request takes")
    loading: str = Field("", description="What is being loaded")
    problem: str = Field("", description="Why the last choice did not work")
    file: str | None = None
    fingerprint: str | None = None
    description: str | None = Field(None, description="Type and size")
    ctx_tokens: int | None = Field(None, description="The longest conversation")
    capabilities: Capabilities | None = None
    control: Controls = Controls()
    notice: str = Field("", description="What must stand beside its answers")
    models: list[str] = Field(description="Every name that model takes")
    disclaimer: str = REMINDER


def router(bench: Workbench) -> APIRouter:
    """The endpoint over the model in use."""
    routes = APIRouter(tags=["Galen"], responses=answers())

    @routes.get("/model_info/", include_in_schema=False)
    @routes.get("/model_info", summary="The model in use, and what it can do")
    def info() -> ModelInfo:
        state, listed = bench.model.state, bench.model.listed()
        loaded = state.info
        return ModelInfo(
            model=state.name or None, name=next((one.name for one in listed if one.path == state.chosen), None),
            loading=state.loading, problem=state.problem, notice=state.notice, models=[one.name for one in listed],
            file=state.chosen.name if state.chosen else None, fingerprint=loaded.fingerprint if loaded else None,
            description=loaded.description if loaded else None, ctx_tokens=loaded.ctx_tokens if loaded else None,
            capabilities=Capabilities(chat=loaded.can_chat, stream=loaded.can_chat, vision=bool(loaded.projector),
                                      embeddings=loaded.can_embed) if loaded else None)

    return routes
