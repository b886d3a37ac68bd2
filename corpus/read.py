"""Where tables come from: a file, read by what it holds; a folder; a dataset of the hub."""

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from corpus import hub
from corpus.config import DataConfig
from corpus.folder import DOCUMENTS, Part, contents
from corpus.formats.columnar import ARROW_MAGIC, PARQUET_MAGIC, read_arrow, read_parquet, read_saved
from corpus.formats.delimited import read_delimited
from corpus.formats.encoding import text_of
from corpus.formats.json_rows import read_json
from corpus.formats.medquad import read_documents
from corpus.formats.workbook import read_workbook
from corpus.table import TRAIN, Table, split_of_name
from corpus.table import Record as Record
from corpus.table import Unusable as Unusable
from corpus.table import whole_text as whole_text
from models import runs
from models.errors import UserError

JSON_NAMES = (".json", ".jsonl", ".ndjson")
OTHERS = {b"\xd0\xcf\x11\xe0": "an old Excel file (.xls) or one with a password; save it as .xlsx "
                               "without a password, or as CSV",
          b"\x1f\x8b": "compressed (gzip); unpack it first", b"BZh": "compressed (bzip2); unpack it first",
          b"\xfd7zXZ": "compressed (xz); unpack it first", b"\x28\xb5\x2f\xfd": "compressed (zstd); unpack it first",
          b"7z\xbc\xaf": "an archive (7z); unpack it first", b"%PDF-": "a PDF; save its table as CSV or XLSX",
          b"SQLite format 3": "a SQLite database; export its table as CSV", b"GGUF": "a model (GGUF), no data",
          b"version https://git-lfs": "a Git LFS pointer; download the file itself"}
WEB_PAGE = (b"<html", b"<!doctype html")
IS_JSON = re.compile(r"\s*(\{|\[\s*[{\]])")        # not "[doctor] Hi!"
HEAD, BLOCK = 64, 1 << 20


def read_tables(source: str, config: DataConfig, is_lenient: bool = False) -> list[Table]:
    """The tables of a file, a folder, or "hf:OWNER/NAME", a dataset of the hub ("hf:OWNER/NAME:SUBSET").

    is_lenient: a file without splits is taken whole though one is asked for. Raises UserError if there is nothing, or
    something that can not be read.
    """
    path = runs.typed(source)
    if hub.is_hub(source):
        return _as_asked(hub.read_hub(source, config), config)
    if path.is_dir():
        return _as_asked(_read_folder(path, config), config)
    table = read_table(path, config)
    return [_rows_asked(table, config.dataset_split, is_lenient) if config.dataset_split else table]


def _rows_asked(table: Table, wanted: str, is_lenient: bool) -> Table:
    """The rows of the split that is wanted, by the file's own column. Raises UserError if there are none."""
    splits = sorted({record.split for record in table.records if record.split})
    if is_lenient and not splits:
        return table
    asked = split_of_name(wanted)
    records = tuple(replace(record, split="") for record in table.records if asked and record.split == asked)
    if not records:
        raise UserError(f"{table.file} has no split {wanted!r}; its rows are "
                        f"{'of ' + ', '.join(splits) if splits else 'of none (no column named split)'}.")
    return replace(table, records=records)


def _as_asked(tables: list[Table], config: DataConfig) -> list[Table]:
    """The tables without their splits, where one split was asked for or none of them is for training."""
    if config.dataset_split:
        return [replace(table, split="") for table in tables]
    splits = [table.split for table in tables if table.split]
    if not splits or TRAIN in splits:
        return tables
    note = f"{tables[0].file} and what is beside it: no part is named train, so {', '.join(splits)} count as no split."
    return [replace(tables[0], split="", notes=(*tables[0].notes, note)),
            *(replace(table, split="") for table in tables[1:])]


def read_table(path: Path, config: DataConfig | None = None) -> Table:
    """Read one file by what it holds, its name deciding only where the content does not.

    Raises UserError if the file is missing, empty, unreadable or no table.
    """
    config = config or DataConfig()
    with _opened(path) as head:
        other = next((what for magic, what in OTHERS.items() if head.startswith(magic)), "")
        if head.lstrip().lower().startswith(WEB_PAGE):
            other = "a web page; download the file itself"
        if other:
            raise UserError(f"{path} is {other}.")
        if head.startswith(b"PK\x03\x04"):
            return read_workbook(path, config)
        if head.startswith(PARQUET_MAGIC):
            return read_parquet(path, config)
        if head.startswith(ARROW_MAGIC) or path.suffix.lower() == ".arrow":
            return read_arrow([path], str(path), config)
        return _read_text(path, config)


def _read_text(path: Path, config: DataConfig) -> Table:
    text, suffix = text_of(path), path.suffix.lower()
    head = text.head()
    start = head.lstrip()[:20]
    if not start:
        raise UserError(f"{path} is empty.")
    if suffix in JSON_NAMES and start[0] not in "[{":
        raise UserError(f"{path} is not JSON: it starts with {start.rstrip()!r}.")
    if suffix in JSON_NAMES or IS_JSON.match(head):
        return read_json(text, config)
    if suffix == DOCUMENTS or start.startswith("<?xml"):
        return read_documents([path], str(path), config)
    return read_delimited(text, config)


@contextmanager
def _opened(path: Path) -> Iterator[bytes]:
    """The file's first bytes; what the system says of it while it is read becomes a UserError."""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
        yield head
    except FileNotFoundError:
        raise UserError(f"The data file {path} does not exist.") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder; give the data file in it.") from None
    except OSError as error:
        raise UserError(f"{path} can not be read ({error.strerror or error}).") from error


def _read_folder(folder: Path, config: DataConfig) -> list[Table]:
    found = contents(folder)
    tables = [table for part in found.parts for table in _read_part(part, config)]
    if config.dataset_split:
        splits = sorted({table.split for table in tables if table.split})
        asked = split_of_name(config.dataset_split)
        tables = [table for table in tables
                  if Path(table.file).name == config.dataset_split or (asked and table.split == asked)]
        if not tables:
            raise UserError(f"{folder} has no split {config.dataset_split!r}; there "
                            f"{'are ' + ', '.join(splits) if splits else 'is none'}.")
    return [replace(tables[0], notes=found.notes + tables[0].notes), *tables[1:]]


def _read_part(part: Part, config: DataConfig) -> list[Table]:
    if part.documents:
        tables = [read_documents(part.documents, str(part.path), config)]
    elif part.path.is_dir():
        tables = read_saved(part.path, config)
    else:
        tables = [read_table(part.path, config)]
    return [replace(table, split=table.split or part.split) for table in tables]


def fingerprint(source: str, config: DataConfig) -> str:
    """The sha256 of a source: of its files' bytes, or of the rows of a dataset of the hub."""
    digest = hashlib.sha256()
    path = runs.typed(source)
    if hub.is_hub(source):
        for table in hub.read_hub(source, config):
            for record in table.records:
                digest.update(json.dumps(record.fields, sort_keys=True, default=str).encode())
    elif path.is_dir():
        for file in _files(path):
            digest.update(f"{file.relative_to(path).as_posix()}\0".encode("utf-8", "surrogateescape"))
            _add(digest, file)
    else:
        _add(digest, path)
    return digest.hexdigest()


def _files(folder: Path) -> list[Path]:
    """Every file that reading the folder reads."""
    found: list[Path] = []
    for part in contents(folder).parts:
        inside = part.documents or (sorted(part.path.rglob("*")) if part.path.is_dir() else [part.path])
        found += [path for path in inside if path.is_file()]
    return found


def _add(digest: "hashlib._Hash", path: Path) -> None:
    with _opened(path), path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
