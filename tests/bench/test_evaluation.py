"""bench/evaluation.py measures both sides and ends in one JSON object."""

import json
import os
import subprocess
import sys
from pathlib import Path

from bench.evaluation import is_met
from models import runs


def bench(*words: str, home: Path) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, str(runs.ROOT / "bench/evaluation.py"), *words], capture_output=True,
                          text=True, cwd=home, env={**os.environ, "GALEN_HOME": str(home)}, timeout=300)


def test_both_sides_are_measured_and_the_last_line_is_json(shared_data: Path, galen_home: Path):
    ran = bench("--only", "speed", "agreement", "--rows", "6", "--items", "4", "--rounds", "1", home=galen_home)
    assert ran.returncode == 0, ran.stderr
    result = json.loads(ran.stdout.splitlines()[-1])
    assert result["items_ratio"] > 1.0 and result["speed"]["theirs_dtype"] in ("auto", "float32")
    assert result["prompts"] == 6 and result["same_decisions"] == 1.0 and 0 < result["logprob_gap"] < 1e-3
    assert {"cores", "threads", "others_at_start", "others_at_end", "missed"} <= result.keys()
    assert not (galen_home / "cache").is_dir() or not list((galen_home / "cache").glob("*.gguf"))


def test_a_missing_file_is_said(galen_home: Path):
    ran = bench("--data", str(galen_home / "none.json"), home=galen_home)
    assert ran.returncode == 1 and "name one with --data" in ran.stderr and "Traceback" not in ran.stderr


def test_a_gap_is_met_from_below():
    assert is_met("items_ratio", 4.0) and not is_met("items_ratio", 3.9)
    assert is_met("logprob_gap", 0.0009) and not is_met("logprob_gap", 0.0011)
