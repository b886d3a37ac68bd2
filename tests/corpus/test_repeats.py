import dataclasses

import pytest

from corpus import repeats
from corpus.config import DataConfig
from corpus.layouts import Example, load
from tasks.summarise import request
from tests.corpus.rows import row, with_word, words

LONG = words(1, 200)
CLOSE = with_word(LONG, 100, "else")            # 195 of 201 triples: 0.97
CONFIG = DataConfig()


def lines(step: repeats.Step) -> list[int]:
    return [example.line for example in step.kept]


def test_a_repeat_is_the_same_conversation_but_for_case_and_whitespace():
    rows = [row(1, "Why?", "So."), row(2, " why? ", "SO."), row(3, "Why?", "Not so."), row(4, "Why ?", "So.")]
    step = repeats.exact(rows, CONFIG)
    assert lines(step) == [1, 3, 4]
    assert [(e.line, reason) for e, reason in step.dropped] == [(2, "the same conversation as a.csv, line 1")]
    assert step.finding.count == 1 and step.finding.text == "1 row repeats another row; 1 left out."
    assert step.finding.rows[0]["line"] == 2 and step.finding.rows[0]["other_line"] == 1
    kept = repeats.exact(rows, DataConfig(exact_duplicates="keep"))
    assert lines(kept) == [1, 2, 3, 4] and not kept.dropped and kept.finding.count == 1
    assert kept.finding.text == "1 row repeats another row; kept."


@pytest.mark.parametrize("second, is_dropped", [
    (row(2, CLOSE, LONG), True),
    (row(2, CLOSE, CLOSE), True),
    (row(2, CLOSE, words(2, 200)), False),                              # another answer
    (row(2, words(3, 200), CLOSE), False),                              # another question
    (row(2, with_word(words(1, 20), 10, "else"), LONG), False),
])
def test_a_near_repeat_is_near_in_both_halves(second: Example, is_dropped: bool):
    step = repeats.near([row(1, LONG, LONG), second], CONFIG)
    assert lines(step) == ([1] if is_dropped else [1, 2])
    if is_dropped:
        assert step.dropped[0][1] == "97% the same as a.csv, line 1"
        assert lines(repeats.near([row(1, LONG, LONG), second], DataConfig(near_duplicates="keep"))) == [1, 2]
        assert lines(repeats.near([row(1, LONG, LONG), second], DataConfig(similarity=0.98))) == [1, 2]


def test_exact_repeats_that_were_kept_are_not_near_repeats():
    rows = [row(1, LONG, LONG), row(2, LONG, LONG), row(3, CLOSE, LONG)]
    assert lines(repeats.near(rows, CONFIG)) == [1, 2]


def test_two_sections_of_one_dialogue_and_two_questions_on_one_text_are_no_repeats():
    sections = [row(k, request(LONG, header), "None.", input=LONG, section=header)
                for k, header in enumerate(("ROS", "EXAM"))]
    questions = [row(k, f"{LONG}\n\nIs {word} a cause?", "Yes.", input=LONG, label="yes")
                 for k, word in enumerate(("smoking", "age"))]
    assert len(repeats.near(sections, CONFIG).kept) == len(repeats.near(questions, CONFIG).kept) == 2
    assert len(repeats.near([sections[0], row(2, request(CLOSE, "ROS"), "None.", input=CLOSE, section="ROS")],
                            CONFIG).kept) == 1


def test_a_short_answer_needs_inputs_that_are_closer():
    edited = LONG
    for place in (30, 90, 150, 180):
        edited = with_word(edited, place, "else")                       # 186 of 210 triples: 0.89
    assert len(repeats.near([row(1, LONG, LONG), row(2, edited, LONG)], CONFIG).kept) == 1
    assert len(repeats.near([row(1, LONG, "Yes."), row(2, edited, "Yes.")], CONFIG).kept) == 2
    assert len(repeats.near([row(1, LONG, "Yes."), row(2, CLOSE, "Yes.")], CONFIG).kept) == 1


@pytest.mark.parametrize("wish, kept", [("keep", [1, 2, 3, 4, 5]), ("first", [1, 3, 4]), ("drop", [3])])
def test_conflicts_are_counted_and_kept_or_dropped(wish: str, kept: list[int]):
    rows = [row(1, "Why?", "So."), row(2, "why?", "Not so."), row(3, "How?", "So."), row(4, "When?", "Now."),
            row(5, "When?", "Later.")]
    step = repeats.conflicts(rows, DataConfig(conflicts=wish))
    assert lines(step) == kept and step.finding.count == 4
    assert sorted(kept + [e.line for e, _ in step.dropped]) == [1, 2, 3, 4, 5]
    shown = [(found["line"], found["other_line"]) for found in step.finding.rows]
    assert {(2, 1), (5, 4)} <= set(shown)


def test_a_conflict_has_the_same_conversation_before_its_answer():
    first, second = row(1, "Why?", "Where?"), row(2, "Here.", "Rest.")
    talk = [dataclasses.replace(first, line=k, messages=first.messages + row(0, there, answer).messages)
            for k, (there, answer) in enumerate((("Here.", "Rest."), ("There.", "Wait."), ("here.", "Wait.")))]
    assert repeats.conflicts([*talk, second], CONFIG).finding.rows[0]["line"] == 2
    assert repeats.conflicts([*talk, second], CONFIG).finding.count == 2


def test_real_conflicts_and_repeats_are_those_that_were_counted_by_hand(shared_data):
    abstracts = load([str(shared_data / "medical-abstracts-tc")]).examples
    assert repeats.conflicts(abstracts, CONFIG).finding.count == 165    # 81 texts with two labels or more
    assert not repeats.exact(abstracts, CONFIG).dropped
    dialogues = load([str(shared_data / "mts-dialog" / "train.csv")]).examples
    assert [(e.line, reason.split("-")[-1]) for e, reason in repeats.exact(dialogues, CONFIG).dropped] == [
        (10481, "dialog/train.csv, line 2173")]
    answers = load([str(shared_data / "medquad" / "medquad_train.jsonl")]).examples
    assert [e.line for e, _ in repeats.near(answers, CONFIG).dropped] == [3735, 4121, 5548, 7406, 7807]
