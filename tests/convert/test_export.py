import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file

from convert.config import ExportConfig
from convert.export import export
from models import runs
from models.errors import UserError
from models.header import read_header
from models.job import Job
from models.library import find_model
from tests.convert.fake_hub import TOKEN, fake_hub
from tests.convert.fake_ollama import fake_ollama
from tests.convert.tiny import make_adapter, merged_by_peft
from tests.runtime.seeing import make_seeing

REPO = "me/notes"
HANDED_OVER = {runs.REPORT, "report.html", "README.md", "SHA256SUMS", "Modelfile"}


@pytest.fixture
def tuned(tmp_path: Path, terse: Path) -> Callable[[str], Path]:
    """Makes a run with an adapter and held-out rows."""
    def make(name: str, seed: int = 7) -> Path:
        folder = tmp_path / name
        make_adapter(folder / runs.ADAPTER, terse, r=2, target_modules=["q_proj", "v_proj"], lora_alpha=seed)
        rows = [[{"role": "user", "content": f"Question {k}?"}, {"role": "assistant", "content": f"Answer {k}."}]
                for k in range(6)]
        (folder / runs.HELDOUT).write_text("".join(json.dumps({"messages": row}) + "\n" for row in rows))
        return folder
    return make


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def notes(job: Job) -> str:
    lines = (job.folder / runs.EVENTS).read_text(encoding="utf-8").splitlines()
    return "\n".join(event["text"] for event in map(json.loads, lines) if event["kind"] == "note")


def test_everything_at_once(tmp_path: Path, tuned: Callable[[str], Path], terse: Path, job: Job):
    run = tuned("notes")
    export(ExportConfig(threads=1, source=str(run), types=("Q4_K_M", "adapter", "safetensors")), job)
    out = run / runs.EXPORT
    assert left(out) == {"notes-Q4_K_M.gguf", "notes-adapter.gguf", "notes-safetensors", "imatrix-notes.gguf",
                         *HANDED_OVER}
    report = runs.read_json(out / runs.REPORT)
    assert [(one["type"], one["status"]) for one in report["files"]] == [("Q4_K_M", "green"), ("adapter", "green")]
    assert report["files"][0]["has_importance"] and not report["files"][1]["has_importance"]
    sums = dict(reversed(line.split("  ")) for line in (out / "SHA256SUMS").read_text().splitlines())
    for name, digest in sums.items():
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == digest
    inside = {f"notes-safetensors/{path.name}" for path in (out / "notes-safetensors").iterdir()}
    assert set(sums) == (left(out) | inside) - {"SHA256SUMS", "notes-safetensors"}
    merged, ours = merged_by_peft(terse, run / runs.ADAPTER), load_file(out / "notes-safetensors/model.safetensors")
    for name, values in ours.items():
        assert (values - merged[name]).abs().max() <= 1e-6 * merged[name].abs().max(), name
    assert find_model(str(run)) == out / "notes-Q4_K_M.gguf"        # the others are no models to chat with
    assert str(tmp_path) not in (out / runs.REPORT).read_text() + (out / "README.md").read_text()


def test_two_runs_in_order_are_not_those_in_the_other_order(tuned: Callable[[str], Path], tmp_path: Path, job: Job):
    one, two = tuned("one", 4), tuned("two", 40)
    export(ExportConfig(threads=1, source=str(one), more=(str(two),), types=("F32",)), job)
    assert left(two / runs.EXPORT) >= {"two-F32.gguf"} and not (one / runs.EXPORT).exists()
    report = runs.read_json(two / runs.EXPORT / runs.REPORT)
    assert report["adapters"] == ["one", "two"] and report["files"][0]["status"] == "green"
    with pytest.raises(UserError, match="holds no adapter; only trained runs and adapters can follow"):
        export(ExportConfig(threads=1, source=str(one), more=(str(tmp_path),), types=("F32",)), job)


def test_without_the_reference_the_structure_is_checked(tuned: Callable[[str], Path], job: Job):
    run = tuned("notes")
    export(ExportConfig(threads=1, source=str(run), types=("Q4_K_M", "adapter"), compare=False), job)
    report = runs.read_json(run / runs.EXPORT / runs.REPORT)
    assert [one["status"] for one in report["files"]] == ["grey", "grey"]
    assert not any(one["has_importance"] for one in report["files"]) and "told not to" in report["importance"]
    assert all(check["figure"] is None for one in report["files"] for check in one["checks"]
               if check["name"] == "mean KL divergence")
    assert "structure checked" in notes(job)


def test_no_importance_matrix_when_none_is_wanted(tuned: Callable[[str], Path], job: Job):
    run = tuned("notes")
    export(ExportConfig(threads=1, source=str(run), types=("Q4_K_M",), importance=False), job)
    assert "imatrix-notes.gguf" not in left(run / runs.EXPORT)
    assert not runs.read_json(run / runs.EXPORT / runs.REPORT)["files"][0]["has_importance"]


def test_a_red_file_is_published_only_by_force_and_marked(tmp_path: Path, terse: Path, job: Job):
    strict, out = {"Q8_0": 0.0}, tmp_path / "out"
    export(ExportConfig(threads=1, source=str(terse), out=str(out), name="x", force=True), job, strict)
    assert left(out) == {"x-Q8_0.forced.gguf", *HANDED_OVER}
    one = runs.read_json(out / runs.REPORT)["files"][0]
    assert one["is_forced"] and one["status"] == "red" and not one["is_ok"]
    assert "./x-Q8_0.forced.gguf" in (out / "Modelfile").read_text()


def test_a_model_that_sees_gets_its_projector_beside_it(tmp_path: Path, demo_base: Path, job: Job):
    base = make_seeing(tmp_path / "seeing", demo_base)
    out = tmp_path / "out"
    export(ExportConfig(threads=1, source=str(base), out=str(out), types=("Q8_0",), name="eyes"), job)
    projector = next(path for path in out.glob("mmproj-eyes-*.gguf"))
    assert read_header(projector).architecture == "clip"
    assert [one["type"] for one in runs.read_json(out / runs.REPORT)["files"]] == ["Q8_0", "mmproj"]
    assert f"./{projector.name}" in (out / "Modelfile").read_text()
    assert find_model(str(out)) == out / "eyes-Q8_0.gguf"


def test_to_ollama_and_to_the_hub(tmp_path: Path, terse: Path, job: Job, monkeypatch: pytest.MonkeyPatch):
    out = tmp_path / "out"
    with fake_ollama() as ollama, fake_hub() as hub:
        monkeypatch.setenv("OLLAMA_HOST", ollama.address)
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
        ollama.prompt_tokens = None                                 # as an engine that does not say it
        config = ExportConfig(threads=1, source=str(terse), out=str(out), name="x", ollama="notes", push=REPO)
        export(config, job)
        assert set(ollama.models) == {"notes"}
        assert hub.private == {REPO: True} and set(hub.files) == left(out)
        hub.files.clear()
        export(ExportConfig(source=str(out), push=REPO), job)       # a folder that was exported before
        assert set(hub.files) == left(out)
    assert "Ollama has notes" in notes(job) and notes(job).count("Uploaded to") == 2


def test_ollama_that_does_not_run_leaves_the_folder_ready(tmp_path: Path, terse: Path, job: Job,
                                                          monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OLLAMA_HOST", "http://127.0.0.1:9")
    out = tmp_path / "out"
    with pytest.raises(UserError, match="ollama create notes -f Modelfile"):
        export(ExportConfig(threads=1, source=str(terse), out=str(out), name="x", ollama="notes"), job)
    assert left(out) == {"x-Q8_0.gguf", *HANDED_OVER}


@pytest.mark.parametrize(("settings", "text"), [
    (dict(types=("adapter",)), "has no adapter, so there is none to write"),
    (dict(types=("safetensors",), ollama="x"), "Ollama needs a GGUF"),
    (dict(ollama="no name!"), "is no name for a model in Ollama"),
])
def test_what_can_not_be_is_said_before_any_work(tmp_path: Path, terse: Path, job: Job, settings: dict, text: str):
    with pytest.raises(UserError, match=text):
        export(ExportConfig(threads=1, source=str(terse), out=str(tmp_path / "out"), **settings), job)
    assert not left(tmp_path / "out")


def test_a_strangers_files_are_left_alone(tmp_path: Path, terse: Path, job: Job):
    out = tmp_path / "out"
    out.mkdir()
    (out / "README.md").write_text("mine")
    with pytest.raises(UserError, match="README.md exists already and is not from an export"):
        export(ExportConfig(threads=1, source=str(terse), out=str(out)), job)
    assert left(out) == {"README.md"} and (out / "README.md").read_text() == "mine"
