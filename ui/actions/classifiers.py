"""Classifiers that programs ask for: set up over a dataset, trained as a job, kept, and used."""

import random
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from evaluation.batch.config import ClassifyConfig
from models import runs
from models.errors import UserError
from tasks.classifier import Classifier
from tasks.classify import Sorted
from tasks.engine import TooLong
from ui.actions.datasets import Datasets, Sample, numbered
from ui.actions.model import CurrentModel
from ui.classifier import found
from ui.job_list import JobList, JobView

FOLDER, ABOUT = "classifiers", "model.json"
TRAIN, HELD = "train.jsonl", "held.jsonl"
MODULE, KIND = "evaluation.batch.worker", "classify"
FAST_ROWS = 20                              # held out in fast mode
LEAST_ROWS = 20
IN_MEMORY = 4
CREATED, TRAINING, TRAINED, FAILED = "created", "training", "trained", "failed"
TYPES = ("traditional", "gemma2-2b", "hybrid", "custom", "bert")
PARAMETERS = ("model", "fast_mode", "shots", "seed")


class NoSuchModel(UserError):
    """There is no classifier of that number."""


class NotNow(UserError):
    """It is being trained, or has been."""


@dataclass(frozen=True, kw_only=True)
class Made:
    """A classifier as it was asked for. source: what its language model is, "" = words alone; run: of its training."""

    id: int
    name: str
    description: str = ""
    model_type: str
    dataset_id: int
    parameters: dict[str, Any] = field(default_factory=dict)
    source: str = ""
    created_at: float
    updated_at: float
    run: str = ""
    total_epochs: int = 0


@dataclass(frozen=True)
class Seen:
    """A classifier, its training and what that came to; job and scores are None before there are any.

    ended: when its training ended, in seconds since 1970; 0.0: it has not.
    """

    made: Made
    status: str
    job: JobView | None = None
    scores: dict[str, Any] | None = None
    ended: float = 0.0


class Classifiers:
    """The classifiers in a folder. May be used from several threads."""

    def __init__(self, home: Path, datasets: Datasets, jobs: JobList, model: CurrentModel):
        self._folder, self._datasets, self._jobs, self._model = home / FOLDER, datasets, jobs, model
        self._lock = threading.Lock()
        self._opened: OrderedDict[Path, Classifier] = OrderedDict()

    def all(self) -> list[Seen]:
        """Every classifier, the first made first."""
        numbers = sorted(int(path.parent.name) for path in self._folder.glob(f"*/{ABOUT}")
                         if path.parent.name.isdecimal())
        return [self.get(number) for number in numbers]

    def get(self, number: int) -> Seen:
        """The classifier of that number. Raises NoSuchModel."""
        path = self._folder / str(number) / ABOUT
        if not path.is_file():
            raise NoSuchModel(f"There is no model {number}; create one with POST /api/models/ first.")
        made = Made(**runs.read_json(path))
        if not made.run:
            return Seen(made, CREATED)
        try:
            job = self._jobs.view(made.run)
        except UserError:                           # its run was deleted on a page
            return Seen(made, CREATED)
        result = job.folder / runs.RESULT
        if job.state == "done" and result.is_file():
            return Seen(made, TRAINED, job, runs.read_json(result)["scores"], result.stat().st_mtime)
        if not job.is_over:
            return Seen(made, TRAINING, job)
        events = job.folder / runs.EVENTS
        return Seen(made, FAILED, job, ended=events.stat().st_mtime if events.is_file() else job.started)

    def make(self, name: str, model_type: str, dataset_id: int, parameters: dict[str, Any], description: str = ""
             ) -> Seen:
        """Set one up. Raises UserError for a type or parameter that is not known here, and a dataset that is not there.
        """
        self._datasets.get(dataset_id)
        wrong = sorted(set(parameters) - set(PARAMETERS))
        if wrong:
            raise UserError(f"parameters has {wrong[0]!r}, which does nothing here; there are {', '.join(PARAMETERS)}.")
        source = self._source(model_type, parameters)
        _config(Path(), source, parameters)             # says what is wrong with a parameter
        folder, now = numbered(self._folder), time.time()
        made = Made(id=int(folder.name), name=name, description=description, model_type=model_type, source=source,
                    dataset_id=dataset_id, parameters=parameters, created_at=now, updated_at=now)
        runs.write_json(folder / ABOUT, asdict(made))
        return self.get(made.id)

    def train(self, number: int, share: float, epochs: int) -> Seen:
        """Begin to train it on its dataset, but for a share of the rows, on which it is then scored.

        Raises NotNow while or after it is trained, UserError for too few rows.
        """
        with self._lock:
            seen = self.get(number)
            if seen.status in (TRAINING, TRAINED):
                raise NotNow(f"Model {number} is {'being trained' if seen.status == TRAINING else 'trained already'}; "
                             "create another one to train again.")
            made, folder = seen.made, self._folder / str(number)
            samples = self._datasets.samples(made.dataset_id)
            kept, held = _split(samples, share, made.parameters)
            for name, some in ((TRAIN, kept), (HELD, held)):
                with runs.whole_file(folder / name) as part:
                    part.write_bytes(b"".join(runs.json_bytes(_row(one)) + b"\n" for one in some))
            run = self._jobs.submit(
                MODULE, _config(folder, made.source, made.parameters), kind=KIND, name=f"classifier-{number}",
                title=f"Classifier {number}")
            runs.write_json(folder / ABOUT, asdict(replace(made, run=run.name, total_epochs=epochs,
                                                           updated_at=time.time())))
        return self.get(number)

    def training(self, number: int) -> Seen:
        """The one with its training, ended or not. Raises NotNow if it was never begun."""
        seen = self.get(number)
        if seen.job is None:
            raise NotNow(f"Model {number} was not trained yet; begin with POST /api/models/{number}/train/.")
        return seen

    def stop(self, number: int) -> Seen:
        """Stop its training. Raises NotNow if none runs."""
        seen = self.get(number)
        if seen.status != TRAINING or seen.job is None:
            raise NotNow(f"Model {number} is not being trained.")
        self._jobs.stop(seen.job.folder)
        return self.get(number)

    def best(self) -> Seen:
        """The trained one with the highest macro F1. Raises UserError if none is trained."""
        trained = [one for one in self.all() if one.status == TRAINED]
        if not trained:
            raise UserError("No model is trained yet: upload a table to /api/datasets/, create a model with "
                            "POST /api/models/ and train it, or name labels to choose from.")
        return max(trained, key=lambda one: (one.scores or {}).get("macro_f1", 0.0))

    def opened(self, number: int) -> tuple[Seen, Classifier]:
        """The trained classifier of that number. Raises NotNow if it is not trained."""
        seen = self.get(number)
        if seen.status != TRAINED or seen.job is None:
            raise NotNow(f"Model {number} is not trained yet (it is {seen.status}); see "
                         f"/api/models/{number}/training-job.")
        path = seen.job.folder / runs.CLASSIFIER
        with self._lock:
            known = self._opened.pop(path, None) or Classifier.load(path)
            self._opened[path] = known
            while len(self._opened) > IN_MEMORY:
                self._opened.popitem(last=False)
        return seen, known

    def _source(self, model_type: str, parameters: dict[str, Any]) -> str:
        """The file of the language model that is to decide as well, "" for none."""
        named = str(parameters.get("model", ""))
        if model_type not in TYPES or model_type == "bert":
            raise UserError(f"The model_type {model_type!r} is not offered here; use traditional (words alone), hybrid "
                            "(with the language model in use), gemma2-2b or custom (parameters.model names it).")
        if named and model_type != "custom":
            raise UserError(f"parameters.model is for the model_type custom, not {model_type}; leave it out.")
        if model_type == "traditional":
            return ""
        if model_type == "custom":
            if not named:
                raise UserError("The model_type custom needs parameters.model: the name of a model in /v1/models.")
            return str(self._model.find(named).path)
        if model_type == "hybrid":
            chosen = self._model.state.chosen
            if chosen is None:
                raise UserError("No language model is in use; choose one, or use the model_type traditional.")
            return str(chosen)
        return found(model_type)


def above(found: Sorted | TooLong, threshold: float) -> Sorted | TooLong:
    """The same with every label that is as likely as threshold, the likeliest first."""
    if isinstance(found, TooLong):
        return found
    likely = sorted(found.probabilities.items(), key=lambda pair: -pair[1])
    return replace(found, labels=tuple(label for label, p in likely if p >= threshold))


def _config(folder: Path, source: str, parameters: dict[str, Any]) -> ClassifyConfig:
    """The job: fit on one file, then classify the other and score it."""
    shots, seed = parameters.get("shots", 0), parameters.get("seed", 0)
    if not isinstance(parameters.get("fast_mode", False), bool):
        raise UserError(f"parameters.fast_mode is {parameters['fast_mode']!r}; use true or false.")
    if shots and not source:
        raise UserError("parameters.shots are examples for a language model; words alone read none.")
    return ClassifyConfig(file=str(folder / HELD), train=str(folder / TRAIN), fast=not source,
                          model=source or "demo", shots=shots, seed=seed, out=str(folder / "held-out.csv"))


def _split(samples: Sequence[Sample], share: float, parameters: dict[str, Any]) -> tuple[list[Sample], list[Sample]]:
    """(what to learn from, what to score on): a text that recurs is on one side only."""
    if len(samples) < LEAST_ROWS:
        raise UserError(f"The dataset has {len(samples)} labelled texts, and a classifier that can be judged needs "
                        f"{LEAST_ROWS}; upload more.")
    texts = sorted({one.abstract for one in samples})
    random.Random(parameters.get("seed", 0)).shuffle(texts)
    wanted = min(round(share * len(samples)), FAST_ROWS if parameters.get("fast_mode") else len(samples))
    held_texts = set(texts[:max(1, min(wanted, len(texts) - 1))])
    kept = [one for one in samples if one.abstract not in held_texts]
    held = [one for one in samples if one.abstract in held_texts]
    if len({label for one in kept for label in one.labels}) < 2:
        raise UserError("All texts to learn from have one and the same label, so there is nothing to tell apart; "
                        "upload texts with other labels as well.")
    return kept, held


def _row(one: Sample) -> dict[str, Any]:
    return {"title": one.title, "abstract": one.abstract or one.title, "labels": list(one.labels)}
