import datetime
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import openpyxl
import pytest

from corpus.config import DataConfig
from corpus.read import read_table
from models.errors import UserError

ROWS = [["question", "answer"], ["q", "a"]]


def as_excel(path: Path, sheets: dict[str, list[list]]) -> Path:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


def test_excel_gives_text_and_row_numbers(tmp_path: Path):
    rows = [["question", "answer"], [], ["How many?", 12], [None, True]]
    as_excel(tmp_path / "a.xlsx", {"Rows": rows, "Empty": []}).rename(tmp_path / "a.table")
    table = read_table(tmp_path / "a.table")
    assert [(r.line, r.fields) for r in table.records] == [
        (3, {"question": "How many?", "answer": "12"}), (4, {"question": "", "answer": "True"})]


def test_line_ends_that_excel_wrote_as_codes_are_line_ends(tmp_path: Path):
    rows = [["question", "answer"], ["a_x000D_\nb", "_x005F_x000D_ and _x0009_."], ["half _xD83D_", 1.5]]
    assert [record.fields for record in read_table(as_excel(tmp_path / "a.xlsx", {"Rows": rows})).records] == [
        {"question": "a\nb", "answer": "_x000D_ and \t."}, {"question": "half \ufffd", "answer": "1.5"}]


def test_a_row_wider_than_the_header_is_left_out(tmp_path: Path):
    path = as_excel(tmp_path / "a.xlsx", {"Rows": [*ROWS, ["q", "a", None, "more"], ["q", "a", None]]})
    table = read_table(path)
    assert len(table.records) == 2
    assert [(row.line, row.reason) for row in table.unusable] == [(3, "it has 4 cells, the header has 2")]


def test_of_several_sheets_the_one_that_is_named_is_read(tmp_path: Path):
    sheets = {"Old": ROWS, "New": [*ROWS, ["r", "b"], ["s", "c"]], "Empty": []}
    path = as_excel(tmp_path / "two.xlsx", sheets)
    with pytest.raises(UserError, match=r"2 sheets that hold something \(Old, New\); name the one .* sheet=Old\.$"):
        read_table(path)
    assert len(read_table(path, DataConfig(sheet="new")).records) == 3
    assert len(read_table(path, DataConfig(sheet="New", limit_rows=3)).records) == 3
    limited = read_table(path, DataConfig(sheet="New", limit_rows=2))
    assert len(limited.records) == 2 and limited.notes == ("Of two.xlsx only the first 2 rows were read.",)
    with pytest.raises(UserError, match=r"two\.xlsx has no sheet 'Newer'; there are Old, New, Empty\."):
        read_table(path, DataConfig(sheet="Newer"))
    with pytest.raises(UserError, match=r"The sheet 'Empty' of .*two\.xlsx is empty"):
        read_table(path, DataConfig(sheet="Empty"))


def test_a_hidden_sheet_is_read_only_when_it_is_named(tmp_path: Path):
    path = as_excel(tmp_path / "a.xlsx", {"Rows": ROWS, "Lists": [["x", "y"], ["1", "2"]]})
    book = openpyxl.load_workbook(path)
    book["Lists"].sheet_state = "hidden"
    book.save(path)
    assert read_table(path).columns == ("question", "answer")
    assert read_table(path, DataConfig(sheet="Lists")).columns == ("x", "y")


def test_an_empty_workbook_says_so(tmp_path: Path):
    with pytest.raises(UserError, match="is empty"):
        read_table(as_excel(tmp_path / "none.xlsx", {"Sheet": []}))
    with pytest.raises(UserError, match="no row below its column names"):
        read_table(as_excel(tmp_path / "bare.xlsx", {"Sheet": ROWS[:1]}))


def with_part(change: Callable[[bytes], bytes], name: str = "xl/worksheets/sheet1.xml") -> Callable[[Path], None]:
    """What rewrites one part of a workbook."""
    def rewrite(path: Path) -> None:
        with zipfile.ZipFile(path) as book:
            parts = {part: book.read(part) for part in book.namelist()}
        with zipfile.ZipFile(path, "w") as book:
            for part, data in parts.items():
                book.writestr(part, change(data) if part == name else data)
    return rewrite


def add_empty_chart(path: Path) -> None:
    book = openpyxl.load_workbook(path)
    book.create_chartsheet()
    book.save(path)


def spoil_compressed(path: Path) -> None:
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as book:
        at = book.getinfo("xl/worksheets/sheet1.xml").header_offset
    data[at + 70:at + 100] = bytes(30)
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [
    with_part(lambda data: data[:200]), with_part(lambda data: b""), with_part(lambda data: b"", "xl/styles.xml"),
    with_part(lambda data: b"<Types/>", "[Content_Types].xml"),                        # as of a renamed .docx
    with_part(lambda data: data.replace(b"summaryBelow", b"summaryAbove")),
    add_empty_chart, spoil_compressed,
], ids=["cut", "empty", "no styles", "a Word file", "unknown attribute", "empty chart", "spoilt"])
def test_a_damaged_workbook_gets_one_clear_line(tmp_path: Path, damage: Callable[[Path], None]):
    path = as_excel(tmp_path / "a.xlsx", {"Rows": ROWS})
    damage(path)
    with pytest.raises(UserError, match=r"a\.xlsx can not be read as an Excel workbook .*or its table as CSV\.$"):
        read_table(path)


def test_a_cell_merged_over_rows_is_that_of_each_of_them(tmp_path: Path):
    path = as_excel(tmp_path / "a.xlsx", {"Rows": [["patient_id", "question", "answer"], ["P1", "q1", "a"],
                                                   [None, "q2", "b"], [None, None, None], ["P2", "q3", "c"]]})
    book = openpyxl.load_workbook(path)
    book["Rows"].merge_cells("A2:A4")
    book.save(path)
    assert [(r.line, r.fields["patient_id"]) for r in read_table(path).records] == [(2, "P1"), (3, "P1"), (5, "P2")]


@pytest.mark.parametrize("value, shape, text", [
    (datetime.date(2024, 3, 1), "yyyy-mm-dd", "2024-03-01"), (datetime.timedelta(hours=30), "[h]:mm:ss", "30:00:00"),
    (0.3, "0%", "30%"), (0.1234, "0.0%", "12.3%"), (0.3, "General", "0.3"), (True, "General", "True"),
    (datetime.datetime(2024, 3, 1, 8, 30), "yyyy-mm-dd hh:mm", "2024-03-01 08:30:00")])
def test_a_value_is_read_as_it_is_shown(value: object, shape: str, text: str, tmp_path: Path):
    path = as_excel(tmp_path / "a.xlsx", {"Rows": [["question", "answer"], ["q", value]]})
    book = openpyxl.load_workbook(path)
    book["Rows"]["B2"].number_format = shape
    book.save(path)
    assert read_table(path).records[0].fields["answer"] == text


def test_a_title_above_the_column_names_is_told(tmp_path: Path):
    path = as_excel(tmp_path / "a.xlsx", {"Rows": [["Clinic 2024"], *ROWS, ["r", "b"]]})
    with pytest.raises(UserError, match=r"a title above its column names \(row 1: 'Clinic 2024'\); delete that row"):
        read_table(path)


def test_a_formula_without_its_value_is_named(tmp_path: Path):
    table = read_table(as_excel(tmp_path / "a.xlsx", {"Rows": [*ROWS, ["q", "=1+1"], ["q", "=A2"]]}))
    assert [record.fields["answer"] for record in table.records] == ["a", "", ""]
    assert "formula whose value was not saved, read as empty: 2, the first B3;" in table.notes[0]


def test_a_cell_that_shows_an_error_is_empty_and_counted(tmp_path: Path):
    table = read_table(as_excel(tmp_path / "a.xlsx", {"Rows": [*ROWS, ["q", "#REF!"], ["#N/A", "a"]]}))
    assert [record.fields for record in table.records] == [
        {"question": "q", "answer": "a"}, {"question": "q", "answer": ""}, {"question": "", "answer": "a"}]
    assert [note for note in table.notes if "show an error" in note and ": 2, the first B3." in note]


@pytest.mark.parametrize("member, words", [
    ("content.xml", "an OpenDocument file"), ("word/document.xml", "a Word file"), ("xl/workbook.bin", "binary Excel"),
    ("rows.csv", "an archive (ZIP); unpack it first")])
def test_other_archives_are_named(tmp_path: Path, member: str, words: str):
    with zipfile.ZipFile(tmp_path / "a.xlsx", "w") as archive:
        archive.writestr(member, "question,answer")
    with pytest.raises(UserError, match=re.escape(words)):
        read_table(tmp_path / "a.xlsx")
