"""A run's own test and held-out rows: asked as in training; where they have labels, the likeliest of them is read."""

import dataclasses
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from corpus.layouts import Example
from corpus.layouts.example import read_examples
from evaluation.benchmarks import decisions, free, literature
from evaluation.benchmarks.benchmark import ACCURACY, LABELS, Benchmark, Case, Opened, Outcome, skipped
from evaluation.config import EvaluateConfig
from models import runs
from models.errors import UserError
from tasks import metrics, readout
from tasks.answer import DECISIONS
from tasks.engine import Engine, TooLong
from tasks.readout import APART, TEXT, TURN, Asked, Reading

FIELDS = {"messages", "input", "label", "file", "line"}


def is_held(source: str) -> bool:
    """True for a file that a training run wrote: test.jsonl or heldout.jsonl."""
    path = runs.typed(source)
    if path.suffix != ".jsonl" or not path.is_file():
        return False
    with path.open("rb") as file:
        first = file.readline()
    try:
        row = json.loads(first)
    except ValueError:
        return False
    return isinstance(row, dict) and row.keys() >= FIELDS


def open_cases(source: str, like: Benchmark) -> Opened:
    """The rows of the file; like: the benchmark that they are scored as where they are free text.

    Raises UserError if only some of them have labels.
    """
    examples = read_examples(runs.typed(source))
    title = dataclasses.replace(like, title=f"{Path(source).name}, rows of a training")
    bare = next((k for k, one in enumerate(examples, 1) if not one.label), 0)
    if bare and any(one.label for one in examples):
        raise UserError(f"{source}, line {bare}: it has no label, others have; evaluate on one kind at a time.")
    if bare:
        return Opened(benchmark=title, cases=tuple(free.case(_id(one), one) for one in examples))
    choices = tuple(sorted({one.label for one in examples}))
    (commonest, _), *_ = Counter(one.label for one in examples).most_common(1)
    cases = tuple(Case(id=_id(one), prompt=_asked(one), gold=one.label, task=(one.messages[:-1], choices), example=one,
                       baselines={f"always {commonest}": float(one.label == commonest)}) for one in examples)
    return Opened(cases=cases, benchmark=_benchmark(title, choices), notes=(
        f"The likeliest of the {len(choices)} answers that stand in {Path(source).name} is the model's.",))


def score(engine: Engine, cases: Sequence[Case], config: EvaluateConfig) -> list[Outcome]:
    """The likeliest label, or set of labels, of each of a group of cases."""
    choices = cases[0].task[1]
    asked = [Asked(engine.prompt_ids(case.task[0]), {choice: _ways(choice) for choice in choices}) for case in cases]
    found = readout.read(engine, asked, Reading(until=_until(choices)))
    return [_outcome(case, one) for case, one in zip(cases, found, strict=True)]


def _outcome(case: Case, found: dict[str, float] | TooLong) -> Outcome:
    if isinstance(found, TooLong):
        return skipped(found)
    shares = readout.probabilities(found)
    said = max(shares, key=lambda choice: shares[choice])
    right, gold = said == case.gold, metrics.labels(case.gold)
    shared = len(gold & metrics.labels(said))
    return Outcome(answer=said, right=right, value=float(right),
                   values={"shared": shared, "missed": len(gold) - shared, "wrong": len(metrics.labels(said)) - shared},
                   probabilities={label: round(share, decisions.PLACES) for label, share in _by_label(shares).items()})


def _by_label(shares: Mapping[str, float]) -> dict[str, float]:
    """How likely each label is: the sum over the sets that hold it."""
    labels = sorted(frozenset().union(*map(metrics.labels, shares)))
    return {label: sum(share for choice, share in shares.items() if label in metrics.labels(choice))
            for label in labels} if _until(tuple(shares)) == TURN else dict(shares)


def _benchmark(like: Benchmark, choices: Sequence[str]) -> Benchmark:
    about = "The share of rows whose right answer is the likeliest of all right answers of the file."
    one = dataclasses.replace(like, score=score, calibrate=None, knobs=(), shares=(), is_english_only=False,
                              about=about)
    if _until(choices) == TURN:
        return dataclasses.replace(one, kind=LABELS, metrics=literature.BENCHMARK.metrics)
    return dataclasses.replace(one, kind=ACCURACY, metrics=("accuracy",))


def _until(choices: Sequence[str]) -> str:
    """Letters and decisions have a reason behind them; a set of labels is the whole answer."""
    if set(choices) <= set(DECISIONS):
        return TEXT
    return APART if all(len(choice) == 1 for choice in choices) else TURN


def _ways(choice: str) -> tuple[str, ...]:
    if choice in DECISIONS:
        return (choice.capitalize(), choice)
    return (f"{choice}.",) if len(choice) == 1 else (choice,)


def _id(example: Example) -> str:
    return f"{Path(example.file).name}, line {example.line}"


def _asked(example: Example) -> str:
    return "\n\n".join(message["content"] for message in example.messages[:-1])
