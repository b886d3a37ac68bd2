"""Several processes compute what one computes: two CPU processes under accelerate, over gloo."""

import csv
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from models import runs
from tests.train.conftest import events
from train import ranks

LAUNCH = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1",
          "--mixed_precision", "no", "--dynamo_backend", "no"]
STEPS = 20
CLOSE = 1e-3
VALUES: dict[str, Any] = {
    "lr": 0.002, "rank": 4, "dropout": 0.0, "max_steps": STEPS, "evals": 2, "checkpoints": 2, "max_len": 96,
    "precision": "float32", "device": "cpu", "threads": 1, "shown_answers": 1, "answer_tokens": 4, "notify": False,
    "keep_awake": False, "near_duplicates": "keep", "test_share": 0.0, "min_chars": 0}


@pytest.fixture(scope="module")
def uneven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """25 rows of very unequal length: 21 to learn from and 4 for validation, so that an epoch's last step has one."""
    path = tmp_path_factory.mktemp("uneven") / "rows.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("question", "answer"))
        for k in range(25):
            writer.writerow((f"What is number {k}" + " of them all" * (k % 7) + "?", f"It is {k * k}." * (1 + k % 4)))
    return path


def folder_for(path: Path, **values: Any) -> Path:
    path.mkdir()
    runs.write_json(path / runs.CONFIG, {**VALUES, **values})
    return path


def compute(*words: str, **environment: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    where = ["--main_process_port", str(port)] if "accelerate.commands.launch" in words else []
    done = subprocess.run([sys.executable, *words[:2], *where, *words[2:]], cwd=runs.ROOT, text=True, timeout=400,
                          capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1", **environment})
    assert done.returncode == 0, done.stderr[-3000:]


def by_worker(two: Path, values: dict[str, Any]) -> list[str]:
    """The training process itself."""
    return [*LAUNCH, "-m", "train.worker", str(folder_for(two, **values))]


def by_command_line(two: Path, values: dict[str, Any]) -> list[str]:
    """What a person types, less launcher.py's set-up: every process gets the same words."""
    recipe = two.with_suffix(".toml")
    settings = {**VALUES, **{name: value for name, value in values.items() if name not in ("base", "data")}}
    recipe.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items()), encoding="utf-8")
    return [*LAUNCH, "-m", "ui.commands", "train", str(recipe), "--base", values["base"], "--data", *values["data"],
            "--run", str(two)]


@pytest.mark.parametrize("seed, words", [(0, by_worker), (1, by_command_line)])
def test_two_processes_compute_what_one_computes(seed: int, words: Callable[..., list[str]], tmp_path: Path,
                                                 tiny_base: Path, uneven: Path):
    common = {"base": str(tiny_base), "data": [str(uneven)], "seed": seed}
    one, two = folder_for(tmp_path / "one", **common, batch=4), tmp_path / "two"
    compute("-m", "train.worker", str(one))
    compute(*words(two, {**common, "batch": 1, "accumulate": 2}))

    results = [runs.read_json(folder / runs.RESULT) for folder in (one, two)]
    assert results[0]["samples"] == results[1]["samples"] == 21
    assert results[0]["supervised_tokens"] == results[1]["supervised_tokens"]
    for kind, names in (("step", ("loss", "lr")), ("eval", ("loss",))):
        alone, together = events(one, kind), events(two, kind)
        assert [event["step"] for event in alone] == [event["step"] for event in together]
        for name in names:
            assert [event[name] for event in together] == pytest.approx([event[name] for event in alone], abs=CLOSE)
    norms = [[event["grad_norm"] for event in events(folder, "step")] for folder in (one, two)]
    assert norms[1] == pytest.approx(norms[0], rel=CLOSE)
    assert len(events(two, "step")) == STEPS and len(events(two, "done")) == 1
    adapters = [load_file(folder / runs.ADAPTER / "adapter_model.safetensors") for folder in (one, two)]
    assert max(float((adapters[0][name] - adapters[1][name]).abs().max()) for name in adapters[0]) < CLOSE
    assert {path.name for path in one.iterdir()} <= {path.name for path in two.iterdir()} | {runs.LOG}


def test_without_accelerate_there_is_one_process(monkeypatch: pytest.MonkeyPatch):
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert (ranks.rank(), ranks.count(), ranks.is_first()) == (0, 1, True)
    assert ranks.agree("x") == "x" and ranks.total([1.0, 2.0]) == [1.0, 2.0]
    ranks.start("cpu")
    ranks.wait()
    ranks.end()


def test_a_further_process_is_silent(tmp_path: Path):
    job = ranks.Quiet(tmp_path)
    job.event("step", step=1)
    (tmp_path / runs.STOP).touch()
    assert not job.is_stop_asked() and [path.name for path in tmp_path.iterdir()] == [runs.STOP]
