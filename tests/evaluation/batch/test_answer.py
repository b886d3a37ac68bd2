"""Answers for the rows of a file: letters, decisions and free answers, and what can not be asked or scored."""

import json
from contextlib import nullcontext

import pytest

from evaluation.batch import worker
from evaluation.batch.config import AnswerConfig
from models import knobs, runs
from models.errors import UserError
from models.job import Job
from tests.tasks.fake_engine import FakeEngine

CHOICES = [{"question": "Which organ pumps?", "options": {"A": "Liver", "B": "Heart"}, "answer": "B"},
           {"question": "Which organ thinks?", "options": ["Brain", "Kidney", "Skin"], "answer": "A"},
           {"question": "Which?", "options": ["One"], "answer": "A"},
           {"question": "", "options": ["One", "Two"], "answer": "A"},
           {"question": "Which organ filters?", "options": ["Kidney", "Skin"], "answer": "Kidny"},
           {"question": "Which has none?"}]


@pytest.fixture
def answered(tmp_path):
    """Writes rows, answers them; (rows, result, what was said)."""
    def run(given, engine=None, name="rows.jsonl", **settings):
        path = tmp_path / name
        path.write_text(given if isinstance(given, str) else "\n".join(map(json.dumps, given)) + "\n")
        folder = runs.new_run("x", str(tmp_path / f"run{len(list(tmp_path.glob('run*')))}"))
        config = AnswerConfig(file=str(path), out=str(tmp_path / "out.jsonl"), **settings)
        runs.write_json(folder / runs.CONFIG, knobs.to_json(config))
        worker.work(Job(folder), lambda wanted: nullcontext(engine or FakeEngine()))
        said = [json.loads(line).get("text", "") for line in (folder / runs.EVENTS).read_text().splitlines()]
        rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
        return rows, runs.read_json(folder / runs.RESULT), "\n".join(said)
    return run


def test_letters_of_options(answered):
    rows, result, said = answered(CHOICES, FakeEngine(prefers={"pumps": "B", "thinks": "B"}))
    assert [row["answer 2"] for row in rows[:2]] == ["B", "B"] and rows[0]["answer_text"] == "Heart"
    assert sum(rows[1][f"p({letter})"] for letter in "ABC") == pytest.approx(1, abs=1e-5)
    assert "p(C)" in rows[0] and rows[0]["p(C)"] is None
    assert [bool(row["problem"]) for row in rows] == [False, False, True, True, False, True]
    assert rows[2]["problem"] == "it has 1 options; a choice needs two" and "question is empty" in rows[3]["problem"]
    assert "options is missing" in rows[5]["problem"]
    assert "rows.jsonl, line 5: not scored, its answer 'Kidny' is none of its options" in said
    assert result["scores"]["n"] == 2 and result["scores"]["accuracy"] == 0.5 and result["not_done"] == 3


def test_below_the_threshold_there_is_no_answer(answered):
    rows, result, _ = answered(CHOICES[:2], FakeEngine(), threshold=1.0)
    assert [row["answer 2"] for row in rows] == ["", ""] and result["scores"]["not_answered"] == 2
    assert result["scores"]["accuracy"] == 0


QUESTIONS = "question,context,answer\n" + "".join(
    f"Does number {k} help?,We saw {k} people.,{'yess' if k == 3 else ('yes', 'no')[k % 2]}\n" for k in range(10))


def test_decisions_are_known_by_the_files_own_answers(answered):
    rows, result, said = answered(QUESTIONS, name="rows.csv")
    assert {row["answer 2"] for row in rows} <= {"yes", "no", "maybe"} and "p(maybe)" in rows[0]
    assert "rows.csv, line 5: not scored, its answer is 'yess', not yes, no or maybe; did you mean 'yes'?" in said
    assert result["scores"]["n"] == 9 and result["scores"]["baseline"]["name"] == "always yes"


def test_free_answers_are_written_and_not_scored(answered):
    engine = FakeEngine(says={"Why": "Because of the virus, which is small."})
    rows, result, said = answered([{"question": "Why?"}, {"question": "Why so?"}], engine, max_tokens=12)
    assert rows[0]["answer"] == "Because of t" and rows[0]["is_cut"] is True and result["scores"] == {}
    assert "its questions are free" in said
    rows, _, _ = answered(QUESTIONS, name="rows.csv", kind="free")
    assert rows[0]["answer 2"].startswith("answer ") and "p(yes)" not in rows[0]


def test_a_long_row_is_listed_and_does_not_end_the_batch(answered):
    rows, result, _ = answered([{"question": "Why? " * 100}, {"question": "Why?"}], FakeEngine(ctx_tokens=300))
    assert "and the context holds 300" in rows[0]["problem"] and rows[1]["problem"] == ""


@pytest.mark.parametrize(("given", "settings", "words"), [
    ([{"question": "Why?"}], dict(kind="choice"), "has no options to choose from; give it a column options"),
    ([{"title": "Why?"}], {}, "has the columns title; none of them is the question. Name it, as --map question="),
    ([{"question": "Why?"}], dict(calibration="/no/such.json"), "/no/such.json"),
])
def test_one_clear_line(answered, given, settings, words):
    with pytest.raises(UserError, match=words):
        answered(given, **settings, **({"kind": "decision"} if "calibration" in settings else {}))


def test_choices_of_mmlu_without_column_names(answered):
    text = "Which organ pumps?,Liver,Heart,Skin,Bone,B\nWhich organ thinks?,Brain,Ear,Eye,Toe,A\n"
    rows, result, _ = answered(text, FakeEngine(prefers={"pumps": "B", "thinks": "A"}), name="rows.csv")
    assert [row["answer"] for row in rows] == ["B", "A"] and result["scores"]["accuracy"] == 1.0


@pytest.mark.parametrize("value", ["[1]", '{"foo": 1}', '{"temperature": "x"}', '{"temperature": 0}', '{"biases": [1]}',
                                   '{"biases": {"yes": "x"}}'])
def test_a_file_that_is_no_calibration(answered, tmp_path, value):
    (tmp_path / "calibration.json").write_text(value)
    with pytest.raises(UserError, match="The file of a calibration holds something else"):
        answered([{"question": "Why?"}], kind="decision", calibration=str(tmp_path / "calibration.json"))


def test_a_calibration_that_was_not_kept_is_said_to_change_nothing(answered, tmp_path):
    (tmp_path / "calibration.json").write_text('{"is_kept": false, "why": "It could be chance: not kept."}')
    assert "The calibration changes nothing. It could be chance: not kept." in answered(
        [{"question": "Why?"}], kind="decision", calibration=str(tmp_path / "calibration.json"))[2]
