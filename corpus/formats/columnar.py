"""The rows of a Parquet or Arrow file, and of a folder that `datasets` saved; numbers of classes by their names."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from corpus.config import DataConfig
from corpus.table import Rows, Table, split_of_name
from models import runs
from models.errors import UserError

ROWS_AT_ONCE = 1000
PARQUET_MAGIC, ARROW_MAGIC = b"PAR1", b"ARROW1"
SAVED, SAVED_SPLITS = ("state.json", "dataset_info.json"), "dataset_dict.json"     # in a folder that `datasets` wrote


def read_parquet(path: Path, config: DataConfig, file: str = "") -> Table:
    """The table of a Parquet file, called file in messages. Raises UserError if it is damaged."""
    import pyarrow.parquet
    rows = Rows(file or str(path), config.limit_rows)
    with _readable(path):
        parquet = pyarrow.parquet.ParquetFile(path)
        _take(rows, parquet.schema_arrow, parquet.iter_batches(batch_size=ROWS_AT_ONCE))
        columns = tuple(parquet.schema_arrow.names)
    return rows.table(columns)


def read_arrow(paths: list[Path], file: str, config: DataConfig) -> Table:
    """The table of one or several Arrow files with the same columns, called file in messages."""
    rows = Rows(file, config.limit_rows)
    columns: tuple[str, ...] = ()
    for path in paths:
        with _readable(path), _batches(path) as reader:
            columns = tuple(reader.schema.names)
            _take(rows, reader.schema, _each(reader))
    return rows.table(columns)


def is_saved_dataset(folder: Path) -> bool:
    """True if `datasets` wrote the folder (save_to_disk)."""
    return (folder / SAVED_SPLITS).is_file() or all((folder / name).is_file() for name in SAVED)


def read_saved(folder: Path, config: DataConfig) -> list[Table]:
    """A table for each split of a folder that `datasets` wrote. Raises UserError if a file of it is missing."""
    if (folder / SAVED_SPLITS).is_file():
        names = runs.read_json(folder / SAVED_SPLITS).get("splits", [])
        return [replace(table, split=split_of_name(name))
                for name in names for table in read_saved(folder / name, config)]
    state = runs.read_json(folder / SAVED[0])
    paths = [folder / one["filename"] for one in state.get("_data_files", [])]
    for path in paths:
        if not path.is_file():
            raise UserError(f"{path} is missing; copy the whole dataset folder.")
    return [replace(read_arrow(paths, str(folder), config), split=split_of_name(state.get("_split") or ""))]


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    import pyarrow
    try:
        yield
    except (pyarrow.ArrowException, OSError) as error:
        what = str(error).split("\n")[0]
        raise UserError(f"{path} can not be read ({what}); is the file complete?") from error


@contextmanager
def _batches(path: Path) -> Iterator[Any]:
    """The reader of an Arrow file: as `datasets` writes it (a stream), or with an index at its end."""
    import pyarrow
    with pyarrow.memory_map(str(path)) as file:
        has_index = file.read(len(ARROW_MAGIC)) == ARROW_MAGIC
        file.seek(0)
        with (pyarrow.ipc.open_file if has_index else pyarrow.ipc.open_stream)(file) as reader:
            yield reader


def _each(reader: Any) -> Iterator[Any]:
    """The batches of either reader."""
    if hasattr(reader, "get_batch"):
        return (reader.get_batch(k) for k in range(reader.num_record_batches))
    return iter(reader)


def _take(rows: Rows, schema: Any, batches: Iterator[Any]) -> None:
    names = _class_names(schema)
    for batch in batches:
        for start in range(0, batch.num_rows, ROWS_AT_ONCE):
            for row in batch.slice(start, ROWS_AT_ONCE).to_pylist():
                if rows.is_full():
                    return
                rows.add(len(rows.records) + 1, {name: _value(value, names.get(name)) for name, value in row.items()})


def _class_names(schema: Any) -> dict[str, list[str]]:
    """{column: names of its classes} of columns that hold numbers of classes, as `datasets` notes them."""
    noted = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    features = noted.get("info", {}).get("features") or {}
    kinds = {name: kind.get("feature", kind) for name, kind in features.items() if isinstance(kind, Mapping)}
    return {name: [str(one) for one in kind["names"]] for name, kind in kinds.items()
            if isinstance(kind, Mapping) and kind.get("_type") == "ClassLabel"}


def _value(value: Any, names: list[str] | None) -> Any:
    if names and isinstance(value, list):
        return [_value(one, names) for one in value]
    if names and isinstance(value, int):
        return names[value] if 0 <= value < len(names) else None
    if isinstance(value, bytes):                # as some programs write text: without saying that it is
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return value
    return None if isinstance(value, float) and value != value else value       # NaN is no value
