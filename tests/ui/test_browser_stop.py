"""The Stop button in a real Chromium: one question, and a page that says that it can be closed."""

import json

import pytest

from models import runs
from tests.ui.conftest import CHROMIUM
from tests.ui.fakes import wait_for
from tests.ui.running import RunningApp
from tests.ui.test_ending import ask_for, has_begun

sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = [pytest.mark.browser, pytest.mark.skipif(not CHROMIUM, reason="needs Debian's chromium")]


def test_stop_asks_for_the_jobs_and_says_when_galen_has_ended(demo_gguf, tmp_path, open_page):
    folder = ask_for(tmp_path, "one")
    app = RunningApp(tmp_path, demo_gguf).wait_until_loaded()
    page = open_page(app.url)
    page.wait_for_selector("#frame[data-open]")
    wait_for(lambda: has_begun(folder))
    page.click("#stop-galen")
    page.wait_for_selector("#stop-not")
    assert "Training one" in page.inner_text("#ended li")
    page.click("#stop-not")
    page.wait_for_selector("#ended", state="hidden")
    assert app.health()["status"] == "ok" and not (folder / runs.STOP).exists()
    page.click("#stop-galen")
    page.click("#stop-all")
    page.wait_for_selector("#ended[data-done]", timeout=60_000)
    assert "Galen has ended" in page.inner_text("#ended") and "close this tab" in page.inner_text("#ended")
    assert app.process.wait(60) == 0
    assert json.loads((folder / runs.EVENTS).read_text().splitlines()[-1])["kind"] == "stopped"
