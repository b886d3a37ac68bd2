import json
import tracemalloc
from pathlib import Path

import pytest

from corpus.config import DataConfig
from corpus.read import read_table
from corpus.table import Table
from models.errors import UserError

ROWS = [{"q": "x", "a": 1}, {"q": "y", "a": None}]
TURNS = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]


def table_of(folder: Path, content: str, name: str = "a.json", **config) -> Table:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return read_table(path, DataConfig(**config))


def fields_of(table: Table) -> list[dict]:
    return [record.fields for record in table.records]


@pytest.mark.parametrize("content", [
    json.dumps(ROWS), json.dumps(ROWS, indent=1), "\n".join(map(json.dumps, ROWS)),
    "\n".join(json.dumps(row, indent=1) for row in ROWS), " ".join(map(json.dumps, ROWS)),
], ids=["list", "indented list", "lines", "objects over lines", "objects in a line"])
@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.csv"])
def test_every_arrangement_gives_the_same_rows(tmp_path: Path, content: str, name: str):
    table = table_of(tmp_path, content, name)
    assert fields_of(table) == ROWS and table.columns == ("q", "a") and not table.unusable


@pytest.mark.parametrize("content", [
    {"data": ROWS}, {"version": "1.0", "data": ROWS}, {"q": {"0": "x", "7": "y"}, "a": {"0": 1, "7": None}},
    {"q": ["x", "y"], "a": [1, None]}])
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("limit", [0, 1])
def test_one_object_may_hold_all_rows(tmp_path: Path, content: dict, indent: int | None, limit: int):
    table = table_of(tmp_path, json.dumps(content, indent=indent), limit_rows=limit)
    assert fields_of(table) == ROWS[:limit or 2] and table.columns == ("q", "a")
    assert any("; not read: version." in note for note in table.notes) == ("version" in content)


def test_a_line_that_is_an_object_does_not_make_a_list_of_them_lines(tmp_path: Path):
    content = '{"data":\n[\n' + ",\n".join(map(json.dumps, ROWS)) + "\n]}\n"
    assert [record.line for record in table_of(tmp_path, content).records] == [3, 4]


@pytest.mark.parametrize("end", ["", "\n"])
@pytest.mark.parametrize("indent", [None, 1])
def test_objects_under_keys_keep_their_key_as_a_field(tmp_path: Path, indent: int | None, end: str):
    content = json.dumps({"101": {"QUESTION": "x", "CONTEXTS": ["c"]}, "102": {"QUESTION": "y"}, "103": None},
                         indent=indent)
    table = table_of(tmp_path, content + end)
    assert fields_of(table) == [{"key": "101", "QUESTION": "x", "CONTEXTS": ["c"]}, {"key": "102", "QUESTION": "y"}]
    assert [row.reason for row in table.unusable] == ["it is not a JSON object with named fields"]
    assert [record.line for record in table.records] == ([2, 8] if indent else [1, 1])


@pytest.mark.parametrize("row", [
    {"messages": TURNS}, {"instruction": "a", "output": "b"}, {"q": "x", "about": {"b": 2}},
    {"conversations": [{"from": "human", "value": "x"}]}, {"prompt": TURNS[:1], "completion": TURNS[1:]},
    {"dialogue": [{"speaker": "Doctor", "text": "Hi."}], "note": "Well."}])
@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_one_object_is_one_row(tmp_path: Path, row: dict, indent: int | None, name: str):
    assert fields_of(table_of(tmp_path, json.dumps(row, indent=indent), name)) == [row]


@pytest.mark.parametrize("row", [{"data": ROWS}, {"q": ["x", "y"], "a": [1, None]}, {"1": {"q": 1}, "2": {"q": 2}}])
def test_in_a_file_of_lines_every_object_is_a_row(tmp_path: Path, row: dict):
    assert fields_of(table_of(tmp_path, json.dumps(row) + "\n", "a.jsonl")) == [row]


def test_lists_named_as_splits_are_those_splits(tmp_path: Path):
    table = table_of(tmp_path, json.dumps({"train": ROWS, "dev": ROWS[:1], "about": "x"}))
    assert [record.split for record in table.records] == ["train", "train", "validation"]


def test_a_column_of_splits_is_each_rows_own(tmp_path: Path):
    rows = [{"q": 1, "Split": name} for name in ("Training", "val", "test2", "holdout", None)]
    table = table_of(tmp_path, json.dumps(rows))
    assert [record.split for record in table.records] == ["train", "validation", "test", "", ""]
    assert table.notes == ("a.json: rows whose column 'Split' names no split that is known (train, validation, test): "
                           "2.",)


def test_what_is_no_number_is_no_value_and_raw_line_ends_are_text(tmp_path: Path):
    table = table_of(tmp_path, '[{"a": NaN, "b": -Infinity, "c": {"d": null}, "e": "x\ty\nz"}]')
    assert fields_of(table) == [{"a": None, "b": None, "c": {"d": None}, "e": "x\ty\nz"}]


def test_single_bad_lines_are_left_out_with_their_line(tmp_path: Path):
    table = table_of(tmp_path, '{"question": \n{"question": "q"}\n[1]\n\nnull\n{}\n{"question": "cut', "a.jsonl")
    assert fields_of(table) == [{"question": "q"}]
    assert [(row.line, row.reason) for row in table.unusable] == [
        (1, "it is not JSON (Expecting value: column 13)"), (3, "it is not a JSON object with named fields"),
        (5, "it is not a JSON object with named fields"), (6, "it is not a JSON object with named fields"),
        (7, "it is not JSON (Unterminated string starting at: column 14)")]
    table = table_of(tmp_path, '{"question": "q"}\n{"question": ' + "[" * 100_000, "a.jsonl")
    assert [row.reason for row in table.unusable] == ["it is not JSON (its values are nested too deeply)"]


def test_what_follows_a_list_is_named(tmp_path: Path):
    table = table_of(tmp_path, '[{"q": 1}]\n[{"q": 2}]')
    assert len(table.records) == 1
    assert [(row.line, row.reason) for row in table.unusable] == [
        (2, "it stands after the end of the list, where reading ended")]


@pytest.mark.parametrize("content", [json.dumps([{"q": k} for k in range(9)]),
                                     json.dumps({k: {"q": k} for k in range(9)}),
                                     "\n".join(json.dumps({"q": k}) for k in range(9)),
                                     json.dumps({"data": [{"q": k} for k in range(9)]})])
def test_a_limit_ends_the_reading(tmp_path: Path, content: str):
    table = table_of(tmp_path, content, limit_rows=3)
    assert [record.fields["q"] for record in table.records] == [0, 1, 2]
    assert table.notes == ("Of a.json only the first 3 rows were read.",) and not table.unusable


def test_half_a_surrogate_does_not_get_into_names(tmp_path: Path):
    assert table_of(tmp_path, r'{"a\ud83d": "\ud83d\ude00"}').columns == ("a\ufffd",)


@pytest.mark.parametrize("content, words", [
    ("question\n", "is not JSON: it starts with 'question'"),
    ('[{"question": 1}, {', "is not JSON: line 1: Expecting property name"),
    ('[{"question": 1}, {"q": "cut', "(is the end of the file missing?); rows read before it: 1."),
    ('[{"question": ' + "[" * 100_000, "is not JSON: line 1: its values are nested too deeply"),
    ('[{"question": 1}\n {}]', "line 2: there is no comma"),
    ('{"question" 1}', "an entry has no name in double quotes before a colon"),
    ("[1, 2]", "is not a table: line 1: it is not a JSON object with named fields"),
    ("[]", "is empty"), ("{}", "is not a table"),
    (json.dumps({"a": [{"q": 1}], "b": [{"q": 2}]}), "holds 2 lists of objects (a, b); keep the one with the examples"),
])
def test_what_is_no_table_gets_one_clear_line(tmp_path: Path, content: str, words: str):
    with pytest.raises(UserError) as error:
        table_of(tmp_path, content)
    assert words in str(error.value) and "a.json" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("kind", ["list", "keyed", "data", "cut"])
def test_a_huge_single_line_needs_little_more_memory_than_its_rows(tmp_path: Path, kind: str):
    row, count = json.dumps({"question": "why " * 60, "answer": "so " * 60}), 40_000
    path = tmp_path / "a.json"
    with path.open("w", encoding="utf-8") as file:
        file.write({"keyed": "{", "data": '{"version": 1, "data": ['}.get(kind, "["))
        file.writelines(f'"{k}": {row}, ' if kind == "keyed" else f"{row}, " for k in range(count))
        file.write({"keyed": f'"last": {row}}}', "data": f"{row}]}}", "list": f"{row}]", "cut": row[:30]}[kind])
    tracemalloc.start()
    try:
        if kind == "cut":
            with pytest.raises(UserError, match=r"end of the file missing\?\); rows read before it: 40,000"):
                read_table(path)
        else:
            assert len(read_table(path).records) == count + 1
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3 * path.stat().st_size       # the rows themselves: two texts and a dict each


def test_two_fields_of_one_name_but_for_spaces_are_not_guessed(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"question": "x", "question ": "y"}\n{"question": "z"}\n', encoding="utf-8")
    table = read_table(path)
    assert len(table.records) == 1 and "the same name but for spaces (question)" in table.unusable[0].reason


@pytest.mark.parametrize("text, fields", [
    ('{"columns": ["q", "a"], "index": [0, 1], "data": [["x", "y"], ["z", null]]}',
     [{"q": "x", "a": "y"}, {"q": "z", "a": None}]),
    ('[[{"role": "user", "content": "x"}], [{"role": "user", "content": "y"}]]',
     [{"messages": [{"role": "user", "content": "x"}]}, {"messages": [{"role": "user", "content": "y"}]}]),
])
def test_a_split_table_and_a_list_of_conversations_are_read(text: str, fields: list, tmp_path: Path):
    (tmp_path / "a.json").write_text(text, encoding="utf-8")
    assert fields_of(read_table(tmp_path / "a.json")) == fields


def test_lines_that_are_lists_of_turns_are_rows(tmp_path: Path):
    table = table_of(tmp_path, (json.dumps(TURNS) + "\n") * 2, "a.jsonl")
    assert [(record.line, record.fields) for record in table.records] == [
        (1, {"messages": TURNS}), (2, {"messages": TURNS})]
    assert fields_of(table_of(tmp_path, json.dumps([TURNS, TURNS], indent=1), "a.jsonl")) == [{"messages": TURNS}] * 2
