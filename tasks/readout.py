"""How likely each of some choices is behind a prompt: log-likelihoods of what the model would have to write.

A choice may be written in several ways ("Yes", "yes"): its probability is the sum over those that no other begins with.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tasks.engine import Engine, Ids, TooLong, too_long

Written = tuple[int, ...]                       # ids of one way to write a choice
Forms = Mapping[str, Sequence[str]]             # choice -> the ways to write it

APART, TEXT, TURN = "apart", "text", "turn"     # up to where what is written counts


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What is read of each way to write a choice, and how it is made into one figure.

    until: "apart": up to the token that tells it from the other choices; "text": all of it; "turn": all of it, and
    that the turn ends there. per_token: the mean over its tokens instead of the sum, so that long choices are not
    less likely for being long; the figures are then no probabilities of texts.
    """

    until: str = TEXT
    per_token: bool = False


@dataclass(frozen=True)
class Asked:
    """A prompt and the choices behind it; neutral: the same prompt with nothing asked, where its share is taken out."""

    prompt: Ids
    forms: Forms
    neutral: Ids | None = None


DEFAULT = Reading()


def read(engine: Engine, asked: Sequence[Asked], reading: Reading = DEFAULT) -> list[dict[str, float] | TooLong]:
    """{choice: log p, in nats} of each prompt, in order; TooLong for one that the context does not hold.

    Behind a neutral prompt the same is read, and subtracted: what is left is what the question adds.
    Source: contextual calibration, arXiv:2102.09690; domain-conditional PMI, arXiv:2104.08315.
    """
    writer = _Writer(engine, reading)
    written = [writer.ways(one.forms) for one in asked]
    prompts = [tuple(one.prompt) for one in asked]
    neutrals = [None if one.neutral is None else tuple(one.neutral) for one in asked]
    long = [_too_long(engine, prompt, neutral, ways)
            for prompt, neutral, ways in zip(prompts, neutrals, written, strict=True)]
    wanted: dict[tuple[Written, tuple[Written, ...]], list[list[float]]] = {}
    for prompt, neutral, ways, is_long in zip(prompts, neutrals, written, long, strict=True):
        for ids in (prompt, neutral):
            if ids is not None and not is_long:
                wanted[ids, _all(ways)] = []
    for key, scores in zip(wanted, engine.score(list(wanted)) if wanted else [], strict=True):
        wanted[key] = scores
    found: list[dict[str, float] | TooLong] = []
    for prompt, neutral, ways, is_long in zip(prompts, neutrals, written, long, strict=True):
        if is_long:
            found.append(is_long)
            continue
        whole = _whole(ways, wanted[prompt, _all(ways)], reading)
        if neutral is not None:
            empty = _whole(ways, wanted[neutral, _all(ways)], reading)
            whole = {choice: value - empty[choice] for choice, value in whole.items()}
        found.append(whole)
    return found


def probabilities(logs: Mapping[str, float]) -> dict[str, float]:
    """The softmax of log-likelihoods: how likely each choice is, if it is one of these."""
    if not logs:
        return {}
    most = max(logs.values())
    shares = {choice: math.exp(value - most) for choice, value in logs.items()}
    total = sum(shares.values())
    return {choice: share / total for choice, share in shares.items()}


class _Writer:
    """Texts -> the ids that the model would write in the place of an answer; each text is encoded once."""

    def __init__(self, engine: Engine, reading: Reading):
        self._engine, self._reading = engine, reading
        self._ids: dict[str, Written] = {}
        self._known: dict[tuple[tuple[str, tuple[str, ...]], ...], dict[str, tuple[Written, ...]]] = {}

    def ways(self, forms: Forms) -> dict[str, tuple[Written, ...]]:
        """The ids of every way to write each choice, none of which begins with another one."""
        key = tuple((choice, tuple(texts)) for choice, texts in forms.items())
        if key not in self._known:
            self._known[key] = self._apart({choice: list(map(self._encoded, texts)) for choice, texts in key})
        return self._known[key]

    def _encoded(self, text: str) -> Written:
        """As training teaches an answer: stripped, encoded by itself (prompt.answer_ids)."""
        if text not in self._ids:
            ids = tuple(self._engine.encode(text.strip()))
            assert ids, f"a choice is written {text!r}, which is no token"
            self._ids[text] = (*ids, self._engine.terminator()) if self._reading.until == TURN else ids
        return self._ids[text]

    def _apart(self, whole: dict[str, list[Written]]) -> dict[str, tuple[Written, ...]]:
        found = {}
        for choice, written in whole.items():
            others = [ids for other, some in whole.items() if other != choice for ids in some]
            found[choice] = tuple(_shortest(self._told_apart(ids, others) for ids in written))
        return found

    def _told_apart(self, ids: Written, others: Sequence[Written]) -> Written:
        """ids, as far as they are read; ended by the turn's end where another choice goes on from them."""
        if self._reading.until == APART:
            for length in range(1, len(ids) + 1):
                if not any(other[:length] == ids[:length] for other in others):
                    return ids[:length]
        if any(other != ids and other[:len(ids)] == ids for other in others):
            return (*ids, self._engine.terminator())
        return ids


def _shortest(ways: Iterable[Written]) -> list[Written]:
    """ways without those that begin with another one: they are counted there."""
    found: list[Written] = []
    for ids in sorted(set(ways), key=lambda ids: (len(ids), ids)):
        if not any(ids[:len(one)] == one for one in found):
            found.append(ids)
    return found


def _all(ways: Mapping[str, tuple[Written, ...]]) -> tuple[Written, ...]:
    return tuple(ids for some in ways.values() for ids in some)


def _whole(ways: Mapping[str, tuple[Written, ...]], scores: list[list[float]], reading: Reading) -> dict[str, float]:
    """{choice: log p} from the scores of all ways in order."""
    left = iter(scores)
    return {choice: _log_sum([_one(next(left), reading) for _ in some]) for choice, some in ways.items()}


def _one(tokens: list[float], reading: Reading) -> float:
    return math.fsum(tokens) / (len(tokens) if reading.per_token else 1)


def _log_sum(logs: Sequence[float]) -> float:
    most = max(logs)
    return most + math.log(math.fsum(math.exp(one - most) for one in logs))


def _too_long(engine: Engine, prompt: Ids, neutral: Ids | None,
              ways: Mapping[str, tuple[Written, ...]]) -> TooLong | None:
    longest = max(prompt, neutral or (), key=len)
    return too_long(engine, longest, max(map(len, _all(ways))))
