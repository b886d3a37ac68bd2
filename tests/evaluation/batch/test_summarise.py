"""Sections of notes for the rows of a file, with what the dialogue does not hold named."""

import json
from contextlib import nullcontext

import pytest

from evaluation.batch import worker
from evaluation.batch.config import SummariseConfig
from models import knobs, runs
from models.job import Job
from tests.tasks.fake_engine import FakeEngine

TALK = "Doctor: How long? Patient: For two weeks, I took 5 mg."


@pytest.fixture
def summarised(tmp_path):
    def run(rows, engine, **settings):
        path = tmp_path / "rows.jsonl"
        path.write_text("\n".join(map(json.dumps, rows)) + "\n")
        folder = runs.new_run("x", str(tmp_path / f"run{len(list(tmp_path.glob('run*')))}"))
        runs.write_json(folder / runs.CONFIG, knobs.to_json(SummariseConfig(
            file=str(path), out=str(tmp_path / "out.jsonl"), **settings)))
        worker.work(Job(folder), lambda wanted: nullcontext(engine))
        out = (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in out], runs.read_json(folder / runs.RESULT)
    return run


def test_sections_with_marks_and_scores(summarised):
    engine = FakeEngine(says={"5 mg": "He took 50 mg for two weeks."})
    rows, result = summarised([{"dialogue": TALK, "section_header": "MEDICATIONS", "section_text": "He took 5 mg."},
                               {"dialogue": "", "section_header": "PLAN", "section_text": "None."},
                               {"dialogue": [{"speaker": "doctor", "text": "5 mg?"}], "section_header": "PLAN"}],
                              engine)
    assert rows[0]["summary"] == "He took 50 mg for two weeks." and rows[0]["header"] == "MEDICATIONS"
    assert "50 mg" in rows[0]["marks"] and "two weeks" not in rows[0]["marks"] and rows[0]["parts"] == 1
    assert rows[1]["problem"] == "dialogue is empty" and rows[2]["problem"] == ""
    assert "doctor: 5 mg?" in engine.asked[1]
    scores = result["scores"]
    assert scores["n"] == 1 and 0 < scores["rouge_1"] < 1 and scores["baseline"]["rouge_1"] > 0


def test_a_header_for_all_rows_or_the_likeliest(summarised):
    engine = FakeEngine(says={"": "He is well."})
    rows, result = summarised([{"dialogue": TALK}], engine, header="PLAN")
    assert rows[0]["header"] == "PLAN" and '"PLAN"' in engine.asked[0] and result["scores"] == {}
    rows, _ = summarised([{"dialogue": TALK}], engine)
    assert rows[0]["header"] and "was chosen by the model" in rows[0]["note"]


def test_a_long_dialogue_is_done_in_parts_or_listed(summarised):
    engine = FakeEngine(says={"": "He is well."}, ctx_tokens=900)
    rows, _ = summarised([{"dialogue": "\n".join(f"Doctor: {TALK} {k}" for k in range(20))}], engine, header="PLAN",
                         max_tokens=50)
    assert rows[0]["parts"] > 1 and "read in" in rows[0]["note"]
    rows, result = summarised([{"dialogue": TALK}], FakeEngine(ctx_tokens=80), header="PLAN", max_tokens=50)
    assert "and the context holds 80" in rows[0]["problem"] and result["not_done"] == 1


def test_a_whole_note_is_not_held_against_single_sections(summarised):
    rows = [{"dialogue": TALK, "section_header": "PLAN", "section_text": "He took 5 mg."}]
    assert summarised(rows, FakeEngine(says={"": "PLAN: rest."}), sections=("PLAN",))[1]["scores"] == {}
    assert summarised(rows, FakeEngine(says={"": "rest."}))[1]["scores"]["n"] == 1
