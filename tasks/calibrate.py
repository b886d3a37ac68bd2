"""Probabilities that mean what they say: fitted on development rows, kept only where that helps on rows held out.

Of one choice among several: p is the softmax of log p / temperature + a bias for each choice (Guo et al. 2017,
arXiv:1706.04599, vector scaling with one common scale). Of each of many labels: Platt's sigmoid of its log-odds, which
is the same with the choices "the label" and "not".
"""

import math
import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from models.errors import UserError

BINS = 10                               # of equally many rows
FOLDS = 5
LEAST_ROWS = 20                         # fewer, and held-out errors say nothing
RESAMPLES = 1000
PENALTY = 0.05                          # on (log temperature)^2 + biases^2, as against the sum of nats over the rows
SEED = 20
NOT = ""                                # beside a label: that it does not apply
Logs = Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What was fitted, and whether it is used.

    before, after: the calibration error on held-out rows without it and with it; low, high: the 95% bootstrap interval
    of before - after. It is kept where that interval lies above 0 and the held-out loss is no worse. why: in words.
    """

    temperature: float = 1.0
    biases: Mapping[str, float] = field(default_factory=dict)
    is_kept: bool = False
    rows: int = 0
    before: float = 0.0
    after: float = 0.0
    low: float = 0.0
    high: float = 0.0
    why: str = ""

    def probabilities(self, logs: Logs) -> dict[str, float]:
        """Of the choices whose log-likelihoods are given; without what was fitted where it is not kept."""
        return _softmax(logs, self.temperature, self.biases) if self.is_kept else _softmax(logs, 1.0, {})

    def to_json(self) -> dict[str, Any]:
        """As a JSON value."""
        return {**vars(self), "biases": dict(self.biases)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Calibration":
        """What to_json gave. Raises UserError for anything else."""
        try:
            found = cls(**value)
            _softmax({NOT: 0.0, **found.biases}, found.temperature, found.biases)
        except (TypeError, ValueError, ZeroDivisionError, OverflowError) as error:
            raise UserError(f"The file of a calibration holds something else ({error}); name one that `evaluate --dev` "
                            "wrote.") from error
        return found


@dataclass(frozen=True)
class Bin:
    """Rows of similar confidence: the confidences' mean, and the share that was right."""

    rows: int
    confidence: float
    accuracy: float


def fit(logs: Sequence[Logs], gold: Sequence[str], event: str | None = None, seed: int = SEED) -> Calibration:
    """Fit on rows: the log-likelihoods of each row's choices, and which of them is right.

    event: whose probability is to be right; None: that of whichever choice is likeliest. Rows whose gold is none of
    their choices are left out.
    """
    rows = [(dict(one), right) for one, right in zip(logs, gold, strict=True) if right in one]
    classes = sorted({right for _, right in rows})
    if len(rows) < LEAST_ROWS:
        return Calibration(rows=len(rows), why=f"{len(rows)} rows are too few to fit and test a calibration; "
                                               f"it takes {LEAST_ROWS}.")
    if len(classes) < 2:
        return Calibration(rows=len(rows), why=f"All {len(rows)} rows are {classes[0]!r}: nothing tells right from "
                                               "wrong confidence.")
    held_out = _held_out(rows, seed)
    plain = [_softmax(one, 1.0, {}) for one, _ in rows]
    golds = [right for _, right in rows]
    before, after = (_judged(some, golds, event) for some in (plain, held_out))
    low, high = _interval(before, after, seed)
    errors = [calibration_error([one for one, _ in some], [hit for _, hit in some]) for some in (before, after)]
    losses = [_loss(some, golds) for some in (plain, held_out)]
    is_kept = low > 0.0 and losses[1] <= losses[0]
    temperature, biases = _fitted(rows)
    return Calibration(temperature=temperature, biases=biases, is_kept=is_kept, rows=len(rows), before=errors[0],
                       after=errors[1], low=low, high=high, why=_words(is_kept, errors, (low, high), losses, len(rows)))


def fit_labels(odds: Sequence[Logs], gold: Sequence[Collection[str]], seed: int = SEED) -> dict[str, Calibration]:
    """One for each label: odds are the log-odds of every label, gold the labels that apply, of each row."""
    labels = sorted(set().union(*odds))
    return {label: fit([{label: one[label], NOT: 0.0} for one in odds if label in one],
                       [label if label in right else NOT for one, right in zip(odds, gold, strict=True)
                        if label in one], label, seed) for label in labels}


def label_probabilities(calibrations: Mapping[str, Calibration], odds: Logs) -> dict[str, float]:
    """How likely each label applies, from its log-odds; a label without calibration has its plain sigmoid."""
    none = Calibration()
    return {label: calibrations.get(label, none).probabilities({label: value, NOT: 0.0})[label]
            for label, value in odds.items()}


def reliability(confidences: Sequence[float], hits: Sequence[bool], bins: int = BINS) -> list[Bin]:
    """The reliability curve: rows by rising confidence, in bins of equally many; equal confidences stay together."""
    pairs = sorted(zip(confidences, hits, strict=True), key=lambda pair: pair[0])
    found, start = [], 0
    for k in range(1, bins + 1):
        end = round(k * len(pairs) / bins)
        while 0 < end < len(pairs) and pairs[end][0] == pairs[end - 1][0]:
            end += 1
        part = pairs[start:end]
        if part:
            found.append(Bin(len(part), math.fsum(one for one, _ in part) / len(part),
                             sum(hit for _, hit in part) / len(part)))
        start = max(start, end)
    return found


def calibration_error(confidences: Sequence[float], hits: Sequence[bool], bins: int = BINS) -> float:
    """The mean distance of confidence and accuracy over the bins of reliability(), by their rows: 0 to 1."""
    total = len(confidences)
    return math.fsum(one.rows * abs(one.confidence - one.accuracy) for one in reliability(confidences, hits, bins)
                     ) / total if total else 0.0


def _softmax(logs: Logs, temperature: float, biases: Logs) -> dict[str, float]:
    values = {choice: value / temperature + biases.get(choice, 0.0) for choice, value in logs.items()}
    most = max(values.values())
    shares = {choice: math.exp(value - most) for choice, value in values.items()}
    total = math.fsum(shares.values())
    return {choice: share / total for choice, share in shares.items()}


def _fitted(rows: Sequence[tuple[dict[str, float], str]]) -> tuple[float, dict[str, float]]:
    """(temperature, biases) of the least sum of -log p of what is right, plus the penalty."""
    import numpy as np
    from scipy.optimize import minimize
    classes = sorted(set().union(*(one for one, _ in rows)))
    at = {choice: k for k, choice in enumerate(classes)}
    values = np.full((len(rows), len(classes)), -np.inf)
    right = np.array([at[gold] for _, gold in rows])
    for k, (one, _) in enumerate(rows):
        most = max(one.values())
        for choice, value in one.items():
            values[k, at[choice]] = max(value - most, -1e4)
    known = np.isfinite(values)
    safe = np.where(known, values, 0.0)

    def loss(theta: Any) -> tuple[float, Any]:
        scale, biases = math.exp(-theta[0]), theta[1:]
        scores = np.where(known, scale * safe + biases, -np.inf)
        scores -= scores.max(1, keepdims=True)
        shares = np.exp(scores)
        totals = shares.sum(1, keepdims=True)
        log_p = scores[np.arange(len(rows)), right] - np.log(totals[:, 0])
        off = shares / totals
        off[np.arange(len(rows)), right] -= 1.0
        slope = np.concatenate([[-(off * safe).sum() * scale], off.sum(0)])
        return float(-log_p.sum() + PENALTY * theta @ theta), slope + 2 * PENALTY * theta

    found = minimize(loss, np.zeros(1 + len(classes)), jac=True, method="L-BFGS-B",
                     bounds=[(-5.0, 5.0), *([(-20.0, 20.0)] * len(classes))]).x
    return math.exp(found[0]), {choice: float(found[1 + k]) for choice, k in at.items()}


def _held_out(rows: Sequence[tuple[dict[str, float], str]], seed: int) -> list[dict[str, float]]:
    """The probabilities of each row's choices by what was fitted on the other folds; classes spread over the folds."""
    order = list(range(len(rows)))
    random.Random(seed).shuffle(order)
    order.sort(key=lambda k: rows[k][1])
    fold = {k: place % FOLDS for place, k in enumerate(order)}
    found: list[dict[str, float]] = [{} for _ in rows]
    for number in range(FOLDS):
        temperature, biases = _fitted([rows[k] for k in range(len(rows)) if fold[k] != number])
        for k in range(len(rows)):
            if fold[k] == number:
                found[k] = _softmax(rows[k][0], temperature, biases)
    return found


def _judged(shares: Sequence[Logs], golds: Sequence[str], event: str | None) -> list[tuple[float, bool]]:
    """(confidence, whether it was right) of each row."""
    chosen = [event if event is not None else max(one, key=lambda choice: one[choice]) for one in shares]
    return [(one[choice], choice == gold) for one, choice, gold in zip(shares, chosen, golds, strict=True)]


def _loss(shares: Sequence[Logs], golds: Sequence[str]) -> float:
    """Nats a row."""
    return -math.fsum(math.log(max(one[gold], 1e-300)) for one, gold in zip(shares, golds, strict=True)) / len(golds)


def _interval(before: Sequence[tuple[float, bool]], after: Sequence[tuple[float, bool]],
              seed: int) -> tuple[float, float]:
    """95% of the differences of the errors over resampled rows, the same rows on both sides, in the bins they had."""
    import numpy as np
    generator, rows = np.random.default_rng(seed), len(before)
    gaps = [_gaps(side) for side in (before, after)]
    differences = []
    for _ in range(RESAMPLES):
        counts = np.bincount(generator.integers(0, rows, rows), minlength=rows)
        one, other = (np.abs(counts @ side).sum() / rows for side in gaps)
        differences.append(float(one - other))
    low, high = np.quantile(differences, (0.025, 0.975))
    return float(low), float(high)


def _gaps(judged: Sequence[tuple[float, bool]]) -> Any:
    """(rows, bins): confidence - right of each row in its bin of reliability(), 0 elsewhere."""
    import numpy as np
    gaps = np.zeros((len(judged), BINS))
    order = iter(sorted(range(len(judged)), key=lambda k: judged[k][0]))
    for number, one in enumerate(reliability([one for one, _ in judged], [hit for _, hit in judged])):
        for _ in range(one.rows):
            row = next(order)
            gaps[row, number] = judged[row][0] - judged[row][1]
    return gaps


def _words(is_kept: bool, errors: Sequence[float], interval: tuple[float, float], losses: Sequence[float],
           rows: int) -> str:
    text = (f"On {rows} held-out rows the calibration error goes from {errors[0]:.3f} to {errors[1]:.3f} "
            f"(a fall of {interval[0]:.3f} to {interval[1]:.3f}, 95% interval)")
    if is_kept:
        return f"{text}: kept."
    if losses[1] > losses[0]:
        return f"{text}, but the loss rises from {losses[0]:.3f} to {losses[1]:.3f} nats: not kept."
    return f"{text}, which could be chance: not kept."
