"""A job is followed to its end, whatever that end is, also by somebody who did not start it."""

import os
import sys
import time

import psutil
import pytest

from models import runs
from models.errors import UserError
from tests.ui.small_job import SmallConfig
from train import worker
from ui import jobs


def started(tmp_path, end):
    return tmp_path, jobs.start("tests.ui.small_job", tmp_path, SmallConfig(end=end))


def test_events_arrive_and_the_last_says_done(tmp_path):
    events = list(jobs.follow(*started(tmp_path, "done")))
    assert [event["kind"] for event in events] == ["note", "done"]
    assert [e["kind"] for e in jobs.follow(tmp_path)] == ["note", "done"]           # read again, after the end


def test_a_user_error_keeps_its_words(tmp_path):
    with pytest.raises(UserError, match="rows are empty"):
        list(jobs.follow(*started(tmp_path, "user")))


def test_a_bug_of_ours_keeps_its_traceback(tmp_path):
    with pytest.raises(RuntimeError, match="ZeroDivisionError: ours"):
        list(jobs.follow(*started(tmp_path, "bug")))


def test_a_killed_job_is_told_from_a_finished_one(tmp_path):
    folder, process = started(tmp_path, "killed")
    with pytest.raises(jobs.Interrupted, match="signal 9"):
        list(jobs.follow(folder, process))
    with pytest.raises(jobs.Interrupted):
        list(jobs.follow(folder))


@pytest.mark.parametrize(("how", "status"), [("wait", 0), ("deaf", -9)])
def test_ending_a_job_leaves_no_process(tmp_path, monkeypatch, how, status):
    monkeypatch.setattr(jobs, "STOP_WAIT_S", 15.0 if how == "wait" else 0.5)
    folder, process = started(tmp_path, how)
    next(jobs.follow(folder, process))
    jobs.end(folder, process)
    assert process.returncode == status


def test_a_running_job_is_found_by_its_folder_and_stopped(tmp_path):
    folder, process = started(tmp_path, "wait")
    while not (folder / runs.PID).exists():
        time.sleep(0.02)
    assert jobs.is_running(folder)
    jobs.stop(folder)
    assert [e["kind"] for e in jobs.follow(folder)][-1] == "stopped"
    assert process.wait(60) == 0 and not jobs.is_running(folder)


def test_a_job_that_is_refused_before_its_first_event_keeps_its_words(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    held = worker.hold(tmp_path)
    process = jobs.start("train.worker", tmp_path, SmallConfig())
    with pytest.raises(UserError, match="is still running; it needs no --resume"):
        list(jobs.follow(tmp_path, process))
    assert held.tell() == 0 and process.returncode == 2


def test_a_job_started_again_is_followed_beyond_its_old_end(tmp_path):
    with pytest.raises(UserError):
        list(jobs.follow(*started(tmp_path, "user")))
    seen = (tmp_path / runs.EVENTS).stat().st_size
    again = started(tmp_path, "done")
    assert [event["kind"] for event in jobs.follow(*again, seen)] == ["note", "done"]
    assert [event["kind"] for event in jobs.follow(tmp_path)] == ["note", "note", "done"]     # one that came later


def test_somebody_else_follows_a_job_that_was_started_again_while_it_runs(tmp_path):
    list(jobs.follow(*started(tmp_path, "done")))
    _, process = started(tmp_path, "wait")
    while runs.read_json(tmp_path / runs.PID)["pid"] != process.pid:
        time.sleep(0.02)
    events = jobs.follow(tmp_path)
    assert [next(events)["kind"], next(events)["kind"]] == ["note", "note"]
    jobs.stop(tmp_path)
    assert [event["kind"] for event in events] == ["stopped"] and process.wait(60) == 0


@pytest.mark.skipif(sys.platform == "win32", reason="a process that ended is gone there")
def test_a_killed_job_whose_end_nobody_asked_for_does_not_run(tmp_path):
    folder, process = started(tmp_path, "killed")
    while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.02)
    os.utime(folder / runs.PID)                     # its heartbeat was fresh when it was killed
    assert not jobs.is_running(folder)
    assert process.wait(60) == -9


@pytest.mark.parametrize("module", ["platform", "pytest", "unittest", "tests.ui.none", "..ui.jobs", "/tmp/x", ""])
def test_only_modules_of_ours_are_started(tmp_path, module):
    """A restored backup says which module its jobs are."""
    (tmp_path / runs.CONFIG).write_text("{}")
    with pytest.raises(UserError, match="is no job of Galen"):
        jobs.launch(module, tmp_path).wait(60)
    assert not (tmp_path / runs.LOG).exists()
