"""A run that is killed at any moment and resumed ends with the adapter of one that was not, bit for bit."""

import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from corpus.layouts import Example, load
from models import runs
from tests.train import survival
from tests.train.conftest import events
from tests.train.survival import start

KILLED = -9 if sys.platform == "win32" else -signal.SIGKILL
# 18 rows, 5 steps an epoch; evaluations after 4, 8, 12; checkpoints after 3, 6, 9, 12: step 6 is in epoch 2
VALUES: dict[str, Any] = {
    "lr": 0.01, "rank": 4, "dropout": 0.2, "batch": 4, "max_steps": 12, "evals": 3, "checkpoints": 4, "max_len": 64,
    "precision": "float32", "threads": 1, "warmup": 0.1, "shown_answers": 1, "answer_tokens": 4, "notify": False,
    "keep_awake": False}
PLAIN = {**VALUES}
ACCUMULATED = {**VALUES, "batch": 2, "accumulate": 2}


@pytest.fixture(scope="module")
def examples(rows: Path) -> list[Example]:
    return list(load([str(rows)]).examples)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path, examples: list[Example]) -> dict[str, Path]:
    """Folders of uninterrupted runs."""
    folders = {}
    for name, values in (("plain", PLAIN), ("accumulated", ACCUMULATED)):
        folders[name] = tmp_path_factory.mktemp("whole") / name
        assert start(folders[name], {**values, "base": str(tiny_base)}, examples) == 0
    return folders


def adapter_bytes(folder: Path) -> bytes:
    return (folder / runs.ADAPTER / "adapter_model.safetensors").read_bytes()


MOMENTS: list[tuple[str, tuple[str, Any]]] = [
    ("before the first checkpoint", ("step", 2)),
    ("in epoch 1, after a checkpoint", ("step", 4)),
    ("in epoch 2", ("step", 8)),
    ("at the end of an epoch", ("step", 10)),
    ("while the base is evaluated", ("asked", "0.1")),
    ("in an evaluation", ("asked", "8.2")),
    ("in the last evaluation", ("asked", "12.2")),
    ("as a checkpoint begins", ("open", "step-000006/rng-0.pt")),
    ("inside a checkpoint", ("open", "step-000006/optimizer.pt")),
    ("before a checkpoint's mark", ("open", "step-000009/complete.json")),
    ("while the best adapter is written", ("open", "checkpoints/.galen-")),
    ("while the adapter is published", ("os.rename", "/new")),
    ("before the result", ("open", "result.json")),
    ("while the card is written", ("open", "adapter/README.md")),
]


@pytest.mark.parametrize("moment", [moment for _, moment in MOMENTS], ids=[name for name, _ in MOMENTS])
def test_a_killed_run_goes_on_bit_for_bit(moment, tmp_path: Path, tiny_base: Path, examples, whole):
    folder, values = tmp_path / "run", {**PLAIN, "base": str(tiny_base)}
    assert start(folder, values, examples, moment) == KILLED
    assert start(folder, values, examples) == 0
    assert adapter_bytes(folder) == adapter_bytes(whole["plain"])
    assert not (folder / runs.CHECKPOINTS).exists() and not list(folder.glob(".galen-*"))
    mine, other = (runs.read_json(one / runs.RESULT) for one in (folder, whole["plain"]))
    if moment[1] in ("result.json", "adapter/README.md"):
        assert [event["step"] for event in events(folder, "step")] == list(range(1, 13))     # nothing trained again
    for name in ("steps", "base_val_loss", "best_val_loss", "best_step", "supervised_tokens"):
        assert mine[name] == other[name]


@pytest.mark.parametrize("moments", [[("step", 7), ("step", 11)], [("open", "step-000006/optimizer.pt"), ("step", 5)]])
def test_killed_twice_with_accumulation(moments, tmp_path: Path, tiny_base: Path, examples, whole):
    folder, values = tmp_path / "run", {**ACCUMULATED, "base": str(tiny_base)}
    for moment in moments:
        assert start(folder, values, examples, moment) == KILLED
    assert start(folder, values, examples) == 0
    assert adapter_bytes(folder) == adapter_bytes(whole["accumulated"])


def test_the_steps_after_the_resumption_are_those_of_the_whole_run(tmp_path: Path, tiny_base: Path, examples, whole):
    folder, values = tmp_path / "run", {**PLAIN, "base": str(tiny_base)}
    assert start(folder, values, examples, ("step", 8)) == KILLED
    assert start(folder, values, examples) == 0
    assert [event["step"] for event in events(folder, "resume")] == [6]
    seen = [event["step"] for event in events(folder, "step")]
    assert seen == [1, 2, 3, 4, 5, 6, 7, 8, 7, 8, 9, 10, 11, 12]
    for kind in ("step", "eval"):
        expected = {event["step"]: event["loss"] for event in events(whole["plain"], kind)}
        assert all(event["loss"] == expected[event["step"]] for event in events(folder, kind))


def test_a_stopped_run_has_an_adapter_and_goes_on_bit_for_bit(tmp_path: Path, tiny_base: Path, examples, whole):
    folder, values = tmp_path / "run", {**PLAIN, "base": str(tiny_base)}
    for step in (2, 8):                              # before anything was evaluated; where an evaluation is due
        assert start(folder, values, examples, ("stop", step)) == 0
        assert [event["step"] for event in events(folder, "step")][-1] == step
        result = runs.read_json(folder / runs.RESULT)
        assert result["is_stopped"] and result["steps"] == step
        tensors = load_file(folder / runs.ADAPTER / "adapter_model.safetensors")
        assert any(tensor.abs().max() > 0 for name, tensor in tensors.items() if "lora_B" in name)
    assert start(folder, values, examples) == 0
    assert adapter_bytes(folder) == adapter_bytes(whole["plain"])
    assert not runs.read_json(folder / runs.RESULT)["is_stopped"]
    assert [event["step"] for event in events(folder, "eval")] == [0, 4, 8, 12]


def test_another_kill_gives_another_adapter_where_it_should(tmp_path: Path, tiny_base: Path, examples, whole):
    """The comparison above can fail: another seed is seen in the bytes."""
    assert start(tmp_path / "run", {**PLAIN, "base": str(tiny_base), "seed": 1}, examples) == 0
    assert adapter_bytes(tmp_path / "run") != adapter_bytes(whole["plain"])
    assert survival.CONTEXT.get_start_method() in ("forkserver", "spawn")


def test_the_best_adapter_of_a_checkpoint_stays_until_the_next_one(tmp_path: Path, tiny_base: Path, examples, whole):
    folder, values = tmp_path / "run", {**PLAIN, "base": str(tiny_base)}
    assert start(folder, values, examples, ("step", 7)) == KILLED
    assert start(folder, values, examples, ("step", 9)) == KILLED       # a better one was kept after step 8
    assert {path.name for path in (folder / runs.CHECKPOINTS).iterdir()} == {
        "best-000004", "best-000008", "step-000006"}
    assert start(folder, values, examples, ("stop", 7)) == 0
    assert runs.read_json(folder / runs.RESULT)["best_step"] == 4 and (folder / runs.ADAPTER).is_dir()
    assert start(folder, values, examples) == 0
    assert adapter_bytes(folder) == adapter_bytes(whole["plain"])
