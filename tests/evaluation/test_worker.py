"""A comparison that is asked to stop ends within one row, and before it loads the next model."""

import pytest

from evaluation import worker
from evaluation.compare import score
from evaluation.config import CompareConfig
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
