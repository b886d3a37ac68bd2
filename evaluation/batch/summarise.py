"""Consultations of a file -> sections of notes, with what the dialogue does not hold named beside them."""

from collections.abc import Sequence
from typing import Any

from corpus.layouts import note
from evaluation.batch import scores, seen
from evaluation.batch.config import SummariseConfig
from evaluation.batch.journal import Row
from evaluation.batch.rows import Item, Rows, checked, read_rows
from evaluation.batch.work import PROBLEM, Say, Work
from tasks import summarise
from tasks.engine import Engine, TooLong
from tasks.summarise import Consultation, Summary

GROUP = 8                           # summaries take long
COLUMNS = ("header", "summary", "marks", "parts", "note", PROBLEM)


def prepare(config: SummariseConfig, say: Say) -> Work:
    """The consultations of config's file. Raises UserError if it holds none."""
    rows = checked(read_rows(config, (note.DIALOGUE,)), dialogue)
    if not (rows.has("section_header") or config.header or config.sections):
        say("No column names the section to write, so the likeliest is chosen for each row (--header names one for "
            "all, --sections a whole note).")

    def do(engine: Engine | None, items: Sequence[Item]) -> list[Row]:
        assert engine
        dialogues = [dialogue(item) for item in items]
        if config.sections:
            found = summarise.whole_note(engine, dialogues, config.sections, config.max_tokens)
        else:
            headers = [item.fields["section_header"] or config.header for item in items]
            found = summarise.sections(engine, [Consultation(text, header) for text, header in
                                                zip(dialogues, headers, strict=True)], config.max_tokens)
        return [_row(one) for one in found]

    def scored(found: Sequence[Row]) -> dict[str, Any]:
        if config.sections and rows.has("section_header"):
            return {}                   # the file's own texts are single sections
        return scores.summaries(_golds(rows), found, ["" if item.reason else dialogue(item) for item in rows.items])

    def learned() -> frozenset[int] | None:
        return seen.learned(seen.examples(rows, note.DIALOGUE, None), config.model, "", say)

    return Work(rows=rows, columns=COLUMNS, do=do, scores=scored, learned=learned, identity={}, group=GROUP)


def dialogue(item: Item) -> str:
    """The text of a row's dialogue, one in turns as a line for each. Raises RowError if there is none."""
    return str(note.DIALOGUE.build(item.fields, None)["input"])


def _golds(rows: Rows) -> list[str]:
    return [item.fields.get("section_text", "") if item.fields else "" for item in rows.items]


def _row(found: "Summary | TooLong") -> Row:
    """marks: each place of the summary that the dialogue does not hold, with its kind."""
    if isinstance(found, TooLong):
        return {PROBLEM: f"too long: {found}"}
    marked = dict.fromkeys(f"{mark.text} ({mark.kind})" for mark in found.marks)
    return {"header": found.header, "summary": found.text, "marks": "; ".join(marked), "parts": len(found.parts),
            "note": " ".join(found.notes), PROBLEM: ""}
