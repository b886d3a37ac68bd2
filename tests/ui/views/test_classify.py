"""The bars of a text: the likeliest first, chosen ones marked, and who decided said beside them."""

import re
from pathlib import Path

import pytest

from tasks.classify import Sorted
from ui.actions.labellings import Choice, Labelled, Wanted
from ui.actions.single import State
from ui.job_list import JobView
from ui.views import classify as views

HOSTILE = '<img src=x onerror=alert(1)>'


def state(shares, labels=("b",), is_single=True, note="", **values) -> State:
    found = Labelled(sorted=Sorted(labels=labels, probabilities=shares, by=("linear model", "language model"),
                                   is_single=is_single, note=note), about="An ensemble. Calibrated: b.")
    return State(**{"asked": Wanted(text="x", choice=Choice()), "found": found, "model": "Galen demo Q8_0",
                    "fingerprint": "7f3a9c", "seconds": 3.0, **values})


def test_bars_stand_in_order_with_numbers_beside_them():
    html = views.result(state({"a": 0.2, "b": 0.75, "c": 0.05}))
    assert re.findall(r'class="name">(\w)<', html) == ["b", "a", "c"]
    assert re.findall(r"width: ([\d.]+)%", html) == ["75.0", "20.0", "5.0"]
    assert re.findall(r'class="share">(\S+?)<', html) == ["75%", "20%", "5%"]
    assert html.count('class="chosen"') == 1 and "<h2>b: 75%</h2>" in html


def test_who_decided_and_whether_it_is_calibrated_is_said():
    html = views.result(state({"a": 0.2, "b": 0.8}))
    assert "Decided by: linear model and language model" in html and "An ensemble. Calibrated: b." in html
    assert "Galen demo Q8_0 7f3a · 3 s" in html


def test_several_labels_have_the_confidence_of_all_of_them():
    html = views.result(state({"a": 0.9, "b": 0.8, "c": 0.5}, ("a", "b"), is_single=False, note="Cut."))
    assert "<h2>a, b: 36% <small>that these apply and no others</small></h2>" in html
    assert "<p>Cut.</p>" in html and html.count('class="chosen"') == 2


@pytest.mark.parametrize(("share", "words"), [(0.0, "&lt;1%"), (0.009, "&lt;1%"), (0.01, "1%"), (0.5, "50%"),
                                              (0.99, "99%"), (0.991, "&gt;99%"), (1.0, "&gt;99%")])
def test_nothing_is_certain(share, words):
    assert views.percent(share) == words


def test_nothing_written_is_markup():
    for html in (views.result(state({HOSTILE: 1.0}, (HOSTILE,), note=HOSTILE)),
                 views.result(state({}, problem=HOSTILE))):
        assert "<img" not in html and "&lt;img" in html


@pytest.mark.parametrize(("values", "told"), [
    (dict(found=None, is_running=True), "Reading the text"), (dict(found=None, is_stopped=True), "Stopped."),
    (dict(labels=()), "No label applies")])
def test_on_its_way_and_without_a_label(values, told):
    labels = values.pop("labels", ("a",))
    assert told in views.result(state({"a": 0.1}, labels, **values))


def test_at_first_it_says_what_to_do():
    assert "begin with the example" in views.result(State())


def test_what_was_learned_can_be_chosen():
    job = JobView(folder=Path("/home/runs/classify-1"), kind="classify", title="papers.csv, with right.csv",
                  state="done", share=1.0, left_s=None, words="", started=0.0)
    [first, second] = views.learned([job])
    assert first[1] == "" and second[1] == "classify-1" and "papers.csv, with right.csv" in second[0]
