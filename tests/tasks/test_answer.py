from tasks import answer

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
