import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.config import DataConfig
from corpus.read import read_table
from corpus.table import Table
from models.errors import UserError


def table_of(folder: Path, content: str, name: str = "a.csv", *columns: str) -> Table:
    path = folder / name
    path.write_text(content, encoding="utf-8", newline="")
    return read_table(path, DataConfig(columns=columns))


def rows_of(table: Table) -> list[tuple]:
    return [tuple(record.fields.values()) for record in table.records]


@pytest.mark.parametrize("content, rows", [
    ("title|abstract|group\na, b|c, d|x;y\n", [("a, b", "c, d", "x;y")]),
    ("title;abstract;group\na, b, c;d|e, f;x|y\ng, h;i;z\n", [("a, b, c", "d|e, f", "x|y"), ("g, h", "i", "z")]),
    ("a, first;b\n1, 2, 3;x\n4;y\n5, 6;z\n", [("1, 2, 3", "x"), ("4", "y"), ("5, 6", "z")]),
    ("sep=;\r\nq;a\r\n1,5;2\r\n", [("1,5", "2")]),
    ("'question','answer'\n'it''s','a,\nb'\n", [("it's", "a,\nb")]),
    ('question,answer\n"He said \\"hi\\", ok","yes"\n', [('He said "hi", ok', "yes")]),
    ('question\tanswer\n"Yes is\tno\n5" x\t"n\n', [('"Yes is', "no"), ('5" x', '"n')]),
    ("q,a\rx,y\rz,w\r", [("x", "y"), ("z", "w")]),
])
def test_separator_and_quotes_are_detected(tmp_path: Path, content: str, rows: list[tuple]):
    table = table_of(tmp_path, content)
    assert rows_of(table) == rows and not table.unusable and table.has_header


def test_the_line_after_excels_separator_is_the_second(tmp_path: Path):
    assert [record.line for record in table_of(tmp_path, "sep=;\nq;a\n1;2\n").records] == [3]


@pytest.mark.parametrize("content", [
    'question,answer\nq,a\nq,"never closed\nq,a\n', 'question,answer\nq,a\nq,"he said "no" to it"\nq,a\n',
    'question\tanswer\nq\ta\n"well quoted"\t"oops\nq\ta\n'])
def test_a_stray_quote_is_refused_with_its_line(tmp_path: Path, content: str):
    with pytest.raises(UserError, match=r"a\.csv can not be read as a table from line 3 on: a quote is opened"):
        table_of(tmp_path, content)


def test_a_quote_within_a_text_is_a_letter(tmp_path: Path):
    table = table_of(tmp_path, 'question,answer\nWhy?, "Yes" is no answer\nHow?, 5" wide\n')
    assert [record.fields["answer"].strip() for record in table.records] == ['"Yes" is no answer', '5" wide']


CHOICES = "What is it?,Bone,Skin,Hair,Nail,A\nWhat grows,1,2,3,4,C\n"


@pytest.mark.parametrize("content, columns", [
    (CHOICES, ()),
    ("What is the cause of asthma?,The airways are inflamed by it.\nWhat is flu in short?,A viral infection mostly.\n",
     ()),
    ("chest pain,cardiology\nheadache,neurology\n", ("text=1", "label=2")),
])
def test_a_file_without_header_has_numbered_columns(tmp_path: Path, content: str, columns: tuple[str, ...]):
    table = table_of(tmp_path, content, "a.csv", *columns)
    assert not table.has_header and len(table.records) == 2 and table.records[0].line == 1
    assert table.columns == tuple(str(k + 1) for k in range(len(table.columns)))
    assert "reads like a row, not like column names" in table.notes[0]


@pytest.mark.parametrize("content, columns", [
    ("question,A,B,C,D,key\nWhat is it?,Bone,Skin,Hair,Nail,A\n", ()),
    ("Timestamp,What is your question for us?,Please write the answer here.\n2020-01-02,How?,So.\n", ()),
    ("What is your question for us?,What would be the answer to it?\nHow?,So.\n",
     ("question=What is your question for us?",)),
    ("Q,A\nfirst,B\nsecond,C\n", ()),
    ("1,2\nfirst,B\n", ("question=1",)),
])
def test_names_above_the_rows_are_a_header(tmp_path: Path, content: str, columns: tuple[str, ...]):
    table = table_of(tmp_path, content, "a.csv", *columns)
    assert table.has_header and table.columns[0] == content.split(",")[0] and not table.notes


def test_a_row_wider_than_the_header_is_left_out(tmp_path: Path):
    table = table_of(tmp_path, "question,answer\nq,a\nq,a,b\nq\nq,a,,\n")
    assert [(row.line, row.reason) for row in table.unusable] == [
        (3, "it has 3 fields, the header has 2 (a text that holds a comma needs quotes)")]
    assert [record.fields for record in table.records] == [
        {"question": "q", "answer": "a"}, {"question": "q"}, {"question": "q", "answer": "a"}]


words = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"], include_characters="\n\t"),
                min_size=1).filter(str.strip)


@given(rows=st.lists(st.tuples(words, words), min_size=1), separator=st.sampled_from(",;\t|"))
def test_whatever_a_csv_writer_wrote_comes_back(tmp_path_factory: pytest.TempPathFactory, rows: list, separator: str):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=separator).writerows([("prompt", "completion"), *rows])
    read = rows_of(read_table(path))
    first, second = ([tuple(text.lstrip(" ") for text in row) for row in one] for one in (read, rows))
    assert first == second                          # spaces after a separator are nobody's


@pytest.mark.parametrize("content", ['abstract\nOne, two; three\n\nShort.\n', '"abstract"\n"One, two; three"\nShort.\n',
                                     'Abstract text\r\nOne, two; three\r\nShort.\r\n'])
def test_a_list_of_texts_is_a_table_of_one_column(tmp_path: Path, content: str):
    records = table_of(tmp_path, content).records
    assert [list(record.fields.values()) for record in records] == [["One, two; three"], ["Short."]]


def test_a_field_may_be_longer_than_csvs_own_limit(tmp_path: Path):
    assert len(table_of(tmp_path, "question,answer\nq," + "a" * 300_000).records[0].fields["answer"]) == 300_000


@pytest.mark.parametrize("name, content, words", [
    ("one.csv", "Dear colleague. Thank you\nhello\n", "not a table: its first line ('Dear colleague"),
    ("prose.csv", "The patient is well.\nHe has pain, fever and cough.\n", "not a table: its first line ('The patient"),
    ("name.csv", "text\n", "not a table: its first line ('text"),
    ("title.csv", "Clinic QA export 2024\n\nquestion,answer\nq,a\n",
     "begins with a title ('Clinic QA export 2024'); delete"),
    ("bare.csv", "question,answer\n", "no row below its column names (question, answer)"),
    ("twice.csv", "text,text\na,b\n", "more than one column named 'text'"),
])
def test_what_is_no_table_gets_one_clear_line(tmp_path: Path, name: str, content: str, words: str):
    with pytest.raises(UserError) as error:
        table_of(tmp_path, content, name)
    assert words in str(error.value) and name in str(error.value)


def test_a_comment_above_the_column_names_is_told(tmp_path: Path):
    (tmp_path / "a.csv").write_text("# exported in May\nq,a\nx,y\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"begins with a comment \('# exported in May'\); delete the lines above"):
        read_table(tmp_path / "a.csv")
