"""Which column of a table is which field of a layout: by hand, else by name; two that could be it are ambiguous."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from corpus.layouts.layout import Field, Layout
from corpus.table import Table
from models.errors import UserError

LEFT_OUT = "-"                      # mapped by hand to a field that is not to be read
SAMPLE_ROWS, MAX_DEPTH = 50, 4
NO_IDS = {"", "-", "?", "n/a", "na", "nan", "none", "null", "unknown"}
MAX_ID_CHARS = 100
ID_WITH_DIGIT = {"patient", "subject", "person", "encounter", "doc"}        # names that may hold other things
PUBMED, PUBMED_NAMES = "pmid", {"pmid", "pubmedid", "pubid"}


class Ambiguous(UserError):
    """Several columns could be one field."""


def key(name: str) -> str:
    """What a name has in common with its other spellings: "Section Header" and "section_header"."""
    return re.sub(r"[\W_]+", "", name.casefold())


def case_id(column: str, value: str) -> str:
    """An id with the name of its column, as "patientid=p001": spelled in one way, "" where the value is no id.

    The same number under another name is another case. P001 and "p001 ", 1 and 1.0 are one.
    """
    text = re.sub(r"^(\d+)\.0+$", r"\1", " ".join(value.casefold().split()))
    is_id = text not in NO_IDS and len(text) <= MAX_ID_CHARS
    name = key(column)
    if name in ID_WITH_DIGIT and not any(map(str.isdigit, text)):
        is_id = False                   # "anatomy" as the subject of a question
    return f"{PUBMED if name in PUBMED_NAMES else name}={text}" if is_id else ""


def inner_columns(table: Table) -> tuple[str, ...]:
    """The fields inside the objects that columns hold, as "column.field"."""
    found: dict[str, None] = {}
    for record in table.records[:SAMPLE_ROWS]:
        found.update(dict.fromkeys(_inside(record.fields)))
    return tuple(found)


def _inside(fields: Mapping[str, Any], depth: int = MAX_DEPTH) -> list[str]:
    names = []
    for column, value in fields.items():
        if isinstance(value, dict):
            names += [f"{column}.{name}" for name in (*value, *(_inside(value, depth - 1) if depth > 1 else ()))]
    return names


def value_of(fields: Mapping[str, Any], column: str) -> Any:
    """The value of a column, or of a field inside the object that one holds; None if there is none."""
    if column in fields or "." not in column:
        return fields.get(column)
    outer, inner = column.split(".", 1)
    inside = fields.get(outer)
    return value_of(inside, inner) if isinstance(inside, dict) else None


def column_named(wanted: str, table: Table) -> str:
    """The table's own spelling of a column's name; "" if it has none, or several, of that name."""
    everything = (*table.columns, *inner_columns(table))
    if wanted in everything:
        return wanted
    found = [column for column in everything if key(column) == key(wanted)]
    return found[0] if len(found) == 1 else ""


def field_named(layout: Layout, name: str) -> str:
    """The layout's field of that name or known by it; "" if it has none."""
    for field in layout.fields:
        if key(name) == key(field.name):
            return field.name
    return next((field.name for field in layout.fields if key(name) in map(key, field.names)), "")


@dataclass(frozen=True)
class Search:
    """Which names count. is_weak: those that a field has for want of better ones; is_inner: those inside objects."""

    is_weak: bool = True
    is_inner: bool = False


def match(layout: Layout, table: Table, by_hand: Mapping[str, str], search: Search) -> dict[str, str]:
    """{field: column} of the layout's fields that the table has; by_hand: {field: column}, taken as given.

    Empty if something mapped by hand is no field of the layout. Raises Ambiguous if a field could be one of several.
    """
    found = {field_named(layout, name): column for name, column in by_hand.items()}
    if "" in found:
        return {}
    unsure: list[Ambiguous] = []
    for field in sorted(layout.fields, key=lambda field: not field.is_needed):
        if field.name not in found:
            try:
                column = _column(field, table, set(found.values()), search)
            except Ambiguous as error:
                unsure.append(error)
                column = "?"
            if column:
                found[field.name] = column
    if unsure and not lacking(layout, found):
        raise unsure[0]
    names = [field.name for field in layout.fields]
    return {name: found[name] for name in names if found.get(name, LEFT_OUT) != LEFT_OUT}


def lacking(layout: Layout, columns: Mapping[str, str]) -> list[str]:
    """The fields that the layout needs and columns do not have."""
    return [field.name for field in layout.fields if field.is_needed and field.name not in columns]


def _column(field: Field, table: Table, taken: set[str], search: Search) -> str:
    for names in ((field.name, *field.names), *(field.weak if search.is_weak else ())):
        wanted = [key(name) for name in names]
        found = _wanted({column: key(column) for column in table.columns}, wanted, taken)
        if not found and search.is_inner and field.is_needed:
            found = _wanted({column: key(column.rsplit(".", 1)[-1]) for column in inner_columns(table)}, wanted, taken)
        if len(found) > 1 and not field.is_ordered:
            raise Ambiguous(_question(field, table, list(found)))
        if found:
            return min(found, key=lambda column: wanted.index(found[column]))
    return ""


def _wanted(columns: Mapping[str, str], wanted: Sequence[str], taken: set[str]) -> dict[str, str]:
    return {column: spelling for column, spelling in columns.items() if spelling in wanted and column not in taken}


def _question(field: Field, table: Table, found: Sequence[str]) -> str:
    leave = "" if field.is_needed else f", or {field.name}={LEFT_OUT} for neither"
    choices = " or ".join(f"{field.name}={column}" for column in found)
    return (f"{table.file}: {', '.join(map(repr, found))} could each be the {field.name}; "
            f"map it by hand: {choices}{leave}.")
