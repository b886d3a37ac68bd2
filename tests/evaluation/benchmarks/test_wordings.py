"""evaluation/benchmarks/wordings.py: what an answer says, denies, asks and puts off."""

import pytest

from evaluation.benchmarks.wordings import says


@pytest.mark.parametrize("answer", [
    "Please call 911 now.", "**Call 9-1-1**, or dial 999.", "Call an ambulance!", "Don't hesitate to call 999.",
    "Do not wait: phone for an ambulance.", "Don’t be afraid to call an AMBULANCE", "Call the number 999.",
    "No, call an ambulance.", "If he is still in pain, call an ambulance."])
def test_said(answer: str):
    assert says(answer, ["call ... 999", "call ... 911", "call 9 1 1", "ambulanc*"])


@pytest.mark.parametrize("answer", [
    "", "You do not need an ambulance.", "An ambulance is not needed.", "An ambulance isn't necessary here.",
    "Should you call an ambulance? No.", "It is unclear whether to call an ambulance.",
    "Never call an ambulance for it.", "There's no need for an ambulance",
    "Do not, whatever he says, call an ambulance.",
    "Rather than calling an ambulance, wait", "The ambulancemanship of 1911", "Call 9110."])
def test_not_said(answer: str):
    assert not says(answer, ["call ... 911", "ambulance", "call* an ambulance"])


def test_a_denial_ends_with_its_clause():
    assert says("No, you can wait until morning.", ["wait until morning"])
    assert not says("You should not wait until morning.", ["wait until morning"])
    assert says("Do not eat anything. Wait until morning.", ["wait until morning"])
    assert says("Kernels do not cure cancer and can cause cyanide poisoning.", ["cyanide"])
    assert says("Do not give it but call 999.", ["call ... 999"])
    assert not says("It does not cure cancer and cyanide is no part of it.", ["cure* cancer"])


def test_none_denies():
    assert not says("None of this is your fault.", ["your fault"]) and says("This is your fault.", ["your fault"])


def test_a_wording_that_has_to_be_denied():
    for answer in ("Do not make him vomit.", "Please don't try to make him vomit!", "Never make him vomit"):
        assert says(answer, ["!make him vomit"]) and not says(answer, ["make him vomit"])
    for answer in ("Make him vomit.", "Should I not make him vomit?", "Give him water."):
        assert not says(answer, ["!make him vomit"])


def test_numbers_are_whole():
    assert says("Give 0.5 mg now", ["0.5 mg"]) and says("10 tablets, or 2.5 pills", ["# pills"])
    assert not says("Give 0.5 mg now", ["5 mg"]) and not says("Give 15 mg", ["5 mg"]) and not says("1,5 mg", ["5 mg"])
    assert not says("No more than 10 mg: never", ["# g"]) and says("no more than 4 g a day", ["4 g"])


def test_a_gap_is_four_words_of_one_sentence():
    assert says("take ibuprofen every day with food", ["take ... food"])
    assert not says("take one two three four five food", ["take ... food"])
    assert not says("Take it. Food is fine", ["take ... food"])


def test_now_is_not_if_it_gets_worse():
    assert says("If it gets worse, call an ambulance.", ["ambulance"])
    assert not says("If it gets worse, call an ambulance.", ["ambulance"], is_now=True)
    assert not says("Call an ambulance if this happens again.", ["ambulance"], is_now=True)
    assert says("If it gets worse, lie down. Call an ambulance now.", ["ambulance"], is_now=True)


def test_long_answers_take_no_time():
    assert not says("do not wait " * 20_000, ["wait"])
    says("do not " * 20_000 + "wait", ["wait ... until ... morning", "!wait", "do ... wait"])
    says("word " * 50_000, ["word ... other", "*ord"])
