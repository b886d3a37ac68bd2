"""Labelled texts that programs hand in to learn from: each set a folder of its own, with what was found in it."""

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from evaluation.batch.config import ClassifyConfig
from evaluation.batch.rows import Item, read_rows
from models import runs
from models.errors import UserError

FOLDER, ABOUT, ROWS = "datasets", "dataset.json", "rows.jsonl"
ENDINGS = (".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson", ".xlsx")
MOST_NOTES = 50
MOST_SETS = 10_000


class NoSuchSet(UserError):
    """There is no set of that number."""


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """What is known of a set. notes: what was left out of its file, with the line, and what else was noticed."""

    id: int
    name: str
    description: str = ""
    uploaded_at: float
    updated_at: float
    total_samples: int = 0
    medical_domains: tuple[str, ...] = ()
    domain_distribution: dict[str, int] = field(default_factory=dict)
    avg_title_length: float = 0.0
    avg_abstract_length: float = 0.0
    is_validated: bool = False
    file_size_mb: float = 0.0
    file_extension: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sample:
    """One labelled text."""

    title: str
    abstract: str
    labels: tuple[str, ...]


class Datasets:
    """The sets in a folder. May be used from several threads."""

    def __init__(self, home: Path):
        self._folder = home / FOLDER

    def all(self) -> list[Dataset]:
        """Every set, the first made first."""
        found = []
        for path in self._folder.glob(f"*/{ABOUT}"):
            try:
                found += [_read(path)] if path.parent.name.isdecimal() else []
            except UserError:
                if path.is_file():
                    raise               # else it was deleted a moment ago
        return sorted(found, key=lambda one: one.id)

    def get(self, number: int) -> Dataset:
        """The set of that number. Raises NoSuchSet."""
        path = self._folder / str(number) / ABOUT
        if not path.is_file():
            raise NoSuchSet(f"There is no dataset {number}; upload one to /api/datasets/ first.")
        return _read(path)

    def make(self, name: str, description: str = "") -> Dataset:
        """An empty set."""
        folder = numbered(self._folder)
        now = time.time()
        return _written(folder, Dataset(id=int(folder.name), name=name, description=description, uploaded_at=now,
                                        updated_at=now))

    def fill(self, number: int, file: Path, told_name: str) -> Dataset:
        """Read a table into the set, in the place of what was in it; file is removed, whatever comes of it.

        Raises UserError for a file without labelled texts, NoSuchSet for another number.
        """
        try:
            before = self.get(number)
            samples, notes = _samples(file, told_name)
            size = file.stat().st_size
        finally:
            file.unlink(missing_ok=True)
        folder = self._folder / str(number)
        with runs.whole_file(folder / ROWS) as part, part.open("wb") as rows:
            for one in samples:
                rows.write(runs.json_bytes(asdict(one)) + b"\n")
        domains = Counter(label for one in samples for label in one.labels)
        return _written(folder, Dataset(
            id=before.id, name=before.name, description=before.description, uploaded_at=before.uploaded_at,
            updated_at=time.time(), total_samples=len(samples), medical_domains=tuple(sorted(domains)),
            domain_distribution=dict(domains.most_common()), is_validated=len(domains) > 1,
            avg_title_length=_mean([len(one.title) for one in samples]),
            avg_abstract_length=_mean([len(one.abstract) for one in samples]),
            file_size_mb=round(size / 1e6, 3), file_extension=file.suffix.lower().lstrip("."),
            notes=tuple(notes[:MOST_NOTES])))

    def samples(self, number: int) -> list[Sample]:
        """The texts of a set. Raises NoSuchSet, or UserError for a set that nothing was uploaded to."""
        self.get(number)
        path = self._folder / str(number) / ROWS
        if not path.is_file():
            raise UserError(f"Dataset {number} is empty; upload a table to /api/datasets/{number}/upload first.")
        lines = path.read_text(encoding="utf-8").split("\n")
        return [_sample(json.loads(line)) for line in lines if line]

    def delete(self, number: int) -> Dataset:
        """Remove a set for good. Its empty folder stays, so that its number never means another set. Raises NoSuchSet.
        """
        gone = self.get(number)
        for name in (ABOUT, ROWS):
            (self._folder / str(number) / name).unlink(missing_ok=True)
        return gone


def numbered(folder: Path) -> Path:
    """A new folder inside folder whose name is the next free number."""
    runs.make_folder(folder)
    highest = max((int(path.name) for path in folder.iterdir() if path.name.isdecimal()), default=0)
    for number in range(highest + 1, highest + MOST_SETS):
        try:
            (folder / str(number)).mkdir()
            return folder / str(number)
        except FileExistsError:
            continue                        # another request was quicker
    raise UserError(f"{folder} is full; delete what is no longer needed.")


def _samples(file: Path, told_name: str) -> tuple[list[Sample], list[str]]:
    """The labelled texts of a table, and what became of its other rows. Raises UserError if there are none."""
    from evaluation.batch import labels as labels_of  # with a quarter of a second that no start needs
    from evaluation.batch.classify import LABELLED
    notes: list[str] = []

    def say(text: str) -> None:
        notes.append(text.replace(str(file), told_name).replace(file.name, told_name))

    try:
        rows = read_rows(ClassifyConfig(file=str(file)), (LABELLED,))
        own = labels_of.of_rows(rows, say)
    except UserError as error:
        raise UserError(str(error).replace(str(file), told_name).replace(file.name, told_name)) from error
    found: list[Sample] = []
    first: dict[Sample, int] = {}
    for item, gold in zip(rows.items, own.golds, strict=True):
        reason = item.reason or ("" if gold else "it has no label") or _empty(item)
        one = None if reason else Sample(item.fields["title"].strip(), item.fields["abstract"].strip(),
                                         tuple(sorted(gold or ())))
        if one and one in first:
            reason = f"the same as line {first[one]}"
        if reason or one is None:
            notes.append(f"Line {item.line} was left out: {reason}.")
            continue
        first[one] = item.line
        found.append(one)
    if not found:
        raise UserError(f"{told_name} has no labelled text: it needs a column of texts (abstract, text, ...) and one "
                        f"of labels (medical_domains, labels, group, ...). {' '.join(notes[:3])}".strip())
    return found, notes


def _empty(item: Item) -> str:
    return "" if item.fields["abstract"].strip() or item.fields["title"].strip() else "it has no text"


def _sample(told: dict[str, Any]) -> Sample:
    return Sample(title=told["title"], abstract=told["abstract"], labels=tuple(told["labels"]))


def _read(path: Path) -> Dataset:
    told = runs.read_json(path)
    return Dataset(**{**told, "medical_domains": tuple(told["medical_domains"]), "notes": tuple(told["notes"])})


def _written(folder: Path, one: Dataset) -> Dataset:
    runs.write_json(folder / ABOUT, asdict(one))
    return one


def _mean(numbers: Sequence[int]) -> float:
    return round(sum(numbers) / len(numbers), 1) if numbers else 0.0
