from pathlib import Path

import pytest

from models import knobs, runs
from train import card
from train.config import TrainConfig

RESULT = {"machine": "CPU, float32 arithmetic", "fingerprints": {"/home/ann/rows.csv": "ab" * 32, "hf:a/b": "cd" * 32},
          "samples": 1200, "validation_samples": 100, "left_out": 7, "cut": 3, "base_val_loss": 3.5,
          "best_val_loss": 2.5, "metric": "loss", "base_metric": None, "best_metric": None, "best_step": 40,
          "steps": 50, "seconds": 600.0}
FINDINGS = [{"step": "leak guard", "count": 2, "text": "2 rows of /home/ann/rows.csv | also stand in test.", "rows": [
                {"file": "/home/ann/rows.csv", "line": 3, "input": "Mrs. Miller is 91"}]},
            {"step": "spaces", "count": 0, "text": "Nothing.", "rows": []}]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder with all that a card is written from."""
    folder = tmp_path / "my run"
    (folder / runs.ADAPTER).mkdir(parents=True)
    config = TrainConfig(data=("/home/ann/rows.csv", "hf:a/b"), base="/home/ann/base", max_len=512, rank=8)
    runs.write_json(folder / runs.CONFIG, knobs.to_json(config))
    runs.write_json(folder / runs.RESULT, RESULT)
    runs.write_json(folder / runs.FINDINGS, FINDINGS)
    runs.write_json(folder / runs.ADAPTER / runs.BASE, {
        "path": "/home/ann/.cache/models--google--gemma-3-1b-it/snapshots/0123", "fingerprint": "f" * 16,
        "family": "gemma3_text"})
    (folder / runs.CURVE).write_bytes(b"picture")
    return folder


def written(folder: Path, **changes: object) -> str:
    runs.write_json(folder / runs.RESULT, {**RESULT, **changes})
    card.write(folder)
    return (folder / runs.ADAPTER / runs.CARD).read_text(encoding="utf-8")


def test_a_card_says_what_the_adapter_was_made_of(run: Path):
    text = written(run)
    assert text.startswith("---\nlibrary_name: peft\n") and "\nbase_model: google/gemma-3-1b-it\n" in text
    for words in ("# my run: a LoRA adapter", f"fingerprint `{'f' * 16}`", f"| rows.csv | `{'ab' * 32}` |",
                  f"| hf:a/b | `{'cd' * 32}` |", "1,200 rows were learned from and 100 held for validation",
                  "7 were left out", "3 were longer than 512 tokens", "- 2 rows of rows.csv \\| also stand in test.",
                  "| loss, nats an answer token | 3.5000 | 2.5000 |", "after step 40", "50 steps and 10.0 minutes",
                  "![Loss curve](curve.png)", "| LoRA rank | `rank` | 8 |", "no medical device"):
        assert words in text, words
    assert "Nothing." not in text and "merged into it" not in text
    assert (run / runs.ADAPTER / runs.CURVE).read_bytes() == b"picture"


def test_a_card_holds_no_folder_of_a_person_and_no_row(run: Path):
    text = written(run)
    assert "/home" not in text and "ann" not in text.replace("cannot", "") and "Miller" not in text


def test_a_metric_a_table_and_the_stages_before_are_told(run: Path):
    note = run / runs.ADAPTER / runs.BASE
    runs.write_json(note, {**runs.read_json(note), "before": ["../stages/1-one/adapter"]})
    table = [{"after": "before training", "scores": {"one": {"loss": 3.0, "accuracy": 0.25}, "two": {"loss": 4.0}}},
             {"after": "one", "scores": {"one": {"loss": 2.0, "accuracy": 0.75}, "two": {"loss": 5.0}}}]
    text = written(run, metric="accuracy", base_metric=0.25, best_metric=0.75, table=table)
    assert "| accuracy | 0.2500 | 0.7500 |" in text
    assert "|  | one: loss | one: accuracy | two: loss |" in text and "| one | 2.000 | 0.750 | 5.000 |" in text
    assert "1 earlier adapter merged into it" in text


def test_a_run_that_was_stopped_early_and_one_without_findings_have_a_card_too(run: Path):
    (run / runs.FINDINGS).unlink()
    (run / runs.CURVE).unlink()
    text = written(run, best_val_loss=None, base_val_loss=None)
    assert "stopped before its first evaluation" in text and "curve" not in text


def test_the_embedded_model_is_named_as_what_it_is(run: Path):
    runs.write_json(run / runs.ADAPTER / runs.BASE, {"path": str(runs.DEMO_BASE), "fingerprint": "0" * 16,
                                                     "family": "gemma3_text"})
    text = written(run)
    assert "of no medical use" in text and "base_model:" not in text
