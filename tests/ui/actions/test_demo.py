"""The demonstration, interrupted: its child ends with it."""

import pytest

from tests.ui.small_job import SmallConfig
from ui import jobs
from ui.actions import demo


def test_ctrl_c_waits_until_the_child_has_ended(tmp_path):
    process, said = jobs.start("tests.ui.small_job", tmp_path, SmallConfig(end="wait")), []

    def follow(events):
        next(events)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        demo._run_job((tmp_path, process), follow, said.append)
    assert process.returncode == 0 and said == ["Stopping ..."]
