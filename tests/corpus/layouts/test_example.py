import json
import os
from pathlib import Path

from corpus.layouts import Example, read_examples, write_examples, write_unusable
from corpus.table import Unusable
from tests.corpus.layouts.tables import turns


def test_examples_survive_their_file(tmp_path: Path):
    examples = [Example(file="a.csv", line=2, section="ROS",
                        messages=turns("line\u2028separator\nand \u0085 more", "é\r\n")),
                Example(file="a.csv", line=3, messages=turns("q", "a"), input="x", group="p1", label="a | b",
                        split="test")]
    write_examples(tmp_path / "held.jsonl", examples)
    assert read_examples(tmp_path / "held.jsonl") == examples
    write_unusable(tmp_path / "left.jsonl", [Unusable(file="a.csv", line=9, reason="answer is empty")])
    left = json.loads((tmp_path / "left.jsonl").read_text())
    assert left == {"file": "a.csv", "line": 9, "reason": "answer is empty"}


def test_files_written_before_examples_had_groups_and_labels_are_read(tmp_path: Path):
    row = {"file": "a.csv", "line": 2, "messages": list(turns("q", "a")), "section": "ROS", "input": ""}
    (tmp_path / "held.jsonl").write_text(json.dumps(row) + "\n")
    assert read_examples(tmp_path / "held.jsonl") == [
        Example(file="a.csv", line=2, messages=turns("q", "a"), section="ROS")]


def test_a_file_whose_name_is_not_utf_8_keeps_its_name(tmp_path: Path):
    name = os.fsdecode(b"caf\xe9.csv")
    examples = [Example(file=name, line=2, messages=turns("q\U0001f600", "a"))]
    write_examples(tmp_path / "held.jsonl", examples)
    assert read_examples(tmp_path / "held.jsonl") == examples
