"""POST /v1/embeddings: texts as vectors, by a model that was made for it."""

import base64
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.responses import Response
from starlette.types import Send

from models.errors import UserError
from ui.api.limits import Admission
from ui.api.openai import shapes
from ui.api.openai.answering import model_called
from ui.api.openai.errors import ApiError, json_response, told
from ui.api.openai.fields import LABEL, STRICT, Name
from ui.api.work import JobFailed, UntilGone, Work
from ui.workbench import Workbench

MAX_TEXTS = 2048
TEXTS_AT_ONCE = 8               # then others get their turn, and a client that has gone is noticed
LONGEST_TEXT = 1 << 18          # characters; what a model takes is far less, and it says so


class EmbeddingRequest(BaseModel):
    """POST /v1/embeddings."""
    model_config = STRICT
    model: Name = Field(description="The id of a model of /v1/models")
    input: Annotated[str, Field(max_length=LONGEST_TEXT)] | Annotated[
        list[Annotated[str, Field(max_length=LONGEST_TEXT)]], Field(min_length=1, max_length=MAX_TEXTS)] = Field(
            description="Texts; token ids are not taken")
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(None, ge=1, description="The model's own number, or left out")
    user: Name | None = Field(None, description=LABEL)

    @property
    def texts(self) -> list[str]:
        """What to embed, in order."""
        return [self.input] if isinstance(self.input, str) else self.input


class Embedding:
    """One request: its turn, its vectors a few at a time, its answer."""

    def __init__(self, bench: Workbench, admission: Admission, asked: EmbeddingRequest):
        self._bench, self._admission, self._asked = bench, admission, asked
        self._tokens = 0

    async def serve(self, send: Send) -> None:
        """Send the vectors, or why there are none."""
        vectors: list[list[float]] = []
        try:
            async with self._admission.turn(), Work(self._embed) as work:
                async for items in work.told():
                    for some in items:
                        vectors += some
            response = json_response(self._whole(vectors))
        except (UserError, JobFailed) as error:
            response = told(error).response()
        await send({"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers})
        await send({"type": "http.response.body", "body": response.body})

    def _embed(self, work: Work) -> None:
        texts = self._asked.texts
        with model_called(self._bench, self._asked.model) as session:
            if session.info and not session.info.can_embed:
                raise ApiError(400, f"The model {self._asked.model!r} offers no embeddings; choose one that was made "
                               "for them.", param="model", code="model_not_usable")
            for at in range(0, len(texts), TEXTS_AT_ONCE):
                some = texts[at:at + TEXTS_AT_ONCE]
                self._tokens += sum(len(session.encode(text)) for text in some)
                work.tell(session.embed(some))

    def _whole(self, vectors: list[list[float]]) -> shapes.EmbeddingList:
        asked, width = self._asked, len(vectors[0])
        if asked.dimensions not in (None, width):
            raise ApiError(400, f"dimensions: the model's vectors have {width}; leave it out.", param="dimensions",
                           code="invalid_value")
        return shapes.EmbeddingList(
            object="list", model=asked.model,
            usage=shapes.EmbeddingUsage(prompt_tokens=self._tokens, total_tokens=self._tokens),
            data=[shapes.EmbeddingItem(object="embedding", index=k, embedding=self._written(vector))
                  for k, vector in enumerate(vectors)])

    def _written(self, vector: list[float]) -> Any:
        if self._asked.encoding_format == "float":
            return vector
        return base64.b64encode(np.asarray(vector, "<f4").tobytes()).decode()


def add_to(router: APIRouter, bench: Workbench, admission: Admission) -> None:
    """Put the endpoint on router."""

    @router.post("/embeddings", response_model=shapes.EmbeddingList)
    async def create_embedding(asked: EmbeddingRequest) -> Response:
        """One vector of length 1 for each text."""
        return UntilGone(Embedding(bench, admission, asked).serve)
