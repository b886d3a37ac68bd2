"""Galen ended in every way there is, with real processes: nothing of it is left, and its jobs are as they should be."""

import contextlib
import http.client
import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path

import psutil
import pytest

from models import runs
from tests.ui.fakes import FakeSession, wait_for
from tests.ui.running import START, RunningApp
from tests.ui.small_job import SmallConfig
from ui import job_folder
from ui.actions.model import CurrentModel
from ui.ending import Ending
from ui.job_list import JobList
from ui.settings import SettingsFile

MODULE = "tests.ui.small_job"
posix_only = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


def ask_for(home: Path, name: str) -> Path:
    """A job in the queue of whoever holds home; one who starts takes it at once, one who runs when he next looks."""
    folder = home / "runs" / name
    folder.mkdir(parents=True)
    runs.write_json(folder / runs.CONFIG, asdict(SmallConfig(end="wait")))
    runs.write_json(folder / job_folder.JOB, asdict(job_folder.Asked(
        module=MODULE, kind="train", title=f"Training {name}", asked=time.time(), is_heavy=True, memory_mb=0.0)))
    job_folder.ask(folder)
    return folder


def has_begun(folder: Path) -> int:
    """The process of a job that has written its first event; 0 before."""
    return runs.read_json(folder / runs.PID)["pid"] if (folder / runs.EVENTS).is_file() and (
        "began" in (folder / runs.EVENTS).read_text()) else 0


def is_gone(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.status() == psutil.STATUS_ZOMBIE
    return True


def post(app: RunningApp, path: str, **headers: str) -> tuple[int, dict]:
    connection = http.client.HTTPConnection("127.0.0.1", int(app.url.rsplit(":", 1)[1]), timeout=10)
    connection.request("POST", path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    return answer.status, json.loads(body) if body.startswith(b"{") else {}


def all_of(app: RunningApp) -> list[psutil.Process]:
    """The app's process and everything under it."""
    me = psutil.Process(app.process.pid)
    return [me, *me.children(recursive=True)]


def test_the_stop_button_asks_once_and_ends_every_child(demo_gguf: Path, tmp_path: Path):
    first, second = ask_for(tmp_path, "one"), ask_for(tmp_path, "two")
    app = RunningApp(tmp_path, demo_gguf).wait_until_loaded()
    wait_for(lambda: has_begun(first) or has_begun(second))
    if has_begun(second):
        first, second = second, first
    everything = all_of(app)
    assert len(everything) == 3                                 # Galen, its model, the training
    assert post(app, "/stop", Origin="http://evil.example")[0] == 403
    status, said = post(app, "/stop")
    assert status == 409 and {job["state"] for job in said["jobs"]} == {"running", "waiting"}
    assert {job["title"] for job in said["jobs"]} == {"Training one", "Training two"}
    assert app.health()["status"] == "ok"                       # it only asked
    assert post(app, "/stop?jobs=stop")[0] == 202
    assert app.process.wait(60) == 0
    wait_for(lambda: all(map(is_gone, everything)))
    assert json.loads((first / runs.EVENTS).read_text().splitlines()[-1])["kind"] == "stopped"
    assert not job_folder.is_waiting(second) and not (second / runs.EVENTS).exists()
    assert not (tmp_path / "app.json").exists()


@posix_only
@pytest.mark.parametrize("how", ["keep", signal.SIGKILL])
def test_a_training_outlives_every_other_end(how, demo_gguf: Path, tmp_path: Path):
    folder, upload = ask_for(tmp_path, "one"), tmp_path / "cache" / "page" / "scan.pdf"
    app = RunningApp(tmp_path, demo_gguf).wait_until_loaded()
    upload.write_text("of a patient")
    job = psutil.Process(wait_for(lambda: has_begun(folder)))
    others = [one for one in all_of(app) if one.pid != job.pid]
    try:
        if how == "keep":
            assert post(app, "/stop?jobs=keep")[0] == 202
            while upload.exists() and app.process.poll() is None:       # somebody impatient presses Ctrl-C as well
                app.process.send_signal(signal.SIGINT)
                time.sleep(0.02)
            app.process.wait(60)
            assert not upload.exists()          # the last thing that is done: nothing was cut short
        else:
            app.end(how)
        wait_for(lambda: all(map(is_gone, others)))
        assert not is_gone(job) and job_folder.is_alive(folder)
    finally:
        (folder / runs.STOP).touch()
    wait_for(lambda: is_gone(job))


@posix_only
def test_a_closed_terminal_ends_galen_in_order(demo_gguf: Path, tmp_path: Path):
    """The page's address is taken back and the model's process ended, though nothing can be printed any more."""
    pid, terminal = pty.fork()
    if pid == 0:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)            # the tests may run under nohup
        os.chdir(runs.ROOT)
        os.execve(sys.executable, [sys.executable, "-c", START, str(tmp_path), "0", str(demo_gguf)],
                  {**os.environ, "GALEN_HOME": str(tmp_path)})
    wait_for((tmp_path / "app.json").exists)
    me = psutil.Process(pid)
    everything = [me, *wait_for(lambda: me.children(recursive=True))]
    os.close(terminal)                                          # the system sends SIGHUP to what runs in it
    until = time.monotonic() + 30
    while (ended := os.waitpid(pid, os.WNOHANG)) == (0, 0) and time.monotonic() < until:
        time.sleep(0.05)
    assert ended == (pid, 0)
    wait_for(lambda: all(map(is_gone, everything)))
    assert not (tmp_path / "app.json").exists()


@pytest.fixture
def listed(galen_home: Path):
    made = JobList(galen_home, CurrentModel(FakeSession(), SettingsFile(galen_home)))
    yield made
    for view in made.all():
        job_folder.kill(view.folder)
    made.close()


def test_a_deaf_job_is_ended_with_what_it_started(galen_home: Path, listed: JobList):
    ending = Ending(listed, stop_wait_s=0.3)
    folder = listed.submit(MODULE, SmallConfig(end="deaf"), kind="train", title="Training", name="deaf", memory_mb=0.0)
    job = psutil.Process(wait_for(lambda: has_begun(folder)))
    ending.ask_with_jobs()
    ending.ask_with_jobs()                                      # pressed twice
    wait_for(lambda: ending.is_asked)
    wait_for(lambda: is_gone(job))


class Unhurried(JobList):
    """Its stop comes back when the job is over, and what waited has had the time to take its place."""

    def stop(self, folder: Path) -> None:
        super().stop(folder)
        wait_for(lambda: self.view(folder).is_over)
        while self.looks and not all(view.is_over or has_begun(view.folder) for view in self.all()):
            time.sleep(0.02)

    @property
    def looks(self) -> bool:
        """Whether there is somebody who starts what waits."""
        return any(thread.name == "jobs" for thread in threading.enumerate())


def test_what_waits_does_not_take_the_place_of_what_ends(galen_home: Path):
    jobs = Unhurried(galen_home, CurrentModel(FakeSession(), SettingsFile(galen_home)))
    assert jobs.looks
    first, second = (jobs.submit(MODULE, SmallConfig(end="wait"), kind="train", title="Training", name=name,
                                 memory_mb=0.0) for name in ("one", "two"))
    try:
        wait_for(lambda: has_begun(first))
        ending = Ending(jobs)
        ending.ask_with_jobs()
        wait_for(lambda: ending.is_asked)
        assert not (second / runs.EVENTS).exists() and not job_folder.is_waiting(second)
    finally:
        for folder in (first, second):
            job_folder.kill(folder)
        jobs.close()


def test_what_a_command_line_follows_is_left_alone(galen_home: Path, listed: JobList):
    folder = galen_home / "runs" / "by-hand"
    folder.mkdir(parents=True)
    runs.write_json(folder / runs.CONFIG, asdict(SmallConfig(end="wait")))
    process = subprocess.Popen([sys.executable, "-m", MODULE, str(folder)], cwd=runs.ROOT)
    try:
        wait_for(lambda: has_begun(folder))
        assert not listed.all()[0].is_over
        ending = Ending(listed)
        assert ending.open_jobs() == []
        ending.ask_with_jobs()
        wait_for(lambda: ending.is_asked)
        assert process.poll() is None and not (folder / runs.STOP).exists()
    finally:
        (folder / runs.STOP).touch()
        assert process.wait(60) == 0


def test_a_closed_window_waits_for_jobs_and_then_for_open_pages(galen_home: Path, listed: JobList):
    at_once = Ending(listed, look_s=0.0)
    at_once.page_looked()                                       # the window itself, a moment ago
    assert at_once.window_is_closed() == [] and at_once.is_asked
    folder = listed.submit(MODULE, SmallConfig(end="wait"), kind="train", title="Training one", name="one",
                           memory_mb=0.0)
    wait_for(lambda: has_begun(folder))
    ending = Ending(listed, page_gone_s=0.5, look_s=0.0)
    assert [view.title for view in ending.window_is_closed()] == ["Training one"]
    assert ending.window_is_closed() == [] and not ending.is_asked          # said once
    listed.stop(folder)
    wait_for(lambda: listed.view(folder).is_over)
    ending.page_looked()
    ending.window_is_closed()
    assert not ending.is_asked                                  # somebody looks at it in a browser
    wait_for(lambda: ending.window_is_closed() or ending.is_asked)
