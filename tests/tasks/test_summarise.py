import math

import pytest

from models.errors import UserError
from tasks import headers, sections, summarise
from tasks.calibrate import Calibration
from tasks.engine import TooLong
from tasks.headers import HEADERS
from tasks.parts import parted
from tasks.summarise import Consultation, Summary
from tests.tasks.fake_engine import FakeEngine

DIALOGUE = "Doctor: How long?\nPatient: Two weeks. I take forty milligrams of lisinopril."
LONG = "\n".join(f"Doctor: Number {n}?\nPatient: Yes, {n}, it hurts here and there." for n in range(40))


def only(found: list[Summary | TooLong]) -> Summary:
    assert len(found) == 1 and isinstance(found[0], Summary)
    return found[0]


def test_the_request_that_training_learned_has_not_changed():
    assert summarise.request(" Hi. ", " CC ") == (
        'Write the section "CC" of the clinical note for this conversation.\n\nHi.')
    assert summarise.request("Hi.") == "Write a short clinical note for this conversation.\n\nHi."


def test_a_section_asked_for_is_written_and_marked():
    engine = FakeEngine(says={'the section "CC"': "Pain for 14 days. Takes lisinopril 80 mg."})
    one = only(summarise.sections(engine, [Consultation(DIALOGUE, "CC")], 100))
    assert one.header == "CC" and not one.header_probabilities and not engine.scored
    assert [mark.text for mark in one.marks] == ["80 mg"]
    assert len(one.parts) == 1 and not one.is_cut
    assert one.notes == ["1 place is marked that the conversation does not say."]


def test_the_likeliest_header_is_chosen_first():
    engine = FakeEngine(prefers={"lisinopril": HEADERS["MEDICATIONS"]})
    one = only(summarise.sections(engine, [Consultation(DIALOGUE)], 50))
    assert one.header == "MEDICATIONS" and 'the section "MEDICATIONS"' in engine.asked[0]
    assert sum(one.header_probabilities.values()) == pytest.approx(1)
    assert "MEDICATIONS was chosen by the model" in one.notes[0]


def test_a_calibration_may_change_the_header():
    engine = FakeEngine(prefers={"lisinopril": "Second"})
    other = Calibration(is_kept=True, biases={"1": 100.0, "2": 0.0})
    asked = [Consultation(DIALOGUE)], 50, {"1": "First one", "2": "Second"}
    assert only(summarise.sections(engine, *asked)).header == "2"
    assert only(summarise.sections(engine, *asked, other)).header == "1"


def test_own_headers_and_none():
    engine = FakeEngine(prefers={"lisinopril": "Second thing"})
    own = {"1": "First thing", "2": "Second thing"}
    assert only(summarise.sections(engine, [Consultation(DIALOGUE)], 50, own)).header == "2"
    assert only(summarise.sections(engine, [Consultation(DIALOGUE)], 50, {})).header == ""
    assert "a short clinical note" in engine.asked[-1]


def test_a_long_dialogue_is_read_in_parts_visibly():
    engine = FakeEngine(says={"Number 0?": "First.", "": "Later."}, ctx_tokens=1200)
    one = only(summarise.sections(engine, [Consultation(LONG, "CC")], 100))
    assert len(one.parts) > 1 and one.text == "\n".join(part.text for part in one.parts)
    assert one.text.startswith("First.\nLater.")
    assert "\n".join(part.dialogue for part in one.parts) == LONG
    assert "read in" in one.notes[0] and f"{len(one.parts)} parts" in one.notes[0]
    assert all(len(engine.prompt_ids([{"role": "user", "content": summarise.request(part.dialogue, "CC")}])) + 100
               <= 1200 for part in one.parts)


def test_the_header_of_a_long_dialogue_is_read_from_its_parts():
    engine = FakeEngine(prefers={"it hurts": "Chief complaint"}, ctx_tokens=1500)
    assert only(summarise.sections(engine, [Consultation(LONG)], 100)).header == "CC"
    assert len({tuple(prompt) for prompt, _ in engine.scored}) > 2


def test_the_parts_of_a_long_dialogue_have_a_say_each():
    names = {"1": "First", "2": "Second"}
    engine = FakeEngine(ctx_tokens=1500)
    one = only(summarise.sections(engine, [Consultation(LONG)], 100, names))
    assert len(engine.scored) == 2
    said = [[sum(way) for way in ways] for ways in FakeEngine(ctx_tokens=1500).score(engine.scored)]
    first, second = (sum(one) / 2 for one in zip(*said, strict=True))
    assert one.header_probabilities["1"] == pytest.approx(1 / (1 + math.exp(second - first)))


def test_no_room_is_told_and_ends_nothing():
    engine = FakeEngine(ctx_tokens=260)
    found = summarise.sections(engine, [Consultation(LONG, "CC"), Consultation("Hi.", "CC")], 100)
    assert isinstance(found[0], Summary)
    found = summarise.sections(engine, [Consultation(LONG, "CC"), Consultation("Hi.", "CC")], 160)
    assert isinstance(found[0], TooLong) and found[0].ctx_tokens == 260 and isinstance(found[1], Summary)
    assert isinstance(summarise.sections(FakeEngine(ctx_tokens=90), [Consultation(DIALOGUE)], 50)[0], TooLong)
    found = summarise.sections(FakeEngine(ctx_tokens=500), [Consultation(DIALOGUE), Consultation(DIALOGUE, "CC")], 20)
    assert isinstance(found[0], TooLong) and isinstance(found[1], Summary)      # the headers alone fill the context


def test_a_text_that_met_the_most_tokens_says_so():
    engine = FakeEngine(says={"": "A very long text."})
    one = only(summarise.sections(engine, [Consultation(DIALOGUE, "CC")], 6))
    assert one.is_cut and "cut at the most tokens" in one.notes[0]


def test_nothing_asked_is_nothing_given():
    assert summarise.sections(FakeEngine(), [], 10) == [] == summarise.whole_note(FakeEngine(), [])
    one = only(summarise.sections(FakeEngine(says={"": ""}), [Consultation("Hi.", "CC")], 10))
    assert one.text == "" and one.marks == ()


def test_nothing_is_made_up_of_an_empty_dialogue():
    engine = FakeEngine(says={"": "The knee is well."})
    asked = [Consultation(" \n"), Consultation("", "CC"), Consultation("Hi.", "CC")]
    empty, named, other = summarise.sections(engine, asked, 20)
    assert isinstance(empty, Summary) and isinstance(named, Summary) and isinstance(other, Summary)
    assert (empty.text, empty.header, named.text, named.header, other.text) == ("", "", "", "CC", "The knee is well.")
    assert empty.notes == named.notes == ["There is no conversation to write from."] and not other.notes
    first, second = summarise.whole_note(engine, ["", DIALOGUE], ("PLAN",), 50)
    assert isinstance(first, Summary) and isinstance(second, Summary)
    assert first.text == "" and not first.sections and first.notes == empty.notes and second.text


@pytest.mark.parametrize(("own", "match"), [
    ({"A": " "}, "'A' is described as ' '"), ({"": "Plan"}, "'' is described"),
    ({"A": "Plan", "B": " plan"}, "'A' and 'B' are both described"),
])
def test_headers_that_no_answer_can_tell_apart(own: dict[str, str], match: str):
    with pytest.raises(UserError, match=match):
        summarise.sections(FakeEngine(), [Consultation(DIALOGUE)], 10, own)


def test_a_dialogue_without_turns_is_not_said_to_be_cut_at_them():
    engine = FakeEngine(ctx_tokens=1200)
    one = only(summarise.sections(engine, [Consultation("it hurts when I walk " * 500, "CC")], 100))
    assert len(one.parts) > 1 and "within them" in one.notes[0]


NAMES = ("HISTORY", "PLAN", "A \"quoted\\ name")


def test_a_whole_note_has_every_section():
    text = sections.joined(["Pain for 2 weeks.\n- and more", "Rest for 3 days.", "None."], NAMES)
    engine = FakeEngine(says={"": text})
    one = only(summarise.whole_note(engine, [DIALOGUE], NAMES, 300))
    assert list(one.sections) == list(NAMES) and one.text == text and not one.is_cut
    assert engine.grammars == [sections.grammar(NAMES)]
    assert [mark.text for mark in one.marks] == ["3 days"]


def test_a_note_that_runs_out_of_tokens_is_gone_on_with():
    engine = FakeEngine(says={"\n\nHi.\nassistant: NAME 1": "NAME 2\nEnd.", "": "NAME 1\n" + "On and on. " * 100})
    one = only(summarise.whole_note(engine, ["Hi."], ("NAME 1", "NAME 2"), 100))
    assert one.sections["NAME 2"] == "End." and one.cut_sections == ("NAME 1",)
    assert one.sections["NAME 1"].endswith("on.") and len(one.sections["NAME 1"]) < 50
    assert engine.grammars == [sections.grammar(("NAME 1", "NAME 2")), sections.grammar(("NAME 2",))]
    assert one.notes[0] == "Cut at the most tokens: NAME 1."


def test_every_section_that_was_shortened_is_named():
    long = "On and on. " * 8
    engine = FakeEngine(says={"": f"A\n{long}\n\nB\n{long}\n\nC\n{long}"})
    one = only(summarise.whole_note(engine, ["Hi."], ("A", "B", "C"), 200))
    assert one.cut_sections == ("A", "B", "C") and len(one.text) <= 200


def test_a_line_of_a_body_begins_with_a_sign():
    assert sections.grammar(("A", "B")) == (
        'root ::= "A\\n" body "\\n\\n" "B\\n" body\n'
        'body ::= line ("\\n" line)*\nline ::= [^\\n\\r\\t ] [^\\n\\r]*\n')


def test_a_note_always_has_every_section_in_the_end():
    engine = FakeEngine(says={"": "rubbish that follows no grammar " * 20})
    for names in (("A",), ("A", "B", "C")):
        one = only(summarise.whole_note(engine, [DIALOGUE], names, 100))
        assert list(one.sections) == list(names) and all(one.sections.values())


def test_a_long_dialogue_gives_one_note_from_its_parts():
    engine = FakeEngine(says={"Number 0?": "A\nFirst.\n\nB\nSame.", "": "A\nLater.\n\nB\nSame."}, ctx_tokens=1200)
    one = only(summarise.whole_note(engine, [LONG], ("A", "B"), 100))
    assert len(one.parts) > 1 and one.sections == {"A": "First.\nLater.", "B": "Same."}
    assert isinstance(summarise.whole_note(FakeEngine(ctx_tokens=150), [LONG], ("A",), 100)[0], TooLong)


@pytest.mark.parametrize(("names", "tokens", "words"), [
    ((), 100, "0 sections"),
    (("A", "a "), 100, "'A' is named twice"),
    (("A", " "), 100, "no usable name"),
    (("x" * 81,), 100, "no usable name"),
    (("A", "B"), 20, "in 20 tokens has no room"),
])
def test_names_that_head_no_section(names: tuple[str, ...], tokens: int, words: str):
    with pytest.raises(UserError, match=words):
        summarise.whole_note(FakeEngine(), [DIALOGUE], names, tokens)


@pytest.mark.parametrize("room", [60, 100, 333, 5000])
@pytest.mark.parametrize("dialogue", [LONG, "x" * 700, "word " * 300, "One. Two! Three? " * 50,
                                      LONG.replace("\n", " ")])
def test_parts_are_the_whole_and_fit(dialogue: str, room: int):
    parts = parted(dialogue, room, len)
    assert "".join("".join(parts).split()) == "".join(dialogue.split())
    assert all(part and len(part) <= room for part in parts)
    assert len(parts) == 1 or max(map(len, parts)) > room / 4


def test_a_question_that_leaves_no_room_for_the_answer_stays_behind():
    dialogue = "\n".join(f"{'a' * 6}.\n{'b' * 30} {n}?\n{'c' * 40} {n}." for n in range(4))
    assert all(len(part) <= 60 for part in parted(dialogue, 60, len))


def test_a_question_stays_with_its_answer():
    parts = parted(LONG, 200, len)
    assert not any(part.endswith("?") for part in parts)


def test_headers_are_asked_for_with_their_words():
    text = headers.request("Hi.", {"A": "First", "B": "Second"})
    assert "First; Second." in text and text.endswith("\n\nHi.")
