"""What these tests share: tables; what runs on a made-up session; for the browser an app, Chromium, watchful pages."""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ui.fakes import FakeSession, chat_of, end_jobs, wait_for
from tests.ui.running import RunningApp
from ui.actions.chat import Chat
from ui.actions.model import CurrentModel
from ui.job_list import JobList
from ui.settings import SettingsFile
from ui.workbench import Workbench

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
SWITCHES = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
            "--disable-component-update", "--disable-sync"]
BOX = "#box textarea"
STORED = """async () => {
    const names = (await indexedDB.databases()).map((one) => one.name);
    return JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, names]);
}"""


def go_to(page: Any, url: str) -> None:
    """Open url in page; returns once all is there that the page is filled with: what is typed then stays."""
    page.goto(url)
    page.wait_for_selector("#frame[data-open]")


def reload(page: Any) -> None:
    page.reload()
    page.wait_for_selector("#frame[data-open]")


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
        page.set_default_timeout(60_000)
        go_to(page, url)
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


@pytest.fixture
def session() -> FakeSession:
    return FakeSession()


@pytest.fixture
def model(galen_home: Path, session: FakeSession) -> CurrentModel:
    """One that is loaded, in name."""
    made = CurrentModel(session, SettingsFile(galen_home))
    made.preload(galen_home / "demo.gguf")
    wait_for(lambda: made.state.info)
    return made


@pytest.fixture
def chat(session: FakeSession, tmp_path: Path, galen_home: Path) -> Chat:
    """The chat page's actions over that session."""
    made = chat_of(session, tmp_path)
    made.model.preload(tmp_path / "demo.gguf")
    wait_for(lambda: made.model.state.info)
    return made


@pytest.fixture
def bench(galen_home: Path, session: FakeSession) -> Iterator[Workbench]:
    made = Workbench(galen_home, session)
    made.model.preload(None)
    wait_for(lambda: made.model.state.info)
    yield made
    made.close()


@pytest.fixture
def listed(galen_home: Path, model: CurrentModel) -> Iterator[JobList]:
    """The jobs of an empty folder."""
    made = JobList(galen_home, model)
    yield made
    end_jobs(made)


@pytest.fixture
def table(tmp_path):
    """Writes a file of a name and a text, and gives its path."""
    def write(name, text):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path
    return write
