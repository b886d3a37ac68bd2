"""A task over an uploaded file: looked at, moved into the run's folder, followed, and handed out."""

import json
import os
from pathlib import Path

import pytest

from evaluation.batch.config import ClassifyConfig, SummariseConfig
from models import runs
from models.errors import UserError
from ui.actions import file_task, uploads
from ui.actions.file_task import Look, Wanted
from ui.job_list import JobView

DIALOGUES = "id,dialogue,section_header,section_text\n1,Doctor: Hi.,PLAN,Rest.\n2,Doctor: Bye.,CC,\n"


class FakeJobs:
    """Keeps what was submitted; shows one job."""

    def __init__(self, folder: Path | None = None, error: Exception | None = None):
        self.folder, self.error = folder, error
        self.submitted: list[tuple] = []

    def submit(self, module, config, **values):
        if self.error:
            raise self.error
        self.submitted.append((module, config, values))
        runs.write_json(Path(values["at"]) / runs.CONFIG, {})
        return Path(values["at"])

    def view(self, name):
        return JobView(folder=self.folder, kind="summarise", title="visits.csv", state="running", share=0.5,
                       left_s=3.0, words="Rows", started=1.0)

    def events(self, folder, position=0):
        return [{"kind": "note", "text": "One."}, {"kind": "phase", "text": "Rows"}, {"kind": "note", "text": "One."},
                {"kind": "note", "text": "Two."}], 9


@pytest.fixture
def upload(galen_home):
    def put(name: str, text: str) -> str:
        path = uploads.upload_folder() / "ab12" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return str(path)
    return put


def test_a_look_says_what_was_recognised(upload):
    found = file_task.look(upload("My visits.csv", DIALOGUES), "summarise")
    assert found.name == "My visits.csv" and found.columns == ("id", "dialogue", "section_header", "section_text")
    assert found.rows[1] == ("2", "Doctor: Bye.", "CC", "") and not found.problem
    assert found.used == {"dialogue": "dialogue", "section_header": "section_header", "section_text": "section_text"}


def test_columns_that_are_not_recognised_can_be_chosen(upload):
    found = file_task.look(upload("a.csv", "one,two\nx,y\n"), "summarise")
    assert not found.used and "choose it below" in found.problem
    assert file_task.columns_by_hand(found, "summarise", "two", "") == ("dialogue=two",)


@pytest.mark.parametrize(("text", "gold", "by_hand"), [
    ("abstract", "group", ()), ("body", "group", ("abstract=body",)), ("abstract", "", ("group=-",)),
    ("", "", ("abstract=-", "group=-"))])
def test_only_what_was_changed_is_said_by_hand(text, gold, by_hand):
    found = Look(name="a.csv", columns=("abstract", "body", "group"), rows=(),
                 used={"abstract": "abstract", "group": "group"})
    assert file_task.columns_by_hand(found, "classify", text, gold) == by_hand


def test_only_the_first_rows_and_short_texts_are_kept(upload):
    found = file_task.look(upload("a.csv", "dialogue\n" + "word " * 500 + "\n" + "x\n" * 100), "summarise")
    assert len(found.rows) == file_task.SHOWN_ROWS and len(found.rows[0][0]) <= file_task.CELL_CHARS


def test_a_large_file_is_not_read_here(upload):
    path = upload("a.csv", DIALOGUES)
    os.truncate(path, 21_000_000)
    found = file_task.look(path, "summarise")
    assert not found.columns and "large" in found.problem


def test_what_is_no_table_is_named_as_the_person_knows_it(upload):
    with pytest.raises(UserError, match="^a.json is not JSON"):
        file_task.look(upload("a.json", "no json"), "summarise")
    with pytest.raises(UserError, match="a.exe is no table"):
        file_task.look(upload("a.exe", "x"), "summarise")


def test_the_uploads_move_into_the_run(upload, galen_home):
    jobs = FakeJobs()
    file, train = upload("papers.csv", "abstract\nx\n"), upload("right.tsv", "abstract\tlabel\nx\ty\n")
    wanted = Wanted(config=ClassifyConfig(file=file, fast=True), files={"train": train}, needs_model=False,
                    tables={"descriptions": [("label", "meaning"), ("a", "x, \"y\"")]})
    name = file_task.start(jobs, wanted, file, ".xlsx")
    folder = galen_home / "runs" / name
    [(module, config, values)] = jobs.submitted
    assert module == "evaluation.batch.worker" and values["title"] == "papers.csv, with right.tsv"
    assert values["kind"] == "classify" and values["at"] == str(folder) and values["memory_mb"] == 600
    assert Path(config.file) == folder / "rows.csv" and Path(config.train) == folder / "train.tsv"
    assert Path(config.out) == folder / "papers-classified.xlsx"
    assert Path(config.descriptions).read_text() == 'label,meaning\na,"x, ""y"""\n'
    assert not Path(file).exists() and not Path(train).exists()


def test_the_same_file_may_be_learned_from(upload):
    jobs, file = FakeJobs(), upload("papers.csv", "abstract,label\nx,y\n")
    file_task.start(jobs, Wanted(config=ClassifyConfig(file=file), files={"train": file}), file, "")
    [(_, config, _)] = jobs.submitted
    assert config.train == config.file and Path(config.file).is_file()


@pytest.mark.parametrize("ending", [".exe", "csv", "/../x.csv"])
def test_another_ending_is_refused(upload, ending):
    file = upload("a.csv", DIALOGUES)
    with pytest.raises(UserError, match="is to end in"):
        file_task.start(FakeJobs(), Wanted(config=SummariseConfig(file=file)), file, ending)
    assert Path(file).is_file()


def test_nothing_moves_when_one_upload_is_gone(upload, galen_home):
    file = upload("a.csv", DIALOGUES)
    wanted = Wanted(config=ClassifyConfig(file=file), files={"train": "/etc/passwd"})
    with pytest.raises(UserError, match="choose it once more"):
        file_task.start(FakeJobs(), wanted, file, "")
    assert Path(file).is_file() and not (galen_home / "runs").exists()


def test_a_job_that_can_not_be_asked_for_leaves_no_folder(upload, galen_home):
    file = upload("a.csv", DIALOGUES)
    with pytest.raises(UserError, match="full"):
        file_task.start(FakeJobs(error=UserError("The disk is full.")), Wanted(config=SummariseConfig(file=file)),
                        file, "")
    assert list((galen_home / "runs").iterdir()) == []


@pytest.fixture
def running(galen_home):
    folder = galen_home / "runs" / "summarise-1"
    folder.mkdir(parents=True)
    (folder / "rows.csv").write_text(DIALOGUES)
    runs.write_json(folder / runs.CONFIG, {"task": "summarise", "file": str(folder / "rows.csv")})
    return folder


def test_what_has_come_is_seen(running):
    jobs = FakeJobs(running)
    assert file_task.seen(jobs, "summarise-1").rows == () and file_task.written(file_task.seen(jobs, "x")) is None
    before = file_task.version(jobs, "summarise-1")
    line = json.dumps({"group": 0, "rows": [{"summary": "Rest.", "problem": ""}]})
    (running / runs.ROWS).write_text(line + "\n" + line[:20])           # the second is still being written
    assert file_task.version(jobs, "summarise-1") != before
    found = file_task.seen(jobs, "summarise-1")
    assert found.rows == ({"summary": "Rest.", "problem": ""},) and found.texts == ("Doctor: Hi.", "Doctor: Bye.")
    assert found.notes == ("One.", "Two.") and found.view.share == 0.5


def test_only_a_file_of_the_run_is_handed_out(running, tmp_path):
    jobs, out = FakeJobs(running), running / "visits-summarised.csv"
    out.write_text("done")
    runs.write_json(running / runs.RESULT, {"out": str(out)})
    offer = file_task.written(file_task.seen(jobs, "summarise-1"))
    assert offer and offer.name == out.name and offer.is_relative_to(uploads.upload_folder())
    elsewhere = tmp_path / "elsewhere.csv"
    elsewhere.write_text("of the command line")
    runs.write_json(running / runs.RESULT, {"out": str(elsewhere)})
    assert file_task.written(file_task.seen(jobs, "summarise-1")) is None
