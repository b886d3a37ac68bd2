"""Which layout a table has: the one named by hand, else the most particular one whose columns are there."""

import difflib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from corpus.config import DataConfig
from corpus.layouts import choice, conversation, decision, labelled, note, question
from corpus.layouts.columns import (
    LEFT_OUT,
    Ambiguous,
    Search,
    column_named,
    field_named,
    key,
    lacking,
    match,
    value_of,
)
from corpus.layouts.layout import Layout, Row, RowError, is_filled, text_of
from corpus.table import Record, Table
from models.errors import UserError

# in each rank the layout whose own field names are there most often is taken; a lower rank is more particular
RANKS: tuple[tuple[Layout, ...], ...] = (
    (conversation.MESSAGES, conversation.SHAREGPT),
    (choice.CHOICE, choice.CHOICE_COLUMNS, decision.PUBMEDQA, note.DIALOGUE, question.MEDQUAD, question.DISEASE),
    (question.INSTRUCTION,),
    (question.QUESTION, question.PROMPT),
    (labelled.LABELLED,),
)
LAYOUTS = tuple(layout for rank in RANKS for layout in rank)
SAMPLE_ROWS = 50
SHOWN_COLUMNS, SHOWN_CHARS = 20, 40     # of a table, in a message


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How a table is read. columns: {field of the layout: column of the table}."""

    table: Table
    layout: Layout
    columns: dict[str, str]

    def row(self, record: Record) -> Row:
        """The fields of a row. Raises RowError if one that is needed is empty, or holds what it should not."""
        row = self._values(record)
        for field in self.layout.fields:
            if field.is_needed and not is_filled(row[field.name]):
                column = self.columns[field.name]
                is_there = column.split(".")[0] in record.fields
                raise RowError(f"{column} is {'empty' if is_there else 'missing'}")
        return row

    def _values(self, record: Record) -> dict[str, Any]:
        row: dict[str, Any] = {}
        for field in self.layout.fields:
            column = self.columns.get(field.name)
            value = value_of(record.fields, column) if column else None
            if field.is_text:
                value = text_of(column or field.name, value)
            row[field.name] = "" if value is None else value
        return row

    def rows(self, limit: int | None = None) -> list[Row]:
        """The rows that can be read, of all or of the first ones."""
        rows = []
        for record in self.table.records[:limit]:
            try:
                rows.append(self.row(record))
            except RowError:
                continue
        return rows

    def survey(self) -> tuple[Any, tuple[str, ...]]:
        """What all of its rows must share, and notes for the person."""
        return self.layout.survey(self.rows(), self.table.file) if self.layout.survey else (None, ())

    def unread(self) -> tuple[str, ...]:
        """The table's columns that no field is read from."""
        used = set(self.columns.values())
        used |= {column.split(".")[0] for column in used}
        return tuple(column for column in self.table.columns if column not in used)


def recognise(table: Table, config: DataConfig, is_lenient: bool = False) -> Reading:
    """How the table is to be read, as config names layout and columns, else by its columns' names.

    is_lenient: the layout named by hand is for tables that have it. Raises UserError if its columns fit no layout, or
    more than one.
    """
    by_hand = columns_by_hand(table, config)
    layouts = _layouts_named(config.layout) if config.layout else []
    if not table.has_header and not by_hand:
        return _without_header(table, LAYOUTS if is_lenient else layouts or LAYOUTS)
    if layouts:
        if reading := _first_reading(layouts, table, by_hand):
            return reading
        if not is_lenient:
            raise UserError(_no_column(layouts[0], table, by_hand))
    chosen = _best(table, by_hand)
    for layout in LAYOUTS:
        if layout is not chosen.layout and (other := _rival(layout, chosen, table, by_hand)):
            raise UserError(f"{table.file}: its columns fit {_shown(chosen)} and {_shown(other)}; "
                            f"name the layout by hand: {chosen.layout.name} or {other.layout.name}.")
    return chosen


def columns_by_hand(table: Table, config: DataConfig, layouts: Sequence[Layout] = LAYOUTS) -> dict[str, str]:
    """{field: column as the table spells it}. Raises UserError for a field or a column that there is not."""
    mapped = {}
    for name, column in config.column_of().items():
        if not any(field_named(layout, name) for layout in layouts):
            known = list(dict.fromkeys(field.name for layout in reversed(layouts) for field in layout.fields))
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}."
            raise UserError(f"Columns by hand has the field {name!r}; {hint}")
        found = LEFT_OUT if column == LEFT_OUT else column_named(column, table)
        if not found:
            raise UserError(f"{table.file} has no column {column!r}; it has {listed(table)}.")
        mapped[name] = found
    return mapped


def _best(table: Table, by_hand: Mapping[str, str]) -> Reading:
    """The reading of the most particular layout that fits. Raises UserError if none does, or if it is ambiguous."""
    for search, rank in itertools.product((Search(is_weak=False), Search(), Search(is_inner=True)), RANKS):
        found = [reading for layout in rank for reading in _readings(layout, table, by_hand, search)]
        if found:
            return max(found, key=_own_names)
    raise UserError(_no_layout(table, by_hand))


def _readings(layout: Layout, table: Table, by_hand: Mapping[str, str], search: Search) -> list[Reading]:
    """The one reading in this layout, if its columns are there and hold what they should."""
    columns = match(layout, table, by_hand, search)
    if lacking(layout, columns):
        return []
    reading = Reading(table=table, layout=layout, columns=columns)
    return [reading] if layout.fits(columns, reading.rows(SAMPLE_ROWS)) else []


def _own_names(reading: Reading) -> int:
    return sum(key(field) == key(column) for field, column in reading.columns.items())


def _rival(layout: Layout, chosen: Reading, table: Table, by_hand: Mapping[str, str]) -> Reading | None:
    """Another layout's reading in which something is learned that the chosen one does not read."""
    try:
        found = _readings(layout, table, by_hand, Search(is_weak=False))
    except Ambiguous:
        return None
    used = set(chosen.columns.values())
    return next((one for one in found if one.columns[layout.target] not in used), None)


def _layouts_named(name: str) -> list[Layout]:
    """The layouts of that name, given in full or by how it begins. Raises UserError if there is none, or several."""
    named = [layout for layout in LAYOUTS if key(layout.name) == key(name)]
    named = named or [layout for layout in LAYOUTS if key(layout.name).startswith(key(name))]
    if len({layout.name for layout in named}) != 1:
        names = ", ".join(dict.fromkeys(layout.name for layout in LAYOUTS))
        raise UserError(f"Layout is {name!r}; use one of {names}.")
    return named


def _first_reading(layouts: Sequence[Layout], table: Table, by_hand: Mapping[str, str]) -> Reading | None:
    for layout, search in itertools.product(layouts, (Search(), Search(is_inner=True))):
        columns = match(layout, table, by_hand, search)
        if columns and not lacking(layout, columns):
            return Reading(table=table, layout=layout, columns=columns)
    return None


def _no_column(layout: Layout, table: Table, by_hand: Mapping[str, str]) -> str:
    missing = lacking(layout, match(layout, table, by_hand, Search())) or [layout.target]
    return (f"{table.file} has the columns {listed(table)}; none of them is the {' or the '.join(missing)} of "
            f"{layout.name}. Map it by hand, as {missing[0]}=COLUMN.")


def _without_header(table: Table, layouts: Sequence[Layout]) -> Reading:
    columns = choice.without_header(table.columns, [record.fields for record in table.records[:SAMPLE_ROWS]])
    if not columns or choice.CHOICE_COLUMNS not in layouts:
        raise UserError(f"{table.file} has no column names: its first line is a row. Map its columns by their numbers, "
                        f"as question=1 answer=2 (there are {len(table.columns)}), or write names above them.")
    return Reading(table=table, layout=choice.CHOICE_COLUMNS, columns=columns)


def listed(table: Table) -> str:
    """The names of a table's columns, the first of them where there are many."""
    names = [name if len(name) <= SHOWN_CHARS else name[:SHOWN_CHARS] + "..." for name in table.columns[:SHOWN_COLUMNS]]
    more = len(table.columns) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "") or "(none)"


def _shown(reading: Reading) -> str:
    columns = ", ".join(dict.fromkeys(reading.columns.values()))
    return f"{reading.layout.name} ({columns})"


def _no_layout(table: Table, by_hand: Mapping[str, str]) -> str:
    """What the table has, what is known, and what the nearest layout lacks."""
    readings = [Reading(table=table, layout=layout, columns=match(layout, table, by_hand, Search(is_weak=False)))
                for layout in LAYOUTS]
    nearest = [one for one in readings if one.columns and len(lacking(one.layout, one.columns)) == 1]
    near = ""
    if nearest:
        best = max(reversed(nearest), key=_own_names)
        near = f" For {best.layout.name} only the {lacking(best.layout, best.columns)[0]} is missing."
    known = "; ".join(dict.fromkeys(layout.describe() for layout in reversed(LAYOUTS)))
    return (f"{table.file} has the columns {listed(table)}, which fit no known layout ({known}).{near} "
            "Rename them, or map them by hand, as question=COLUMN answer=COLUMN.")
