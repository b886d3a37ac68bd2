"""Which rows of a file with right answers the model has learned from: they say nothing of how well it does."""

from collections.abc import Mapping
from typing import Any

from corpus.layouts import Example
from corpus.layouts.layout import Layout, RowError, is_filled
from evaluation import leaks
from evaluation.batch.rows import Rows
from evaluation.batch.work import Say
from models.errors import UserError


def examples(rows: Rows, layout: Layout, survey: Any) -> dict[int, Example]:
    """{place of a row, from 0: the row as training would have read it} of those with a right answer."""
    found = {}
    for number, item in enumerate(rows.items):
        if item.reason or not is_filled(item.fields.get(layout.target, "")):
            continue
        try:
            found[number] = Example(file=rows.file, line=item.line, **layout.build(item.fields, survey))
        except RowError:
            continue                    # it can not be scored, so it need not be known
    return found


def learned(known: Mapping[int, Example], model: str, train: str, say: Say) -> frozenset[int] | None:
    """The places of rows that are also, exactly or nearly, among those that the model, or a classifier, learned from;
    None where those rows can not be read any more.

    model: its name or path, of whose making and run the rows are looked for, "" = none; train: labelled rows, "" =
    none. What is found is said.
    """
    found: set[int] = set()
    try:
        for models, named in (([model] if model else [], ""), ([], train)):
            leaked, text = leaks.look(known, models, named, say) if models or named else ({}, "")
            found |= set(leaked)
            if text:
                say(text)
    except UserError as error:
        say(str(error))                 # the rows are done; only what they say of the model is less sure
        return None
    return frozenset(found)
