"""Items with one right choice, yes / no / maybe or a letter: their cases, and how a model decides them."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from corpus.layouts import choice
from evaluation.benchmarks.benchmark import Case, Opened, Outcome, skipped
from evaluation.benchmarks.rows import BenchmarkRow, Rows
from evaluation.config import EvaluateConfig
from models import runs
from tasks import answer
from tasks.answer import DECISIONS, TEXTS, Decision, Question, decide
from tasks.calibrate import Calibration, fit
from tasks.engine import Engine, TooLong

KNOBS = ("by", "per_token", "is_prior_corrected", "threshold")
AT_ONCE = 32
PLACES = 6                          # of a probability that is written down


def cases(found: Rows, config: EvaluateConfig, group: Callable[[BenchmarkRow], str] = lambda row: "") -> Opened:
    """The cases of a benchmark's rows; group: what the report counts apart.

    Beside the model stand the commonest right answer, always given, and guessing.
    """
    golds = Counter(row.example.label for row in found.rows)
    commonest, _ = min(golds.items(), key=lambda pair: (-pair[1], pair[0]))
    made = []
    for name, row in zip(found.ids(), found.rows, strict=True):
        question = as_question(row)
        is_cloze = bool(question.options) and config.by == TEXTS
        among = len(question.options or DECISIONS)
        made.append(Case(
            id=name, gold=row.example.label, task=question, example=row.example, group=group(row),
            prompt=answer.question(question.text) if is_cloze else row.example.messages[0]["content"],
            baselines={f"always {commonest}": float(row.example.label == commonest), "guessing": 1 / among}))
    return Opened(cases=tuple(made), notes=found.notes)


def as_question(row: BenchmarkRow) -> Question:
    """A row with one right choice, as the model is asked it."""
    if row.layout in (choice.CHOICE, choice.CHOICE_COLUMNS):
        return Question(text=row.fields["question"], options=choice.options(row.layout, row.fields))
    return Question(text=row.fields["question"], context=row.example.input)


def score(engine: Engine, cases: Sequence[Case], config: EvaluateConfig) -> list[Outcome]:
    """The decisions of a group of cases, read from likelihoods."""
    calibration = Calibration.from_json(runs.read_json(Path(config.calibration))) if config.calibration else None
    found = decide(engine, [case.task for case in cases], by=config.by, threshold=config.threshold,
                   calibration=calibration, per_token=config.per_token, is_prior_corrected=config.is_prior_corrected)
    return [_outcome(case, one) for case, one in zip(cases, found, strict=True)]


def calibrate(engine: Engine, cases: Sequence[Case], config: EvaluateConfig) -> dict[str, Any]:
    """Fitted on the decisions of these cases."""
    logs: list[Mapping[str, float]] = []
    golds: list[str] = []
    for start in range(0, len(cases), AT_ONCE):
        part = cases[start:start + AT_ONCE]
        found = decide(engine, [case.task for case in part], by=config.by, per_token=config.per_token,
                       is_prior_corrected=config.is_prior_corrected)
        for case, one in zip(part, found, strict=True):
            if isinstance(one, Decision):
                logs.append(one.logprobs)
                golds.append(case.gold)
    return fit(logs, golds).to_json()


def _outcome(case: Case, found: Decision | TooLong) -> Outcome:
    if isinstance(found, TooLong):
        return skipped(found)
    is_right = found.choice == case.gold
    return Outcome(answer=found.choice, right=is_right, value=float(is_right),
                   probabilities={choice: round(share, PLACES) for choice, share in found.probabilities.items()})
