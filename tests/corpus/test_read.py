import csv
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.read import read_table
from models.errors import UserError

ROWS = [{"question": "What is \"pruritus\"?", "answer": "Itching,\nin one word; 100% of it."},
        {"question": "Où ?", "answer": "Là.\tOui."}]


def as_csv(separator: str) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, ["question", "answer"], delimiter=separator)
    writer.writeheader()
    writer.writerows(ROWS)
    return out.getvalue()


def as_excel(path: Path, sheets: dict[str, list[list]]) -> Path:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


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


def test_a_quote_within_a_text_is_a_letter(tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_text('question,answer\nWhy?, "Yes" is no answer\nHow?, 5" wide\n', encoding="utf-8")
    answers = [record.fields["answer"].strip() for record in read_table(path).records]
    assert answers == ['"Yes" is no answer', '5" wide']


@pytest.mark.parametrize("encoding, note", [
    ("utf-8", None), ("utf-8-sig", None), ("cp1252", "line 4); it was read as Windows-1252"), ("utf-16", "UTF-16")])
def test_encodings_are_detected_and_named(tmp_path: Path, encoding: str, note: str | None):
    path = tmp_path / "a.csv"
    path.write_text(as_csv(","), encoding=encoding, newline="")
    table = read_table(path)
    assert [record.fields for record in table.records] == ROWS
    assert len(table.notes) == (1 if note else 0)
    assert not note or note in table.notes[0]


words = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), min_size=1).filter(str.strip)


@given(rows=st.lists(st.tuples(words, words), min_size=1), separator=st.sampled_from(",;\t"))
def test_whatever_a_csv_writer_wrote_comes_back(tmp_path_factory: pytest.TempPathFactory, rows: list, separator: str):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=separator).writerows([("prompt", "completion"), *rows])
    read = [tuple(record.fields.values()) for record in read_table(path).records]
    first, second = ([tuple(text.lstrip(" ") for text in row) for row in one] for one in (read, rows))
    assert first == second                          # spaces after a separator are nobody's


def test_a_field_may_be_longer_than_csvs_own_limit(tmp_path: Path):
    path = tmp_path / "long.csv"
    path.write_text("question,answer\nq," + "a" * 300_000, encoding="utf-8")
    assert len(read_table(path).records[0].fields["answer"]) == 300_000


def test_single_bad_rows_are_returned_with_their_line(tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_text("question,answer\nq,a\nq,a,b\nq\n", encoding="utf-8")
    table = read_table(path)
    assert [(row.line, row.reason) for row in table.unusable] == [
        (3, "it has 3 fields, the header has 2 (a text that holds a comma needs quotes)")]
    assert [record.fields for record in table.records] == [{"question": "q", "answer": "a"}, {"question": "q"}]
    path = tmp_path / "a.jsonl"
    path.write_text('{"question": "q", "answer": "a"}\n{"question": \n[1]\n', encoding="utf-8")
    table = read_table(path)
    assert [row.line for row in table.unusable] == [2, 3]
    assert table.unusable[0].reason.startswith("it is not JSON")
    path.write_text('{"question": "q", "answer": "a"}\n{"question": ' + "[" * 100_000, encoding="utf-8")
    table = read_table(path)
    assert [row.line for row in table.unusable] == [2] and "recursion" in table.unusable[0].reason


def test_half_a_surrogate_in_json_does_not_get_into_names_and_messages(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    path.write_text(r'{"a\ud83d": "\ud83d\ude00"}', encoding="utf-8")
    assert read_table(path).columns == ("a\ufffd",)


@pytest.mark.parametrize("name, content, words", [
    ("empty.csv", b"", "is empty"),
    ("blank.csv", b"\n \n", "is empty"),
    ("one.csv", b"text\nhello\n", "not a table: its first line ('text"),
    ("bare.csv", b"question,answer\n", "no row below its column names (question, answer)"),
    ("twice.csv", b"text,text\na,b\n", "more than one column named 'text'"),
    ("open.csv", b'question,answer\nq,a\nq,"never closed\nq,a\n', "from line 3 on: a quote is opened"),
    ("photo.csv", b"\x89PNG\r\n\0\0", "binary data"),
    ("odd.csv", b"question,answer\nq,\x81\n", "neither UTF-8 nor Windows-1252 text (line 2)"),
    ("old.xls", b"\xd0\xcf\x11\xe0\xa1\xb1", "old Excel file"),
    ("zip.xlsx", b"PK\x03\x04 and no more", "can not be read as an Excel workbook"),
    ("text.json", b"question\n", "is not JSON"),
    ("half.json", b'[{"question": 1}, {', "not a JSON list"),
    ("deep.json", b'[{"question": ' + b"[" * 100_000, "not a JSON list: maximum recursion depth"),
    ("comma.json", b'[{"question": 1}\n {}]', "line 2 has no comma"),
    ("whole.json", b'{"a": {"question": 1},\n "b": 2}', "is not a table: line 1"),
    ("numbers.json", b"[1, 2]", "not a JSON object with named fields"),
])
def test_what_is_no_table_gets_one_clear_line(tmp_path: Path, name: str, content: bytes, words: str):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError) as error:
        read_table(path)
    assert words in str(error.value) and name in str(error.value) and "\n" not in str(error.value)


def test_missing_files_folders_and_second_sheets_are_named(tmp_path: Path):
    with pytest.raises(UserError, match=r"data file .*none\.csv does not exist"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(UserError, match="is a folder; give the data file in it"):
        read_table(tmp_path)
    two = as_excel(tmp_path / "two.xlsx", {"Old": [["question", "answer"], ["q", "a"]], "New": [["x"]]})
    with pytest.raises(UserError, match=r"2 sheets that hold something \(Old, New\)"):
        read_table(two)
    with pytest.raises(UserError, match="is empty"):
        read_table(as_excel(tmp_path / "none.xlsx", {"Sheet": []}))


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
    path = as_excel(tmp_path / "a.xlsx", {"Rows": [["question", "answer"], ["q", "a"]]})
    damage(path)
    with pytest.raises(UserError, match=r"a\.xlsx can not be read as an Excel workbook .*or its table as CSV\.$"):
        read_table(path)
