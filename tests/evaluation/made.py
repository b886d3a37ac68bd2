"""Made-up evaluations: what was stated, and scored items of every kind."""

import dataclasses
import random
from typing import Any

from evaluation.items import SIDES, Scored, Stated

PRINTS = {"model": "a" * 64, "against": "b" * 64}
KINDS: dict[str, tuple[str, ...]] = {"accuracy": ("accuracy",), "labels": ("subset_accuracy", "macro_f1", "micro_f1"),
                                     "mean": ("rouge_1", "rouge_l", "finished"), "perplexity": ("perplexity",)}


def stated(kind: str = "accuracy", sides: int = 1, **values: Any) -> Stated:
    """What an evaluation of one model or two states."""
    models = tuple({"side": side, "name": name, "source": f"{name}.gguf", "fingerprint": PRINTS[side],
                    "ctx_tokens": "4096"} for side, name in zip(SIDES, ("tuned", "base"), strict=True))[:sides]
    facts: dict[str, Any] = dict(
        benchmark="made", title="Made up", licence="CC0", source="tests", split="all of it", kind=kind,
        metrics=KINDS[kind], about="Nothing.", is_english_only=False, is_higher_better=kind != "perplexity",
        file="made.jsonl", digest="c" * 64, total=1, drawn=1, sample="All items.", seed=0,
        settings={"exact": "False"}, models=models, shares=("finished",))
    return Stated(**facts | values)


def item(number: int, **values: Any) -> Scored:
    """One item; side and model go together."""
    facts: dict[str, Any] = dict(number=number, id=f"row {number}", prompt=f"Question {number}?", answer="yes",
                                 gold="yes", right=True, value=1.0, side="model")
    facts |= values
    return Scored(**{"model": PRINTS[facts["side"]], **facts})


def decided(right: str, side: str = "model", **values: Any) -> list[Scored]:
    """Items that are right ("1"), wrong ("0"), without an answer ("-") or skipped ("s")."""
    made = []
    for number, mark in enumerate(right):
        answer = {"1": "yes", "0": "no", "-": "", "s": ""}[mark]
        done: dict[str, Any] = ({"right": None, "value": None, "skipped": "too long: 900 tokens"} if mark == "s" else
                                {"right": mark == "1", "value": float(mark == "1")})
        made.append(item(number, answer=answer, side=side, **done | values))
    return made


def labelled(pairs: list[tuple[str, str]], side: str = "model", **values: Any) -> list[Scored]:
    """Items of (gold, answer), several labels joined by " | "."""
    made = []
    for number, (gold, answer) in enumerate(pairs):
        one, other = set(gold.split(" | ")) - {""}, set(answer.split(" | ")) - {""}
        made.append(item(number, gold=gold, answer=answer, side=side, right=one == other, value=float(one == other),
                         values={"shared": len(one & other)}, **values))
    return made


def many(kind: str, sides: int, count: int, seed: int = 0) -> list[Scored]:
    """A plausible evaluation of one model or two: groups, probabilities, leaks, skipped items, baselines."""
    generator = random.Random(seed)
    made = []
    golds = [_gold(kind, generator) for _ in range(count)]
    for side in SIDES[:sides]:
        skill = 0.62 if side == "model" else 0.5
        for number, gold in enumerate(golds):
            one = item(number, gold=gold, side=side, group=("real", "template")[number % 2], **_made(
                kind, gold, skill, generator))
            if number % 17 == 5:
                one = dataclasses.replace(one, leak="train.csv, line 12: the same question")
            if number % 29 == 7 and side == "model":
                one = dataclasses.replace(one, skipped="too long: 9,000 tokens, 4,096 fit", right=None, value=None,
                                          values={}, probabilities={}, answer="")
            made.append(one)
    return made


NAMES = ("cardiology", "neurology", "oncology", "pulmonology", "dermatology")


def _gold(kind: str, generator: random.Random) -> str:
    if kind == "accuracy":
        return generator.choices(("yes", "no", "maybe"), (55, 34, 11))[0]
    if kind == "labels":
        return " | ".join(sorted(generator.sample(NAMES, generator.choice((1, 1, 1, 2)))))
    return "A reference."


def _made(kind: str, gold: str, skill: float, generator: random.Random) -> dict[str, Any]:
    if kind == "accuracy":
        sure = generator.uniform(0.34, 0.99)
        others = [name for name in ("yes", "no", "maybe") if name != gold]
        answer = gold if generator.random() < skill else generator.choice(others)
        shares = {name: sure if name == answer else (1 - sure) / 2 for name in ("yes", "no", "maybe")}
        return dict(answer=answer, right=answer == gold, value=float(answer == gold), probabilities=shares,
                    baselines={"always yes": float(gold == "yes"), "guessing": 1 / 3})
    if kind == "labels":
        right = set(gold.split(" | "))
        said = {name for name in sorted(right) if generator.random() < skill + 0.2}
        said |= {name for name in NAMES if generator.random() < 0.06}
        shares = {name: generator.betavariate(6, 2) if name in said else generator.betavariate(1, 8) for name in NAMES}
        return dict(answer=" | ".join(sorted(said)), right=said == right, value=float(said == right),
                    probabilities=shares, baselines={"always oncology": float(gold == "oncology")})
    if kind == "mean":
        value = generator.betavariate(4 * skill, 4)
        return dict(answer="Some answer.", right=None, value=value, values={
            "rouge_1": value, "rouge_l": value * 0.9, "finished": float(generator.random() < 0.9)},
            baselines={"the dialogue itself": generator.betavariate(2, 8)})
    tokens = generator.randint(20, 400)
    nats = tokens * generator.gauss(3.2 - skill, 0.3)
    return dict(answer="", right=None, value=nats / tokens, values={"nats": nats, "tokens": tokens,
                "bytes": 4 * tokens}, baselines={"xz of the text": 2.4})
