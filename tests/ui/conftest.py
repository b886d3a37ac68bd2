"""What the browser tests share: the app on the embedded model, Chromium, and pages that watch themselves."""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ui.running import RunningApp

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
SWITCHES = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
            "--disable-component-update", "--disable-sync"]
BOX = "#box textarea"
STORED = """async () => {
    const names = (await indexedDB.databases()).map((one) => one.name);
    return JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, names]);
}"""


@pytest.fixture(scope="module")
def app(demo_gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningApp]:
    home = tmp_path_factory.mktemp("home")
    shutil.copy(demo_gguf, home / "second.gguf")
    started = RunningApp(home, demo_gguf).wait_until_loaded()
    yield started
    started.end()
    assert started.outside_connections() == []
    assert not [line for line in started.said if "Traceback" in line], started.said


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)
        yield started
        started.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens pages; at the end none has asked another machine for anything, kept what was typed, or run a dialog."""
    asked: list[str] = []
    said: list[str] = []
    pages: list[Any] = []

    def open_one(url: str, **options) -> Any:
        page = browser.new_context(viewport={"width": 1440, "height": 900}, **options).new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("websocket", lambda socket: asked.append(socket.url))
        page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.accept()))
        page.on("console", lambda line: said.append(line.text) if line.type == "error" else None)
        page.set_default_timeout(30_000)
        page.goto(url)
        page.wait_for_selector(BOX)
        page.wait_for_function("document.querySelector('#facts').innerText.includes('tokens')")
        pages.append(page)
        return page

    open_one.said = said
    yield open_one
    for page in pages:
        assert "quartz-lung" not in page.evaluate(STORED)
        page.context.close()
    assert [url for url in asked if not re.match(r"(http://127\.0\.0\.1:\d+/|data:|blob:)", url)] == []
    assert [line for line in said if "Content Security Policy" in line or "alert" in line] == []
