import json
import os
from pathlib import Path

import pytest

from corpus.layouts import Example, load, read_examples, recognise, write_examples, write_unusable
from corpus.read import Record, Table, Unusable
from models.errors import UserError
from tasks.summarise import request


def table(*rows: dict) -> Table:
    columns = tuple(dict.fromkeys(name for row in rows for name in row))
    return Table(file="rows.jsonl", columns=columns,
                 records=tuple(Record(line=line, fields=row) for line, row in enumerate(rows, 1)))


def turns(user: str, answer: str) -> tuple[dict, ...]:
    return {"role": "user", "content": user}, {"role": "assistant", "content": answer}


MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Yes?"}, {"role": "user", "content": "Bye"},
            {"role": "assistant", "content": "Bye."}]


@pytest.mark.parametrize("row, expected", [
    ({"dialogue": " Doctor: Hi. ", "section_text": "Well.", "section_header": "ROS", "ID": 3},
     {"messages": turns(request("Doctor: Hi.", "ROS"), "Well."), "section": "ROS", "input": "Doctor: Hi."}),
    ({"dialogue": "Doctor: Hi.", "section_text": "Well."},
     {"messages": turns(request("Doctor: Hi.", ""), "Well."), "input": "Doctor: Hi."}),
    ({"instruction": "Translate.", "input": "Fièvre", "output": "Fever"},
     {"messages": turns("Translate.\n\nFièvre", "Fever"), "input": "Fièvre"}),
    ({"instruction": "Say hello.", "input": None, "output": "Hello"}, {"messages": turns("Say hello.", "Hello")}),
    ({"Question": "Why?", " Answer": "Because."}, {"messages": turns("Why?", "Because.")}),
    ({"prompt": "1 + 1 =", "completion": 2}, {"messages": turns("1 + 1 =", "2")}),
    ({"messages": MESSAGES}, {"messages": tuple(MESSAGES)}),
    ({"messages": json.dumps(MESSAGES)}, {"messages": tuple(MESSAGES)}),
])
def test_each_layout_becomes_a_conversation(row: dict, expected: dict):
    examples, unusable = recognise(table({name.strip(): value for name, value in row.items()}))
    assert examples == [Example(file="rows.jsonl", line=1, **expected)]
    assert not unusable
    assert not examples[0].input or examples[0].input in examples[0].messages[0]["content"]


@pytest.mark.parametrize("row, reason", [
    ({"question": "Why?", "answer": "  "}, "answer is empty"),
    ({"question": None, "answer": "x"}, "question is empty"),
    ({"answer": "x"}, "question is missing"),
    ({"question": ["a"], "answer": "x"}, "question holds a list, not text"),
])
def test_a_row_that_can_not_be_used_is_returned_with_its_reason(row: dict, reason: str):
    examples, unusable = recognise(table({"question": "q", "answer": "a"}, row))
    assert len(examples) == 1
    assert unusable == [Unusable(file="rows.jsonl", line=2, reason=reason)]


@pytest.mark.parametrize("messages, reason", [
    ("no json", "messages is not JSON"),
    ("[" * 100_000, "messages is not JSON"),
    ([], "messages is empty"),
    (["hi"], "messages is not a list of {role, content}"),
    (MESSAGES[:-1], "must hold a user's message and end with the assistant's answer"),
    (MESSAGES[2:3], "must hold a user's message"),
    ([{"role": "robot", "content": "x"}], "the role 'robot', not one of system, user, assistant"),
    ([MESSAGES[1], {"role": "assistant", "content": ""}], "a message of the assistant is empty"),
    ([MESSAGES[1], {"role": "assistant", "content": [1]}], "content holds a list, not text"),
])
def test_messages_are_checked_one_by_one(messages: object, reason: str):
    examples, unusable = recognise(table({"messages": messages}))
    assert not examples and reason in unusable[0].reason


def test_other_columns_are_named_with_the_layouts_that_would_do():
    with pytest.raises(UserError, match=r"rows.jsonl has the columns ID, text; rename them .*dialogue \+ section_text "
                                        r"\(section_header optional\); .*question \+ answer"):
        recognise(table({"ID": 1, "text": "x"}))


def test_no_usable_row_is_an_error_with_counts_and_reasons(tmp_path: Path):
    path = tmp_path / "bad.csv"
    path.write_text("question,answer\nq,\n,a\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"bad.csv: none of the 2 rows can be used "
                                        r"\(line 2: answer is empty; line 3: question is empty\)"):
        load([str(path)])


def test_several_files_are_read_in_order_and_one_bad_file_does_not_hide_the_other(tmp_path: Path):
    (tmp_path / "a.csv").write_text("question,answer\nq1,a1\nq2,\n", encoding="utf-8")
    (tmp_path / "b.jsonl").write_text('{"prompt": "p", "completion": "c"}', encoding="utf-8")
    loaded = load([str(tmp_path / "a.csv"), str(tmp_path / "b.jsonl")])
    assert [(Path(e.file).name, e.line, e.messages[1]["content"]) for e in loaded.examples] == [
        ("a.csv", 2, "a1"), ("b.jsonl", 1, "c")]
    assert [row.line for row in loaded.unusable] == [3]


def test_examples_survive_their_file(tmp_path: Path):
    examples = [Example(file="a.csv", line=2, section="ROS",
                        messages=turns("line\u2028separator\nand \u0085 more", "é\r\n")),
                Example(file="a.csv", line=3, messages=tuple(MESSAGES), input="x")]
    write_examples(tmp_path / "held.jsonl", examples)
    assert read_examples(tmp_path / "held.jsonl") == examples
    write_unusable(tmp_path / "left.jsonl", [Unusable(file="a.csv", line=9, reason="answer is empty")])
    left = json.loads((tmp_path / "left.jsonl").read_text())
    assert left == {"file": "a.csv", "line": 9, "reason": "answer is empty"}


def test_half_a_surrogate_becomes_a_letter_that_can_be_written(tmp_path: Path):
    (tmp_path / "a.jsonl").write_text(r'{"prompt": "\ud83d\ude00 \ud83d", "completion": "\ude00 c"}')
    (tmp_path / "b.jsonl").write_text(json.dumps({"messages": turns("\ud83d", "c")}))
    examples = load([str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl")]).examples
    assert [example.messages for example in examples] == [
        turns("\U0001f600 \ufffd", "\ufffd c"), turns("\ufffd", "c")]
    write_examples(tmp_path / "held.jsonl", examples)
    assert read_examples(tmp_path / "held.jsonl") == list(examples)


def test_a_file_whose_name_is_not_utf_8_keeps_its_name(tmp_path: Path):
    name = os.fsdecode(b"caf\xe9.csv")
    examples = [Example(file=name, line=2, messages=turns("q\U0001f600", "a"))]
    write_examples(tmp_path / "held.jsonl", examples)
    assert read_examples(tmp_path / "held.jsonl") == examples


def test_real_dialogues_all_load(shared_data: Path):
    loaded = load([str(shared_data / "mts-dialog" / "train.csv")])
    assert len(loaded.examples) == 1201 and not loaded.unusable
    assert len({example.section for example in loaded.examples}) == 20
    assert len(load([str(shared_data / "chatdoctor" / "chatdoctor5k.json")]).examples) == 5452
    assert len(load([str(shared_data / "medquad" / "medquad_train.jsonl")]).examples) == 9000


def test_line_ends_are_those_that_a_chat_has(tmp_path: Path):
    """MTS-Dialog's training rows end their lines with CR LF; nobody types that, and it costs a token a line."""
    file = tmp_path / "rows.jsonl"
    file.write_text('{"question": "a\\r\\nb", "answer": "c\\r\\nd"}\n', encoding="utf-8")
    assert [turn["content"] for turn in load([str(file)]).examples[0].messages] == ["a\nb", "c\nd"]
