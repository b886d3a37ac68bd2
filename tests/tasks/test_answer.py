import pytest

from models.errors import UserError
from tasks import answer
from tasks.answer import Decision, Question, decide
from tasks.calibrate import Calibration
from tasks.engine import TooLong
from tests.tasks.fake_engine import FakeEngine

OPTIONS = {"A": "Aspirin", "B": "Ibuprofen"}


def test_an_instruction_stands_before_what_may_be_cut():
    asked = answer.decision_question("Is it?", "The abstract.")
    assert asked.index(answer.DECISION_FIRST) < asked.index("Is it?") < asked.index("The abstract.")
    assert asked.endswith("The abstract.")
    choice = answer.choice_question("A long case. Which?", OPTIONS)
    assert choice.index(answer.LETTER_FIRST) < choice.index("A long case.") < choice.index("A. Aspirin\nB. Ibuprofen")


def test_a_question_without_a_text_is_asked_as_it_is():
    assert answer.question(" Why? ") == "Why?"
    assert answer.question("Why?", "Text.").endswith("Question: Why?\n\nText:\nText.")
    assert "abstract" not in answer.decision_question("Is it?")


def test_the_decision_comes_first():
    assert [answer.decided(one, "Because it is.") for one in answer.DECISIONS] == [
        "Yes. Because it is.", "No. Because it is.", "Maybe. Because it is."]
    assert answer.decided("no") == "No."
    assert answer.chosen("B", "Ibuprofen ") == "B. Ibuprofen"
    assert answer.chosen("B", "Ibuprofen", "It is milder.") == "B. Ibuprofen\n\nIt is milder."


QUESTIONS = [Question("Is it benign?", "An abstract."), Question("Which?", options=OPTIONS), Question("Is it rare?")]


def test_a_decision_is_the_likeliest_choice_and_keeps_its_place():
    engine = FakeEngine(prefers={"benign": "no", "Which?": "B", "rare": "Maybe"})
    found = decide(engine, QUESTIONS)
    assert [one.choice for one in found if isinstance(one, Decision)] == ["no", "B", "maybe"]
    assert [list(one.probabilities) for one in found if isinstance(one, Decision)] == [
        ["yes", "no", "maybe"], ["A", "B"], ["yes", "no", "maybe"]]
    one = found[0]
    assert isinstance(one, Decision) and one.confidence == max(one.probabilities.values()) > 0.9
    assert sum(one.probabilities.values()) == pytest.approx(1.0) and max(one.logprobs.values()) < 0
    assert engine.asked == []                                   # nothing was generated


def test_the_question_is_asked_as_training_asks_it():
    engine = FakeEngine()
    decide(engine, QUESTIONS)
    prompts = sorted(engine.text(prompt) for prompt, _ in engine.scored)
    requests = [answer.decision_question("Is it benign?", "An abstract."), answer.decision_question("Is it rare?"),
                answer.choice_question("Which?", OPTIONS)]
    assert prompts == sorted(f"user: {one}\nassistant: " for one in requests)


def test_below_the_threshold_there_is_no_answer():
    engine = FakeEngine(prefers={"benign": "no"})
    sure, unsure = decide(engine, [QUESTIONS[0], QUESTIONS[2]], threshold=0.99)
    assert isinstance(sure, Decision) and isinstance(unsure, Decision)
    assert (sure.choice, unsure.choice) == ("no", "") and unsure.likeliest in answer.DECISIONS


def test_options_can_be_read_by_their_texts():
    engine = FakeEngine(prefers={"Which?": "Ibuprofen"})
    [found] = decide(engine, [QUESTIONS[1]], by="texts", per_token=True)
    assert isinstance(found, Decision) and found.choice == "B"
    [(prompt, candidates)] = engine.scored
    assert [engine.text(one) for one in candidates] == ["Aspirin", "Ibuprofen"]
    assert "Aspirin" not in engine.text(prompt)
    with pytest.raises(UserError, match="The option B of the question 'Which.' is empty; write its text"):
        decide(engine, [Question("Which?", options={"A": "Aspirin", "B": " "})])


def test_the_prior_is_that_of_the_same_question_without_its_words():
    engine = FakeEngine()
    plain, corrected = (decide(engine, [QUESTIONS[1]], is_prior_corrected=one)[0] for one in (False, True))
    assert isinstance(plain, Decision) and isinstance(corrected, Decision) and plain.logprobs != corrected.logprobs
    neutral = engine.text(engine.scored[-1][0])
    assert neutral == f"user: {answer.choice_question('N/A', OPTIONS)}\nassistant: "


def test_a_calibration_changes_probabilities_and_choices():
    engine = FakeEngine(prefers={"Which?": "A"})
    flat = Calibration(temperature=1e6, is_kept=True)
    [found] = decide(engine, [QUESTIONS[1]], calibration=flat)
    assert isinstance(found, Decision) and found.probabilities["A"] == pytest.approx(0.5, abs=1e-4)
    [turned] = decide(engine, [QUESTIONS[1]], calibration=Calibration(biases={"B": 30.0}, is_kept=True))
    assert isinstance(turned, Decision) and turned.choice == "B" and turned.logprobs == found.logprobs
    [unused] = decide(engine, [QUESTIONS[1]], calibration=Calibration(biases={"B": 30.0}))
    assert isinstance(unused, Decision) and unused.choice == "A"


def test_what_does_not_fit_is_listed_and_the_rest_answered():
    engine = FakeEngine(says={"": "Yes."}, ctx_tokens=200)
    questions = [QUESTIONS[2], Question("Is it?", "word " * 50), QUESTIONS[1]]
    found = decide(engine, questions)
    assert [isinstance(one, TooLong) for one in found] == [False, True, False]
    given = answer.answers(engine, questions, 20)
    assert [isinstance(one, TooLong) for one in given] == [False, True, False] and len(engine.asked) == 2
    assert "Begin your answer" not in engine.asked[0] and answer.LETTER_FIRST in engine.asked[1]
    answer.answers(engine, [QUESTIONS[2]], 5, is_decision=True)
    assert answer.DECISION_FIRST in engine.asked[-1]
    assert answer.answers(FakeEngine(ctx_tokens=50), [questions[1]], 5) == [TooLong(333, 50)]
