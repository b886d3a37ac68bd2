"""A task over an uploaded file, for a page: a look at its rows, the job over it, what has come, the file it wrote."""

import csv
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from corpus.config import DataConfig
from corpus.layouts import labelled, note
from corpus.layouts.columns import LEFT_OUT
from corpus.layouts.layout import Layout
from corpus.read import read_table
from evaluation.batch.config import BatchConfig, from_json
from evaluation.batch.output import DONE
from evaluation.batch.rows import read_rows
from models import runs
from models.errors import UserError
from ui.actions import uploads
from ui.actions.model import CurrentModel
from ui.job_list import JobList, JobView

MODULE = "evaluation.batch.worker"
SHOWN_ROWS, CELL_CHARS = 20, 240
LOOK_MB = 20                        # of a file whose first rows are read in this process
ENDINGS = ("", ".csv", ".xlsx", ".json", ".jsonl", ".parquet")         # of the file to write; "": as the one read
WORDS_MB = 600.0                    # that a job without a language model takes
LAYOUTS: Mapping[str, Layout] = {"summarise": note.DIALOGUE, "classify": labelled.LABELLED}
TEXT, GOLD = {"summarise": "dialogue", "classify": "abstract"}, {"summarise": "section_text", "classify": "group"}


@dataclass(frozen=True, kw_only=True)
class Look:
    """What an uploaded file holds. rows: the first ones; used: {field of the layout: column}; problem: why its columns
    could not be recognised, "" if they were."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    used: Mapping[str, str]
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is to be done. config: its file is set when it starts; files: {field of config: another uploaded file};
    tables: {field of config: rows of a table to write for it}."""

    config: BatchConfig
    files: Mapping[str, str] = field(default_factory=dict)
    tables: Mapping[str, Sequence[Sequence[str]]] = field(default_factory=dict)
    needs_model: bool = True


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A job over a file as it is now. texts: the beginning of what was read of the first rows; rows: what became of
    them, by column; notes: what it said; result: result.json, {} while there is none."""

    view: JobView
    texts: tuple[str, ...]
    rows: tuple[Mapping[str, Any], ...]
    notes: tuple[str, ...]
    result: Mapping[str, Any]


def look(upload: str, task: str) -> Look:
    """What is in an uploaded file, before anything is done with it. Raises UserError if it is no table."""
    path, layout = checked_table(upload), LAYOUTS[task]
    name = uploads.told_name(upload)
    if path.stat().st_size > LOOK_MB * 1e6:
        return Look(name=name, columns=(), rows=(), used={},
                    problem="The file is large, so its rows are looked at only when it is done.")
    try:
        table = read_table(path, DataConfig(limit_rows=SHOWN_ROWS))
    except UserError as error:
        raise UserError(str(error).replace(str(path), name)) from error
    rows = tuple(tuple(_short(record.fields.get(column)) for column in table.columns) for record in table.records)
    try:
        used, problem = read_rows(BatchConfig(file=str(path)), (layout,), SHOWN_ROWS).columns, ""
    except UserError:
        used, problem = {}, "Which column is read could not be told from the names; choose it below."
    return Look(name=name, columns=table.columns, rows=rows, used=used, problem=problem)


def columns_by_hand(look: Look, task: str, text: str, gold: str) -> tuple[str, ...]:
    """The columns that the person chose, where they differ from what was recognised. gold: "" = none."""
    wanted = {TEXT[task]: text, GOLD[task]: gold}
    return tuple(f"{name}={column or LEFT_OUT}" for name, column in wanted.items()
                 if column != look.used.get(name, "") and (column or name in look.used))


def chosen(model: CurrentModel) -> str:
    """The file of the model that is chosen. Raises UserError if there is none."""
    path = model.state.chosen
    if path is None:
        raise UserError("No model is chosen yet; choose one in the list at the top.")
    return str(path)


def start(jobs: JobList, wanted: Wanted, upload: str, ending: str) -> str:
    """Start the job over an uploaded file and return its name. ending: of the file to write, one of ENDINGS.

    The uploads move into the run's folder. Raises UserError for what does not fit, most of it before anything moves.
    """
    task, name = str(vars(wanted.config)["task"]), uploads.told_name(upload)
    if ending not in ENDINGS:
        raise UserError(f"The file to write is to end in {ending!r}; use one of {', '.join(ENDINGS[1:])}.")
    for one in (upload, *wanted.files.values()):
        checked_table(one)
    folder = runs.new_run(task)
    try:
        out = folder / f"{Path(name).stem}-{DONE[task]}{ending or Path(name).suffix.lower()}"
        places: dict[str, Any] = {"file": str(uploads.taken(upload, folder, "rows")), "out": str(out)}
        for field_name, one in wanted.files.items():        # equal files lie at one place
            places[field_name] = places["file"] if one == upload else str(uploads.taken(one, folder, field_name))
        for field_name, rows in wanted.tables.items():
            places[field_name] = str(_written(folder / f"{field_name}.csv", rows))
        title = ", with ".join([name, *map(uploads.told_name, wanted.files.values())])
        jobs.submit(MODULE, replace(wanted.config, **places), kind=task, title=title, name=task, at=str(folder),
                    memory_mb=None if wanted.needs_model else WORDS_MB)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder.name


def checked_table(upload: str) -> Path:
    """An uploaded file that can be a table. Raises UserError if it can not."""
    path = uploads.placed(upload)
    if path.suffix.lower() not in uploads.TABLES:
        raise UserError(f"{uploads.told_name(upload)} is no table that can be read here; use one of "
                        f"{', '.join(uploads.TABLES)}.")
    return path


def _written(path: Path, rows: Sequence[Sequence[str]]) -> Path:
    with runs.whole_file(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def seen(jobs: JobList, name: str) -> Seen:
    """The job called name as it is now. Raises UserError if there is none."""
    view = jobs.view(name)
    config = from_json(runs.read_json(view.folder / runs.CONFIG))
    events, _ = jobs.events(view.folder)
    result = runs.read_json(view.folder / runs.RESULT) if (view.folder / runs.RESULT).is_file() else {}
    return Seen(view=view, texts=_texts(config), rows=_first_rows(view.folder / runs.ROWS), result=result,
                notes=tuple(dict.fromkeys(event["text"] for event in events if event["kind"] == "note")))


def version(jobs: JobList, name: str) -> str:
    """Changes whenever seen(jobs, name) does."""
    view = jobs.view(name)
    sizes = [path.stat().st_size if (path := view.folder / file).is_file() else 0
             for file in (runs.EVENTS, runs.ROWS, runs.RESULT)]
    return f"{view!r}{sizes}"


def written(found: Seen) -> Path | None:
    """The file that the job wrote, as a copy that the page may hand out; None as long as there is none."""
    out = Path(found.result["out"]) if found.result else None
    if out is None or not out.is_file() or out.parent != found.view.folder:
        return None
    return uploads.offered(out, out.name)


def _first_rows(path: Path) -> tuple[Mapping[str, Any], ...]:
    """The first rows of a journal, as many as are shown; a line that is still being written is left out."""
    found: list[Mapping[str, Any]] = []
    if not path.is_file():
        return ()
    with path.open("rb") as file:
        for line in file:
            if len(found) >= SHOWN_ROWS or not line.endswith(b"\n"):
                break
            found += json.loads(line)["rows"]
    return tuple(found[:SHOWN_ROWS])


def _texts(config: BatchConfig) -> tuple[str, ...]:
    path = Path(config.file)
    if not path.is_file() or path.stat().st_size > LOOK_MB * 1e6:
        return ()
    return _texts_of(config, path.stat().st_mtime_ns)


@lru_cache(maxsize=8)
def _texts_of(config: BatchConfig, changed: int) -> tuple[str, ...]:
    """The beginnings of the first rows' texts; () for a file that can not be read, which the job says itself."""
    task = str(vars(config)["task"])
    try:
        rows = read_rows(config, (LAYOUTS[task],), SHOWN_ROWS)
    except UserError:
        return ()
    return tuple(_short(item.fields.get(TEXT[task])) for item in rows.items)


def _short(value: Any) -> str:
    text = "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False,
                                                                                     default=str)
    text = " ".join(text[:CELL_CHARS * 4].split())
    return text if len(text) <= CELL_CHARS else text[:CELL_CHARS - 1] + "…"


def earlier(jobs: JobList, task: str) -> Sequence[JobView]:
    """The jobs of a task, the newest first."""
    return [view for view in jobs.all() if view.kind == task]
