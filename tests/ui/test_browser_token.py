"""The hub's token in Settings, in a real Chromium: kept, tested, forgotten, and nowhere left behind."""

import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.models.hub import Account, Hub
from tests.ui.conftest import CHROMIUM, STORED, reload
from tests.ui.fakes import wait_for
from tests.ui.running import RunningApp

pytest.importorskip("playwright.sync_api")
pytestmark = [pytest.mark.browser, pytest.mark.skipif(not CHROMIUM, reason="needs Debian's chromium")]

REPO = "google/medgemma-1.5-4b-it"
VALUE, BAD = "hf_quartz-lung-A1", "hf_quartz-lung-B2"       # open_page looks for quartz-lung in the browser's stores
TYPED = "Array.from(document.querySelectorAll('input, textarea'), (one) => one.value + one.defaultValue).join(' ')"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("token")


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    with Hub() as one:
        one.add(REPO, {"config.json": b"{}"}, gated="manual")
        one.accounts = {VALUE: Account("ada", accepted={REPO})}
        yield one


@pytest.fixture(scope="module")
def app(demo_gguf: Path, hub: Hub, place: Path) -> Iterator[RunningApp]:
    (place / "tmp").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**hub.environment(place), "TMPDIR": str(place / "tmp")}.items():
            patch.setenv(name, value)
        started = RunningApp(place / "home", demo_gguf)
    try:
        yield started.wait_until_loaded()
    finally:
        started.end()
    assert started.outside_connections() == []
    assert not [line for line in started.said if "Traceback" in line or "quartz" in line], started.said


def holding(folder: Path, text: str) -> list[str]:
    """The files under folder that hold text in UTF-8 or UTF-16."""
    looked_for = [text.encode(one) for one in ("utf-8", "utf-16-le", "utf-16-be")]
    return [path.relative_to(folder).as_posix() for path in folder.rglob("*")
            if path.is_file() and any(one in path.read_bytes() for one in looked_for)]


def give(page, value: str) -> None:
    page.fill("#hub-token-field input", value)
    page.click("#hub-token-keep")
    page.wait_for_function("document.querySelector('#hub-token-field input').value === ''")


def test_a_token_is_kept_tested_and_forgotten_and_left_nowhere(app, open_page, hub, place):
    page = open_page(app.url + "/settings#hub-token")
    page.wait_for_selector("#hub-token-about :text('There is no token yet')")
    assert page.get_attribute("#hub-token-field input", "type") == "password"
    assert page.get_attribute("#hub-token-field input", "autocomplete") == "off"
    assert page.is_hidden("#hub-token-test") and page.is_hidden("#hub-token-forget")
    give(page, VALUE)                                   # Galen begins offline
    page.wait_for_selector("#hub-token-said .caution:has-text('Galen is offline')")
    page.wait_for_selector("#hub-token-about .good:has-text('There is a token')")
    assert not hub.seen and (place / "hf" / "token").read_text() == VALUE
    page.click("#offline-switch input")
    wait_for((app.home / "settings.json").exists)
    wait_for(lambda: '"is_offline": false' in (app.home / "settings.json").read_text())
    page.click("#hub-token-test")
    page.wait_for_selector(f"#hub-token-said .good:has-text('belongs to ada (a read token) and may read {REPO}')")
    give(page, BAD)
    page.wait_for_selector(".toast-body:has-text('It was not kept. The hub does not know this token')")
    page.wait_for_function("document.querySelector('#hub-token-said').innerText.trim() === ''")
    assert (place / "hf" / "token").read_text() == VALUE
    assert {one.authorization for one in hub.seen} == {f"Bearer {VALUE}", f"Bearer {BAD}"}
    with urllib.request.urlopen(app.url + "/config", timeout=60) as answer:
        assert b"quartz" not in answer.read()
    for again in (False, True):
        if again:
            reload(page)
            page.wait_for_selector("#hub-token-about .good:has-text('There is a token')")
        assert "quartz" not in page.content() + page.evaluate(TYPED) + page.evaluate(STORED)
    assert holding(place, "quartz-lung") == ["hf/token"]
    page.click("#hub-token-forget")
    page.wait_for_selector("#hub-token-said .good:has-text('is deleted')")
    page.wait_for_selector("#hub-token-about :text('There is no token yet')")
    assert holding(place, "quartz-lung") == [] and "of the hub was kept" in (app.home / "logs/galen.log").read_text()
