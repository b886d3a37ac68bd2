import json
from pathlib import Path

import pytest

from corpus.layouts import load
from models.errors import UserError
from tests.corpus.layouts.tables import loaded, turns


def test_no_usable_row_is_an_error_with_counts_and_reasons(tmp_path: Path):
    path = tmp_path / "bad.csv"
    path.write_text("question,answer\nq,\n,a\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"bad.csv: none of the 2 rows can be used "
                                        r"\(line 2: answer is empty; line 3: question is empty\)"):
        load([str(path)])


def test_several_files_are_read_in_order_and_one_bad_row_does_not_hide_the_others(tmp_path: Path):
    (tmp_path / "a.csv").write_text("question,answer\nq1,a1\nq2,\nq3,a,b\n", encoding="utf-8")
    (tmp_path / "b.jsonl").write_text('{"prompt": "p", "completion": "c"}\nno json\n', encoding="utf-8")
    found = load([str(tmp_path / "a.csv"), str(tmp_path / "b.jsonl")])
    assert [(Path(e.file).name, e.line, e.messages[1]["content"]) for e in found.examples] == [
        ("a.csv", 2, "a1"), ("b.jsonl", 1, "c")]
    assert [(Path(row.file).name, row.line) for row in found.unusable] == [("a.csv", 3), ("a.csv", 4), ("b.jsonl", 2)]
    assert [(one.layout, one.rows) for one in found.recognised] == [("question/answer", 1), ("prompt/completion", 1)]


def test_the_official_split_of_a_file_or_a_row_is_kept(tmp_path: Path):
    (tmp_path / "test.csv").write_text("question,answer\nq1,a1\n")
    (tmp_path / "train.csv").write_text("question,answer\nq2,a2\n")
    assert {e.messages[0]["content"]: e.split for e in load([str(tmp_path)]).examples} == {"q1": "test", "q2": "train"}
    rows = loaded(tmp_path, {"question": "q", "answer": "a", "split": "dev"}, {"question": "r", "answer": "a"})
    assert [e.split for e in rows.examples] == ["validation", ""]


def test_half_a_surrogate_becomes_a_letter_that_can_be_written(tmp_path: Path):
    (tmp_path / "a.jsonl").write_text(r'{"prompt": "\ud83d\ude00 \ud83d", "completion": "\ude00 c"}')
    (tmp_path / "b.jsonl").write_text(json.dumps({"messages": turns("\ud83d", "c")}))
    examples = load([str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl")]).examples
    assert [example.messages for example in examples] == [
        turns("\U0001f600 \ufffd", "\ufffd c"), turns("\ufffd", "c")]


def test_line_ends_are_those_that_a_chat_has(tmp_path: Path):
    """MTS-Dialog's training rows end their lines with CR LF; nobody types that, and it costs a token a line."""
    found = loaded(tmp_path, {"question": "a\r\nb", "answer": "c\r\nd"})
    assert found.examples[0].messages == turns("a\nb", "c\nd")
