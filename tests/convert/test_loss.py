import json

import numpy as np
import pytest

from convert import loss as losses
from convert.check import loss_checks
from convert.loss import Loss


def softmax(rows: np.ndarray) -> np.ndarray:
    powers = np.exp(rows.astype(np.float64))
    return powers / powers.sum(1, keepdims=True)


@pytest.mark.parametrize("at_once", [1 << 22, 50])
def test_loss_equals_the_formulas(monkeypatch: pytest.MonkeyPatch, at_once: int):
    monkeypatch.setattr(losses, "NUMBERS_AT_ONCE", at_once)
    draw = np.random.default_rng(1)
    logits = [draw.normal(size=(100, 20)).astype(np.float32) for _ in range(2)]
    p, q = softmax(logits[0]), softmax(logits[1])
    following = draw.integers(0, 20, 99).tolist()
    kl = (p * np.log(p / q)).sum(1)
    loss = Loss()
    wide = np.hstack([logits[0], np.zeros((100, 3), np.float32)])       # more rows than the file has: left out
    loss.add(wide[:60], logits[1][:60], following[:60])
    loss.add(logits[0][60:], logits[1][60:], following[60:])
    at = np.arange(99)
    assert loss.mean_kl == pytest.approx(kl.mean()) and loss.kl_max == pytest.approx(kl.max())
    assert loss.agreement == pytest.approx((p.argmax(1) == q.argmax(1)).mean())
    assert loss.largest == pytest.approx(np.abs(logits[0] - logits[1]).max())
    ratio = np.exp(np.log(p[at, following]).mean() - np.log(q[at, following]).mean())
    assert loss.perplexity_ratio == pytest.approx(ratio) and loss.targets == 99


def test_positions_that_are_not_finite_are_counted_and_the_others_compared():
    draw = np.random.default_rng(2)
    p = draw.normal(size=(10, 8)).astype(np.float32)
    q = p.copy()
    q[3, 5], q[7, 0] = np.nan, np.inf
    loss = Loss()
    loss.add(p, q, [1] * 9)
    found = {one.name: one for one in loss_checks(loss, 1.0)}
    assert found["positions with a logit that is not finite"].figure == 2
    assert found["positions with a logit that is not finite"].is_ok is False
    assert loss.positions == 8 and loss.targets == 7 and loss.mean_kl == pytest.approx(0, abs=1e-12)
    broken = Loss()
    broken.add(q, p, [1] * 9)
    assert loss_checks(broken, 1.0)[-1].name == "positions where the reference is not finite"


def test_nothing_compared_is_no_success():
    loss = Loss()
    loss.add(np.full((4, 8), np.nan, np.float32), np.zeros((4, 8), np.float32))
    assert [one.is_ok for one in loss_checks(loss, 1.0) if one.name == "mean KL divergence"] == [False]
    assert all(one.figure is None and "could be compared" in one.note for one in loss_checks(loss, 1.0)[1:6])
    json.dumps([one.figure for one in loss_checks(loss, 1.0)], allow_nan=False)


def test_a_perplexity_without_bounds_is_capped():
    """As of a file whose last norm is a thousand times too large."""
    loss, draw = Loss(), np.random.default_rng(3)
    p = draw.normal(size=(50, 9)).astype(np.float32)
    loss.add(p, p[:, ::-1] * 1e5, draw.integers(0, 9, 49).tolist())
    found = {one.name: one for one in loss_checks(loss, 1.0)}
    assert found["perplexity ratio"].figure == pytest.approx(1e6) and "or more" in found["perplexity ratio"].note
    assert found["mean KL divergence"].is_ok is False
    json.dumps([one.figure for one in found.values()], allow_nan=False)
