"""What several classifiers say of a text, as one: a sum with weights fitted on rows that none of them has seen."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tasks.classify import Labels

MOST_WEIGHT = 10.0
PENALTY = 0.1                           # on squared distances from equal weights and no bias, against a sum of nats
Logs = Mapping[str, float]              # label -> log p where a text has one label, else its log-odds


@dataclass(frozen=True)
class Weights:
    """How much each member counts, by its name, and what is added for each label; a single member of weight 1 and no
    bias is left as it is."""

    of: Mapping[str, float]
    biases: Mapping[str, float] = field(default_factory=dict)

    def combined(self, said: Mapping[str, Logs]) -> dict[str, float]:
        """The weighted sum for each label; where a member does not know a label, the others speak for it.

        said: {member: logs}, of every member.
        """
        known = dict.fromkeys(label for member in self.of for label in said[member])
        found = {}
        for label in known:
            of = [member for member in self.of if label in said[member]]
            missing = sum(self.of.values()) / (sum(self.of[member] for member in of) or 1.0)
            found[label] = missing * sum(self.of[member] * said[member][label] for member in of)
            found[label] += self.biases.get(label, 0.0)
        return found


def fit(said: Mapping[str, Sequence[Logs]], golds: Sequence[Collection[str]], labels: Labels) -> Weights:
    """The weights that make the right labels likeliest: {member: what it says of each row}, and what is right.

    One weight a member, for all labels, none below 0, and a bias for each label that all members know.
    """
    members = list(said)
    if len(members) < 2 or not golds:
        return Weights(dict.fromkeys(members, 1.0))
    names = sorted(set.intersection(*(set(logs) for rows in said.values() for logs in rows)))
    if not names:
        return Weights(dict.fromkeys(members, 1.0 / len(members)))
    values = np.array([[[logs[name] for name in names] for logs in said[member]] for member in members])
    right = np.array([[name in gold for name in names] for gold in golds], dtype=float)     # (rows, labels)
    found, biases = _fitted(values, right, labels.is_single)
    return Weights(dict(zip(members, found, strict=True)), dict(zip(names, biases, strict=True)))


def _fitted(values: Any, right: Any, is_single: bool) -> tuple[list[float], list[float]]:
    """(weights, biases) from values (members, rows, labels) and right (rows, labels) of 0 and 1."""
    from scipy.optimize import minimize
    from scipy.special import expit, logsumexp, softmax
    count = len(values)

    def loss(theta: Any) -> tuple[float, Any]:
        weights, biases = theta[:count], theta[count:]
        scores = np.tensordot(weights, values, 1) + biases
        if is_single:
            nats = (right.sum(1) * logsumexp(scores, axis=1)).sum() - (right * scores).sum()
            off = softmax(scores, axis=1) * right.sum(1, keepdims=True) - right
        else:
            nats = (np.logaddexp(0.0, scores) - right * scores).sum()
            off = expit(scores) - right
        slope = np.concatenate([np.tensordot(values, off, 2), off.sum(0)])
        away = theta - start
        return float(nats + PENALTY * away @ away), slope + 2 * PENALTY * away

    start = np.concatenate([np.full(count, 1.0 / count), np.zeros(right.shape[1])])
    bounds = [(0.0, MOST_WEIGHT)] * count + [(-20.0, 20.0)] * right.shape[1]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x.tolist()
    return found[:count], found[count:]
