"""The train page's actions on folders on disk and a job list that only remembers what it was asked for."""

import errno
import json
import os
import shutil
from pathlib import Path

import pytest

from models import knobs, runs
from models.errors import UserError
from train.config import TrainConfig
from ui.actions.train_page import Trainings
from ui.actions.uploads import upload_folder
from ui.job_list import JobView
from ui.views import train_data

ROWS = "Frage,answer,patient\nWhy is that so?,Because it is so.,p1\n<b>How</b>?,Like this one here.,p2\n"


class FakeJobs:
    """The job list's names; jobs do what the test writes into their folders. states: what view() says of each."""

    def __init__(self, home):
        self.runs, self.states, self.asked, self.stopped, self.again = home / "runs", {}, [], [], []
        self.ended = []

    def submit(self, module, config, *, kind, title, name, at="", memory_mb=None):
        folder = runs.new_run(name, "") if not at else Path(at)
        runs.make_folder(folder)
        runs.write_json(folder / runs.CONFIG, knobs.to_json(config))
        self.asked.append((module, kind, folder.name))
        self.states[folder] = (kind, "running")
        return folder

    def view(self, folder):
        kind, state = self.states.get(folder, ("train", "interrupted"))
        return JobView(folder=folder, kind=kind, title=f"{kind} {folder.name}", state=state, share=None, left_s=None,
                       words="", started=1.0)

    def all(self):
        return [self.view(folder) for folder in self.states]

    def folder_of(self, name):
        folder = self.runs / name
        if not name or "/" in name or not folder.is_dir():
            raise UserError(f"There is no run {name!r} here.")
        return folder

    def events(self, folder, position=0):
        lines = (folder / runs.EVENTS).read_bytes()[position:].splitlines()
        return [json.loads(line) for line in lines], (folder / runs.EVENTS).stat().st_size

    def stop(self, folder):
        self.stopped.append(folder.name)

    def end(self, folder):
        self.ended.append(folder.name)

    def start_again(self, folder):
        self.again.append(folder.name)

    def delete(self, folder):
        import shutil
        if self.states.get(folder, ("", ""))[1] == "running":
            raise UserError("It has not ended yet.")
        self.states.pop(folder, None)
        shutil.rmtree(folder)
        return 1000


@pytest.fixture
def jobs(galen_home):
    return FakeJobs(galen_home)


@pytest.fixture
def trainings(galen_home, jobs):
    return Trainings(galen_home, jobs)


def upload(name="my rows.csv", text=ROWS):
    folder = upload_folder() / os.urandom(4).hex()
    folder.mkdir(parents=True)
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder / name)


@pytest.fixture
def draft(trainings):
    """A draft that could begin."""
    name = trainings.begin("", [upload()])
    trainings.map(name, "question", "Frage")
    return name


def done(jobs, folder, **files):
    for name, value in files.items():
        runs.write_json(folder / f"{name}.json", value)
    jobs.states[folder] = (jobs.states[folder][0], "done")


def test_files_lie_in_the_runs_own_folder(galen_home, trainings):
    given = upload()
    name = trainings.begin("", [given])
    assert not Path(given).exists()
    [one] = trainings.draft(name).files
    assert Path(one["file"]) == galen_home / "runs" / name / "data" / "my rows.csv"
    assert trainings.begin(name, [upload(), upload("b.csv")]) == name
    assert [Path(one["file"]).name for one in trainings.draft(name).files] == ["my rows.csv", "my rows-2.csv", "b.csv"]
    trainings.remove(name, one["file"])
    assert len(trainings.draft(name).files) == 2 and not Path(one["file"]).exists()


@pytest.mark.parametrize("path", ["/etc/hostname", "../../../etc/hostname", "http://example.org/x.csv"])
def test_no_other_file_is_taken_and_no_folder_is_left(galen_home, trainings, path):
    with pytest.raises(UserError, match="not here any more"):
        trainings.begin("", [path])
    with pytest.raises(UserError, match="which can not be read here"):
        trainings.begin("", [upload("x.exe")])
    assert list((galen_home / "runs").iterdir()) == []


def test_nobody_removes_a_file_of_another_place(galen_home, trainings, draft):
    other = galen_home / "other.csv"
    other.write_text(ROWS)
    trainings.remove(draft, str(other))
    assert other.exists() and len(trainings.draft(draft).files) == 1


def test_a_run_of_the_command_line_is_begun_again_with_its_own_files_left_alone(galen_home, trainings, tmp_path):
    mine = tmp_path / "mine.csv"
    mine.write_text(ROWS)
    folder = galen_home / "runs" / "answer-1"
    folder.mkdir(parents=True)
    runs.write_json(folder / runs.CONFIG, knobs.to_json(TrainConfig(recipe="answer", data=(str(mine),), rank=3)))
    name = trainings.begin_again("answer-1")
    assert trainings.view(name).config.data == (str(mine),) and trainings.draft(name).as_set().rank == 3
    trainings.remove(name, str(mine))
    assert mine.exists() and trainings.draft(name).files == ()


def test_the_recipe_offered_fits_the_first_file(trainings):
    for text, recipe in (("title,abstract,group\na,b c d,x\n", "classify"), (ROWS, "answer"),
                         ("dialogue,section_text\nDoctor: Hi,Says hi\n", "summarise")):
        assert trainings.draft(trainings.begin("", [upload(text=text)])).recipe == recipe


def test_columns_are_mapped_by_hand(trainings):
    name = trainings.begin("", [upload(text="Frage,answer,MRN\nWhy is that so?,Because it is so.,p1\n")])
    view = trainings.view(name)
    assert "has the columns Frage, answer, MRN" in view.tables[0].problem
    assert view.tables[0].problem.startswith("my rows.csv")             # and not where it lies
    trainings.change(name, layout="question/answer")
    assert [(one.field, one.column) for one in trainings.view(name).tables[0].fields][0] == ("question", "")
    trainings.map(name, "question", "Frage")
    [seen] = trainings.view(name).tables
    fields = {one.field: one for one in seen.fields}
    assert seen.problem == "" and fields["question"].is_by_hand and not fields["answer"].is_by_hand
    assert fields["question"].first == "Why is that so?" and fields["group_id"].column == "MRN"
    assert trainings.view(name).config.columns == ("question=Frage",)
    trainings.map(name, "group_id", "-")
    assert {one.field: one.column for one in trainings.view(name).tables[0].fields}["group_id"] == ""
    with pytest.raises(UserError, match="has the column 'Frage' twice"):
        trainings.map(name, "answer", "Frage")
    trainings.map(name, "question", "")
    assert "none of them is the question" in trainings.view(name).tables[0].problem


def test_a_workbooks_sheet_is_chosen(trainings):
    import openpyxl
    book = openpyxl.Workbook()
    book.active.title = "Read me"
    book.active.append(["Made in 2024"])
    cases = book.create_sheet("Cases")
    for row in (["question", "answer"], ["Of the heart?", "It pumps."]):
        cases.append(row)
    book.create_sheet("Hidden").sheet_state = "hidden"
    path = upload("cases.xlsx")
    book.save(path)
    name = trainings.begin("", [path])
    seen, = trainings.view(name).tables
    assert seen.sheets == ("Read me", "Cases") and seen.problem == (
        "cases.xlsx has several sheets that hold something; choose the one with the examples.")
    assert '<select data-act="sheet"><option value="" selected>' in train_data.tables(trainings.view(name))
    trainings.set(name, {"rank": 3}, "")
    trainings.read_sheet(name, "Cases")
    seen, = trainings.view(name).tables
    assert (seen.problem, seen.layout, seen.sheet) == ("", "question/answer", "Cases")
    assert trainings.draft(name).as_set().rank == 3 and trainings.draft(name).config().sheet == "Cases"
    trainings.read_sheet(name, "Read me")
    assert trainings.view(name).tables[0].problem
    trainings.read_sheet(name, "")
    assert "choose the one" in trainings.view(name).tables[0].problem


def test_a_files_use_is_chosen(trainings, draft):
    trainings.begin(draft, [upload("b.csv")])
    other = trainings.draft(draft).files[1]["file"]
    trainings.place(draft, other, "eval")
    assert trainings.view(draft).config.eval == (other,)
    with pytest.raises(UserError, match="There is no use 'eval:x'"):
        trainings.place(draft, other, "eval:x")
    trainings.change(draft, recipe="answer-then-chat")
    trainings.place(draft, other, "data:pubmedqa")
    assert "conversations" not in trainings.view(draft).problem     # the first file is for all stages
    trainings.change(draft, recipe="answer")                        # has no such stage
    assert [one["stage"] for one in trainings.draft(draft).files] == ["", ""]


def test_preview_and_promise_are_jobs_and_grow_stale(jobs, trainings, draft, galen_home):
    trainings.look(draft)
    place = galen_home / "runs" / f"{draft}-preview"
    assert jobs.asked == [("train.preview", "preview", place.name)]
    with pytest.raises(UserError, match="is being done already"):
        trainings.look(draft)
    done(jobs, place, preview={"stages": []}, findings=[{"step": "reading", "count": 1, "text": "t", "rows": []}])
    (place / runs.UNUSABLE).write_text('{"file": "f", "line": 2, "reason": "r"}\n')
    seen = trainings.view(draft).preview
    assert seen.made == {"stages": []} and seen.findings[0]["text"] == "t" and seen.left_out[0]["line"] == 2
    trainings.promise(draft)
    done(jobs, galen_home / "runs" / f"{draft}-estimate", estimate={"seconds": 5})
    assert not trainings.view(draft).estimate.is_stale
    trainings.set(draft, {"lr": 1e-3}, "")              # the rows stay as they are, the run does not
    assert (trainings.view(draft).preview.is_stale, trainings.view(draft).estimate.is_stale) == (False, True)
    trainings.set(draft, {"max_len": 99}, "")
    assert trainings.view(draft).preview.is_stale
    trainings.look(draft)
    assert not trainings.view(draft).preview.made and len(jobs.asked) == 3


def test_a_run_takes_the_promise_along_and_is_a_draft_no_more(jobs, trainings, draft, galen_home):
    folder = galen_home / "runs" / draft
    trainings.promise(draft)
    done(jobs, galen_home / "runs" / f"{draft}-estimate", estimate={"seconds": 5})
    trainings.start(draft)
    assert jobs.asked[-1] == ("train.worker", "train", draft)
    assert runs.read_json(folder / runs.ESTIMATE) == {"seconds": 5}
    view = trainings.view(draft)
    assert view.draft is None and view.job.state == "running" and view.record.promise == {"seconds": 5}
    for change in (lambda: trainings.set(draft, {"lr": 1e-3}, ""), lambda: trainings.start(draft),
                   lambda: trainings.change(draft, recipe="chat")):
        with pytest.raises(UserError, match="This run has begun, and goes on as it was set up"):
            change()
    trainings.stop(draft)
    assert jobs.stopped == [draft] and not trainings.can_resume(folder)
    jobs.states[folder] = ("train", "stopped")
    trainings.resume(draft)
    assert jobs.again == [draft]
    done(jobs, folder, result={"is_stopped": False, "best_val_loss": 3.0})
    with pytest.raises(UserError, match="has come to its end"):
        trainings.resume(draft)


def test_a_promise_for_other_settings_is_left_behind(jobs, trainings, draft, galen_home):
    trainings.promise(draft)
    done(jobs, galen_home / "runs" / f"{draft}-estimate", estimate={"seconds": 5})
    trainings.set(draft, {"lr": 1e-3}, "")
    trainings.start(draft)
    assert not (galen_home / "runs" / draft / runs.ESTIMATE).exists()


def test_another_run_has_its_own_copy_of_the_rows(jobs, trainings, draft):
    trainings.set(draft, {"rank": 3}, "")
    trainings.start(draft)
    other = trainings.begin_again(draft)
    assert other != draft and trainings.draft(other).as_set().rank == 3
    [file] = [Path(one["file"]) for one in trainings.draft(other).files]
    assert file.parent.parent.name == other and file.read_text(encoding="utf-8") == ROWS
    jobs.states[trainings.folder(draft)] = ("train", "done")
    trainings.delete(draft)
    assert trainings.view(other).problem == ""


def test_deleting_takes_files_preview_and_estimate_along(jobs, trainings, draft, galen_home, monkeypatch):
    trainings.look(draft)
    monkeypatch.setattr("ui.actions.train_page.END_WAIT_S", 0.2)
    with pytest.raises(UserError, match="wait for the end, then delete it"):
        trainings.delete(draft)
    assert jobs.stopped == jobs.ended == [f"{draft}-preview"]
    done(jobs, galen_home / "runs" / f"{draft}-preview", preview={})
    assert trainings.delete(draft) > 1000
    assert list((galen_home / "runs").iterdir()) == [] and not trainings.is_known(draft)


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "none"])
def test_only_names_of_runs_are_opened(trainings, name):
    assert not trainings.is_known(name) and not trainings.is_draft(name)


def test_the_list_has_drafts_and_runs_and_survives_damage(jobs, trainings, draft, galen_home):
    other = trainings.begin_demonstration()
    trainings.start(draft)
    folder = galen_home / "runs" / draft
    (folder / runs.EVENTS).write_text('{"t": 1, "kind": "eval", "step": 2, "loss": 4.5}\n')
    lines = {line.name: line for line in trainings.lines()}
    assert (lines[draft].state, lines[draft].best, lines[draft].bytes) == ("running", 4.5, None)
    assert (lines[other].state, lines[other].recipe) == ("draft", "demo") and lines[other].bytes > 10_000
    done(jobs, folder, result={"best_val_loss": 3.25})
    assert {line.name: line.best for line in trainings.lines()}[draft] == 3.25
    (folder / runs.CONFIG).write_text("{")
    (galen_home / "runs" / other / runs.DRAFT).write_text('{"no_such": 1}')
    os.utime(folder / runs.RESULT, (5, 5))
    assert len(trainings.lines()) == 2


def test_versions_change_with_what_they_stand_for(jobs, trainings, draft, galen_home):
    def changed(do):
        before = trainings.versions(draft, "")
        do()
        after = trainings.versions(draft, "")
        return {part for part in after if after[part] != before[part]}

    def in_the_same_tick():
        path = galen_home / "runs" / draft / runs.DRAFT
        then = path.stat()
        trainings.set(draft, {"rank": 5}, "")
        os.utime(path, ns=(then.st_atime_ns, then.st_mtime_ns))

    assert changed(lambda: None) == set()
    assert changed(in_the_same_tick) >= {"data", "see", "base", "promise"}
    assert changed(lambda: trainings.look(draft)) == {"data"}
    preview = galen_home / "runs" / f"{draft}-preview"
    assert changed(lambda: done(jobs, preview, preview={"stages": []})) == {"data", "see"}
    assert "begun" in changed(lambda: trainings.start(draft))
    events = galen_home / "runs" / draft / runs.EVENTS
    assert changed(lambda: events.write_text('{"t": 1, "kind": "eval", "step": 2, "loss": 4}\n')) == {"run", "list"}


def test_a_base_that_is_not_listed_is_refused(trainings, tmp_path):
    name = trainings.begin_demonstration()
    with pytest.raises(UserError, match="no base model"):
        trainings.change(name, base=str(tmp_path))
    assert trainings.change(name, base="demo").base == "demo"


def test_what_another_page_set_stays_where_this_one_changed_nothing(trainings, draft):
    filled = {"epochs": 3.0, "rank": 16, "of_stages": ""}           # by both pages, when they were opened
    trainings.set(draft, {"epochs": 0.5, "rank": 16}, "", filled)
    kept = trainings.set(draft, {"epochs": 3.0, "rank": 4}, "", filled)
    assert set(kept.settings) >= {"epochs=0.5", "rank=4"}
    other = trainings.change(draft, recipe="chat").as_set()
    kept = trainings.set(draft, {"epochs": 3.0, "rank": 16, "alpha": 7}, "", {**filled, "alpha": 32}).as_set()
    assert (kept.epochs, kept.rank, kept.alpha) == (other.epochs, other.rank, 7)


def test_a_full_disk_is_told_and_no_folder_is_left(jobs, trainings, draft, galen_home, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    before = sorted((galen_home / "runs").iterdir())
    monkeypatch.setattr(shutil, "copyfile", full)
    for begin in (trainings.begin_demonstration, lambda: trainings.begin_again(draft)):
        with pytest.raises(UserError, match="disk is full"):
            begin()
    assert sorted((galen_home / "runs").iterdir()) == before
