"""The table of one sheet of an Excel workbook (.xlsx)."""

import itertools
import re
import zipfile
import zlib
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any

from corpus.config import DataConfig
from corpus.table import Rows, Table, column_names, filled_width, whole_text
from models.errors import UserError

# what openpyxl raises over a damaged workbook; ParseError is a SyntaxError
BROKEN_BOOK = (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RuntimeError, EOFError,
               SyntaxError, zipfile.BadZipFile, zlib.error)
OTHERS = {"xl/workbook.bin": "a binary Excel workbook (.xlsb); save it as .xlsx or CSV",
          "content.xml": "an OpenDocument file (.ods, .odt); save its table as .xlsx or CSV",
          "word/document.xml": "a Word file; save its table as .xlsx or CSV",
          "ppt/presentation.xml": "a PowerPoint file; save its table as .xlsx or CSV"}
BLOCK, NEAR_BYTES = 1 << 20, 2000                    # of a block's end, in which what is looked for may be cut
MERGED = re.compile(rb'<mergeCell ref="([A-Z]+[0-9]+:[A-Z]+[0-9]+)"')
FORMULA = re.compile(rb'<c r="([A-Z]+[0-9]+)"[^>]*><f[^>]*>[^<]*</f>(?:<v ?/>|<v></v>)?</c>')       # no value saved
FAULT = re.compile(rb'<c r="([A-Z]+[0-9]+)"[^>]*\bt="e"')               # #N/A, #REF!, ...
PERCENT = re.compile(r"0(?:\.(0+))?%")
Row = tuple[int, list[str]]


@dataclass
class Merged:
    """A cell over several rows. column: its number from 0; first, last: its rows; text: what it shows, once read."""

    column: int
    first: int
    last: int
    text: str = ""


def read_workbook(path: Path, config: DataConfig) -> Table:
    """The table of the sheet that config names, else of the only visible one that holds something.

    Raises UserError if the workbook is damaged or empty, there are several such sheets, or none of that name.
    """
    sheets = _sheets(path, config)
    held = {title: rows for title, rows in sheets.items() if rows[0]}
    if not held:
        raise UserError(f"{path} is empty." if not config.sheet else f"The sheet {config.sheet!r} of {path} is empty.")
    if len(held) > 1:
        raise UserError(f"{path} has {len(held)} sheets that hold something ({', '.join(held)}); name the one with "
                        f"the examples, as in sheet={next(iter(held))}.")
    rows, notes = next(iter(held.values()))
    return _table(path, rows, config.limit_rows, notes)


def _sheets(path: Path, config: DataConfig) -> dict[str, tuple[list[Row], tuple[str, ...]]]:
    """{title: (rows, notes)} of the sheet asked for, or of each that is not hidden."""
    import openpyxl
    try:
        # as an open file: openpyxl refuses a path by its ending, whatever it holds
        with path.open("rb") as file, closing(openpyxl.load_workbook(file, read_only=True, data_only=True)) as book:
            sheets = {sheet.title: sheet for sheet in book.worksheets}
            named = [title for title in sheets if title.strip().casefold() == config.sheet.strip().casefold()]
            if config.sheet and not named:
                raise UserError(f"{path} has no sheet {config.sheet!r}; there are {', '.join(sheets)}.")
            seen = named or [title for title, sheet in sheets.items() if sheet.sheet_state == "visible"]
            return {title: (_sheet_rows(sheets[title], config.limit_rows), _uncounted(sheets[title], path.name))
                    for title in seen}
    except BROKEN_BOOK as error:
        if other := _other_kind(path):
            raise UserError(f"{path} is {other}.") from error
        raise UserError(f"{path} can not be read as an Excel workbook ({error}); "
                        "save it again in Excel, or its table as CSV.") from error


def _other_kind(path: Path) -> str:
    """What a ZIP archive is that is no workbook of this kind; "" if that can not be told."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return ""
    if "xl/workbook.xml" in names:
        return ""
    return next((what for sign, what in OTHERS.items() if sign in names), "an archive (ZIP); unpack it first")


def _sheet_rows(sheet: Any, limit: int) -> list[Row]:
    """(row number, cells as text) of each row that is not empty; with a limit, the header and one row too many."""
    merged: dict[int, list[Merged]] = {}
    for one in _merged_down(sheet):
        for number in range(one.first, one.last + 1):
            merged.setdefault(number, []).append(one)
    rows = ((number, [_cell_text(cell) for cell in row]) for number, row in enumerate(sheet.iter_rows(), 1))
    full = ((number, row) for number, row in rows if any(map(str.strip, row)))
    filled = ((number, _filled(number, row, merged.get(number, ()))) for number, row in full)
    return list(itertools.islice(filled, limit + 2 if limit else None))


def _merged_down(sheet: Any) -> list[Merged]:
    """The cells that are merged over several rows. They stand at the end of the sheet's XML."""
    from openpyxl.utils.cell import range_boundaries
    ranges = [range_boundaries(ref) for ref in _refs(sheet, MERGED)]
    return [Merged(column=left - 1, first=top, last=bottom) for left, top, _, bottom in ranges if bottom > top]


def _uncounted(sheet: Any, file: str) -> tuple[str, ...]:
    """Notes of formulas whose values the program that wrote the sheet did not keep, or that came to an error."""
    cells, faulty = _refs(sheet, FORMULA), _refs(sheet, FAULT)
    notes: tuple[str, ...] = ()
    if cells:
        notes += (f"{file}: cells of the sheet {sheet.title!r} with a formula whose value was not saved, read as "
                  f"empty: {len(cells):,}, the first {cells[0]}; open and save the file in Excel.",)
    if faulty:
        notes += (f"{file}: cells of the sheet {sheet.title!r} that show an error (#N/A, #REF!), read as empty: "
                  f"{len(faulty):,}, the first {faulty[0]}.",)
    return notes


def _refs(sheet: Any, pattern: re.Pattern[bytes]) -> list[str]:
    """The cells that the pattern names in the sheet's XML; a sheet read row by row has no public way to them."""
    found: dict[str, None] = {}
    tail = b""
    with sheet._get_source() as source:
        while block := source.read(BLOCK):
            found.update(dict.fromkeys(ref.decode() for ref in pattern.findall(tail + block)))
            tail = block[-NEAR_BYTES:]
    return list(found)


def _filled(number: int, row: list[str], merged: Sequence[Merged]) -> list[str]:
    """The row with the text of cells that are merged with those above it."""
    for one in merged:
        row += [""] * (one.column + 1 - len(row))
        if one.first == number:
            one.text = row[one.column]
        else:
            row[one.column] = row[one.column] or one.text
    return row


def _cell_text(cell: Any) -> str:
    """What a cell shows. Excel writes what XML can not hold, the end of a Windows line among it, as _x000D_."""
    from openpyxl.utils.escape import unescape
    value = cell.value
    if isinstance(value, datetime) and value.time() == time():
        value = value.date()
    elif isinstance(value, timedelta):
        minutes, seconds = divmod(round(value.total_seconds()), 60)
        value = f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
    elif isinstance(value, int | float) and not isinstance(value, bool) and (
            shown := PERCENT.fullmatch(cell.number_format)):
        value = f"{value * 100:.{len(shown[1] or '')}f}%"
    text = "" if value is None or cell.data_type == "e" else str(value)
    return whole_text(unescape(text).replace("\r\n", "\n")) if "_x" in text else text


def _table(path: Path, found: list[Row], limit: int, notes: tuple[str, ...]) -> Table:
    widths = [filled_width(row) for _, row in found[:3]]
    if len(found) > 2 and widths[0] == 1 and min(widths[1:]) > 1:
        title = next(filter(str.strip, found[0][1])).strip()
        raise UserError(f"{path} has a title above its column names (row {found[0][0]}: {title[:40]!r}); "
                        "delete that row.")
    columns = column_names(found[0][1], path)
    rows = Rows(str(path), limit)
    for line, row in found[1:]:
        if rows.is_full():
            break
        if any(map(str.strip, row[len(columns):])):
            rows.leave_out(line, f"it has {filled_width(row)} cells, the header has {len(columns)}")
        else:
            rows.add(line, dict(zip(columns, row, strict=False)))
    return rows.table(columns, notes)
