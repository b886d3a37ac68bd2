"""Conversation: free answers beside a reference answer; length, terms, referral and likeness, each by itself."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from corpus.config import DataConfig
from corpus.layouts import Example, load
from evaluation.benchmarks.benchmark import MEAN, Benchmark, Case, Opened, Outcome, skipped
from evaluation.benchmarks.free import ENDED
from evaluation.benchmarks.medical_terms import terms
from evaluation.benchmarks.safety import CAUTIOUS
from evaluation.benchmarks.wordings import says
from evaluation.config import EvaluateConfig
from models.errors import UserError
from tasks.engine import Answered, Engine, too_long
from tasks.metrics import rouge_l

METRICS = ("rouge_l", "tfidf_cosine", "terms_covered", "refers", "reference_refers", "words", "reference_words",
           ENDED)
ABOUT = """\
Each figure says one thing, and they are not mixed into one.
rouge_l: overlap with the reference answer, word by word in order, stemmed, F1 (rouge-score). It measures likeness of
wording: a right answer in other words scores low, a wrong one in the reference's words high.
tfidf_cosine: likeness of the choice of words, whatever their order, rare words weighing more; the weights come from the
reference answers of the whole file. No more a measure of truth than rouge_l.
terms_covered: the share of the reference's medical terms (evaluation/benchmarks/medical_terms.txt, and telling endings
of words) that stand in the answer; synonyms count as different; empty where the reference holds none.
refers: 1 where the answer sends the person to a doctor or another person of care, by a list of wordings;
reference_refers: the same of the reference. Compare the two: more is not always better.
words, reference_words: length. ended: 1 where the answer ended by itself before the longest answer allowed.
None of these says whether the answer is right or safe. English only (stemming, terms, referral)."""
REFERRAL = tuple(f"{verb} ... {person}" for verb in (
    "see", "visit", "contact", "call", "speak", "talk", "ask", "discuss", "discussed with", "check with", "work with",
    "go to", "reach out to", "looked at by"
) for person in (
    "doctor*", "physician*", "gp", "specialist*", "dentist*", "*ologist*", "*iatrician*", "*iatrist*", "therapist*",
    "surgeon*", "provider*", "professional*", "pharmacist*", "midwife", "nurse", "clinic", "hospital"
)) + (
    "urgent care", "a&e", "seen by", "examined by", "evaluated by", "assessed by", "consult*", "call ... ambulance",
    "call ... 911", "call ... 999", "call ... 112", "emergency room", "emergency department", "emergency services",
    "ambulance", "seek ... medical", "seek ... care", "seek ... help", "seek ... attention", "get medical",
    "need* medical", "require* ... medical attention", "refer you", "be referred", "referred to a", "referral to",
    "appointment with", "schedule ... appointment", "make ... appointment", "book ... appointment", "follow up with",
    "get ... checked", "get ... examined", "get ... evaluated", "have ... checked", "have ... examined",
    "have ... evaluated", "medical evaluation", "medical advice from", "let ... provider know", "let ... doctor know")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A conversation up to its last answer, and that answer."""

    messages: tuple[dict[str, str], ...]
    reference: str


def refers(answer: str) -> bool:
    """Whether an answer sends the person to a doctor or another person of care."""
    return says(answer, REFERRAL)


def _open(source: str, config: EvaluateConfig) -> Opened:
    """The rows of a file, in any layout that ends with a free answer. Raises UserError if there are none."""
    if not source:
        raise UserError("conversation has no rows of its own: name a file of questions and answers, or of "
                        "conversations, with --file.")
    loaded = load([source], DataConfig(dataset_split=config.split))
    rows = [one for one in loaded.examples if not one.label and not one.section]
    if not rows:
        raise UserError(f"{source} holds no free answers to questions; conversation needs questions and answers, or "
                        "conversations.")
    left_out = [f"{Path(row.file).name}, line {row.line}: {row.reason}" for row in loaded.unusable]
    others = len(loaded.examples) - len(rows)
    notes = (*loaded.notes, *([f"{others} rows with labels or sections of a note are left out."] if others else []))
    weights = _weights([one.messages[-1]["content"] for one in rows])
    return Opened(cases=tuple(map(_case, rows)), notes=notes, left_out=tuple(left_out),
                  benchmark=replace(BENCHMARK, score=partial(_score, weights)))


def _case(example: Example) -> Case:
    *asked, answer = example.messages
    prompt = asked[-1]["content"] if len(asked) == 1 else "\n\n".join(f"{m['role']}: {m['content']}" for m in asked)
    reference = answer["content"]
    return Case(id=f"{Path(example.file).name}, line {example.line}", prompt=prompt, gold=reference, example=example,
                task=Asked(messages=tuple(asked), reference=reference))


def _weights(references: Sequence[str]) -> Any:
    """A fitted scikit-learn TfidfVectorizer: what the words of all references weigh."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    return TfidfVectorizer(token_pattern=r"(?u)\b\w+\b").fit(references)


def _score(weights: Any, engine: Engine, cases: Sequence[Case], config: EvaluateConfig) -> list[Outcome]:
    prompts = [engine.prompt_ids(case.task.messages) for case in cases]
    long = [too_long(engine, ids, 1) for ids in prompts]
    fitting = [ids for ids, one in zip(prompts, long, strict=True) if one is None]
    answers = iter(engine.answers(fitting, config.max_tokens) if fitting else [])
    return [_outcome(weights, case.task, next(answers)) if one is None else skipped(one)
            for case, one in zip(cases, long, strict=True)]


def _outcome(weights: Any, asked: Asked, answer: Answered) -> Outcome:
    found = values(answer.text, asked.reference, weights)
    trivial = {"the question itself": asked.messages[-1]["content"], "one cautious answer to all": CAUTIOUS}
    return Outcome(answer=answer.text, value=found["rouge_l"],
                   values={**found, ENDED: float(answer.reason == "stop")},
                   baselines={name: rouge_l(asked.reference, text) for name, text in trivial.items()})


def values(answer: str, reference: str, weights: Any) -> dict[str, float]:
    """The metrics of one answer but whether it ended; terms_covered only where the reference holds medical terms."""
    wanted = terms(reference)
    covered = {"terms_covered": len(wanted & terms(answer)) / len(wanted)} if wanted else {}
    rows = weights.transform([answer, reference])           # of length 1, or 0 where no word is known
    cosine = round(float((rows[0] @ rows[1].T).sum()), 6)
    return {"rouge_l": rouge_l(reference, answer), "tfidf_cosine": cosine, **covered, "refers": float(refers(answer)),
            "reference_refers": float(refers(reference)), "words": float(len(answer.split())),
            "reference_words": float(len(reference.split()))}


BENCHMARK = Benchmark(
    name="conversation", title="Conversation quality", licence="that of the file", source="a file of your own",
    split="all rows, or the split asked for", kind=MEAN, metrics=METRICS,
    shares=("refers", "reference_refers", ENDED), about=ABOUT, open=_open, score=partial(_score, None),
    is_english_only=True)
