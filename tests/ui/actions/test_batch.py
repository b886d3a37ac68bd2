"""A task over a file is found again: the same one goes on, another one begins anew."""

import os
import time

import pytest

from evaluation.batch.config import AnswerConfig, ClassifyConfig, SummariseConfig
from models import runs
from models.errors import UserError
from ui.actions import answer, batch, classify, evaluate, summarise
from ui.actions.batch import Wishes


@pytest.fixture
def rows(tmp_path, galen_home):
    path = tmp_path / "rows.csv"
    path.write_text("question,id\nWhy?,1\n")
    return path


def ended(started):
    """The folder of a job that was started, once its process is gone (it finds no model)."""
    folder, process, _ = started
    assert process is not None and process.wait(60) == 2
    return folder


@pytest.fixture
def begun(rows):
    """A run folder of a task that ended before its time; its config."""
    config = answer.config_of(Wishes(file=str(rows), model="no-such"))
    return ended(batch.start(config)), config


def test_the_same_task_goes_on_and_may_write_elsewhere(begun, rows):
    folder, config = begun
    assert ended(batch.start(config)) == folder
    other = answer.config_of(Wishes(file=str(rows), model="no-such", out="other.csv", assignments=["threads=2"]))
    assert ended(batch.start(other)) == folder
    assert runs.read_json(folder / runs.CONFIG)["out"].endswith("other.csv")


@pytest.mark.parametrize("change", ["setting", "file", "finished"])
def test_another_task_begins_anew(begun, rows, change):
    folder, config = begun
    if change == "setting":
        config = answer.config_of(Wishes(file=str(rows), model="no-such"), threshold=0.5)
    elif change == "file":
        rows.write_text("question,id\nHow?,1\n")
    else:
        (folder / runs.RESULT).touch()
    assert ended(batch.start(config)) != folder


def test_a_task_that_still_runs_is_followed_not_started_twice(begun):
    folder, config = begun
    runs.write_json(folder / runs.PID, {"pid": os.getpid(), "started": time.time()})
    assert batch.start(config) == (folder, None, 0) == batch.resume(folder.name)


def test_a_folder_that_is_named_holds_one_task(begun, tmp_path, rows):
    folder, config = begun
    assert ended(batch.start(config, str(folder))) == folder
    with pytest.raises(UserError, match="exists and is not an empty folder"):
        batch.start(answer.config_of(Wishes(file=str(rows)), kind="free"), str(folder))


def test_wishes_become_configs(rows, tmp_path):
    wishes = Wishes(file=str(rows), columns=["question=question"], assignments=["ctx_tokens=512"])
    assert answer.config_of(wishes, threshold=0.25) == AnswerConfig(
        file=str(rows), columns=("question=question",), ctx_tokens=512, threshold=0.25)
    labels = classify.config_of(Wishes(file=str(rows), out=str(tmp_path / "x.jsonl")), labels=" a, b ,", single=True)
    assert labels == ClassifyConfig(file=str(rows), out=str(tmp_path / "x.jsonl"), labels=("a", "b"), single=True)
    meanings = tmp_path / "meanings.csv"
    meanings.write_text("label,meaning\na,x\nb,y\n")
    assert classify.config_of(Wishes(file=str(rows)), labels=str(meanings)) == ClassifyConfig(
        file=str(rows), descriptions=str(meanings))
    assert summarise.config_of(Wishes(file=str(rows)), sections="PLAN, HPI") == SummariseConfig(
        file=str(rows), sections=("PLAN", "HPI"))


def test_an_evaluation_goes_on_in_its_folder_only(galen_home, tmp_path):
    config = evaluate.config_of("PubMedQA", {"model": "no-such", "limit": None, "fast": True})
    assert (config.benchmark, config.model, config.fast) == ("pubmedqa", "no-such", True)
    out = str(tmp_path / "out")
    folder = ended(evaluate.start(config, out))
    assert ended(evaluate.start(config, out)) == folder
    other = evaluate.config_of("pubmedqa", {"model": "no-such"})
    with pytest.raises(UserError, match="another setting: fast is True there, and False now"):
        evaluate.start(other, out)
