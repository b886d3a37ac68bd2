import csv
from collections import Counter
from pathlib import Path

import pytest

from models.errors import UserError
from tasks import classifier, head, linear, sorter
from tasks.classifier import Classifier
from tasks.classify import Labels, Paper, joined, names
from tasks.linear import LINEAR
from tasks.sorter import MODEL, Asking, Shot
from tests.tasks.fake_engine import FakeEngine
from tests.tasks.papers import WORDS, papers

SEVERAL = Labels(names=tuple(WORDS), is_single=False)


def knowing(ctx_tokens: int = 1 << 16) -> FakeEngine:
    """A model that answers by the words of the titles, so that it is right for one of the labels."""
    prefers = {f"On the {word}": label for label, words in WORDS.items() for word in words}
    return FakeEngine(prefers=prefers, ctx_tokens=ctx_tokens)


@pytest.mark.parametrize("is_single", [True, False])
def test_a_linear_classifier_is_fitted_and_says_what_it_is(is_single: bool):
    fitted = classifier.fit(*papers(120, is_single))
    asked, golds = papers(40, is_single, seed=1)
    found = fitted.predict(asked)
    assert sum(one.labels == gold for one, gold in zip(found, golds, strict=True)) >= 36
    assert fitted.kind == LINEAR and fitted.labels.is_single == is_single and fitted.model == ""
    assert all(one.by == (LINEAR,) and one.note == "" and 0 < one.confidence <= 1 for one in found)
    assert "120 training rows" in fitted.about and "without a language model" in fitted.about


@pytest.mark.parametrize("is_single", [True, False])
def test_an_ensemble_weighs_a_model_that_knows_and_falls_back_without_it(is_single: bool):
    judged, asked = papers(60, is_single, seed=3), papers(20, is_single, seed=1)
    engine = FakeEngine(prefers={paper.text: joined(gold) for some in (judged, asked)
                                 for paper, gold in zip(*some, strict=True)})
    fitted = classifier.fit(*papers(60, is_single), engine, validation=judged)
    asked, right = asked
    found = fitted.predict(asked, engine)
    assert fitted.kind == "ensemble" and fitted.model == engine.fingerprint
    assert "weights fitted on 60 rows" in fitted.about and "linear model and language model 60 of 60" in fitted.about
    assert all(one.by == (LINEAR, MODEL) for one in found)
    assert [one.labels for one in found] == right
    alone = fitted.predict(asked)
    assert all(one.by == (LINEAR,) and "linear model alone" in one.note for one in alone)


def test_a_model_that_knows_nothing_gets_little_weight():
    made, golds = papers(100, True)
    fitted = classifier.fit(made, golds, FakeEngine())
    weights = fitted.heads[f"{LINEAR}+{MODEL}"].weights.of
    assert weights[MODEL] < 0.5 * weights[LINEAR]


def test_a_text_too_long_for_the_model_is_left_to_the_linear_one():
    made, golds = papers(60, True)
    fitted = classifier.fit(made, golds, knowing())
    one, = fitted.predict(made[:1], knowing(ctx_tokens=50))
    assert one.by == (LINEAR,) and "too long" in one.note and one.labels


def test_another_model_than_the_one_it_was_fitted_with_is_refused():
    made, golds = papers(60, True)
    fitted = classifier.fit(made, golds, knowing())
    with pytest.raises(UserError, match="other is 0000"):
        fitted.predict(made[:1], FakeEngine(name="other"))


@pytest.mark.parametrize("is_single", [True, False])
def test_what_is_saved_classifies_the_same_to_the_last_bit(tmp_path: Path, is_single: bool):
    shot = Shot(paper=Paper(text="example"), labels=("cardio",))
    made, golds = papers(60, is_single)
    fitted = classifier.fit(made, golds, knowing(), asking=Asking(shots=(shot,), descriptions={"onco": "tumours"}))
    fitted.save(tmp_path / "kept")
    loaded = Classifier.load(tmp_path / "kept")
    asked = papers(20, is_single, seed=1)[0]
    assert loaded.predict(asked, knowing()) == fitted.predict(asked, knowing())
    assert loaded.predict(asked) == fitted.predict(asked) and loaded.about == fitted.about
    assert loaded.asking == fitted.asking and loaded.labels == fitted.labels


def test_an_empty_text_has_no_label_and_the_others_do():
    fitted = classifier.fit(*papers(60, False))
    found = fitted.predict([Paper(text=" "), Paper(text="heart artery"), Paper(text="x" * 50_000)])
    assert found[0].labels == () and found[0].note == "There is no text to classify."
    assert found[1].labels == ("cardio",) and found[2].labels


def test_a_label_that_no_training_row_has_is_named_and_only_the_model_finds_it():
    made, golds = papers(60, True)
    labels = Labels(names=(*WORDS, "renal"), is_single=True)
    engine = FakeEngine(prefers={"kidney": "renal", **{f"On the {word}": label for label, words in WORDS.items()
                                                       for word in words}})
    fitted = classifier.fit(made, golds, engine, labels=labels)
    assert fitted.unseen == ("renal",) and "No training row has renal" in fitted.about
    one, = fitted.predict([Paper(text="kidney")], engine)
    assert one.labels == ("renal",) and one.by == (LINEAR, MODEL)
    assert "renal" not in classifier.fit(made, golds, labels=labels).predict([Paper(text="kidney")])[0].probabilities


def misspelt(k: int) -> tuple:
    made, golds = papers(30, True)
    golds[k] = ("nuero",)
    return made, golds


KNOWN = Labels(names=tuple(WORDS), is_single=True)


@pytest.mark.parametrize("given, words", [
    (lambda: classifier.fit(*misspelt(4), labels=KNOWN),
     "Row 5 for training has the label 'nuero'.*did you mean 'neuro'"),
    (lambda: classifier.fit(*papers(30, True), FakeEngine(), validation=misspelt(2)),
     "Row 3 for validation has .*'neuro'"),
    (lambda: classifier.fit(papers(30, True)[0], [("cardio",)] * 30), "All 30 rows have one and the same label"),
    (lambda: classifier.fit(*papers(30, False), labels=KNOWN), "has several labels"),
    (lambda: classifier.fit(papers(3, True)[0], [("cardio",)]), "3 texts and 1 rows of labels"),
    (lambda: classifier.fit(papers(3, True)[0], [("cardio",), (), ("onco",)]), "1 of 3 rows have no label .*row 2"),
    (lambda: classifier.fit([Paper(text=" ")] * 2, [("cardio",), ("onco",)]),
     "None of the 2 rows to train on has a text"),
    (lambda: classifier.fit(*papers(30, True), FakeEngine(ctx_tokens=20)), "None of the 30 rows fits into the context"),
])
def test_what_a_person_can_put_right_is_said(given, words: str):
    with pytest.raises(UserError, match=words):
        given()


def test_folders_that_hold_no_classifier_or_a_damaged_one(tmp_path: Path):
    with pytest.raises(UserError, match="There is no classifier in"):
        Classifier.load(tmp_path)
    classifier.fit(*papers(40, True)).save(tmp_path)
    text = (tmp_path / classifier.SETTINGS).read_text(encoding="utf-8")
    for damaged, words in ((text[:100], "can not be read"), (text.replace('"format": 1', '"format": 9'), "format 9"),
                           (text.replace("heads", "hands"), "can not be read")):
        (tmp_path / classifier.SETTINGS).write_text(damaged, encoding="utf-8")
        with pytest.raises(UserError, match=words):
            Classifier.load(tmp_path)
    (tmp_path / classifier.SETTINGS).write_text(text, encoding="utf-8")
    (tmp_path / linear.WEIGHTS).unlink()
    with pytest.raises(UserError, match="linear model in"):
        Classifier.load(tmp_path)


def test_the_sets_of_the_training_rows_can_be_answered():
    made, golds = papers(40, False)
    labels = Labels(names=tuple(f"{name} {k}" for name in WORDS for k in range(5)), is_single=False)
    renamed = [tuple(f"{name} 1" for name in gold) for gold in golds]
    fitted = classifier.fit(made, renamed, FakeEngine(), labels=labels)
    assert set(fitted.asking.seen) == set(renamed) and sorter.DEFAULT.seen == ()


def test_weights_are_fitted_on_rows_that_are_no_examples_and_not_on_all_of_many():
    made, golds = papers(520, True)
    engine = FakeEngine()
    fitted = classifier.fit(made, golds, engine, asking=Asking(shots=(Shot(paper=made[0], labels=golds[0]),)))
    assert fitted.heads[f"{LINEAR}+{MODEL}"].rows == 500 == len(engine.scored)
    assert not any(engine.text(ids).count(made[0].text) > 1 for ids, _ in engine.scored)


def test_real_abstracts_are_sorted_far_better_than_by_the_commonest_label(shared_data: Path):
    with (shared_data / "medlit-challenge" / "challenge_train2850.csv").open(newline="", encoding="utf-8-sig") as file:
        rows = [row for row in csv.DictReader(file, delimiter=";") if len(row["abstract"]) > 500]
    made = [Paper(title=row["title"], text=row["abstract"]) for row in rows]
    golds = [names(row["group"]) for row in rows]
    fitted = classifier.fit(made[:500], golds[:500])
    found = fitted.predict(made[500:800])
    right = sum(set(one.labels) == set(gold) for one, gold in zip(found, golds[500:800], strict=True)) / 300
    (_, commonest), = Counter(golds[500:800]).most_common(1)
    assert right > 0.6 and commonest / 300 < 0.45 and "Calibrated: cardio" in fitted.about


@pytest.mark.parametrize("rows", [2, 5])
def test_a_handful_of_rows_makes_a_classifier(rows: int):
    made = [Paper(text="heart artery")] * (rows - 1) + [Paper(text="brain nerve")]
    fitted = classifier.fit(made, [("cardio",)] * (rows - 1) + [("neuro",)])
    assert [one.labels for one in fitted.predict([made[0], made[-1]])] == [("cardio",), ("neuro",)]


def test_members_are_heard_on_rows_they_have_not_learned_from_and_the_linear_one_calibrated():
    made, judged, engine = papers(150, False), papers(50, False, seed=3), knowing()
    fitted = classifier.fit(*made, engine, validation=judged)
    alone, both = fitted.heads[LINEAR], fitted.heads[f"{LINEAR}+{MODEL}"]
    assert any(one.is_kept for one in alone.calibrations.values()) and (alone.rows, both.rows) == (200, 50)
    tried = linear.out_of_fold(made[0] + judged[0], made[1] + judged[1], fitted.labels)[150:]
    by_linear = [alone.logs({LINEAR: one}, False) for one in tried]
    by_model = [one.logs for one in sorter.evidence(engine, judged[0], fitted.labels, fitted.asking)
                if isinstance(one, sorter.Evidence)]
    assert head.fit({LINEAR: by_linear, MODEL: by_model}, judged[1], fitted.labels) == both
    now = alone.logs({LINEAR: fitted.linear.logs(judged[0][:1])[0]}, False)
    assert fitted.predict(judged[0][:1], engine)[0] == both.decide({LINEAR: now, MODEL: by_model[0]}, False)


def test_validation_rows_have_labels_each():
    made, golds = papers(60, False)
    with pytest.raises(UserError, match="2 texts and 1 rows of labels"):
        classifier.fit(made, golds, validation=(made[:2], golds[:1]))
