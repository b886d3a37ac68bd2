"""Questions of a file -> answers: letters and yes / no / maybe by their likelihood, others in the model's own words."""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from corpus.layouts import Example, choice, decision, question
from corpus.layouts.layout import Layout, RowError
from evaluation.batch import scores, seen
from evaluation.batch.config import AnswerConfig
from evaluation.batch.journal import Row
from evaluation.batch.rows import Item, Rows, checked, read_rows
from evaluation.batch.work import DIGITS, PROBLEM, Say, Work, share_column, shares
from models.errors import UserError
from tasks import answer
from tasks.answer import DECISIONS, Question
from tasks.calibrate import Calibration
from tasks.engine import Engine, TooLong

LAYOUTS = (choice.CHOICE, choice.CHOICE_COLUMNS, decision.PUBMEDQA, question.QUESTION)
FREE_GROUP = 8                      # free answers take long
SHOWN = 10
DECISION_SHARE = 0.8


def prepare(config: AnswerConfig, say: Say) -> Work:
    """The questions of config's file. Raises UserError if there are none, or they are not of the kind asked for."""
    read = read_rows(config, LAYOUTS)
    golds, known = _golds(config, read, say)
    kind = _kind(config, read, golds)
    rows = checked(read, lambda item: _question(read, item, kind))
    letters = sorted({letter for item in rows.items if not item.reason for letter in _options(rows, item)}
                     ) if kind == "choice" else []
    names = letters or (list(DECISIONS) if kind == "decision" else [])
    words = {"choice": "multiple choice", "decision": "to be answered with yes, no or maybe", "free": "free"}[kind]
    say(f"{Path(config.file).name}: its questions are {words} (--kind says otherwise).")
    calibration = _calibration(config.calibration) if config.calibration and kind != "free" else None
    if calibration and not calibration.is_kept:
        say(f"The calibration changes nothing. {calibration.why}".strip())
    if kind == "free":
        columns = ("answer", "is_cut", PROBLEM)
    else:
        texts = ("answer_text",) if kind == "choice" else ()
        columns = ("answer", *texts, "confidence", *map(share_column, names), PROBLEM)

    def do(engine: Engine | None, items: Sequence[Item]) -> list[Row]:
        assert engine
        asked = [_question(rows, item, kind) for item in items]
        if kind == "free":
            return [_written(one) for one in answer.answers(engine, asked, config.max_tokens)]
        found = answer.decide(engine, asked, config.by, calibration, config.threshold, config.per_token,
                              config.is_prior_corrected)
        return [_decided(one, about, names) for one, about in zip(found, asked, strict=True)]

    def scored(found: Sequence[Row]) -> dict[str, Any]:
        return {} if kind == "free" else scores.choices(golds, found)

    def learned() -> frozenset[int] | None:
        return seen.learned(known, config.model, "", say)

    identity = {"kind": kind, "calibration": calibration.to_json() if calibration else None}
    return Work(rows=rows, columns=columns, do=do, scores=scored, learned=learned, identity=identity,
                group=FREE_GROUP if kind == "free" else 32)


def _kind(config: AnswerConfig, rows: Rows, golds: Sequence[str]) -> str:
    """choice, decision or free, as asked for or as the file shows it."""
    has_options = "options" in rows.columns or "A" in rows.columns
    if config.kind == "choice" and not has_options:
        raise UserError(f"{config.file} has no options to choose from; give it a column options, or columns A, B, ...")
    if config.kind != "auto":
        return config.kind
    if has_options:
        return "choice"
    known = {gold for gold in golds if gold}
    return "decision" if known and known <= set(DECISIONS) else "free"


def _layout(rows: Rows) -> Layout:
    """The layout of choices that the rows have."""
    return choice.CHOICE if "options" in rows.columns else choice.CHOICE_COLUMNS


def _options(rows: Rows, item: Item) -> dict[str, str]:
    return choice.options(_layout(rows), item.fields)


def _question(rows: Rows, item: Item, kind: str) -> Question:
    """What a row asks. Raises RowError if it can not be read."""
    fields = item.fields
    context = question.context_text(fields.get("contexts", fields.get("context", "")), fields.get("labels", ()))
    options = _options(rows, item) if kind == "choice" else {}
    if kind == "choice" and len(options) < 2:
        raise RowError(f"it has {len(options)} options; a choice needs two")
    return Question(fields["question"], context, options)


def _golds(config: AnswerConfig, rows: Rows, say: Say) -> tuple[list[str], dict[int, Example]]:
    """(the right answer of each row as the file gives it, "" where there is none that can be read; rows with one)."""
    target = rows.layout.target
    if target not in rows.columns:
        return ["" for _ in rows.items], {}
    is_choice = target == "letter"
    layout = _layout(rows) if is_choice else next(one for one in LAYOUTS if one.name == rows.layout.name)
    filled = [item.fields for item in rows.items if item.fields and item.fields[target]]
    survey, notes = layout.survey(filled, rows.file) if layout.survey else (None, ())
    if layout is question.QUESTION:
        survey = config.kind == "decision" or (config.kind == "auto" and _are_decisions(filled))
    for note in notes if is_choice else ():
        say(note)
    known = seen.examples(rows, layout, survey)
    if layout is question.QUESTION and survey:
        known = {number: one for number, one in known.items() if one.label in DECISIONS}
    golds = [known[number].label if number in known else "" for number in range(len(rows.items))]
    wrong = [item for number, item in enumerate(rows.items) if not item.reason and item.fields[target]
             and number not in known]
    for item in wrong[:SHOWN]:
        say(f"{rows.place(item)}: not scored, {_why(layout, item, survey)}")
    if len(wrong) > SHOWN:
        say(f"{len(wrong) - SHOWN:,} more rows are not scored, for want of a right answer that can be read.")
    return golds, known


def _are_decisions(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether nearly all answers are yes, no or maybe: the others are slips of the pen."""
    said = [str(row["answer"]).casefold().strip(" .") in (*DECISIONS, "true", "false") for row in rows]
    return bool(said) and sum(said) >= DECISION_SHARE * len(said)


def _why(layout: Layout, item: Item, survey: Any) -> str:
    """Why no right answer can be read in a row; with the nearest of yes, no and maybe."""
    said = str(item.fields[layout.target])
    reason = f"its answer is {said[:40]!r}, not yes, no or maybe"
    try:
        layout.build(item.fields, survey)
    except RowError as error:
        reason = str(error)
    near = difflib.get_close_matches(said.casefold().strip(" ."), DECISIONS, n=1) if layout.target != "letter" else []
    return f"{reason}; did you mean {near[0]!r}?" if near else reason


def _calibration(path: str) -> Calibration:
    from models import runs
    return Calibration.from_json(runs.read_json(runs.typed(path)))


def _decided(found: "answer.Decision | TooLong", asked: Question, names: Sequence[str]) -> Row:
    if isinstance(found, TooLong):
        return {PROBLEM: f"too long: {found}"}
    row: Row = {"answer": found.choice}
    if asked.options:
        row["answer_text"] = asked.options.get(found.choice, "")
    return {**row, "confidence": round(found.confidence, DIGITS), **shares(found.probabilities, names), PROBLEM: ""}


def _written(found: "answer.Answered | TooLong") -> Row:
    if isinstance(found, TooLong):
        return {PROBLEM: f"too long: {found}"}
    return {"answer": found.text, "is_cut": found.reason != "stop", PROBLEM: ""}
