import csv
import json
from pathlib import Path

import psutil
import pytest

from convert.config import ExportConfig
from convert.source import resolve
from corpus.layouts import read_examples
from models import runs
from models.errors import UserError
from models.job import Job
from tests.train.conftest import events
from train.stages import spent_s
from train.worker import work

COMMON = {"lr": 0.02, "rank": 4, "batch": 8, "max_steps": 6, "evals": 2, "max_len": 64, "precision": "float32",
          "threads": 1, "dropout": 0.0, "notify": False, "keep_awake": False, "shown_answers": 1, "answer_tokens": 6,
          "min_chars": 0, "test_share": 0.0, "near_duplicates": "keep"}


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows of another kind than those of the fixture rows."""
    path = tmp_path_factory.mktemp("colours") / "colours.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("question", "answer"))
        for k in range(20):
            writer.writerow((f"Which colour has the thing number {k * 37} of the {k} shelf?", f"Colour {k % 3}."))
    return path


def two_stages(folder: Path, base: Path, one: Path, two: Path, **values: object) -> Path:
    """A run of the stages "doses" and "colours" in this process; its folder."""
    folder.mkdir(exist_ok=True)
    runs.write_json(folder / runs.CONFIG, {**COMMON, "base": str(base), **values, "stages": [
        {"name": "doses", "data": [str(one)], "best_by": "rouge_l", "metric_rows": 3},
        {"name": "colours", "data": [str(two)], "lr": 0.01}]})
    work(Job(folder))
    return folder


@pytest.fixture(scope="module", params=["adapter", "merged"])
def run(request, tmp_path_factory: pytest.TempPathFactory, tiny_base: Path, rows: Path, colours: Path) -> Path:
    """A finished run, started either way."""
    return two_stages(tmp_path_factory.mktemp("stages") / request.param, tiny_base, rows, colours, start=request.param)


def of_stage(folder: Path, name: str) -> dict:
    return runs.read_json(folder / runs.STAGES / name / runs.RESULT)


def test_the_table_has_a_row_before_training_and_one_after_each_stage(run: Path):
    table = runs.read_json(run / runs.RESULT)["table"]
    assert [row["after"] for row in table] == ["before training", "doses", "colours"]
    for row in table:
        assert list(row["scores"]) == ["doses", "colours"]
        assert set(row["scores"]["doses"]) == {"loss", "rouge_l"} and set(row["scores"]["colours"]) == {"loss"}
    before, after_doses, after_colours = (row["scores"] for row in table)
    doses, colours = of_stage(run, "1-doses"), of_stage(run, "2-colours")
    assert before["doses"]["loss"] == pytest.approx(doses["base_val_loss"], abs=1e-4)
    assert before["doses"]["rouge_l"] == pytest.approx(doses["base_metric"], abs=1e-4)
    assert after_doses["doses"]["loss"] == pytest.approx(doses["best_val_loss"], abs=1e-4)
    assert after_doses["colours"]["loss"] == pytest.approx(colours["base_val_loss"], abs=1e-4)
    assert after_colours["colours"]["loss"] == pytest.approx(colours["best_val_loss"], abs=1e-4)
    assert colours["best_val_loss"] < colours["base_val_loss"] < before["colours"]["loss"] + 5
    assert after_colours["doses"] != after_doses["doses"]


def test_the_table_is_told_and_stands_in_the_card(run: Path):
    result = runs.read_json(run / runs.RESULT)
    told = [event["text"] for event in events(run, "note")][-4:]
    card = (run / runs.ADAPTER / runs.CARD).read_text(encoding="utf-8")
    for row, line in zip(result["table"], told[-3:], strict=True):
        assert line.startswith(row["after"]) and f"{row['scores']['colours']['loss']:.3f}" in line
        assert f"| {row['after']} | {row['scores']['doses']['loss']:.3f} |" in card
    assert [event["name"] for event in events(run, "stage")] == ["before training", "doses", "colours"]
    assert {event["stage"] for event in events(run, "step")} == {"doses", "colours"}


def test_the_run_is_one_that_can_be_exported(run: Path, tiny_base: Path):
    places = [run / runs.STAGES / name for name in ("1-doses", "2-colours")]
    last = places[1] / runs.ADAPTER / "adapter_model.safetensors"
    assert (run / runs.ADAPTER / last.name).read_bytes() == last.read_bytes()
    source = resolve(ExportConfig(source=str(run)), run)
    is_merged = runs.read_json(run / runs.CONFIG)["start"] == "merged"
    assert source.adapters == (*([places[0] / runs.ADAPTER] if is_merged else []), run / runs.ADAPTER)
    assert source.base == tiny_base and source.heldout == run / runs.HELDOUT
    assert resolve(ExportConfig(source=str(places[1])), run).adapters[:-1] == source.adapters[:-1]
    assert [row.file for row in read_examples(run / runs.HELDOUT)] == [
        row.file for place in reversed(places) for row in read_examples(place / runs.HELDOUT)]
    assert (run / runs.CURVE).read_bytes().startswith(b"\x89PNG")


def test_figures_of_the_stages_are_added_up(run: Path):
    result, stages = runs.read_json(run / runs.RESULT), [of_stage(run, name) for name in ("1-doses", "2-colours")]
    assert result["steps"] == 12 and result["best_val_loss"] == stages[1]["best_val_loss"]
    for name in ("samples", "validation_samples", "left_out", "train_s"):
        assert result[name] == pytest.approx(sum(one[name] for one in stages))
    assert result["peak_rss_mb"] >= max(one["peak_rss_mb"] for one in stages)
    assert result["tokens_per_s"] == pytest.approx(result["supervised_tokens"] / result["train_s"])
    assert result["base_val_loss"] == result["table"][0]["scores"]["colours"]["loss"] != stages[1]["base_val_loss"]
    assert len(result["fingerprints"]) == 2 and [one["name"] for one in result["stages"]] == ["doses", "colours"]


def test_the_time_is_that_of_the_whole_run_reading_and_scoring_included(run: Path):
    """From the start of the process on, which here is that of all tests."""
    result, told = runs.read_json(run / runs.RESULT), events(run)
    scored = next(k for k in range(len(told)) if told[k]["kind"] == "stage" and told[k]["done"] == 2)
    began = psutil.Process().create_time()
    assert told[scored]["t"] - began - 0.01 <= result["seconds"] <= told[scored + 1]["t"] - began + 0.01
    assert result["seconds"] > sum(one["seconds"] for one in result["stages"])


def test_time_between_two_processes_does_not_count(tmp_path: Path):
    """The first was killed, the second was stopped, and an estimate was made before the third."""
    path = tmp_path / runs.EVENTS
    assert spent_s([100.0], path) == 0.0
    path.write_text("".join(json.dumps({"t": t, "kind": kind}) + "\n" for t, kind in (
        (101.0, "note"), (107.5, "step"), (201.0, "step"), (204.0, "stopped"), (300.0, "phase"), (301.0, "done"),
        (401.0, "note"))), encoding="utf-8")
    assert spent_s([100.0, 200.0, 400.0], path) == pytest.approx(7.5 + 4.0)


def test_the_card_tells_each_stages_own_settings_and_result(run: Path):
    card = (run / runs.ADAPTER / runs.CARD).read_text(encoding="utf-8")
    stages = [of_stage(run, name) for name in ("1-doses", "2-colours")]
    assert "| setting | name | doses | colours |" in card and "| `lr` | 0.02 | 0.01 |" in card
    for name, one in zip(("doses", "colours"), stages, strict=True):
        assert (f"| {name} | loss, nats an answer token | {one['base_val_loss']:.4f} | {one['best_val_loss']:.4f} | "
                f"{one['best_step']} of 6 |") in card
    assert "| doses | ROUGE-L |" in card and "The run took 12 steps" in card and "/" + "tmp" not in card


def test_what_is_finished_is_not_trained_again(run: Path, tiny_base: Path, rows: Path, colours: Path):
    start = runs.read_json(run / runs.CONFIG)["start"]
    kept = run / runs.STAGES / "1-doses" / runs.ADAPTER / "adapter_model.safetensors"
    again = run / runs.ADAPTER / "adapter_model.safetensors"
    before, changed, bytes_before = runs.read_json(run / runs.RESULT), kept.stat().st_mtime_ns, again.read_bytes()
    told = len(events(run, "step"))
    (run / runs.RESULT).unlink()
    (run / runs.STAGES / "2-colours" / runs.RESULT).unlink()
    two_stages(run, tiny_base, rows, colours, start=start)
    assert kept.stat().st_mtime_ns == changed and again.read_bytes() == bytes_before
    assert runs.read_json(run / runs.RESULT)["table"] == before["table"]
    assert {event["stage"] for event in events(run, "step")[told:]} == {"colours"}


def test_a_stop_in_the_second_stage_leaves_what_is_there(tmp_path: Path, tiny_base: Path, rows: Path, colours: Path):
    class Stopping(Job):
        """Somebody asks to stop as soon as the second stage has taken two steps."""

        def event(self, kind: str, **values: object) -> None:
            super().event(kind, **values)
            if kind == "step" and values.get("stage") == "colours" and values["step"] == 2:
                (self.folder / runs.STOP).touch()

    folder = tmp_path / "run"
    folder.mkdir()
    runs.write_json(folder / runs.CONFIG, {**COMMON, "base": str(tiny_base), "stages": [
        {"name": "doses", "data": [str(rows)]}, {"name": "colours", "data": [str(colours)]}]})
    work(Stopping(folder))
    result = runs.read_json(folder / runs.RESULT)
    assert result["is_stopped"] and [row["after"] for row in result["table"]] == ["before training", "doses"]
    assert (folder / runs.ADAPTER / "adapter_config.json").is_file()
    assert events(folder, "step")[-1]["step"] == 2

    (folder / runs.STOP).unlink()
    work(Job(folder))
    result = runs.read_json(folder / runs.RESULT)
    assert not result["is_stopped"] and len(result["table"]) == 3
    assert [event["step"] for event in events(folder, "step") if event["stage"] == "colours"] == [1, 2, 3, 4, 5, 6]


def test_no_stage_learns_what_another_is_judged_by(tmp_path: Path, tiny_base: Path, rows: Path):
    runs.write_json(tmp_path / runs.CONFIG, {**COMMON, "base": str(tiny_base), "max_steps": 1, "evals": 1, "stages": [
        {"name": name, "data": [str(rows)], "seed": seed} for seed, name in enumerate(("one", "two"))]})
    work(Job(tmp_path))
    places = [tmp_path / runs.STAGES / name for name in ("1-one", "2-two")]
    held = [{row.line for row in read_examples(place / runs.HELDOUT)} for place in places]
    for place, own, other, name in zip(places, held, held[::-1], ("two", "one"), strict=True):
        found = next(one for one in json.loads((place / runs.FINDINGS).read_text(encoding="utf-8"))
                     if f"the validation rows of the stage {name}" in one["text"])
        assert {row["line"] for row in found["rows"]} == other - own and other - own
        assert runs.read_json(place / runs.RESULT)["samples"] == 24 - len(own | other)


def test_a_stage_without_rows_is_named(tmp_path: Path, tiny_base: Path):
    runs.write_json(tmp_path / runs.CONFIG, {**COMMON, "base": str(tiny_base), "stages": [{"name": "one"}]})
    with pytest.raises(UserError, match="The stage one has no training file; name it with --data one=FILE"):
        work(Job(tmp_path))
