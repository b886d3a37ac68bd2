"""Literature classification: a title and an abstract, and the domains they belong to."""

import difflib
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from evaluation.benchmarks.benchmark import LABELS, Benchmark, Case, Opened, Outcome, skipped
from evaluation.benchmarks.rows import BenchmarkRow, Rows, read_rows
from evaluation.config import EvaluateConfig
from models import runs
from models.errors import UserError
from tasks import head, metrics, sorter
from tasks.classifier import Classifier
from tasks.classify import Labels, Paper, Sorted, joined, nearest, nothing
from tasks.engine import Engine, TooLong
from tasks.head import Head
from tasks.sorter import MODEL, Asking, Evidence

TEMPLATES = re.compile(r"""
    Research\ question:\ How\ does\ .{1,60}\ affect\ .{1,60}\ through\ .{1,60}\ mechanisms\?
    | Aim:\ To\ investigate\ .{1,60}\ effects\ on\ .{1,60}\ through\ .{1,60}\ analysis\.
    | Study\ design:\ .{1,60}\ investigation\ of\ .{1,60}\ in\ .{1,60}\.\ Participants:
    | Purpose:\ This\ .{1,60}\ study\ examined\ .{1,60}\ for\ .{1,60}\.\ The\ investigation\ included
    | Hypothesis:\ .{1,60}\ improves\ .{1,60}\ outcomes\ via\ .{1,60}\ pathways\.
    | Background:\ .{1,60}\ affects\ .{1,60}\ worldwide,\ particularly\ involving
    | Objective:\ To\ assess\ the\ efficacy\ of\ .{1,60}\ in\ .{1,60},\ with\ focus\ on
    | This\ investigation\ examined\ the\ effects\ of\ .{1,60}\.\ The\ research\ focused\ on""", re.X)
TEMPLATE, REAL = "template", "real"
RARE_ROWS, NEAR = 2, 0.8            # a label in so few rows that is so like another one may be a slip


def is_template(abstract: str) -> bool:
    """Whether an abstract is one of the made-up sentences that fill 58% of the published set."""
    return TEMPLATES.match(abstract.lstrip()) is not None


def template_or_real(row: BenchmarkRow) -> str:
    """The part of the published set that a row belongs to."""
    return TEMPLATE if is_template(row.example.input) else REAL


def open_cases(source: str, config: EvaluateConfig) -> Opened:
    """The rows of a file with texts and labels; template rows and real abstracts are groups."""
    return cases(read_rows(source, "title/abstract/group", config), template_or_real)


def cases(found: Rows, group: Callable[[BenchmarkRow], str]) -> Opened:
    """Beside the model stand the commonest set of labels, always given, and the commonest label of all.

    Raises UserError for a right label that can not be chosen, naming the row and the nearest one.
    """
    labels = found.labels
    assert labels
    golds = [metrics.labels(row.example.label) for row in found.rows]
    _check(found.rows, golds, labels)
    (commonest, _), *_ = Counter(row.example.label for row in found.rows).most_common(1)
    made = tuple(
        Case(id=name, prompt=row.example.messages[0]["content"], gold=row.example.label, group=group(row),
             task=(Paper(title=row.fields["title"], text=row.fields["abstract"]), labels), example=row.example,
             baselines={f"always {commonest}": float(row.example.label == commonest)})
        for name, row in zip(found.ids(), found.rows, strict=True))
    return Opened(cases=made, notes=(*found.notes, *_slips(golds)))


def _check(rows: Sequence[BenchmarkRow], golds: Sequence[frozenset[str]], labels: Labels) -> None:
    for number, label, near in nearest(golds, labels.names)[:1]:
        hint = f"did you mean {near!r}?" if near else "name it among the labels, or leave the row out."
        raise UserError(f"{rows[number].place}: its label {label!r} is none of {', '.join(labels.names)}; {hint}")


def _slips(golds: Sequence[frozenset[str]]) -> list[str]:
    """A note for each label that may be a slip of the pen: in hardly any row, and much like a common one."""
    counts = Counter(label for gold in golds for label in gold)
    common = [label for label, count in counts.items() if count > RARE_ROWS]
    found = []
    for label in sorted(label for label, count in counts.items() if count <= RARE_ROWS):
        if near := difflib.get_close_matches(label, common, n=1, cutoff=NEAR):
            found.append(f"The label {label!r} stands in {counts[label]} of {len(golds):,} rows; if {near[0]!r} is "
                         "meant, the file should say so: as it is, it is a label of its own.")
    return found


def score(engine: Engine, cases: Sequence[Case], config: EvaluateConfig) -> list[Outcome]:
    """The labels of a group of texts: by the classifier that config names, else read from the model's likelihoods."""
    papers, labels = [case.task[0] for case in cases], cases[0].task[1]
    if config.classifier:
        found = Classifier.load(runs.typed(config.classifier)).predict(papers, engine)
    elif config.calibration:
        found = _calibrated(engine, papers, labels, config)
    else:
        found = sorter.classify(engine, papers, labels, Asking(by=config.labels_by))
    return [_outcome(case, one) for case, one in zip(cases, found, strict=True)]


def calibrate(engine: Engine, cases: Sequence[Case], config: EvaluateConfig) -> dict[str, Any]:
    """Probabilities and a threshold for each label, fitted on these cases; and the sets of labels that they have."""
    labels, golds = cases[0].task[1], [metrics.labels(case.gold) for case in cases]
    asking = sorter.with_seen(Asking(by=config.labels_by), golds, labels)
    said = sorter.evidence(engine, [case.task[0] for case in cases], labels, asking)
    pairs = [(one.logs, gold) for one, gold in zip(said, golds, strict=True) if isinstance(one, Evidence)]
    if not pairs:
        raise UserError(f"None of the {len(cases):,} development rows fits into the context of {engine.name}.")
    fitted = head.fit({MODEL: [logs for logs, _ in pairs]}, [gold for _, gold in pairs], labels)
    why = "; ".join(f"{name}: {one.why}" for name, one in sorted(fitted.calibrations.items()))
    return {"why": why, "head": fitted.to_json(), "seen": asking.seen}


def _calibrated(engine: Engine, papers: Sequence[Paper], labels: Labels, config: EvaluateConfig
                ) -> list[Sorted | TooLong]:
    fitted = runs.read_json(Path(config.calibration))
    decider, seen = Head.from_json(fitted["head"]), tuple(tuple(one) for one in fitted["seen"])
    full = [paper for paper in papers if not paper.is_empty]
    found = iter(sorter.evidence(engine, full, labels, Asking(by=config.labels_by, seen=seen)))
    outcomes: list[Sorted | TooLong] = []
    for paper in papers:
        one = nothing(labels) if paper.is_empty else next(found)
        if isinstance(one, Evidence):
            one = decider.decide({MODEL: one.logs}, labels.is_single, one.note)
        outcomes.append(one)
    return outcomes


def _outcome(case: Case, found: Sorted | TooLong) -> Outcome:
    if isinstance(found, TooLong):
        return skipped(found)
    gold, said = metrics.labels(case.gold), frozenset(found.labels)
    shared = len(gold & said)
    return Outcome(answer=joined(said), right=gold == said, value=float(gold == said), note=found.note,
                   values={"shared": shared, "missed": len(gold) - shared, "wrong": len(said) - shared},
                   probabilities={label: round(share, 6) for label, share in found.probabilities.items()})


BENCHMARK = Benchmark(
    name="literature", title="Literature classification", licence="none stated: for tests only",
    source="the data set that the reference classifier (MedLitBot) was published with",
    split="5-fold cross-validation, or the file as it is", kind=LABELS,
    metrics=("subset_accuracy", "macro_f1", "micro_f1"),
    about="The share of texts whose labels are found exactly, and F1 over the labels. Made-up template sentences and "
          "real abstracts are counted apart: only the latter say anything of literature.",
    open=open_cases, score=score, calibrate=calibrate, group=32, knobs=("labels_by", "classifier"))
