"""From what one or several classifiers say of a text to its labels: all that is fitted on rows they have not seen."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tasks import calibrate, ensemble, label_sets, thresholds
from tasks.calibrate import Calibration
from tasks.classify import Labels, Sorted
from tasks.ensemble import Logs, Weights
from tasks.thresholds import Thresholds

ONE_LABEL = "one label"                 # the name of the one calibration where a text has one label
TINY = 1e-30
Golds = Sequence[Collection[str]]


@dataclass(frozen=True, kw_only=True)
class Head:
    """Weights, then calibration (by label, or ONE_LABEL), then thresholds.

    rows: that it was fitted on; right: those whose labels it then gets exactly.
    """

    weights: Weights
    calibrations: Mapping[str, Calibration]
    thresholds: Thresholds
    rows: int = 0
    right: int = 0

    def probabilities(self, said: Mapping[str, Logs], is_single: bool) -> dict[str, float]:
        """How likely each label is, by what these members (all of weights) say of one text."""
        logs = self.weights.combined(said)
        if is_single:
            return self.calibrations.get(ONE_LABEL, Calibration()).probabilities(logs)
        return calibrate.label_probabilities(self.calibrations, logs)

    def logs(self, said: Mapping[str, Logs], is_single: bool) -> dict[str, float]:
        """probabilities() as a member of an ensemble says it: log p of one label, else log-odds."""
        return {name: label_sets.bounded(math.log(max(p, TINY)) - (0.0 if is_single else math.log(max(1.0 - p, TINY))))
                for name, p in self.probabilities(said, is_single).items()}

    def decide(self, said: Mapping[str, Logs], is_single: bool, note: str = "") -> Sorted:
        """The labels of one text."""
        shares = self.probabilities(said, is_single)
        by = tuple(member for member, weight in self.weights.of.items() if weight > 0)
        return Sorted(labels=self.thresholds.labels(shares, is_single), probabilities=shares,
                      by=by or tuple(self.weights.of), note=note,
                      is_single=is_single)

    def to_json(self) -> dict[str, Any]:
        """As a JSON value."""
        return {"weights": dict(self.weights.of), "biases": dict(self.weights.biases), "rows": self.rows,
                "right": self.right, "thresholds": self.thresholds.to_json(),
                "calibrations": {name: one.to_json() for name, one in self.calibrations.items()}}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Head":
        """What to_json gave."""
        return cls(weights=Weights(value["weights"], value["biases"]), rows=value["rows"], right=value["right"],
                   thresholds=Thresholds.from_json(value["thresholds"]),
                   calibrations={name: Calibration.from_json(one) for name, one in value["calibrations"].items()})


def fit(said: Mapping[str, Sequence[Logs]], golds: Golds, labels: Labels, seed: int = 0) -> Head:
    """Weights, calibration and thresholds on rows that no member has seen: {member: what it says of each row}."""
    weights = ensemble.fit(said, golds, labels)
    logs = [weights.combined({member: rows[k] for member, rows in said.items()}) for k in range(len(golds))]
    if labels.is_single:
        one = calibrate.fit(logs, [next(iter(gold)) for gold in golds], seed=seed)
        deciding = Head(weights=weights, calibrations={ONE_LABEL: one}, thresholds=Thresholds())
    else:
        calibrations = calibrate.fit_labels(logs, golds, seed=seed)
        shares = [calibrate.label_probabilities(calibrations, one) for one in logs]
        deciding = Head(weights=weights, calibrations=calibrations, thresholds=thresholds.fit(shares, golds, seed))
    found = [deciding.decide({member: rows[k] for member, rows in said.items()}, labels.is_single).labels
             for k in range(len(golds))]
    right = sum(set(one) == set(gold) for one, gold in zip(found, golds, strict=True))
    return replace(deciding, rows=len(golds), right=right)
