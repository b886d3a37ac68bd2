import hashlib
import json
import shutil
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
from tests.convert.eventful import Eventful
from tests.convert.fake_hub import TOKEN, fake_hub
from tests.convert.fake_ollama import fake_ollama
from tests.convert.tiny import fill, merged_by_peft
from tests.runtime.seeing import make_seeing

REPO = "me/notes"
HANDED_OVER = {runs.REPORT, "report.html", "README.md", "SHA256SUMS", "Modelfile"}


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


def test_a_folder_holds_files_of_one_model_only(tuned: Callable[[str], Path], terse: Path, tmp_path: Path, job: Job):
    one, two, out = tuned("one", 4), tuned("two", 40), tmp_path / "out"
    export(ExportConfig(threads=1, source=str(one), out=str(out), types=("Q4_K_M",)), job)
    report = runs.read_json(out / runs.REPORT)
    made = report["files"][0]["made_from"]
    assert made["base"] == report["base"] and made["importance"] == "imatrix-one.gguf"
    assert [(one["name"], len(one["fingerprint"])) for one in made["adapters"]] == [("one", 16)]
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    other = shutil.copytree(terse, tmp_path / "other")
    (other / "config.json").write_text((other / "config.json").read_text() + " ")
    for source, text in ((two, "other adapters"), (terse, "other adapters"), (other, "another base model")):
        with pytest.raises(UserError, match=f"one-Q4_K_M.gguf, which was made from {text}.*choose another folder"):
            export(ExportConfig(threads=1, source=str(source), out=str(out), types=("F16",)), job)
    with (one / runs.HELDOUT).open("a") as file:
        file.write((one / runs.HELDOUT).read_text().splitlines()[0] + "\n")
    with pytest.raises(UserError, match="imatrix-one.gguf was made from other held-out rows"):
        export(ExportConfig(threads=1, source=str(one), out=str(out), types=("Q4_K_S",)), job)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_merged_weights_alone_say_what_they_are_from(tuned: Callable[[str], Path], tmp_path: Path, job: Job):
    one, two, out = tuned("one", 4), tuned("two", 40), tmp_path / "out"
    export(ExportConfig(threads=1, source=str(one), out=str(out), types=("safetensors",)), job)
    assert "Not checked: `one-safetensors/model.safetensors`" in (out / "README.md").read_text()
    with pytest.raises(UserError, match="model.safetensors, which was made from other adapters"):
        export(ExportConfig(threads=1, source=str(two), out=str(out), types=("F16",)), job)


def test_what_was_forced_is_not_overwritten(tmp_path: Path, terse: Path, job: Job):
    config = ExportConfig(threads=1, source=str(terse), out=str(tmp_path / "out"), name="x", force=True)
    export(config, job, {"Q8_0": 0.0})
    with pytest.raises(UserError, match="x-Q8_0.forced.gguf exists already; delete or rename it"):
        export(config, job, {"Q8_0": 0.0})


def test_an_export_that_fails_at_the_end_leaves_the_folder_as_it_was(tuned: Callable[[str], Path], tmp_path: Path,
                                                                      job: Job):
    class Stopping(Job):
        def event(self, kind: str, **values: object) -> None:
            super().event(kind, **values)
            if str(values.get("text", "")).startswith("Checksum of notes-F16"):
                (self.folder / runs.STOP).touch()

    run, folder = tuned("notes"), tmp_path / "second"
    out = run / runs.EXPORT
    with pytest.raises(UserError, match="The check found"):
        export(ExportConfig(threads=1, source=str(run), types=("Q4_K_S", "Q4_K_M")), job, {"Q4_K_S": 0.15,
                                                                                           "Q4_K_M": 0.0})
    assert left(out) >= {"notes-Q4_K_S.gguf", "notes-Q4_K_M.failed.gguf", "imatrix-notes.gguf"}
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    for limit in (0.0, 1.0):                        # red again, under the same name; green, under another
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        stopping = Stopping(folder)
        export(ExportConfig(threads=1, source=str(run), types=("Q4_K_M", "F16")), stopping,
               {"Q4_K_M": limit, "F16": 1.0})
        assert "Stopped" in notes(stopping)
        assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_an_address_of_ollama_that_is_none_is_said_before_any_work(tmp_path: Path, terse: Path, job: Job,
                                                                   monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OLLAMA_HOST", "http://[bad")
    with pytest.raises(UserError, match="OLLAMA_HOST is no address"):
        export(ExportConfig(threads=1, source=str(terse), out=str(tmp_path / "out"), ollama="x"), job)
    assert not left(tmp_path / "out")


def test_an_export_without_comparison_says_what_it_lacks(tuned: Callable[[str], Path], job: Job):
    run = tuned("notes")
    export(ExportConfig(threads=1, source=str(run), types=("Q4_K_M", "adapter"), compare=False), job)
    card = (run / runs.EXPORT / "README.md").read_text()
    assert "passed" not in card and "Compared with" not in card
    assert "structure only, not compared with the model it was made from: `notes-Q4_K_M.gguf`." in card
    assert "- Not checked: `notes-adapter.gguf`." in card
    assert "No importance matrix is made: it comes from the reference" in notes(job)
    assert "notes-adapter.gguf: " in notes(job) and "MB, not checked." in notes(job)


def test_an_evaluation_of_the_adapter_stands_in_the_card(tuned: Callable[[str], Path], galen_home: Path, job: Job):
    run, folder = tuned("notes"), galen_home / "runs" / "compared"
    folder.mkdir(parents=True)
    runs.write_json(folder / runs.CONFIG, {"base": "b", "adapter": str(run / runs.ADAPTER), "rows": "x.jsonl"})
    runs.write_json(folder / runs.RESULT, [{"model": "tuned", "val_loss": 1.25, "answers": ["Mr. Private"]}])
    export(ExportConfig(threads=1, source=str(run), types=("F16",), compare=False), job)
    card = (run / runs.EXPORT / "README.md").read_text()
    assert "## Evaluation\n\n| model | val_loss |\n|---|---|\n| tuned | 1.25 |" in card and "Private" not in card


def test_an_earlier_export_is_pushed_as_it_is(tmp_path: Path, tuned: Callable[[str], Path], job: Job,
                                              monkeypatch: pytest.MonkeyPatch):
    run = tuned("notes")
    export(ExportConfig(threads=1, source=str(run), types=("Q4_K_M",)), job)
    out = run / runs.EXPORT
    for more in (dict(types=("F16",)), dict(more=(str(run),)), dict(compare=False)):
        with pytest.raises(UserError, match="is an export already and is only sent as it is; leave out what else"):
            export(ExportConfig(source=str(out), push=REPO, **more), job)
    (out / "README.md").write_text((out / "README.md").read_text() + "\nMade by us.\n")
    with fake_hub() as hub:
        for name, value in (("HF_ENDPOINT", hub.address), ("HF_TOKEN", TOKEN), ("HF_HOME", str(tmp_path / "hf"))):
            monkeypatch.setenv(name, value)
        export(ExportConfig(source=str(out), push=REPO), job)
        assert "README.md was edited since the export; SHA256SUMS has its new checksum." in notes(job)
        assert set(hub.files) == left(out) and "imatrix-notes.gguf" in hub.files
        digest = hashlib.sha256(hub.files["README.md"]).hexdigest()
        assert f"{digest}  README.md" in hub.files["SHA256SUMS"].decode()
        hub.files.clear()
        path = out / "notes-Q4_K_M.gguf"
        path.write_bytes(path.read_bytes()[:-1] + b"\7")
        with pytest.raises(UserError, match="notes-Q4_K_M.gguf in .* was changed or damaged since the export"):
            export(ExportConfig(source=str(out), push=REPO), job)
        assert not hub.files


def states(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_earlier_export_is_sent_to_ollama(terse: Path, tmp_path: Path, job: Job, monkeypatch: pytest.MonkeyPatch):
    out = tmp_path / "out"
    export(ExportConfig(threads=1, source=str(terse), out=str(out), types=("F16",)), job)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    with fake_ollama() as ollama:
        monkeypatch.setenv("OLLAMA_HOST", ollama.address)
        ollama.prompt_tokens = 16
        export(ExportConfig(source=str(out), ollama="notes:f16"), job)
        made = ollama.models["notes:f16"]
    file, = out.glob("*-F16.gguf")
    assert made["files"] == {file.name: "sha256:" + hashlib.sha256(file.read_bytes()).hexdigest()}
    assert "{{" in made["template"] and made["parameters"]["stop"]
    assert "Ollama has notes:f16" in notes(job) and {path.name: path.read_bytes() for path in out.iterdir()} == before
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:1")
    with pytest.raises(UserError, match="Ollama does not run here: start it"):
        export(ExportConfig(source=str(out), ollama="notes:f16"), job)
    (out / "Modelfile").unlink()
    with pytest.raises(UserError, match="is no longer in|holds no Modelfile"):
        export(ExportConfig(source=str(out), ollama="notes:f16"), job)


def test_each_file_is_told_of_once_it_is_checked(terse: Path, tmp_path: Path, job: Job):
    export(ExportConfig(threads=1, source=str(terse), out=str(tmp_path / "out"), types=("F16", "Q8_0")), job)
    events = [json.loads(line) for line in (job.folder / runs.EVENTS).read_text().splitlines()]
    told = [event for event in events if event["kind"] == "file"]
    report = runs.read_json(tmp_path / "out" / runs.REPORT)["files"]
    for event, file in zip(told, report, strict=True):
        assert {key: file[key] for key in event.keys() & file.keys()} == {
            key: event[key] for key in event.keys() & file.keys()} and event["checks"] and event["status"]
    last = max(k for k, event in enumerate(events) if event["kind"] == "phase" and "Checking" in event["text"])
    assert events.index(told[0]) < last


def test_a_second_export_that_stops_while_it_sums_up_leaves_the_first_as_it_was(
        tmp_path: Path, demo_base: Path, job: Job):
    base, out = make_seeing(tmp_path / "seeing", demo_base), tmp_path / "out"
    export(ExportConfig(threads=1, source=str(base), out=str(out), types=("Q8_0",), name="x", compare=False), job)
    before = states(out)
    stopping = Eventful(job.folder, "Checksum of x", (job.folder / runs.STOP).touch)
    export(ExportConfig(threads=1, source=str(base), out=str(out), types=("F16",), name="x", compare=False), stopping)
    assert states(out) == before and notes(job).endswith("Stopped; nothing was left behind.")
    (job.folder / runs.STOP).unlink()
    export(ExportConfig(threads=1, source=str(base), out=str(out), types=("F16",), name="x", compare=False), job)
    assert set(states(out)) == {*before, "x-F16.gguf"}


def test_until_everything_is_ready_nothing_has_a_final_name(tmp_path: Path, terse: Path, job: Job):
    out, seen = tmp_path / "out", list[set[str]]()
    looking = Eventful(job.folder, "Checksum of x", lambda: seen.append(left(out)))
    export(ExportConfig(threads=1, source=str(terse), out=str(out), name="x", compare=False), looking)
    assert [name.startswith(".galen-") for names in seen for name in names] == [True]


def test_stopping_while_it_is_sent_says_where_the_files_are(tmp_path: Path, terse: Path, job: Job,
                                                            monkeypatch: pytest.MonkeyPatch):
    out = tmp_path / "out"
    stopping = Eventful(job.folder, "Sending", (job.folder / runs.STOP).touch)
    with fake_ollama() as ollama:
        monkeypatch.setenv("OLLAMA_HOST", ollama.address)
        export(ExportConfig(threads=1, source=str(terse), out=str(out), name="x", ollama="notes"), stopping)
    assert "x-Q8_0.gguf" in left(out)
    assert notes(job).endswith(f"Stopped before everything was sent; the files are in {out}.")


def test_room_for_merged_weights_is_asked_before_any_work(small_disk: Path, terse: Path, job: Job):
    fill(small_disk)
    with (small_disk / "filler").open("r+b") as filler:
        filler.truncate((small_disk / "filler").stat().st_size - 1_500_000)
    with pytest.raises(UserError, match=r"The export needs \d\.\d MB in .*/out while it works"):
        export(ExportConfig(threads=1, source=str(terse), out=str(small_disk / "out"), types=("Q8_0", "safetensors")),
               job)
    phases = (job.folder / runs.EVENTS).read_text(encoding="utf-8")
    assert "Loading the reference" not in phases and not left(small_disk / "out")
