"""How the files of a training are read: their columns, the layout that was recognised, and which column is which."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corpus.config import DataConfig
from corpus.findings import excerpt
from corpus.formats.workbook import BROKEN_BOOK
from corpus.layouts.columns import column_named, inner_columns, value_of
from corpus.layouts.recognise import LAYOUTS, Reading, recognise
from corpus.read import read_tables
from corpus.table import Table
from models.errors import UserError
from ui.actions.train_draft import Draft

SEEN_ROWS = 50                  # of a file, to recognise it by
KEPT = 64                       # readings that are remembered
SEVERAL = "sheets that hold something"          # in what reading a workbook says that has more than one
CHOOSE = "{} has several sheets that hold something; choose the one with the examples."
LAYOUT_NAMES = tuple(dict.fromkeys(layout.name for layout in LAYOUTS))


@dataclass(frozen=True, kw_only=True)
class Mapped:
    """A field of a layout: the column it is read from ("" for none), and what stands there in the first row."""

    field: str
    column: str
    first: str
    is_needed: bool
    is_by_hand: bool


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One file as step 1 shows it. sheets: those of a workbook to choose from; sheet: the one that is read, "" if none
    was chosen; problem: why it can not be read as it is, one sentence."""

    file: str
    name: str
    role: str
    stage: str
    bytes: int
    layout: str = ""
    columns: tuple[str, ...] = ()
    fields: tuple[Mapped, ...] = ()
    unread: tuple[str, ...] = ()
    sheets: tuple[str, ...] = ()
    sheet: str = ""
    problem: str = ""


class Tables:
    """Looks at the files of drafts, at each only once while nothing about it changes."""

    def __init__(self) -> None:
        self._known: dict[Any, Seen] = {}

    def seen(self, draft: Draft) -> tuple[Seen, ...]:
        """Every file of the draft, in order."""
        return tuple(self._seen(one, draft) for one in draft.files)

    def _seen(self, one: dict[str, Any], draft: Draft) -> Seen:
        path = Path(one["file"])
        state = path.stat() if path.exists() else None
        changed = (state.st_mtime_ns, state.st_ino, state.st_size) if state else ()
        key = (*one.values(), changed, draft.layout, draft.columns, draft.sheet(), len(draft.files))
        if key not in self._known:
            if len(self._known) > KEPT:
                self._known.clear()
            self._known[key] = _look(one, draft)
        return self._known[key]


def _look(one: dict[str, Any], draft: Draft) -> Seen:
    path, sheet = Path(one["file"]), draft.sheet()
    sheets = sheets_of(path)
    common: dict[str, Any] = {
        "file": str(path), "name": path.name, "role": one["role"], "stage": one["stage"], "sheet": sheet,
        "bytes": path.stat().st_size if path.is_file() else 0, "sheets": sheets if len(sheets) > 1 or sheet else ()}
    try:
        tables = read_tables(str(path), DataConfig(limit_rows=SEEN_ROWS, sheet=sheet))
        table = next((table for table in tables if table.records), tables[0])
    except UserError as error:
        is_open = SEVERAL in str(error) and not sheet
        return Seen(**common, problem=CHOOSE.format(path.name) if is_open else _without_place(str(error), path))
    columns = (*table.columns, *inner_columns(table))
    try:
        reading = _reading(table, draft, is_lenient=one["role"] != "data")
    except UserError as error:
        return Seen(**common, columns=columns, layout=draft.layout, fields=_of_layout(draft, table),
                    problem=_without_place(str(error), path))
    return Seen(**common, columns=columns, layout=reading.layout.name, unread=reading.unread(),
                fields=_mapped(reading.layout.fields, reading.columns, table, draft))


def sheets_of(path: Path) -> tuple[str, ...]:
    """The titles of a workbook's visible sheets; () for another file, or a damaged one."""
    if path.suffix.lower() != ".xlsx":
        return ()
    import openpyxl
    try:
        with path.open("rb") as file, closing(openpyxl.load_workbook(file, read_only=True)) as book:
            return tuple(sheet.title for sheet in book.worksheets if sheet.sheet_state == "visible")
    except BROKEN_BOOK:
        return ()               # reading it says what is wrong


def _reading(table: Table, draft: Draft, is_lenient: bool) -> Reading:
    """As corpus reads it: what was mapped by hand counts where those columns are."""
    config = DataConfig(layout=draft.layout, columns=draft.columns)
    is_meant = any(column_named(column, table) for column in config.column_of().values())
    if draft.columns and not is_meant and (is_lenient or len(draft.files) > 1):
        config = DataConfig()
    return recognise(table, config, is_lenient)


def _mapped(fields: Sequence[Any], columns: dict[str, str], table: Table, draft: Draft) -> tuple[Mapped, ...]:
    by_hand = DataConfig(columns=draft.columns).column_of()
    first = table.records[0].fields if table.records else {}
    return tuple(Mapped(field=one.name, column=columns.get(one.name, ""), is_needed=one.is_needed,
                        is_by_hand=one.name in by_hand,
                        first=excerpt(str(value_of(first, columns[one.name]))) if one.name in columns else "")
                 for one in fields)


def _of_layout(draft: Draft, table: Table) -> tuple[Mapped, ...]:
    """The fields of the layout that was named, for a table that does not fit it yet."""
    named = next((layout for layout in LAYOUTS if layout.name == draft.layout), None)
    by_hand = DataConfig(columns=draft.columns).column_of()
    known = {name: column for name, column in by_hand.items() if column_named(column, table)}
    return _mapped(named.fields, known, table, draft) if named else ()


def _without_place(text: str, path: Path) -> str:
    """A message about a file by the name that the person knows it by."""
    return text.replace(str(path), path.name)
