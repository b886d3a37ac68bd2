"""POST /v1/completions: texts continued as they are, without a template."""

import time
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field, model_validator
from starlette.responses import Response

from runtime.messages import End
from runtime.session import Session, Stream
from ui.api.limits import Admission
from ui.api.openai import shapes
from ui.api.openai.answering import Answering, Start, Text, new_id
from ui.api.openai.chat import STREAM
from ui.api.openai.fields import Fields, Sampling, without_idle
from ui.api.openai.length import check_text
from ui.workbench import Workbench

MAX_PROMPTS = 128
DEFAULT_TOKENS = 16             # the protocol's own
IDLE: Fields = {"n": (1,), "best_of": (1,), "echo": (False,), "suffix": ("",), "logit_bias": ({},),
                "presence_penalty": (0,), "frequency_penalty": (0,)}
Ids = Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1, fail_fast=True)]


class TextRequest(Sampling):
    """POST /v1/completions."""
    prompt: str | Annotated[list[str], Field(min_length=1, max_length=MAX_PROMPTS)] | Ids | Annotated[
        list[Ids], Field(min_length=1, max_length=MAX_PROMPTS)]
    logprobs: int | None = Field(None, ge=0, le=5, description="Of each token, and of so many of the likeliest")

    @model_validator(mode="before")
    @classmethod
    def _without_idle(cls, given: Any) -> Any:
        return without_idle(given, IDLE)

    def prompts(self) -> list[str | list[int]]:
        """One for each answer: text, or ids."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        texts = [one for one in self.prompt if not isinstance(one, int)]
        return list(texts) if texts else [[one for one in self.prompt if isinstance(one, int)]]


class TextShape:
    """Chunks and whole answers of one request, as the protocol writes them."""

    def __init__(self, asked: TextRequest):
        self._model, self._has_logprobs = asked.model, asked.logprobs is not None
        self._id, self._created = new_id("cmpl"), int(time.time())
        self._fingerprint = ""
        self._offsets: dict[int, int] = {}      # of each answer: where its next piece begins
        self._has_usage = asked.has_usage

    def begin(self, fingerprint: str) -> None:
        """The model that answers."""
        self._fingerprint = f"fp_{fingerprint}"

    def opening(self) -> list[shapes.TextCompletion]:
        """Nothing: the text begins at once."""
        return []

    def piece(self, piece: Text) -> list[shapes.TextCompletion]:
        """One chunk; the last one of an answer holds its end."""
        offset = self._offsets.get(piece.index, 0)
        self._offsets[piece.index] = offset + len(piece.text)
        return [self._chunk([self._choice(piece, offset)])] if piece.text or piece.tokens or piece.end else []

    def usage(self, ends: list[End]) -> shapes.TextCompletion:
        """The last chunk, of no choice."""
        return {**self._chunk([]), "usage": shapes.usage_of(ends)}

    def whole(self, answers: list[Text]) -> shapes.TextCompletion:
        """All answers at once."""
        ends = [answer.end for answer in answers if answer.end]
        return {**self._chunk([self._choice(answer, 0) for answer in answers]), "usage": shapes.usage_of(ends)}

    def _choice(self, piece: Text, offset: int) -> shapes.TextChoice:
        return shapes.TextChoice(
            index=piece.index, text=piece.text, finish_reason=shapes.finish(piece.end) if piece.end else None,
            logprobs=shapes.text_logprobs(piece.tokens, offset) if self._has_logprobs else None)

    def _chunk(self, choices: list[shapes.TextChoice]) -> shapes.TextCompletion:
        chunk = shapes.TextCompletion(
            id=self._id, object="text_completion", created=self._created, model=self._model,
            system_fingerprint=self._fingerprint, choices=choices)
        if self._has_usage:
            chunk["usage"] = None
        return chunk


def add_to(router: APIRouter, bench: Workbench, admission: Admission) -> None:
    """Put the endpoint on router."""

    @router.post("/completions", response_model=shapes.TextCompletion, responses={200: {"content": STREAM}})
    async def create_completion(asked: TextRequest) -> Response:
        """Continue each prompt, one after the other."""
        longest = {} if asked.max_tokens else {"max_tokens": DEFAULT_TOKENS}

        def begin(prompt: str | list[int]) -> Start:
            def start(session: Session) -> Stream:
                check_text(session, prompt)
                return session.complete(prompt, asked.sample(session.info, logprobs=asked.logprobs, **longest))
            return start

        starts = [begin(prompt) for prompt in asked.prompts()]
        return Answering(bench, admission, asked, starts, TextShape(asked)).response()
