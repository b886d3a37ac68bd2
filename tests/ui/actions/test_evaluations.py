"""What the evaluate page asks for: only what is listed; and nothing is left of what could not begin."""

from pathlib import Path

import pytest

from models import runs
from models.errors import UserError
from tests.ui.fakes import FakeSession
from ui.actions import uploads
from ui.actions.evaluate import Evaluations, Question
from ui.actions.model import CurrentModel
from ui.job_list import JobList
from ui.settings import SettingsFile

ROWS = "question,answer\nIs it?,yes\nIs it not?,no\n"


@pytest.fixture
def evaluations(galen_home: Path) -> Evaluations:
    model = CurrentModel(FakeSession(), SettingsFile(galen_home))
    jobs = JobList(galen_home, model)
    jobs.close()                        # nothing is started
    return Evaluations(jobs, model)


def upload(name: str) -> Path:
    path = uploads.upload_folder() / "ab12" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(ROWS, encoding="utf-8")
    return path


@pytest.fixture
def trained(galen_home: Path) -> Path:
    """A folder that looks like a finished training."""
    folder = galen_home / "runs" / "train-1"
    (folder / runs.ADAPTER).mkdir(parents=True)
    runs.write_json(folder / runs.CONFIG, {"rank": 8, "base": str(runs.DEMO_BASE)})
    runs.write_json(folder / runs.PID, {"pid": 4_000_000, "started": 1.0})
    (folder / runs.EVENTS).write_text('{"t": 5, "kind": "done"}\n')
    return folder


def test_the_model_in_the_address_is_the_first(evaluations, trained):
    assert evaluations.first("train-1") == str(trained)
    assert evaluations.first("no such") == evaluations.first() != str(trained)


def test_nothing_is_left_of_what_could_not_begin(evaluations, trained, galen_home, monkeypatch):
    path = upload("rows.csv")
    monkeypatch.setattr("ui.job_packages.has_training", lambda: False)
    with pytest.raises(UserError, match="packages for training"):
        evaluations.start(Question(benchmark="own", model=str(trained), file=str(path)))
    assert path.is_file() and not list((galen_home / "runs").glob("evaluate-*"))
    for file in (str(path.with_suffix(".gone")), str(galen_home / "settings.json")):
        with pytest.raises(UserError, match="choose it once more"):
            evaluations.start(Question(benchmark="own", model="demo", file=file))
    assert not list((galen_home / "runs").glob("evaluate-*"))
