"""A summary as HTML: every mark where it belongs, said in words too, and nothing that was written is markup."""

import re
from html import unescape

import pytest

from tasks.grounding import KINDS, Mark, marks
from tasks.sections import NOTE, joined
from tasks.summarise import Part, Summary
from ui.actions.single import State
from ui.actions.summaries import WHOLE, Wanted
from ui.views import summarise as views

DIALOGUE = "Doctor: How long?\nPatient: Two weeks. I take forty milligrams of lisinopril."
HOSTILE = '<img src=x onerror=alert(1)> & "x"'


def summary(text: str, found=None, **values) -> Summary:
    return Summary(**{"text": text, "header": "CC", "parts": (Part(dialogue=DIALOGUE, text=text, is_cut=False),),
                      "marks": tuple(marks(text, DIALOGUE) if found is None else found), "header_probabilities": {},
                      "sections": {}, **values})


def state(found: Summary | None = None, section: str = "CC", **values) -> State:
    return State(asked=Wanted(dialogue=DIALOGUE, section=section), found=found, model="Galen demo Q8_0",
                 fingerprint="7f3a9c21d0b1e2f3", seconds=2.0, **values)


def plain(html: str) -> str:
    """What a reader sees of it without pointing at anything."""
    return unescape(re.sub(r"<[^>]+>", "", re.sub(r'<span class="why".*?</span>', "", html).replace("<br>", "\n")))


def test_an_invented_dose_is_marked_with_its_reason():
    html = views.result(state(summary("Pain for 14 days. Takes lisinopril 80 mg.")))
    [mark] = re.findall(r'<mark class="dose" tabindex="0" aria-describedby="why-1">80 mg(.*?)</mark>', html)
    assert 'role="tooltip" id="why-1"' in mark and "Dose." in mark and "forty milligrams" in mark
    assert "<b>80 mg</b> (dose): The conversation does not say" in html
    assert 'class="legend"><li><mark class="dose">dose</mark> 1</li>' in html
    assert "14 days" in html and html.count("<mark") == 2
    assert "Galen demo Q8_0 7f3a · 2 s" in html and "1 place is marked" not in html       # it is listed


def test_the_text_is_whole_around_its_marks():
    text = "Took 80 mg on March 3 with Dr. Grey.\nThen 90 mg of aspirin."
    found = summary(text)
    assert len(found.marks) >= 3 and plain(views.marked(found)) == text


def test_every_kind_has_words_and_a_legend():
    text = " ".join(KINDS)
    found = [Mark(start=text.index(kind), end=text.index(kind) + len(kind), kind=kind, text=kind, why="Why.")
             for kind in KINDS]
    html = views.result(state(summary(text, found)))
    assert all(f'<mark class="{kind}">{views.KIND_WORDS[kind]}</mark> 1</li>' in html for kind in KINDS)


def test_the_same_mark_twice_is_listed_once():
    html = views.marks([Mark(start=k, end=k + 4, kind="date", text="1999", why="Not said.") for k in (0, 9)])
    assert html.count("<li><b>") == 1 and "(date, 2 times)" in html and "</mark> 2</li>" in html


def test_without_marks_it_says_so_and_what_that_means():
    html = views.result(state(summary("Pain for two weeks.")))
    assert "Nothing is marked." in html and "negations" in html and "<mark" not in html


def test_a_whole_note_has_headings_and_marks_in_its_bodies():
    bodies = ["Pain.", "Two weeks.", "None.", "Done.", "None.", "Take 80 mg of lisinopril.\nRest."]
    text = joined(bodies, NOTE)
    html = views.result(state(summary(text, sections=dict(zip(NOTE, bodies, strict=True)), header=""), WHOLE))
    assert re.findall("<h3>(.*?)</h3>", html)[:6] == list(NOTE) and "<h2>Clinical note</h2>" in html
    assert "Take <mark" in html and "<br>Rest.</p>" in html
    assert f'data-plain="{text}"' in html               # what Copy copies


def test_a_paragraph_that_reads_like_a_heading_is_none():
    html = views.marked(summary("PLAN\nRest."))
    assert "<h3>" not in html


def test_parts_and_cuts_are_said():
    part = Part(dialogue="x", text="y", is_cut=True)
    html = views.result(state(summary("y\ny", parts=(part, part, part))))
    assert "read in 3 parts" in html and "cut at the most tokens" in html


def test_nothing_written_is_markup():
    mark = Mark(start=0, end=len(HOSTILE), kind="name", text=HOSTILE, why=HOSTILE)
    for html in (views.result(state(summary(HOSTILE, [mark]))), views.result(state(summary(HOSTILE, header=HOSTILE))),
                 views.result(state(text=HOSTILE, is_running=True)), views.result(state(problem=HOSTILE)),
                 views.result(state(summary(f"{HOSTILE}\nx", sections={HOSTILE: "x"})))):
        assert "<img" not in html and 'onerror=alert(1)> & "' not in html and "&lt;img" in html


@pytest.mark.parametrize(("values", "told"), [
    (dict(is_running=True), "Reading the conversation"), (dict(is_running=True, text="Pain"), "Writing"),
    (dict(is_stopped=True, text="Pain"), "Stopped; this is what had been written."),
    (dict(problem="Too long."), 'role="alert">Too long.')])
def test_on_its_way_and_ended_early(values, told):
    html = views.result(state(**values))
    assert told in html and ("Pain" in html) == ("text" in values)


def test_at_first_it_says_what_to_do():
    assert "take the example" in views.result(State())
