import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from convert.card import evaluations_of, hub_name
from convert.handover import HandOver, check_free, check_replaceable, check_same, complete, handed_over, verify
from convert.hub import identifiers
from models import runs
from models.errors import UserError
from tests.convert.test_gotemplate import GEMMA_2, Named
from tests.convert.test_modelfile import parsed
from tests.convert.tiny import make_adapter

REPORT = {"files": [
    {"name": "x-Q8_0.gguf", "type": "Q8_0", "bytes": 2_000_000, "status": "green", "checks": [
        {"name": "mean KL divergence", "figure": 0.001234, "limit": 0.01, "is_ok": True, "note": ""},
        {"name": "top-1 agreement", "figure": 0.9871, "limit": None, "is_ok": None, "note": ""}]},
    {"name": "x-F16.gguf", "type": "F16", "bytes": 1, "status": "red", "checks": [
        {"name": "mean KL divergence", "figure": 9.0, "limit": 0.01, "is_ok": False, "note": ""}]}]}


def silent(text: str, done: int, of: int) -> None:
    """Say nothing."""


@pytest.fixture
def run(tmp_path: Path, gemma3: Path) -> Path:
    """A training run that is done, with the rows it read."""
    folder = tmp_path / "run"
    make_adapter(folder / runs.ADAPTER, gemma3, r=2, target_modules=["q_proj"])
    (tmp_path / "visits.csv").write_text("question,answer\na,b\n")
    (folder / runs.EVENTS).write_text("")
    (folder / runs.HELDOUT).write_text("{}\n")
    runs.write_json(folder / runs.CONFIG, dict(recipe="short", data=[str(tmp_path / "visits.csv")], lr=0.0002, rank=2,
                                               base=str(gemma3), eval=[], targets=["q_proj", "v_proj"]))
    runs.write_json(folder / runs.RESULT, dict(samples=1201, validation_samples=100, best_val_loss=1.23456, base="b"))
    return folder


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    for name in ("x-Q8_0.gguf", "x-F16.gguf", "mmproj-x.gguf"):
        (folder / name).write_bytes(name.encode())
    (folder / "merged").mkdir()
    (folder / "merged" / "model.safetensors").write_bytes(b"weights")
    runs.write_json(folder / runs.REPORT, REPORT)
    return folder


FILES = ["x-Q8_0.gguf", "x-F16.gguf", "mmproj-x.gguf", "merged/model.safetensors"]


def wanted(out: Path, base: Path, **more: Any) -> HandOver:
    return HandOver(**{**dict(out=out, title="notes", base=base, tokenizer=Named(GEMMA_2), model="x-Q8_0.gguf",
                              projector="mmproj-x.gguf", system="Be brief."), **more})


def test_the_folder_is_whole_and_its_checksums_hold(out: Path, gemma3: Path, run: Path):
    done = complete(wanted(out, gemma3, adapters=[run / runs.ADAPTER]), FILES, silent)
    assert set(handed_over(out)) == {*FILES, "report.json", "Modelfile", "README.md", "SHA256SUMS"}
    assert done.digests["x-Q8_0.gguf"] and not done.note
    checked = subprocess.run(["sha256sum", "--strict", "-c", "SHA256SUMS"], cwd=out, capture_output=True, text=True)
    assert checked.returncode == 0 and checked.stdout.count(": OK") == 7, checked.stdout + checked.stderr
    lines = parsed((out / "Modelfile").read_text())
    assert lines[:2] == [("FROM", "./x-Q8_0.gguf"), ("FROM", "./mmproj-x.gguf")] and ("SYSTEM", "Be brief.") in lines
    (out / "x-Q8_0.gguf").write_bytes(b"spoilt")
    assert subprocess.run(["sha256sum", "--status", "-c", "SHA256SUMS"], cwd=out).returncode == 1


def test_the_card_says_what_the_files_say(out: Path, gemma3: Path, run: Path):
    complete(wanted(out, gemma3, adapters=[run / runs.ADAPTER]), FILES, silent)
    card = (out / "README.md").read_text(encoding="utf-8")
    front = yaml.safe_load(card.split("---")[1])
    assert front["license"] == "gemma" and front["license_link"].endswith("/gemma/terms")
    assert front["library_name"] == "gguf" and {"gguf", "lora", "medical"} <= set(front["tags"])
    assert "| `x-Q8_0.gguf` | Q8_0 | 2.0 | passed | 0.001234 | 0.9871 |" in card
    assert "| `x-F16.gguf` | F16 | 0.0 | FAILED |" in card
    assert "rows learned from: 1,201; held out: 100; best validation loss: 1.235" in card
    assert "| `lr` | 0.0002 |" in card and "| `targets` | q_proj, v_proj |" in card and "`visits.csv` | `" in card
    assert "no medical device" in card and "sha256sum -c SHA256SUMS" in card and "ollama create NAME" in card


def test_no_place_on_this_computer_stands_in_it(out: Path, gemma3: Path, run: Path, tmp_path: Path):
    complete(wanted(out, gemma3, adapters=[run / runs.ADAPTER]), FILES, silent)
    for name in ("README.md", "Modelfile", "SHA256SUMS"):
        assert str(tmp_path.parent) not in (out / name).read_text(encoding="utf-8"), name
    assert identifiers(out, ["README.md", "Modelfile", "SHA256SUMS"]) == []


def test_stages_are_told_in_order_and_an_adapter_alone_by_its_settings(out: Path, gemma3: Path, run: Path,
                                                                       tmp_path: Path):
    alone = make_adapter(tmp_path / "alone", gemma3, r=3, target_modules=["v_proj"])
    complete(wanted(out, gemma3, adapters=[run / runs.ADAPTER, alone]), FILES, silent)
    card = (out / "README.md").read_text(encoding="utf-8")
    assert "2 LoRA adapters merged into it in order" in card
    assert card.index("stage 1") < card.index("1,201") < card.index("stage 2") < card.index("| `r` | 3 |")


def test_an_evaluation_is_shown_when_there_is_one(out: Path, gemma3: Path, tmp_path: Path):
    scores = tmp_path / "scores.json"
    scores.write_text(json.dumps([{"model": "base", "rouge_l": 0.1234567, "answers": ["x"]},
                                  {"model": "tuned Q8_0", "rouge_l": 0.3, "rows": 20}]))
    complete(wanted(out, gemma3, evaluations=[scores]), FILES, silent)
    card = (out / "README.md").read_text(encoding="utf-8")
    assert "| model | rouge_l | rows |" in card
    assert "| base | 0.1235 |  |" in card and "| tuned Q8_0 | 0.3 | 20 |" in card
    scores.write_text('{"a": 1}')
    with pytest.raises(UserError, match="holds no list of scores; run the evaluation again"):
        complete(wanted(out, gemma3, evaluations=[scores]), FILES, silent)


def test_a_second_export_keeps_what_the_first_put_there(out: Path, gemma3: Path):
    complete(wanted(out, gemma3), FILES[:1], silent)
    assert "x-F16.gguf" not in handed_over(out)
    check_free(out, gemma3)
    complete(wanted(out, gemma3, model="x-F16.gguf"), ["x-F16.gguf"], silent)
    assert {"x-Q8_0.gguf", "x-F16.gguf"} <= set(handed_over(out))
    assert "FROM ./x-F16.gguf" in (out / "Modelfile").read_text()
    (out / "x-Q8_0.gguf").unlink()
    complete(wanted(out, gemma3, model="x-F16.gguf"), [], silent)
    assert "x-Q8_0.gguf" not in handed_over(out) and "x-Q8_0" not in (out / "README.md").read_text()


@pytest.mark.parametrize("name", ["README.md", "Modelfile", "SHA256SUMS", "LICENSE"])
def test_somebody_elses_file_is_never_written_over(out: Path, gemma3: Path, tmp_path: Path, name: str):
    base = shutil.copytree(gemma3, tmp_path / "base")
    (base / "LICENSE").write_text("Terms.")
    check_free(out, base)
    (out / name).write_text("mine")
    with pytest.raises(UserError, match=f"{name} exists already and is not from an export; choose an empty folder"):
        check_free(out, base)


def test_a_licence_travels(out: Path, gemma3: Path, tmp_path: Path):
    base = shutil.copytree(gemma3, tmp_path / "base")
    (base / "LICENSE").write_text('The "Terms".\nAll of them.')
    complete(wanted(out, base), FILES, silent)
    assert (out / "LICENSE").read_text() == 'The "Terms".\nAll of them.' and "LICENSE" in handed_over(out)
    assert parsed((out / "Modelfile").read_text())[-1] == ("LICENSE", 'The "Terms".\nAll of them.')
    assert "Its licence text lies beside this file" in (out / "README.md").read_text()


def test_where_no_template_is_known_there_is_no_modelfile_and_why(out: Path, gemma3: Path):
    done = complete(wanted(out, gemma3, tokenizer=Named("")), FILES, silent)
    assert done.described is None and done.note.startswith("No Modelfile: The base model has no chat template")
    assert not (out / "Modelfile").exists() and "ollama create" not in (out / "README.md").read_text()


def test_the_embedded_model_says_what_it_is(out: Path, demo_base: Path):
    complete(wanted(out, demo_base, title="Galen demo notes"), FILES, silent)
    card = (out / "README.md").read_text(encoding="utf-8")
    assert "of no medical use" in card and "states no licence" in card and "gemma/terms" not in card
    assert "license" not in yaml.safe_load(card.split("---")[1])


@pytest.mark.parametrize(("folder", "named", "name"), [
    ("models--google--gemma-3-1b-it/snapshots/abc", None, "google/gemma-3-1b-it"),
    ("plain", "google/gemma-2-2b-it", "google/gemma-2-2b-it"), ("plain", "/data/gemma", ""), ("plain", None, "")])
def test_the_bases_name_on_the_hub(tmp_path: Path, folder: str, named: str | None, name: str):
    base = tmp_path / folder
    base.mkdir(parents=True)
    runs.write_json(base / "config.json", {"_name_or_path": named})
    assert hub_name(base, []) == name


def test_stopping_leaves_no_half_file(out: Path, gemma3: Path):
    class Stopped(Exception):
        pass

    def stop(text: str, done: int, of: int) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        complete(wanted(out, gemma3), FILES, stop)
    assert not (out / "SHA256SUMS").exists() and not list(out.glob("*.part"))


def entry(name: str, status: str, *checks: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "type": "Q8_0", "bytes": 1, "status": status, "checks": list(checks)}


BROKEN = {"name": "mean KL divergence", "figure": 9.0, "limit": 0.01, "is_ok": False, "note": ""}
OPENED = {"name": "template equals the base's", "figure": 1, "limit": 1, "is_ok": True, "note": ""}
LEFT_OUT = {"name": "mean KL divergence", "figure": None, "limit": None, "is_ok": None, "note": "told not to"}


@pytest.mark.parametrize(("files", "one", "says", "never"), [
    (["x-Q8_0.gguf"], entry("x-Q8_0.gguf", "grey", OPENED, LEFT_OUT), "structure only, not compared", "passed"),
    (["x-Q8_0.gguf"], entry("x-Q8_0.gguf", "grey", LEFT_OUT), "- Not checked: `x-Q8_0.gguf`.", "tructure only"),
    (["x-Q8_0.gguf"], entry("x-Q8_0.gguf", "red", BROKEN), "FAILED its check and published all the same", "passed"),
    ([], entry("x-Q8_0.failed.gguf", "red", BROKEN), "no part of this hand-over: `x-Q8_0.failed.gguf`.", "passed"),
    (["merged/model.safetensors"], None, "- Not checked: `merged/model.safetensors`.", "ompared"),
])
def test_the_card_claims_no_more_than_the_check_found(out: Path, gemma3: Path, files: list[str],
                                                      one: dict[str, Any] | None, says: str, never: str):
    runs.write_json(out / runs.REPORT, {"files": [one] if one else []})
    complete(wanted(out, gemma3, model="", projector=""), files, silent)
    card = (out / "README.md").read_text(encoding="utf-8")
    told = card[:card.index("## Intended use")] + card[card.index("## Files"):card.index("## Base model")]
    assert says in told and never not in told and "checked by Galen" not in card


def test_a_later_export_does_not_make_a_damaged_file_look_whole(out: Path, gemma3: Path):
    complete(wanted(out, gemma3), FILES[:1], silent)
    (out / "x-Q8_0.gguf").write_bytes(b"spoilt")
    complete(wanted(out, gemma3, model="x-F16.gguf"), ["x-F16.gguf"], silent)
    checked = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=out, capture_output=True, text=True)
    assert "x-Q8_0.gguf: FAILED" in checked.stdout and checked.stdout.count("FAILED") == 1
    with pytest.raises(UserError, match="x-Q8_0.gguf in .* is not the file that SHA256SUMS lists"):
        verify(out, silent)


def test_an_edited_text_gets_a_new_checksum_and_a_file_of_ours_none(out: Path, gemma3: Path):
    complete(wanted(out, gemma3), FILES, silent)
    assert verify(out, silent) == []
    (out / "README.md").write_text("by me\n")
    assert verify(out, silent) == ["README.md"]
    assert subprocess.run(["sha256sum", "--status", "-c", "SHA256SUMS"], cwd=out).returncode == 0
    (out / runs.REPORT).write_text("{}")
    with pytest.raises(UserError, match=f"{runs.REPORT} in .* was changed or damaged since the export"):
        verify(out, silent)


def test_files_of_another_base_or_other_adapters_are_not_joined(out: Path, gemma3: Path):
    made = {"base": {"name": "b", "fingerprint": "1"}, "adapters": [{"name": "a", "fingerprint": "2"}]}
    complete(wanted(out, gemma3), FILES[:1], silent)
    with pytest.raises(UserError, match="report.json does not say what that was made from; choose another folder"):
        check_same(out, made)
    runs.write_json(out / runs.REPORT, {"files": [], "made_from": made})
    check_same(out, made)
    check_same(out, {**made, "base": {"name": "moved", "fingerprint": "1"}})
    with pytest.raises(UserError, match=r"made from another base model \(b 1, now b 3\); choose another folder"):
        check_same(out, {**made, "base": {"name": "b", "fingerprint": "3"}})
    with pytest.raises(UserError, match=r"made from other adapters \(a 2, now none\); choose another folder"):
        check_same(out, {**made, "adapters": []})
    (out / "x-Q8_0.gguf").unlink()
    check_same(out, {**made, "adapters": []})


def test_what_stands_beside_the_models_is_replaced_only_by_the_same(out: Path, gemma3: Path):
    check_replaceable(out / "imatrix-x.gguf", "1")
    with pytest.raises(UserError, match="mmproj-x.gguf exists already and is not from an export"):
        check_replaceable(out / "mmproj-x.gguf")
    (out / "imatrix-x.gguf").write_bytes(b"matrix")
    made = [{"name": "x-Q8_0.gguf", "made_from": {"heldout": "1", "importance": "imatrix-x.gguf"}},
            {"name": "x-F16.gguf", "made_from": {"heldout": "2", "importance": None}}]
    runs.write_json(out / runs.REPORT, {"files": made, "made_from": {"heldout": "2"}})
    complete(wanted(out, gemma3), [*FILES, "imatrix-x.gguf"], silent)
    check_replaceable(out / "mmproj-x.gguf")
    check_replaceable(out / "imatrix-x.gguf", "1")
    with pytest.raises(UserError, match="imatrix-x.gguf was made from other held-out rows, and x-Q8_0.gguf with it"):
        check_replaceable(out / "imatrix-x.gguf", "2")
    (out / "x-Q8_0.gguf").unlink()
    check_replaceable(out / "imatrix-x.gguf", "2")


def test_a_system_message_that_no_modelfile_holds_is_left_out_and_told(out: Path, gemma3: Path):
    done = complete(wanted(out, gemma3, system='Write """so""".'), FILES, silent)
    assert done.described and "three quotation marks" in done.note
    assert not [line for line in parsed((out / "Modelfile").read_text()) if line[0] == "SYSTEM"]


def test_the_newest_evaluation_of_the_adapter_as_it_is_is_found(galen_home: Path, run: Path):
    adapter = run / runs.ADAPTER
    assert evaluations_of([]) == () == evaluations_of([adapter])
    made = {}
    for name, of in (("old", adapter), ("other", run), ("new", adapter)):
        folder = galen_home / "runs" / name
        folder.mkdir(parents=True)
        runs.write_json(folder / runs.CONFIG, {"base": "b", "adapter": str(of), "rows": "x.jsonl"})
        runs.write_json(folder / runs.RESULT, [{"model": name, "val_loss": 1.5, "answers": ["private"]}])
        made[name] = folder / runs.RESULT
    at = (adapter / "adapter_model.safetensors").stat().st_mtime
    os.utime(made["old"], (at + 1, at + 1))
    os.utime(made["new"], (at + 2, at + 2))
    assert evaluations_of([run, adapter]) == (made["new"],)
    os.utime(made["new"], (at - 9, at - 9))                     # trained anew since
    assert evaluations_of([adapter]) == (made["old"],)
    made["old"].with_name(runs.CONFIG).write_text("{")
    assert evaluations_of([adapter]) == ()


def evaluated(home: Path, name: str, at: float, **settings: str) -> Path:
    """The folder of an evaluation that ended so many seconds after now."""
    folder = home / "runs" / name
    folder.mkdir(parents=True)
    runs.write_json(folder / runs.CONFIG, {"benchmark": "pubmedqa", "file": "pqal.json", **settings})
    (folder / runs.REPORT_TABLE).write_text(f"## PubMedQA\n\n- {name}: accuracy 33% on 300 items.\n")
    runs.write_json(folder / runs.RESULT, [{"metric": "accuracy"}])
    os.utime(folder / runs.RESULT, (time.time() + at, time.time() + at))
    return folder / runs.REPORT_TABLE


def test_benchmarks_of_the_adapter_its_run_and_its_exports_are_found(galen_home: Path, run: Path, out: Path,
                                                                    gemma3: Path):
    adapter = run / runs.ADAPTER
    gguf = run / runs.EXPORT / "run-Q8_0.gguf"
    gguf.parent.mkdir()
    gguf.write_bytes(b"GGUF")
    evaluated(galen_home, "earlier", 5, model=str(run))
    found = [evaluated(galen_home, "later", 9, model=str(run)),
             evaluated(galen_home, "second", 1, model="demo", against=str(adapter)),
             evaluated(galen_home, "quantized", 2, model=str(gguf), benchmark="medqa")]
    evaluated(galen_home, "another", 3, model=str(gemma3), against="gone")
    evaluated(galen_home, "before", -9999, model=str(run), file="other.json")
    evaluated(galen_home, "unfinished", 4, model=str(run), file="more.json").unlink()
    assert set(evaluations_of([adapter])) == set(found)
    complete(wanted(out, gemma3, adapters=[adapter], evaluations=evaluations_of([adapter])), FILES, silent)
    card = (out / "README.md").read_text()
    assert card.count("## Evaluation\n\n### PubMedQA\n\n- quantized: accuracy 33% on 300 items.\n\n### PubMedQA") == 1
    assert card.count("### PubMedQA") == 3 and "earlier" not in card and "\n## Use\n" in card
