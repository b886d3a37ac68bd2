import re
import time
from dataclasses import replace
from pathlib import Path

import pytest

from runtime.messages import Loaded
from ui import show
from ui.actions.chat import View
from ui.actions.model import ModelState
from ui.history import BROKEN, CUT, STOPPED, WRITING, Conversation, Message

INFO = Loaded(path="m.gguf", name="Galen demo", fingerprint="7f3a9c21d0b1e2f3", ctx_tokens=2048,
              description="Q8_0 · 0.01 GB", can_chat=True)
MODEL = ModelState(chosen=Path("m.gguf"), info=INFO, notice="A demonstration, of no medical use.")


def view(*turns: Message, is_writing: bool = False) -> View:
    return View(conversation="0" * 16, turns=list(turns), is_writing=is_writing, version="1")


def user(text: str) -> Message:
    return Message(id=1, role="user", text=text)


def answer(text: str, **values) -> Message:
    return Message(id=2, role="assistant", text=text, **values)


@pytest.mark.parametrize("text", [
    "<img src=http://evil/x>", "![a](http://evil/x)", "![a][b]", "<script>x</script>", "</p><style>", "<!-- a", "<?php",
    "a `code` <img src=x> `more`", "```\nfence\n```\n<iframe>", "a ` lonely tick <img>\n\nnext ` paragraph",
    "~~~\nx\n~~~\n<video src=x>", "``` not a fence <img src=x>", "\\`<div>\\`", "`<div>\n# x `", "`<div>\n- x `",
    "`<div>\n===\n`", "``` a`b\n<div>\n", "| a | b |\n|---|---|\n| `x | y` <b>B</b> |", "\\![a](http://evil/x)",
    "`<b>` and ``a ` <i>``", "```html\n<b>bold</b>\n```", "$$a<b$$"])
def test_tags_and_pictures_become_text(text: str):
    shown = show.harmless(text)
    assert not re.search(r"<[A-Za-z/!?]|!\[", shown)
    assert shown.replace(show.APART, "") == text        # nothing else is touched: what is copied is what was written


@pytest.mark.parametrize("text", [
    "x < 5 mg and y <= 3", "`a < b` and ``a ` !``", "```c\nif (a < 3 && !b)\n```", "| a | b |\n|---|---|",
    "**bold** [link](https://example.org)", "$$a < b$$", ""])
def test_what_is_harmless_stays_as_it_is(text: str):
    assert show.harmless(text) == text


def test_diagrams_are_shown_as_code():
    assert show.harmless("```mermaid\ngraph TD;\n```") == "```text\ngraph TD;\n```"


def test_thread_shows_both_sides_and_what_went_wrong():
    shown = show.thread(view(user("a"), answer("so far", state=BROKEN, problem="It ended <here>.")), MODEL)
    assert [one["role"] for one in shown] == ["user", "assistant", "assistant"]
    assert shown[1]["content"] == "so far" and "It ended &lt;here&gt;." in shown[2]["content"]


def test_waiting_answer_says_what_it_waits_for():
    turns = (user("a"), answer("", state=WRITING))
    assert "Reading your message" in show.thread(view(*turns, is_writing=True), MODEL)[1]["content"]
    loading = ModelState(loading="MedGemma 4B · Q4_K · 2.49 GB")
    assert "Loading MedGemma 4B" in show.thread(view(*turns, is_writing=True), loading)[1]["content"]


def test_answer_that_nobody_writes_any_more_is_shown_as_interrupted():
    shown = show.thread(view(user("a"), answer("half", state=WRITING)), MODEL)
    assert "interrupted" in shown[2]["content"]


def test_line_carries_speed_tokens_and_what_wrote_it():
    last = answer("a", model="Galen demo Q8_0", fingerprint="7f3a9c21d0b1e2f3", tokens=1214, tokens_per_s=31.4,
                  notice="A demonstration, of no medical use.")
    line = re.sub("<.*?>", "", show.answer_line(view(user("q"), last)))
    assert line == "31 tok/s · 1,214 tokens · Galen demo Q8_0 7f3a · demonstration only"
    assert show.answer_line(view(user("q"), last, is_writing=True)) == ""
    assert show.answer_line(view()) == ""


@pytest.mark.parametrize("values, words", [
    (dict(state=STOPPED), "stopped"), (dict(state=CUT), "length limit"),
    (dict(dropped_turns=4), "first 4 messages left out")])
def test_line_says_how_an_answer_ended(values, words):
    assert words in show.answer_line(view(user("q"), answer("a", **values)))


def test_demonstration_is_said_before_and_beside_the_conversation():
    assert "no medical use" in show.empty(MODEL) and "no medical use" in show.notice(MODEL)
    other = ModelState(info=INFO)
    assert "medical use" not in show.empty(other) + show.notice(other)
    assert show.DEMO_EXAMPLES[0] in show.empty(MODEL) and show.EXAMPLES[0] in show.empty(other)


def test_a_silent_model_is_told_beside_what_must_be_said_of_it():
    assert "not answer" not in show.notice(MODEL)
    shown = show.notice(replace(MODEL, is_silent=True))
    assert "Galen demo Q8_0 does not answer at the moment" in shown and "no medical use" in shown


def test_notice_says_loading_and_refusal():
    assert "Loading x &amp; y" in show.notice(ModelState(loading="x & y"))
    assert "cut &lt;short" in show.notice(ModelState(problem="cut <short"))
    assert show.model_facts(MODEL) == "2,048 tokens" and show.model_facts(ModelState(loading="x")) == ""


def test_conversations_stand_under_their_days_with_their_titles_escaped():
    noon = time.mktime((2026, 11, 21, 12, 0, 0, 0, 0, -1))
    listed = [Conversation(id="a" * 16, title="<img src=x>", updated=noon - 3600),
              Conversation(id="b" * 16, title="two", updated=noon - 20 * 3600),
              Conversation(id="c" * 16, title='"three"', updated=noon - 99 * 3600)]
    shown = show.conversations(listed, "b" * 16, noon)
    assert re.findall("<h2>(.*?)</h2>", shown) == ["Today", "Yesterday", "Earlier"]
    assert "<img" not in shown and "&lt;img src=x&gt;" in shown and 'Delete: &quot;three&quot;' in shown
    assert shown.count('aria-current="page"') == 2 and f'data-id="{"b" * 16}" aria-current' in shown
    assert "will stand here" in show.conversations([], "")
