"""The examples of files, folders and datasets, with the rows that can not be used and how each table was read."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from corpus.config import DataConfig
from corpus.layouts import labelled
from corpus.layouts.codes import without_lists
from corpus.layouts.columns import LEFT_OUT, case_id, column_named
from corpus.layouts.example import Example
from corpus.layouts.layout import RowError
from corpus.layouts.recognise import Reading, recognise
from corpus.read import read_tables
from corpus.table import Table, Unusable
from models.errors import UserError
from tasks.classify import Labels

SHOWN_REASONS, SHOWN_LABELS = 3, 10
ID_FIELDS = ("group_id", "doc")


@dataclass(frozen=True, kw_only=True)
class Recognised:
    """How a table was read. columns: {field of the layout: column of the table}; unread: its other columns; rows:
    those that can be used."""

    file: str
    layout: str
    columns: dict[str, str]
    unread: tuple[str, ...]
    rows: int

    def describe(self) -> str:
        """One line for the person: "rows.csv: question/answer (question = Frage, answer = Antwort); not read: Nr"."""
        columns = ", ".join(f"{field} = {column}" for field, column in self.columns.items())
        unread = f"; not read: {', '.join(self.unread)}" if self.unread else ""
        return f"{Path(self.file).name}: {self.layout} ({columns}){unread}"


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """What some sources gave. notes: lines for the person; labels: what labelled texts are sorted into, if any."""

    examples: tuple[Example, ...]
    unusable: tuple[Unusable, ...]
    notes: tuple[str, ...]
    recognised: tuple[Recognised, ...] = ()
    labels: Labels | None = None


def load(sources: Iterable[str], config: DataConfig | None = None, like: Loaded | None = None) -> Loaded:
    """The examples of all sources, in their order.

    like: the training rows that these are held against. Labels to choose from are then theirs, and what is mapped by
    hand is mapped where those columns are. Raises UserError as read_tables and recognise do, or if no row is usable.
    """
    config = config or DataConfig()
    tables = [table for source in sources for table in read_tables(source, config, like is not None)]
    tables, notes = without_lists(tables)
    notes += [line for table in tables for line in table.notes]
    unusable = [row for table in tables for row in table.unusable]
    readings = [recognise(table, settings, like is not None)
                for table, settings in _settings(tables, config, like is not None)]
    surveys = [reading.survey() for reading in readings]
    labels = _labels([survey for survey, _ in surveys if isinstance(survey, labelled.Survey)], like)
    examples: list[Example] = []
    recognised = []
    for reading, (survey, said) in zip(readings, surveys, strict=True):
        notes += said
        if isinstance(survey, labelled.Survey) and labels:
            notes += _unknown(survey.labels, labels, reading.table.file)
            survey = replace(survey, labels=labels if like else replace(labels, separators=survey.labels.separators))
        found, left_out = _examples(reading, survey)
        examples += found
        unusable += left_out
        recognised.append(Recognised(file=reading.table.file, layout=reading.layout.name, columns=reading.columns,
                                     unread=reading.unread(), rows=len(found)))
    if not examples:
        raise UserError(_none_usable(unusable))
    if like is None:
        notes += _without_ids(examples)
    return Loaded(examples=tuple(examples), unusable=tuple(_in_order(unusable)), notes=tuple(notes),
                  recognised=tuple(recognised), labels=labels)


def _settings(tables: Sequence[Table], config: DataConfig, is_lenient: bool) -> list[tuple[Table, DataConfig]]:
    """Each table that has rows, with what was set by hand, if it is meant for this table.

    Columns that stand in another table only are not meant for this one. Raises UserError if they stand in none.
    """
    tables = [table for table in tables if table.records]
    wanted = [column for column in config.column_of().values() if column != LEFT_OUT]
    has = all if is_lenient else any
    is_meant = [has(column_named(column, table) for column in wanted) for table in tables]
    if not wanted or not (is_lenient or any(is_meant)):
        return [(table, config) for table in tables]
    by_name = replace(config, columns=(), layout="")
    return [(table, config if meant else by_name) for table, meant in zip(tables, is_meant, strict=True)]


def _unknown(found: Labels, labels: Labels, file: str) -> list[str]:
    names = sorted(set(found.names) - set(labels.names))
    if not names:
        return []
    return [f"{Path(file).name} has labels that the training rows do not have: {', '.join(names[:SHOWN_LABELS])}."]


def _labels(surveys: Sequence[labelled.Survey], like: Loaded | None) -> Labels | None:
    if like and like.labels:
        return like.labels
    return labelled.of_all(surveys) if surveys else None


def _examples(reading: Reading, survey: Any) -> tuple[list[Example], list[Unusable]]:
    table = reading.table
    examples, unusable = [], []
    id_column = _id_column(reading)
    for record in table.records:
        file = record.file or table.file
        try:
            made = reading.layout.build(reading.row(record), survey)
        except RowError as error:
            unusable.append(Unusable(file=file, line=record.line, reason=str(error)))
        else:
            made["group"] = case_id(id_column, made.get("group", ""))
            examples.append(Example(file=file, line=record.line, split=record.split or table.split, **made))
    return examples, unusable


def _id_column(reading: Reading) -> str:
    """The column that tells one case from another, "" if there is none."""
    return next((reading.columns[name] for name in ID_FIELDS if name in reading.columns), "")


def _without_ids(examples: Sequence[Example]) -> list[str]:
    """A note of the files of which no row has an id."""
    named = {example.file for example in examples if example.group}
    files = list(dict.fromkeys(Path(e.file).name for e in examples if e.file not in named))
    if not files:
        return []
    more = f" and {len(files) - SHOWN_LABELS} more" if len(files) > SHOWN_LABELS else ""
    return [f"No column tells patients or documents apart in {', '.join(files[:SHOWN_LABELS])}{more}: each row is its "
            "own case (a column can be named by hand: group_id=COLUMN)."]


def _in_order(rows: Sequence[Unusable]) -> list[Unusable]:
    """Rows by line, the files in the order in which they came."""
    files = {file: k for k, file in enumerate(dict.fromkeys(row.file for row in rows))}
    return sorted(rows, key=lambda row: (files[row.file], row.line))


def _none_usable(unusable: Sequence[Unusable]) -> str:
    first = "; ".join(f"line {row.line}: {row.reason}" for row in unusable[:SHOWN_REASONS])
    files = ", ".join(sorted({row.file for row in unusable})) or "The data"
    return f"{files}: none of the {len(unusable)} rows can be used" + (f" ({first})." if first else ".")
