"""A file of the user's own: asked and scored as the kind of rows that it turns out to hold."""

import dataclasses
from pathlib import Path

from corpus.layouts import choice, decision, labelled, note, question
from evaluation.benchmarks import decisions, free, held, literature, mts_dialog
from evaluation.benchmarks.benchmark import ACCURACY, LABELS, MEAN, Benchmark, Opened
from evaluation.benchmarks.rows import BenchmarkRow, Rows, read_rows
from evaluation.config import EvaluateConfig
from models.errors import UserError
from tasks.answer import DECISIONS

CHOICES = (choice.CHOICE, choice.CHOICE_COLUMNS, decision.PUBMEDQA)
KINDS = {"decisions": "questions with one right choice", "labels": "texts with labels",
         "notes": "consultations with notes", "free": "questions with free answers"}


def open_cases(source: str, config: EvaluateConfig) -> Opened:
    """The rows of any known layout. Rows that can not be used are listed, with the reason.

    Raises UserError if the file can not be read, or holds rows of several kinds.
    """
    if not source:
        raise UserError("A benchmark of your own needs its file; name it with --file.")
    if held.is_held(source):
        return held.open_cases(source, BENCHMARK)
    found = read_rows(source, "", config, is_strict=False)
    if all(_is_decision(row) for row in found.rows):
        found = dataclasses.replace(found, rows=tuple(map(_as_decision, found.rows)))
    kinds = list(dict.fromkeys(kind(row) for row in found.rows))
    if len(kinds) > 1:
        raise UserError(f"{source} holds {' and '.join(KINDS[one] for one in kinds)}; evaluate on one kind at a time.")
    opened = _opened(kinds[0], found, source, config)
    benchmark = opened.benchmark or _of_kind(kinds[0], source)
    return dataclasses.replace(opened, left_out=found.left_out, benchmark=benchmark)


def kind(row: BenchmarkRow) -> str:
    """Which of KINDS a row is."""
    if row.layout in CHOICES or row.example.label in DECISIONS:
        return "decisions"
    if row.layout is labelled.LABELLED:
        return "labels"
    return "notes" if row.layout is note.DIALOGUE else "free"


def _is_decision(row: BenchmarkRow) -> bool:
    return row.layout is question.QUESTION and row.fields["answer"].casefold().strip(" .") in DECISIONS


def _as_decision(row: BenchmarkRow) -> BenchmarkRow:
    """A question that is answered by yes, no or maybe, also where all of them have one and the same answer."""
    made = row.layout.build(row.fields, True)
    return dataclasses.replace(row, example=dataclasses.replace(
        row.example, messages=made["messages"], label=made["label"]))


def _opened(kind: str, found: Rows, source: str, config: EvaluateConfig) -> Opened:
    if kind == "decisions":
        return decisions.cases(found, config)
    if kind == "labels":
        return literature.cases(found, lambda row: "")
    if kind == "notes":
        return mts_dialog.cases(found, "", config)
    return Opened(notes=found.notes, cases=tuple(
        free.case(name, row.example) for name, row in zip(found.ids(), found.rows, strict=True)))


def _of_kind(kind: str, source: str) -> Benchmark:
    like = {"decisions": dataclasses.replace(BENCHMARK, kind=ACCURACY, metrics=("accuracy",), score=decisions.score,
                                             calibrate=decisions.calibrate,
                                             knobs=decisions.KNOBS, is_english_only=False,
                                             about="The share of questions whose likeliest choice is the right one."),
            "labels": dataclasses.replace(BENCHMARK, kind=LABELS, metrics=literature.BENCHMARK.metrics,
                                          knobs=literature.BENCHMARK.knobs, score=literature.score,
                                          calibrate=literature.calibrate,
                                          is_english_only=False, about=literature.BENCHMARK.about),
            "notes": dataclasses.replace(BENCHMARK, metrics=mts_dialog.BENCHMARK.metrics,
                                         shares=mts_dialog.BENCHMARK.shares,
                                         knobs=mts_dialog.BENCHMARK.knobs, score=mts_dialog.score,
                                         about=mts_dialog.BENCHMARK.about),
            "free": BENCHMARK}[kind]
    return dataclasses.replace(like, title=f"{Path(source).name}, a file of your own")


BENCHMARK = Benchmark(
    name="own", title="A file of your own", licence="that of your file", source="a file of yours",
    split="the whole file, or its test or validation rows where it has some", kind=MEAN,
    metrics=(*free.METRICS, free.ENDED), shares=(free.ENDED,),
    knobs=("max_tokens",), is_english_only=True,
    about="How many words, and runs of words, the answer shares with the reference (F1 with English stemming). That is "
          "no measure of whether it is true. \"ended\" is the share of answers that ended by themselves.",
    open=open_cases, score=free.score)
