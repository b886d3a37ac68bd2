import csv
import hashlib
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from corpus.config import DataConfig
from corpus.read import fingerprint, read_table, read_tables
from models import runs
from models.errors import UserError

ROWS = [{"question": "What is \"pruritus\"?", "answer": "Itching,\nin one word; 100% of it."},
        {"question": "Où ?", "answer": "Là.\tOui."}]


def as_csv(separator: str) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, ["question", "answer"], delimiter=separator)
    writer.writeheader()
    writer.writerows(ROWS)
    return out.getvalue()


@pytest.mark.parametrize("name, content, lines", [
    ("a.csv", as_csv(","), [2, 4]),
    ("b.csv", as_csv(";"), [2, 4]),
    ("c.tsv", as_csv("\t"), [2, 4]),
    ("d.txt", "\n" + as_csv(","), [3, 5]),
    ("e.csv", as_csv(",") + "\n,\n", [2, 4]),
    ("f.jsonl", "\n".join(map(json.dumps, ROWS)), [1, 2]),
    ("g.json", json.dumps(ROWS, indent=1), [2, 6]),
    ("h.json", "\n".join(map(json.dumps, ROWS)), [1, 2]),
    ("blank.csv", "  \n ,\n" + as_csv(","), [4, 6]),
    ("wide.csv", as_csv(",").replace("\r\n", ",,\r\n") + ",,,\r\n", [2, 4]),
    ("typed.csv", as_csv(",").replace(",\"", ", \"").replace(",L", ", L"), [2, 4]),
])
def test_every_format_gives_the_same_rows_and_their_lines(tmp_path: Path, name: str, content: str, lines: list[int]):
    path = tmp_path / name
    path.write_text(content, encoding="utf-8", newline="")
    table = read_table(path)
    assert [record.fields for record in table.records] == ROWS
    assert [record.line for record in table.records] == lines
    assert table.columns == ("question", "answer")
    assert not table.unusable and not table.notes


@pytest.mark.parametrize("name, content, words", [
    ("empty.csv", b"", "is empty"),
    ("blank.csv", b"\n \n", "is empty"),
    ("mark.csv", b"\xef\xbb\xbf", "is empty"),
    ("old.xls", b"\xd0\xcf\x11\xe0\xa1\xb1", "is an old Excel file (.xls) or one with a password; save it"),
    ("zip.xlsx", b"PK\x03\x04 and no more", "can not be read as an Excel workbook"),
    ("a.csv.gz", b"\x1f\x8b\x08", "is compressed (gzip); unpack it first"),
    ("a.pdf", b"%PDF-1.7", "is a PDF; save its table as CSV or XLSX"),
    ("page.csv", b"<!DOCTYPE html>\n<html>", "is a web page; download the file itself"),
    ("large.csv", b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer; download the file itself"),
    ("model.csv", b"GGUF\x03\0\0\0", "is a model (GGUF), no data"),
    ("text.json", b"question\n", "is not JSON: it starts with 'question'"),
])
def test_what_is_no_table_gets_one_clear_line(tmp_path: Path, name: str, content: bytes, words: str):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError) as error:
        read_table(path)
    assert words in str(error.value) and name in str(error.value) and "\n" not in str(error.value)


def test_missing_files_and_folders_are_named(tmp_path: Path):
    with pytest.raises(UserError, match=r"data file .*none\.csv does not exist"):
        read_tables(str(tmp_path / "none.csv"), DataConfig())
    with pytest.raises(UserError, match="is a folder; give the data file in it"):
        read_table(tmp_path)


def test_a_dialogue_that_begins_with_a_bracket_is_no_json(tmp_path: Path):
    (tmp_path / "a.txt").write_text("[doctor] note;[patient] note\nhi;ho\n", encoding="utf-8")
    assert read_table(tmp_path / "a.txt").columns == ("[doctor] note", "[patient] note")


def test_a_fingerprint_is_of_the_bytes_and_the_names(tmp_path: Path):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "a.csv").write_bytes(b"q,a\n1,2\n")
    (folder / "LICENSE").write_bytes(b"free")
    config = DataConfig()
    of_file, of_folder = fingerprint(str(folder / "a.csv"), config), fingerprint(str(folder), config)
    assert of_file == hashlib.sha256(b"q,a\n1,2\n").hexdigest() != of_folder
    (folder / "LICENSE").write_bytes(b"paid")
    assert fingerprint(str(folder), config) == of_folder
    (folder / "a.csv").rename(folder / "b.csv")
    assert fingerprint(str(folder / "b.csv"), config) == of_file
    assert fingerprint(str(folder), config) != of_folder
    (folder / "b.csv").write_bytes(b"q,a\n1,3\n")
    assert fingerprint(str(folder / "b.csv"), config) != of_file
    with pytest.raises(UserError, match="does not exist"):
        fingerprint(str(folder / "c.csv"), config)


def test_reading_a_csv_loads_nothing_heavy(tmp_path: Path):
    (tmp_path / "a.csv").write_text("q,a\n1,2\n", encoding="utf-8")
    code = ("import sys; from pathlib import Path; from corpus.read import read_table; "
            "read_table(Path(sys.argv[1])); "
            "print({'pyarrow', 'openpyxl', 'datasets', 'defusedxml', 'charset_normalizer'} & set(sys.modules))")
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.csv")],
                          cwd=runs.ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


ROWS_OF = {"aci-bench": [67, 20], "chatdoctor": [5452, 796], "mcq": [300, 150, 135, 100],
           "mts-dialog": [200, 1201, 100], "medical-abstracts-tc": [5, 2022], "medlit-challenge": [2850],
           "medquad": [9000, 0, 45], "pubmedqa": [500]}


@pytest.mark.parametrize("name", ROWS_OF)
def test_the_real_data_is_read_without_a_hint(shared_data: Path, name: str):
    tables = read_tables(str(shared_data / name), DataConfig())
    assert [len(table.records) for table in tables] == ROWS_OF[name]
    assert sum(len(table.unusable) for table in tables) == (6 if name == "medquad" else 0)
    splits = {Path(table.file).name: table.split for table in tables}
    if name == "mts-dialog":
        assert splits == {"test1.csv": "test", "train.csv": "train", "validation.csv": "validation"}
    if name == "aci-bench":
        assert splits == {"train.csv": "train", "valid.csv": "validation"}
    assert [table.has_header for table in tables] == [name != "mcq" or k < 2 for k in range(len(tables))]


def test_a_split_asked_of_one_file_is_that_of_its_rows(tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_text("question,answer,split\nq1,a,train\nq2,a,val\n", encoding="utf-8")
    [table] = read_tables(str(path), DataConfig(dataset_split="validation"))
    assert [(record.fields["question"], record.split) for record in table.records] == [("q2", "")]
    with pytest.raises(UserError, match=r"a\.csv has no split 'test'; its rows are of train, validation"):
        read_tables(str(path), DataConfig(dataset_split="test"))
    path.write_text("question,answer\nq1,a\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"has no split 'train'; its rows are of none \(no column named split\)"):
        read_tables(str(path), DataConfig(dataset_split="train"))
    assert len(read_tables(str(path), DataConfig(dataset_split="train"), is_lenient=True)[0].records) == 1
