"""/api/models: classifiers set up over a dataset, trained as jobs, followed and stopped."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from fastapi import Path as InPath
from pydantic import BaseModel, ConfigDict, Field

from ui.actions.classifiers import Classifiers, Seen
from ui.actions.datasets import Datasets
from ui.api.datasets import HIGHEST, Done
from ui.api.problems import answers

STATUS = {"waiting": "pending", "running": "running", "done": "completed", "stopped": "cancelled",
          "error": "failed", "interrupted": "failed"}
NO_EPOCHS = ("A classifier is fitted in one go, so total_epochs, learning_rate and batch_size change nothing; to tune "
             "a language model itself, use the Train page.")
Number = Annotated[int, InPath(ge=1, le=HIGHEST, description="The number of the model")]


class ModelIn(BaseModel):
    """A classifier to be trained later."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())
    name: str = Field(min_length=1, max_length=200)
    description: str | None = Field(None, max_length=10_000)
    model_type: Literal["bert", "gemma2-2b", "traditional", "hybrid", "custom"] = Field(description=(
        "traditional: words alone; hybrid: with the language model in use; gemma2-2b: with that one; custom: with the "
        "one that parameters.model names; bert is refused"))
    dataset_id: int = Field(ge=1, le=HIGHEST)
    parameters: dict[str, Any] | None = Field(None, description=(
        "model: a name of /v1/models; fast_mode: score on 20 rows; shots: examples shown to the language model; seed"))


class ModelOut(BaseModel):
    """A classifier, and how it did on rows it did not learn from."""

    model_config = ConfigDict(protected_namespaces=())
    id: int = Field(description="What model_id takes")
    name: str
    description: str
    model_type: str
    dataset_id: int
    dataset_name: str = Field(description='"" when the dataset was deleted')
    parameters: dict[str, Any]
    status: str = Field(description="created, training, trained or failed")
    is_trained: bool
    accuracy: float | None = Field(None, description="The share of texts with exactly the right labels")
    accuracy_interval: list[float] | None = Field(None, description="95%")
    f1_score: float | None = Field(None, description="The mean over the labels; so are precision and recall")
    precision: float | None = None
    recall: float | None = None
    validation_samples: int | None = None
    domain_performance: dict[str, Any] | None = Field(None, description="precision, recall, f1 and n of each label")
    baseline: dict[str, Any] | None = Field(None, description="The trivial answer, on the same rows")
    created_at: datetime
    updated_at: datetime


class TrainIn(BaseModel):
    """How to train. A classifier is fitted in one go: only validation_split matters to it."""

    model_config = ConfigDict(extra="forbid")
    total_epochs: int = Field(default=10, ge=1, le=100)
    learning_rate: float = Field(default=2e-5, gt=0, le=1)
    batch_size: int = Field(default=16, ge=1, le=128)
    validation_split: float = Field(default=0.2, ge=0.1, le=0.5)


class TrainingJobOut(BaseModel):
    """A training as it is now."""

    model_config = ConfigDict(protected_namespaces=())
    id: int = Field(description="The model's number")
    model_name: str
    status: str = Field(description="pending, running, completed, cancelled or failed")
    progress_percentage: float
    current_epoch: int
    total_epochs: int
    current_loss: float | None = None
    current_accuracy: float | None = None
    left_s: float | None = Field(None, description="Seconds to go, where that is known")
    started_at: datetime | None = None
    completed_at: datetime | None = None
    created_at: datetime
    message: str = Field(description="What it is doing, or how it ended")
    error_message: str = ""
    run: str = Field(description="Its run, as the pages list it")
    note: str = NO_EPOCHS


def router(made: Classifiers, sets: Datasets) -> APIRouter:
    """The endpoints over the folder's classifiers."""
    routes = APIRouter(tags=["Models"], responses=answers(404))

    def shown(seen: Seen) -> ModelOut:
        names = {one.id: one.name for one in sets.all()}
        return _model(seen, names.get(seen.made.dataset_id, ""))

    @routes.get("/api/models", include_in_schema=False)
    @routes.get("/api/models/", summary="Every classifier")
    def every() -> list[ModelOut]:
        return [shown(one) for one in made.all()]

    @routes.post("/api/models", include_in_schema=False)
    @routes.post("/api/models/", summary="Set up a classifier over a dataset")
    def create(asked: ModelIn) -> ModelOut:
        return shown(made.make(asked.name, asked.model_type, asked.dataset_id, asked.parameters or {},
                               asked.description or ""))

    @routes.get("/api/models/{model_id}/", include_in_schema=False)
    @routes.get("/api/models/{model_id}", summary="One classifier, and how well it does")
    def one(model_id: Number) -> ModelOut:
        return shown(made.get(model_id))

    @routes.post("/api/models/{model_id}/train", include_in_schema=False)
    @routes.post("/api/models/{model_id}/train/", summary="Begin to train it, as a job", responses=answers(404, 409))
    def train(model_id: Number, asked: TrainIn | None = None) -> TrainingJobOut:
        asked = asked or TrainIn()
        return _job(made.train(model_id, asked.validation_split, asked.total_epochs))

    @routes.get("/api/models/{model_id}/train", include_in_schema=False)
    @routes.get("/api/models/{model_id}/train/", summary="Its training as it is now", responses=answers(404, 409))
    @routes.get("/api/models/{model_id}/training-job", include_in_schema=False)
    @routes.get("/api/training-jobs/{model_id}", include_in_schema=False)
    def training(model_id: Number) -> TrainingJobOut:
        return _job(made.training(model_id))

    @routes.post("/api/models/{model_id}/stop-training/", include_in_schema=False)
    @routes.post("/api/models/{model_id}/stop-training", summary="Stop its training", responses=answers(404, 409))
    def stop(model_id: Number) -> Done:
        made.stop(model_id)
        return Done(message="The training is asked to stop; it does so within a step.")

    return routes


def _model(seen: Seen, dataset: str) -> ModelOut:
    one, scores = seen.made, seen.scores or {}
    each = list(scores.get("labels", {}).values())
    return ModelOut(
        id=one.id, name=one.name, description=one.description, model_type=one.model_type, dataset_id=one.dataset_id,
        dataset_name=dataset, parameters=one.parameters, status=seen.status, is_trained=seen.status == "trained",
        accuracy=scores.get("subset_accuracy"), f1_score=scores.get("macro_f1"),
        accuracy_interval=scores.get("intervals", {}).get("subset_accuracy"),
        precision=_mean([label["precision"] for label in each]), recall=_mean([label["recall"] for label in each]),
        validation_samples=scores.get("n"), domain_performance=scores.get("labels"), baseline=scores.get("baseline"),
        created_at=_time(one.created_at), updated_at=_time(one.updated_at))


def _job(seen: Seen) -> TrainingJobOut:
    job, one = seen.job, seen.made
    assert job
    is_done = job.state == "done"
    status = STATUS[job.state]
    return TrainingJobOut(
        id=one.id, model_name=one.name, status=status, run=job.folder.name, message=job.words, left_s=job.left_s,
        progress_percentage=100.0 if is_done else round(100 * (job.share or 0.0), 1), total_epochs=one.total_epochs,
        current_epoch=one.total_epochs if is_done else 0, created_at=_time(one.updated_at),
        current_accuracy=(seen.scores or {}).get("subset_accuracy"),
        started_at=_time(job.started) if job.state != "waiting" else None,
        completed_at=_time(seen.ended) if seen.ended else None,
        error_message=job.words if status == "failed" else "")


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _mean(numbers: list[float]) -> float | None:
    return sum(numbers) / len(numbers) if numbers else None
