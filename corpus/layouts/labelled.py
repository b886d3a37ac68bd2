"""The layout of labelled texts: a title, an abstract or any text, and the group or groups it belongs to."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corpus.layouts.codes import names_beside
from corpus.layouts.layout import GROUP_ID, Field, Layout, Row, RowError, structure, text_of, turn
from tasks import classify
from tasks.classify import Labels

MANY_ROWS = 50


@dataclass(frozen=True, kw_only=True)
class Survey:
    """labels: what can be chosen from. codes: {number in the file: the label it stands for}."""

    labels: Labels
    codes: Mapping[str, str]


def _build(row: Row, survey: Survey) -> dict[str, Any]:
    labels = _labels(row["group"], survey.codes, survey.labels.separators)
    if not labels:
        raise RowError("group holds no label")
    text = row["abstract"]
    user = classify.request(text, survey.labels, row["title"])
    label = classify.joined(labels)
    return {"messages": turn(user, label), "input": text, "label": label, "group": row["group_id"]}


def _labels(cell: Any, codes: Mapping[str, str], separators: str) -> tuple[str, ...]:
    """The labels in a cell: a text of one or several, a number, or a list of labels, of which none is split."""
    given = structure(cell)
    if isinstance(given, list):
        found = [" ".join(_code(one).casefold().split()) for one in given]
    else:
        found = list(classify.names(_code(given), separators))
    return tuple(codes.get(label, label) for label in found if label)


def _code(value: Any) -> str:
    """A label as text; 5.0, as tables write a whole number beside empty cells, is 5."""
    text = text_of("group", value)
    return text.removesuffix(".0") if text.removesuffix(".0").isdigit() else text


def _survey(rows: Sequence[Row], file: str) -> tuple[Survey, tuple[str, ...]]:
    separators = classify.separators([text for row in rows if isinstance(text := structure(row["group"]), str)])
    found = [labels for row in rows if (labels := _readable(row["group"], separators))]
    plain = {label for labels in found for label in labels}
    codes: dict[str, str] = {}
    notes: tuple[str, ...] = ()
    if plain and all(map(str.isdigit, plain)):
        codes, named_by = names_beside(Path(file), plain)
        notes = ((f"The labels of {Path(file).name} are named by {named_by}.",) if codes else
                 (f"The labels of {Path(file).name} are numbers; a table of number and name beside it, with \"label\" "
                  "in its file name, would give them their names.",))
    if len(rows) >= MANY_ROWS and len(plain) > len(rows) / 2:
        notes += (f"{Path(file).name} has {len(plain):,} different labels in {len(rows):,} rows; are these labels?",)
    if len(plain) == 1 and len(found) > 1:
        notes += (f"All rows of {Path(file).name} have the one label {next(iter(plain))!r}, so there is nothing to "
                  "tell apart; add rows of the others.",)
    if whole := sorted({label for label in plain if re.search("[,;]", label)}):
        notes += (f"{Path(file).name}: a label with a comma or a semicolon is one label, as {whole[0]!r}; several "
                  f'labels in a cell are divided by "{classify.JOIN.strip()}".',)
    names = tuple(sorted({codes.get(label, label) for label in plain}))
    is_single = all(len(labels) < 2 for labels in found)
    return Survey(labels=Labels(names=names, is_single=is_single, separators=separators), codes=codes), notes


def _readable(cell: Any, separators: str) -> tuple[str, ...]:
    try:
        return _labels(cell, {}, separators)
    except RowError:
        return ()


def of_all(surveys: Sequence[Survey]) -> Labels:
    """What can be chosen from in all of the tables."""
    names = {name for survey in surveys for name in survey.labels.names}
    separators = "".join(sorted({sign for survey in surveys for sign in survey.labels.separators}))
    return Labels(names=tuple(sorted(names)), is_single=all(survey.labels.is_single for survey in surveys),
                  separators=separators)


LABELLED = Layout(name="title/abstract/group", target="group", build=_build, survey=_survey, fields=(
    Field(name="title", names=("article_title", "heading"), is_needed=False),
    Field(name="abstract", names=("text", "medical_abstract", "article_abstract", "abstract_text", "sentence",
                                  "document", "content", "body", "report", "transcription", "review"),
          weak=(("question", "query", "input", "message", "note", "description", "symptoms"), ("title",))),
    Field(name="group", names=("groups", "label", "labels", "medical_domains", "domain", "domains", "category",
                               "categories", "class", "classes", "condition_label", "condition", "label_text",
                               "label_name", "medical_specialty", "specialty", "topic", "intent"), is_text=False),
    GROUP_ID))
