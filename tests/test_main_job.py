"""The main job from start to end as a user runs it: table -> adapter -> GGUF -> streamed answer; and the demo."""

import csv
import json
import os
import subprocess
import sys

import pytest

from models import runs

THREADS = "2"


def galen(*words, home, status=0):
    """Run a command as launcher.py hands it over; returns (stdout, stderr)."""
    environment = {**os.environ, "PYTHONPATH": str(runs.ROOT), "GALEN_HOME": str(home), "OMP_NUM_THREADS": THREADS}
    done = subprocess.run([sys.executable, "-m", "ui.commands", *map(str, words)], env=environment,
                          capture_output=True, text=True, timeout=900)
    assert done.returncode == status, f"{words} ended with {done.returncode}: {done.stderr[-2000:]}"
    return done.stdout, done.stderr


@pytest.mark.slow
def test_train_export_chat_on_real_rows(shared_data, tmp_path):
    data = shared_data / "mts-dialog"
    run = tmp_path / "run"
    out, err = galen("train", "summarise", "--data", data / "train.csv", "--eval", data / "validation.csv",
                     "--set", "max_steps=40", "--set", "evals=2", "--set", "max_len=512", "--run", run, "--json",
                     home=tmp_path / "home")
    result = json.loads(out.splitlines()[-1])
    assert result["best_val_loss"] < result["base_val_loss"]
    assert "tokens/s" in err and "left" in err
    for name in (runs.CONFIG, runs.EVENTS, runs.CURVE, runs.HELDOUT, f"{runs.ADAPTER}/adapter_model.safetensors"):
        assert (run / name).is_file(), name

    out, _ = galen("export", run, "--type", "Q8_0,Q4_0", "--json", home=tmp_path / "home")
    report = json.loads(out.splitlines()[-1])
    assert [file["type"] for file in report["files"]] == ["Q8_0", "Q4_0"]
    assert all(check["is_ok"] is not False for file in report["files"] for check in file["checks"])
    files = sorted((run / runs.EXPORT).glob("*.gguf"))
    assert len(files) == 2

    with (data / "validation.csv").open(encoding="utf-8", newline="") as file:
        row = min(csv.DictReader(file), key=lambda row: len(row["dialogue"]))
    for path in files:
        out, err = galen("chat", path, "-p", f"Summarise: {row['dialogue']}", "--temperature", "0",
                         "--max-tokens", "60", home=tmp_path / "home")
        assert out.strip() and "tokens/s" in err and "no medical use" in err


@pytest.mark.slow
def test_the_demo_measures_all_four_models(tmp_path):
    out, err = galen("demo", "--json", home=tmp_path / "home")
    result = json.loads(out.splitlines()[-1])
    rows = {row["model"]: row for row in result["rows"]}
    assert list(rows) == ["base", "tuned", "tuned Q8_0", "tuned Q4_0"]
    for row in rows.values():
        assert row["val_loss"] > 0 and 0 <= row["rouge_l"] <= 1 and row["bytes"] > 1e6 and row["tokens_per_s"] > 0
    assert rows["tuned"]["val_loss"] < rows["base"]["val_loss"] - 0.2
    assert abs(rows["tuned Q8_0"]["val_loss"] - rows["tuned"]["val_loss"]) < 0.05
    assert rows["tuned Q4_0"]["bytes"] < rows["tuned Q8_0"]["bytes"] < rows["tuned"]["bytes"]
    assert result["wall_s"] > 0 and 200 < result["peak_rss_mb"] < 3000 and result["chat"]
