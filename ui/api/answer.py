"""/answer: one medical question -> a letter, yes / no / maybe with its probability, or a free answer."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from models.errors import UserError
from runtime.config import SampleConfig
from runtime.engines import GgufEngine
from runtime.session import Session
from tasks import answer
from tasks.answer import Question
from tasks.chat import REMINDER
from tasks.engine import TooLong
from ui.api.limits import MODEL_S, Admission
from ui.api.model_names import listed_name
from ui.api.problems import answers
from ui.api.work import Work
from ui.api.worked import Worked
from ui.workbench import Workbench

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
MOST_CHARS = 1_000_000
Option = Annotated[str, Field(min_length=1, max_length=10_000)]
Letter = Annotated[str, Field(pattern="^[A-Z]$")]


class AnswerIn(BaseModel):
    """A question. temperature, top_p, top_k and max_tokens are for free answers only."""

    model_config = ConfigDict(extra="forbid")
    question: str = Field(min_length=1, max_length=MOST_CHARS)
    context: str = Field("", max_length=MOST_CHARS, description="A text to answer from, as an abstract")
    options: list[Option] | dict[Letter, Option] | None = Field(None, min_length=2, max_length=26, description=(
        "To choose from: a list (A, B, ... in its order), or letters with their texts"))
    kind: Literal["auto", "choice", "decision", "free"] = Field("auto", description=(
        "decision: yes, no or maybe; auto: choice where there are options, else free"))
    model: str = Field("", max_length=1000, description="A name of /v1/models; empty: the one in use")
    threshold: float = Field(0.0, ge=0, le=1, description="No answer below this probability")
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, ge=0, le=1000)
    max_tokens: int | None = Field(None, ge=1, le=8192)


class AnswerOut(BaseModel):
    """The answer."""

    question: str
    kind: str
    answer: str = Field(description='A letter; yes, no or maybe; a text. "" where nothing reaches the threshold')
    answer_text: str = Field("", description="Of a choice: the text of the option")
    confidence: float | None = Field(None, description="The probability of the likeliest choice")
    probabilities: dict[str, float] | None = None
    is_cut: bool = Field(False, description="The answer met its longest length")
    notice: str = Field("", description="What belongs above the answer when the question tells of an emergency")
    disclaimer: str = REMINDER
    model: str
    fingerprint: str = Field(description="Of the file that answered")


def router(bench: Workbench, admission: Admission) -> APIRouter:
    """The endpoint over the language model."""
    routes = APIRouter(tags=["Answer"], responses=answers(504))

    @routes.post("/answer/", include_in_schema=False)
    @routes.post("/answer", summary="Answer one question", response_model=AnswerOut)
    async def one(asked: AnswerIn) -> Response:
        _check(asked)
        name = listed_name(bench, asked.model)

        def job(work: Work) -> None:
            with bench.model.using(name, MODEL_S) as session:
                work.tell(_answered(asked, session, bench, work))

        return Worked(admission, job)

    return routes


def _check(asked: AnswerIn) -> None:
    if asked.kind == "choice" and not asked.options:
        raise UserError("A choice needs options; give two or more.")
    if asked.options and asked.kind in ("decision", "free"):
        raise UserError(f"options are for a choice, not for the kind {asked.kind}; leave them out.")
    sampling = [name for name in ("temperature", "top_p", "top_k", "max_tokens") if getattr(asked, name) is not None]
    if sampling and (asked.options or asked.kind == "decision"):
        raise UserError(f"{sampling[0]} is for free answers; a choice is read from probabilities, nothing is drawn.")
    if asked.threshold and not (asked.options or asked.kind == "decision"):
        raise UserError("threshold is for choices and decisions; a free answer has no probability.")


def _answered(asked: AnswerIn, session: Session, bench: Workbench, work: Work) -> AnswerOut:
    from tasks import safety  # at a start nobody waits for it
    told: dict[str, Any] = {"question": asked.question, "notice": safety.notice(asked.question),
                            "model": bench.model.state.name,
                            "fingerprint": session.info.fingerprint if session.info else ""}
    if not asked.options and asked.kind != "decision":
        return AnswerOut(kind="free", **told, **_written(asked, session, work))
    options = dict(zip(LETTERS, asked.options, strict=False)) if isinstance(asked.options, list) else asked.options
    found = answer.decide(GgufEngine(session), [Question(asked.question, asked.context, options or {})],
                          threshold=asked.threshold)[0]
    if isinstance(found, TooLong):
        raise UserError(f"The question is too long: {found}.")
    return AnswerOut(kind="choice" if options else "decision", answer=found.choice, confidence=found.confidence,
                     answer_text=(options or {}).get(found.choice, ""), probabilities=dict(found.probabilities), **told)


def _written(asked: AnswerIn, session: Session, work: Work) -> dict[str, Any]:
    given = {name: value for name in ("temperature", "top_p", "top_k", "max_tokens")
             if (value := getattr(asked, name)) is not None}
    content = answer.question(asked.question, asked.context)
    with work.reading(session.chat([{"role": "user", "content": content}], SampleConfig(**given))) as stream:
        text = "".join(stream)
    if stream.end is None:
        raise UserError("The answer was ended before it was whole; ask again.")
    if stream.end.dropped_turns:
        raise UserError("The question does not fit the context of the model; shorten it.")
    return {"answer": text.strip(), "is_cut": stream.end.finish_reason == "length"}
