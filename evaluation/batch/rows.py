"""The rows of a file as a task takes them: every one keeps its place, also what can not be done."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from corpus.config import DataConfig
from corpus.layouts import choice
from corpus.layouts.columns import Search, lacking, match
from corpus.layouts.layout import Layout, Row, RowError
from corpus.layouts.recognise import Reading, columns_by_hand, listed
from corpus.read import fingerprint, read_table
from corpus.table import Record, Table
from evaluation.batch.config import BatchConfig
from models import runs
from models.errors import UserError

SEARCHES = (Search(is_weak=False), Search(), Search(is_inner=True))
STRICT = ("PubMedQA",)              # known by what it is to learn: else it is any question with a context
SHOWN_COLUMNS = 20


@dataclass(frozen=True, kw_only=True)
class Item:
    """One row. cells: its columns as they were read; fields: those of the layout; reason: why it can not be done."""

    line: int
    cells: dict[str, Any]
    fields: Row
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Rows:
    """What a file holds for a task, in its order. columns: {field of the layout: column}; notes: lines for a person.

    digest: the sha256 of the file. names: all columns of the table.
    """

    file: str
    digest: str
    layout: Layout
    columns: dict[str, str]
    names: tuple[str, ...]
    items: tuple[Item, ...]
    notes: tuple[str, ...]

    def place(self, item: Item) -> str:
        """The row in words: "rows.csv, line 7"."""
        return f"{Path(self.file).name}, line {item.line}"

    def has(self, field: str) -> bool:
        """Whether the table has a column for a field."""
        return field in self.columns


def read_rows(config: BatchConfig, layouts: Sequence[Layout], most: int = 0) -> Rows:
    """The rows of config's file in the first layout whose needed columns it has; what a layout is to learn is there
    only to be scored, and may be empty. most: only the first so many rows, 0 = all.

    Raises UserError if it can not be read, or its columns fit none of the layouts.
    """
    data = DataConfig(columns=config.columns, sheet=config.sheet, limit_rows=most)
    path = runs.typed(config.file)
    table = read_table(path, data)
    digest = fingerprint(config.file, data)
    by_hand = columns_by_hand(table, data, layouts)
    layout, columns = _recognised(table, layouts, by_hand)
    reading = Reading(table=table, layout=optional(layout), columns=columns)
    unread = reading.unread()
    used = ", ".join(f"{field} = {column}" for field, column in columns.items())
    note = f"{path.name}: {used}" + (f"; only kept: {', '.join(unread[:SHOWN_COLUMNS])}" if unread else "")
    return Rows(file=config.file, digest=digest, layout=layout, columns=columns, names=table.columns,
                items=_items(reading), notes=(note, *table.notes))


def checked(rows: Rows, make: Callable[[Item], Any]) -> Rows:
    """The rows, those of which make raises RowError with its reason."""
    def one(item: Item) -> Item:
        if item.reason:
            return item
        try:
            make(item)
        except RowError as error:
            return replace(item, reason=str(error))
        return item
    return replace(rows, items=tuple(map(one, rows.items)))


def optional(layout: Layout) -> Layout:
    """The layout without the need of what it is to learn, which the task itself is to find."""
    return replace(layout, fields=tuple(
        replace(field, is_needed=False) if field.name == layout.target else field for field in layout.fields))


def _recognised(table: Table, layouts: Sequence[Layout], by_hand: dict[str, str]) -> tuple[Layout, dict[str, str]]:
    if not table.has_header and not by_hand:
        sample = [record.fields for record in table.records]
        if choice.CHOICE_COLUMNS in layouts and (columns := choice.without_header(table.columns, sample)):
            return choice.CHOICE_COLUMNS, columns
        field = next(field.name for field in layouts[0].fields if field.is_needed)
        raise UserError(f"{table.file} has no column names: its first line is a row. Map its columns by their numbers, "
                        f"as --map {field}=1 (there are {len(table.columns)}), or write names above them.")
    layouts = [layout if layout.name in STRICT else optional(layout) for layout in layouts]
    for search in SEARCHES:
        for layout in layouts:
            columns = match(layout, table, by_hand, search)
            if columns and not lacking(layout, columns):
                return layout, columns
    missing = lacking(layouts[-1], match(layouts[-1], table, by_hand, Search()))
    raise UserError(f"{table.file} has the columns {listed(table)}; none of them is the {' or the '.join(missing)}. "
                    f"Name it, as --map {missing[0]}=COLUMN.")


def _items(reading: Reading) -> tuple[Item, ...]:
    found = [_item(reading, record) for record in reading.table.records]
    found += [Item(line=row.line, cells={}, fields={}, reason=f"line {row.line} was not read: {row.reason}")
              for row in reading.table.unusable]
    return tuple(sorted(found, key=lambda item: item.line))


def _item(reading: Reading, record: Record) -> Item:
    try:
        return Item(line=record.line, cells=record.fields, fields=reading.row(record))
    except RowError as error:
        return Item(line=record.line, cells=record.fields, fields={}, reason=str(error))
