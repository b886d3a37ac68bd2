"""When two examples are one case: what must not stand on both sides of a split.

The same id of a patient, encounter or document; the same input but for case, spaces and punctuation; nearly the same
input, or one that holds the other (a benchmark's question in somebody's own prompt); the same long answer, exactly or
nearly (two dialogues written for one note).
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from corpus.findings import answer_text
from corpus.layouts import Example
from corpus.near import Triples, triples, words
from corpus.overlap import Overlap

LONG_ANSWER_WORDS = 25          # a shorter answer may well be right for many inputs
INPUT_WORDS = 5                 # a shorter input ("N/A") says nothing without its instruction
NOTHING: Triples = np.empty(0, dtype=np.uint64)


@dataclass(frozen=True, kw_only=True)
class Traits:
    """What an example is compared by. answer: empty where it is short, or a decision."""

    group: str
    input_key: str
    input: Triples
    answer: Triples


@dataclass(frozen=True, kw_only=True)
class Match:
    """key: the known example that is the same case; kind: input, group, near input, part of input or answer."""

    key: int
    kind: str
    similarity: float = 1.0


def input_key(example: Example) -> str:
    """What two examples share when their input is the same but for case, spaces and punctuation."""
    return re.sub(r"[\W_]+", " ", asked(example).casefold()).strip()


def asked(example: Example) -> str:
    """The input of an example; with its instruction where the input alone says too little."""
    if len(example.input.split()) >= INPUT_WORDS:
        return example.input
    return "\n".join(m["content"] for m in example.messages if m["role"] == "user")


def traits(examples: Sequence[Example]) -> list[Traits]:
    """The traits of examples that are compared with each other: give all of them at once."""
    inputs = triples(words(asked(e)) for e in examples)
    long = {k: found for k, e in enumerate(examples) if not e.label
            for found in [words(answer_text(e))] if len(found) >= LONG_ANSWER_WORDS}
    answers = dict(zip(long, triples(long.values()), strict=True))
    return [Traits(group=e.group, input_key=input_key(e), input=inputs[k], answer=answers.get(k, NOTHING))
            for k, e in enumerate(examples)]


class Cases:
    """Known examples that can be asked for those which are the same case as another one."""

    def __init__(self, known: Sequence[Traits], similarity: float) -> None:
        self.similarity = similarity
        self._exact: dict[tuple[str, str], list[int]] = defaultdict(list)
        for key, one in enumerate(known):
            for kind, value in _exact_traits(one):
                self._exact[kind, value].append(key)
        self._inputs = Overlap([one.input for one in known], similarity)
        self._answers = Overlap([one.answer for one in known], similarity)

    def find(self, one: Traits, wanted: Callable[[int], bool] | None = None) -> Iterator[Match]:
        """Every known example that is the same case, some by several kinds, the plainest first; only wanted keys."""
        for kind, value in _exact_traits(one):
            for key in self._exact.get((kind, value), ()):
                if wanted is None or wanted(key):
                    yield Match(key=key, kind=kind)
        for shared in self._inputs.find(one.input, wanted):
            is_near = shared.jaccard >= self.similarity
            yield Match(key=shared.key, kind="near input" if is_near else "part of input",
                        similarity=shared.jaccard if is_near else shared.part)
        for shared in self._answers.find(one.answer, wanted):
            if shared.jaccard >= self.similarity:
                yield Match(key=shared.key, kind="answer", similarity=shared.jaccard)


def _exact_traits(one: Traits) -> list[tuple[str, str]]:
    return [(kind, value) for kind, value in (("input", one.input_key), ("group", one.group)) if value]


def cases(examples: Sequence[Example], similarity: float) -> list[list[int]]:
    """The examples' indices, in groups of which no two hold the same case; groups and indices in order."""
    parent = list(range(len(examples)))

    def root(k: int) -> int:
        while parent[k] != k:
            parent[k] = parent[parent[k]]
            k = parent[k]
        return k

    def is_apart(k: int, key: int) -> bool:
        return key < k and root(key) != root(k)

    compared = traits(examples)
    known = Cases(compared, similarity)
    for k, one in enumerate(compared):
        for match in known.find(one, partial(is_apart, k)):
            low, high = sorted((root(match.key), root(k)))
            parent[high] = low
    groups: dict[int, list[int]] = {}
    for k in range(len(examples)):
        groups.setdefault(root(k), []).append(k)
    return list(groups.values())
