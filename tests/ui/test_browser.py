"""The chat page in a real Chromium on the real embedded model."""

import json
import re
import signal
import sqlite3
import time
import urllib.request

import pytest

from tests.ui.chatting import (
    PROBLEM,
    QUESTION,
    SEND,
    STOP,
    answer_text,
    ask,
    begin,
    wait_for_answer,
    wait_until_done,
)
from tests.ui.conftest import BOX, CHROMIUM, reload
from tests.ui.fakes import wait_for
from tests.ui.running import RunningApp

sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = [pytest.mark.browser, pytest.mark.skipif(not CHROMIUM, reason="needs Debian's chromium")]

def test_message_is_answered_token_by_token(app, open_page):
    page = open_page(app.url)
    page.wait_for_selector("#empty h1")
    assert "no medical use" in page.inner_text("#notice") and "no medical use" in page.inner_text("#empty")
    assert "Not a medical device" in page.inner_text("#reminder")
    with app.slowed(pause_s=0.25, run_s=0.005):
        ask(page)
        lengths = set()
        until = time.monotonic() + 60
        while len(lengths) < 5 and time.monotonic() < until and page.is_visible(STOP):
            lengths.add(len(answer_text(page)))
            page.wait_for_timeout(40)
    assert len(lengths - {0}) >= 4, lengths
    text = wait_until_done(page, is_in_a_hurry=False)
    assert len(text) >= max(lengths) and page.input_value(BOX) == ""
    line = page.inner_text("#line")
    assert re.search(r"\d+ tokens · context \d+% · Galen demo Q8_0 [0-9a-f]{4}( · \S.*)? · demonstration only", line)
    assert "quartz-lung-7731" in page.inner_text("#conversations") and page.is_hidden(STOP)


def handler(app: RunningApp, name: str) -> int:
    """The number under which the page calls a function of the server."""
    with urllib.request.urlopen(app.url + "/config", timeout=60) as answer:
        return next(one["id"] for one in json.load(answer)["dependencies"] if one["api_name"] == name)


@pytest.mark.parametrize("how", ["button", "escape"])
def test_stop_ends_it_within_one_token(app, open_page, how: str):
    page, stopping = open_page(app.url), handler(app, "stop")
    with app.slowed() as is_frozen:
        before = begin(page, is_frozen)
        with page.expect_response(lambda one: (one.request.post_data_json or {}).get("fn_index") == stopping):
            page.click(STOP) if how == "button" else page.keyboard.press("Escape")
    after = wait_until_done(page, is_in_a_hurry=False)
    assert after.startswith(before[:-1]) and len(after) - len(before) <= 100, (before, after)
    assert "stopped" in page.inner_text("#line")


def test_reload_in_mid_stream_goes_on(app, open_page):
    page = open_page(app.url)
    with app.slowed() as is_frozen:
        before, address = begin(page, is_frozen), page.url
        reload(page)
        page.wait_for_selector(STOP, state="visible")
        assert page.url == address and "quartz-lung-7731" in page.inner_text(".user-row >> nth=-1")
        wait_for_answer(page, before)
        is_frozen.clear()
        wait_for(lambda: page.wait_for_timeout(20) or len(answer_text(page)) > len(before))
    text = wait_until_done(page)
    reload(page)
    wait_for_answer(page, text)


def test_regenerate_writes_another_answer(app, open_page):
    page = open_page(app.url)
    ask(page)
    wait_until_done(page)
    page.click("#again")
    page.wait_for_selector(STOP, state="visible")
    wait_until_done(page)
    assert len(page.query_selector_all(".bot-row")) == len(page.query_selector_all(".user-row")) == 1
    conversation = page.url.split("c=")[1]
    with sqlite3.connect(app.home / "history.sqlite") as db:
        kept = db.execute("SELECT count(*) FROM message WHERE conversation = ? AND role = 'assistant'", (conversation,))
        assert kept.fetchone() == (2,)


def test_killed_worker_is_told_and_the_next_message_works(app, open_page):
    page = open_page(app.url)
    with app.slowed() as is_frozen:
        before = begin(page, is_frozen)
        app.workers()[0].kill()
        page.wait_for_selector(PROBLEM)
    assert "SIGKILL" in page.inner_text(PROBLEM) and "Traceback" not in page.inner_text("#scroll")
    assert before in page.inner_text("#scroll")
    rows = len(page.query_selector_all(".bot-row"))
    ask(page, "And now?")
    page.wait_for_function(f"document.querySelectorAll('.bot-row').length === {rows + 1}")
    assert wait_until_done(page)
    assert len(page.query_selector_all(PROBLEM)) == 1


def test_two_pages_on_one_conversation(app, open_page):
    first = open_page(app.url)
    with app.slowed() as is_frozen:
        begin(first, is_frozen)
        second = open_page(first.url)
        second.wait_for_selector(STOP, state="visible")
        second.fill(BOX, "a second question")
        second.keyboard.press("Enter")
        second.wait_for_selector(".toast-body")
        assert "still being written in this conversation" in second.inner_text(".toast-body")
        assert second.input_value(BOX) == "a second question"
    text = wait_until_done(first)
    wait_for_answer(second, text)
    second.focus(BOX)
    second.keyboard.press("Enter")
    first.wait_for_selector(".user-row:has-text('a second question')")      # it follows by itself
    wait_until_done(second)


def test_thread_stays_at_its_end_until_somebody_scrolls_up(app, open_page):
    page = open_page(app.url)
    thread = "document.querySelector('#scroll')"
    from_end = f"{thread}.scrollHeight - {thread}.scrollTop - {thread}.clientHeight"
    page.set_viewport_size({"width": 600, "height": 420})
    with app.slowed() as is_frozen:
        while not page.is_visible("#scroll") or page.evaluate(f"{thread}.scrollHeight < {thread}.clientHeight + 200"):
            begin(page, is_frozen)
            assert page.evaluate(from_end) < 5
            is_frozen.clear()
            wait_until_done(page)
        begin(page, is_frozen)
        page.hover("#scroll")
        page.mouse.wheel(0, -150)
        page.wait_for_timeout(200)
        place, height = page.evaluate(f"[{thread}.scrollTop, {thread}.scrollHeight]")
        is_frozen.clear()
        page.wait_for_function(f"{thread}.scrollHeight > {height} + 10")
        assert page.evaluate(f"{thread}.scrollTop") == place
    page.click("#composer")                             # whoever acts below wants to see the end again
    page.wait_for_timeout(100)
    assert page.evaluate(from_end) < 5
    page.keyboard.press("Escape")


def test_conversations_are_opened_started_deleted_and_brought_back(app, open_page):
    page = open_page(app.url)
    ask(page, "first quartz-lung one")
    first_text, first_url = wait_until_done(page), page.url
    page.click("#new")
    page.wait_for_selector("#empty h1")
    assert page.url != first_url
    page.click("#empty .examples button")
    page.wait_for_selector(".user-row")
    wait_until_done(page)
    page.click("#conversations a:has-text('first quartz-lung one')")
    page.wait_for_function("document.querySelector('.user-row')?.innerText.includes('first quartz-lung one')")
    wait_for_answer(page, first_text)
    assert page.url == first_url
    page.hover("#conversations .entry[aria-current]")
    page.click("#conversations .entry[aria-current] .more")
    page.click("#entry-menu [data-act=delete]")
    page.wait_for_selector("#empty h1")
    page.wait_for_selector("#undo p")
    assert "first quartz-lung one" not in page.inner_text("#conversations") and open_page.said == []
    page.click("#undo button")
    wait_for_answer(page, first_text)
    assert page.url == first_url and "first quartz-lung one" in page.inner_text("#conversations")
    page.go_back()
    page.wait_for_selector(BOX)


def test_shift_enter_makes_a_line_and_an_empty_message_is_refused(app, open_page):
    page = open_page(app.url)
    page.click(SEND)
    page.wait_for_selector(".toast-body")
    assert "write a message first" in page.inner_text(".toast-body")
    page.fill(BOX, "")
    page.type(BOX, "one quartz-lung")
    page.keyboard.press("Shift+Enter")
    page.type(BOX, "two")
    assert page.input_value(BOX) == "one quartz-lung\ntwo" and page.query_selector(".user-row") is None


def test_model_is_chosen_from_the_list(app, open_page):
    page = open_page(app.url)
    before = app.workers()[0].pid
    page.click("#model input")
    page.click("[role=option][aria-selected=false]")
    wait_for(lambda: page.wait_for_timeout(50) or (app.health()["model"] and app.workers()[0].pid != before))
    ask(page)
    assert wait_until_done(page)
    assert len(app.workers()) == 1


@pytest.mark.parametrize("delay", [0, 15, 60])
def test_what_is_typed_after_enter_belongs_to_the_next_message(app, open_page, delay: int):
    page = open_page(app.url)
    page.focus(BOX)
    page.keyboard.type("first quartz-lung")
    page.keyboard.press("Enter")
    page.keyboard.type("second quartz-lung", delay=delay)
    page.wait_for_selector(".user-row")
    wait_until_done(page)
    assert page.inner_text(".user-row .prose").strip() == "first quartz-lung"
    assert page.input_value(BOX) == "second quartz-lung"


@pytest.mark.parametrize("scheme, ground", [("light", "rgb(250, 250, 247)"), ("dark", "rgb(15, 21, 20)")])
def test_nothing_overflows_in_light_and_dark(app, open_page, scheme: str, ground: str):
    page = open_page(app.url, color_scheme=scheme)
    assert page.evaluate("getComputedStyle(document.querySelector('#rail')).backgroundColor") == ground
    for size in ((1440, 900), (1024, 768), (390, 844)):
        page.set_viewport_size({"width": size[0], "height": size[1]})
        page.wait_for_timeout(200)
        root = "document.documentElement"
        assert page.evaluate(f"[{root}.scrollWidth, {root}.scrollHeight]") == list(size)
        for selector in (BOX, SEND, "#reminder p", "#rail a", "#model input", "#notice p"):
            box = page.locator(selector).first.bounding_box()
            assert box and box["x"] >= 0 and box["x"] + box["width"] <= size[0], (selector, size)
            assert box["y"] >= 0 and box["y"] + box["height"] <= size[1], (selector, size)
    page.click("#open-list")
    page.click("#new")                                  # the list is a drawer here, and closes by itself
    page.wait_for_selector("#new", state="hidden")


def test_message_sent_before_the_page_has_loaded_is_answered(app, browser):
    page = browser.new_context().new_page()
    opening, held = handler(app, "open"), []

    def hold(route):
        is_opening = (route.request.post_data_json or {}).get("fn_index") == opening
        held.append(route) if is_opening else route.continue_()

    page.route(lambda url: "/queue/join" in url or "/run/" in url, hold)
    page.goto(app.url)
    page.wait_for_function("document.querySelector('#facts')?.innerText.includes('tokens')")
    assert held
    ask(page)
    while held:
        held.pop().continue_()
    page.unroute_all()
    text = wait_until_done(page)
    page.wait_for_timeout(1500)                                 # the late load has been drawn
    assert page.inner_text(".user-row .prose").strip() == QUESTION and answer_text(page) == text
    reload(page)
    wait_for_answer(page, text)
    page.context.close()


def test_open_page_survives_a_restart_of_the_app(demo_gguf, open_page, tmp_path):
    started = RunningApp(tmp_path, demo_gguf).wait_until_loaded()
    page = open_page(started.url)
    ask(page)
    text = wait_until_done(page)
    started.end(signal.SIGKILL)
    page.wait_for_selector(".toast-body")
    port = int(started.url.rsplit(":", 1)[1])
    again = RunningApp(tmp_path, demo_gguf, port)
    try:
        page.wait_for_selector(".toast-body", state="detached", timeout=30_000)        # it reloads by itself
        wait_for_answer(page, text)
        assert "quartz-lung-7731" in page.inner_text(".user-row")
        ask(page, "And now?")
        page.wait_for_function("document.querySelectorAll('.bot-row').length === 2")
        assert wait_until_done(page)
    finally:
        again.end()
