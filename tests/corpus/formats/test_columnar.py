import datetime
import math
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from corpus.config import DataConfig
from corpus.read import read_table, read_tables
from models.errors import UserError

ROWS = [{"question": f"q{k}", "answer": None if k == 1 else "a", "group": k % 2, "score": math.nan if k else 0.5,
         "messages": [{"role": "user", "content": "x"}], "day": datetime.date(2020, 1, 1)} for k in range(5)]
READ = {"question": "q1", "answer": None, "group": "yes", "score": None, "messages": [{"role": "user", "content": "x"}],
        "day": datetime.date(2020, 1, 1)}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders and files as `datasets` writes them, and the same rows as Arrow with an index."""
    import datasets
    datasets.disable_progress_bars()
    folder = tmp_path_factory.mktemp("saved")
    rows = datasets.Dataset.from_list(ROWS).cast_column("group", datasets.ClassLabel(names=["no", "yes"]))
    rows.save_to_disk(folder / "one", num_shards=2)
    datasets.DatasetDict({"train_sft": rows, "test": rows.select([4, 1]), "odd": rows.select([0])}
                         ).save_to_disk(folder / "splits")
    rows.to_parquet(folder / "a.parquet")
    table = rows.data.table
    with pyarrow.OSFile(str(folder / "a.arrow"), "wb") as file, pyarrow.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    return folder


@pytest.mark.parametrize("name", ["one", "a.parquet", "a.arrow", "one/data-00000-of-00002.arrow"])
def test_rows_come_back_with_the_names_of_classes(saved: Path, name: str):
    table = read_tables(str(saved / name), DataConfig())[0]
    assert table.records[1].fields == READ and table.records[1].line == 2
    assert len(table.records) == (3 if "data-" in name else 5) and table.columns == tuple(ROWS[0])
    assert not table.split and table.file == str(saved / name)


def test_splits_of_a_saved_dataset_are_official(saved: Path):
    tables = read_tables(str(saved / "splits"), DataConfig())
    assert [(table.split, len(table.records)) for table in tables] == [("train", 5), ("test", 2), ("", 1)]
    assert tables[1].records[0].fields["question"] == "q4"


@pytest.mark.parametrize("asked, rows", [("test", 2), ("train", 5), ("train_sft", 5), ("odd", 1)])
def test_a_split_that_was_asked_for_is_the_data(saved: Path, asked: str, rows: int):
    tables = read_tables(str(saved / "splits"), DataConfig(dataset_split=asked))
    assert [(table.split, len(table.records)) for table in tables] == [("", rows)]


def test_a_split_that_is_not_there_is_named(saved: Path):
    with pytest.raises(UserError, match=r"splits has no split 'validation'; there are test, train\."):
        read_tables(str(saved / "splits"), DataConfig(dataset_split="validation"))


@pytest.mark.parametrize("name", ["one", "a.parquet", "a.arrow"])
def test_a_limit_ends_the_reading(saved: Path, name: str):
    table = read_tables(str(saved / name), DataConfig(limit_rows=4))[0]
    assert len(table.records) == 4 and table.notes == (f"Of {name} only the first 4 rows were read.",)


def test_a_damaged_file_gets_one_clear_line(saved: Path, tmp_path: Path):
    (tmp_path / "cut.parquet").write_bytes((saved / "a.parquet").read_bytes()[:300])
    (tmp_path / "cut.arrow").write_bytes((saved / "a.arrow").read_bytes()[:300])
    (tmp_path / "text.arrow").write_bytes(b"question,answer\n")
    for name in ("cut.parquet", "cut.arrow", "text.arrow"):
        with pytest.raises(UserError, match=rf"{name} can not be read \(.*\); is the file complete\?$"):
            read_table(tmp_path / name)
    empty = pyarrow.table({"question": pyarrow.array([], pyarrow.string())})
    pyarrow.parquet.write_table(empty, tmp_path / "empty.parquet")
    with pytest.raises(UserError, match=r"holds no row below its column names \(question\)"):
        read_table(tmp_path / "empty.parquet")


def test_a_missing_part_of_a_saved_dataset_is_named(saved: Path, tmp_path: Path):
    import shutil
    shutil.copytree(saved / "one", tmp_path / "one")
    (tmp_path / "one" / "data-00001-of-00002.arrow").unlink()
    with pytest.raises(UserError, match=r"data-00001-of-00002\.arrow is missing; copy the whole dataset folder"):
        read_tables(str(tmp_path / "one"), DataConfig())


def test_text_that_was_written_as_bytes_is_text(tmp_path: Path):
    rows = {"question": [b"q", "é".encode()], "picture": [b"\xff\xd8\xff", None]}
    pyarrow.parquet.write_table(pyarrow.table(rows), tmp_path / "a.parquet")
    assert [record.fields for record in read_table(tmp_path / "a.parquet").records] == [
        {"question": "q", "picture": b"\xff\xd8\xff"}, {"question": "é", "picture": None}]
