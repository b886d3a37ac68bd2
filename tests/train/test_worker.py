import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from corpus.layouts import read_examples
from models import knobs, runs
from models.errors import UserError
from models.job import Job
from tests.train.conftest import events, wait_for
from train import worker
from train.config import TrainConfig, load_recipe
from train.worker import work

SHORT = {"lr": 0.02, "rank": 4, "batch": 8, "max_steps": 12, "evals": 3, "max_len": 64, "precision": "float32",
         "test_share": 0.0, "eval_share": 0.1, "shown_answers": 1, "answer_tokens": 4}


def train_here(folder: Path, **values: object) -> Path:
    """A run in this process; returns its folder."""
    folder.mkdir()
    runs.write_json(folder / runs.CONFIG, {
        "threads": 1, "dropout": 0.0, "notify": False, "keep_awake": False, **values})
    work(Job(folder))
    return folder


def test_a_run_leaves_everything_it_promises_twice_the_same(start, tiny_base: Path, rows: Path, tmp_path: Path):
    folder, process = start(base=tiny_base, data=[str(rows)], **SHORT)
    out, err = process.communicate(timeout=400)
    assert (process.returncode, out, err) == (0, "", "")
    assert sorted(p.name for p in folder.iterdir()) == sorted([
        runs.CONFIG, runs.EVENTS, runs.PID, runs.RESULT, runs.ADAPTER, runs.CURVE, runs.HELDOUT, runs.UNUSABLE,
        runs.TEST, runs.FINDINGS, runs.STARTED, runs.TENSORBOARD])

    result = runs.read_json(folder / runs.RESULT)
    assert result["best_val_loss"] < result["base_val_loss"] - 0.1    # 0.23 to 0.4, by the processor
    assert (result["steps"], result["samples"], result["validation_samples"], result["left_out"]) == (12, 22, 2, 1)
    assert result["tokens_per_s"] > 0 and result["seconds"] > 0 and not result["is_stopped"]
    assert len(read_examples(folder / runs.HELDOUT)) == 2
    assert '"line": 26, "reason": "answer is empty"' in (folder / runs.UNUSABLE).read_text(encoding="utf-8")
    assert (folder / runs.CURVE).read_bytes().startswith(b"\x89PNG")

    steps = events(folder, "step")
    assert [event["step"] for event in steps] == list(range(1, 13)) and {event["steps"] for event in steps} == {12}
    assert all(event["tokens_per_s"] > 0 and event["left_s"] >= 0 and event["loss"] > 0 for event in steps)
    assert steps[-1]["left_s"] == 0
    assert [event["step"] for event in events(folder, "eval")] == [0, 4, 8, 12]
    assert events(folder)[-1]["kind"] == "done"

    again = train_here(tmp_path / "again", base=str(tiny_base), data=[str(rows)], **SHORT)
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        assert (again / runs.ADAPTER / name).read_bytes() == (folder / runs.ADAPTER / name).read_bytes()


MANY_SHAPES = """
from train.worker import set_up_libraries
set_up_libraries()
import torch
weight = torch.ones(4, 8).to_mkldnn()
for _ in range(2):
    for n in range(1, 101):
        torch.nn.functional.linear(torch.ones(n, 8).to_mkldnn(), weight)
"""


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch comes without oneDNN")
def test_onednn_does_not_keep_a_kernel_for_every_shape():
    environment = {**os.environ, "ONEDNN_VERBOSE": "profile_create", "OMP_NUM_THREADS": "1"}
    environment.pop("ONEDNN_PRIMITIVE_CACHE_CAPACITY", None)
    child = subprocess.run([sys.executable, "-c", MANY_SHAPES], cwd=runs.ROOT, env=environment, check=True, text=True,
                           capture_output=True)
    built = [line for line in child.stdout.splitlines() if "create:cache_miss" in line and "inner_product" in line]
    assert len(built) == 200                        # 100 if those of the first round were still there


@pytest.mark.parametrize(("given", "seen"), [({}, "0"), ({"CUDA_VISIBLE_DEVICES": "1"}, "1"),
                                             ({"WORLD_SIZE": "2"}, "None")])
def test_one_process_uses_one_gpu(given: dict[str, str], seen: str):
    environment = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"} | given
    code = "import os, train.worker as w; w.set_up_libraries(); print(os.environ.get('CUDA_VISIBLE_DEVICES'))"
    child = subprocess.run([sys.executable, "-c", code], cwd=runs.ROOT, env=environment, check=True, text=True,
                           capture_output=True)
    assert child.stdout.strip() == seen


def test_a_stop_request_ends_the_process_within_one_step(start, tiny_base: Path, rows: Path):
    folder, process = start(base=tiny_base, data=[str(rows)], **{**SHORT, "max_steps": 100_000, "evals": 10})
    wait_for(lambda: len(events(folder, "step")) >= 3)
    seen = len(events(folder, "step"))
    (folder / runs.STOP).touch()
    process.communicate(timeout=400)
    assert process.returncode == 0 and events(folder)[-1]["kind"] == "stopped"
    after = [event for event in events(folder, "step") if event["t"] > (folder / runs.STOP).stat().st_mtime]
    assert len(after) <= 2 and len(events(folder, "step")) >= seen      # the step under way, and one already begun
    assert runs.read_json(folder / runs.RESULT)["is_stopped"]
    tensors = load_file(folder / runs.ADAPTER / "adapter_model.safetensors")
    assert all(torch.isfinite(tensor).all() for tensor in tensors.values())


def test_a_second_process_does_not_touch_a_run_that_runs(start, tiny_base: Path, rows: Path):
    folder, process = start(base=tiny_base, data=[str(rows)], **{**SHORT, "max_steps": 100_000, "evals": 10})
    wait_for(lambda: events(folder, "step"))
    pid = (folder / runs.PID).read_bytes()
    second = subprocess.run([sys.executable, "-m", "train.worker", str(folder)], cwd=runs.ROOT, capture_output=True,
                            text=True, check=False)
    assert second.returncode == 2 and second.stdout == ""
    assert second.stderr == f"The run in {folder} is still running; it needs no --resume.\n"
    assert (folder / runs.PID).read_bytes() == pid and not events(folder, "error") and process.poll() is None
    process.kill()
    process.wait()
    worker.hold(folder).close()                     # death gives it back


def test_a_device_that_is_not_there_is_said_before_the_rows_are_read(tmp_path: Path, tiny_base: Path):
    if torch.backends.mps.is_available():
        pytest.skip("this machine has it")
    with pytest.raises(UserError, match="Device mps is asked for"):
        train_here(tmp_path / "run", base=str(tiny_base), data=["nowhere.csv"], device="mps")


def test_a_user_error_is_one_line_and_status_2(start, tmp_path: Path, rows: Path):
    folder, process = start(base=tmp_path / "nowhere", data=[str(rows)])
    out, err = process.communicate(timeout=400)
    assert process.returncode == 2 and out == ""
    assert err.count("\n") == 1 and "nowhere does not exist" in err
    assert events(folder)[-1] == {"t": events(folder)[-1]["t"], "kind": "error", "text": err.strip(), "is_users": True}


@pytest.mark.parametrize("values, words", [
    ({"data": []}, "No training file is given"),
    ({"data": ["nowhere.csv"]}, "The data file nowhere.csv does not exist"),
    ({"rank": 0}, "LoRA rank is 0"),
    ({"ranks": 8}, "There is no setting 'ranks'"),
    ({"max_len": 8}, r"None of the \d+ rows can be used as a sample"),
    ({"eval": "same"}, "Every one of 24 rows for training is also in a set that the model is judged by"),
    ({"report_to": ["trackio"]}, "has trackio, which is not installed here; install it"),
])
def test_what_a_user_can_mend_is_said(tmp_path: Path, tiny_base: Path, rows: Path, values: dict, words: str):
    values = {"base": str(tiny_base), "data": [str(rows)], **values}
    if values.get("eval") == "same":
        values["eval"] = [str(rows)]
    with pytest.raises(UserError, match=words):
        train_here(tmp_path / "run", **values)
    assert not (tmp_path / "run" / runs.ADAPTER).exists() and not (tmp_path / "run" / runs.RESULT).exists()


def test_weights_that_are_not_finite_stop_the_run_and_say_so(tmp_path: Path, tiny_base: Path, rows: Path):
    broken = tmp_path / "broken"
    shutil.copytree(tiny_base, broken)
    tensors = load_file(broken / "model.safetensors")
    tensors["model.norm.weight"][0] = float("nan")
    save_file(tensors, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match="validation loss after step 0 is not a finite number"):
        train_here(tmp_path / "run", base=str(broken), data=[str(rows)], **SHORT)
    assert (tmp_path / "run" / runs.CURVE).is_file()


def test_cut_and_left_out_rows_are_counted(tmp_path: Path, tiny_base: Path):
    data = tmp_path / "rows.csv"
    long = "and on " * 100
    data.write_text(f"question,answer\nWhy {long}?,Because.\nHow?,{long}\nWho?,Me.\nWhen?,Now.\n", encoding="utf-8")
    folder = train_here(tmp_path / "run", base=str(tiny_base), data=[str(data)], **{**SHORT, "max_steps": 1},
                        min_chars=0, eval=[str(data)], leaks="keep")
    result = runs.read_json(folder / runs.RESULT)
    assert (result["samples"], result["validation_samples"], result["cut"], result["left_out"]) == (3, 3, 2, 2)
    assert "its answer is" in (folder / runs.UNUSABLE).read_text(encoding="utf-8")
    notes = [event["text"] for event in events(folder, "note")]
    assert "3 rows to learn from, 3 for validation; 2 left out (listed in unusable.jsonl)." in notes
    assert any("1 of 3 rows (33.3%) are longer than 64 tokens and lose the middle of their input" in n for n in notes)


def test_qlora_trains_on_this_machine(tmp_path: Path, demo_base: Path, rows: Path):
    folder = train_here(tmp_path / "run", base=str(demo_base), data=[str(rows)],
                        **{**SHORT, "max_steps": 2, "evals": 1, "lr": 0.005, "load_4bit": True})
    result = runs.read_json(folder / runs.RESULT)
    assert result["best_val_loss"] < result["base_val_loss"]
    assert [note for note in events(folder, "note") if "base weights in 4-bit NF4" in note["text"]]


@pytest.mark.slow
def test_the_summarise_recipe_teaches_the_embedded_model(tmp_path: Path, demo_base: Path, shared_data: Path):
    values = knobs.to_json(knobs.from_json(TrainConfig, {
        **load_recipe("summarise"), "base": str(demo_base), "max_steps": 12, "evals": 1, "max_len": 384,
        "data": [str(shared_data / "mts-dialog" / "train.csv")],
        "eval": [str(shared_data / "mts-dialog" / "validation.csv")]}))
    result = runs.read_json(train_here(tmp_path / "run", **values) / runs.RESULT)
    assert result["best_val_loss"] < result["base_val_loss"] - 0.1
    assert result["left_out"] >= 2
