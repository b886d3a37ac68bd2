from pathlib import Path

import pytest

from corpus import folder as folders
from corpus.config import DataConfig
from corpus.read import read_tables
from models.errors import UserError

CSV = "q,a\n1,2\n"


def filled(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("[]" if name.endswith("info.json") else CSV, encoding="utf-8")
    return folder


def splits_of(folder: Path, **config: str) -> dict[str, str]:
    return {Path(table.file).relative_to(folder).as_posix(): table.split
            for table in read_tables(str(folder), DataConfig(**config))}


def test_names_of_files_and_folders_assign_splits(tmp_path: Path):
    filled(tmp_path, "a_train.csv", "dev.csv", "test1.csv", "labels.csv", "more/test/part-1.csv", "train/x.csv")
    assert splits_of(tmp_path) == {"a_train.csv": "train", "dev.csv": "validation", "test1.csv": "test",
                                   "labels.csv": "", "more/test/part-1.csv": "test", "train/x.csv": "train"}


def test_the_name_of_the_folder_itself_is_no_split(tmp_path: Path):
    assert splits_of(filled(tmp_path / "test", "a.csv", "train.csv")) == {"a.csv": "", "train.csv": "train"}


def test_without_a_training_part_names_are_no_splits(tmp_path: Path):
    tables = read_tables(str(filled(tmp_path, "anatomy_test.csv", "genetics_test.csv")), DataConfig())
    assert [table.split for table in tables] == ["", ""]
    assert "no part is named train, so test, test count as no split" in tables[0].notes[0]


def test_a_single_file_has_no_split_by_its_name(tmp_path: Path):
    filled(tmp_path, "train.csv", "test.csv")
    assert read_tables(str(tmp_path / "test.csv"), DataConfig())[0].split == ""


def test_one_split_can_be_asked_for(tmp_path: Path):
    filled(tmp_path, "train.csv", "val.csv", "val_2.csv")
    assert splits_of(tmp_path, dataset_split="validation") == {"val.csv": "", "val_2.csv": ""}
    with pytest.raises(UserError, match=r"has no split 'test'; there are train, validation\."):
        splits_of(tmp_path, dataset_split="test")


def test_what_is_no_table_is_left_aside_and_named(tmp_path: Path):
    filled(tmp_path, "a.csv", "README.md", "LICENSE.txt", ".hidden.csv", "~$a.csv", ".git/b.csv", "dataset_info.json",
           "notes.txt", "scan.pdf")
    tables = read_tables(str(tmp_path), DataConfig())
    assert [Path(table.file).name for table in tables] == ["a.csv"]
    assert tables[0].notes == (f"{tmp_path}: notes.txt, scan.pdf were not read.",)


def test_a_broken_file_among_others_is_an_error(tmp_path: Path):
    filled(tmp_path, "a.csv")
    (tmp_path / "b.json").write_text('[{"q": 1}, ', encoding="utf-8")
    with pytest.raises(UserError, match=r"b\.json is not JSON"):
        read_tables(str(tmp_path), DataConfig())


def test_nothing_and_too_much_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(UserError, match=r"holds no data file \(\.arrow, \.csv"):
        read_tables(str(filled(tmp_path / "none", "README.md")), DataConfig())
    monkeypatch.setattr(folders, "MAX_FILES", 2)
    with pytest.raises(UserError, match="holds more than 2 files; give the folder of the data only"):
        read_tables(str(filled(tmp_path / "many", "a.csv", "b/c.csv", "d.csv")), DataConfig())
