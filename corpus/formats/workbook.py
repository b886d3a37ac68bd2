"""The table of one sheet of an Excel workbook (.xlsx)."""

import itertools
import zipfile
import zlib
from contextlib import closing
from pathlib import Path
from typing import Any

from corpus.config import DataConfig
from corpus.table import Rows, Table, column_names, filled_width, whole_text
from models.errors import UserError

# what openpyxl raises over a damaged workbook; ParseError is a SyntaxError
BROKEN_BOOK = (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RuntimeError, EOFError,
               SyntaxError, zipfile.BadZipFile, zlib.error)
Row = tuple[int, list[str]]


def read_workbook(path: Path, config: DataConfig) -> Table:
    """The table of the sheet that config names, else of the only visible one that holds something.

    Raises UserError if the workbook is damaged or empty, there are several such sheets, or none of that name.
    """
    sheets = _sheets(path, config)
    held = {title: rows for title, rows in sheets.items() if rows}
    if not held:
        raise UserError(f"{path} is empty." if not config.sheet else f"The sheet {config.sheet!r} of {path} is empty.")
    if len(held) > 1:
        raise UserError(f"{path} has {len(held)} sheets that hold something ({', '.join(held)}); name the one with "
                        f"the examples, as in sheet={next(iter(held))}.")
    return _table(path, next(iter(held.values())), config.limit_rows)


def _sheets(path: Path, config: DataConfig) -> dict[str, list[Row]]:
    """{title: rows} of the sheet asked for, or of each that is not hidden."""
    import openpyxl
    try:
        # as an open file: openpyxl refuses a path by its ending, whatever it holds
        with path.open("rb") as file, closing(openpyxl.load_workbook(file, read_only=True, data_only=True)) as book:
            sheets = {sheet.title: sheet for sheet in book.worksheets}
            named = [title for title in sheets if title.strip().casefold() == config.sheet.strip().casefold()]
            if config.sheet and not named:
                raise UserError(f"{path} has no sheet {config.sheet!r}; there are {', '.join(sheets)}.")
            seen = named or [title for title, sheet in sheets.items() if sheet.sheet_state == "visible"]
            return {title: _sheet_rows(sheets[title], config.limit_rows) for title in seen}
    except BROKEN_BOOK as error:
        raise UserError(f"{path} can not be read as an Excel workbook ({error}); "
                        "save it again in Excel, or its table as CSV.") from error


def _sheet_rows(sheet: Any, limit: int) -> list[Row]:
    """(row number, cells as text) of each row that is not empty; with a limit, the header and one row too many."""
    rows = ((number, [_cell_text(cell) for cell in row])
            for number, row in enumerate(sheet.iter_rows(values_only=True), 1))
    return list(itertools.islice(((number, row) for number, row in rows if any(map(str.strip, row))),
                                 limit + 2 if limit else None))


def _cell_text(cell: Any) -> str:
    """Excel writes what XML can not hold, the end of a Windows line among it, as _x000D_."""
    from openpyxl.utils.escape import unescape
    text = "" if cell is None else str(cell)
    return whole_text(unescape(text).replace("\r\n", "\n")) if "_x" in text else text


def _table(path: Path, found: list[Row], limit: int) -> Table:
    columns = column_names(found[0][1], path)
    rows = Rows(str(path), limit)
    for line, row in found[1:]:
        if rows.is_full():
            break
        if any(map(str.strip, row[len(columns):])):
            rows.leave_out(line, f"it has {filled_width(row)} cells, the header has {len(columns)}")
        else:
            rows.add(line, dict(zip(columns, row, strict=False)))
    return rows.table(columns)
