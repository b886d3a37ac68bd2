from pathlib import Path

import pytest

from tests.ui.fakes import wait_for
from ui.awake import REFUSED, KeepAwake
from ui.settings import SettingsFile


class Jobs:
    """One job in the state that the test says."""

    def __init__(self, state: str):
        self.state, self.asked = state, 0

    def all(self):
        self.asked += 1
        return [self]


def test_a_system_that_can_not_be_asked_is_told(tmp_path: Path, monkeypatch):
    pytest.importorskip("wakepy")
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere")
    jobs = Jobs("running")
    awake = KeepAwake(SettingsFile(tmp_path), jobs, look_s=0.02)
    try:
        wait_for(lambda: jobs.asked > 5 and awake.problem in (REFUSED, ""))
    finally:
        awake.close()


def test_without_a_running_job_nothing_is_asked(tmp_path: Path):
    jobs = Jobs("done")
    awake = KeepAwake(SettingsFile(tmp_path), jobs, look_s=0.02)
    wait_for(lambda: jobs.asked > 5)
    awake.close()
    assert awake.problem == ""
