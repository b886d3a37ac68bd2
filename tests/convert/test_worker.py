import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file, save_file

from convert.config import ExportConfig
from convert.export import export
from convert.source import resolve
from models import knobs, runs
from models.errors import UserError
from models.header import read_header
from models.job import Job
from tests.convert.eventful import Eventful
from tests.convert.tiny import fill, make_adapter, make_base


def left(folder: Path) -> set[str]:
    """Names in folder."""
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def events(job_folder: Path, kind: str) -> list[dict[str, Any]]:
    lines = (job_folder / runs.EVENTS).read_text(encoding="utf-8").splitlines()
    return [event for event in map(json.loads, lines) if event["kind"] == kind]


HANDED_OVER = {runs.REPORT, "report.html", "README.md", "SHA256SUMS", "Modelfile"}


def start(folder: Path, **settings: Any) -> subprocess.Popen:
    """Start the worker on a new run folder, as ui/jobs.py does."""
    folder.mkdir(exist_ok=True)
    runs.write_json(folder / runs.CONFIG, knobs.to_json(ExportConfig(threads=1, **settings)))
    return subprocess.Popen([sys.executable, "-m", "convert.worker", str(folder)], cwd=runs.ROOT, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.fixture
def run(tmp_path: Path, terse: Path) -> Path:
    """A training run's folder: adapter, held-out rows, events."""
    folder = tmp_path / "summaries"
    make_adapter(folder / runs.ADAPTER, terse, r=2, target_modules=["q_proj", "v_proj"])
    rows = [[{"role": "user", "content": f"Question {k}?"}, {"role": "assistant", "content": f"Answer {k}."}]
            for k in range(12)]
    (folder / runs.HELDOUT).write_text(
        "".join(json.dumps({"file": "x.csv", "line": k, "messages": m, "section": ""}) + "\n"
                for k, m in enumerate(rows)), encoding="utf-8")
    (folder / runs.EVENTS).write_text("")
    (folder / runs.CONFIG).write_text("{}")
    return folder


def test_a_run_becomes_checked_files_in_its_own_folder(tmp_path: Path, run: Path):
    worker = start(tmp_path / "job", source=str(run), types=("Q8_0", "Q4_0", "Q4_K_M", "F32"))
    out, errors = worker.communicate(timeout=300)
    assert worker.returncode == 0, errors
    folder = run / runs.EXPORT
    names = {f"summaries-{t}.gguf" for t in ("Q8_0", "Q4_0", "Q4_K_M", "F32")}
    assert left(folder) == names | HANDED_OVER | {"imatrix-summaries.gguf"}
    report = runs.read_json(folder / runs.REPORT)
    assert [one["type"] for one in report["files"]] == ["Q8_0", "Q4_0", "Q4_K_M", "F32"]
    for one in report["files"]:
        assert one["is_ok"] and one["bytes"] == (folder / one["name"]).stat().st_size
        by_name = {check["name"]: check for check in one["checks"]}
        assert by_name["mean KL divergence"]["figure"] <= by_name["mean KL divergence"]["limit"]
        assert "in 8 of 8" in by_name["answers that do not stop"]["note"]
    assert read_header(folder / "summaries-Q8_0.gguf").name == "summaries"
    assert report["adapters"] == ["summaries"] and report["heldout"] == "12 rows"
    assert events(tmp_path / "job", "done") and len(events(tmp_path / "job", "phase")) > 8
    assert runs.read_json(tmp_path / "job" / runs.RESULT)["folder"] == str(folder)


def test_the_report_keeps_what_it_says_of_earlier_files(run: Path, job: Job):
    export(ExportConfig(threads=1, source=str(run), types=("Q8_0",)), job)
    export(ExportConfig(threads=1, source=str(run), types=("BF16",)), job)
    report = runs.read_json(run / runs.EXPORT / runs.REPORT)
    assert [one["name"] for one in report["files"]] == ["summaries-Q8_0.gguf", "summaries-BF16.gguf"]


def test_exporting_twice_gives_the_same_bytes(tmp_path: Path, run: Path, job: Job):
    for name in ("one", "two"):
        export(ExportConfig(threads=1, source=str(run), types=("Q4_0", "F32"), out=str(tmp_path / name)), job)
    for path in sorted((tmp_path / "one").glob("*.gguf")):
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_a_plain_model_folder_goes_into_the_jobs_own_folder(tmp_path: Path, terse: Path, job: Job):
    export(ExportConfig(threads=1, source=str(terse), types=("F16",), name="Tom's model"), job)
    path = job.folder / runs.EXPORT / "Tom-s-model-F16.gguf"
    assert path.is_file() and read_header(path).name == "Tom's model"


def test_an_adapter_folder_with_an_explicit_base(tmp_path: Path, terse: Path, job: Job):
    adapter = make_adapter(tmp_path / "mine", terse, note=False, r=2, target_modules=["q_proj", "v_proj"])
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": "google/gemma-3"}))
    with pytest.raises(UserError, match="trained on 'google/gemma-3', which is no folder here; name the base"):
        export(ExportConfig(threads=1, source=str(adapter)), job)
    export(ExportConfig(threads=1, source=str(adapter), base=str(terse)), job)
    assert (job.folder / runs.EXPORT / "mine-Q8_0.gguf").is_file()


def test_a_file_that_fails_its_check_keeps_another_name(tmp_path: Path, terse: Path):
    """A real cause: a tokenizer.json that gives other ids than the tokenizer.model the file is made from."""
    base = shutil.copytree(terse, tmp_path / "odd")
    tokenizer = json.loads((base / "tokenizer.json").read_text(encoding="utf-8"))
    tokenizer["model"]["merges"] = tokenizer["model"]["merges"][:100]
    (base / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    worker = start(tmp_path / "job", source=str(base), types=("Q8_0",), out=str(tmp_path / "out"))
    _, errors = worker.communicate(timeout=300)
    assert worker.returncode == 2
    assert errors.strip().splitlines()[-1].startswith("The check found that the file is not the model")
    assert "prompts with other token ids" in errors
    assert left(tmp_path / "out") == {"odd-Q8_0.failed.gguf", *HANDED_OVER} - {"Modelfile"}
    assert runs.read_json(tmp_path / "out" / runs.REPORT)["files"][0]["is_ok"] is False
    assert events(tmp_path / "job", "error")[0]["is_users"]


def test_of_two_files_only_the_one_that_passes_is_published(tmp_path: Path, terse: Path, job: Job):
    limits = {"Q8_0": 0.01, "Q4_0": 0.0}
    with pytest.raises(UserError, match=r"Q4_0: mean KL divergence = .* \(limit 0\)"):
        export(ExportConfig(source=str(terse), types=("Q8_0", "Q4_0"), out=str(tmp_path), name="x"), job, limits)
    assert {"x-Q8_0.gguf", "x-Q4_0.failed.gguf", runs.REPORT} <= left(tmp_path)
    assert "x-Q4_0.gguf" not in left(tmp_path)


def spoil_weights(base: Path, name: str, value: float) -> None:
    tensors = load_file(base / "model.safetensors")
    tensors[name][0] = value
    save_file(tensors, base / "model.safetensors")


def add_leftover(base: Path) -> None:
    tensors = load_file(base / "model.safetensors")
    save_file(tensors | {"model.layers.0.mlp.up_proj.weight.quant_map": torch.zeros(16)}, base / "model.safetensors")


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


BAD: dict[str, tuple[Any, str]] = {
    "base gone": (lambda r, b: shutil.rmtree(b), "trained on .*base.*, which is no folder here"),
    "base changed": (lambda r, b: spoil_weights(b, "model.norm.weight", 1.0), "trained on another base model"),
    "no adapter": (lambda r, b: shutil.rmtree(r / runs.ADAPTER), "holds no trained adapter; did the training finish"),
    "adapter cut short": (lambda r, b: cut_short(r / runs.ADAPTER / "adapter_model.safetensors"),
                          "adapter_model.safetensors is cut short"),
    "adapter weights gone": (lambda r, b: (r / runs.ADAPTER / "adapter_model.safetensors").unlink(),
                             "holds no adapter_model.safetensors"),
    "tokenizer gone": (lambda r, b: ((b / "tokenizer.model").unlink(), (b / "tokenizer.json").unlink()),
                       "holds no tokenizer.model"),
    "output exists": (lambda r, b: ((r / runs.EXPORT).mkdir(), (r / runs.EXPORT / "summaries-Q8_0.gguf").touch()),
                      "summaries-Q8_0.gguf exists already"),
    "held-out rows damaged": (lambda r, b: (r / runs.HELDOUT).write_text("{}\n"), "line 1: this is no held-out row"),
}


@pytest.mark.parametrize(("spoil", "text"), BAD.values(), ids=BAD)
def test_bad_input_is_one_clear_line_and_leaves_nothing(
        tmp_path: Path, run: Path, terse: Path, job: Job, spoil: Any, text: str):
    base = shutil.copytree(terse, tmp_path / "base")
    for name, key in (("base.json", "path"), ("adapter_config.json", "base_model_name_or_path")):
        path = run / runs.ADAPTER / name
        path.write_text(json.dumps(json.loads(path.read_text()) | {key: str(base)}))
    spoil(run, base)
    before = left(run / runs.EXPORT)
    with pytest.raises(UserError, match=text) as raised:
        export(ExportConfig(threads=1, source=str(run)), job)
    assert "\n" not in str(raised.value)
    assert left(run / runs.EXPORT) == before


@pytest.mark.parametrize(("spoil", "text"), [
    (lambda b: spoil_weights(b, "model.layers.2.mlp.down_proj.weight", float("nan")), "layers.2.mlp.down_proj.weight"),
    (add_leftover, "up_proj.weight.quant_map, a leftover of quantization"),
    (lambda b: cut_short(b / "model.safetensors"), "model.safetensors is cut short"),
    (lambda b: (b / "model.safetensors").unlink(), "holds no weights"),
    (lambda b: (b / "config.json").write_text('{"model_type": "mamba"}'), "'mamba' can not be exported yet"),
])
def test_a_bad_base_is_one_clear_line_and_leaves_nothing(tmp_path: Path, terse: Path, job: Job, spoil: Any, text: str):
    base = shutil.copytree(terse, tmp_path / "base")
    spoil(base)
    with pytest.raises(UserError, match=text):
        export(ExportConfig(threads=1, source=str(base), out=str(tmp_path / "out")), job)
    assert not left(tmp_path / "out")


def test_a_source_that_is_not_there(job: Job, galen_home: Path):
    with pytest.raises(UserError, match="There is no folder 'nowhere'"):
        export(ExportConfig(threads=1, source="nowhere"), job)


def test_bad_input_through_the_worker_is_status_2_and_one_line(tmp_path: Path, terse: Path):
    worker = start(tmp_path / "job", source=str(tmp_path / "nowhere"))
    _, errors = worker.communicate(timeout=300)
    assert worker.returncode == 2 and len(errors.strip().splitlines()) == 1


def test_a_folder_that_can_not_be_written_to(small_disk: Path, terse: Path, job: Job):
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(UserError, match="can not be written to .*; choose another place"):
        export(ExportConfig(source=str(terse), out=str(small_disk)), job)


def test_a_base_that_moved_is_found_by_pefts_note(run: Path, terse: Path, tmp_path: Path):
    note = run / runs.ADAPTER / "base.json"
    note.write_text(json.dumps(json.loads(note.read_text()) | {"path": str(tmp_path / "gone")}))
    assert resolve(ExportConfig(source=str(run)), tmp_path).base == terse


@pytest.mark.parametrize("text", ["Loading the reference", "Merging, quantizing"])
def test_a_disk_that_fills_up_half_way(small_disk: Path, tmp_path: Path, terse: Path, text: str):
    folder = tmp_path / "job"
    folder.mkdir()
    job = Eventful(folder, text, lambda: fill(small_disk))
    with pytest.raises(UserError, match="The disk is full"):
        export(ExportConfig(threads=1, source=str(terse), out=str(small_disk / "out"), types=("Q8_0",)), job)
    assert not left(small_disk / "out")


@pytest.mark.parametrize("text", ["Reading", "Merging", "The reference reads", "Comparing", "The reference answers"])
def test_stop_leaves_nothing(tmp_path: Path, run: Path, text: str):
    folder = tmp_path / "job"
    folder.mkdir()
    job = Eventful(folder, text, (folder / runs.STOP).touch)
    if text == "The reference answers":
        (run / runs.HELDOUT).unlink()
    export(ExportConfig(threads=1, source=str(run)), job)
    assert not left(run / runs.EXPORT)
    assert events(folder, "note")[-1]["text"].startswith("Stopped")


def test_killed_half_way_only_scratch_remains_and_the_next_export_removes_it(tmp_path: Path, terse: Path, job: Job):
    out = tmp_path / "out"
    worker = start(tmp_path / "killed", source=str(terse), types=("Q8_0",), out=str(out))
    deadline = time.monotonic() + 60
    while not list(out.glob(".galen-*/*.gguf")) and time.monotonic() < deadline:
        time.sleep(0.01)
    worker.send_signal(signal.SIGKILL)
    worker.communicate(timeout=300)
    names = left(out)
    assert len(names) == 1 and names.pop().startswith(".galen-")
    alive = out / ".galen-other"
    alive.mkdir()
    runs.write_json(alive / "owner.json", {"pid": os.getpid(), "started": psutil.Process().create_time()})
    with pytest.raises(UserError, match="Another export is writing into .*; wait until it has ended"):
        export(ExportConfig(threads=1, source=str(terse), types=("Q8_0",), out=str(out), name="x"), job)
    assert left(out) == {".galen-other"}
    shutil.rmtree(alive)
    export(ExportConfig(threads=1, source=str(terse), types=("Q8_0",), out=str(out), name="x"), job)
    assert left(out) == {"x-Q8_0.gguf", *HANDED_OVER}


def test_the_embedded_models_name_stays_on_what_is_made_from_it(tmp_path: Path, tokenizer_folder: Path):
    if not (runs.DEMO_BASE / "config.json").is_file():
        pytest.skip("the embedded model is not there yet")
    other = make_base(tmp_path / "other", "gemma", tokenizer_folder)
    assert resolve(ExportConfig(threads=1, source="demo"), tmp_path).title == "Galen demo"
    assert resolve(ExportConfig(threads=1, source=str(other), name="mine"), tmp_path).title == "mine"
