"""Medical questions, free, yes / no / maybe and multiple choice: how they are asked, and how an answer is worded.

An answer begins with its decision: the reason follows from it, and whoever reads the first words reads the decision.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from models.errors import UserError
from tasks import readout
from tasks.calibrate import Calibration
from tasks.engine import Answered, Engine, TooLong, too_long
from tasks.readout import Asked, Reading

LETTERS, TEXTS = "letters", "texts"
NOTHING = "N/A"                                 # asked in the place of a question, where the prior is taken out

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


@dataclass(frozen=True)
class Question:
    """options: {letter: text} of a multiple choice; without any it asks for yes, no or maybe, or for a free answer."""

    text: str
    context: str = ""
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Decision:
    """choice: a letter, or yes, no or maybe; "" where nothing is as likely as the threshold asks: no answer.

    probabilities: of the choices among themselves, calibrated if a calibration was given. logprobs: of each choice
    behind the prompt, in nats, as read; what a calibration is fitted on. likeliest: whatever the threshold.
    """

    choice: str
    likeliest: str
    probabilities: Mapping[str, float]
    logprobs: Mapping[str, float]

    @property
    def confidence(self) -> float:
        """The probability of the likeliest choice."""
        return self.probabilities[self.likeliest]


def decide(engine: Engine, questions: Sequence[Question], by: str = LETTERS, calibration: Calibration | None = None,
           threshold: float = 0.0, per_token: bool = False, is_prior_corrected: bool = False,
           ) -> list[Decision | TooLong]:
    """The likeliest choice of each question, in order; nothing is generated, so there is nothing to misread.

    by: "letters" of the options, or their "texts" behind the question alone; it does not matter for yes, no or maybe.
    threshold: of the probability, below which there is no answer. per_token: log-likelihoods are means over the tokens.
    is_prior_corrected: what the model would choose without a question is taken out. Give a calibration the same of
    these three as the questions that it was fitted on.
    """
    assert by in (LETTERS, TEXTS) and 0.0 <= threshold <= 1.0
    until = readout.APART if by == LETTERS else readout.TEXT
    logs: list[dict[str, float] | TooLong | None] = [None] * len(questions)
    for has_options in (False, True):
        numbers = [k for k, one in enumerate(questions) if bool(one.options) == has_options]
        asked = [_asked(engine, questions[k], by, is_prior_corrected) for k in numbers]
        reading = Reading(until=until if has_options else readout.TEXT, per_token=per_token)
        for k, found in zip(numbers, readout.read(engine, asked, reading), strict=True):
            logs[k] = found
    return [one if isinstance(one, TooLong) else _decision(one or {}, calibration, threshold) for one in logs]


def answers(engine: Engine, questions: Sequence[Question], max_tokens: int,
            is_decision: bool = False) -> list[Answered | TooLong]:
    """The answer to each question in the model's own words, in order; tasks/reader.py reads a decision out of one.

    is_decision: questions without options ask for yes, no or maybe first. TooLong where the context has no room for
    max_tokens behind the prompt.
    """
    prompts = [_prompt(engine, _request(one) if one.options or is_decision else question(one.text, one.context))
               for one in questions]
    long = [too_long(engine, prompt, max_tokens) for prompt in prompts]
    given = iter(engine.answers([prompt for prompt, one in zip(prompts, long, strict=True) if not one], max_tokens))
    return [one or next(given) for one in long]


def _decision(logs: Mapping[str, float], calibration: Calibration | None, threshold: float) -> Decision:
    shares = calibration.probabilities(logs) if calibration else readout.probabilities(logs)
    likeliest = max(shares, key=lambda choice: shares[choice])
    return Decision(choice=likeliest if shares[likeliest] >= threshold else "", likeliest=likeliest,
                    probabilities=shares, logprobs=logs)


def _asked(engine: Engine, one: Question, by: str, is_prior_corrected: bool) -> Asked:
    """The prompt of a question, how its choices are written, and the prompt that asks nothing."""
    nothing = Question(NOTHING, NOTHING if one.context else "", one.options)
    is_cloze = bool(one.options) and by == TEXTS
    empty = [letter for letter, option in one.options.items() if not option.strip()]
    if empty:
        raise UserError(f"The option {empty[0]} of the question {one.text[:60]!r} is empty; write its text.")
    request = (lambda q: question(q.text, q.context)) if is_cloze else _request
    forms: dict[str, tuple[str, ...]]
    if not one.options:
        forms = {choice: (choice.capitalize(), choice) for choice in DECISIONS}
    elif is_cloze:
        forms = {letter: (option,) for letter, option in one.options.items()}
    else:
        forms = {letter: (chosen(letter, option),) for letter, option in one.options.items()}
    return Asked(_prompt(engine, request(one)), forms,
                 _prompt(engine, request(nothing)) if is_prior_corrected else None)


def _request(one: Question) -> str:
    if not one.options:
        return decision_question(one.text, one.context)
    return choice_question(f"{one.context.strip()}\n\n{one.text.strip()}".strip(), one.options)


def _prompt(engine: Engine, request: str) -> list[int]:
    return engine.prompt_ids([{"role": "user", "content": request}])
