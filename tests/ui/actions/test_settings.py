import threading
import time
from pathlib import Path

import pytest

from models import runs
from models.errors import UserError
from tests.ui.fakes import wait_for
from ui.actions import backup, space
from ui.actions import settings as actions
from ui.actions.single import Single
from ui.actions.space import Run, Space
from ui.chore import ChoreState
from ui.history import new_id
from ui.job_list import JobView
from ui.outside import Connection
from ui.views import settings as view
from ui.workbench import Workbench


def test_settings_are_kept_and_those_of_a_model_load_it_anew(bench: Workbench):
    assert actions.change(bench, theme="dark") == "Kept." and bench.settings.value.theme == "dark"
    assert actions.change(bench, theme="dark") == "Nothing was changed."
    assert "loaded anew" in actions.change(bench, ctx_tokens=512)
    wait_for(lambda: bench.model.state.info)
    with bench.model.in_use():
        assert actions.change(bench, threads=2).startswith("Kept. An answer is still being written")
    assert bench.settings.value.threads == 2
    with pytest.raises(UserError, match="Context is -1; use 0 to"):
        actions.change(bench, ctx_tokens=-1)


@pytest.mark.parametrize("old, new, again, words", [
    ("", "a", "b", "not the same"), ("", "", "", "There is no passphrase")])
def test_passphrases_that_do_not_fit(bench: Workbench, old: str, new: str, again: str, words: str):
    with pytest.raises(UserError, match=words):
        actions.set_passphrase(bench, old, new, again)


def test_passphrase_lock_and_unlock_keep_everything(bench: Workbench):
    conversation = new_id()
    bench.history.ask(conversation, "a question")
    assert "keep it where you find it" in actions.set_passphrase(bench, "", "open sesame", "open sesame")
    bench.lock()
    assert bench.history.is_locked
    with pytest.raises(UserError):
        actions.unlock(bench, "wrong")
    actions.unlock(bench, "open sesame")
    assert bench.history.thread(conversation)[0].text == "a question"
    assert "plain text again" in actions.set_passphrase(bench, "open sesame", "", "")
    assert bench.history.thread(conversation)[0].text == "a question" and not bench.history.is_encrypted
    with pytest.raises(UserError):
        bench.lock()


def test_setting_a_passphrase_tells_of_copies_without_one(bench: Workbench):
    assert "backup" not in actions.set_passphrase(bench, "", "open sesame", "open sesame")
    actions.set_passphrase(bench, "open sesame", "", "")
    for name in (backup.BACKUPS, space.REPLACED):
        (bench.home / name).mkdir()
    (bench.home / backup.BACKUPS / "galen-1.zip").write_bytes(b"PK")
    told = actions.set_passphrase(bench, "", "open sesame", "open sesame")
    assert "Backups that were made before can be read by everybody; delete them under Folder." in told


@pytest.mark.parametrize("what", ["summaries", "labellings"])
def test_the_idle_lock_waits_for_what_is_being_done(bench: Workbench, what: str):
    is_done = threading.Event()
    work = Single(bench.model, lambda asked, opened: is_done.wait(60))
    setattr(bench, what, work)
    actions.set_passphrase(bench, "", "open sesame", "open sesame")
    work.ask("a long conversation")
    bench.settings.change(lock_minutes=0.001)
    time.sleep(2.5)                                     # two looks
    assert not bench.history.is_locked and work.state.asked
    is_done.set()
    wait_for(lambda: bench.history.is_locked)
    wait_for(lambda: work.state.asked is None)


def test_a_leave_no_trace_session_begins_and_ends(bench: Workbench):
    actions.start_private(bench)
    assert bench.history.is_private
    actions.end_private(bench)
    assert not bench.history.is_private


def test_nobody_is_locked_out_without_a_token(bench: Workbench):
    with pytest.raises(UserError, match="There is no token yet"):
        actions.require_token(bench, True)
    assert actions.new_token(bench).startswith("galen-")
    assert actions.require_token(bench, True) == "Kept." and bench.settings.value.needs_token
    actions.require_token(bench, False)


def test_back_up_restore_and_forget(bench: Workbench):
    actions.back_up(bench, with_models=False, with_checkpoints=False)
    wait_for(lambda: "is written and read back" in bench.chore.state.outcome)
    name = backup.listed(bench.home)[0].name
    assert actions.clear(bench, "restore", name) == "Checking the backup."
    wait_for(lambda: "are whole" in bench.chore.state.outcome)
    assert "it takes its place" in actions.waiting(bench)
    assert actions.clear(bench, "forget", "") and actions.waiting(bench) == ""
    assert "MB freed" in actions.clear(bench, "delete", name) and not backup.listed(bench.home)
    for act, key, words in (("restore", "../x.zip", "no backup"), ("delete", "/etc/x", "no backup"),
                            ("x", "", "older")):
        with pytest.raises(UserError, match=words):
            actions.clear(bench, act, key)


def test_housekeeping_waits_for_jobs(bench: Workbench):
    class Running:
        def all(self):
            return [type("Job", (), {"is_over": False, "title": "Training on table.csv"})()]

    with pytest.raises(UserError, match="Training on table.csv is not done yet. .* to back up the folder"):
        space.refuse_while_running(Running(), "back up the folder")


def test_runs_and_checkpoints_are_deleted(bench: Workbench, galen_home: Path):
    for name, is_done in (("r1", True), ("r2", False)):
        folder = galen_home / "runs" / name
        (folder / runs.CHECKPOINTS / "step-1").mkdir(parents=True)
        (folder / runs.CHECKPOINTS / "step-1" / "w").write_bytes(b"w" * 1000)
        runs.write_json(folder / runs.CONFIG, {})
        runs.write_json(folder / "job.json", {"module": "train.worker", "kind": "train", "title": name, "asked": 1.0,
                                              "memory_mb": None})
        runs.write_json(folder / runs.PID, {"pid": 2 ** 22 + 1, "started": 1.0})
        kind = "done" if is_done else "stopped"
        (folder / runs.EVENTS).write_text(f'{{"t": 2.0, "kind": "{kind}"}}\n')
    states = {run.job.folder.name: run.job.state for run in space.list_runs(galen_home, bench.jobs)}
    assert states == {"r1": "done", "r2": "stopped"}
    used = space.used(galen_home, bench.jobs)
    assert used.checkpoints == 2000 and used.spare_checkpoints == 1000
    actions.clear(bench, "checkpoints", "")
    assert not (galen_home / "runs/r1" / runs.CHECKPOINTS).exists()
    assert (galen_home / "runs/r2" / runs.CHECKPOINTS / "step-1/w").exists()
    with pytest.raises(UserError, match="lies in the run r2"):
        space.delete_runs(bench.jobs, ["r2"], galen_home / "runs/r2/export/m.gguf")
    actions.clear(bench, "run", "r2")
    assert not (galen_home / "runs/r2").exists()


def test_views_escape_and_tell_the_empty_states(tmp_path: Path):
    job = JobView(folder=tmp_path / "r<1>", kind="train", title="<img src=x>", state="done", share=1.0, left_s=None,
                  words="", started=1.0)
    used = Space(free=10**9, models=0, runs=5, checkpoints=0, spare_checkpoints=7000, conversations=1, backups=0,
                 replaced=9000)
    html = view.space(tmp_path, used, [Run(job=job, bytes=10, checkpoint_bytes=0)], tmp_path / "old")
    assert "<img" not in html and "Delete the old copy" in html
    assert "Delete checkpoints of finished runs (7.0 kB)" in html
    assert "no finished run" in view.space(tmp_path, used, [], None)
    one = Connection(t=1.0, what="connected", address="<b>:1", reason="<i>", by="", is_refused=True)
    html = view.connections([one], 0, 1)
    assert "&lt;b&gt;" in html and "&lt;i&gt;" in html and "refused" in html and "<td>Galen</td>" in html
    assert view.connections([], 0, 0).startswith("<p>0 since Galen was started.</p>")
    for html in (view.privacy(True, False), view.privacy(False, True)):
        assert "The files that a job works on lie on the disk as they are." in html
    assert "no backup yet" in view.backups([]) and view.chore(ChoreState(), "") == ""
    running = view.chore(ChoreState(title="The move", words="Copying", share=0.5, left_s=90.0, is_running=True), "")
    assert "Copying (50%, about 1 min 30 s left)" in running and 'aria-valuenow="50"' in running
