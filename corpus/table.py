"""A table as it was read: rows that know their file, line and official split, and rows that were left out."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from models.errors import UserError

TRAIN, VALIDATION, TEST = SPLITS = ("train", "validation", "test")
SPLIT_WORDS = {"train": TRAIN, "training": TRAIN, "trainset": TRAIN, "trainingset": TRAIN, "trn": TRAIN,
               "validation": VALIDATION, "valid": VALIDATION, "val": VALIDATION, "dev": VALIDATION,
               "development": VALIDATION, "validationset": VALIDATION, "validset": VALIDATION, "devset": VALIDATION,
               "test": TEST, "testing": TEST, "testset": TEST}
SPLIT_COLUMN = "split"


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """One row. line: where it starts in its file, from 1 (the row's number in Excel, Parquet and datasets).

    file: its own file where a table was read from several, "" = the table's. split: its own official split, as
    a column "split" gives it, "" = the table's.
    """

    line: int
    fields: dict[str, Any]
    file: str = ""
    split: str = ""


@dataclass(frozen=True, kw_only=True)
class Unusable:
    """A row that was left out, and why."""

    file: str
    line: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class Table:
    """What a file held. columns: every field name, in order of appearance; notes: lines for the person.

    split: "train", "validation" or "test" where the file's name or its dataset says so, else "". has_header: False
    where a CSV begins with a row at once; its columns are then "1", "2", and so on.
    """

    file: str
    columns: tuple[str, ...]
    records: tuple[Record, ...]
    unusable: tuple[Unusable, ...] = ()
    notes: tuple[str, ...] = ()
    split: str = ""
    has_header: bool = True


class Rows:
    """Gathers the rows of one table, no more than limit (0 = all)."""

    def __init__(self, file: str, limit: int = 0) -> None:
        self.file, self.limit = file, limit
        self.records: list[Record] = []
        self.unusable: list[Unusable] = []
        self._columns: dict[str, None] = {}
        self.is_cut = False

    def is_full(self) -> bool:
        """True once limit rows are there; asked when one more has come, which is then left out, and said so."""
        self.is_cut = 0 < self.limit <= len(self.records) + len(self.unusable)
        return self.is_cut

    def add(self, line: int, fields: dict[str, Any], file: str = "", split: str = "") -> None:
        """Take a row in."""
        self._columns.update(dict.fromkeys(fields))
        self.records.append(Record(line=line, fields=fields, file=file, split=split))

    def leave_out(self, line: int, reason: str, file: str = "") -> None:
        """Keep a row as one that can not be used."""
        self.unusable.append(Unusable(file=file or self.file, line=line, reason=reason))

    def table(self, columns: tuple[str, ...] = (), notes: tuple[str, ...] = (), has_header: bool = True) -> Table:
        """What was gathered; columns: as the header has them, if there is one. Raises UserError if there is no row."""
        columns = columns or tuple(self._columns)
        if not self.records and not self.unusable:
            raise UserError(f"{self.file} holds no row below its column names ({', '.join(columns)})."
                            if columns else f"{self.file} is empty.")
        if self.is_cut:
            notes += (f"Of {Path(self.file).name} only the first {self.limit:,} rows were read.",)
        records, of_rows = _with_splits(self.records, columns, Path(self.file).name)
        return Table(file=self.file, columns=columns, records=records, unusable=tuple(self.unusable),
                     notes=notes + of_rows, has_header=has_header)


def _with_splits(records: list[Record], columns: tuple[str, ...],
                 name: str) -> tuple[tuple[Record, ...], tuple[str, ...]]:
    """The records with the split that their column "split" names, and a note where it names something else."""
    column = next((one for one in columns if one.casefold() == SPLIT_COLUMN), None)
    if column is None:
        return tuple(records), ()
    named = [split_named(record.fields.get(column)) for record in records]
    if not any(named):
        return tuple(records), ()
    note = (f"{name}: rows whose column {column!r} names no split that is known (train, validation, test): "
            f"{named.count(''):,}.",) if "" in named else ()
    return tuple(replace(record, split=split or record.split)
                 for record, split in zip(records, named, strict=True)), note


def split_named(value: Any) -> str:
    """The split that a text is the name of: "Dev" -> "validation", "test1" -> "test"; "" if of none."""
    words = re.findall(r"[a-z]+", str(value).casefold()) if isinstance(value, str) else []
    return SPLIT_WORDS.get(words[0], "") if len(words) == 1 else ""


def split_of_name(stem: str) -> str:
    """The one split that a file's or folder's name holds as a word, as medical_tc_train and TestSet-1 do; else ""."""
    words = re.findall(r"[a-z]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", stem).lower())
    found = {SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS}
    return found.pop() if len(found) == 1 else ""


def whole_text(text: str) -> str:
    """text with every half of a surrogate pair (JSON can name one alone) as U+FFFD: UTF-8 has no place for it."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def filled_width(row: Sequence[str]) -> int:
    """How many fields a row has, blank ones at its end not counted."""
    return next((k for k in range(len(row), 0, -1) if row[k - 1].strip()), 0)


def column_names(header: list[str], path: Path) -> tuple[str, ...]:
    """The header's names. Raises UserError if two are the same."""
    names = tuple(name.strip() for name in header[:filled_width(header)])
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise UserError(f"{path} has more than one column named {twice[0]!r}; rename one of them.")
    return names
