"""Jobs after what should not happen: kills between two steps, two clicks at once, clocks, damaged and deleted files."""

import json
import os
import shutil
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from models import runs
from models.errors import UserError
from tests.ui.fakes import end_jobs, wait_for
from tests.ui.job_owner import MODULE
from tests.ui.small_job import SmallConfig
from tests.ui.test_job_queue import WAIT_S, pid_of, submit, until
from ui import job_folder, jobs
from ui.actions.model import CurrentModel
from ui.job_list import JobList


def claimed(name: str, seconds_ago: float) -> Path:
    """A job that was claimed then, by a Galen that was killed before it could write down the process."""
    folder = runs.new_run(name)
    runs.write_json(folder / runs.CONFIG, {"end": "done"})
    runs.write_json(folder / job_folder.JOB, {"module": MODULE, "kind": "train", "title": name, "asked": 1.0,
                                              "is_heavy": True})
    runs.write_json(folder / job_folder.CLAIMED, {"since": 1.0})
    changed(folder / job_folder.CLAIMED, seconds_ago)
    return folder


def changed(path: Path, seconds_ago: float) -> None:
    os.utime(path, (time.time() - seconds_ago, time.time() - seconds_ago))


def starts_of(listed: JobList, folder: Path) -> int:
    return sum(event["kind"] == "note" for event in listed.events(folder)[0])


@pytest.mark.parametrize("is_over", [True, False])
def test_a_job_whose_galen_was_killed_as_it_started_runs_once(galen_home: Path, model: CurrentModel, is_over: bool):
    folder = claimed("begun", 60)
    runs.write_json(folder / runs.PID, {"pid": 4_000_000, "started": time.time() - 59})
    changed(folder / runs.PID, 50)              # its last heartbeat
    lines = [{"t": time.time() - 59, "kind": "note"}, *([{"t": time.time() - 50, "kind": "done"}] if is_over else [])]
    (folder / runs.EVENTS).write_text("".join(json.dumps(line) + "\n" for line in lines))
    listed = JobList(galen_home, model)
    until(listed, submit(listed, "done"), "done")
    assert starts_of(listed, folder) == 1
    assert listed.view(folder).state == ("done" if is_over else "interrupted")
    end_jobs(listed)


def test_two_who_start_it_again_at_once_start_one_process(galen_home: Path, model: CurrentModel):
    class Hurried(JobList):
        both, turn = threading.Barrier(2), threading.Semaphore(1)

        def view(self, job):
            seen = super().view(job)
            if threading.current_thread().name == "again":
                with suppress(threading.BrokenBarrierError):
                    self.both.wait(0.5)         # both have seen that it is over
            return seen

        def _put(self, folder):
            if not self.turn.acquire(blocking=False):
                time.sleep(1.0)                 # the first one runs by now
            super()._put(folder)
    listed = Hurried(galen_home, model)
    folder = submit(listed, "wait")
    pid_of(folder)
    listed.stop(folder)
    until(listed, folder, "stopped")
    Hurried.turn.release()
    told: list[str] = []

    def again() -> None:
        try:
            listed.start_again(folder)
        except UserError as error:
            told.append(str(error))
    threads = [threading.Thread(target=again, name="again") for _ in range(2)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    time.sleep(0.5)
    assert len(told) == 1 and "has not ended yet" in told[0]
    wait_for(lambda: starts_of(listed, folder) == 2, WAIT_S)
    end_jobs(listed)
    assert starts_of(listed, folder) == 2


def test_a_lost_claim_can_be_taken_out_of_the_queue(galen_home: Path, model: CurrentModel):
    listed = JobList(galen_home, model)
    listed.close()                              # so that it does not make the claim again first
    folder = claimed("lost", 60)
    assert listed.view(folder).state == "waiting"
    listed.stop(folder)
    assert listed.view(folder).state == "stopped"


def test_what_a_full_disk_kept_from_being_written_down_is_noted_later(listed: JobList):
    folder = runs.new_run("full")
    in_the_way = folder / (job_folder.CLAIMED + ".part")
    in_the_way.mkdir()
    listed.submit(MODULE, SmallConfig(end="killed"), kind="train", title="", name="", at=folder)
    wait_for(lambda: starts_of(listed, folder), WAIT_S)
    time.sleep(1.0)                             # it has ended, and nobody can write down how
    in_the_way.rmdir()
    wait_for(lambda: "ended by signal 9" in listed.view(folder).words, WAIT_S)
    assert starts_of(listed, folder) == 1


def test_a_clock_that_was_ahead_holds_nobody_up(listed: JobList):
    lost = claimed("lost", -3600)
    mute = runs.new_run("mute")
    runs.write_json(mute / runs.CONFIG, {"rank": 8})
    changed(mute / runs.CONFIG, -3600)
    hung = runs.new_run("hung")
    runs.write_json(hung / runs.CONFIG, {"rank": 8})
    runs.write_json(hung / runs.PID, {"pid": os.getpid(), "started": time.time()})
    changed(hung / runs.PID, -3600)
    until(listed, submit(listed, "done"), "done")
    until(listed, lost, "done")
    assert listed.view(mute).state == listed.view(hung).state == "interrupted"


def test_a_process_of_somebody_else_is_no_job_of_ours(listed: JobList, monkeypatch: pytest.MonkeyPatch):
    folder = runs.new_run("old")
    runs.write_json(folder / runs.CONFIG, {"rank": 8})
    runs.write_json(folder / runs.PID, {"pid": 1, "started": 1.0})
    real = psutil.Process.status

    def status(process: psutil.Process) -> str:
        if process.pid == 1:
            raise psutil.AccessDenied(1)
        return real(process)
    monkeypatch.setattr(psutil.Process, "status", status)
    assert listed.view(folder).state == "interrupted"
    until(listed, submit(listed, "done"), "done")       # the queue goes on


def test_a_damaged_line_hides_no_other(listed: JobList):
    folder = submit(listed, "done")
    until(listed, folder, "done")
    with (folder / runs.EVENTS).open("ab") as file:
        file.write(b'{"t": 3, "kin\n\xff\xfe\n{"t": 9e9, "kind": "done"}\n{"t": 4')
    assert [event["kind"] for event in listed.events(folder)[0]] == ["note", "done", "done"]
    assert [event["kind"] for event in jobs.follow(folder)][-1] == "done"


def test_a_job_whose_folder_was_deleted_is_ended(listed: JobList, model: CurrentModel):
    folder = submit(listed, "deaf", memory_mb=1e9)
    process = psutil.Process(pid_of(folder))
    wait_for(lambda: model.state.lent_to and starts_of(listed, folder))
    shutil.rmtree(folder)
    wait_for(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE, WAIT_S)
    wait_for(lambda: model.state.info and not model.state.lent_to, WAIT_S)      # not beside it
    until(listed, submit(listed, "done"), "done")


def test_two_that_had_the_memory_do_not_keep_galen_from_starting(galen_home: Path, model: CurrentModel):
    for name in ("one", "two"):
        folder = claimed(name, 60)
        me = psutil.Process()
        runs.write_json(folder / job_folder.CLAIMED, {"since": 1.0, "pid": me.pid, "created": me.create_time(),
                                                      "has_memory": True})
    listed = JobList(galen_home, model)
    assert model.state.lent_to in ("one", "two")
    listed.close()


@pytest.mark.parametrize("name", ["a\0b", "x" * 300, "\udcff", "\ud800", "x\n", " "])
def test_no_name_of_a_run_does_harm(listed: JobList, galen_home: Path, name: str):
    (galen_home / "runs").mkdir()
    with pytest.raises(UserError, match="There is no run"):
        listed.folder_of(name)
    with pytest.raises(UserError, match="There is no run"):
        listed.view(name)


def test_a_lost_job_that_was_to_be_stopped_is_not_made_again(galen_home: Path, model: CurrentModel):
    folder = claimed("lost", 60)
    (folder / runs.STOP).touch()                # asked for while it was being started, and then that Galen was killed
    listed = JobList(galen_home, model)
    assert until(listed, folder, "stopped").words == job_folder.TAKEN_OUT
    until(listed, submit(listed, "done"), "done")
    assert not (folder / runs.EVENTS).exists() and not job_folder.is_waiting(folder)
    end_jobs(listed)


def test_a_lost_job_that_somebody_stops_is_not_made_again(galen_home: Path, model: CurrentModel):
    listed = JobList(galen_home, model)
    first = submit(listed)
    until(listed, first, "running")
    listed.close()                              # nobody looks at what is lost
    folder = claimed("lost", 60)
    assert listed.view(folder).state == "waiting"
    listed.stop(folder)
    assert (listed.view(folder).state, listed.view(folder).words) == ("stopped", job_folder.TAKEN_OUT)
    end_jobs(listed)


def test_a_job_that_does_not_stop_is_ended_when_somebody_asks(listed: JobList):
    folder = submit(listed, "deaf")
    process = psutil.Process(pid_of(folder))
    with pytest.raises(UserError, match="Ask the job to stop first"):
        listed.end(folder)
    listed.stop(folder)
    assert (listed.view(folder).words, listed.view(folder).is_deaf) == ("Stopping", False)
    changed(folder / runs.STOP, 2 * jobs.STOP_WAIT_S)
    listed.stop(folder)                         # once more, which gives it no more time
    assert listed.view(folder).is_deaf and "its last checkpoint is lost" in listed.view(folder).words
    assert process.is_running()
    listed.end(folder)
    assert until(listed, folder, "stopped").words == job_folder.ENDED
    wait_for(lambda: not process.is_running())
    listed.start_again(folder)                  # and the next start is not told that it was ended
    wait_for(lambda: starts_of(listed, folder) == 2, WAIT_S)
    psutil.Process(pid_of(folder)).kill()
    wait_for(lambda: "ended by signal 9" in listed.view(folder).words, WAIT_S)
