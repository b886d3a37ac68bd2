"""Jobs start one after the other, once, with the memory they need, whoever is killed meanwhile."""

import gc
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from models import runs
from models.errors import UserError
from runtime.config import SampleConfig
from runtime.session import Session
from tests.ui.fakes import FakeSession, end_jobs, wait_for
from tests.ui.job_owner import MODULE
from tests.ui.small_job import SmallConfig
from ui import job_folder, job_memory, jobs
from ui.actions.model import Busy, CurrentModel
from ui.job_list import JobList
from ui.settings import SettingsFile

WAIT_S = 60


def submit(listed: JobList, end: str = "wait", kind: str = "train", memory_mb: float | None = 0.0, **more) -> Path:
    return listed.submit(MODULE, SmallConfig(end=end), kind=kind, title=more.get("title", f"A {kind}"), name=kind,
                         memory_mb=memory_mb)


def until(listed: JobList, folder: Path, state: str):
    return wait_for(lambda: (view := listed.view(folder)).state == state and view, WAIT_S)


def pid_of(folder: Path) -> int:
    return wait_for(lambda: (folder / runs.PID).exists() and runs.read_json(folder / runs.PID)["pid"], WAIT_S)


def test_heavy_jobs_run_one_after_the_other_and_light_ones_beside_them(listed: JobList):
    first, second = submit(listed, title="Run one"), submit(listed, "done")
    until(listed, first, "running")
    light = submit(listed, "done", kind="preview")
    until(listed, light, "done")
    waiting = listed.view(second)
    assert waiting.state == "waiting" and waiting.words == "Waits for Run one." and waiting.share is None
    assert {view.folder for view in listed.all()} == {first, second, light}
    listed.stop(first)
    assert until(listed, second, "done").words.startswith("Done in ") and listed.view(first).state == "stopped"
    assert listed.view(first).started < runs.read_json(second / runs.PID)["started"]


def test_a_job_of_the_command_line_counts_as_running(listed: JobList):
    folder = runs.new_run("by-hand")
    process = jobs.start(MODULE, folder, SmallConfig(end="wait"))
    until(listed, folder, "running")
    queued = submit(listed, "done")
    time.sleep(1.5)
    assert listed.view(queued).state == "waiting"
    listed.stop(folder)
    assert process.wait(WAIT_S) == 0
    until(listed, queued, "done")
    assert listed.view(folder).state == "stopped" and listed.view(folder).kind == "job"


def test_a_waiting_job_is_taken_out_of_the_queue_and_put_back(listed: JobList):
    first, second = submit(listed), submit(listed, "done")
    until(listed, first, "running")
    listed.stop(second)
    assert (listed.view(second).state, listed.view(second).words) == ("stopped", "Taken out of the queue.")
    with pytest.raises(UserError, match="has not ended yet; there is nothing to start again"):
        listed.start_again(first)
    listed.start_again(second)
    assert listed.view(second).state == "waiting"
    listed.stop(first)
    until(listed, second, "done")


@pytest.mark.parametrize(("how", "state", "words"), [
    ("user", "error", "The rows are empty; add some."), ("bug", "error", "ZeroDivisionError: ours"),
    ("killed", "interrupted", "Interrupted (ended by signal 9; the memory may have run out)."),
    ("refused", "error", "Nothing can be done here.")])
def test_an_end_is_told_in_words(listed: JobList, how, state, words):
    folder = submit(listed, how)
    wait_for(lambda: (listed.view(folder).state, listed.view(folder).words) == (state, words), WAIT_S)


def test_what_ended_is_started_again(listed: JobList):
    folder = submit(listed)
    pid = pid_of(folder)
    psutil.Process(pid).kill()
    until(listed, folder, "interrupted")
    listed.start_again(folder)
    wait_for(lambda: pid_of(folder) != pid, WAIT_S)
    listed.stop(folder)
    assert until(listed, folder, "stopped").words == "Stopped, as asked"


def test_a_job_is_deleted_when_it_is_over(listed: JobList):
    folder = submit(listed)
    until(listed, folder, "running")
    with pytest.raises(UserError, match="has not ended yet; stop it before you delete it"):
        listed.delete(folder)
    listed.stop(folder)
    until(listed, folder, "stopped")
    (folder / "big").write_bytes(bytes(5_000_000))
    assert 5_000_000 < listed.delete(folder) < 5_100_000
    assert not folder.exists() and listed.all() == []
    with pytest.raises(UserError, match="no run"):
        listed.view(folder.name)


@pytest.mark.parametrize("name", ["", ".", "..", "../home", "/etc", "a/b", "a\\b", ".hidden", "nowhere"])
def test_an_address_names_only_runs_of_this_folder(listed: JobList, galen_home: Path, name):
    (galen_home / "runs" / ".hidden").mkdir(parents=True)
    with pytest.raises(UserError, match="There is no run"):
        listed.folder_of(name)
    with pytest.raises(UserError, match="choose one directly inside"):
        listed.submit(MODULE, SmallConfig(), kind="train", title="", name="x", at="/tmp/elsewhere")


def test_a_folder_with_input_files_becomes_a_run_once(listed: JobList):
    draft = runs.new_run("draft")
    (draft / "rows.csv").write_text("a\n1\n")
    assert listed.all() == []
    config = SmallConfig()
    assert listed.submit(MODULE, config, kind="preview", title="", name="", at=draft) == draft.resolve()
    until(listed, draft, "done")
    assert (draft / "rows.csv").exists()
    with pytest.raises(UserError, match="holds a run already"):
        listed.submit(MODULE, config, kind="preview", title="", name="", at=draft)


def test_a_job_that_can_not_be_started_says_so_and_holds_nobody_up(listed: JobList):
    draft = runs.new_run("draft")
    (draft / runs.LOG).mkdir()                          # so that its log can not be opened
    listed.submit(MODULE, SmallConfig(), kind="train", title="", name="", at=draft)
    after = submit(listed, "done")
    assert "could not be started" in until(listed, draft, "error").words
    until(listed, after, "done")
    (draft / runs.LOG).rmdir()
    listed.start_again(draft)
    until(listed, draft, "done")


def test_runs_that_are_deleted_meanwhile_are_passed_over(listed: JobList):
    over = threading.Event()

    def make() -> None:
        while not over.is_set():
            folder = runs.new_run("short")
            runs.write_json(folder / runs.CONFIG, {"rank": 8})
            shutil.rmtree(folder)
    thread = threading.Thread(target=make)
    thread.start()
    for _ in range(300):
        listed.all()
    over.set()
    thread.join()
    until(listed, submit(listed, "done"), "done")       # and the queue has lived on


def test_several_lists_start_a_job_once(galen_home: Path, model: CurrentModel):
    lists = [JobList(galen_home, model) for _ in range(4)]
    folders = [submit(lists[0], "done", kind="preview") for _ in range(6)]
    wait_for(lambda: all(lists[1].view(folder).state == "done" for folder in folders), WAIT_S)
    for one in lists:
        one.close()
    for folder in folders:
        assert [event["kind"] for event in lists[0].events(folder)[0]] == ["note", "done"]


def test_one_of_many_threads_claims_a_job(tmp_path: Path):
    for _ in range(20):
        job_folder.ask(tmp_path)
        won: list[bool] = []
        barrier = threading.Barrier(8)

        def take(barrier=barrier, won=won) -> None:
            barrier.wait()
            won.append(job_folder.claim(tmp_path))
        threads = [threading.Thread(target=take) for _ in range(8)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        assert sorted(won) == [False] * 7 + [True]


def owner(home: Path, what: str, count: int) -> tuple[subprocess.Popen, list[Path]]:
    process = subprocess.Popen([sys.executable, "-m", "tests.ui.job_owner", str(home), what], cwd=runs.ROOT, text=True,
                               stdout=subprocess.PIPE)
    assert process.stdout is not None
    return process, [Path(process.stdout.readline().strip()) for _ in range(count)]


def test_a_killed_owner_loses_neither_what_runs_nor_what_waits(galen_home: Path, model: CurrentModel):
    process, (first, second) = owner(galen_home, "wait", 2)
    pid = pid_of(first)
    process.kill()
    process.wait()
    listed = JobList(galen_home, model)
    until(listed, first, "running")
    assert runs.read_json(first / runs.PID)["pid"] == pid and listed.view(second).state == "waiting"
    listed.stop(first)
    until(listed, second, "running")
    end_jobs(listed)
    assert listed.view(first).state == "stopped"


def test_a_claim_whose_owner_was_killed_before_it_started_anything_is_made_again(listed: JobList):
    folder = submit(listed, "done")
    until(listed, folder, "done")
    job_folder.ask(folder)
    job_folder.claim(folder)                            # and here its owner is killed
    assert listed.view(folder).state == "running"
    for name, ago in ((job_folder.CLAIMED, 60), (runs.PID, 90)):         # the start before it ended before the claim
        os.utime(folder / name, (time.time() - ago, time.time() - ago))
    wait_for(lambda: [event["kind"] for event in listed.events(folder)[0]] == ["note", "done"] * 2, WAIT_S)


def test_the_model_makes_room_where_the_memory_does_not_hold_both(listed: JobList, model: CurrentModel):
    beside = submit(listed, memory_mb=0.0)
    until(listed, beside, "running")
    assert model.state.info and not model.state.lent_to
    listed.stop(beside)
    until(listed, beside, "stopped")
    big = submit(listed, memory_mb=1e9, title="Training run seven")
    pid_of(big)
    assert model.state.lent_to == "Training run seven" and model.pid is None
    listed.stop(big)
    wait_for(lambda: model.state.info and not model.state.lent_to, WAIT_S)
    assert model.pid and listed.view(big).state == "stopped"


def test_no_further_answer_begins_before_a_job_that_waits_and_each_may_again_when_it_does_not(listed: JobList,
                                                                                             model: CurrentModel):
    def asks() -> bool:
        try:
            with model.in_use():
                return True
        except Busy:
            return False
    with model.in_use():
        big = submit(listed, memory_mb=1e9, title="A long training")
        wait_for(lambda: not asks(), WAIT_S)
        assert listed.view(big).state == "waiting" and not model.state.lent_to
        listed.stop(big)
        wait_for(asks, WAIT_S)
    assert listed.view(big).state == "stopped"


def test_an_answer_in_progress_is_waited_for(listed: JobList, model: CurrentModel):
    with model.in_use():
        big = submit(listed, memory_mb=1e9)
        wait_for(lambda: "Waits until the answer" in listed.view(big).words, WAIT_S)
        assert model.pid
    pid_of(big)
    assert model.state.lent_to and model.pid is None


def test_a_job_that_has_the_memory_keeps_it_when_galen_is_killed(galen_home: Path):
    process, (folder,) = owner(galen_home, "lend", 1)
    pid_of(folder)
    wait_for(lambda: runs.read_json(folder / job_folder.CLAIMED).get("has_memory"))       # its owner has noted it
    process.send_signal(signal.SIGKILL)
    process.wait()
    session = FakeSession()
    model = CurrentModel(session, SettingsFile(galen_home))
    listed = JobList(galen_home, model)                 # before preload, as a start of the app does it
    model.preload(galen_home / "demo.gguf")
    time.sleep(1.0)
    assert session.pid is None and model.state.lent_to == "Run 0" and model.state.chosen
    listed.stop(folder)
    wait_for(lambda: session.pid and model.state.info, WAIT_S)
    listed.close()


def test_memory_lent_while_the_model_is_still_loading_comes_back(galen_home: Path):
    class SlowSession(FakeSession):
        is_held = threading.Event()

        def load(self, path, config=None):
            assert self.is_held.wait(WAIT_S)
            return super().load(path, config)
    session = SlowSession()
    model = CurrentModel(session, SettingsFile(galen_home))
    model.preload(galen_home / "demo.gguf")
    with model.lent("a training", 1):
        session.is_held.set()                           # the load that had begun ends beside the job: undone at once
        wait_for(lambda: session.info and session.pid is None)
        assert model.state.lent_to and model.state.chosen == galen_home / "demo.gguf"
        model.reload()
        time.sleep(0.2)
        assert session.pid is None
    wait_for(lambda: session.pid and model.state.info)


def test_the_end_of_galen_does_not_load_a_model_beside_the_job(galen_home: Path, model: CurrentModel):
    listed = JobList(galen_home, model)
    folder = submit(listed, memory_mb=1e9)
    pid_of(folder)
    listed.close()
    del listed
    gc.collect()                                        # as the end of the process does
    time.sleep(0.3)
    assert model.pid is None and not model.state.loading
    jobs.stop(folder)
    wait_for(lambda: not jobs.is_running(folder), WAIT_S)


def test_a_real_model_makes_room_and_comes_back(galen_home: Path, demo_gguf: Path):
    session = Session()
    model = CurrentModel(session, SettingsFile(galen_home))
    listed = JobList(galen_home, model)
    try:
        model.preload(demo_gguf)
        worker = wait_for(lambda: model.state.info and psutil.Process(session.pid), WAIT_S)
        free_mb = psutil.virtual_memory().available / 1e6
        beside = submit(listed, memory_mb=free_mb / 2)
        pid_of(beside)
        assert worker.is_running() and not model.state.lent_to
        listed.stop(beside)
        big = submit(listed, memory_mb=2 * free_mb)
        pid_of(big)
        assert not worker.is_running() and session.pid is None
        with pytest.raises(UserError, match="The memory is in use for A train"), model.in_use():
            pass
        listed.stop(big)
        wait_for(lambda: model.state.info and session.pid, WAIT_S)
        with model.in_use() as answering:
            said = "".join(answering.chat([{"role": "user", "content": "What is asthma?"}], SampleConfig(max_tokens=8)))
        assert said and session.pid != worker.pid
    finally:
        end_jobs(listed)
        session.close()


def test_need_is_the_promise_then_what_was_said_then_the_weights(galen_home: Path, demo_base: Path):
    folder = runs.new_run("train")
    weights_mb = sum(path.stat().st_size for path in demo_base.glob("*.safetensors")) / 1e6
    runs.write_json(folder / runs.CONFIG, {"rank": 8, "base": str(demo_base)})
    assert job_memory.needed_mb(folder) == pytest.approx(2.0 * weights_mb + 2000.0)
    runs.write_json(folder / job_folder.JOB, {"module": MODULE, "kind": "train", "title": "", "asked": 0.0,
                                              "is_heavy": True, "memory_mb": 700.0})
    assert job_memory.needed_mb(folder) == 700.0
    runs.write_json(folder / runs.ESTIMATE, {"peak_rss_mb": 512})
    assert job_memory.needed_mb(folder) == 512.0 and not job_memory.needs_gpu(folder)


def test_free_memory_leaves_out_what_the_model_maps():
    free, total = job_memory.free_mb(None), psutil.virtual_memory().total / 1e6
    assert 0 < free < total and job_memory.free_mb(os.getpid()) < free


def test_a_job_of_a_foreign_module_is_refused_in_words(galen_home: Path, model: CurrentModel):
    folder = galen_home / "runs" / "restored-1"
    folder.mkdir(parents=True)
    runs.write_json(folder / runs.CONFIG, {})
    runs.write_json(folder / job_folder.JOB, {"module": "platform", "kind": "train", "title": "A training",
                                              "asked": time.time(), "is_heavy": True, "memory_mb": 0.0})
    job_folder.ask(folder)
    listed = JobList(galen_home, model)
    wait_for(lambda: listed.view(folder).is_over, WAIT_S)
    assert listed.view(folder).state == "error" and "no job of Galen" in listed.view(folder).words
    listed.close()
