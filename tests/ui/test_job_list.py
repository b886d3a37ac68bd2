"""What a page sees of many jobs, and how far one is: no process is started here."""

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from models import runs
from tests.ui.fakes import FakeSession
from ui import job_folder
from ui.actions.model import CurrentModel
from ui.job_list import JobList
from ui.job_progress import progress
from ui.settings import SettingsFile


@pytest.fixture
def listed(galen_home: Path):
    made = JobList(galen_home, CurrentModel(FakeSession(), SettingsFile(galen_home)))
    yield made
    made.close()


def made(name: str, config: dict[str, Any], events: list[dict[str, Any]], started: float = 1000.0) -> Path:
    """A run of the command line, as it looks when its process is gone."""
    folder = runs.new_run(name)
    runs.write_json(folder / runs.CONFIG, config)
    runs.write_json(folder / runs.PID, {"pid": 4_000_000, "started": started})
    (folder / runs.EVENTS).write_text("".join(json.dumps({"t": started + k, **one}) + "\n"
                                              for k, one in enumerate(events)))
    return folder


@pytest.mark.parametrize(("config", "files", "kind"), [
    ({"rank": 8, "base": "demo"}, ["adapter"], "train"), ({"rank": 8, "base": "demo"}, ["preview.html"], "preview"),
    ({"rank": 8, "base": "demo"}, ["estimate.json"], "estimate"),
    ({"rank": 8, "base": "demo"}, ["adapter", "estimate.json"], "train"), ({"source": "x"}, [], "export"),
    ({"benchmark": "pubmedqa"}, [], "evaluate"), ({"repo": "a/b", "files": []}, [], "download"),
    ({"task": "classify"}, [], "classify"), ({}, [], "job")])
def test_runs_of_the_command_line_are_told_apart(listed: JobList, config, files, kind):
    folder = made("run", config, [{"kind": "done"}])
    for name in files:
        (folder / name).write_text("{}")
    view, = listed.all()
    assert (view.kind, view.state, view.share) == (kind, "done", 1.0)


def test_the_end_of_an_earlier_start_is_not_the_end(listed: JobList):
    folder = made("run", {"rank": 8}, [{"kind": "step", "step": 3, "steps": 9, "loss": 1.0}, {"kind": "stopped"}])
    assert listed.view(folder.name).state == "stopped"
    runs.write_json(folder / runs.PID, {"pid": 4_000_000, "started": 2000.0})       # resumed, and killed at once
    view = listed.view(folder.name)
    assert (view.state, view.words, view.share) == ("interrupted", "Interrupted.", None)


def test_a_change_within_one_tick_of_the_disks_clock_is_seen(listed: JobList):
    folder = made("run", {"rank": 8}, [{"kind": "done"}])
    assert listed.view(folder.name).state == "done"
    before = folder.stat()
    runs.write_json(folder / job_folder.WAITING, {"since": time.time()})
    os.utime(folder, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert listed.view(folder.name).state == "waiting"


def test_a_torn_line_and_a_damaged_one_are_passed_over(listed: JobList):
    folder = made("run", {"rank": 8}, [{"kind": "note", "text": "x" * 70_000}, {"kind": "done"}])
    with (folder / runs.EVENTS).open("a") as file:
        file.write('{"t": 3, "kin\n{"t": 4, "kind": "sto')
    assert listed.view(folder).state == "done"


def test_five_hundred_runs_are_looked_at_once(listed: JobList, monkeypatch: pytest.MonkeyPatch):
    for number in range(500):
        folder = made(f"run{number}", {"rank": 8}, [{"kind": "done"}], started=1000.0 + number)
        for path in (folder, folder / runs.PID):
            os.utime(path, (2000.0, 2000.0))        # what changed a moment ago may change again, and is read each time
    assert [view.started for view in listed.all()] == [1000.0 + number for number in reversed(range(500))]
    reads: list[Path] = []
    read, here = Path.read_text, threading.get_ident()          # the queue's thread looks as well

    def counted(path: Path, **named) -> str:
        reads.extend([path] if threading.get_ident() == here else [])
        return read(path, **named)
    monkeypatch.setattr(Path, "read_text", counted)
    assert len(listed.all()) == 500 and reads == []
    changed = listed.all()[0].folder
    runs.write_json(changed / runs.PID, {"pid": 4_000_000, "started": 9000.0})
    assert listed.all()[0].state == "interrupted" and {path.parent for path in reads} == {changed}
    began = time.perf_counter()
    listed.all()
    print(f"all() with 500 runs: {(time.perf_counter() - began) * 1000:.1f} ms")


def test_a_heartbeat_that_comes_back_is_seen(listed: JobList):
    folder = made("run", {"rank": 8}, [{"kind": "step", "step": 3, "steps": 9, "loss": 1.0}])
    runs.write_json(folder / runs.PID, {"pid": os.getpid(), "started": 1000.0})
    os.utime(folder / runs.PID, (1.0, 1.0))
    assert listed.view(folder).state == "interrupted"
    os.utime(folder / runs.PID)
    view = listed.view(folder)
    assert view.state == "running" and view.share == pytest.approx(1 / 3) and view.words == "step 3/9, loss 1.000"
    (folder / runs.STOP).touch()
    assert listed.view(folder).words == "Stopping"


def phase(text: str, done: int = 0, of: int = 1, **more) -> dict[str, Any]:
    return {"kind": "phase", "text": text, "done": done, "of": of, **more}


def arrived(count: float, t: float) -> dict[str, Any]:
    return {"kind": "progress", "done_bytes": int(count), "total_bytes": 2_500_000_000, "bytes_s": 11.8e6,
            "left_s": 110.0, "file": "x.gguf", "t": t}


@pytest.mark.parametrize(("kind", "config", "events", "share", "left_s", "words"), [
    ("train", {}, [phase("Training", 2, 4)], None, None, "Training (2 of 4)"),
    ("train", {}, [{"kind": "step", "step": 5, "steps": 20, "loss": 0.5, "left_s": 90.0}], 0.25, 90.0,
     "step 5/20, loss 0.500"),
    ("export", {"types": []}, [phase("Merging", 1_000_000, 4_000_000)], 0.425, None, "Merging, 25%"),
    ("train", {"stages": [{"name": "a"}, {"name": "b"}]},
     [{"kind": "step", "step": 5, "steps": 20, "loss": 0.5, "left_s": 90.0, "stage": "b"}], 0.625, 60.0, None),
    ("classify", {}, [phase("Rows", 30, 200, left_s=12.0), {"kind": "note", "text": "x"}], 0.15, 12.0, None),
    ("evaluate", {"against": "b"}, [phase("MMLU: one", 10, 10), phase("MMLU: two", 5, 10)], 0.75, 100 / 3, None),
    ("evaluate", {"against": "b"}, [phase("MMLU: one", 5, 10)], 0.25, 300.0, None),
    ("export", {"types": ["Q8_0", "Q4_0"]}, [phase("Checking the prompts of Q4_0"),
                                             phase("Comparing logits with the reference", 1, 2)],
     0.55 + 0.2 * (1 + 0.02 + 0.375), None, None),
    ("export", {"types": ["Q8_0"]}, [phase("Publishing")], 0.95, None, "Publishing"),
    ("download", {}, [], None, None, "Starting"),
    ("download", {}, [arrived(1.2e9, t=5.0)], 0.48, 110.0, "1.2 GB of 2.5 GB, 11.8 MB/s"),
    ("download", {}, [{"kind": "note", "text": "Cut; goes on.", "t": 4.0}, arrived(1.2e9, t=5.0)], 0.48, 110.0,
     "1.2 GB of 2.5 GB, 11.8 MB/s. Cut; goes on."),
    ("download", {}, [{"kind": "note", "text": "Old.", "t": 4.0}, arrived(1.2e9, t=60.0)], 0.48, 110.0,
     "1.2 GB of 2.5 GB, 11.8 MB/s")])
def test_share_and_time_left_follow_from_the_events(kind, config, events, share, left_s, words):
    found = progress(kind, config, events, 100.0)
    assert found.share == (None if share is None else pytest.approx(share))
    assert words in (None, found.words)
    if left_s:
        assert found.left_s == pytest.approx(left_s)


def test_an_export_only_goes_forward():
    texts = ["Reading the model", "Loading the reference", "The reference answers", "The reference reads the rows",
             "Merging, quantizing and writing", "Writing the adapter", "Checking the prompts of Q8_0",
             "Comparing logits with the reference", "Checking where Q8_0 stops", "Checking the prompts of Q4_0",
             "Comparing logits with the reference", "Checking where Q4_0 stops", "Publishing", "Checksum of x"]
    events = [phase(text, done, 2) for text in texts for done in (0, 2)]
    shares = [progress("export", {"types": ["Q8_0", "Q4_0"]}, events[:k + 1], 1.0).share for k in range(len(events))]
    assert shares == sorted(shares) and shares[-1] < 1.0


def test_what_is_asked_for_is_read_back(galen_home: Path):
    folder = runs.new_run("x")
    (folder / job_folder.JOB).write_text('{"module": "of another version", "new": 1}')
    assert job_folder.asked_of(folder).module == ""
