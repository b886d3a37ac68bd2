"""What one stage keeps, refuses, and passes on."""

import os
import shutil
import sys
from pathlib import Path

import pytest
import torch

from corpus.gather import gather
from models import knobs, runs
from models.errors import UserError
from models.job import Job
from tests.train.conftest import events
from train import stage
from train.config import TrainConfig
from train.worker import set_up_libraries

SHORT = {"lr": 0.01, "rank": 4, "batch": 4, "max_steps": 6, "evals": 2, "checkpoints": 2, "max_len": 64,
         "precision": "float32", "threads": 1, "shown_answers": 1, "answer_tokens": 4}


class StopAt(Job):
    """A job that is asked to stop after a step."""

    def __init__(self, folder: Path, step: int):
        super().__init__(folder)
        self.step = step

    def event(self, kind: str, **values: object) -> None:
        super().event(kind, **values)
        if (kind, values.get("step")) == ("step", self.step):
            (self.folder / runs.STOP).touch()


def begin(folder: Path, step: int = 4, **values: object) -> TrainConfig:
    """A run in folder that was stopped after a step; its config."""
    config = knobs.from_json(TrainConfig, {**SHORT, **values})
    folder.mkdir()
    runs.write_json(folder / runs.CONFIG, knobs.to_json(config))
    result = stage.run(config, gather(config, lambda text: None), StopAt(folder, step), folder)
    (folder / runs.STOP).unlink(missing_ok=True)
    assert result.is_stopped == (step < 6) and stage.finished(folder) == (step >= 6)
    return config


def resume(folder: Path, config: TrainConfig) -> stage.StageResult:
    return stage.run(config, gather(config, lambda text: None), Job(folder), folder)


def test_a_resumed_run_takes_the_threads_it_began_with(tmp_path: Path, tiny_base: Path, rows: Path):
    config = begin(tmp_path / "run", base=str(tiny_base), data=[str(rows)], threads=0)
    path = tmp_path / "run" / runs.STARTED
    assert runs.read_json(path)["threads"] == torch.get_num_threads()
    runs.write_json(path, {**runs.read_json(path), "threads": 2})
    try:
        resume(tmp_path / "run", config)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


def test_changed_rows_are_refused(tmp_path: Path, tiny_base: Path, rows: Path):
    data = Path(shutil.copy(rows, tmp_path))
    config = begin(tmp_path / "run", base=str(tiny_base), data=[str(data)])
    data.write_text(data.read_text(encoding="utf-8").replace("aspirin", "ibuprofen"), encoding="utf-8")
    with pytest.raises(UserError, match=rf"The data file {data} has changed since the interrupted run in .*run began"):
        resume(tmp_path / "run", config)
    shutil.copy(rows, data)
    assert resume(tmp_path / "run", config).result["steps"] == 6


def test_a_changed_base_and_other_processes_are_refused(tmp_path: Path, tiny_base: Path, rows: Path):
    base = Path(shutil.copytree(tiny_base, tmp_path / "base"))
    config = begin(tmp_path / "run", base=str(base), data=[str(rows)])
    path = tmp_path / "run" / runs.STARTED
    began = runs.read_json(path)
    runs.write_json(path, {**began, "processes": 2})
    with pytest.raises(UserError, match="had 2 processes, this one has 1; start it with as many as before"):
        resume(tmp_path / "run", config)
    runs.write_json(path, began)
    (base / "config.json").write_text((base / "config.json").read_text() + " ")
    with pytest.raises(UserError, match="The base model .* has changed since the interrupted run"):
        resume(tmp_path / "run", config)


def test_a_checkpoint_of_another_adapter_is_refused(tmp_path: Path, tiny_base: Path, rows: Path):
    config = begin(tmp_path / "run", step=2, base=str(tiny_base), data=[str(rows)])
    path = tmp_path / "run" / runs.ADAPTER / "adapter_model.safetensors"
    saved = path.read_bytes()
    began = runs.read_json(tmp_path / "run" / runs.STARTED)
    runs.write_json(tmp_path / "run" / runs.STARTED, {**began, "config": {**began["config"], "rank": 8}})
    with pytest.raises(UserError, match=r"belongs to another adapter than config.json describes"):
        resume(tmp_path / "run", knobs.from_json(TrainConfig, {**knobs.to_json(config), "rank": 8}))
    assert path.read_bytes() == saved


def test_changed_settings_and_a_changed_template_are_refused(tmp_path: Path, tiny_base: Path, rows: Path):
    base, folder = Path(shutil.copytree(tiny_base, tmp_path / "base")), tmp_path / "run"
    config = begin(folder, base=str(base), data=[str(rows)])
    result = (folder / runs.RESULT).read_bytes()
    values = knobs.to_json(config)
    with pytest.raises(UserError, match=r"The setting lr was 0\.01 when .*run began, and is 0\.02 now"):
        resume(folder, knobs.from_json(TrainConfig, {**values, "lr": 0.02}))
    (base / "special_tokens_map.json").write_text("{}")
    with pytest.raises(UserError, match=r"The tokenizer's file .*special_tokens_map\.json has changed since"):
        resume(folder, config)
    assert (folder / runs.RESULT).read_bytes() == result
    (base / "special_tokens_map.json").unlink()
    done = resume(folder, knobs.from_json(TrainConfig, {**values, "notify": False, "keep_awake": False}))
    assert done.result["is_resumed"] and done.result["steps"] == 6


def test_a_run_with_nothing_kept_may_begin_with_other_settings(tmp_path: Path, tiny_base: Path, rows: Path):
    config = begin(tmp_path / "run", base=str(tiny_base), data=[str(rows)])
    shutil.rmtree(tmp_path / "run" / runs.CHECKPOINTS)
    done = resume(tmp_path / "run", knobs.from_json(TrainConfig, {**knobs.to_json(config), "rank": 2}))
    assert not done.result["is_resumed"]
    assert runs.read_json(tmp_path / "run" / runs.STARTED)["config"]["rank"] == 2


def test_a_curve_that_can_not_be_drawn_is_only_noted(tmp_path: Path):
    job = Job(tmp_path)
    (tmp_path / runs.EVENTS).write_text("no event\n", encoding="utf-8")
    stage.draw(TrainConfig(), job, tmp_path)
    assert '"text": "The curve could not be drawn (' in (tmp_path / runs.EVENTS).read_text(encoding="utf-8")


def test_a_checkpoint_without_its_mark_or_a_whole_file_does_not_count(tmp_path: Path, tiny_base: Path, rows: Path):
    config = begin(tmp_path / "run", base=str(tiny_base), data=[str(rows)])
    newest = tmp_path / "run" / runs.CHECKPOINTS / "step-000004"
    for name in ("step-000005", "step-000007"):
        shutil.copytree(newest, newest.parent / name)
    (newest.parent / "step-000007" / runs.COMPLETE).unlink()
    whole = (newest.parent / "step-000005" / "optimizer.pt").read_bytes()
    (newest.parent / "step-000005" / "optimizer.pt").write_bytes(whole[:-1])
    resume(tmp_path / "run", config)
    assert [event["step"] for event in events(tmp_path / "run", "resume")] == [4]


def test_the_result_has_what_the_promise_is_held_against(tmp_path: Path, tiny_base: Path, rows: Path):
    begin(tmp_path / "run", step=99, base=str(tiny_base), data=[str(rows)])
    result = runs.read_json(tmp_path / "run" / runs.RESULT)
    assert result["seconds"] > result["train_s"] > 0 and result["supervised_tokens"] > 0
    assert result["peak_disk_mb"] >= result["disk_mb"] > 0 and result["peak_rss_mb"] > 100
    assert result["fingerprints"] == dict(gather(TrainConfig(data=(str(rows),)), lambda text: None).fingerprints)
    assert (tmp_path / "run" / runs.ADAPTER / runs.CARD).is_file()


WANDB = '''
"""Stands in for Weights & Biases: writes down what it is told."""
import json, os
class Config(dict):
    def update(self, values, allow_val_change=False): pass
class Run:
    name = id = "run"
    summary = {}
    def _label(self, code): pass
run, config, said = None, Config(), []
def init(project, **options):
    global run
    run = Run()
    said.append({"mode": os.environ["WANDB_MODE"], **options})
def log(values, **options):
    said.append(values)
    with open(os.path.join(os.environ["WANDB_DIR"], "said.json"), "w") as file:
        json.dump(said, file)
def finish(): pass
'''
METADATA = "Metadata-Version: 2.1\nName: wandb\nVersion: 1.0\n"


def test_a_logger_is_passed_on_in_its_offline_mode(tmp_path: Path, tiny_base: Path, rows: Path,
                                                   monkeypatch: pytest.MonkeyPatch):
    package = tmp_path / "site"
    for name, text in (("wandb/__init__.py", WANDB), ("wandb/sdk/__init__.py", ""), ("wandb/sdk/lib/__init__.py", ""),
                       ("wandb/sdk/lib/config_util.py", "class ConfigError(Exception): pass"),
                       ("wandb-1.0.dist-info/METADATA", METADATA)):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    monkeypatch.syspath_prepend(str(package))
    monkeypatch.setattr(os, "environ", os.environ.copy())
    folder = tmp_path / "run"
    config = knobs.from_json(TrainConfig, {
        **SHORT, "base": str(tiny_base), "data": [str(rows)], "report_to": ["wandb"]})
    folder.mkdir()
    runs.write_json(folder / runs.CONFIG, knobs.to_json(config))
    set_up_libraries(config, Job(folder))
    stage.run(config, gather(config, lambda text: None), Job(folder), folder)
    said = runs.read_json(folder / "said.json")
    assert said[0]["mode"] == "offline" and said[0]["name"] == "run"
    assert [one["train/loss"] for one in said if "train/loss" in one] == pytest.approx(
        [event["loss"] for event in events(folder, "step")], abs=1e-4)
    assert len([one for one in said if "eval/loss" in one]) == 3
    assert sys.modules.pop("wandb")
