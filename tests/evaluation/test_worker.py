"""A comparison that is asked to stop ends within one row, and before it loads the next model."""

import pytest

from evaluation import worker
from evaluation.compare import score
from evaluation.config import CompareConfig, EvaluateConfig
from evaluation.items import read_items
from models import knobs, runs
from models.job import Job
from tests.evaluation.test_compare import engine, rows


@pytest.fixture
def job(tmp_path):
    return Job(tmp_path)


def test_it_stops_within_one_row(job):
    asked = []
    silent = engine("chest pain")

    def generate(ids, most):
        asked.append(ids)
        (job.folder / runs.STOP).touch()
        return silent.generate(ids, most)

    counted = worker._stoppable(worker.dataclasses.replace(silent, generate=generate), job)
    with pytest.raises(worker.Stopped):
        score("x", counted, rows("chest pain", "fever", "cough"), 10, 20)
    assert len(asked) == 1


def test_it_passes_on_what_the_model_says(job):
    plain = score("x", engine("chest pain"), rows("chest pain", "fever"), 10, 20)
    watched = score("x", worker._stoppable(engine("chest pain"), job), rows("chest pain", "fever"), 10, 20)
    assert (watched.val_loss, watched.answers) == (plain.val_loss, plain.answers)


def test_it_loads_nothing_more_and_writes_no_result(job):
    (job.folder / "rows.jsonl").write_text('{"messages": []}\n')
    config = CompareConfig(base=str(job.folder / "none"), rows=str(job.folder / "rows.jsonl"))
    runs.write_json(job.folder / runs.CONFIG, knobs.to_json(config))
    (job.folder / runs.STOP).touch()
    worker.work(job)                    # the base is missing: loading it would raise
    assert not (job.folder / runs.RESULT).exists() and (job.folder / runs.EVENTS).read_text() == ""


@pytest.fixture
def asked(tmp_path):
    """An evaluation of two questions on the embedded model."""
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(f'{{"question": "Is {name} an illness?", "contexts": ["{name} was studied."], '
                            f'"final_decision": "{gold}"}}\n' for name, gold in (("Gout", "yes"), ("Joy", "no"))))
    return EvaluateConfig(benchmark="pubmedqa", file=str(rows), threads=1)


def test_an_evaluation_leaves_its_items_and_a_report(job, asked, demo_gguf):
    runs.write_json(job.folder / runs.CONFIG, knobs.to_json(asked))
    worker.work(job)
    items = read_items(job.folder / runs.ITEMS)
    assert [one.gold for one in items] == ["yes", "no"] and len(items[0].model) == 16
    for name in (runs.REPORT, runs.REPORT_PAGE, runs.REPORT_TABLE):
        assert "PubMedQA" in (job.folder / name).read_text(encoding="utf-8")
    row, *_ = runs.read_json(job.folder / runs.RESULT)
    assert row["n"] == "2" and row["metric"] == "accuracy"


def test_an_evaluation_that_is_to_stop_writes_no_report(job, asked, demo_gguf):
    runs.write_json(job.folder / runs.CONFIG, knobs.to_json(asked))
    (job.folder / runs.STOP).touch()
    worker.work(job)
    assert not any((job.folder / name).exists() for name in (runs.ITEMS, runs.REPORT, runs.RESULT))
