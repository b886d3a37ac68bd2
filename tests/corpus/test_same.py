import pytest

from corpus.layouts import Example
from corpus.same import Cases, cases, input_key, traits
from tasks import answer
from tasks.summarise import request
from tests.corpus.rows import row, with_word, words

LONG, OTHER = words(1, 60), words(2, 60)


def kinds(one: Example, other: Example) -> list[str]:
    compared = traits([one, other])
    return [match.kind for match in Cases(compared[:1], 0.85).find(compared[1])][:1]         # the plainest


def test_an_input_is_the_dialogue_whatever_section_is_asked_for():
    dialogue = "Doctor: Hi! Any fever? Patient: No."
    asked = [row(k, request(dialogue, header), input=dialogue) for k, header in enumerate(("ROS", "CC"))]
    assert {input_key(example) for example in asked} == {"doctor hi any fever patient no"}


def test_an_input_that_says_nothing_counts_with_its_instruction():
    asked = [row(k, f"{question}\n\nN/A", input="N/A") for k, question in enumerate(("What is gout?", "Why sleep?"))]
    assert len({input_key(example) for example in asked}) == 2 and not kinds(*asked)


@pytest.mark.parametrize("other, kind", [
    (row(2, "why DOES it\nhurt."), "input"),
    (row(2, "Something else?", group="p7"), "group"),
    (row(2, with_word(LONG, 30, "else"), group="p8"), "near input"),
    (row(2, f"Answer as a doctor would, please, with one letter. {LONG} A: {words(3, 30)}"), "part of input"),
    (row(2, words(4, 25), answer=with_word(OTHER, 30, "else")), "answer"),
    (row(2, words(4, 25), answer="Rest."), None),
    (row(2, " ".join(LONG.split()[:8]), answer="Rest."), None),          # too short to be told by
])
def test_what_makes_one_case(other: Example, kind: str | None):
    known = {"input": row(1, "Why does it hurt?"), "group": row(1, "A question.", group="p7"),
             "answer": row(1, words(5, 25), answer=OTHER)}.get(kind or "", row(1, LONG, answer="Rest."))
    assert kinds(known, other) == ([kind] if kind else [])
    assert kinds(other, known) == ([kind] if kind else [])


def test_a_decision_says_nothing_of_the_case_and_its_reason_does():
    assert not kinds(*(row(k, words(k, 25), answer=labels, label=labels) for k in (4, 5)
                       for labels in [" | ".join(OTHER.split()[:40])]))
    assert kinds(row(4, words(4, 25), answer=f"Yes. {OTHER}", label="yes"),
                 row(5, words(5, 25), answer=OTHER)) == ["answer"]


def choice(line: int, stem: str, right: str, others: str = "cd") -> Example:
    options = {"A": right, "B": words(line, 2), "C": others}
    return row(line, answer.choice_question(stem, options), answer.chosen("A", right), input=stem, label="A")


def test_a_choice_is_its_question_with_its_options():
    stem = "Which of the following statements is true?"
    assert not kinds(choice(1, stem, "Gout is painful"), choice(2, stem, "Insulin lowers glucose"))
    assert kinds(choice(1, stem, "Gout is painful"), choice(1, stem.upper(), "gout is painful")) == ["input"]


@pytest.mark.parametrize("known, prompt, said, is_found", [
    (choice(1, "Drug of choice in acute gouty arthritis of the knee is", "Colchicine"), "Tell me. {}?", "It is.", True),
    (choice(1, "Drug of choice in gout is", "Colchicine"), "Tell me, doctor. {}?", "Colchicine, as a rule.", True),
    (choice(1, "Drug of choice in gout is", "Colchicine"), "Tell me, doctor. {}?", "Ask the pharmacist.", False),
    (choice(1, "Which of the following is true?", "Colchicine"), "Exam: {}", "Colchicine is old.", False),
    (row(1, answer.decision_question("Is transgastric splenectomy possible in pigs?", words(1, 60)), "Yes.",
         input=words(1, 60), label="yes"), "I read this: {} Thanks.", "It is.", True),
    (row(1, "What is the best treatment of acute gout in old age?"), "Hi doctor, quick question: {}", "Rest.", True),
    (row(1, "What is the best treatment of acute gout in old age?"), "{} With insulin?", "Rest.", False),
    (row(1, "What is acute gout?"), "Hi doctor, quick question: {}", "Rest.", False),
])
def test_a_question_is_found_in_another_prompt(known: Example, prompt: str, said: str, is_found: bool):
    stem = known.input or known.messages[0]["content"]
    if known.label == "yes":
        stem = "Is transgastric splenectomy possible in pigs?"
    assert kinds(known, row(2, prompt.format(stem), said)) == (["question"] if is_found else [])


def test_a_row_joins_two_cases_that_were_apart():
    bridge = row(3, with_word(LONG, 30, "else"), group="p1")
    assert cases([row(1, LONG), row(2, OTHER, group="p1"), bridge], 0.85) == [[0, 1, 2]]
    assert cases([row(1, LONG), row(2, OTHER, group="p2"), bridge], 0.85) == [[0, 2], [1]]


def test_cases_are_chained():
    rows = [row(1, LONG, group="a"), row(2, OTHER), row(3, with_word(LONG, 30, "else"), group="b"),
            row(4, words(3, 40), group="b"), row(5, words(4, 40))]
    assert cases(rows, 0.85) == [[0, 2, 3], [1], [4]]
    assert cases(rows, 0.99) == [[0], [1], [2, 3], [4]]


def test_a_question_joins_its_case_whichever_stands_first():
    short = row(1, "What is the best treatment of acute gout in old age?")
    long = row(2, "Hi doctor, quick question: what is the best treatment of acute gout in old age?")
    assert cases([short, long], 0.85) == cases([long, short], 0.85) == [[0, 1]]
