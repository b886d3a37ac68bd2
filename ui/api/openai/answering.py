"""Answers on their way to one client: whole as JSON, or piece by piece as Server-Sent Events."""

import json
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from starlette.types import Send

from models.errors import UserError
from runtime.messages import End
from runtime.session import Session, Stream
from ui.actions.model import Busy
from ui.api.limits import MODEL_S, Admission
from ui.api.openai.errors import ApiError, told
from ui.api.openai.fields import Sampling
from ui.api.work import Deaf, JobFailed, UntilGone, Work, in_time
from ui.workbench import Workbench

EVENTS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store"),
          (b"x-accel-buffering", b"no")]
DONE = b"data: [DONE]\n\n"
Start = Callable[[Session], Stream]             # begins to answer with the model that was asked for
Tokens = list[dict[str, Any]]                   # runtime/scheduler.py's TokenLogprob


@dataclass
class Text:
    """An answer, or a piece of one: which of the request's, its text, its tokens where they were asked for."""
    index: int
    text: str = ""
    tokens: Tokens = field(default_factory=list)
    end: End | None = None                      # with its last piece


class Shape(Protocol):
    """How an endpoint writes answers down."""

    def begin(self, fingerprint: str) -> None: ...          # of the model; before everything else
    def opening(self) -> list[Any]: ...
    def piece(self, piece: Text) -> list[Any]: ...          # chunks
    def usage(self, ends: list[End]) -> Any: ...            # the last chunk
    def whole(self, answers: list[Text]) -> Any: ...


def new_id(kind: str) -> str:
    """The id of one answer: "chatcmpl-..."."""
    return f"{kind}-{uuid.uuid4().hex}"


@contextmanager
def model_called(bench: Workbench, name: str) -> Iterator[Session]:
    """The session with the model called name, loaded if need be. Raises ApiError if there is none, Busy."""
    job = bench.model.state.lent_to or bench.model.waiting_job
    if job:                                     # for hours, maybe: nobody waits for that
        raise Busy(f"The memory is in use for {job}; the model comes back when that has ended.")
    with ExitStack() as stack:
        try:
            session = stack.enter_context(bench.model.using(name, MODEL_S))
        except Busy:
            raise
        except UserError as error:
            if name not in [model.name for model in bench.model.all()]:
                raise ApiError(404, f"There is no model {name!r}; GET /v1/models lists those there are.",
                               param="model", code="model_not_found") from error
            raise ApiError(400, str(error), param="model", code="model_not_usable") from error
        yield session


class Answering:
    """One request: takes its turn, lets the model write its answers one after the other, and sends them."""

    def __init__(self, bench: Workbench, admission: Admission, asked: Sampling, starts: Sequence[Start], shape: Shape):
        self._bench, self._admission, self._asked = bench, admission, asked
        self._starts, self._shape = starts, shape
        self._is_open = False                   # the client has got the first line

    def response(self) -> UntilGone:
        """What the endpoint returns."""
        return UntilGone(self._serve)

    async def _serve(self, send: Send) -> None:
        send = in_time(send, self._admission.read_s)
        with suppress(Deaf):                    # the server closes the connection
            try:
                async with self._admission.turn(), Work(self._write) as work:
                    if self._asked.stream:
                        await self._send_pieces(work, send)
                    else:
                        await self._send_whole(work, send)
            except (UserError, JobFailed) as error:
                await self._send_error(told(error), send)

    def _write(self, work: Work) -> None:
        with model_called(self._bench, self._asked.model) as session:
            work.tell(session.info.fingerprint if session.info else "")
            for index, start in enumerate(self._starts):
                with work.reading(start(session)) as stream:
                    held = _Held(bool(self._asked.stop))
                    for text in stream:
                        work.tell(Text(index, text, held.released(stream.logprobs, text)))
                if stream.end is None:          # it was stopped
                    return
                work.tell(Text(index, "", held.rest(stream.logprobs), _whole(stream.end)))

    async def _send_whole(self, work: Work, send: Send) -> None:
        answers = [Text(index) for index in range(len(self._starts))]
        async for items in work.told():
            for item in items:
                if isinstance(item, str):
                    self._shape.begin(item)
                else:
                    answer = answers[item.index]
                    answer.text, answer.tokens = answer.text + item.text, answer.tokens + item.tokens
                    answer.end = item.end
        body = json.dumps(self._shape.whole(answers)).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [
            (b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]})
        await send({"type": "http.response.body", "body": body})

    async def _send_pieces(self, work: Work, send: Send) -> None:
        ends: list[End] = []
        async for items in work.told():
            if isinstance(items[0], str):
                self._shape.begin(items.pop(0))
            chunks = [chunk for piece in _joined(items) for chunk in self._shape.piece(piece)]
            ends += [piece.end for piece in items if piece.end]
            if chunks:
                await self._send_events(chunks, send)
        last = [self._shape.usage(ends)] if self._asked.has_usage else []
        await send({"type": "http.response.body", "body": b"".join(map(_event, last)) + DONE})

    async def _send_events(self, chunks: list[Any], send: Send) -> None:
        if not self._is_open:                   # only now: whatever was refused had its own status
            self._is_open = True
            await send({"type": "http.response.start", "status": 200, "headers": EVENTS})
            chunks = self._shape.opening() + chunks
        await send({"type": "http.response.body", "body": b"".join(map(_event, chunks)), "more_body": True})

    async def _send_error(self, error: ApiError, send: Send) -> None:
        if self._is_open:
            await send({"type": "http.response.body", "body": _event(error.body)})
            return
        response = error.response()
        await send({"type": "http.response.start", "status": error.status, "headers": response.raw_headers})
        await send({"type": "http.response.body", "body": response.body})


class _Held:
    """The tokens of an answer, given out with the text that they make: where a stop string may begin, text waits."""

    def __init__(self, has_stop: bool):
        self._has_stop = has_stop
        self._given, self._token_characters, self._characters = 0, 0, 0

    def released(self, tokens: Tokens, text: str) -> Tokens:
        """Of all tokens so far, those that belong to what text ends; text follows what was released before."""
        self._characters += len(text)
        start = self._given
        while self._given < len(tokens):
            after = self._token_characters + len(tokens[self._given]["text"])
            if self._has_stop and after > self._characters:
                break
            self._given, self._token_characters = self._given + 1, after
        return tokens[start:self._given]

    def rest(self, tokens: Tokens) -> Tokens:
        """Those after the last piece; what a stop string cut off has none."""
        return self.released(tokens, "")


def _whole(end: End) -> End:
    """end, if the answer is what was asked for. Raises ApiError otherwise."""
    if end.dropped_turns:
        raise ApiError(400, f"The messages do not fit the context: {end.dropped_turns} would have to be left out.",
                       param="messages", code="context_length_exceeded")
    if end.finish_reason == "cancelled":
        raise ApiError(503, "The answer was ended before it was whole; ask again.", code="cancelled",
                       headers={"Retry-After": "1"})
    return end


def _joined(items: list[Text]) -> list[Text]:
    """The pieces of each answer that came together, as one; the last one stays alone, for it has the end."""
    joined: list[Text] = []
    for item in items:
        if joined and joined[-1].index == item.index and item.end is None:
            joined[-1].text += item.text
            joined[-1].tokens += item.tokens
        else:
            joined.append(item)
    return joined


def _event(content: Any) -> bytes:
    return b"data: " + json.dumps(content).encode() + b"\n\n"
