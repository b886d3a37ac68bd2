from collections.abc import Sequence
from dataclasses import replace

import pytest

from corpus.clean import Cleaned, clean, tidy
from corpus.config import DataConfig
from corpus.findings import Finding
from corpus.layouts import Example, load
from corpus.table import Unusable
from models.errors import UserError
from tests.corpus.rows import row, words

STEPS = ["whitespace", "boilerplate", "length", "exact duplicates", "near duplicates", "conflicts"]
FINE = row(99, "Why does it hurt?")


def cleaned(*rows: Example, **values: object) -> Cleaned:
    """Tidied and cleaned, with one row more that every step keeps."""
    return both([*rows, FINE], **values)


def both(rows: Sequence[Example], **values: object) -> Cleaned:
    tidied = tidy(rows)
    result = clean(tidied.kept, DataConfig(**values))
    out = tuple(Unusable(file=e.file, line=e.line, reason=reason) for e, reason in tidied.dropped)
    return replace(result, left_out=(*out, *result.left_out), steps=(tidied.finding, *result.steps))


def found(result: Cleaned, step: str) -> Finding:
    return next(one for one in result.steps if one.step == step)


def reasons(result: Cleaned) -> dict[int, str]:
    return {out.line: out.reason for out in result.left_out}


def test_every_step_is_counted_also_where_it_finds_nothing():
    result = cleaned()
    assert [step.step for step in result.steps] == STEPS and not any(step.count for step in result.steps)
    assert result.kept == (FINE,) and not result.left_out


def test_whitespace_and_control_characters_go_from_messages_and_input():
    given = row(1, "Write it.\n\nDoctor:  Hi.\x00  \r\nPatient: Hello.", "Note:\u00a0fine  today.", section="ROS",
                input="Doctor:  Hi.\x00  \r\nPatient: Hello.")
    result = cleaned(given)
    assert [m["content"] for m in result.kept[0].messages] == [
        "Write it.\n\nDoctor: Hi.\nPatient: Hello.", "Note: fine today."]
    assert result.kept[0].input == "Doctor: Hi.\nPatient: Hello."
    assert found(result, "whitespace").count == 1
    assert "1 x control character" in found(result, "whitespace").rows[0]["why"]


def test_a_row_of_control_characters_only_is_left_out():
    result = cleaned(row(1, "Why does it hurt so?", "\x00\u200b \x07"))
    assert reasons(result) == {1: "a message of the assistant holds whitespace or control characters only"}


@pytest.mark.parametrize("answer, reason", [
    ("N/A", "its answer 'N/A' only holds a place"), ("[see above]", "its answer '[see above]' only holds a place"),
    ("As an AI language model, I can not diagnose.", "its answer refuses"),
    ("I'm sorry, but I cannot assist with that.", "its answer refuses"),
    ("I'm sorry, I can't help Mr. Smith with that.", "its answer refuses"),
    ("Unfortunately, I cannot provide medical advice. Please see a doctor.", "its answer refuses"),
    ("I'm unable to answer that question.", "its answer refuses"),
    ("As an AI, I am not able to provide a diagnosis; please consult a physician.", "its answer refuses"),
    ("I cannot provide a diagnosis without an examination, but what you describe is typical of migraine: rest, fluids.",
     None),
    ("I can't help but notice that your blood pressure is high; please take the tablets daily.", None),
    ("Unfortunately, I can't answer with certainty, but a blood test for ferritin will show it.", None),
    ("I'm unable to answer your second question, but metformin may be taken with food.", None),
    ("I cannot give you antibiotics for a virus. Rest.", None), ("See a doctor about it.", None),
    ("I can't provide a diagnosis. Take ibuprofen with food.", None),
    ("I'm sorry to hear that. Rest, and see a doctor.", None), ("Not available in tablets, only as a syrup.", None),
])
def test_answers_that_say_nothing_are_left_out(answer: str, reason: str | None):
    result = cleaned(row(1, "What shall I do about it?", answer))
    assert (1 in reasons(result)) == (reason is not None)
    if reason:
        assert reason in reasons(result)[1]
        kept = cleaned(row(1, "What shall I do about it?", answer), empty_answers="keep", min_chars=0)
        assert len(kept.kept) == 2 and found(kept, "boilerplate").count == 1


def test_short_sections_of_a_note_that_recur_are_kept_and_shown():
    notes = [row(k, f"Write the section.\n\n{words(k, 20)}", "None.", input=words(k, 20), section="ALLERGY")
             for k in range(5)]
    result = cleaned(*notes)
    assert len(result.kept) == 6 and not result.left_out
    shown = found(result, "boilerplate")
    assert shown.count == 0 and '5 rows share 1 answer given 3 times or more ("None." 5): kept.' in shown.text
    assert shown.rows[0]["why"] == "this answer recurs 5 times; kept"
    assert "5 rows have a shorter section of a note: kept" in found(result, "length").text
    assert [r["line"] for r in found(result, "length").rows] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("example, reason", [
    (row(1, "Why?", "Because it is inflamed."), "its input has 4 characters, fewer than 10"),
    (row(1, "Why does it ache?", "Gout."), "its answer has 5 characters, fewer than 10"),
    (row(1, "Why does it ache?", words(1, 501)), "its answer has 501 words, more than 500"),
    (row(1, words(1, 501)), "its input has 501 words, more than 500"),
    (row(1, "Why does it ache?", words(1, 500)), None),
    (row(1, "Is it gout? Say yes or no.", "Yes", label="yes"), None),
    (row(1, "Which?\nA) gout B) rest", "A", label="A"), None),
    (row(1, "Which of these drugs, if any?", "N/A", label="n/a"), None),
    (row(1, "Name the dose of:\n\nASS", "500 mg a day.", input="ASS"), None),
    (row(1, "Write the section \"ROS\" of the note.\n\nHi", "Negative.", input="Hi", section="ROS"),
     "its input has 2 characters, fewer than 10"),
])
def test_fields_are_held_to_their_lengths(example: Example, reason: str | None):
    result = cleaned(example)
    assert reasons(result) == ({1: reason} if reason else {})
    assert found(result, "length").count == (1 if reason else 0)
    assert len(cleaned(example, min_chars=0, max_words=0).kept) == 2


def test_turns_of_a_conversation_may_be_short_but_not_long():
    turns = [{"role": role, "content": text} for role, text in (
        ("user", "Hi"), ("assistant", "Yes?"), ("user", "It hurts."), ("assistant", "Where?"))]
    assert len(cleaned(Example(file="a", line=1, messages=tuple(turns))).kept) == 2
    turns[1]["content"] = words(1, 501)
    assert reasons(cleaned(Example(file="a", line=1, messages=tuple(turns)))) == {
        1: "its answer has 501 words, more than 500"}


def test_few_answers_that_recur_are_decisions_whatever_the_layout_says():
    rows = [row(k, f"Is this a tumour? {words(k, 12)}", ("yes", "no")[k % 2], file="b.csv")
            for k in range(10)]
    assert len(cleaned(*rows).kept) == 11
    assert len(reasons(cleaned(*rows[:9]))) == 9


def test_the_steps_take_out_repeats():
    result = cleaned(row(1, "Why  does it hurt so?", "Rest, and wait."), row(2, "why does it hurt so?",
                     "Rest, and wait."), row(3, "Why does it hurt so?", "See a doctor."))
    assert reasons(result) == {2: "the same conversation as a.csv, line 1"}
    assert found(result, "conflicts").count == 2


def test_rows_marked_as_validation_or_test_are_tidied_and_kept():
    held = [row(k, "Why?", "A\u00a0b", split=split) for k, split in enumerate(("validation", "test", "validation"))]
    result = cleaned(*held)
    assert [e.line for e in result.kept] == [99, 0, 1, 2] and not result.left_out
    assert result.kept[1].messages[1]["content"] == "A b"


def test_nothing_left_says_which_step_took_what_and_what_to_set():
    with pytest.raises(UserError, match=r"Cleaning leaves none of 2 rows to train on. 2 rows have a field of "
                                        r"fewer than 10 characters or more than 500 words: left out \(min_chars=0, "):
        clean([row(1, words(1, 600)), row(2, words(2, 600)), row(3, "Why?", split="test")], DataConfig())


def test_real_notes_keep_their_short_sections(shared_data):
    result = both(load([str(shared_data / "mts-dialog" / "train.csv")]).examples)
    assert {step.step: step.count for step in result.steps[1:]} == {
        "boilerplate": 0, "length": 17, "exact duplicates": 1, "near duplicates": 0, "conflicts": 2}
    assert found(result, "whitespace").count > 1000             # two spaces after a full stop
    assert len(result.kept) == 1201 - 17 - 1 == 1201 - len(result.left_out)
    assert 'None." 37, "Noncontributory." 27, "Unremarkable." 15' in found(result, "boilerplate").text
    assert sum(len(e.messages[-1]["content"]) < 10 for e in result.kept) == 76


def test_a_file_whose_answers_all_hold_a_place_is_no_file_of_decisions():
    rows = [row(k, f"What is disease number {k}?", "N/A" if k % 2 else "tbd") for k in range(20)]
    assert [e.line for e in cleaned(*(replace(one, file="b.csv") for one in rows)).kept] == [99]
