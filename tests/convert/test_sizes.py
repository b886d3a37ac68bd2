"""What an export would come to is said beforehand, to the byte."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

from convert.config import ADAPTER, SAFETENSORS, TYPES, ExportConfig
from convert.export import export
from models import runs
from models.job import Job
from runtime import child


def sizes_of(folder: Path) -> subprocess.CompletedProcess:
    return subprocess.run(child.command("convert.sizes", str(folder)), capture_output=True, text=True, check=False,
                          **child.options())


def test_sizes_said_beforehand_are_those_of_the_files(tuned: Callable[[str], Path], job: Job):
    run = tuned("notes")
    done = sizes_of(run)
    assert done.returncode == 0, done.stderr
    planned = json.loads(done.stdout)
    assert planned["bytes"].keys() == {*TYPES, ADAPTER, SAFETENSORS} and planned["has_heldout"]
    assert planned["out"] == str(run / runs.EXPORT) and "Q4_K_M" in planned["weighed"]
    assert planned["cache_bytes"] > 0 and planned["ctx_tokens"] > 0
    export(ExportConfig(threads=1, source=str(run), types=("Q8_0", "Q4_K_M", ADAPTER, SAFETENSORS)), job)
    for kind in ("Q8_0", "Q4_K_M", ADAPTER):
        file = run / runs.EXPORT / f"{planned['stem']}-{kind}.gguf"
        assert file.stat().st_size == planned["bytes"][kind], kind
    weights = run / runs.EXPORT / f"{planned['stem']}-{SAFETENSORS}"
    assert sum(path.stat().st_size for path in weights.iterdir()) == planned["bytes"][SAFETENSORS]


def test_what_can_not_be_exported_is_said_in_a_sentence(tmp_path: Path):
    done = sizes_of(tmp_path)
    assert done.returncode == 2 and "config.json" in done.stderr and "Traceback" not in done.stderr
