"""The file that a batch writes: the rows that were read with the task's columns behind them, whole or not at all."""

import csv
import io
import json
import os
import re
import zipfile
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from corpus.formats.columnar import ARROW_MAGIC, PARQUET_MAGIC
from corpus.formats.delimited import NAMED_BY_EXCEL, SEPARATORS
from corpus.formats.encoding import text_of
from corpus.read import IS_JSON, JSON_NAMES
from evaluation.batch.config import BatchConfig
from models import knobs, runs
from models.errors import UserError

KINDS = {".csv": "csv", ".tsv": "tsv", ".txt": "csv", ".xlsx": "xlsx", ".json": "json", ".jsonl": "jsonl",
         ".ndjson": "jsonl", ".parquet": "parquet"}
MARKS = (BOM_UTF8, BOM_UTF16_LE, BOM_UTF16_BE)
DONE = {"classify": "classified", "summarise": "summarised", "answer": "answered"}
READ = ("file", "train", "descriptions", "calibration")         # settings that name files which stay as they are
CELL_CHARS = 32_767                 # that a cell of Excel holds
CUT = " ... (cut: a cell of Excel holds no more)"
NOT_IN_XML = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
NUMBER = re.compile(r"(?!-0$)-?(0|[1-9]\d*)(\.\d*[1-9])?")        # that is written in one way only: not 007, not 1.50
NUMBER_CHARS = 11                   # longer ones Excel shows as 1.23457E+14
EPOCH = (1980, 1, 1, 0, 0, 0)       # of every part of a workbook: the same rows make the same bytes
MADE = datetime(2000, 1, 1, tzinfo=UTC).replace(tzinfo=None)
EXCEL_ROWS = 1_048_576

Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Form:
    """How the file is written. separator, has_mark (a byte order mark): of CSV, as the file that was read had them."""

    kind: str
    separator: str = ","
    has_mark: bool = False


def out_path(config: BatchConfig) -> Path:
    """The file to write: the one named, in a folder that was named, or beside the one that is read.

    Raises UserError if there is no file to read, or it or another file of the task would be written over.
    """
    read = runs.typed(config.file).resolve()
    if not read.is_file():
        raise UserError(f"{config.file} is a folder; name one file in it." if read.is_dir() else
                        f"There is no file {config.file}.")
    named = f"{read.stem}-{DONE[knobs.to_json(config)['task']]}{read.suffix}"
    out = runs.typed(config.out).resolve() if config.out else read.with_name(named)
    out = out / named if out.is_dir() else out
    for path in (runs.typed(one) for name in READ if (one := getattr(config, name, ""))):
        if out == path.resolve() or (out.exists() and path.exists() and out.samefile(path)):
            raise UserError(f"{out.name} would be written over the file that is read; name another one with --out.")
    return out


def form_of(out: Path, read: Path) -> Form:
    """The form that out's ending says, else that of the file that was read. Raises UserError for another ending."""
    if out.suffix and out.suffix.lower() not in KINDS:
        raise UserError(f"{out.name} ends in {out.suffix}, which is no kind of table that is written here; use one of "
                        f"{', '.join(KINDS)}.")
    with read.open("rb") as file:
        head = file.read(64)
    own = _kind_of(head, read)
    kind = KINDS[out.suffix.lower()] if out.suffix else own
    if kind == "tsv":
        return Form(kind="csv", separator="\t", has_mark=own == "csv" and head.startswith(MARKS))
    if kind != "csv" or own != "csv":
        return Form(kind=kind)
    return Form(kind="csv", separator=_separator(read), has_mark=head.startswith(MARKS))


def _kind_of(head: bytes, path: Path) -> str:
    """What a table is that corpus.read has read."""
    if head.startswith(b"PK\x03\x04"):
        return "xlsx"
    if head.startswith((PARQUET_MAGIC, ARROW_MAGIC)) or path.suffix.lower() == ".arrow":
        return "parquet"
    is_json = path.suffix.lower() in JSON_NAMES or IS_JSON.match(text_of(path).head())
    return KINDS.get(path.suffix.lower(), "json") if is_json else "csv"


def _separator(path: Path) -> str:
    """The separator of a table's first line: the one that Excel named, else the one that cuts it the most."""
    head = text_of(path).head()
    if named := NAMED_BY_EXCEL.match(head):
        return named.group(1)
    first = {sign: next(csv.reader(io.StringIO(head.lstrip("\n\r"), newline=""), delimiter=sign), [])
             for sign in SEPARATORS}
    return max(first, key=lambda sign: len(first[sign]))


def check(form: Form, columns: Sequence[str], rows: Sequence[Row]) -> None:
    """Raise UserError, before anything is computed, for rows that the form can not hold."""
    if form.kind != "xlsx":
        return
    if len(rows) >= EXCEL_ROWS:
        raise UserError(f"A sheet of Excel holds {EXCEL_ROWS:,} rows, and these are {len(rows):,}; name another kind, "
                        "as --out FILE.csv.")
    for number, row in enumerate(rows, 1):
        for column in columns:
            if len(_text(row.get(column))) > CELL_CHARS:
                raise UserError(f"Row {number} has {len(_text(row.get(column))):,} characters in {column!r}, and a "
                                f"cell of Excel holds {CELL_CHARS:,}; name another kind, as --out FILE.csv.")


def write(path: Path, form: Form, columns: Sequence[str], rows: Sequence[Row]) -> None:
    """Write the rows; the same rows give the same bytes. Raises UserError if the place can not be written to."""
    runs.make_folder(path.parent)
    with runs.whole_file(path) as part:
        WRITERS[form.kind](part, form, columns, rows)
        with part.open("rb+") as file:
            os.fsync(file.fileno())


def _write_csv(path: Path, form: Form, columns: Sequence[str], rows: Sequence[Row]) -> None:
    with path.open("w", encoding="utf-8-sig" if form.has_mark else "utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=form.separator, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([_text(row.get(column)) for column in columns] for row in rows)


def _write_lines(path: Path, form: Form, columns: Sequence[str], rows: Sequence[Row]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        file.writelines(_json(dict(row)) + "\n" for row in rows)


def _write_json(path: Path, form: Form, columns: Sequence[str], rows: Sequence[Row]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write("[\n" + ",\n".join(_json(dict(row)) for row in rows) + "\n]\n")


def _write_xlsx(path: Path, form: Form, columns: Sequence[str], rows: Sequence[Row]) -> None:
    import openpyxl
    from openpyxl.writer.excel import ExcelWriter
    book = openpyxl.Workbook(write_only=True)
    book.properties.created = book.properties.modified = MADE
    sheet = book.create_sheet("rows")
    sheet.append([_cell(sheet, column) for column in columns])
    for row in rows:
        sheet.append([_cell(sheet, row.get(column)) for column in columns])
    held = io.BytesIO()
    ExcelWriter(book, zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED, allowZip64=True)).save()
    with zipfile.ZipFile(held) as made, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as dated:
        for name in made.namelist():
            dated.writestr(zipfile.ZipInfo(name, EPOCH), made.read(name), zipfile.ZIP_DEFLATED)


def _cell(sheet: Any, value: Any) -> Any:
    """A cell that shows the value; a text never becomes a formula."""
    from openpyxl.cell import WriteOnlyCell
    if isinstance(value, bool | int | float):
        return value
    text = _text(value)
    if NUMBER.fullmatch(text) and len(text) <= NUMBER_CHARS:
        return float(text) if "." in text else int(text)
    if not text:
        return None
    cell = WriteOnlyCell(sheet)
    text = text if len(text) <= CELL_CHARS else text[:CELL_CHARS - len(CUT)] + CUT
    cell.value = NOT_IN_XML.sub("\ufffd", text)
    cell.data_type = "s"
    return cell


def _write_parquet(path: Path, form: Form, columns: Sequence[str], rows: Sequence[Row]) -> None:
    import pyarrow
    import pyarrow.parquet
    table = pyarrow.table({column: _column([row.get(column) for row in rows]) for column in columns})
    pyarrow.parquet.write_table(table, path)


def _column(values: Sequence[Any]) -> Any:
    import pyarrow
    try:
        found = pyarrow.array(values)
    except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError):      # of several kinds, as JSON may hold them
        found = pyarrow.array([None if value is None else _text(value) for value in values])
    return found.cast(pyarrow.string()) if pyarrow.types.is_null(found.type) else found


def _text(value: Any) -> str:
    """A value as a cell shows it; lists and objects as JSON."""
    if value is None:
        return ""
    return _json(value) if isinstance(value, dict | list | tuple | bool) else str(value)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


WRITERS: dict[str, Callable[[Path, Form, Sequence[str], Sequence[Row]], None]] = {
    "csv": _write_csv, "jsonl": _write_lines, "json": _write_json, "xlsx": _write_xlsx, "parquet": _write_parquet}
