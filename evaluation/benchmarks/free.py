"""Items that are answered in free text: asked as in training, and held against a reference by shared words."""

import dataclasses
from collections.abc import Sequence

from corpus.layouts import Example
from evaluation.benchmarks.benchmark import Case, Outcome, skipped
from evaluation.config import EvaluateConfig
from tasks.engine import Engine, too_long
from tasks.metrics import rouge

METRICS = ("rouge_1", "rouge_2", "rouge_l")
ENDED = "ended"                     # 1 where the answer ended by itself, 0 where it was cut at the longest answer


def case(name: str, example: Example) -> Case:
    """An example as a case: its last message is the reference, the ones before it are asked."""
    asked = "\n\n".join(message["content"] for message in example.messages[:-1])
    gold = example.messages[-1]["content"]
    return Case(id=name, prompt=asked, gold=gold, task=example.messages[:-1], example=example)


def score(engine: Engine, cases: Sequence[Case], config: EvaluateConfig) -> list[Outcome]:
    """The greedy answers to a group of cases, and their ROUGE."""
    prompts = [engine.prompt_ids(case.task) for case in cases]
    outcomes: list[Outcome | None] = [skipped(long) if (long := too_long(engine, ids, 1)) else None for ids in prompts]
    left = [k for k, outcome in enumerate(outcomes) if outcome is None]
    answers = engine.answers([prompts[k] for k in left], config.max_tokens) if left else []
    for k, found in zip(left, answers, strict=True):
        outcome, said = held_against(cases[k].gold, found.text), overlap(cases[k].gold, cases[k].prompt)
        outcomes[k] = dataclasses.replace(
            outcome, values={**outcome.values, ENDED: float(found.reason == "stop")},
            baselines={"the question itself": said[METRICS[0]]})
    return [one for one in outcomes if one]


def held_against(gold: str, answer: str) -> Outcome:
    """An answer with its ROUGE."""
    values = overlap(gold, answer)
    return Outcome(answer=answer, value=values[METRICS[0]], values=values)


def overlap(gold: str, answer: str) -> dict[str, float]:
    """The ROUGE of an answer; rounded, so that every machine writes the same."""
    return {name: round(value, 6) for name, value in rouge(gold, answer).items()}
