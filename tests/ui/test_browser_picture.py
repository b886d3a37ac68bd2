"""A picture in the chat, in a real Chromium, on a small random model that sees."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.seeing import export_seeing, make_seeing, picture
from tests.ui.chatting import ask, wait_until_done
from tests.ui.conftest import CHROMIUM, go_to, reload
from tests.ui.running import RunningApp

sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = [pytest.mark.browser, pytest.mark.skipif(not CHROMIUM, reason="needs Debian's chromium")]

QUESTION = "What do you see, quartz-lung-7731?"


@pytest.fixture(scope="module")
def app(demo_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningApp]:
    """A Galen on a model with its projector beside it; the embedded one, which reads text only, is listed as well."""
    home = tmp_path_factory.mktemp("home")
    seeing = export_seeing(make_seeing(tmp_path_factory.mktemp("seeing"), demo_base), home)
    started = RunningApp(home, seeing).wait_until_loaded()
    yield started
    started.end()
    assert started.outside_connections() == []


def answer_to(page: Any, url: str, data: bytes, name: str) -> str:
    """The likeliest words about a picture, in a new conversation."""
    go_to(page, url)
    page.click("#options")
    for field, value in (("temperature", "0"), ("max_tokens", "12")):
        page.fill(f"#SampleConfig-{field} :is(input, textarea)", value)
    page.set_input_files("[data-testid='Add a picture-upload-button']",
                         {"name": name, "mimeType": "image/png", "buffer": data})
    page.wait_for_selector(f"#waiting .chip:has-text({name!r}):has-text('64 x 64 pixels')")
    ask(page, QUESTION)
    return wait_until_done(page, is_in_a_hurry=False)


def test_what_is_answered_depends_on_the_picture(app, open_page):
    page = open_page(app.url)
    page.wait_for_selector("#picture", state="visible")
    first = answer_to(page, app.url, picture(1), "rash.png")
    assert page.inner_text(".user-row .chip .name") == "rash.png" and page.is_hidden("#waiting .chip")
    assert answer_to(page, app.url, picture(2), "other.png") != first
    assert answer_to(page, app.url, picture(1), "rash again.png") == first
    reload(page)
    assert page.inner_text(".user-row .chip .name") == "rash again.png"
    assert list((app.home / "cache" / "page").rglob("*.png")) == []     # it lies in the history alone
