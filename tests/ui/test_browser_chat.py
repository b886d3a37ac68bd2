"""What one does with conversations on the chat page, in a real Chromium on the real embedded model."""

import json
import re

import pytest

from tests.ui.chatting import STOP, ask, wait_for_answer, wait_until_done
from tests.ui.conftest import BOX, CHROMIUM, reload
from tests.ui.fakes import wait_for
from ui.history import History, Message, new_id

sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = [pytest.mark.browser, pytest.mark.skipif(not CHROMIUM, reason="needs Debian's chromium")]
ENTRY = "#conversations .entry"


def written(app, *turns: tuple[str, str]) -> str:
    """The id of a conversation with these questions and answers."""
    history, conversation = History(app.home), new_id()
    for question, text in turns:
        number, = history.ask(conversation, question)
        history.finish(conversation, Message(id=number, role="assistant", text=text, model="M", fingerprint="abcd1234",
                                             tokens=3, prompt_tokens=10, ctx_tokens=100))
    history.close()
    return conversation


def rows(page) -> list[str]:
    """The texts of the thread, top to bottom."""
    return [row.inner_text().strip() for row in page.query_selector_all("#scroll .turn .prose")]


def test_a_question_is_edited_and_both_branches_stay(app, open_page):
    one = written(app, ("first quartz-lung", "A1"), ("second", "A2"))
    page = open_page(f"{app.url}/?c={one}")
    page.wait_for_selector(".user-row:has-text('second')")
    page.hover(".user-row:has-text('first')")
    page.click(".user-row:has-text('first') [data-act=edit]")
    assert page.input_value(BOX) == "first quartz-lung" and page.is_visible("#editing")
    page.evaluate("""document.querySelector('#box textarea').dispatchEvent(
        new KeyboardEvent('keydown', {key: 'Escape', bubbles: true, cancelable: true, isComposing: true}))""")
    assert page.input_value(BOX) == "first quartz-lung"         # that Escape was the input method's
    page.keyboard.press("Escape")                       # not meant: the box is empty, nothing was sent
    page.wait_for_selector("#editing", state="hidden")
    assert page.input_value(BOX) == ""
    page.hover(".user-row:has-text('first')")
    page.click(".user-row:has-text('first') [data-act=edit]")
    page.fill(BOX, "first, edited quartz-lung")
    page.keyboard.press("Enter")
    page.wait_for_selector(".user-row:has-text('edited')")
    text = wait_until_done(page)
    assert rows(page) == ["first, edited quartz-lung", text] and page.is_hidden("#editing")
    assert "2 of 2" in page.inner_text(".user-row .versions")
    page.click(".user-row [data-step='-1']")
    page.wait_for_selector(".user-row:has-text('second')")
    assert rows(page) == ["first quartz-lung", "A1", "second", "A2"]
    reload(page)
    page.wait_for_selector(".user-row:has-text('second')")      # what was chosen stays chosen


def test_versions_of_an_answer_are_switched_and_figures_shown_of_the_selected_one(app, open_page):
    one = written(app, ("q quartz-lung", "A1"), ("r", "A2"))
    page = open_page(f"{app.url}/?c={one}")
    page.wait_for_selector(".bot-row >> nth=1")
    page.click("#again")
    page.wait_for_function("document.querySelector('#line').innerText.includes('2 of 2')", timeout=60_000)
    newest = rows(page)[-1]
    page.click(".bot-row [data-step='-1']")
    wait_for_answer(page, "A2")
    assert "1 of 2" in page.inner_text("#line") and page.is_disabled(".bot-row [data-step='-1']")
    page.click(".bot-row [data-step='1']")
    wait_for_answer(page, newest)
    page.click(".bot-row .who >> nth=0")
    page.wait_for_function("document.querySelector('#line').innerText.includes('context 13%')")
    assert "M abcd" in page.inner_text("#line")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.click("#line [data-act=copy]")
    wait_for(lambda: page.evaluate("navigator.clipboard.readText()") == "A1")


def test_conversations_are_found_starred_renamed_and_exported(app, open_page):
    written(app, ("alpha quartz-lung", "the word sesquipedalian stands in the answer"))
    two = written(app, ("beta quartz-lung", "$$x^2$$ and text"))
    page = open_page(f"{app.url}/?c={two}")
    page.wait_for_selector(".bot-row")
    page.fill("#search input, #search textarea", "SESQUI")
    page.wait_for_function(f"document.querySelectorAll('{ENTRY}').length === 1")
    found = f"{ENTRY}:has-text('alpha')"                # by its name: a drawing from before may come once more
    page.hover(found)
    page.click(f"{found} .star")
    page.wait_for_selector(f"{found} .star[aria-pressed=true]")
    page.fill("#search input, #search textarea", "")
    page.wait_for_function(f"document.querySelectorAll('{ENTRY}').length > 1")
    page.wait_for_selector("#conversations h2:text-is('Starred') >> nth=0")
    page.wait_for_selector(f"{ENTRY}:has-text('alpha') >> nth=0")
    here = f"{ENTRY}[aria-current]"
    page.hover(here)
    page.click(f"{here} .more")
    page.keyboard.press("Enter")                        # the first entry of the menu: rename
    page.keyboard.type("gamma <b> quartz-lung")
    page.keyboard.press("Enter")
    page.wait_for_selector(f"{here}:has-text('gamma <b> quartz-lung')")
    for name, act in (("gamma", "markdown"), ("gamma", "json")):
        page.hover(here)
        page.click(f"{here} .more")
        with page.expect_download() as started:
            page.click(f"#entry-menu [data-act={act}]")
        text = started.value.path().read_text(encoding="utf-8")
        assert name in started.value.suggested_filename and "$$x^2$$ and text" in (
            text if act == "markdown" else json.dumps(json.loads(text), ensure_ascii=False))


def test_what_a_model_writes_is_shown_as_tables_code_lists_and_formulas(app, open_page):
    text = "# Title\n\n| drug | dose |\n|---|---|\n| a | 5 mg |\n\n- one\n- two\n\n```python\nx = 1 < 2\n```\n\n" \
           f"$${'{' * 9000}too deep{'}' * 9000}$$\n\n" \
           "Inline \\(a_b\\), $c^2$, costs $5 and $10.\n\n\\[\n\\frac{1}{2}\n\\]"
    one = written(app, ("q quartz-lung", text))
    page = open_page(f"{app.url}/?c={one}")
    page.wait_for_selector(".bot-row .katex")
    assert len(page.query_selector_all(".bot-row .katex")) == 3 and "costs $5 and $10" in page.inner_text(".bot-row")
    assert "{too deep}" in page.inner_text(".bot-row")          # for KaTeX: it stays as it was written
    assert page.inner_text(".bot-row td >> nth=1") == "5 mg" and len(page.query_selector_all(".bot-row li")) == 2
    assert page.inner_text(".bot-row pre code").strip() == "x = 1 < 2"


def test_an_update_leaves_the_turns_before_it_alone(app, open_page):
    one = written(app, *((f"question {k} quartz-lung", f"**answer** {k} $x^{k}$") for k in range(12)))
    page = open_page(f"{app.url}/?c={one}")
    page.wait_for_selector(".bot-row >> nth=11")
    page.wait_for_function("document.querySelectorAll('.katex').length === 12")
    watch = """() => {
        window.touched = 0;
        window.kept = [...document.querySelectorAll('#turns .turn')];
        window.watching?.disconnect();
        window.watching = new MutationObserver((changes) => { window.touched += changes.length; });
        window.watching.observe(
            document.querySelector('#turns .html-container'),
            {childList: true, subtree: true, characterData: true, attributes: true});
    }"""
    lengths = set()
    with app.slowed(pause_s=0.25, run_s=0.005):
        for k in range(10):                             # until an answer is long enough
            ask(page, f"and the next {k} quartz-lung")
            page.wait_for_selector(f".bot-row >> nth={12 + k}")
            page.evaluate(watch)
            lengths = set()
            while page.is_visible(STOP) and len(lengths) < 5:
                lengths.add(len(rows(page)[-1]))
                page.wait_for_timeout(30)
            if len(lengths) == 5:
                break
            wait_until_done(page, is_in_a_hurry=False)
        assert len(lengths) == 5
        assert page.evaluate("window.touched") == 0 and page.evaluate("window.kept.length") >= 24
    wait_until_done(page, is_in_a_hurry=False)
    assert page.evaluate("window.kept.every((row) => row.isConnected)")


def test_two_answers_are_compared_blind_and_voted_on(app, open_page):
    page = open_page(app.url)
    page.wait_for_selector("#empty h1")
    page.click("#options")
    page.click("#against input")
    page.click("[role=option]:has-text('Galen demo') >> nth=0")
    page.click("#against-preset input")
    page.click("[role=option]:has-text('Exam tutor')")
    page.click("#drawer-head button")
    page.wait_for_selector("#drawer", state="hidden")
    ask(page, "compare quartz-lung")
    page.wait_for_selector(".pair .bot-row >> nth=1")
    page.wait_for_selector(".vote button", timeout=60_000)
    names = [one.inner_text() for one in page.query_selector_all(".pair .who")]
    assert names == ["A", "B"] and "Galen demo" not in page.inner_text("#line")
    left, right = (page.locator(".pair .turn").nth(k).bounding_box() for k in (0, 1))
    assert left["y"] == right["y"] and left["x"] + left["width"] <= right["x"]
    page.click(".vote [data-vote=b]")
    page.wait_for_selector(".pair .voted")
    names = [one.inner_text() for one in page.query_selector_all(".pair .who")]
    assert re.fullmatch(r"A · Galen demo Q8_0 [0-9a-f]{4}", names[0])
    assert re.fullmatch(r"B · Galen demo Q8_0 [0-9a-f]{4} · better", names[1])
    reload(page)
    page.wait_for_selector(".pair .voted")
    assert not page.query_selector_all(".vote button")


def test_a_file_is_read_into_a_message(app, open_page, table):
    text = "The quartz-lung protocol: give zebrafish-9917 twice a day. " * 400
    page = open_page(app.url)
    page.wait_for_selector("#empty h1")
    page.set_input_files("[data-testid='Add a file-upload-button']", table("note.txt", text))
    page.wait_for_selector("#waiting .chip")
    chip = page.inner_text("#waiting .chip")
    assert "note.txt" in chip and re.search(r"the first [\d,]+ of 23,599 characters", chip)     # visibly cut
    reload(page)
    page.wait_for_selector("#waiting .chip")            # it waits for its question
    ask(page, "What is given for quartz-lung?")
    page.wait_for_selector(".user-row .chip:has-text('note.txt')")
    page.wait_for_selector("#waiting .chip", state="detached")
    page.wait_for_selector("#line span", timeout=60_000)
    share = int(re.search(r"context (\d+)%", page.inner_text("#line")).group(1))
    assert share > 50                                   # the model was given it
    assert not [one for one in (app.home / "cache").rglob("*") if one.is_file() and "zebrafish-9917" in one.read_text(
        errors="replace")]


def test_settings_are_saved_as_a_preset_and_kept_with_the_conversation(app, open_page):
    page = open_page(app.url)
    page.wait_for_selector("#empty h1")
    page.click("#options")
    page.fill("#system textarea", "Answer like a quartz-lung.")
    page.fill("#SampleConfig-max_tokens input, #SampleConfig-max_tokens textarea", "4")
    page.fill("#preset-name input, #preset-name textarea", "short one")
    page.click("#save-preset")
    page.wait_for_function("document.querySelector('#preset input').value === 'short one'")
    ask(page, "a quartz-lung")
    page.wait_for_function("document.querySelector('#line').innerText.includes('length limit')", timeout=60_000)
    page.click("#new")
    page.wait_for_selector("#empty h1")
    page.wait_for_function("document.querySelector('#system textarea').value === ''")
    page.click("#preset input")
    page.click("[role=option]:has-text('short one')")
    page.wait_for_function("document.querySelector('#system textarea').value.includes('quartz')")
    page.click("#delete-preset")
    page.wait_for_function("document.querySelector('#preset input').value === 'No preset'")
    page.fill("#SampleConfig-temperature input, #SampleConfig-temperature textarea", "99")
    page.fill(BOX, "b")
    page.keyboard.press("Enter")
    page.wait_for_selector(".toast-body")
    assert "Temperature is 99; use 0 to 5" in page.inner_text(".toast-body") and page.input_value(BOX) == "b"
    assert page.is_hidden(STOP)


def test_the_keyboard_reaches_everything_and_escape_closes_what_is_open(app, open_page):
    one = written(app, ("alpha quartz-lung", "A"))
    page = open_page(f"{app.url}/?c={one}")
    page.wait_for_selector("#line span")
    page.focus("#options")
    page.keyboard.press("Enter")
    page.wait_for_selector("#drawer", state="visible")
    assert page.get_attribute("#options", "aria-expanded") == "true"
    page.keyboard.press("Escape")
    page.wait_for_selector("#drawer", state="hidden")
    assert page.evaluate("document.activeElement.id") == "options"
    page.focus(f"{ENTRY}[aria-current] a")
    for _ in range(2):                                  # past the star, to the menu
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector("#entry-menu", state="visible")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.innerText") == "Export as Markdown"
    page.keyboard.press("Escape")
    page.wait_for_selector("#entry-menu", state="hidden")
    assert "alpha quartz-lung" in page.inner_text("#conversations")


def test_an_answer_that_follows_at_once_grows_too(app, open_page):
    """The first answer's end and the second one's begin may be drawn as one change."""
    page = open_page(app.url)
    ask(page, "one quartz-lung")
    wait_until_done(page)
    with app.slowed(pause_s=0.25, run_s=0.005):
        for _ in range(10):
            page.click("#again")
            page.wait_for_selector(STOP, state="visible")
            lengths = set()
            while page.is_visible(STOP) and len(lengths) < 4:
                lengths.add(len(rows(page)[-1]))
                page.wait_for_timeout(30)
            if len(lengths) == 4:
                break
            page.wait_for_selector("#line span")
        assert len(lengths) == 4
    wait_until_done(page, is_in_a_hurry=False)
    assert "of " in page.inner_text(".bot-row .versions")
