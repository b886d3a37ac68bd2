"""The models page in a real Chromium: a model of the catalog from the click to the first use, paused and resumed."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from models import catalog
from tests.models.hub import Hub
from tests.ui.conftest import CHROMIUM, reload
from tests.ui.fakes import wait_for
from tests.ui.running import RunningApp

pytestmark = [pytest.mark.browser, pytest.mark.skipif(not CHROMIUM, reason="needs Debian's chromium")]

ENTRY = catalog.find("gemma-3-1b-it")
SOURCE = ENTRY.ggufs[0]
FILE = SOURCE.files[0]
CARD, ROW = f"#offer-{ENTRY.id}", "#model-downloads li"
SLOW_MS = 120_000
OTHER, FIELD, OPEN = "someone/thing-GGUF", "#model-asking input", "#model-offers li.open"
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


def test_any_repository_is_fetched_by_keyboard_and_galen_goes_offline_again(hub: Hub, demo_gguf: Path, tmp_path: Path,
                                                                            open_page: Callable[..., Any]):
    hub.add(OTHER, {"thing-Q8_0.gguf": demo_gguf})
    hub.faults.bytes_s = 100_000
    app = RunningApp(tmp_path / "home", None).wait_until_loaded()
    try:
        chat, page = open_page(app.url), open_page(app.url + "/models")
        page.set_default_timeout(SLOW_MS)
        narrowed(page)
        page.fill(FIELD, "thing")
        page.press(FIELD, "Enter")
        page.locator("#model-asking .problem", has_text="OWNER/NAME").wait_for()
        page.fill(FIELD, f"https://huggingface.co/{OTHER}/tree/main")
        page.press(FIELD, "Enter")
        entered(page, "button[data-act=online]")
        entered(page, "button[data-kind=Q8_0]")
        entered(page, "button[data-act=get]")
        page.locator(f"{OPEN} .state", has_text="being fetched").wait_for()
        page.wait_for_function(f"document.activeElement.closest('{ROW}')")      # the keyboard is where the page is
        page.locator(f"{ROW} .line", has_text="MB of 11 MB").wait_for()
        page.press("#model-online button", "Enter")
        page.wait_for_selector(f"{ROW} button[data-act=online-resume]")
        page.wait_for_selector("#model-online p", state="detached")
        assert "Paused" in page.inner_text(ROW)
        reload(page)
        page.locator(f"{OPEN} .state", has_text="download paused").wait_for()   # the same card is open
        hub.faults.bytes_s = 0
        page.press(f"{ROW} button[data-act=online-resume]", "Enter")
        page.locator("#model-online p", has_text="Galen is online").wait_for()
        page.wait_for_selector(f"{ROW} button[data-act=use-download]")
        wait_for(lambda: lists_the_model(chat))                                 # a page that was open before it came
    finally:
        app.end()
    assert not [line for line in app.said if "Traceback" in line], app.said


def narrowed(page: Any) -> None:
    """The cards by what they are for, and all of them again."""
    page.press("[data-only=medical]", "Enter")
    page.press("[data-only=sees]", "Enter")
    page.locator(".narrow [role=status]", has_text="2 of 14").wait_for()
    assert page.locator("#model-offers .offers > li:visible h3").all_inner_texts() == [
        one.title for one in catalog.catalog() if one.is_medical and one.can(catalog.IMAGE)]
    for name in ("medical", "sees"):
        page.press(f"[data-only={name}][aria-pressed=true]", "Enter")
    assert page.locator("#model-offers .offers > li:visible").count() == 14


def entered(page: Any, selector: str) -> None:
    """Press a button of the open card; the focus stays among its buttons, or goes to the download that it began."""
    page.press(f"{OPEN} {selector}", "Enter")
    page.wait_for_function(f"document.activeElement.closest('{OPEN}, {ROW}')")


def lists_the_model(page: Any) -> bool:
    """The list of models in the header, opened and closed."""
    page.click("#model input")
    page.locator("[role=option]").first.wait_for()
    is_there = page.locator("[role=option]", has_text="Hugging Face cache").count() == 1
    page.locator("#model input").blur()
    return is_there
