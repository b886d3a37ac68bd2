"""/medgemma: one question of a conversation that is kept, answered whole or as Server-Sent Events."""

import base64
import binascii
import hashlib
import re
import time
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from models import knobs
from models.errors import UserError
from runtime.config import SampleConfig
from runtime.session import Session
from tasks.chat import REMINDER
from ui.actions.asking import Asking
from ui.api.limits import MODEL_S, Admission
from ui.api.model_names import listed_name
from ui.api.problems import answers
from ui.api.work import Stopped, Work
from ui.api.worked import Events, Worked
from ui.history import BROKEN, CUT, STOPPED, File, is_id, new_id
from ui.workbench import Workbench

LOOK_S, BEAT_S = 0.03, 0.3              # between looks at a growing answer; at whether somebody still waits for it
VERBOSE_TOKENS = 8192                   # a verbosity of 1
LEAST_TOKENS = 64
MOST_PARTS, MOST_CHARS = 50, 2_000_000
OFFLINE = {"search": "a search in the web", "deep_research": "research in the web"}
THINK = "Think the question through first, between <think> and </think>; then write the answer behind it."
LENGTHS = ((0.33, "Answer in one to three sentences."), (0.66, "Answer in a few short paragraphs."),
           (1.0, "Answer in detail."))
ADDRESS = re.compile(r"(?:[a-z][a-z0-9+.-]*:|/|\\|\.{1,2}/|[A-Za-z]:\\)\S*", re.I)
DATA = re.compile(r"data:image/(?:png|jpeg);base64,", re.I)
ENDS = {CUT: "length", STOPPED: "cancelled"}


class Part(BaseModel):
    """A part of a message: text; the text of a file or an address; a picture."""

    model_config = ConfigDict(extra="forbid")
    type: Literal["text", "file", "url", "image"]
    text: str | None = Field(None, max_length=MOST_CHARS, description="Of a text")
    content: str | None = Field(None, description=(
        "Of a file or url: its text, read by the client, for Galen opens no path and no address; of an image: "
        "data:image/png;base64,... or data:image/jpeg;base64,..."))
    name: str | None = Field(None, max_length=200)


class Control(BaseModel):
    """Which of the fields count; the others are left at what the model is used to."""

    model_config = ConfigDict(extra="forbid")
    temperature: bool = True
    reason: bool = True
    verbosity: bool = True
    system_message: bool = True


class ChatIn(BaseModel):
    """A question of a conversation, as the MedGemma backend takes it."""

    model_config = ConfigDict(extra="forbid")
    conversation_id: str = Field("", max_length=200, description="Goes on with that conversation; empty: a new one")
    model: str = Field("", max_length=1000, description="A name of /model_info; empty: the one in use")
    temperature: float = Field(0.7, ge=0, le=2)
    reason: float = Field(0, ge=0, le=1, description="Above 0: the model thinks first, between <think> and </think>")
    verbosity: float = Field(0, ge=0, le=1, description=(
        "How long the answer may get: up to 8,192 tokens at 1; 0: as long as usual"))
    system_message: str | None = Field("", max_length=MOST_CHARS)
    user_message: list[Part] = Field(min_length=1, max_length=MOST_PARTS)
    inference: bool = Field(False, description="The same as a reason above 0")
    search: bool = Field(False, description="Refused: Galen works offline")
    deep_research: bool = Field(False, description="Refused: Galen works offline")
    dan: bool = Field(False, description="Refused")
    mcp: list[Annotated[str, Field(max_length=200)]] = Field([], max_length=100, description="Refused unless empty")
    stream: bool = True
    control: Control = Control()
    in_billing: float | None = Field(None, description="Nothing is billed here")
    out_billing: float | None = None


class TokenUsage(BaseModel):
    """What was read and written."""

    input_tokens: int
    output_tokens: int


class End(BaseModel):
    """What an answer came to."""

    token_usage: TokenUsage
    conversation_id: str
    model: str
    fingerprint: str = Field(description="Of the file that answered")
    finish_reason: str = Field(description="stop, length or cancelled")
    dropped_turns: int = Field(0, description="Messages that no longer fitted the context")
    notice: str = Field("", description="What belongs above the answer when the question tells of an emergency")
    disclaimer: str = REMINDER


class ChatOut(End):
    """A whole answer."""

    content: str


class Piece(BaseModel):
    """The next characters of an answer."""

    content: str


class Notice(BaseModel):
    """What belongs above the answer."""

    notice: str


def router(bench: Workbench, admission: Admission) -> APIRouter:
    """The endpoint over the conversations and the language model."""
    events: dict[int | str, dict[str, Any]] = {200: {"model": ChatOut, "description": (
        "The answer; or, with stream, events: {\"notice\"} if there is one, {\"content\"} for each piece, the "
        "figures of the whole, [DONE]"), "content": {"text/event-stream": {"schema": {"type": "string"}}}}}
    routes = APIRouter(tags=["Chat"], responses={**answers(409, 423, 504), **events})

    @routes.post("/medgemma/", include_in_schema=False)
    @routes.post("/medgemma", summary="Ask the next question of a conversation")
    async def ask(asked: ChatIn) -> Response:
        from tasks import safety  # at a start nobody waits for it
        settings, (text, files) = _asking(asked), _question(asked.user_message)
        name, conversation = listed_name(bench, asked.model), _conversation(asked.conversation_id)
        notice = safety.notice(text)

        def job(work: Work) -> None:
            with bench.model.using(name, MODEL_S) as session:
                _refuse_blind(session, files)
                if notice and asked.stream:
                    work.tell(Notice(notice=notice))
                bench.chat.send(conversation, text, settings, files)
                _follow(bench, conversation, asked, work)

        return Events(admission, job) if asked.stream else Worked(admission, job)

    return routes


def _asking(asked: ChatIn) -> Asking:
    """How the answer is asked for. Raises UserError for what can not be done here, by its name."""
    for name, what in OFFLINE.items():
        if getattr(asked, name):
            raise UserError(f"{name} asks for {what}, and Galen works offline; leave it out.")
    if asked.dan:
        raise UserError("dan asks the model to leave its rules aside, which Galen does not do; leave it out.")
    if asked.mcp:
        raise UserError("mcp names servers of tools, and Galen uses none; leave it out.")
    control, values = asked.control, dict[str, Any]()
    system = [asked.system_message.strip()] if control.system_message and asked.system_message else []
    if control.temperature and "temperature" in asked.model_fields_set:
        values["temperature"] = asked.temperature
    if control.reason and (asked.reason > 0 or asked.inference):
        system.append(THINK)
    if control.verbosity and asked.verbosity > 0:
        system.append(next(words for most, words in LENGTHS if asked.verbosity <= most))
        values["max_tokens"] = max(LEAST_TOKENS, round(asked.verbosity * VERBOSE_TOKENS))
    return Asking(system="\n\n".join(part for part in system if part),
                  sampling=knobs.from_json(SampleConfig, values))


def _question(parts: list[Part]) -> tuple[str, tuple[File, ...]]:
    """The text of a message, and what was read into it. Raises UserError for a part that is none."""
    texts, files = [], []
    for number, part in enumerate(parts):
        place = f"user_message[{number}]"
        if part.type == "text":
            if part.text is None or part.content is not None:
                raise UserError(f"{place} is a text; put it into the field text.")
            texts.append(part.text)
        elif part.content is None or part.text is not None:
            raise UserError(f"{place} is a {part.type}; put what it holds into the field content.")
        elif part.type == "image":
            files.append(File(name=part.name or "picture", kind="picture", data=_picture(part.content, place)))
        elif ADDRESS.fullmatch(part.content.strip()):
            raise UserError(f"{place} names a {part.type}, and Galen opens no path and no address that a request "
                            "names; send the text itself as its content.")
        else:
            files.append(File(name=part.name or part.type, kind="text", text=part.content))
    text = "\n\n".join(texts).strip()
    if not text:
        raise UserError("user_message holds no text; write the question into a part of the type text.")
    return text, tuple(files)


def _picture(content: str, place: str) -> bytes:
    start = DATA.match(content)
    if start is None:
        raise UserError(f"{place} is no picture as data:image/png;base64,... or data:image/jpeg;base64,...; Galen "
                        "opens no path and no address that a request names.")
    try:
        return base64.b64decode(content[start.end():], validate=True)
    except (binascii.Error, ValueError) as error:
        raise UserError(f"{place} is no whole base64 ({error}).") from error


def _conversation(given: str) -> str:
    """The conversation in the history that a client's id means: always the same one."""
    if not given:
        return new_id()
    return given if is_id(given) else hashlib.sha256(given.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _refuse_blind(session: Session, files: tuple[File, ...]) -> None:
    if any(one.kind == "picture" for one in files) and not (session.info and session.info.projector):
        raise UserError("The model in use reads text only; leave the picture out, or name a model that sees.")


def _follow(bench: Workbench, conversation: str, asked: ChatIn, work: Work) -> None:
    """Tell what the answer grows by, then its end; whoever goes away stops it."""
    told, heard, number = 0, time.monotonic(), 0
    try:
        while running := bench.chat.running(conversation):
            number, text = running[0].number, running[0].text
            if asked.stream and len(text) > told:
                work.tell(Piece(content=text[told:]))
                told, heard = len(text), time.monotonic()
            elif time.monotonic() - heard > BEAT_S:
                work.tell(Piece(content=""))            # raises when nobody waits
                heard = time.monotonic()
            time.sleep(LOOK_S)
    except Stopped:
        bench.chat.stop(conversation)
        raise
    turns = bench.history.path_to(number) if number else bench.history.thread(conversation)
    question, answer = turns[-2:]
    if asked.stream and len(answer.text) > told:
        work.tell(Piece(content=answer.text[told:]))
    if answer.state == BROKEN:
        raise UserError(answer.problem)
    end = End(
        conversation_id=asked.conversation_id or conversation, model=answer.model,
        fingerprint=answer.fingerprint, finish_reason=ENDS.get(answer.state, "stop"), notice=question.notice,
        dropped_turns=answer.dropped_turns,
        token_usage=TokenUsage(input_tokens=answer.prompt_tokens, output_tokens=answer.tokens))
    work.tell(end if asked.stream else ChatOut(content=answer.text, **end.model_dump()))
