"""The file that is written: in its own kind, nothing of a row changed, the same bytes for the same rows."""

import csv
import io
import json
import time
from dataclasses import replace

import openpyxl
import pyarrow
import pyarrow.parquet
import pytest

from corpus.read import read_table
from evaluation.batch import output
from evaluation.batch.config import ClassifyConfig
from evaluation.batch.output import Form
from models.errors import UserError

ROWS = [{"id": "007", "text": 'He said "no";\nthen, left.', "n": 3, "p": 0.25, "many": ["a", "b"], "no": None},
        {"id": "8", "text": "=1+1", "n": -4, "p": 1.0, "many": [], "no": None},
        {"id": "1e5", "text": "\u00e4\u2192\U0001f600 \x02", "n": 0, "p": 0.1234567, "many": ["c"], "no": None}]
COLUMNS = list(ROWS[0])


@pytest.mark.parametrize("kind", list(output.WRITERS))
def test_the_same_rows_make_the_same_bytes_at_another_time(tmp_path, kind):
    for name in ("one", "two"):
        output.write(tmp_path / name, Form(kind=kind), COLUMNS, ROWS)
        time.sleep(2.1 if kind == "xlsx" and name == "one" else 0)      # a zip file knows seconds, two at a time
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


@pytest.mark.parametrize(("kind", "suffix"), [("csv", ".csv"), ("json", ".json"), ("jsonl", ".jsonl"),
                                              ("parquet", ".parquet"), ("xlsx", ".xlsx")])
def test_what_is_written_is_read_back(tmp_path, kind, suffix):
    path = tmp_path / f"rows{suffix}"
    output.write(path, Form(kind=kind), COLUMNS, ROWS)
    found = [record.fields for record in read_table(path).records]
    assert [str(row["id"]) for row in found] == ["007", "8", "1e5"]
    expected = [row["text"] for row in ROWS[:2]]
    assert [row["text"] for row in found][:2] == expected
    assert [float(row["p"]) for row in found] == [0.25, 1.0, 0.1234567]
    if kind in ("json", "jsonl", "parquet"):
        assert found[0]["many"] == ["a", "b"] and found[0]["n"] == 3


def test_a_text_is_no_formula_and_a_number_is_a_number(tmp_path):
    output.write(tmp_path / "rows.xlsx", Form(kind="xlsx"), COLUMNS, ROWS)
    sheet = openpyxl.load_workbook(tmp_path / "rows.xlsx").active
    assert (sheet["B3"].value, sheet["B3"].data_type) == ("=1+1", "s")
    assert (sheet["C2"].value, sheet["D2"].value, sheet["A2"].value, sheet["A3"].value) == (3, 0.25, "007", 8)
    assert sheet["A4"].value == "1e5" and sheet["B4"].value.endswith("\ufffd")


@pytest.mark.parametrize("text", ["1.50", "12.0", "-0", "-0.0", "007", "123456789012", "1e5", "1.", ".5"])
def test_what_excel_would_show_otherwise_stays_a_text(tmp_path, text):
    output.write(tmp_path / "rows.xlsx", Form(kind="xlsx"), ["n"],
                 [{"n": text}, {"n": "0.25"}, {"n": "-1234567890"}])
    sheet = openpyxl.load_workbook(tmp_path / "rows.xlsx").active
    assert [sheet[f"A{row}"].value for row in (2, 3, 4)] == [text, 0.25, -1234567890]


@pytest.mark.parametrize("name", ["train", "descriptions"])
@pytest.mark.parametrize("out", ["other.csv", "link.csv", ""])
def test_no_file_of_the_task_is_written_over(tmp_path, name, out):
    """Not by its name, by a link to it, or because the file beside the one that is read happens to be it."""
    for one in ("in.csv", "other.csv", "in-classified.csv"):
        (tmp_path / one).write_text("text,label\nheart,a\n")
    (tmp_path / "link.csv").hardlink_to(tmp_path / "other.csv")
    given = {name: str(tmp_path / ("other.csv" if out else "in-classified.csv"))}
    config = ClassifyConfig(file=str(tmp_path / "in.csv"), out=str(tmp_path / out) if out else "", **given)
    with pytest.raises(UserError, match="would be written over the file that is read"):
        output.out_path(config)
    assert output.out_path(replace(config, out=str(tmp_path / "new.csv"))) == tmp_path / "new.csv"


def read_as(tmp_path, data, out="out.csv", name="in.csv"):
    (tmp_path / name).write_bytes(data)
    return output.form_of(tmp_path / out, tmp_path / name)


@pytest.mark.parametrize(("data", "separator", "has_mark"), [
    (b"a,b\n1,2\n", ",", False), (b"\xef\xbb\xbfa;b\n1;2,3\n", ";", True), (b"a\tb\n1\t2\n", "\t", False),
    (b"a|b\n1|2\n", "|", False), (b"sep=;\r\na;b\r\n1;2\r\n", ";", False),
    ("a;b\n1;2\n".encode("utf-16"), ";", True), (b'"a, first";b\n1;2\n', ";", False)])
def test_a_csv_keeps_its_separator_and_its_mark(tmp_path, data, separator, has_mark):
    form = read_as(tmp_path, data)
    assert form == Form(kind="csv", separator=separator, has_mark=has_mark)
    output.write(tmp_path / "out.csv", form, ["a", "b"], [{"a": "x;y", "b": "\u00e4"}])
    text = (tmp_path / "out.csv").read_bytes().decode("utf-8-sig")
    assert list(csv.reader(io.StringIO(text), delimiter=separator)) == [["a", "b"], ["x;y", "\u00e4"]]
    assert (tmp_path / "out.csv").read_bytes().startswith(b"\xef\xbb\xbf") is has_mark


@pytest.mark.parametrize(("name", "out", "kind"), [
    ("in.csv", "out", "csv"), ("in.jsonl", "out", "jsonl"), ("in.json", "out", "json"), ("in.jsonl", "out.csv", "csv"),
    ("in.csv", "out.JSONL", "jsonl"), ("in.csv", "out.tsv", "csv"), ("in.txt", "out", "csv")])
def test_the_kind_is_that_of_the_ending_else_that_of_the_file(tmp_path, name, out, kind):
    data = json.dumps([{"a": 1}]).encode() if "json" in name else b"a,b\n1,2\n"
    form = read_as(tmp_path, data, out, name)
    assert form.kind == kind and form.separator == ("\t" if out.endswith(".tsv") else ",")


def test_a_workbook_and_parquet_are_known_by_what_they_hold(tmp_path):
    output.write(tmp_path / "odd.txt", Form(kind="xlsx"), ["a"], [{"a": "x"}])
    assert output.form_of(tmp_path / "out", tmp_path / "odd.txt").kind == "xlsx"
    pyarrow.parquet.write_table(pyarrow.table({"a": [1]}), tmp_path / "odd.dat")
    assert output.form_of(tmp_path / "out", tmp_path / "odd.dat").kind == "parquet"


def test_what_a_sheet_can_not_hold_is_refused_before_anything_is_computed():
    rows = [{"a": "x"}, {"a": "y" * 50_000}]
    output.check(Form(kind="csv"), ["a"], rows)
    with pytest.raises(UserError, match="Row 2 has 50,000 characters in 'a', and a cell of Excel holds 32,767; name"):
        output.check(Form(kind="xlsx"), ["a"], rows)
    with pytest.raises(UserError, match="holds 1,048,576 rows, and these are 1,048,576"):
        output.check(Form(kind="xlsx"), ["a"], [{"a": ""}] * 1_048_576)


def test_columns_of_several_kinds_become_text_in_parquet(tmp_path):
    output.write(tmp_path / "rows.parquet", Form(kind="parquet"), ["a", "b"], [{"a": 1, "b": None}, {"a": "x"}])
    assert pyarrow.parquet.read_table(tmp_path / "rows.parquet").to_pydict() == {"a": ["1", "x"], "b": [None, None]}
