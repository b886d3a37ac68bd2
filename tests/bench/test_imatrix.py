import json
import subprocess
import sys
from pathlib import Path

from models import runs
from tests.convert.tiny import make_base


def test_it_prints_one_object_with_both_losses(tmp_path: Path, demo_base: Path):
    base = make_base(tmp_path / "base", "gemma3_text", demo_base, terse=True, hidden_size=256, intermediate_size=256)
    rows = tmp_path / "rows.csv"
    lines = [f'"What helps against a cough of {k} days, and when is a doctor needed?","Rest, {k} cups of tea."'
             for k in range(300)]
    rows.write_text("\n".join(["question,answer", *lines]), encoding="utf-8")
    done = subprocess.run([sys.executable, "bench/imatrix.py", "--base", str(base), "--rows", str(rows), "--types",
                           "Q2_K", "--rounds", "1"], cwd=runs.ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["compared_tokens"] == 2000 and found["rows"] == 300 and found["importance_tokens"] > 2000
    losses = found["types"]["Q2_K"]
    assert losses["with"] > 0 and losses["without"] > 0 and losses["with"] != losses["without"]


def test_too_few_rows_are_a_sentence(tmp_path: Path, demo_base: Path):
    base = make_base(tmp_path / "base", "gemma3_text", demo_base, terse=True)
    (tmp_path / "rows.csv").write_text("question,answer\nWhat is it?,A cold.\n", encoding="utf-8")
    done = subprocess.run([sys.executable, "bench/imatrix.py", "--base", str(base), "--rows",
                           str(tmp_path / "rows.csv")], cwd=runs.ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.strip().endswith("give more.")
