"""From how likely each label is to the labels of a text: the likeliest one, or all above their thresholds."""

import math
import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

PLAIN = 0.5
LEAST_ROWS = 10                         # with the label and without it; fewer say nothing of a threshold
PARTS = 5
LEVEL = 0.05                            # of chance, below which a gain is believed
SHRINK = 10.0                           # rows that speak for PLAIN
Probabilities = Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """From which probability on each label applies; a label that is not named: from PLAIN on.

    before, after: the share of held-out rows whose labels are exactly right, with PLAIN and with these. why: in words.
    """

    of: Mapping[str, float] = field(default_factory=dict)
    is_kept: bool = False
    before: float = 0.0
    after: float = 0.0
    why: str = ""

    def labels(self, probabilities: Probabilities, is_single: bool) -> tuple[str, ...]:
        """The labels of a text, in alphabetical order; at least one: that which is nearest to its threshold."""
        if not probabilities:
            return ()
        if is_single:
            return (max(sorted(probabilities), key=lambda label: probabilities[label]),)
        chosen = [label for label in sorted(probabilities) if probabilities[label] >= self._of(label)]
        return tuple(chosen) or (max(sorted(probabilities), key=lambda label: probabilities[label] / self._of(label)),)

    def _of(self, label: str) -> float:
        return self.of.get(label, PLAIN) if self.is_kept else PLAIN

    def to_json(self) -> dict[str, Any]:
        """As a JSON value."""
        return {**vars(self), "of": dict(self.of)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Thresholds":
        """What to_json gave."""
        return cls(**value)


def fit(probabilities: Sequence[Probabilities], golds: Sequence[Collection[str]], seed: int = 0) -> Thresholds:
    """Thresholds with which the fewest labels are wrong, kept where that holds on rows they were not fitted on.

    They are fitted on four fifths of the rows and tried on the last fifth, in turn: more rows must be exactly right
    than with PLAIN for every label, by more than chance (sign test of the rows that change sides).
    """
    order = list(range(len(golds)))
    random.Random(seed).shuffle(order)
    won = lost = before = 0
    for part in range(PARTS):
        held_out = order[part::PARTS]
        rest = [k for k in order if k not in set(held_out)]
        tried = Thresholds(of=_fitted([probabilities[k] for k in rest], [golds[k] for k in rest]), is_kept=True)
        for k in held_out:
            was, now = (set(one.labels(probabilities[k], False)) == set(golds[k]) for one in (Thresholds(), tried))
            before, won, lost = before + was, won + (now and not was), lost + (was and not now)
    rows, after = len(golds), before + won - lost
    is_kept = won > lost and _chance(won, lost) <= LEVEL
    why = (f"Thresholds for each label make {after} of {rows} held-out rows right, against {before} with "
           f"{PLAIN} for all{'' if is_kept or won <= lost else ', which could be chance'}: "
           f"{'' if is_kept else 'not '}kept.")
    return Thresholds(of=_fitted(probabilities, golds), is_kept=is_kept, before=before / max(1, rows),
                      after=after / max(1, rows), why=why)


def _chance(won: int, lost: int) -> float:
    """How often a fair coin wins at least so many of all throws."""
    throws = won + lost
    return math.fsum(math.comb(throws, k) for k in range(won, throws + 1)) / 2 ** throws


def _fitted(probabilities: Sequence[Probabilities], golds: Sequence[Collection[str]]) -> dict[str, float]:
    found = {}
    for label in sorted(set().union(*probabilities)):
        pairs = [(one[label], label in gold) for one, gold in zip(probabilities, golds, strict=True) if label in one]
        having = sum(has for _, has in pairs)
        if min(having, len(pairs) - having) >= LEAST_ROWS:
            found[label] = _best(pairs)
    return found


def _best(pairs: Sequence[tuple[float, bool]]) -> float:
    """The cut with the fewest errors, between two probabilities that occur, drawn towards PLAIN where rows are few."""
    ordered = sorted(pairs)
    errors = sum(not has for _, has in ordered)             # with a threshold below all
    best, cuts = errors, [0.0]
    for (p, has), (following, _) in zip(ordered, [*ordered[1:], (1.0, True)], strict=True):
        errors += 1 if has else -1
        if following > p and errors <= best:
            cuts = [*(cuts if errors == best else []), (p + following) / 2]
            best = errors
    cut = min(cuts, key=lambda one: abs(one - PLAIN))
    return min(0.95, max(0.05, (cut * len(pairs) + PLAIN * SHRINK) / (len(pairs) + SHRINK)))
