"""How the browser tests of the chat page write to it and read it."""

import contextlib
import threading
from typing import Any

import pytest

from tests.ui.conftest import BOX
from tests.ui.fakes import wait_for

sync_api = pytest.importorskip("playwright.sync_api")

QUESTION = "What are the symptoms of quartz-lung-7731?"      # a word that nothing else on the page holds
SEND, STOP = "#send", "#stop"
ANSWER, PROBLEM = "#scroll .bot-row .prose", "#scroll .bot-row p.problem"


def ask(page: Any, text: str = QUESTION) -> None:
    """Send text, and wait until it stands in the thread."""
    page.fill(BOX, text)
    page.keyboard.press("Enter")
    page.wait_for_selector(f".user-row:has-text({text[:40]!r})")


def answer_text(page: Any) -> str:
    """What has come of the last answer."""
    found = page.query_selector_all(ANSWER)
    text = found[-1].inner_text().strip() if found else ""
    return "" if text.startswith(("Reading your message", "Loading ")) else text


def first_words(page: Any) -> str:
    """The same, once there is something."""
    return wait_for(lambda: page.wait_for_timeout(30) or answer_text(page))


def wait_until_done(page: Any, is_in_a_hurry: bool = True) -> str:
    """The whole answer, or what has come when somebody in a hurry stops it."""
    if is_in_a_hurry:
        first_words(page)
        with contextlib.suppress(sync_api.TimeoutError):      # it may end by itself meanwhile
            page.click(STOP, timeout=500)
    page.wait_for_selector(SEND, state="visible")
    page.wait_for_selector("#line span")
    return answer_text(page)


def wait_for_answer(page: Any, text: str) -> None:
    """Wait until the last answer reads text."""
    wait_for(lambda: page.wait_for_timeout(30) or answer_text(page) == text)


def begin(page: Any, is_frozen: threading.Event) -> str:
    """Ask, and hold the model's process still in the middle of its answer. Returns what has come."""
    for _ in range(10):
        ask(page)
        first_words(page)
        is_frozen.set()
        looks = [""]
        while len(looks) < 3 or len(set(looks[-3:])) > 1:       # until what was written before has arrived
            page.wait_for_timeout(300)
            looks.append(answer_text(page))
        if page.is_visible(STOP):
            return looks[-1]
        is_frozen.clear()                               # a short answer: it had ended already
    pytest.fail("no answer was long enough")
