"""One evaluation from its config to items.jsonl: items in fixed groups, each model in turn, on from where it ended."""

import dataclasses
import hashlib
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from evaluation import leaks
from evaluation.benchmarks.benchmark import Benchmark, Case, Opened, Outcome
from evaluation.benchmarks.catalog import find
from evaluation.benchmarks.rows import digest
from evaluation.calibration import calibrated, said
from evaluation.config import EvaluateConfig
from evaluation.items import SIDES, Scored, Stated, append_items, read_items
from models import knobs, runs
from models.errors import UserError
from models.job import Job
from tasks.engine import Engine

FAST_ITEMS = 100
FREE = ("threads",)                 # settings that a resumed evaluation may change

OpenEngine = Callable[[str], AbstractContextManager[Engine]]


class Stopped(Exception):
    """The person asked the job to stop."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is asked of every model. numbers: the items that were drawn; leaks: {number: a training row that it is}."""

    benchmark: Benchmark
    opened: Opened
    numbers: tuple[int, ...]
    leaks: Mapping[int, str]
    guard: str

    @property
    def drawn(self) -> list[Case]:
        """The items to ask."""
        return [self.opened.cases[number] for number in self.numbers]

    def groups(self) -> list[Sequence[int]]:
        """The numbers of what a model gets at once, by their places: the same after a kill."""
        size = self.benchmark.group
        return [self.numbers[start:start + size] for start in range(0, len(self.numbers), size)]


def evaluate(config: EvaluateConfig, job: Job, open_engine: OpenEngine) -> Stated:
    """Score every item that is not scored yet, and write down what the report states.

    Raises Stopped when asked to, between two groups, and UserError for a source or a model that can not be used, or
    if either is no longer what the items that are there were scored with.
    """
    plan = prepare(config, job)
    folder = job.folder
    started = _started(config, plan, folder)
    kept = _whole_groups(folder / runs.ITEMS, plan, started["models"])
    sources = [source for source in (config.model, config.against) if source]
    left = [(side, source) for side, source in zip(SIDES, sources, strict=False)
            if kept.get(side, 0) < len(plan.numbers)]
    for _, source in left[1:]:
        with open_engine(source):
            pass                # what can not be used is found out before the other model has taken its time
    for side, source in left:
        with open_engine(source) as engine:
            _name_model(side, source, engine, started, folder)
            fitted = calibrated(side, engine, plan.benchmark, config, plan.drawn, folder, partial(_say, job))
            _score(side, engine, plan, fitted, job, kept.get(side, 0))
    stated = _stated(config, plan, started["models"], [text for side in SIDES if (text := said(folder, side))])
    runs.write_json(folder / runs.STATED, dataclasses.asdict(stated))
    return stated


def prepare(config: EvaluateConfig, job: Job) -> Plan:
    """The items to ask, and which of them are training rows."""
    benchmark = find(config.benchmark)
    opened = benchmark.open(config.file, config)
    benchmark = opened.benchmark or benchmark
    say = partial(_say, job)
    for text in (*opened.notes, *opened.left_out):
        say(text)
    numbers = draw(len(opened.cases), config)
    examples = {number: example for number in numbers if (example := opened.cases[number].example)}
    found, text = leaks.look(examples, [one for one in (config.model, config.against) if one], config.guard, say)
    say(" ".join(filter(None, (sample_words(len(opened.cases), numbers, config), text))))
    return Plan(benchmark=benchmark, opened=opened, numbers=numbers, leaks=found, guard=text)


def _say(job: Job, text: str) -> None:
    job.event("note", text=text)


def draw(total: int, config: EvaluateConfig) -> tuple[int, ...]:
    """The numbers of the items to ask, in order: all, or so many at random."""
    count = min(total, config.limit or total, FAST_ITEMS if config.fast else total)
    return tuple(range(total)) if count == total else tuple(
        sorted(random.Random(config.seed).sample(range(total), count)))


def sample_words(total: int, numbers: Sequence[int], config: EvaluateConfig) -> str:
    """How the items were chosen, as a sentence."""
    if len(numbers) == total:
        return f"All {total:,} items."
    return f"{len(numbers):,} of {total:,} items, drawn at random with seed {config.seed}."


def _started(config: EvaluateConfig, plan: Plan, folder: Path) -> dict[str, Any]:
    """What this folder's items are scored with; written down at the first start.

    Raises UserError if a later start would score other items, or in another way.
    """
    asked = [dataclasses.replace(case, example=None) for case in plan.drawn]
    settings = {name: value for name, value in knobs.to_json(config).items() if name not in FREE}
    now: dict[str, Any] = {"config": settings, "items": digest(asked), "leaks": digest([dict(plan.leaks)]),
                           "group": plan.benchmark.group, "fitted": _fitted(config), "models": {}}
    path = folder / runs.STARTED
    if not path.exists():
        if (folder / runs.ITEMS).exists():
            raise UserError(f"{folder} holds {runs.ITEMS} of an unknown evaluation; choose another folder.")
        runs.write_json(path, now)
        return now
    then = runs.read_json(path)
    for name, value in now["config"].items():
        if then["config"].get(name, value) != value:
            raise UserError(f"The setting {name} was {then['config'][name]!r} when the evaluation in {folder} began, "
                            f"and is {value!r} now. Put it back, or choose another folder.")
    for name, words in (("items", "The items"), ("leaks", "The rows that the model was trained on"),
                        ("fitted", "The calibration or the classifier"), ("group", "Galen")):
        if then[name] != now[name]:
            raise UserError(f"{words} changed since the evaluation in {folder} began, so it can not go on; choose "
                            "another folder.")
    return then


def _fitted(config: EvaluateConfig) -> str:
    """What tells the files apart that were fitted before, and decide here."""
    named = [runs.typed(one) for one in (config.calibration, config.classifier) if one]
    files = [path for one in named for path in (sorted(one.iterdir()) if one.is_dir() else [one]) if path.is_file()]
    return digest([hashlib.sha256(path.read_bytes()).hexdigest() for path in files])


def _whole_groups(path: Path, plan: Plan, models: Mapping[str, Any]) -> dict[str, int]:
    """{side: its items that are there}, in whole groups; what a killed process left of a group is cut off."""
    if not path.exists():
        return {}
    there = read_items(path)
    wanted = [(side, part) for side in SIDES for part in plan.groups()]
    kept: dict[str, int] = {}
    at = 0
    for side, part in wanted:
        found = [(one.side, one.number) for one in there[at:at + len(part)]]
        if found != [(side, number) for number in part] or side not in models:
            break
        kept[side] = kept.get(side, 0) + len(part)
        at += len(part)
    lines = path.read_bytes().splitlines(keepends=True)[:at]
    with path.open("rb+") as file:
        file.truncate(sum(map(len, lines)))
    return kept


def _name_model(side: str, source: str, engine: Engine, started: dict[str, Any], folder: Path) -> None:
    """Write down what answers. Raises UserError if earlier items were answered by another model."""
    now = {"side": side, "name": engine.name, "source": source, "fingerprint": engine.fingerprint,
           "ctx_tokens": str(engine.ctx_tokens)}
    then = started["models"].get(side)
    if then and then["ctx_tokens"] != now["ctx_tokens"]:
        raise UserError(f"The context holds {now['ctx_tokens']} tokens now, and held {then['ctx_tokens']} when the "
                        f"evaluation in {folder} began; close other programs to have the memory for it again.")
    if then and then != now:
        raise UserError(f"{source} is no longer the model that the evaluation in {folder} began with; put it back, or "
                        "choose another folder.")
    started["models"][side] = now
    runs.write_json(folder / runs.STARTED, started)


def _score(side: str, engine: Engine, plan: Plan, config: EvaluateConfig, job: Job, done: int) -> None:
    """Score the items from the done-th on, and append each group once it is whole."""
    of, before, began = len(plan.numbers), done, time.monotonic()

    def tell(**left: float) -> None:
        job.event("phase", text=f"{plan.benchmark.title}: {engine.name}", done=done, of=of, **left)

    tell()
    for part in plan.groups()[done // plan.benchmark.group:]:
        if job.is_stop_asked():
            raise Stopped
        cases = [plan.opened.cases[number] for number in part]
        outcomes = plan.benchmark.score(engine, cases, config)
        append_items(job.folder / runs.ITEMS, [
            scored(number, case, outcome, plan, engine, side)
            for number, case, outcome in zip(part, cases, outcomes, strict=True)])
        done += len(part)
        tell(left_s=round((time.monotonic() - began) / (done - before) * (of - done), 1))


def scored(number: int, case: Case, outcome: Outcome, plan: Plan, engine: Engine, side: str) -> Scored:
    """The line of an item."""
    return Scored(
        number=number, id=case.id, prompt=case.prompt, answer=outcome.answer, gold=case.gold, right=outcome.right,
        value=outcome.value, values=dict(outcome.values), probabilities=dict(outcome.probabilities),
        model=engine.fingerprint, side=side, skipped=outcome.skipped, leak=plan.leaks.get(number, ""),
        group=case.group, cluster=case.example.group if case.example else "", note=outcome.note, weight=case.weight,
        baselines={**case.baselines, **outcome.baselines})


def _stated(config: EvaluateConfig, plan: Plan, models: Mapping[str, dict[str, str]],
            said: Sequence[str]) -> Stated:
    benchmark, labels = plan.benchmark, {f.name: f.metadata["label"] for f in dataclasses.fields(config)}
    return Stated(
        **{name: getattr(benchmark, name) for name in (
            "title", "licence", "source", "split", "kind", "metrics", "shares", "about",
            "is_english_only", "is_higher_better")},
        benchmark=benchmark.name, file=config.file or ", ".join(benchmark.hub) or "(its own)",
        digest=digest([dataclasses.replace(case, example=None) for case in plan.opened.cases]),
        total=len(plan.opened.cases), drawn=len(plan.numbers), seed=config.seed,
        sample=sample_words(len(plan.opened.cases), plan.numbers, config),
        settings={labels[name]: str(getattr(config, name)) for name in (*benchmark.knobs, "exact")},
        models=tuple(models[side] for side in SIDES if side in models), guard=plan.guard,
        notes=(*plan.opened.notes, *said),
        left_out=plan.opened.left_out)
