"""A table file as records: CSV, TSV, JSONL, a JSON list or one Excel sheet; every record knows its line."""

import csv
import io
import json
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.errors import UserError

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab"}
# what openpyxl raises over a damaged workbook; ParseError is a SyntaxError
BROKEN_BOOK = (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RuntimeError, EOFError,
               SyntaxError, zipfile.BadZipFile, zlib.error)
MAX_FIELD_CHARS = 2**31 - 1         # csv's own limit is 131,072; a C long holds no more on Windows


@dataclass(frozen=True, kw_only=True)
class Record:
    """One row. line: where it starts in its file, from 1 (the row's number in Excel)."""

    line: int
    fields: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Unusable:
    """A row that was left out, and why."""

    file: str
    line: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class Table:
    """What a file held. columns: every field name, in order of appearance; notes: lines for the person."""

    file: str
    columns: tuple[str, ...]
    records: tuple[Record, ...]
    unusable: tuple[Unusable, ...] = ()
    notes: tuple[str, ...] = ()


def read_table(path: Path) -> Table:
    """Read path by what it holds, its name deciding only where the content does not.

    Raises UserError if the file is missing, empty, unreadable or no table.
    """
    data = _bytes(path)
    if data.startswith(b"PK\x03\x04"):
        return _read_excel(path)
    if data.startswith(b"\xd0\xcf\x11\xe0"):
        raise UserError(f"{path} is an old Excel file (.xls); save it as .xlsx or CSV.")
    text, notes = _decoded(data, path)
    if not text.strip():
        raise UserError(f"{path} is empty.")
    start, suffix = text.lstrip()[0], path.suffix.lower()
    if suffix in (".json", ".jsonl", ".ndjson") and start not in "[{":
        raise UserError(f"{path} is not JSON: it starts with {text.strip()[:20]!r}.")
    if start in "[{" and suffix not in (".csv", ".tsv"):
        return _read_json(path, text, notes)
    return _read_csv(path, text, notes)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"The data file {path} does not exist.") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder; give the data file in it.") from None
    except OSError as error:
        raise UserError(f"{path} can not be read ({error.strerror}).") from error


def _decoded(data: bytes, path: Path) -> tuple[str, tuple[str, ...]]:
    """The text and a note where it is not UTF-8. UTF-16 is known by its byte-order mark (Excel's "Unicode Text")."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace"), (f"{path.name} was read as UTF-16.",)
    if b"\0" in data:
        raise UserError(f"{path} is not a table: it holds binary data. Use CSV, TSV, JSONL, JSON or XLSX.")
    try:
        return data.decode("utf-8-sig"), ()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        try:
            return data.decode("cp1252"), (f"{path.name} is not UTF-8 (line {line}); it was read as Windows-1252.",)
        except UnicodeDecodeError:
            raise UserError(f"{path} is neither UTF-8 nor Windows-1252 text (line {line}); save it as UTF-8.") from None


def _read_csv(path: Path, text: str, notes: tuple[str, ...]) -> Table:
    csv.field_size_limit(MAX_FIELD_CHARS)
    separator = _separator(path, text)
    try:
        rows = _csv_rows(path, text, separator, skips_space=True)
    except UserError:               # a quote after a space that is part of the text
        rows = _csv_rows(path, text, separator, skips_space=False)
    columns = _column_names(rows[0][1], path)
    records, unusable = [], []
    for line, row in rows[1:]:
        while len(row) > len(columns) and not row[-1].strip():      # Excel fills rows up to the widest
            row.pop()
        if len(row) > len(columns):
            unusable.append(Unusable(file=str(path), line=line, reason=f"it has {len(row)} fields, the header has "
                                     f"{len(columns)} (a text that holds a {SEPARATORS[separator]} needs quotes)"))
            continue
        records.append(Record(line=line, fields=dict(zip(columns, row, strict=False))))
    return _table(path, columns, records, unusable, notes)


def _separator(path: Path, text: str) -> str:
    """The separator that cuts the first row that is not blank into the most fields."""
    fields = {}
    for separator in SEPARATORS:
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
        fields[separator] = len(next((row for row in rows if any(map(str.strip, row))), []))
    best = max(fields, key=lambda separator: fields[separator])
    if fields[best] < 2:
        raise UserError(f"{path} is not a table: its first line ({text.strip()[:40]!r}) "
                        "holds no comma, semicolon or tab between column names.")
    return best


def _csv_rows(path: Path, text: str, separator: str, skips_space: bool) -> list[tuple[int, list[str]]]:
    """(line on which the row starts, row) of each row that is not blank. Raises UserError for a stray quote.

    skips_space: a quote after a separator and spaces opens a text too, as people type it.
    """
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True, skipinitialspace=skips_space)
    rows: list[tuple[int, list[str]]] = []
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            hint = "a quote is opened there and not closed as it should be" if '"' in text else str(error)
            raise UserError(f"{path} can not be read as a table from line {line} on: {hint}.") from None
        if row is None:
            return rows
        if any(map(str.strip, row)):
            rows.append((line, row))


def _column_names(header: list[str], path: Path) -> tuple[str, ...]:
    while header and not header[-1].strip():
        header = header[:-1]
    names = tuple(name.strip() for name in header)
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise UserError(f"{path} has more than one column named {twice[0]!r}; rename one of them.")
    return names


def _read_json(path: Path, text: str, notes: tuple[str, ...]) -> Table:
    """JSONL (an object a line) or one list of objects."""
    items = _list_items(path, text) if text.lstrip()[0] == "[" else _line_items(text)
    records, unusable, columns = [], [], {}
    for line, item in items:
        if not isinstance(item, dict):
            reason = item.args[0] if isinstance(item, ValueError) else "it is not a JSON object with named fields"
            unusable.append(Unusable(file=str(path), line=line, reason=reason))
            continue
        fields = {whole_text(name).strip(): value for name, value in item.items()}
        columns.update(dict.fromkeys(fields))
        records.append(Record(line=line, fields=fields))
    if unusable and not records:
        raise UserError(f"{path} is not a table: line {unusable[0].line}: {unusable[0].reason}. "
                        "Use a JSON list of objects, or one object a line.")
    return _table(path, tuple(columns), records, unusable, notes)


def _line_items(text: str) -> Iterator[tuple[int, Any]]:
    """(line, object or ValueError) of each line that is not blank."""
    for number, line in enumerate(io.StringIO(text), 1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError) as error:
                yield number, ValueError(f"it is not JSON ({error})")


def _list_items(path: Path, text: str) -> Iterator[tuple[int, Any]]:
    """(line, item) of a JSON list, read item by item so that each has its line."""
    decoder, at, line, counted = json.JSONDecoder(), text.index("[") + 1, 1, 0
    is_first = True
    while True:
        at = _after_space(text, at)
        if text[at:at + 1] == "]":
            return
        if not is_first:
            if text[at:at + 1] != ",":
                raise UserError(f"{path} is not a JSON list: line {text.count(chr(10), 0, at) + 1} has no comma "
                                "or closing bracket after an item.")
            at = _after_space(text, at + 1)
        line, counted, is_first = line + text.count("\n", counted, at), at, False
        try:
            item, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path} is not a JSON list: {error}.") from None
        yield line, item


def _after_space(text: str, at: int) -> int:
    while text[at:at + 1].isspace():
        at += 1
    return at


def _read_excel(path: Path) -> Table:
    sheets = _sheets(path)
    if not sheets:
        raise UserError(f"{path} is empty.")
    if len(sheets) > 1:
        raise UserError(f"{path} has {len(sheets)} sheets that hold something ({', '.join(sheets)}); "
                        "keep the one with the examples.")
    rows = next(iter(sheets.values()))
    columns = _column_names(rows[0][1], path)
    records = [Record(line=line, fields=dict(zip(columns, row, strict=False))) for line, row in rows[1:]]
    return _table(path, columns, records, [], ())


def _sheets(path: Path) -> dict[str, list[tuple[int, list[str]]]]:
    """{title: rows} of each sheet that holds something. Raises UserError if the workbook is damaged."""
    import openpyxl
    try:
        # as an open file: openpyxl refuses a path by its ending, whatever it holds
        with path.open("rb") as file, closing(openpyxl.load_workbook(file, read_only=True, data_only=True)) as book:
            return {sheet.title: rows for sheet in book.worksheets if (rows := _sheet_rows(sheet))}
    except BROKEN_BOOK as error:
        raise UserError(f"{path} can not be read as an Excel workbook ({error}); "
                        "save it again in Excel, or its table as CSV.") from error


def _sheet_rows(sheet: Any) -> list[tuple[int, list[str]]]:
    """(row number, cells as text) of each row that is not empty."""
    rows = ((number, [_cell_text(cell) for cell in row])
            for number, row in enumerate(sheet.iter_rows(values_only=True), 1))
    return [(number, row) for number, row in rows if any(map(str.strip, row))]


def _cell_text(cell: Any) -> str:
    """Excel writes what XML can not hold, the end of a Windows line among it, as _x000D_."""
    from openpyxl.utils.escape import unescape
    text = "" if cell is None else str(cell)
    return whole_text(unescape(text).replace("\r\n", "\n")) if "_x" in text else text


def whole_text(text: str) -> str:
    """text with every half of a surrogate pair (JSON can name one alone) as U+FFFD: UTF-8 has no place for it."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _table(path: Path, columns: tuple[str, ...], records: list[Record], unusable: list[Unusable],
           notes: tuple[str, ...]) -> Table:
    if not records and not unusable:
        raise UserError(f"{path} holds no row below its column names ({', '.join(columns)}).")
    return Table(file=str(path), columns=columns, records=tuple(records), unusable=tuple(unusable), notes=notes)
