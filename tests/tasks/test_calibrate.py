import json
import math
import random

import pytest

from tasks.calibrate import (
    Calibration,
    calibration_error,
    fit,
    fit_labels,
    label_probabilities,
    reliability,
)


def drawn(rows: int, temperature: float = 1.0, biases: tuple[float, ...] = (0.0, 0.0, 0.0), seed: int = 1):
    """Log-likelihoods of "ABC", and gold as often as the softmax of logs / temperature + biases says."""
    chance = random.Random(seed)
    logs, gold = [], []
    for _ in range(rows):
        one = {choice: 2 * chance.gauss(0, 1) for choice in "ABC"}
        weights = [math.exp(one[choice] / temperature + bias) for choice, bias in zip("ABC", biases, strict=True)]
        gold.append(chance.choices("ABC", weights)[0])
        logs.append(one)
    return logs, gold


def test_too_confident_models_are_cooled_and_biases_found():
    found = fit(*drawn(600, 3.0, (1.0, 0.0, -1.0)))
    assert found.is_kept and found.temperature == pytest.approx(3.0, rel=0.25)
    assert found.biases["A"] - found.biases["C"] == pytest.approx(2.0, abs=0.4)
    assert found.after < found.before / 3 and 0 < found.low < found.high
    assert found.why.startswith("On 600 held-out rows the calibration error goes from") and ": kept" in found.why
    logs, gold = drawn(600, 3.0, (1.0, 0.0, -1.0), seed=2)
    shares = [found.probabilities(one) for one in logs]
    hits = [max(one, key=lambda choice: one[choice]) == right for one, right in zip(shares, gold, strict=True)]
    assert calibration_error([max(one.values()) for one in shares], hits) < 0.07


def test_what_is_calibrated_already_stays_as_it_is():
    for seed in range(4):
        found = fit(*drawn(200, seed=seed))
        assert not found.is_kept and "not kept" in found.why
        logs = {"A": -1.0, "B": -2.0}
        assert found.probabilities(logs)["A"] == pytest.approx(1 / (1 + math.exp(-1)))


def test_too_little_to_fit_says_so():
    logs, gold = drawn(300)
    few = fit(logs[:10], gold[:10])
    assert not few.is_kept and few.why == "10 rows are too few to fit and test a calibration; it takes 20."
    one_class = fit(logs, ["A"] * 300)
    assert not one_class.is_kept and one_class.why.startswith("All 300 rows are 'A'")
    assert fit(logs, ["D"] * 300).rows == 0 and not fit([], []).is_kept
    assert fit(logs, ["D", *gold[1:]]).rows == 299


def test_a_choice_it_never_saw_and_one_that_is_missing():
    found = fit(*drawn(400, 3.0, (2.0, 0.0, 0.0)))
    assert found.is_kept
    shares = found.probabilities({"A": -1.0, "D": -1.0})
    assert set(shares) == {"A", "D"} and shares["A"] > shares["D"] and sum(shares.values()) == pytest.approx(1.0)
    logs, gold = drawn(400, 3.0)
    short = [{key: value for key, value in one.items() if key != "C" or right == "C"}
             for one, right in zip(logs, gold, strict=True)]
    assert fit(short, gold).rows == 400                         # rows of different choices


def test_extreme_scores_end_in_numbers():
    logs = [{"yes": 0.0, "no": -1e5 * (k % 3)} for k in range(60)]
    found = fit(logs, ["yes" if k % 2 else "no" for k in range(60)])
    assert 0 < found.temperature < 1000 and all(map(math.isfinite, [*found.biases.values(), found.before, found.after]))


def test_the_same_rows_give_the_same_calibration_and_it_travels_as_json():
    found = fit(*drawn(200, 3.0))
    assert found == fit(*drawn(200, 3.0)) and found.is_kept
    assert Calibration.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_each_label_has_its_own():
    chance = random.Random(3)
    odds, gold = [], []
    for _ in range(400):
        one = {"cardio": chance.gauss(0, 3), "neuro": chance.gauss(0, 3), "never": -4.0}
        odds.append(one)
        true = {"cardio": one["cardio"] / 4 - 1, "neuro": one["neuro"]}
        gold.append([label for label, value in true.items() if chance.random() < 1 / (1 + math.exp(-value))])
    found = fit_labels(odds, gold)
    assert found["cardio"].is_kept and not found["never"].is_kept and "All 400 rows are ''" in found["never"].why
    assert found["cardio"].temperature == pytest.approx(4.0, rel=0.3)
    shares = label_probabilities(found, {"cardio": 4.0, "neuro": 0.0, "new": 0.0})
    assert shares["cardio"] == pytest.approx(0.5, abs=0.12) and shares["new"] == 0.5


def test_the_reliability_curve_counts_every_row_once():
    confidences = [k / 100 for k in range(100)]
    hits = [k % 2 == 0 for k in range(100)]
    bins = reliability(confidences, hits)
    assert [one.rows for one in bins] == [10] * 10 and bins[0].confidence == pytest.approx(0.045)
    assert all(one.accuracy == 0.5 for one in bins)
    assert calibration_error(confidences, hits) == pytest.approx(0.25, abs=0.01)
    assert calibration_error([1.0] * 4, [True] * 4) == 0.0 and calibration_error([], []) == 0.0
    assert [one.rows for one in reliability([0.5] * 7 + [0.9] * 3, hits[:10])] == [7, 3]
    assert sum(one.rows for one in reliability([0.3, 0.1, 0.2], hits[:3])) == 3
