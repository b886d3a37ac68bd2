"""`python launcher.py doctor` as a person runs it, with a home, variables and packages of the test's own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from models import runs


def doctor(*words: str, home: Path, python: str | Path = sys.executable, root: Path = runs.ROOT,
           **variables: str) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    environment = {**os.environ, "PYTHONPATH": str(root), "GALEN_HOME": str(home), "OMP_NUM_THREADS": "1",
                   **variables}
    return subprocess.run([python, "-m", "ui.commands", "doctor", *words], env=environment, cwd=root,
                          capture_output=True, text=True, timeout=120)


def found(*words: str, home: Path, status: int | None = None, **more: Any) -> dict[str, dict[str, str]]:
    """Its findings by name, from --json."""
    done = doctor("--json", *words, home=home, **more)
    assert "Traceback" not in done.stderr, done.stderr
    assert status is None or done.returncode == status, done.stdout + done.stderr
    return {one["name"]: one for one in json.loads(done.stdout.splitlines()[-1])["findings"]}
