"""Cleaning: the steps that take rows out of a person's examples, each counted and open to review.

Rows marked as validation or test are tidied and else left alone: a set that others made stays what it is.
"""

import dataclasses
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from corpus import repeats
from corpus.config import DataConfig
from corpus.findings import Finding, Step, answer_text, excerpt, finding, prompt_text, rows_word, shown
from corpus.layouts import Example
from corpus.read import Unusable
from corpus.tidy import tidied
from models.errors import UserError

# answers that hold a cell's place; "None." and "Unknown." are good sections of a note
PLACEHOLDERS = frozenset({"", "n a", "na", "nan", "null", "nil", "tbd", "todo", "to do", "to be determined", "test",
                          "no answer", "not available", "answer not available", "no data", "see above", "see below",
                          "see attached", "same as above", "ditto", "deleted", "removed", "answer", "output", "xxx"})
CANNOT = (r"i(?: am|['’]m)?(?: really)? (?:can ?not|can['’]t|unable to|not able to)"
          r" (?:assist|answer|fulfil|diagnose|comment|help(?! \w+ing\b)|"
          r"(?:provide|give|offer)\b.*\b(?:advice|diagnos[ei]s|information|answers?|opinions?|recommendations?|assistance))"
          r"\b.*")
SORRY = r"(?:i['’]?m |i am )?(?:very |so )?(?:sorry|unfortunately)"
MACHINE = r"(?:as|i am|i['’]m)(?: only| just)? an? (?:ai|artificial intelligence|language model|assistant)\b[^,]*"
REFUSAL = re.compile(rf"(?:{SORRY},? )?(?:{MACHINE}, )?{CANNOT}|{MACHINE}(?:, i (?:can|do|am|have)\b.*)?", re.I)
BESIDES = re.compile(rf"{SORRY}|(?:please )?(?:you should |i (?:recommend|suggest|advise)(?: you)? to )?(?:see|ask"
                     r"|consult|seek|contact|talk to|speak (?:to|with))\b.*", re.I)    # what a refusal may say as well
CLAUSES = re.compile(r"(?<!\bmr)(?<!\bdr)(?<!\bms)(?<!\bmrs)[.!?;:]+\s|[\n;:]|,? (?:but|however)\b,?|[.!?]+$", re.I)
REFUSAL_WORDS = 40
RECURRING = 3                           # inputs that one free-text answer answers, from which it is shown
DECISION_ROWS, DECISION_SHARE = 10, 5   # a file of at least so many rows, five or more to an answer: decisions


@dataclass(frozen=True, kw_only=True)
class Cleaned:
    """steps: one Finding a step, in order, also where it found nothing."""

    kept: tuple[Example, ...]
    left_out: tuple[Unusable, ...]
    steps: tuple[Finding, ...]


def clean(examples: Sequence[Example], config: DataConfig) -> Cleaned:
    """Tidied examples after every step that config asks for. Raises UserError if no row for training is left."""
    left_out: list[Unusable] = []
    findings: list[Finding] = []

    def after(step: Step) -> tuple[Example, ...]:
        left_out.extend(step.left_out)
        findings.append(step.finding)
        return step.kept

    own = tuple(e for e in examples if e.split in ("", "train"))
    before = len(own)
    decided = _files_of_decisions(own)
    own = after(_boilerplate(own, decided, config))
    own = after(_lengths(own, decided, config))
    own = after(repeats.exact(own, config))
    own = after(repeats.near(own, config))
    own = after(repeats.conflicts(own, config))
    if before and not own:
        raise UserError(f"Cleaning leaves none of {rows_word(before)} to train on. "
                        + " ".join(found.text for found in findings if found.count))
    return Cleaned(kept=(*own, *(e for e in examples if e.split not in ("", "train"))), left_out=tuple(left_out),
                   steps=tuple(findings))


def tidy(examples: Sequence[Example]) -> Step:
    """Every text with its whitespace and control characters in order, and without rows of which nothing is left."""
    kept, dropped, rows = [], [], []
    for example in examples:
        changes: Counter[str] = Counter()
        messages = tuple({**m, "content": tidied(m["content"], changes)} for m in example.messages)
        empty = [m["role"] for m in messages if not m["content"]]
        if empty:
            dropped.append((example, f"a message of the {empty[0]} holds whitespace or control characters only"))
        elif changes:
            given = tidied(example.input)
            found = given if any(given in m["content"] for m in messages) else ""
            kept.append(dataclasses.replace(example, messages=messages, input=found))
            rows.append({**shown(example), "why": ", ".join(f"{n} x {name}" for name, n in changes.most_common())})
        else:
            kept.append(example)
    text = f"Whitespace or control characters were put in order in {rows_word(len(rows))}"
    text += f"; {rows_word(len(dropped), 'hold')} nothing else: left out." if dropped else "."
    return Step(kept=tuple(kept), dropped=tuple(dropped), finding=finding(
        "whitespace", len(rows) + len(dropped), text, [*_reasons(dropped), *rows]))


def _files_of_decisions(examples: Sequence[Example]) -> frozenset[str]:
    """The files whose answers are few and recur, such as yes and no: decisions, though no layout says so."""
    answers: dict[str, list[str]] = defaultdict(list)
    for example in examples:
        answers[example.file].append(_key(answer_text(example)))
    return frozenset(file for file, found in answers.items()
                     if len(found) >= DECISION_ROWS and len(set(found)) * DECISION_SHARE <= len(found)
                     and not PLACEHOLDERS.issuperset(found))


def _is_decision(example: Example, decided: frozenset[str]) -> bool:
    return bool(example.label) or example.file in decided


def _boilerplate(examples: Sequence[Example], decided: frozenset[str], config: DataConfig) -> Step:
    """Without answers that only hold a place or refuse. Answers that recur are shown and stay.

    "None." and "Noncontributory." are what a note rightly says, and as often as it says it.
    """
    dropped, answers = [], defaultdict(list)
    for example in examples:
        text = example.messages[-1]["content"]
        if _is_decision(example, decided):
            continue
        if _key(text) in PLACEHOLDERS:
            dropped.append((example, f"its answer {excerpt(text)!r} only holds a place"))
        elif _is_refusal(text):
            dropped.append((example, f"its answer refuses: {excerpt(text)[:80]!r}"))
        else:
            answers[_key(text)].append(example)
    recurring = sorted((rows for rows in answers.values() if len(rows) >= RECURRING), key=len, reverse=True)
    count = sum(map(len, recurring))
    gone = {id(e) for e, _ in dropped} if config.empty_answers == "drop" else set()
    text = f"{rows_word(len(dropped), 'have')} an empty or boilerplate answer" + (
        "." if not dropped else ": left out." if gone else ": kept.")
    if count:
        noun = "answer" if len(recurring) == 1 else "answers"
        text += (f" {rows_word(count, 'share')} {len(recurring):,} {noun} given {RECURRING} times or more "
                 f"({', '.join(_quoted(rows) for rows in recurring[:3])}): kept.")
    return Step(kept=tuple(e for e in examples if id(e) not in gone), dropped=tuple(dropped) if gone else (),
                finding=finding("boilerplate", len(dropped), text, [*_reasons(dropped), *(
                    {**shown(rows[0]), "why": f"this answer recurs {len(rows):,} times; kept"} for rows in recurring)]))


def _is_refusal(text: str) -> bool:
    """True if it is short, and refuses in all that it says."""
    if len(text.split()) > REFUSAL_WORDS:
        return False
    clauses = [clause.strip(" ,") for clause in CLAUSES.split(text)]
    others = [clause for clause in clauses if clause and not BESIDES.fullmatch(clause)]
    return bool(others) and all(REFUSAL.fullmatch(clause) for clause in others)


def _lengths(examples: Sequence[Example], decided: frozenset[str], config: DataConfig) -> Step:
    """Without rows that have a field too short or too long. A decision or a section of a note may be short."""
    dropped, short = [], []
    for example in examples:
        answer = answer_text(example)
        asked = prompt_text(example) if example.section or example.label else "\n".join(
            m["content"] for m in example.messages if m["role"] == "user")
        longest, role = max((len(text.split()), role) for role, text in _fields(example))
        if len(asked) < config.min_chars:
            dropped.append((example, f"its input has {len(asked)} characters, fewer than {config.min_chars}"))
        elif config.max_words and longest > config.max_words:
            dropped.append((example, f"its {role} has {longest:,} words, more than {config.max_words:,}"))
        elif len(answer) < config.min_chars and not _is_decision(example, decided):
            if example.section:
                short.append(example)
            else:
                dropped.append((example, f"its answer has {len(answer)} characters, fewer than {config.min_chars}"))
    gone = {id(e) for e, _ in dropped}
    text = f"{rows_word(len(dropped), 'have')} a field of fewer than {config.min_chars} characters"
    text += f" or more than {config.max_words:,} words" if config.max_words else ""
    text += ": left out (min_chars=0, max_words=0 keep them)." if dropped else "."
    if short:
        text += f" {rows_word(len(short), 'have')} a shorter section of a note: kept, a section may be short."
    return Step(kept=tuple(e for e in examples if id(e) not in gone), dropped=tuple(dropped),
                finding=finding("length", len(dropped), text, [*_reasons(dropped), *(
                    {**shown(e), "why": "a short section; kept"} for e in short)]))


def _fields(example: Example) -> list[tuple[str, str]]:
    """(input or answer, text) of what stood in a field of its own."""
    users = [example.input] if example.input else [m["content"] for m in example.messages if m["role"] == "user"]
    return [*(("input", text) for text in users),
            *(("answer", m["content"]) for m in example.messages if m["role"] == "assistant")]


def _reasons(dropped: Iterable[tuple[Example, str]]) -> list[dict[str, Any]]:
    return [{**shown(example), "why": reason} for example, reason in dropped]


def _quoted(rows: Sequence[Example]) -> str:
    return f'"{excerpt(answer_text(rows[0]))[:40]}" {len(rows):,}'


def _key(text: str) -> str:
    return re.sub(r"[\W_]+", " ", text.casefold()).strip()
