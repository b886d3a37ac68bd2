"""An evaluation killed ten times with SIGKILL, at any moment, ends with the same bytes as one that was left alone."""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from evaluation.config import EvaluateConfig
from evaluation.items import read_items
from models import knobs, runs

KILLS, EARLY, ROWS = 10, 3, 295       # EARLY: before the model is loaded
WRITTEN = (runs.ITEMS, runs.STATED, runs.REPORT)


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    chosen = random.Random(4)
    words = ["trial", "patients", "fewer", "more", "days", "pain", "fever", "with", "without", "placebo", "dose"]
    path = tmp_path / "pqal.json"
    path.write_text(json.dumps({str(20_000_000 + k): {
        "QUESTION": f"Does treatment {k} help?", "CONTEXTS": [" ".join(chosen.choices(words, k=chosen.randint(5, 25)))],
        "final_decision": chosen.choice(["yes", "no", "maybe"])} for k in range(ROWS)}))
    return path


def started(folder: Path, config: EvaluateConfig) -> subprocess.Popen:
    folder.mkdir(exist_ok=True)
    runs.write_json(folder / runs.CONFIG, knobs.to_json(config))
    return subprocess.Popen([sys.executable, "-m", "evaluation.worker", str(folder)], cwd=runs.ROOT,
                            env={**os.environ, "PYTHONPATH": str(runs.ROOT)})


def wait_for_items(folder: Path, process: subprocess.Popen) -> None:
    """Until the process has written a group of items, or has ended."""
    items = folder / runs.ITEMS
    seen = items.stat().st_size if items.exists() else 0
    while process.poll() is None and not (items.exists() and items.stat().st_size > seen):
        time.sleep(0.01)


@pytest.mark.slow
def test_ten_kills_change_not_one_byte(questions: Path, tmp_path: Path):
    config = EvaluateConfig(benchmark="pubmedqa", file=str(questions), threads=1)
    assert started(tmp_path / "whole", config).wait(120) == 0
    broken, chosen, there = tmp_path / "broken", random.Random(7), []
    for number in range(KILLS):
        process = started(broken, config)
        if number >= EARLY:
            wait_for_items(broken, process)
        time.sleep(chosen.uniform(0.0, 0.6))
        process.kill()
        process.wait()
        items = broken / runs.ITEMS
        there.append(items.read_bytes().count(b"\n") if items.exists() else 0)
    assert sum(0 < count < ROWS for count in there) >= 3, there
    assert started(broken, config).wait(120) == 0
    assert [one.number for one in read_items(broken / runs.ITEMS)] == list(range(ROWS))
    for name in WRITTEN:
        assert (broken / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), (name, there)
