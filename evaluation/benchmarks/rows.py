"""The rows of a benchmark's source: of its layout, of its official split, and none of them silently left out."""

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corpus.config import DataConfig
from corpus.folder import contents
from corpus.hub import is_hub, read_hub
from corpus.layouts import Example, labelled
from corpus.layouts.columns import case_id
from corpus.layouts.layout import Layout, Row, RowError
from corpus.layouts.recognise import Reading, recognise
from corpus.read import read_tables
from corpus.table import TEST, TRAIN, VALIDATION, Record, Table, split_of_name
from evaluation.config import EvaluateConfig
from models import runs
from models.errors import UserError
from tasks.classify import Labels

SHOWN_ROWS = 3


@dataclass(frozen=True, kw_only=True)
class BenchmarkRow:
    """place: "file, line 12". fields: of its layout; record: as the file has it. example: as a row to train on."""

    place: str
    file: str
    layout: Layout
    fields: Row
    record: dict[str, Any]
    example: Example


@dataclass(frozen=True, kw_only=True)
class Rows:
    """What a source holds of one benchmark. notes: lines for the person; labels: what labelled texts are sorted into;
    left_out: rows that can not be used, with the reason, where that is allowed."""

    rows: tuple[BenchmarkRow, ...]
    notes: tuple[str, ...]
    labels: Labels | None = None
    left_out: tuple[str, ...] = ()

    def ids(self) -> list[str]:
        """What to call each row, never two alike: the id that its source gives it, else its place, else its number."""
        given = [(row.example.group.partition("=")[2], row.place) for row in self.rows]
        named = Counter(name for names in given for name in names)
        return [next((name for name in names if name and named[name] == 1), f"{Path(row.file).name}, item {number}")
                for number, (names, row) in enumerate(zip(given, self.rows, strict=True), 1)]


def read_rows(source: str, layout: str, config: EvaluateConfig, hub: Sequence[str] = (), hub_split: str = "",
              is_strict: bool = True) -> Rows:
    """The rows of a file, a folder or a hub's dataset, all of the layout of that name; source "": of hub, hub_split.

    Raises UserError if a source can not be read or has other columns; and, where is_strict, for a row that lacks
    something: a score over the rest would be one of another benchmark.
    """
    if not source and not hub:
        raise UserError(f"{config.benchmark} is not on the hub with its splits; name its file with --file.")
    found: list[BenchmarkRow] = []
    notes: list[str] = []
    wrong: list[str] = []
    surveys: list[labelled.Survey] = []
    reading_as = DataConfig(layout=layout or config.layout, columns=config.columns, sheet=config.sheet)
    for one in [source] if source else hub:
        asked = dataclasses.replace(reading_as, dataset_split=config.split or ("" if source else hub_split))
        tables, said = read_judged(one, asked, split_of_name(hub_split))
        notes += said
        for table in tables:
            reading = recognise(table, reading_as)
            survey, about = reading.survey()
            if isinstance(survey, labelled.Survey):
                survey = dataclasses.replace(survey, labels=_labels(survey.labels, config))
                surveys.append(survey)
            rows, bad = _rows(reading, survey)
            found, wrong, notes = found + rows, wrong + bad, [*notes, *about]
    if wrong and is_strict:
        more = f"; and {len(wrong) - SHOWN_ROWS} more" if len(wrong) > SHOWN_ROWS else ""
        raise UserError(f"{len(wrong)} of {len(wrong) + len(found)} rows lack what this benchmark needs: "
                        f"{'; '.join(wrong[:SHOWN_ROWS])}{more}. Mend these rows, or get the file again.")
    if not found:
        why = f" ({'; '.join(wrong[:SHOWN_ROWS])})" if wrong else ""
        raise UserError(f"{source or ', '.join(hub)} holds no rows to evaluate on{why}.")
    return Rows(rows=tuple(found), notes=tuple(notes), labels=labelled.of_all(surveys) if surveys else None,
                left_out=tuple(wrong))


def _labels(found: Labels, config: EvaluateConfig) -> Labels:
    """What can be chosen from: what config names, else what the file has."""
    names = tuple(sorted({" ".join(name.casefold().split()) for name in config.labels}))
    return dataclasses.replace(found, names=names) if names else found


def read_judged(source: str, config: DataConfig, preferred: str = "") -> tuple[list[Table], tuple[str, ...]]:
    """The tables of a source, and notes: of the split asked for, else of the one to judge by, where it has several.

    Rows for training are never among them where a source has others; preferred: the benchmark's own split.
    """
    path, is_asked, split = runs.typed(source), bool(config.dataset_split), config.dataset_split
    if not split and path.is_dir():
        split = _wanted({part.split for part in contents(path).parts}, preferred)
    if split or not is_hub(source):
        tables = read_tables(source, dataclasses.replace(config, dataset_split=split))
    else:
        tables = read_hub(source, config)
    notes = tuple(note for table in tables for note in table.notes)
    splits = {record.split or table.split for table in tables for record in table.records}
    wanted = _wanted(splits, preferred)
    if split or not wanted or splits == {wanted}:
        trains = {Path(t.file).name for t in tables if split_of_name(Path(t.file).stem) == TRAIN and not is_asked}
        return tables, (*notes, *(f"By its name, {name} is for training; a model may have seen it."
                                  for name in sorted(trains)))
    kept = [dataclasses.replace(table, records=tuple(
        record for record in table.records if (record.split or table.split) == wanted)) for table in tables]
    others = ", ".join(sorted(one or "no split" for one in splits - {wanted}))
    return [table for table in kept if table.records], (*notes, f"Of the splits only {wanted} is read (not {others}).")


def _wanted(splits: Collection[str], preferred: str) -> str:
    """The split to judge by; "" where there is none."""
    return next((one for one in (preferred, TEST, VALIDATION) if one and one in splits), "")


def _rows(reading: Reading, survey: Any) -> tuple[list[BenchmarkRow], list[str]]:
    rows, wrong = [], [f"{Path(row.file).name}, line {row.line}: {row.reason}" for row in reading.table.unusable]
    for record in reading.table.records:
        file = record.file or reading.table.file
        place = f"{Path(file).name}, line {record.line}"
        try:
            fields = reading.row(record)
            made = reading.layout.build(fields, survey)
        except RowError as error:
            wrong.append(f"{place}{_called(reading, record)}: {error}")
            continue
        made["group"] = case_id(_id_column(reading), made.get("group", ""))
        rows.append(BenchmarkRow(place=place, file=file, layout=reading.layout, fields=fields, record=record.fields,
                                 example=Example(file=file, line=record.line, **made)))
    return rows, wrong


def _id_column(reading: Reading) -> str:
    return reading.columns.get("group_id", reading.columns.get("doc", ""))


def _called(reading: Reading, record: Record) -> str:
    """" (its id)", where the row has one: a file that is one object has no useful lines."""
    value = record.fields.get(_id_column(reading))
    return f" ({str(value)[:40]})" if isinstance(value, str | int) and str(value).strip() else ""


def digest(examples: Sequence[Any]) -> str:
    """The sha256 of dataclasses or JSON values in their order: what two evaluations of the same items share."""
    found = hashlib.sha256()
    for one in examples:
        value = dataclasses.asdict(one) if dataclasses.is_dataclass(one) and not isinstance(one, type) else one
        found.update(json.dumps(value, sort_keys=True, ensure_ascii=True, default=str).encode() + b"\n")
    return found.hexdigest()
