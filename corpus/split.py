"""Which examples are for training, validation and test: as the files say, else drawn by shares.

Drawn parts are seeded, keep the proportions of labels or sections, and never divide a case (corpus/same.py).
"""

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from corpus.config import DataConfig
from corpus.findings import Finding, finding, rows_word
from corpus.layouts import Example
from corpus.same import cases
from models.errors import UserError

STEP = "split"
TRAINING, VALIDATION, TEST = PARTS = (0, 1, 2)


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The rows of each part, in the order of the files."""

    training: tuple[Example, ...]
    validation: tuple[Example, ...]
    test: tuple[Example, ...]
    finding: Finding


def divide(examples: Sequence[Example], config: DataConfig) -> Parts:
    """The examples as Parts, by Example.split where it names validation or test rows, else by config's shares.

    Where the files give validation rows and no test rows, there is no test part; where they give only test rows, the
    validation rows are drawn. Raises UserError if no row is for training, or none can be set aside.
    """
    pool = [e for e in examples if e.split in ("", "train")]
    validation = [e for e in examples if e.split == "validation"]
    test = [e for e in examples if e.split == "test"]
    if not pool:
        raise UserError(f"None of {rows_word(len(examples))} is for training: all are marked as validation or "
                        "test. Name a training file with --data.")
    how = "as the files give them"
    if not validation:
        how = f"drawn with seed {config.seed}, by {_strata_word(pool)}, no case in two parts"
        if test:
            how = f"the test rows as the files give them, the others {how}"
        pool, validation, drawn = draw(pool, config, config.eval_share, 0.0 if test else config.test_share)
        test = test or drawn
    text = (f"{rows_word(len(pool))} for training, {len(validation):,} for validation, {len(test):,} set aside as "
            f"test: {how}.")
    return Parts(training=tuple(pool), validation=tuple(validation), test=tuple(test), finding=finding(
        STEP, len(validation) + len(test), text, _table(pool, validation, test)))


def draw(examples: Sequence[Example], config: DataConfig, eval_share: float,
         test_share: float) -> tuple[list[Example], list[Example], list[Example]]:
    """(training, validation, test), each in the order of the rows; only test may be empty.

    Raises UserError if all rows are one case.
    """
    groups = cases(examples, config.similarity)
    if len(groups) < 2:
        raise UserError(f"The {rows_word(len(examples))} that can be used have one and the same input, or one patient "
                        "or document, so none can be set aside for validation; add other rows, or name a validation "
                        "file with --eval.")
    random.Random(config.seed).shuffle(groups)
    shares = {part: share for part, share in zip(PARTS, (1 - eval_share - test_share, eval_share, test_share),
                                                 strict=True) if share > 0}
    part = _assigned(groups, [stratum(e) for e in examples], shares)
    _fill_empty(part, groups)
    drawn: tuple[list[Example], list[Example], list[Example]] = ([], [], [])
    for k, example in enumerate(examples):
        drawn[part[k]].append(example)
    return drawn


def stratum(example: Example) -> str:
    """What the parts hold in equal proportion: the label, else the section of the note."""
    return example.label or example.section


def _assigned(groups: Sequence[Sequence[int]], strata: Sequence[str], shares: dict[int, float]) -> dict[int, int]:
    """{index: part}. Larger cases first, each where it brings all proportions nearest; single rows fill the rest."""
    sizes = Counter(strata)
    need = {part: {name: share * size for name, size in sizes.items()} for part, share in shares.items()}
    need_all = {part: share * len(strata) for part, share in shares.items()}
    part_of: dict[int, int] = {}

    def put(indices: Sequence[int], part: int) -> None:
        for k in indices:
            part_of[k] = part
            need[part][strata[k]] -= 1
            need_all[part] -= 1

    def gain(counts: Counter[str], part: int) -> float:
        """How much nearer the squared distances to what is wanted come."""
        total = counts.total()
        return total * (2 * need_all[part] - total) / len(strata) + sum(
            count * (2 * need[part][name] - count) / sizes[name] for name, count in counts.items())

    for group in sorted((group for group in groups if len(group) > 1), key=len, reverse=True):
        counts = Counter(strata[k] for k in group)
        put(group, max(shares, key=lambda part: gain(counts, part)))
    singles = defaultdict(list)
    for group in groups:
        if len(group) == 1:
            singles[strata[group[0]]].append(group[0])
    carry = dict.fromkeys(shares, 0.0)          # what rounding left over goes to the next stratum
    for name in sorted(singles):
        for k in singles[name]:
            put([k], max(shares, key=lambda part: need[part][name] + carry[part]))
        carry = {part: max(-1.0, min(1.0, need[part][name] + carry[part])) for part in shares}
    return part_of


def _fill_empty(part_of: dict[int, int], groups: Sequence[Sequence[int]]) -> None:
    """Give training and validation a case where they have none."""
    for wanted in (TRAINING, VALIDATION):
        held = Counter(part_of[group[0]] for group in groups)
        if held[wanted] == 0:
            donor = max(held, key=lambda part: (held[part], part))
            smallest = min((group for group in groups if part_of[group[0]] == donor), key=len)
            part_of.update(dict.fromkeys(smallest, wanted))


def _strata_word(examples: Sequence[Example]) -> str:
    return "label" if any(e.label for e in examples) else "section" if any(e.section for e in examples) else "case"


def _table(*parts: Sequence[Example]) -> list[dict[str, str | int]]:
    """One row a stratum: how many rows each part has."""
    counts = [Counter(map(stratum, part)) for part in parts]
    names = sorted(set().union(*counts), key=lambda name: (-sum(count[name] for count in counts), name))
    return [{"stratum": name, "training": counts[0][name], "validation": counts[1][name], "test": counts[2][name]}
            for name in names]
