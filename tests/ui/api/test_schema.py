"""Requests made at random from the API's own document: none is a bug, and every answer is as it is described."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.ui.running import RunningApp

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


@pytest.fixture(scope="module")
def running(demo_gguf: Path, tmp_path_factory: pytest.TempPathFactory):
    started = RunningApp(tmp_path_factory.mktemp("home"), demo_gguf).wait_until_loaded()
    yield started
    started.end()


def test_no_request_is_a_bug(running: RunningApp, tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", "run", f"{running.url}/openapi.json", "--checks", CHECKS,
         "--phases", "examples,fuzzing,stateful", "--max-examples", "10", "--seed", "7", "--workers", "1",
         "--request-timeout", "60", "--continue-on-failure", "--no-color"],
        cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "passed" in done.stdout and running.health()["status"] == "ok"
    assert not [line for line in running.said if "Traceback" in line], running.said
