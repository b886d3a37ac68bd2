import json
from pathlib import Path

import pytest

from models import job, runs
from models.job import Job


def test_a_line_torn_by_a_kill_is_dropped_and_the_next_one_is_whole(tmp_path: Path):
    (tmp_path / runs.EVENTS).write_bytes(b'{"kind": "note", "text": "a"}\n{"kind": "no')
    Job(tmp_path).event("note", text="b")
    lines = (tmp_path / runs.EVENTS).read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["text"] for line in lines] == ["a", "b"]


def test_events_of_a_process_before_stay(tmp_path: Path):
    for text in ("a", "b"):
        Job(tmp_path).event("note", text=text)
    lines = (tmp_path / runs.EVENTS).read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["text"] for line in lines] == ["a", "b"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's full disk")
def test_an_event_that_meets_a_full_disk_does_not_end_the_job(tmp_path: Path):
    (tmp_path / runs.EVENTS).symlink_to("/dev/full")
    job = Job(tmp_path)
    for _ in range(1000):
        job.event("note", text="x" * 100)


@pytest.mark.parametrize("part_of_a_ms", [0.0004, 0.0006])
def test_no_event_lies_before_the_beginning_of_its_job(monkeypatch, tmp_path: Path, part_of_a_ms: float):
    monkeypatch.setattr(job.time, "time", lambda: 1000 + part_of_a_ms)
    monkeypatch.setattr(job.sys, "argv", ["worker", str(tmp_path)])
    monkeypatch.setattr(job.outside, "watch", lambda: None)
    monkeypatch.setenv(job.outside.TOLD_TO, "")         # put back afterwards
    job.main(lambda running: None)
    done = json.loads((tmp_path / runs.EVENTS).read_text(encoding="utf-8"))
    assert done["kind"] == "done" and done["t"] >= runs.read_json(tmp_path / runs.PID)["started"]
