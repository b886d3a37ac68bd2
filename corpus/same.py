"""When two examples are one case: what must not stand on both sides of a split.

The same id of a patient, encounter or document; the same input but for case, spaces and punctuation; nearly the same
input, or one that holds the other (a benchmark's question in somebody's own prompt); the same long answer, exactly or
nearly (two dialogues written for one note, the reason after a decision).
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from corpus.findings import answer_text
from corpus.layouts import Example
from corpus.near import RUN, Triples, plain, triples, words
from corpus.overlap import PART_TRIPLES, Overlap
from tasks.answer import DECISION_FIRST, LETTER_FIRST

LONG_ANSWER_WORDS = 25          # a shorter answer may well be right for many inputs
INPUT_WORDS = 5                 # a shorter input ("N/A") says nothing without its instruction
QUOTED_WORDS = 3                # the fewest of a question that is looked for in another prompt
FREE_WORDS = 8                  # the fewest of a free one, which must also end that prompt
TELLING_STEM, TELLING_QUESTION = 5, 4       # the fewest words that tell something, in a choice and in a question
TELLING_WITH_ANSWER = 3                     # in a choice's question with its right option, which must be there, too
# what says nothing of a question: plain English, and the wording of examinations
PLAIN_WORDS = """
    a about according all also among an and any are as associated at be because been being below best between both but
    by can cannot case characteristic choose common commonly correct could did do does done each either except false
    feature features following for from given had has have he her his how if in include included includes including
    incorrect is it its least likely many may might more most much must neither no none not of on one only option
    options or other patient patients question regarding related seen she should so some statement statements such
    than that the their them there these they this those to true typically under used using usually was were what when
    where which while who whose why will with would wrong yes you"""
PLAIN = frozenset(PLAIN_WORDS.split())
NOTHING: Triples = np.empty(0, dtype=np.uint64)


@dataclass(frozen=True, kw_only=True)
class Traits:
    """What an example is compared by. answer: empty where it is short; without its decision."""

    group: str
    input_key: str
    input: Triples
    answer: Triples
    asked: tuple[str, ...]
    answered: tuple[str, ...]
    question: "Question | None"


@dataclass(frozen=True, kw_only=True)
class Question:
    """What may stand in somebody else's prompt. is_free: not of a benchmark's layout. option: the right one."""

    words: tuple[str, ...]
    option: tuple[str, ...] = ()
    is_free: bool = False


@dataclass(frozen=True, kw_only=True)
class Match:
    """key: the known example that is the same case; kind: one of those that Cases.find yields, as leak.KINDS."""

    key: int
    kind: str
    similarity: float = 1.0


def input_key(example: Example) -> str:
    """What two examples share when their input is the same but for case, look, spaces and punctuation."""
    return re.sub(r"[\W_]+", " ", plain(asked(example))).strip()


def asked(example: Example) -> str:
    """The input of an example; of a choice with its options; where it says too little, all that the user says."""
    said = "\n".join(m["content"] for m in example.messages if m["role"] == "user")
    wording, _, choice = said.partition("\n\n")
    if wording.endswith(LETTER_FIRST):
        return choice
    return example.input if len(example.input.split()) >= INPUT_WORDS else said


def question(example: Example) -> Question | None:
    """The question of a choice or a decision, or a short free one; None where it would be found by chance."""
    said = "\n".join(m["content"] for m in example.messages if m["role"] == "user")
    wording, _, rest = said.partition("\n\n")
    if wording.endswith(LETTER_FIRST):
        option = answer_text(example).partition("\n\n")[0].removeprefix(f"{example.label}.")
        found = Question(words=tuple(words(rest.rpartition("\n\n")[0])), option=tuple(words(option)))
    elif wording.endswith(DECISION_FIRST):
        found = Question(words=tuple(words(rest.partition("\n\n")[0].removeprefix("Question: "))))
    else:
        found = Question(words=tuple(words(asked(example))), is_free=True)
        if not FREE_WORDS <= len(found.words) < PART_TRIPLES + RUN:      # a longer one is part of an input
            return None
    needed = TELLING_WITH_ANSWER if found.option else TELLING_QUESTION
    is_telling = len(found.words) >= QUOTED_WORDS and _telling(found.words + found.option) >= needed
    return found if is_telling else None


def _telling(found: Sequence[str]) -> int:
    return len({word for word in found if len(word) > 1} - PLAIN)


def reason(example: Example) -> str:
    """The answer without the decision or labels that it begins with."""
    text = answer_text(example)
    return text[len(example.label):] if text.casefold().startswith(example.label.casefold()) else text


def traits(examples: Sequence[Example]) -> list[Traits]:
    """The traits of examples that are compared with each other: give all of them at once."""
    asked_words = [words(asked(e)) for e in examples]
    answered = [words(reason(e)) for e in examples]
    inputs = triples(asked_words, [_source(e) for e in examples])
    long = [k for k, found in enumerate(answered) if len(found) >= LONG_ANSWER_WORDS]
    answers = dict(zip(long, triples(answered[k] for k in long), strict=True))
    return [Traits(group=e.group, input_key=input_key(e), input=inputs[k], answer=answers.get(k, NOTHING),
                   asked=tuple(asked_words[k]), answered=tuple(answered[k]), question=question(e))
            for k, e in enumerate(examples)]


def _source(example: Example) -> str:
    """The file; of a short input, which counts with its instruction, the instruction."""
    if not example.input or len(example.input.split()) >= INPUT_WORDS:
        return example.file
    return f"{example.file}\n{asked(example).replace(example.input, '')}"


class Cases:
    """Known examples that can be asked for those which are the same case as another one."""

    def __init__(self, known: Sequence[Traits], similarity: float) -> None:
        self.similarity = similarity
        self._exact: dict[tuple[str, str], list[int]] = defaultdict(list)
        for key, one in enumerate(known):
            for kind, value in _exact_traits(one):
                self._exact[kind, value].append(key)
        self._questions = Questions([one.question for one in known])
        self._inputs = Overlap([one.input for one in known], similarity)
        self._answers = Overlap([one.answer for one in known], similarity)

    def find(self, one: Traits, wanted: Callable[[int], bool] | None = None) -> Iterator[Match]:
        """Every known example that is the same case, some by several kinds, the plainest first; only wanted keys."""
        for kind, value in _exact_traits(one):
            for key in self._exact.get((kind, value), ()):
                if wanted is None or wanted(key):
                    yield Match(key=key, kind=kind)
        for key in self._questions.find(one):
            if wanted is None or wanted(key):
                yield Match(key=key, kind="question")
        for shared in self._inputs.find(one.input, wanted):
            is_near = shared.jaccard >= self.similarity
            yield Match(key=shared.key, kind="near input" if is_near else "part of input",
                        similarity=shared.jaccard if is_near else shared.part)
        for shared in self._answers.find(one.answer, wanted):
            if shared.jaccard >= self.similarity:
                yield Match(key=shared.key, kind="answer", similarity=shared.jaccard)


class Questions:
    """Known questions that can be asked for those which stand, word for word, in somebody's prompt."""

    def __init__(self, questions: Sequence[Question | None]) -> None:
        self._questions = questions
        self._keys: dict[tuple[str, ...], list[int]] = defaultdict(list)
        self._lengths: dict[tuple[str, ...], set[int]] = defaultdict(set)       # by how a question begins
        for key, one in enumerate(questions):
            if one:
                self._keys[one.words].append(key)
                self._lengths[one.words[:QUOTED_WORDS]].add(len(one.words))

    def find(self, one: Traits) -> Iterator[int]:
        """The keys of the questions that stand in what is asked; of a question that tells little, with its answer."""
        text = one.asked
        found = (key for at in range(len(text) - QUOTED_WORDS + 1)
                 for length in sorted(self._lengths.get(text[at:at + QUOTED_WORDS], ()))
                 for key in self._keys.get(text[at:at + length], ()) if self._is_asked(key, text[at + length:], one))
        yield from dict.fromkeys(found)

    def _is_asked(self, key: int, after: tuple[str, ...], one: Traits) -> bool:
        """after: what follows the question in what one asks."""
        known = self._questions[key]
        assert known
        if known.is_free:
            return not after
        return (_telling(known.words) >= (TELLING_STEM if known.option else TELLING_QUESTION)
                or _holds(after, known.option) or _holds(one.answered, known.option))


def _holds(text: Sequence[str], part: Sequence[str]) -> bool:
    return f" {' '.join(part)} " in f" {' '.join(text)} "


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
        return root(key) != root(k)

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
