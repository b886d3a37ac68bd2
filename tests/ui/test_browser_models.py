"""The models page in a real Chromium: a model of the catalog from the click to the first use, paused and resumed."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from models import catalog
from tests.models.hub import Hub
from tests.ui.conftest import CHROMIUM, reload
from tests.ui.running import RunningApp

pytestmark = [pytest.mark.browser, pytest.mark.skipif(not CHROMIUM, reason="needs Debian's chromium")]

ENTRY = catalog.find("gemma-3-1b-it")
SOURCE = ENTRY.ggufs[0]
FILE = SOURCE.files[0]
CARD, ROW = f"#offer-{ENTRY.id}", "#model-downloads li"
SLOW_MS = 120_000
MINE, CLICKS = "#model-list button[data-key='mine.gguf']", "**/queue/join*"


@pytest.fixture
def hub(demo_gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with Hub() as made:
        made.add(SOURCE.repo, {FILE.name: demo_gguf})
        made.faults.bytes_s = 300_000                               # half a minute, if nobody paused it
        for name, value in made.environment(tmp_path).items():
            monkeypatch.setenv(name, value)
        yield made


def test_a_model_is_fetched_with_a_pause_and_used(hub: Hub, demo_gguf: Path, tmp_path: Path,
                                                  open_page: Callable[..., Any]):
    app = RunningApp(tmp_path / "home", None).wait_until_loaded()
    try:
        page = open_page(app.url + "/models")
        page.set_default_timeout(SLOW_MS)
        page.click(f"{CARD} .acts button")
        page.click(f"{CARD} button[data-kind={FILE.type}]")
        page.wait_for_selector(f"{CARD} button[data-act=online]")   # as Galen begins: offline, and it says so
        assert "Galen is offline" in page.inner_text(CARD) and hub.seen == []
        page.click(f"{CARD} button[data-act=online]")
        page.wait_for_selector(f"{CARD} button[data-act=get]")
        assert "Download 10.8 MB" in page.inner_text(CARD)
        page.click(f"{CARD} button[data-act=get]")
        page.wait_for_function(f"Number(document.querySelector('{ROW} progress')?.getAttribute('value')) > 0 "
                               f"|| document.querySelector('{ROW} progress')?.value > 0")
        page.wait_for_function(f"document.querySelector('{ROW} .line').innerText.includes('MB of 11 MB')")
        page.click(f"{ROW} button[data-act=pause]")
        page.wait_for_selector(f"{ROW} button[data-act=resume]")
        reload(page)                                                # it is a job: the page only looks at it
        assert "Paused" in page.inner_text(ROW)
        hub.faults.bytes_s = 0
        page.click(f"{ROW} button[data-act=resume]")
        page.click(f"{ROW} button[data-act=use-download]")
        used = page.locator("#model-list li.used", has_text=FILE.name)
        used.locator("em", has_text="in use").wait_for()
        assert page.locator(ROW).count() == 1 and page.locator(f"{ROW} progress").count() == 0
        page.click(f"{ROW} button[data-act=forget]")
        page.wait_for_selector(ROW, state="detached")
        shutil.copy(demo_gguf, app.home / "mine.gguf")
        held: list[Any] = []
        page.route(CLICKS, lambda route: held.append(route), times=1)
        with page.expect_request(CLICKS):
            page.click(f"{MINE}[data-act=ask]")
        page.click(f"{MINE}[data-act=use]")                         # before the first is answered
        held[0].continue_()
        page.locator("#model-list li.used", has_text="mine.gguf").locator("em", has_text="in use").wait_for()
        page.wait_for_selector("#model-list .question", state="detached")
        app.wait_until_loaded()
        assert app.outside_connections() == []                      # the hub of this test is this computer
    finally:
        app.end()
    assert not [line for line in app.said if "Traceback" in line], app.said
