"""A table whose fields are divided by a sign: CSV, TSV, with or without a header."""

import csv
import io
import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from corpus.config import DataConfig
from corpus.formats.encoding import Text
from corpus.table import Rows, Table, column_names, filled_width
from models.errors import UserError

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar"}
ALONE = "\x1f"                      # divides nothing: a table of one column, whose texts may hold commas without quotes
COLUMN_NAME = re.compile(r"[\"']?[^\W\d]\w*(?:[ -]\w+){0,2}[\"']?")
MAX_FIELD_CHARS = 2**31 - 1         # csv's own limit is 131,072; a C long holds no more on Windows
SAMPLE_ROWS = 50
TITLE_LINES = 10                    # in which column names may stand below a title
SENTENCE_CHARS = 100                # a column has no name of this length
LETTERS = re.compile(r"[A-Ja-j]")   # the key of a multiple-choice question
NUMBER = re.compile(r"[-+]?\d")          # or a date
NAMED_BY_EXCEL = re.compile(r"\s*\"?sep=(.)\"?\s*\r?\n")


class _StrayQuote(ValueError):
    """Where a text can not be cut into fields."""


def read_delimited(text: Text, config: DataConfig) -> Table:
    """The table of a text. Raises UserError if its first row is no column names, or for a stray quote."""
    csv.field_size_limit(MAX_FIELD_CHARS)
    head = text.head()
    named = NAMED_BY_EXCEL.match(head)
    separator = named.group(1) if named else _separator(text.path, head)
    quote = _quote(head, separator)
    stray: _StrayQuote | None = None
    for way in _ways(separator):
        try:
            return _read(text, config, dict(delimiter=separator, quotechar=quote, strict=True, **way), bool(named))
        except _StrayQuote as error:
            stray = stray or error
    raise UserError(f"{text.path} can not be read as a table from {stray}.") from None


def _ways(separator: str) -> Iterator[dict[str, Any]]:
    """How quotes may be meant, the usual way first."""
    yield dict(skipinitialspace=True)       # a quote after a separator and spaces opens a text, as people type it
    yield dict(skipinitialspace=False)      # or belongs to the text
    yield dict(skipinitialspace=True, escapechar="\\")
    if separator in "\t|":                  # where quotes are often plain letters
        yield dict(quoting=csv.QUOTE_NONE)


def _separator(path: Path, head: str) -> str:
    """The separator that cuts the first rows most evenly, and into the most fields."""
    found: dict[str, tuple[float, int]] = {}
    for separator in SEPARATORS:
        reader = csv.reader(io.StringIO(head, newline=""), delimiter=separator, skipinitialspace=True)
        widths = [width for row in itertools.islice(reader, SAMPLE_ROWS) if (width := filled_width(row))]
        if widths and widths[0] > 1:
            even = sum(width == widths[0] for width in widths) / len(widths)
            found[separator] = (round(even, 1), widths[0])
    if not found and head.lstrip().startswith("#"):
        raise UserError(f"{path} begins with a comment ({head.strip().splitlines()[0][:40]!r}); delete the lines above "
                        "the column names.")
    if not found and _is_one_column(head):
        return ALONE
    lines = head.strip().splitlines()
    if not found and any(sum(sign in line for line in lines[1:TITLE_LINES]) > 1 for sign in SEPARATORS):
        raise UserError(f"{path} begins with a title ({lines[0][:40]!r}); delete the lines above the column names.")
    if not found:
        raise UserError(f"{path} is not a table: its first line ({lines[0][:40]!r}) "
                        "holds no comma, semicolon, tab or vertical bar between column names.")
    return max(found, key=lambda separator: found[separator])


def _is_one_column(head: str) -> bool:
    """True for a name on a line of its own with texts below it."""
    name, _, rest = head.strip().partition("\n")
    return COLUMN_NAME.fullmatch(name.strip()) is not None and bool(rest.strip())


def _quote(head: str, separator: str) -> str:
    """The single quote where every field of the first line stands between two, else the double quote."""
    fields = [field.strip() for field in head.strip().split("\n", 1)[0].split(separator)]
    return "'" if all(len(field) > 1 and field[0] == field[-1] == "'" for field in fields) else '"'


def _read(text: Text, config: DataConfig, way: dict[str, Any], is_named: bool) -> Table:
    rows = Rows(str(text.path), config.limit_rows)
    with text.open() as file:
        if is_named:
            file.readline()
        found = _rows(file, way, 2 if is_named else 1)
        first = list(itertools.islice(found, SAMPLE_ROWS))
        has_header = _has_header([row for _, row in first], tuple(config.column_of().values()))
        if has_header:
            columns, first = column_names(first[0][1], text.path), first[1:]
        else:
            columns = tuple(str(k) for k in range(1, max(filled_width(row) for _, row in first) + 1))
        for line, row in itertools.chain(first, found):
            if rows.is_full():
                break
            _take(rows, line, row, columns, way)
    note = (f"The first line of {text.path.name} reads like a row, not like column names; its columns are called 1 to "
            f"{len(columns)} (a name mapped by hand makes it a header).")
    return rows.table(columns, text.notes + (() if has_header else (note,)), has_header)


def _take(rows: Rows, line: int, row: list[str], columns: tuple[str, ...], way: dict[str, Any]) -> None:
    width = filled_width(row)               # Excel fills rows up to the widest
    if way.get("quoting") == csv.QUOTE_NONE and (width > len(columns) or any(map(_is_quoted, row))):
        raise _StrayQuote(f"line {line} on")
    if width > len(columns):
        rows.leave_out(line, f"it has {width} fields, the header has {len(columns)} (a text that holds a "
                             f"{SEPARATORS.get(way['delimiter'], 'separator')} needs quotes)")
    else:
        rows.add(line, dict(zip(columns, row, strict=False)))


def _rows(file: TextIO, way: dict[str, Any], start: int) -> Iterator[tuple[int, list[str]]]:
    """(line on which the row starts, row) of each row that is not blank. Raises _StrayQuote."""
    reader = csv.reader(file, **way)
    while True:
        line = reader.line_num + start
        try:
            row = next(reader, None)
        except csv.Error as error:
            what = "a quote is opened there and not closed as it should be"
            raise _StrayQuote(f"line {line} on: {what if 'expected' in str(error) or 'end' in str(error) else error}"
                              ) from error
        if row is None:
            return
        if filled_width(row):
            yield line, row


def _has_header(rows: Sequence[Sequence[str]], mapped: Sequence[str]) -> bool:
    """False where the first row is an example like the others; names that were mapped by hand decide."""
    first = [cell.strip() for cell in rows[0]]
    if mapped:
        folded = {cell.casefold() for cell in first}
        if any(name.casefold() in folded for name in mapped):
            return True
        if all(name.isdecimal() and 1 <= int(name) <= len(first) for name in mapped):
            return False
    if len(rows) > 1 and _is_choice(rows[0]) and sum(map(_is_choice, rows)) > 0.9 * len(rows):
        return False
    if any(_is_number_below(rows, k) for k in range(len(first))):
        return True
    sentences = sum(_is_sentence(cell) for cell in first)
    return sentences * 2 < max(2, len(first))


def _is_choice(row: Sequence[str]) -> bool:
    """True for a question, answers to choose from, and the letter of the right one."""
    width = filled_width(row)
    return width > 3 and LETTERS.fullmatch(row[width - 1].strip()) is not None


def _is_number_below(rows: Sequence[Sequence[str]], k: int) -> bool:
    """True if field k is a number in every row but the first: its name stands there."""
    cells = [row[k].strip() for row in rows if k < len(row)]
    return len(cells) > 1 and not NUMBER.match(cells[0]) and all(map(NUMBER.match, cells[1:]))


def _is_quoted(cell: str) -> bool:
    return len(cell) > 1 and cell[0] == cell[-1] == '"'


def _is_sentence(cell: str) -> bool:
    return len(cell) > SENTENCE_CHARS or (cell.endswith((".", "!", "?")) and len(cell.split()) > 3)
