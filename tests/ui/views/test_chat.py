import re
import time
from dataclasses import replace
from pathlib import Path

import pytest

from models import catalog
from runtime.messages import Loaded
from ui.actions.asking import Asking
from ui.actions.chat import View
from ui.actions.model import ModelState
from ui.actions.offers import Suggested
from ui.history import BROKEN, CUT, STOPPED, WRITING, Conversation, File, Message
from ui.views import chat as views

INFO = Loaded(path="m.gguf", name="Galen demo", fingerprint="7f3a9c21d0b1e2f3", ctx_tokens=2048,
              description="Q8_0 · 0.01 GB", can_chat=True)
MODEL = ModelState(chosen=Path("m.gguf"), info=INFO, notice="A demonstration, of no medical use.")


def view(*turns: Message, is_writing: bool = False) -> View:
    return View(conversation="0" * 16, turns=list(turns), is_writing=is_writing, asked=Asking(), version="1")


def user(text: str = "q", number: int = 1, **values) -> Message:
    return Message(id=number, role="user", text=text, **values)


def answer(text: str = "a", number: int = 2, **values) -> Message:
    return Message(id=number, role="assistant", text=text, **values)


def shown(*turns: Message, is_writing: bool = False, model: ModelState = MODEL) -> str:
    return views.thread(turns, is_writing, model)


def words(html: str) -> str:
    return re.sub(r"<.*?>", "", html)


def test_both_sides_and_what_went_wrong_are_shown_and_escaped():
    html = shown(user("is <b>a</b>\n*b*?"), answer("so far <i>", state=BROKEN, problem="It ended <here>."))
    assert "is &lt;b&gt;a&lt;/b&gt;\n*b*?" in html                      # as it was typed
    assert "so far &lt;i&gt;" in html and "It ended &lt;here&gt;." in html
    assert html.index("user-row") < html.index("bot-row") < html.index('class="problem"')


def test_waiting_answer_says_what_it_waits_for():
    turns = (user(), answer("", state=WRITING))
    assert "Reading your message" in shown(*turns, is_writing=True)
    assert "Loading MedGemma" in shown(*turns, is_writing=True, model=ModelState(loading="MedGemma 4B"))
    assert "interrupted" in shown(*turns) and "(no answer)" in shown(user(), answer(""))


def test_a_red_flag_notice_stands_between_question_and_answer():
    html = shown(user("my <chest>", notice="Call 112 <now>.\nOr 988."), answer("", state=WRITING), is_writing=True)
    assert '<p class="flag" role="note">Call 112 &lt;now&gt;.<br>Or 988.</p>' in html
    assert html.index("user-row") < html.index("flag-row") < html.index("bot-row")


def test_only_what_follows_the_last_question_changes_with_an_update():
    turns = [user("q", 1), answer("a", 2), user("r", 3), answer("b", 4, side="a"), answer("c", 5, side="b")]
    assert [[turn.id for turn in part] for part in views.split(turns)] == [[1, 2], [3, 4, 5]]
    assert views.split([]) == ([], []) and views.split(turns[:1]) == ([], turns[:1])


def test_the_page_is_told_which_answers_to_follow():
    writing = view(user(), answer("x", 7, state=WRITING), is_writing=True)
    assert 'data-answers="7"' in views.live(writing) and views.live(view(user(), answer())) == ""


def test_files_of_a_question_say_what_was_read():
    html = shown(user(files=(File(name="a<b>.pdf", kind="text", note="the first 3 of 9 characters"),)), answer())
    assert "a&lt;b&gt;.pdf" in html and "the first 3 of 9 characters" in html and "data-place" not in html
    assert 'data-place="0"' in views.pending([File(name="x.png", kind="picture")]) and views.pending([]) == ""


def test_versions_can_be_switched_where_there_are_some():
    html = shown(user(version=2, versions=3), answer())
    assert "2 of 3" in words(html) and 'data-step="-1"' in html and "disabled" not in html
    assert "disabled" in shown(user(version=3, versions=3), answer()) and "versions" not in shown(user(), answer())


def pair(vote: str = "", **values) -> list[Message]:
    left, right = ({"text": text, "vote": vote, "parent": 1, **values} for text in ("left", "right"))
    return [answer(number=2, side="a", model="Model One Q8_0", fingerprint="aaaa1111", **left),
            answer(number=3, side="b", model="Model Two Q4_0", fingerprint="bbbb2222", **right)]


def test_who_wrote_which_is_hidden_until_the_vote():
    html = shown(user(), *pair())
    assert "Model" not in html and "aaaa" not in html and html.count('data-act="vote"') == 3
    assert 'data-act="vote" data-id="1"' in html
    figures = dict(tokens=3, tokens_per_s=9.0, notice="demo", prompt_tokens=900, ctx_tokens=2048)
    hidden = views.answer_line(view(user(), *pair(**figures)))
    assert not [one for one in ("Model", "tok/s", "demo", "context") if one in hidden]
    assert "2,048" not in views.context(view(user(), *pair(**figures)))     # a longer prompt tells the preset
    assert "2,048" in views.context(view(user(), *pair("a", **figures)))
    waiting = shown(user(), *pair(state=WRITING, text=""), is_writing=True, model=ModelState(loading="Model Two"))
    assert "Loading the model" in waiting and "Model Two" not in waiting
    html = shown(user(), *pair("b"))
    assert "A · Model One Q8_0 aaaa" in html and "B · Model Two Q4_0 bbbb · better" in html and "data-vote" not in html
    assert html.count("voted") == 1 and "equal" in shown(user(), *pair("tie"))
    assert "data-vote" not in shown(user(), *pair(state=WRITING), is_writing=True)
    left, right = pair()                                # one was stopped before its first word: the other can be seen
    assert "data-vote" in shown(user(), left, replace(right, text="", state=STOPPED))


def test_line_carries_speed_tokens_context_and_what_wrote_it():
    last = answer(model="Galen demo Q8_0", fingerprint="7f3a9c21d0b1e2f3", tokens=1214, tokens_per_s=31.4, version=2,
                  versions=3, prompt_tokens=260, ctx_tokens=8192, notice="A demonstration, of no medical use.")
    line = words(views.answer_line(view(user(), last)))
    assert line == ("31 tok/s · 1,214 tokens · context 18% · Galen demo Q8_0 7f3a · 2 of 3 · demonstration onlyCopy")
    assert views.answer_line(view(user(), last, is_writing=True)) == "" == views.answer_line(view())
    other = view(user(), last, user(number=3), answer("b", 4, tokens=7))
    assert "7 tokens" in views.answer_line(other) and "1,214 tokens" in views.answer_line(other, 2)
    assert "18%: 1,474 of 8,192 tokens" in views.context(view(user(), last))
    assert "nothing in it yet" in views.context(view())


@pytest.mark.parametrize("values, said", [
    (dict(state=STOPPED), "stopped"), (dict(state=CUT), "length limit"),
    (dict(dropped_turns=4), "first 4 messages left out")])
def test_line_says_how_an_answer_ended(values, said):
    assert said in views.answer_line(view(user(), answer(**values)))


def test_demonstration_is_said_before_the_conversation():
    assert "no medical use" in views.empty(MODEL) and views.DEMO_EXAMPLES[0] in views.empty(MODEL)
    other = ModelState(info=replace(INFO, name="<My> model"))
    assert "medical use" not in views.empty(other) and views.EXAMPLES[0] in views.empty(other)
    assert "&lt;My&gt; model" in views.empty(other) and "/models" not in views.empty(other)
    assert 'href="/models">Get a real medical model</a>' in views.empty(MODEL)
    suggested = Suggested(entry=catalog.find("medgemma-1.5-4b-it"), type="Q4_K_M", reason="It fits.")
    html = views.empty(MODEL, suggested)
    assert 'href="/models?get=medgemma-1.5-4b-it/Q4_K_M">Get MedGemma 1.5 4B Q4_K_M</a>' in html
    assert ">Use MedGemma" in views.empty(MODEL, replace(suggested, is_here=True))


def test_conversations_stand_under_their_days_with_their_titles_escaped():
    noon = time.mktime((2026, 11, 21, 12, 0, 0, 0, 0, -1))
    listed = [Conversation(id="d" * 16, title="four", updated=noon - 9e6, is_starred=True),
              Conversation(id="a" * 16, title="<img src=x>", updated=noon - 3600),
              Conversation(id="b" * 16, title="two", updated=noon - 20 * 3600),
              Conversation(id="c" * 16, title='"three"', updated=noon - 99 * 3600)]
    html = views.conversations(listed, "b" * 16, more=7, now=noon)
    assert re.findall("<h2>(.*?)</h2>", html) == ["Starred", "Today", "Yesterday", "Earlier"]
    assert "<img" not in html and "&lt;img src=x&gt;" in html and 'More: &quot;three&quot;' in html
    assert html.count('aria-current="page"') == 2 and html.count('aria-pressed="true"') == 1 and "7 older ones" in html
    assert "will stand here" in views.conversations([], "") and "Nothing found" in views.conversations([], "", "x")
    assert "&lt;b&gt;" in views.deleted("<b>", "a")
