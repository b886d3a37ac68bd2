import json
import subprocess
import sys
from pathlib import Path

import pytest

from models import runs


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
@pytest.mark.parametrize("old, new, first", [("", "new", 5), ("old", "new", 15), ("old", "", 25)])
def test_a_kill_at_any_moment_leaves_the_old_or_the_new(tmp_path: Path, old: str, new: str, first: int):
    done = subprocess.run([sys.executable, "-m", "tests.ui.history.killed", tmp_path, old, new, str(first), "50"],
                          cwd=runs.ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert {"old", "end"} <= set(json.loads(done.stdout))
