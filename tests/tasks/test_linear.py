import json
import math
from pathlib import Path

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from models.errors import UserError
from tasks import linear
from tasks.classify import Labels, Paper
from tasks.linear import Linear
from tests.tasks.papers import papers

SEVERAL = Labels(names=("cardio", "neuro", "onco"), is_single=False)
ONE = Labels(names=("cardio", "neuro", "onco"), is_single=True)


@pytest.mark.parametrize("labels", [ONE, SEVERAL])
def test_it_learns_which_words_belong_to_which_label(labels: Labels):
    model = linear.fit(*papers(150, labels.is_single), labels)
    asked, golds = papers(60, labels.is_single, seed=1)
    found = model.logs(asked)
    if labels.is_single:
        right = [max(one, key=lambda name: one[name]) == gold[0] for one, gold in zip(found, golds, strict=True)]
        assert sum(map(math.exp, found[0].values())) == pytest.approx(1.0)
    else:
        right = [{name for name, odds in one.items() if odds > 0} == set(gold)
                 for one, gold in zip(found, golds, strict=True)]
    assert sum(right) >= 54


def test_the_odds_are_those_of_the_vectors_it_was_fitted_on():
    made, golds = papers(60, False)
    model, texts = linear.fit(made, golds, SEVERAL), [f"{one.title}. {one.text}" for one in made]
    odds = model.intercepts + sum(
        TfidfVectorizer(sublinear_tf=True, **{**view.settings, "ngram_range": tuple(view.settings["ngram_range"])}
                        ).fit_transform(texts) @ view.weights for view in model.views) / len(model.views)
    assert np.allclose([list(one.values()) for one in model.logs(made)], odds, atol=1e-9)


def test_nothing_but_training_rows_is_fitted_on():
    model = linear.fit(*papers(100, True), ONE)
    before = model.logs([Paper(text="heart")])
    model.logs([Paper(text="unheard words")] * 50)
    assert model.logs([Paper(text="heart")]) == before
    assert not any("unheard" in view.terms for view in model.views)
    assert model.logs([Paper(text="zzzzzz qqqqqq")]) == model.logs([Paper(text="")]), "unknown words say nothing"


def test_a_row_tried_out_of_fold_was_not_in_its_own_model():
    """A word that stands in one row alone can not give that row away."""
    made, golds = papers(60, False)
    made[0] = Paper(text="xylophone xylophone")
    swapped = [("neuro",) if k == 0 else gold for k, gold in enumerate(golds)]
    one, other = (linear.out_of_fold(made, some, SEVERAL)[0] for some in ([("cardio",), *golds[1:]], swapped))
    assert one["cardio"] - other["cardio"] < 0.5
    whole = linear.fit(made, swapped, SEVERAL).logs(made[:1])[0]
    assert whole["neuro"] > other["neuro"]


def test_rows_of_the_same_text_are_tried_together():
    """Else labels without any meaning are found again, from the row that was learned by heart."""
    random = np.random.default_rng(0)
    texts = [" ".join(f"w{number}" for number in random.integers(0, 900, 20)) for _ in range(60)]
    made = [Paper(text=text) for text in texts] * 3
    golds = [(str(random.choice(["cardio", "neuro"])),) for _ in texts] * 3
    found = linear.out_of_fold(made, golds, ONE)
    right = sum(max(one, key=lambda name: one[name]) == gold[0] for one, gold in zip(found, golds, strict=True))
    assert right < 0.7 * len(made)
    with pytest.raises(UserError, match="too few different texts"):
        linear.out_of_fold(made[:1] * 4, [("cardio",), ("neuro",)] * 2, ONE)


def test_folds_hold_the_same_share_of_each_set_of_labels():
    golds = [("a",)] * 20 + [("a", "b")] * 10 + [("b",)] * 3
    found = linear.folds(golds, 5, 0)
    assert {fold: found[:20].count(fold) for fold in range(5)} == dict.fromkeys(range(5), 4)
    assert {fold: found[20:30].count(fold) for fold in range(5)} == dict.fromkeys(range(5), 2)
    assert found == linear.folds(golds, 5, 0) != linear.folds(golds, 5, 1)


def test_what_is_saved_says_the_same_to_the_last_bit(tmp_path: Path):
    model = linear.fit(*papers(80, False), SEVERAL)
    model.save(tmp_path)
    asked = papers(20, False, seed=2)[0]
    assert Linear.load(tmp_path).logs(asked) == model.logs(asked)
    assert model.logs(asked)[:1] == model.logs(asked[:1]), "a row does not depend on its neighbours"
    assert sorted(path.name for path in tmp_path.iterdir()) == [linear.TERMS, linear.WEIGHTS]


def test_a_label_of_every_row_and_a_label_of_none():
    made, golds = papers(60, True)
    all_rows = [(*gold, "medical") for gold in golds]
    labels = Labels(names=("cardio", "medical", "neuro", "never", "onco"), is_single=False)
    found = linear.fit(made, all_rows, labels).logs([Paper(text="heart"), Paper(text="brain")])
    assert found[0]["medical"] == found[1]["medical"] > 3 and "never" not in found[0]


@pytest.mark.parametrize("made, golds, words", [
    (papers(5, True)[0], [("cardio",)] * 5, "All 5 rows have one and the same label (cardio)"),
    ([Paper(text="."), Paper(text="!")], [("cardio",), ("onco",)], "hold no word")])
def test_what_can_not_be_learned_from_is_said(made: list, golds: list, words: str):
    with pytest.raises(UserError) as told:
        linear.fit(made, golds, ONE)
    assert words in str(told.value)


def test_a_damaged_model_is_refused_and_nothing_in_it_is_run(tmp_path: Path):
    linear.fit(*papers(40, True), ONE).save(tmp_path)
    told = json.loads((tmp_path / linear.TERMS).read_text(encoding="utf-8"))
    told["views"][0]["terms"].pop()
    (tmp_path / linear.TERMS).write_text(json.dumps(told), encoding="utf-8")
    with pytest.raises(UserError, match="weights do not fit its terms"):
        Linear.load(tmp_path)
    linear.fit(*papers(40, True), ONE).save(tmp_path)
    with np.load(tmp_path / linear.WEIGHTS) as arrays:
        np.savez(tmp_path / linear.WEIGHTS, **{**arrays, "intercepts": np.array([print] * 3, dtype=object)})
    with pytest.raises(UserError, match="can not be read"):
        Linear.load(tmp_path)


def test_three_rows_are_enough_to_be_tried_on_one_another():
    made = [Paper(text=text) for text in ("heart", "heart pulse", "brain")]
    golds = [("cardio",), ("cardio",), ("neuro",)]
    assert [set(one) for one in linear.out_of_fold(made, golds, ONE)] == [{"cardio", "neuro"}] * 3
