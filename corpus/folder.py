"""Which files of a folder are tables, and to which official split their names assign them."""

import os
from dataclasses import dataclass
from pathlib import Path

from corpus.formats.columnar import is_saved_dataset
from corpus.table import split_of_name
from models.errors import UserError

SUFFIXES = {".csv", ".tsv", ".tab", ".psv", ".json", ".jsonl", ".ndjson", ".parquet", ".arrow", ".xlsx"}
DOCUMENTS = ".xml"
NO_DATA = {"dataset_info.json", "dataset_infos.json"}       # what `datasets` keeps beside its data
HIDDEN = (".", "~$")                # Excel's mark of an open workbook
UNSAID = ("readme", "license", "licence", "citation", "changelog")      # files nobody expects to be read
MAX_FILES = 100_000
SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Part:
    """What becomes one table, but for a saved dataset, which has one for each of its splits.

    path: the file, the dataset's folder, or the folder of the documents. documents: XML files, () where it is none.
    """

    path: Path
    documents: tuple[Path, ...] = ()
    split: str = ""


@dataclass(frozen=True, kw_only=True)
class Contents:
    """Parts in the order of their names; notes: which files were left aside."""

    parts: tuple[Part, ...]
    notes: tuple[str, ...]


def contents(folder: Path) -> Contents:
    """What to read of a folder and the folders below it. Raises UserError if there is nothing, or far too much."""
    parts: list[Part] = []
    aside: list[str] = []
    for path, names in _walk(folder):
        if is_saved_dataset(path):
            parts.append(Part(path=path, split=_split(folder, path)))
            continue
        documents = tuple(path / name for name in names if Path(name).suffix.lower() == DOCUMENTS)
        if documents:
            parts.append(Part(path=path, documents=documents, split=_split(folder, path)))
        for name in names:
            if Path(name).suffix.lower() in SUFFIXES and name not in NO_DATA:
                parts.append(Part(path=path / name, split=_split(folder, path / name)))
            elif Path(name).suffix.lower() != DOCUMENTS and not name.lower().startswith(UNSAID) and name not in NO_DATA:
                aside.append((path / name).relative_to(folder).as_posix())
    if not parts:
        raise UserError(f"{folder} holds no data file ({', '.join(sorted(SUFFIXES | {DOCUMENTS}))}).")
    notes = (f"{folder}: {_listed(aside)} not read.",) if aside else ()
    return Contents(parts=tuple(parts), notes=notes)


def _walk(folder: Path) -> list[tuple[Path, list[str]]]:
    """(folder, names of its files) of it and each folder below it, sorted, without hidden ones."""
    found, count = [], 0
    for at, folders, names in os.walk(folder):
        path = Path(at)
        folders[:] = [] if is_saved_dataset(path) else sorted(name for name in folders if not name.startswith("."))
        names = sorted(name for name in names if not name.startswith(HIDDEN))
        count += len(names)
        if count > MAX_FILES:
            raise UserError(f"{folder} holds more than {MAX_FILES:,} files; give the folder of the data only.")
        found.append((path, names))
    return found


def _split(folder: Path, path: Path) -> str:
    """The split that the path's own name tells, else the nearest folder's below the one that was given."""
    inner = path.relative_to(folder)
    names = [inner.stem if path.is_file() else inner.name, *(part.name for part in inner.parents)]
    return next((split for name in names if (split := split_of_name(name))), "")


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN])}{more} {'was' if len(names) == 1 else 'were'}"
