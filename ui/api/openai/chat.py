"""POST /v1/chat/completions: an answer to a conversation."""

import time

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from runtime.messages import End
from runtime.session import Session, Stream
from ui.api.limits import Admission
from ui.api.openai import shapes
from ui.api.openai.answering import Answering, Text, new_id
from ui.api.openai.chat_request import ChatRequest
from ui.api.openai.length import check_chat
from ui.workbench import Workbench

STREAM = {"text/event-stream": {"schema": {"type": "string"}, "example": "data: {...}\n\ndata: [DONE]\n\n"}}


class ChatShape:
    """Chunks and whole answers of one request, as the protocol writes them."""

    def __init__(self, asked: ChatRequest):
        self._model, self._has_logprobs = asked.model, asked.logprobs
        self._id, self._created = new_id("chatcmpl"), int(time.time())
        self._fingerprint = ""
        self._has_usage = asked.has_usage

    def begin(self, fingerprint: str) -> None:
        """The model that answers."""
        self._fingerprint = f"fp_{fingerprint}"

    def opening(self) -> list[shapes.ChatChunk]:
        """The first chunk, which says who speaks."""
        return [self._chunk([self._choice({"role": "assistant", "content": ""})])]

    def piece(self, piece: Text) -> list[shapes.ChatChunk]:
        """One chunk for its text, and one for its end."""
        chunks = []
        if piece.text or piece.tokens:
            choice = self._choice({"content": piece.text})
            if self._has_logprobs:
                choice["logprobs"] = shapes.chat_logprobs(piece.tokens)
            chunks.append(self._chunk([choice]))
        if piece.end:
            chunks.append(self._chunk([{**self._choice({}), "finish_reason": shapes.finish(piece.end)}]))
        return chunks

    def usage(self, ends: list[End]) -> shapes.ChatChunk:
        """The last chunk, of no choice."""
        return {**self._chunk([]), "usage": shapes.usage_of(ends)}

    def whole(self, answers: list[Text]) -> shapes.ChatCompletion:
        """The answer at once."""
        [answer] = answers
        assert answer.end
        return shapes.ChatCompletion(
            id=self._id, object="chat.completion", created=self._created, model=self._model,
            system_fingerprint=self._fingerprint, usage=shapes.usage_of([answer.end]),
            choices=[shapes.ChatChoice(
                index=0, message=shapes.AnswerMessage(role="assistant", content=answer.text, refusal=None),
                logprobs=shapes.chat_logprobs(answer.tokens) if self._has_logprobs else None,
                finish_reason=shapes.finish(answer.end))])

    def _choice(self, delta: shapes.Delta) -> shapes.ChunkChoice:
        return shapes.ChunkChoice(index=0, delta=delta, logprobs=None, finish_reason=None)

    def _chunk(self, choices: list[shapes.ChunkChoice]) -> shapes.ChatChunk:
        chunk = shapes.ChatChunk(
            id=self._id, object="chat.completion.chunk", created=self._created, model=self._model,
            system_fingerprint=self._fingerprint, choices=choices)
        if self._has_usage:                     # the protocol has it in every chunk then, and a value in the last
            chunk["usage"] = None
        return chunk


def add_to(router: APIRouter, bench: Workbench, admission: Admission) -> None:
    """Put the endpoint on router."""

    @router.post("/chat/completions", response_model=shapes.ChatCompletion, responses={200: {"content": STREAM}})
    async def create_chat_completion(asked: ChatRequest) -> Response:
        """Answer a conversation. Nothing is added to its messages."""
        form = await run_in_threadpool(asked.answer_form)       # a large schema takes its time

        def start(session: Session) -> Stream:
            sample = asked.sample(session.info, **form)
            check_chat(session, asked.messages, sample)
            return session.chat(asked.turns(), sample)

        return Answering(bench, admission, asked, [start], ChatShape(asked)).response()
