"""Rows of a benchmark come from its official split, and one that lacks something is named."""

import json

import pytest

from evaluation.benchmarks.catalog import BENCHMARKS, find
from evaluation.benchmarks.rows import digest, read_rows
from evaluation.config import EvaluateConfig
from models.errors import UserError

CONFIG = EvaluateConfig(benchmark="medqa")


def question(k, **values):
    return {"question": f"Question {k}?", "options": {"A": "one", "B": "two"}, "answer_idx": "B", **values}


def jsonl(path, rows):
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def without(row, name):
    return {key: value for key, value in row.items() if key != name}


def test_a_row_without_a_key_is_named(tmp_path):
    rows = [question(k) for k in range(6)]
    rows[2], rows[4] = without(rows[2], "answer_idx"), {**rows[4], "options": {"A": "one"}}
    with pytest.raises(UserError) as found:
        read_rows(jsonl(tmp_path / "medqa.jsonl", rows), "multiple choice", CONFIG)
    text = str(found.value)
    assert "2 of 6 rows lack" in text and "medqa.jsonl, line 3: answer_idx is missing" in text
    assert "line 5: it has 1 options" in text


def test_a_row_of_a_file_in_one_line_is_named_by_its_id(tmp_path):
    rows = {str(pmid): {"QUESTION": "Q?", "CONTEXTS": ["C."], "final_decision": "yes"} for pmid in (10808977, 23831910)}
    del rows["23831910"]["final_decision"]
    path = tmp_path / "pqal.json"
    path.write_text(json.dumps(rows))
    with pytest.raises(UserError, match=r"pqal.json, line 1 \(23831910\): final_decision is missing"):
        find("pubmedqa").open(str(path), EvaluateConfig(benchmark="pubmedqa"))


def test_a_file_of_another_kind_is_refused(tmp_path):
    path = jsonl(tmp_path / "a.jsonl", [{"dialogue": "Doctor: Hi.", "section_text": "Fine."}])
    with pytest.raises(UserError, match="options"):
        find("medqa").open(path, CONFIG)


def test_a_decision_that_is_none_is_named(tmp_path):
    path = jsonl(tmp_path / "a.jsonl", [{"question": "Q?", "contexts": ["C."], "final_decision": "perhaps"}] * 2)
    with pytest.raises(UserError, match="line 1: final_decision is 'perhaps', not yes, no or maybe"):
        find("pubmedqa").open(path, EvaluateConfig(benchmark="pubmedqa"))


def test_of_a_folder_with_splits_only_the_test_rows_are_read(tmp_path):
    for name, count in (("train", 5), ("validation", 3), ("test", 2)):
        jsonl(tmp_path / "set" / f"{name}.jsonl", [question(f"{name} {k}") for k in range(count)])
    found = read_rows(str(tmp_path / "set"), "multiple choice", CONFIG)
    assert [row.fields["question"] for row in found.rows] == ["Question test 0?", "Question test 1?"]
    preferred = read_rows(str(tmp_path / "set"), "multiple choice", CONFIG, hub_split="validation")
    assert len(preferred.rows) == 3
    asked = EvaluateConfig(benchmark="medqa", split="train")
    assert len(read_rows(str(tmp_path / "set"), "multiple choice", asked).rows) == 5


def test_of_a_column_of_splits_only_the_rows_to_judge_by_are_read(tmp_path):
    rows = [question(k, split=("train", "dev")[k % 2]) for k in range(6)]
    found = read_rows(jsonl(tmp_path / "a.jsonl", rows), "multiple choice", CONFIG)
    assert len(found.rows) == 3 and any("only validation is read (not train)" in note for note in found.notes)


def test_a_file_for_training_by_its_name_is_said_so(tmp_path):
    found = read_rows(jsonl(tmp_path / "medqa_train.jsonl", [question(0)]), "multiple choice", CONFIG)
    assert any("medqa_train.jsonl is for training" in note for note in found.notes)


def test_ids_never_repeat(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps([question(k, pmid="7") for k in range(3)]))
    assert read_rows(str(path), "multiple choice", CONFIG).ids() == [f"a.json, item {k}" for k in (1, 2, 3)]
    named = read_rows(jsonl(tmp_path / "b.jsonl", [question(k, pmid=str(k % 2)) for k in range(3)]),
                      "multiple choice", CONFIG)
    assert named.ids() == ["b.jsonl, line 1", "1", "b.jsonl, line 3"]


def test_without_a_file_the_hub_is_read_or_said_to_lack_it():
    with pytest.raises(UserError, match="not on the hub"):
        find("mts_dialog").open("", EvaluateConfig(benchmark="mts_dialog"))


def test_a_digest_follows_what_it_is_of():
    assert digest([question(1)]) == digest([question(1)]) != digest([question(2)])


def test_every_benchmark_states_what_it_is():
    for name, one in BENCHMARKS.items():
        assert one.name == name and one.title and one.licence and one.source and one.split and one.metrics and one.about


def test_a_wrong_name_gets_the_nearest():
    assert find("MTS-Dialog").name == "mts_dialog"
    with pytest.raises(UserError, match="did you mean 'pubmedqa'"):
        find("pubmedq")
    with pytest.raises(UserError, match="there are pubmedqa, medqa"):
        find("xyzzy")
