"""Medical questions, free, yes / no / maybe and multiple choice: how they are asked, and how an answer is worded.

An answer begins with its decision: the reason follows from it, and whoever reads the first words reads the decision.
"""

from collections.abc import Mapping

DECISIONS = ("yes", "no", "maybe")
DECISION_FIRST = "Begin your answer with yes, no or maybe."
LETTER_FIRST = "Begin your answer with the letter of the right option."


def question(text: str, context: str = "") -> str:
    """The user message that asks a free question, about a text where there is one."""
    if not context:
        return text.strip()
    return f"Answer the question from the text.\n\nQuestion: {text.strip()}\n\nText:\n{context.strip()}"


def decision_question(text: str, context: str = "") -> str:
    """The user message that asks for yes, no or maybe, judged by an abstract where there is one."""
    if not context:
        return f"Answer the question. {DECISION_FIRST}\n\nQuestion: {text.strip()}"
    return (f"Answer the question from the abstract. {DECISION_FIRST}\n\nQuestion: {text.strip()}\n\n"
            f"Abstract:\n{context.strip()}")


def choice_question(text: str, options: Mapping[str, str]) -> str:
    """The user message that asks for one of options, {letter: text}."""
    lines = "\n".join(f"{letter}. {option}" for letter, option in options.items())
    return f"Answer this multiple-choice question. {LETTER_FIRST}\n\n{text.strip()}\n\n{lines}"


def decided(decision: str, reason: str = "") -> str:
    """The answer to learn for a decision_question: "Yes. Because ..."."""
    return f"{decision.capitalize()}. {reason.strip()}".strip() if reason.strip() else f"{decision.capitalize()}."


def chosen(letter: str, option: str, reason: str = "") -> str:
    """The answer to learn for a choice_question: "B. Hypnozoite", and the reason below it."""
    answer = f"{letter}. {option.strip()}"
    return f"{answer}\n\n{reason.strip()}" if reason.strip() else answer
