import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from models import outside, runs
from models.errors import UserError
from tests.ui.fakes import wait_for
from ui.outside import Outside
from ui.settings import SettingsFile

# as a job's process: what it does is its own module, so that its children and events are those of a real one
JOB = """
import socket, sys
from models.job import main
from models import outside
def work(job):
    with outside.reason("the hub: a data set"):
        one = socket.socket()
        one.settimeout(0.05)
        try:
            one.connect(("192.0.2.5", 443))
        except OSError as error:
            job.event("note", text=str(error))
main(work)
"""
WATCHED = """
import socket, sys
from pathlib import Path
from ui.outside import Outside
from ui.settings import SettingsFile
home = Path(sys.argv[1])
outside = Outside(home, SettingsFile(home))
outside.watch()
one = socket.socket()
one.settimeout(0.05)
try:
    one.connect(("192.0.2.9", 443))
except OSError:
    pass
print(outside.count(), outside.refused(), outside.listed()[0].address)
"""


@pytest.fixture
def found(tmp_path: Path) -> Outside:
    return Outside(tmp_path, SettingsFile(tmp_path), look_s=0.0)


def run_job(home: Path, name: str) -> None:
    folder = home / "runs" / name
    folder.mkdir(parents=True)
    subprocess.run([sys.executable, "-c", JOB, str(folder)], check=True, timeout=60, env={
        **os.environ, "PYTHONPATH": str(runs.ROOT), outside.SWITCH: str(home / "settings.json")})


def test_connections_of_jobs_are_listed_with_reason_and_run(found: Outside, tmp_path: Path):
    found.switch(False)
    assert found.count() == 0 and found.listed() == []
    run_job(tmp_path, "get-1")
    assert found.count() == 1 and found.refused() == 0
    one = found.listed()[0]
    assert (one.address, one.reason, one.by, one.is_refused) == ("192.0.2.5:443", "the hub: a data set", "get-1", False)
    assert found.count() == 1                           # read once


def test_offline_refuses_what_a_job_tries_and_does_not_count_it(found: Outside, tmp_path: Path):
    found.switch(True)
    run_job(tmp_path, "get-2")
    assert found.count() == 0 and found.refused() == 1
    events = (tmp_path / "runs" / "get-2" / runs.EVENTS).read_text()
    assert "Galen is offline, so the connection to 192.0.2.5:443 was refused" in events


def test_what_was_before_this_start_does_not_count(tmp_path: Path):
    SettingsFile(tmp_path).change(is_offline=False)
    run_job(tmp_path, "old")
    assert Outside(tmp_path, SettingsFile(tmp_path), look_s=0.0).count() == 0


def test_this_process_and_its_children_are_seen(tmp_path: Path):
    done = subprocess.run([sys.executable, "-c", WATCHED, str(tmp_path)], capture_output=True, text=True, timeout=60,
                          env={**os.environ, "PYTHONPATH": str(runs.ROOT)})
    assert done.stdout.split() == ["0", "1", "192.0.2.9:443"], done.stderr      # offline is how settings begin


def test_switch_is_kept_and_the_hub_libraries_follow(found: Outside, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found.switch(False)
    assert os.environ["HF_HUB_OFFLINE"] == "0" and not SettingsFile(tmp_path).value.is_offline
    found.refuse_offline("push to the hub")
    found.switch(True)
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    with pytest.raises(UserError, match="offline, so it can not push to the hub. Switch Offline off"):
        found.refuse_offline("push to the hub")


def test_half_a_line_waits_for_its_end(found: Outside, tmp_path: Path):
    events = tmp_path / "runs" / "a" / runs.EVENTS
    events.parent.mkdir(parents=True)
    line = json.dumps({"t": time.time() + 1, "kind": "connection", "what": "connected", "address": "192.0.2.5:1",
                       "reason": "r", "is_refused": False})
    events.write_text(line[:30])
    assert found.count() == 0
    with events.open("a") as file:
        file.write(line[30:] + "\n" + json.dumps({"t": 1, "kind": "note", "text": '"connection"'}) + "\n")
    assert wait_for(lambda: found.count() == 1)
