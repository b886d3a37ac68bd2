"""/api/classify: medical texts -> domains, by a trained classifier or, for labels that are named, the model in use."""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from models.errors import UserError
from runtime.engines import GgufEngine
from runtime.session import Session
from tasks import sorter
from tasks.classify import Labels, Paper, Sorted
from tasks.engine import TooLong
from ui.actions.classifiers import Classifiers, above
from ui.api.datasets import HIGHEST
from ui.api.limits import MODEL_S, Admission
from ui.api.model_names import listed_name, name_of
from ui.api.problems import answers
from ui.api.work import Work
from ui.api.worked import Worked
from ui.workbench import Workbench

MOST_ARTICLES = 1000
MOST_CHARS = 1_000_000
MOST_LABELS = 100
GROUP = 32                          # texts that are sorted at a time
Label = Annotated[str, Field(min_length=1, max_length=200)]


class ClassifyIn(BaseModel):
    """A text, and what sorts it."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())
    title: str = Field("", max_length=10_000)
    abstract: str = Field("", max_length=MOST_CHARS)
    model_id: int | None = Field(None, ge=1, le=HIGHEST, description=(
        "A trained classifier; without one the best of those there are"))
    threshold: float | None = Field(None, ge=0, le=1, description=(
        "Every label that is as likely; without one the thresholds that were fitted in training"))
    labels: list[Label] | None = Field(None, min_length=2, max_length=MOST_LABELS, description=(
        "In the place of a classifier: the labels from which the language model in use chooses"))


class BatchIn(BaseModel):
    """Texts that are sorted together; model_id, threshold and labels hold for all."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())
    articles: list[ClassifyIn] = Field(min_length=1, max_length=MOST_ARTICLES)
    model_id: int | None = Field(None, ge=1, le=HIGHEST)
    threshold: float | None = Field(None, ge=0, le=1)
    labels: list[Label] | None = Field(None, min_length=2, max_length=MOST_LABELS)


class ClassifyOut(BaseModel):
    """The labels of a text."""

    title: str
    predicted_domains: list[str]
    confidence: float = Field(description="How likely it is that exactly these are right")
    confidence_scores: dict[str, float] = Field(description="The probability of every label")
    prediction_threshold: float | None
    inference_time_ms: float = Field(description="Of a batch: its share of the whole")
    model_used: str
    model_id: int | None
    by: str = Field(description="What decided")
    note: str = ""
    created_at: datetime


class BatchOut(BaseModel):
    """The labels of all texts, in their order."""

    model_config = ConfigDict(protected_namespaces=())
    results: list[ClassifyOut]
    total_processed: int
    processing_time_seconds: float
    model_used: str


@dataclass(frozen=True)
class Asked:
    """What is sorted, and by what: number of a classifier, or labels."""

    papers: list[Paper]
    number: int | None
    labels: list[str] | None
    threshold: float | None


class Beat(BaseModel):
    """Some of the texts are done."""


def router(bench: Workbench, made: Classifiers, admission: Admission) -> APIRouter:
    """The endpoints over the folder's classifiers and the language model."""
    routes = APIRouter(tags=["Classify"], responses=answers(404, 409, 504))

    @routes.post("/api/classify", include_in_schema=False)
    @routes.post("/api/classify/", summary="The domains of one text", response_model=ClassifyOut)
    async def one(asked: ClassifyIn) -> Response:
        wanted = _asked([asked], asked)
        return Worked(admission, lambda work: work.tell(_found(bench, made, wanted, work)[0]))

    @routes.post("/api/classify/batch/", include_in_schema=False)
    @routes.post("/api/classify/batch", summary="The domains of up to 1,000 texts", response_model=BatchOut)
    async def batch(asked: BatchIn) -> Response:
        for k, article in enumerate(asked.articles):
            if (article.model_id, article.threshold, article.labels) != (None, None, None):
                raise UserError(f"articles[{k}] has a model_id, threshold or labels of its own; in a batch they stand "
                                "beside articles, once for all.")
        wanted, began = _asked(asked.articles, asked), time.monotonic()

        def job(work: Work) -> None:
            found = _found(bench, made, wanted, work)
            work.tell(BatchOut(results=found, total_processed=len(found), model_used=found[0].model_used,
                               processing_time_seconds=round(time.monotonic() - began, 3)))

        return Worked(admission, job)

    return routes


def _asked(articles: Sequence[ClassifyIn], by: ClassifyIn | BatchIn) -> Asked:
    """What a request asks for. Raises UserError for labels that can not be told apart."""
    if by.labels is not None:
        names = sorted({" ".join(label.casefold().split()) for label in by.labels})
        if by.model_id is not None:
            raise UserError("Name a trained classifier (model_id) or labels to choose from, not both.")
        if "" in names or any("|" in name for name in names) or len(names) < 2:
            raise UserError("labels needs two or more different names without \"|\", which divides the labels of a "
                            "text.")
        by.labels = names
    return Asked([Paper(text=one.abstract, title=one.title) for one in articles], by.model_id, by.labels, by.threshold)


def _found(bench: Workbench, made: Classifiers, asked: Asked, work: Work) -> list[ClassifyOut]:
    if asked.labels is not None:
        labels = Labels(names=tuple(asked.labels), is_single=False)
        with bench.model.using(listed_name(bench, ""), MODEL_S) as session:
            engine, name = GgufEngine(session), bench.model.state.name
            return _sorted(asked, work, lambda some: sorter.classify(engine, some, labels), name, None)
    seen, known = made.opened(asked.number or made.best().made.id)
    with _language_model(bench, seen.made.source if known.model else "") as language:
        model = GgufEngine(language) if language else None
        return _sorted(asked, work, lambda some: known.predict(some, model), seen.made.name, seen.made.id)


def _sorted(asked: Asked, work: Work, sort: Callable[[Sequence[Paper]], Sequence[Sorted | TooLong]], name: str,
            number: int | None) -> list[ClassifyOut]:
    """The texts, some at a time: other requests come in between, and nothing more is done when the client has gone."""
    began, found = time.monotonic(), list[Sorted | TooLong]()
    for start in range(0, len(asked.papers), GROUP):
        found += sort(asked.papers[start:start + GROUP])
        work.tell(Beat())
    if asked.threshold is not None:
        found = [above(one, asked.threshold) for one in found]
    each_ms = round((time.monotonic() - began) * 1000 / len(found), 2)
    return [_one(paper, one, each_ms, name, number, asked.threshold)
            for paper, one in zip(asked.papers, found, strict=True)]


def _language_model(bench: Workbench, source: str) -> AbstractContextManager[Session | None]:
    """The language model of a classifier, in use; None for one that needs none."""
    return bench.model.using(name_of(bench, Path(source)), MODEL_S) if source else nullcontext()


def _one(paper: Paper, found: Sorted | TooLong, ms: float, name: str, number: int | None, threshold: float | None
         ) -> ClassifyOut:
    labels: list[str] = []
    confidence, scores, by, note = 0.0, {}, "", f"too long: {found}"
    if isinstance(found, Sorted):
        labels, confidence, by, note = list(found.labels), found.confidence, " + ".join(found.by), found.note
        scores = {label: float(p) for label, p in found.probabilities.items()}
    return ClassifyOut(title=paper.title, predicted_domains=labels, confidence=float(confidence),
                       confidence_scores=scores, prediction_threshold=threshold, inference_time_ms=ms, model_used=name,
                       model_id=number, by=by, note=note, created_at=datetime.now(UTC))
