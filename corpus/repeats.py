"""Rows that repeat another one: exactly, nearly, or with the same input and another answer."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from corpus.config import DataConfig
from corpus.findings import Step, answer_text, finding, place, prompt_text, rows_word, shown
from corpus.layouts import Example
from corpus.near import Near, Triples, jaccard, triples, words

Pair = tuple[Example, Example, str]         # a row, the earlier one that it repeats, how
SHORT_ANSWER_WORDS, SHORT_SIMILARITY = 25, 0.95     # a few words may answer many inputs: these must be closer


def exact(examples: Sequence[Example], config: DataConfig) -> Step:
    """Without rows whose whole conversation another row has, but for letter case and whitespace."""
    first: dict[str, Example] = {}
    pairs = []
    for example in examples:
        known = first.setdefault(_plain(example.messages), example)
        if known is not example:
            pairs.append((example, known, "the same conversation"))
    return _step(examples, pairs, "exact duplicates", len(pairs), "repeat", "another row",
                 config.exact_duplicates == "drop")


def near(examples: Sequence[Example], config: DataConfig) -> Step:
    """Without rows of which both what is asked and what is answered are nearly those of an earlier row.

    One half alone is no repeat: many questions on one text differ in their answers, and two diseases may share an
    answer's wording.
    """
    asked, answered = _halves(list(map(prompt_text, examples))), _halves(list(map(answer_text, examples)))
    known = Near(config.similarity)
    pairs: list[Pair] = []
    for k, example in enumerate(examples):
        # if both halves are so similar, the two together are; ~ keeps them apart
        both = np.union1d(asked[k].triples, ~answered[k].triples)
        for key, _ in known.find(both):
            similarity = min(asked[k].like(asked[key]), answered[k].like(answered[key]))
            if similarity >= _needed(answered[k], config) and _is_same_task(example, examples[key]):
                pairs.append((example, examples[key], f"{similarity:.0%} the same"))
                break
        else:
            known.add(k, both)
    return _step(examples, pairs, "near duplicates", len(pairs), "repeat", "another row nearly",
                 config.near_duplicates == "drop")


def conflicts(examples: Sequence[Example], config: DataConfig) -> Step:
    """Rows that are asked the same and answer differently: kept, all but the first dropped, or all of them dropped."""
    groups: dict[str, list[Example]] = defaultdict(list)
    for example in examples:
        groups[_plain(example.messages[:-1])].append(example)
    count, pairs = 0, []
    for group in groups.values():
        if len({_plain(example.messages[-1:]) for example in group}) > 1:
            count += len(group)
            pairs += [(example, group[0], "the same input, another answer") for example in group[1:]]
            if config.conflicts == "drop":
                pairs.append((group[0], group[1], "the same input, another answer"))
    return _step(examples, pairs, "conflicts", count, "have", "the input of another row and a different answer",
                 config.conflicts != "keep")


def _needed(answer: "_Half", config: DataConfig) -> float:
    return max(config.similarity, SHORT_SIMILARITY if answer.length < SHORT_ANSWER_WORDS else 0)


def _is_same_task(a: Example, b: Example) -> bool:
    return _around_input(a) == _around_input(b) and _plain(a.messages) != _plain(b.messages)


@dataclass(frozen=True, kw_only=True)
class _Half:
    """What is asked, or what is answered. text: its words, one space between them."""

    text: str
    length: int
    triples: Triples

    def like(self, other: "_Half") -> float:
        return 1.0 if self.text == other.text else jaccard(self.triples, other.triples)


def _halves(texts: Sequence[str]) -> list[_Half]:
    found = [words(text) for text in texts]
    return [_Half(text=" ".join(one), length=len(one), triples=runs)
            for one, runs in zip(found, triples(found), strict=True)]


def _plain(messages: Sequence[dict[str, str]]) -> str:
    """The messages but for letter case and whitespace."""
    return "\0".join(f"{m['role']}:{' '.join(m['content'].casefold().split())}" for m in messages)


def _around_input(example: Example) -> str:
    """What is asked, without the input: the wording of the task, the section, the question on a text."""
    asked = _plain([m for m in example.messages if m["role"] != "assistant"])
    return asked.replace(" ".join(example.input.casefold().split()), "") if example.input else ""


def _step(examples: Sequence[Example], pairs: Sequence[Pair], name: str, count: int, verb: str, what: str,
          is_dropped: bool) -> Step:
    """pairs: the rows that this step takes out, or, if not is_dropped, only shows."""
    gone = {id(example) for example, *_ in pairs} if is_dropped else set()
    text = f"{rows_word(count, verb)} {what}" + (f"; {len(gone):,} left out." if gone else "; kept." if count else ".")
    rows = ({**shown(row), "why": how, **shown(other, "other_")} for row, other, how in pairs)
    return Step(kept=tuple(e for e in examples if id(e) not in gone),
                dropped=tuple((row, f"{how} as {place(other)}") for row, other, how in pairs) if is_dropped else (),
                finding=finding(name, count, text, rows))
