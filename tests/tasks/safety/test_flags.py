"""Red flags: the sentences of the open half and of the development, and what a flag carries."""

import json
from pathlib import Path

import pytest

from tasks import safety
from tasks.safety import red_flags, situations

HERE = Path(__file__).parent
OPEN = [json.loads(line) for line in (HERE / "open.jsonl").read_text(encoding="utf-8").splitlines()]
DEVELOPED = [json.loads(line) for line in (HERE / "developed.jsonl").read_text(encoding="utf-8").splitlines()]
POISON_LINE, CRISIS_LINE = "1-800-222-1222", "116 123"


def ids(text: str) -> list[str]:
    return [flag.id for flag in red_flags(text)]


def test_open_half():
    """Read while the patterns were written: nothing known may be lost again."""
    missed = [row["id"] for row in OPEN if row["situation"] and row["situation"] not in ids(row["text"])]
    raised = [row["id"] for row in OPEN if not row["situation"] and ids(row["text"])]
    assert (missed, raised) == ([], [])


def test_sentences_of_the_development():
    missed = [row["text"] for row in DEVELOPED if row["is_emergency"] and not ids(row["text"])]
    raised = [row["text"] for row in DEVELOPED if not row["is_emergency"] and ids(row["text"])]
    assert (missed, raised) == ([], [])


@pytest.mark.parametrize("sign, denied", [
    ("chest pain and I'm short of breath", "no chest pain and I'm not short of breath"),
    ("his face is drooping on one side", "his face is not drooping on one side, speech is fine"),
    ("she had a seizure", "she did not have a seizure"),
    ("I want to die", "I don't want to die"),
    ("baby of 5 weeks with a fever of 38.6", "baby of 5 weeks without a fever"),
    ("he passed out after he hit his head", "he hit his head but didn't pass out"),
    ("I took too many tablets", "I never took too many tablets"),
    ("numb between the legs and I can't pee", "not numb between the legs, no trouble peeing"),
    ("fever, stiff neck and confusion", "denies fever, stiff neck, confusion"),
    ("hives and my tongue is swollen", "no hives, no swelling of the tongue")])
def test_denial_takes_a_sign_away(sign: str, denied: str):
    assert ids(sign) and not ids(denied)


@pytest.mark.parametrize("text", [
    "{}", "My {} just now.", "Please help! {}", "{} What should I do?", "Hi doctor, quick question.\n\n{}"])
def test_words_around_a_sign_do_not_hide_it(text: str):
    assert "heart" in ids(text.format("dad has crushing chest pain and is sweating"))


@pytest.mark.parametrize("text", [
    'Translate into French: "{}"', "Summarise this note: {}", "Please proofread: {}", "In my novel, somebody says: {}",
    "Ten years ago I told my doctor: {} It was nothing.", "A 54 year old man presents with this: {} What is the most "
    "likely diagnosis?"])
def test_texts_exams_and_the_past_raise_nothing(text: str):
    assert not ids(text.format("I have crushing chest pain and am sweating."))


@pytest.mark.parametrize("text, situation", [
    ("my mom is unconcious", "unconscious"), ("he took an overdoze of paracetmol", "overdose"),
    ("feeling suicidle tonight", "suicide"), ("my sons lips are sweling after a penut", "anaphylaxis"),
    ("DAD COLLAPSED AND IS NOT RESPONDING!!!", "unconscious"), ("I can’t breathe", "breathing"),
    ("my baby is six weeks old and has a temp of 38,4", "infant_fever"),
    ("she's 9wks pregnant and bleeding", "pregnancy"), ("SOB and CP x 30 min", "heart"),
    ("my chst hurts and im short of breth", "heart"), ("my bby has a fevr, she is 3 weeks old", "infant_fever"),
    ("think my mom is having a stroke", "stroke")])
def test_typing_mistakes_and_ways_to_write(text: str, situation: str):
    assert situation in ids(text)


@pytest.mark.parametrize("text, situation", [
    ("My 5 week old has a temp of 38.5", True), ("My 5 month old has a temp of 38.5", False),
    ("My 5 week old has a temp of 36.9", False), ("My 8 week old, 101.2", True)])
def test_fever_counts_with_the_age(text: str, situation: bool):
    assert ("infant_fever" in ids(text)) is situation


def test_cp_is_cerebral_palsy_too():
    assert not ids("patient with CP (cerebral palsy) and syncope history") and ids("SOB and CP")


def test_animals_are_no_patients():
    assert not ids("my dog swallowed bleach") and ids("my dog swallowed bleach and my toddler drank some bleach")


def test_most_urgent_comes_first_and_each_once():
    found = ids("He took 40 paracetamol because he wants to die, and now he won't wake up. He won't wake up!")
    assert found[0] == "unconscious" and {"overdose", "suicide"} <= set(found) and len(found) == len(set(found))
    order = [one.id for one in situations()]
    assert found == sorted(found, key=order.index)


def test_a_flag_says_where():
    text = "Hello. 🙂 It’s about Dad: he’s got crushing chest pain and is sweating."
    flag = red_flags(text)[0]
    assert "chest pain" in text[slice(*flag.where)]


def test_every_situation_points_to_help():
    assert len(situations()) >= 15 and len({one.id for one in situations()}) == len(situations())
    named = {row["situation"] for row in OPEN} - {""}
    assert named <= {one.id for one in situations()}
    for one in situations():
        assert all(number in one.notice for number in ("112", "999", "911")) and "{" not in one.notice
    notices = {one.id: one.notice for one in situations()}
    assert "988" in notices["suicide"] and CRISIS_LINE in notices["suicide"]
    assert POISON_LINE in notices["overdose"] and POISON_LINE in notices["poisoning"]


def test_notice_is_the_most_urgent_one_and_the_crisis_lines():
    both = safety.notice("I swallowed 30 sleeping pills because I want to die")
    assert POISON_LINE in both and CRISIS_LINE in both and both.count("\n") == 1
    assert safety.notice("What causes asthma?") == "" == safety.notice("")


@pytest.mark.parametrize("piece", ["a", " ", "1 ", "no ", "if you , ", "chest pain ", "took a whole ", "siezure ", ".",
                                   "2 years ago and now ", "胸", "\0", "a'", "summarise: "])
def test_a_hostile_megabyte_comes_to_an_end(piece: str):
    assert len(red_flags((piece * 1_000_000)[:1_000_000])) < 5


def test_a_long_text_is_read_at_its_beginning_and_its_end():
    filling = "We went for a walk in the park. " * 8_000
    sign = "My husband has collapsed and is not responding. "
    for text in (sign + filling, filling + sign):
        flag = red_flags(text)[0]
        assert flag.id == "unconscious" and "collapsed" in text[max(0, flag.where[0] - 30):flag.where[1] + 30]
    assert not red_flags("Summarise this dialogue: " + filling + sign)
    far = "I have chest pain. " + "It is a nice day. " * 100 + "My dog was sweating."
    assert "heart" not in ids(far)                      # signs far apart do not add up
