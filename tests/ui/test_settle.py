"""A start of the real app that finishes what was left to it."""

import json
import urllib.request
from pathlib import Path

from models import runs
from tests.ui.actions.test_folder import QUIET, backed_up, make_home, questions
from tests.ui.running import RunningApp
from ui.actions import backup, relocate
from ui.history import History


def test_a_start_restores_moves_and_works_from_the_new_folder(tmp_path: Path, demo_gguf: Path):
    home, to = make_home(tmp_path / "home", "the first question"), tmp_path / "disk" / "Galen"
    archive = backed_up(home)
    make_home(home, "a later question")
    to.parent.mkdir()
    history = History(home)
    relocate.copy(home, history, to, QUIET)
    history.close()
    backup.check(home, archive, QUIET)
    app = RunningApp(home, demo_gguf)
    try:
        assert json.loads((to / "app.json").read_text())["url"] == app.url
        assert not (home / "app.json").exists()
        with urllib.request.urlopen(app.url + "/health", timeout=60) as answer:
            assert answer.status == 200
        page = urllib.request.Request(app.url, headers={"Accept": "text/html", "Accept-Encoding": "gzip, br"})
        with urllib.request.urlopen(page, timeout=60) as answer:
            assert b'let theme = "dark"' in answer.read()
        second = RunningApp(home, demo_gguf)            # finds the running one at its new place
        assert second.url == app.url and "already runs" in second.said[-1]
        second.process.wait(60)
    finally:
        app.end()
    assert questions(to) == ["the first question"] and (to / runs.SCRATCH).exists() is False
    assert (to / "logs" / "galen.log").read_text().count(" started on ") == 1
    assert not [line for line in app.said if "Traceback" in line]
