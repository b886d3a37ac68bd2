"""The red-flag notice and the presets on the chat page, in a real Chromium on the real embedded model."""

import pytest

from tests.ui.conftest import BOX, CHROMIUM, reload

sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = [pytest.mark.browser, pytest.mark.skipif(not CHROMIUM, reason="needs Debian's chromium")]

FLAG = "#scroll p.flag"
FLAGGED = "quartz-lung: my dad has crushing chest pain and is sweating"


def ask(page: sync_api.Page, text: str) -> None:
    page.fill(BOX, text)
    page.keyboard.press("Enter")
    page.wait_for_selector(".user-row")


def test_the_notice_comes_before_the_answer_and_does_not_block_it(app, open_page):
    page = open_page(app.url)
    with app.slowed() as is_frozen:
        is_frozen.set()                                 # the model can not say anything yet
        ask(page, FLAGGED)
        page.wait_for_selector(FLAG)
        assert "112" in page.inner_text(FLAG) and "999" in page.inner_text(FLAG) and "911" in page.inner_text(FLAG)
        is_frozen.clear()
        page.wait_for_selector("#line span", timeout=60_000)
    rows = page.query_selector_all("#scroll .turn")
    assert ["user-row" in row.get_attribute("class") for row in rows] == [True, False, False]
    assert rows[1].query_selector("p.flag") and rows[2].inner_text().strip() and not rows[2].query_selector("p.flag")
    top = [row.bounding_box()["y"] for row in rows]
    assert top == sorted(top)
    reload(page)                                       # it belongs to the conversation
    page.wait_for_selector(FLAG)
    assert len(page.query_selector_all(FLAG)) == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_notice_can_be_read_on_a_narrow_screen(app, open_page, scheme: str):
    page = open_page(app.url, color_scheme=scheme)
    page.set_viewport_size({"width": 390, "height": 844})
    ask(page, FLAGGED)
    page.wait_for_selector(FLAG)
    box = page.query_selector(FLAG).bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= 390
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.wait_for_selector("#line span", timeout=60_000)


def test_a_harmless_question_raises_no_notice(app, open_page):
    page = open_page(app.url)
    ask(page, "What are the symptoms of quartz-lung?")
    page.wait_for_selector("#line span", timeout=60_000)
    assert not page.query_selector_all(FLAG)


def test_a_preset_is_chosen_and_kept_with_its_conversation(app, open_page):
    page = open_page(app.url)
    page.wait_for_selector("#empty h1")
    page.click("#options")
    page.click("#preset input")
    page.click("[role=option]:has-text('Exam tutor')")
    ask(page, "What is quartz-lung?")
    page.wait_for_selector("#line span", timeout=60_000)
    reload(page)
    page.wait_for_selector("#line span")
    page.wait_for_function("document.querySelector('#preset input').value === 'Exam tutor'")
    page.click("#new")
    page.wait_for_selector("#empty h1")
    page.wait_for_function("document.querySelector('#preset input').value === 'No preset'")
