"""Layouts of one request and one free answer: instruction, prompt, question, MedQuAD and facts of a disease."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from corpus.layouts.conversation import checked, turns_of
from corpus.layouts.layout import GROUP_ID, SYSTEM, Field, Layout, Row, RowError, structure, text_of, turn
from tasks import answer

ANSWERS = ("answer", "completion", "response", "output", "reply")
QUESTIONS = ("question", "prompt", "query", "input", "user", "human", "user_message", "user_input", "patient_question")
WEAK_ANSWERS = (("long_answer", "answers", "target", "assistant", "doctor", "doctor_answer", "doctor_response", "bot",
                 "ai", "model", "gpt", "final_answer", "a"), ("summary", "impression", "tgt"))
WEAK_QUESTIONS = (("questions", "patient", "patient_message", "message", "q"),
                  ("text", "source_text", "document", "article", "findings"), ("source", "src", "context"))
CONTEXT = Field(name="context", names=("contexts", "passage", "abstract", "background", "evidence"), is_needed=False,
                is_text=False)


PRINTED = re.compile(r"""\s*(\{\s*['"]\w+['"]\s*:|(\[|\w+:\s*)?array\(\[)""")


def _names(names: Sequence[str], own: str) -> tuple[str, ...]:
    return tuple(name for name in names if name != own)


def _from_instruction(row: Row, _: Any) -> dict[str, Any]:
    user = f"{row['instruction']}\n\n{row['input']}" if row["input"] else row["instruction"]
    *system, asked, answered = turn(user, row["output"], row["system"])
    messages = (*system, *_history(row["history"]), asked, answered)
    return {"messages": messages, "input": row["input"], "group": row["group_id"], "is_instruction": not row["input"]}


def _history(given: Any) -> list[dict[str, str]]:
    """The turns before the last question: pairs of a question and its answer."""
    pairs = structure(given) or []
    if not isinstance(pairs, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        raise RowError("history is not a list of pairs of a question and its answer")
    return [message for asked, answered in pairs
            for message in turn(text_of("history", asked), text_of("history", answered))]


def _from_prompt(row: Row, _: Any) -> dict[str, Any]:
    """Text, or messages as trl has them: a prompt of some turns and a completion of the rest."""
    prompt, completion = structure(row["prompt"]), structure(row["completion"])
    if _are_turns(prompt) or _are_turns(completion):
        return _from_turns(row, prompt, completion)
    context = context_text(row["context"])
    user = "\n\n".join(filter(None, (text_of("prompt", row["prompt"]), context)))
    return {"messages": turn(user, text_of("completion", row["completion"]), row["system"]), "input": context,
            "group": row["group_id"]}


def _are_turns(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) for one in value)


def _from_turns(row: Row, prompt: Any, completion: Any) -> dict[str, Any]:
    parts = ((row["system"], "system"), (prompt, "user"), (completion, "assistant"))
    messages = [message for value, role in parts if value for message in (
        turns_of(role, value) if _are_turns(value) else ({"role": role, "content": text_of(role, value)},))]
    return {"messages": checked(tuple(messages)), "group": row["group_id"]}


def _from_question(row: Row, is_decision: bool) -> dict[str, Any]:
    context = context_text(row["context"])
    label = _decision(row["answer"]) if is_decision else ""
    ask = answer.decision_question if is_decision else answer.question
    reply = answer.decided(label) if is_decision else row["answer"]
    return {"messages": turn(ask(row["question"], context), reply, row["system"]), "input": context, "label": label,
            "group": row["group_id"]}


def _are_decisions(rows: Sequence[Row], file: str) -> tuple[bool, tuple[str, ...]]:
    """Whether every answer is yes, no or maybe, and not always the same one."""
    answers = {_decision(row["answer"]) for row in rows}
    if len(answers) < 2 or not answers.issubset(answer.DECISIONS):
        return False, ()
    return True, (f"Every answer of {Path(file).name} is yes, no or maybe (or true, false); they are learned as "
                  "decisions.",)


def _decision(text: str) -> str:
    """A decision as it is learned; tables write yes and no as True and False, too."""
    plain = text.casefold().strip(" .")
    return {"true": "yes", "false": "no"}.get(plain, plain)


def context_text(value: Any, titles: Any = ()) -> str:
    """The text of a context: a text, or a list of parts, each after its title where there are as many titles."""
    parts = structure(value)
    if isinstance(parts, dict):                     # as the hub's PubMedQA has it
        parts, titles = parts.get("contexts", parts), parts.get("labels", ())
    is_cut = isinstance(parts, list) and any(part is ... for part in parts)        # numpy prints "..." of a long list
    if is_cut or (isinstance(parts, str) and PRINTED.match(parts)):
        raise RowError("context is a list or an object as a program printed it, which can not be read; write it as "
                       "JSON")
    if not isinstance(parts, list):
        return text_of("context", parts)
    texts = [text_of("context", part) for part in parts]
    titles = structure(titles)
    if isinstance(titles, list) and len(titles) == len(texts):
        texts = [f"{text_of('labels', title).capitalize()}: {text}" if title else text
                 for title, text in zip(titles, texts, strict=True)]
    return "\n".join(filter(None, texts))


def _from_medquad(row: Row, _: Any) -> dict[str, Any]:
    """Document numbers are those of one source: the same number of another source is another document."""
    return {"messages": turn(answer.question(row["question"]), row["answer"]),
            "group": "/".join(filter(None, (row["source"], row["doc"]))) if row["doc"] else ""}


FACTS = {"reason": "", "symptom": "Symptoms", "tests": "Tests and procedures", "medications": "Common medications"}


def _from_disease(row: Row, _: Any) -> dict[str, Any]:
    parts = []
    for field, title in FACTS.items():
        listed = structure(row[field])
        if isinstance(listed, list):
            listed = ", ".join(text_of(field, one) for one in listed)
        text = _unescaped(text_of(field, listed))
        if text:
            parts.append(f"{title}: {text}" if title else text)
    if not parts:
        raise RowError("nothing is said of the disease")
    ask = answer.question(f"What is {row['disease']}, and what are its symptoms, tests and common medications?")
    return {"messages": turn(ask, "\n\n".join(parts))}


def _unescaped(text: str) -> str:
    r"""Text in which UTF-8 was printed byte by byte (\xce\xb1), with the letters that were meant."""
    return re.sub(r"(?:\\x[0-9a-f]{2})+", lambda run: _letters(run[0]), text).strip()


def _letters(run: str) -> str:
    return bytes.fromhex(run.replace("\\x", "")).decode("utf-8", "replace")


INSTRUCTION = Layout(name="instruction/input/output", target="output", build=_from_instruction, fields=(
    Field(name="instruction", names=("instructions",)),
    Field(name="input", names=("context", "question", "query", "user_input"), is_needed=False),
    Field(name="history", is_needed=False, is_text=False),
    Field(name="output", names=_names(ANSWERS, "output"), weak=WEAK_ANSWERS), SYSTEM, GROUP_ID))
PROMPT = Layout(name="prompt/completion", target="completion", build=_from_prompt, fields=(
    Field(name="prompt", names=_names(QUESTIONS, "prompt"), weak=WEAK_QUESTIONS, is_text=False),
    Field(name="completion", names=_names(ANSWERS, "completion"), weak=WEAK_ANSWERS, is_text=False),
    CONTEXT, SYSTEM, GROUP_ID))
QUESTION = Layout(name="question/answer", target="answer", build=_from_question, survey=_are_decisions, fields=(
    Field(name="question", names=_names(QUESTIONS, "question"), weak=WEAK_QUESTIONS),
    Field(name="answer", names=_names(ANSWERS, "answer"), weak=WEAK_ANSWERS), CONTEXT, SYSTEM, GROUP_ID))
MEDQUAD = Layout(
    name="MedQuAD", target="answer", build=_from_medquad, fits=lambda columns, rows: "qtype" in columns, fields=(
        Field(name="question"), Field(name="answer"), Field(name="qtype", is_needed=False),
        Field(name="focus", is_needed=False), Field(name="source", is_needed=False),
        Field(name="doc", is_needed=False)))
DISEASE = Layout(
    name="disease/symptom/medications", target="symptom", build=_from_disease,
    fits=lambda columns, rows: "tests" in columns or "medications" in columns, fields=(
        Field(name="disease", names=("disease_name", "condition")),
        Field(name="symptom", names=("symptoms",), is_text=False),
        Field(name="medications", names=("common_medications", "medication"), is_needed=False, is_text=False),
        Field(name="tests", names=("tests_and_procedures",), is_needed=False, is_text=False),
        Field(name="reason", names=("description", "overview"), is_needed=False)))
