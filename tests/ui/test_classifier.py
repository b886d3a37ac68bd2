"""create_model, train, predict: real confidences, kept on disk, and honest about what decides."""

import pytest

from models.errors import UserError
from ui import classifier
from ui.classifier import create_model, load_model

HEART = ["The heart rate and the coronary vessels of patient {k} were examined.", "Angina and the heart, case {k}."]
LUNG = ["Asthma and the lungs of child {k} were followed.", "Breathing and lungs after smoke, report {k}."]
TEXTS = [text.format(k=k) for k in range(15) for text in (*HEART, *LUNG)] + [
    f"Heart and lungs of patient {k}: angina with asthma." for k in range(10)]
LABELS = ["Cardio", ["cardio"], "lung", ["Lung"]] * 15 + ["cardio | lung"] * 10


@pytest.fixture
def trained():
    model = create_model("demo", num_labels=10, fast_mode=True)
    model.train(TEXTS, LABELS)
    return model


def test_labels_with_real_confidences(trained):
    heart, lung, nothing = trained.predict(["Angina and the coronary heart.", "Breathing and lungs after smoke.", "  "])
    assert heart["predicted_domains"] == ["cardio"] and lung["predicted_domains"] == ["lung"]
    assert set(heart["confidence_scores"]) == {"cardio", "lung"}
    assert 0.5 < heart["confidence"] < 1 and heart["confidence"] != lung["confidence"]
    assert nothing["predicted_domains"] == [] and nothing["confidence"] == 0 and "no text" in nothing["note"]


def test_the_linear_model_says_that_it_is_one(trained):
    assert "linear model" in trained.about and "without a language model" in trained.about
    assert trained.predict(["heart"])[0]["by"] == "linear model"


@pytest.mark.parametrize(("texts", "labels", "words"), [
    (["heart", None], ["a", "b"], "Text 2 is None, not a text"), (["heart", 3.5], ["a", "b"], "Text 2 is 3.5"),
    (["heart", "lung"], [1, 2], "labels of text 1 are 1"), (["heart", "lung"], [["a"], None], "text 2 are None")])
def test_what_is_no_text_or_no_label_is_named(texts, labels, words):
    with pytest.raises(UserError, match=words):
        create_model("demo", num_labels=2, fast_mode=True).train(texts, labels)


def test_saved_and_loaded_it_is_the_same(trained, tmp_path):
    texts = [*TEXTS[:7], "Something else."]
    trained.save(str(tmp_path / "kept"))
    assert load_model(str(tmp_path / "kept")).predict(texts) == trained.predict(texts)


def test_scores_are_of_other_texts_and_have_intervals(trained):
    found = trained.evaluate(["The coronary heart of Mrs. 99.", "Asthma, and the lungs once more."], ["cardio", "lung"])
    assert found["n"] == 2 and found["intervals"]["subset_accuracy"][0] < found["subset_accuracy"] <= 1
    assert found["labels"]["cardio"]["n"] == 1


def test_with_the_language_model_it_is_an_ensemble(tmp_path):
    with create_model("demo", num_labels=2, max_length=128) as model:
        said = model.train(TEXTS[:24], LABELS[:24])
        assert said["kind"] == "ensemble" and said["training_rows"] == 24
        before = model.predict(TEXTS[:3])
        assert before[0]["by"] and set(before[0]["confidence_scores"]) == {"cardio", "lung"}
        model.save(str(tmp_path))
    with load_model(str(tmp_path)) as again:
        assert again.predict(TEXTS[:3]) == before


def test_the_language_model_is_tuned_on_the_rows(galen_home, tmp_path):
    with create_model("demo", num_labels=2, max_length=128) as model:
        said = model.train(TEXTS, LABELS, tune=True, settings=["max_steps=2", "evals=1", "metric_rows=2"])
        assert said["kind"] == "ensemble" and said["validation_rows"] == 17 and said["training_rows"] == 53
        assert model.settings.source.endswith("adapter")
        before = model.predict(TEXTS[:2])
        model.save(str(tmp_path / "kept"))
    with load_model(str(tmp_path / "kept")) as again:
        assert again.predict(TEXTS[:2]) == before


@pytest.mark.parametrize(("act", "words"), [
    (lambda: create_model("gemma2-2b", num_labels=10), "'gemma2-2b' is not on this machine; there are demo"),
    (lambda: create_model("gemma2-2b", num_labels=10), "hf download google/gemma-2-2b-it.*fast_mode=True"),
    (lambda: create_model("demo", num_labels=1), "num_labels is 1; use 2 or more"),
    (lambda: create_model("demo", num_labels=2, max_length=3), "max_length is 3; use 64 or more"),
    (lambda: create_model("x", 3, fast_mode=True).predict(["x"]), "has not been trained; call train"),
    (lambda: create_model("x", 3, fast_mode=True).save("x"), "There is nothing to save"),
    (lambda: create_model("x", 3, fast_mode=True).train(["a", "b"], ["x"]), "There are 2 texts and 1 rows of labels"),
    (lambda: create_model("x", 3, fast_mode=True).train("a text", ["x"]), "texts is one text; give a list"),
    (lambda: create_model("x", 2, fast_mode=True).train(["a", "b", "c"], ["x", "y", "z"]), "have 3 labels .x, y, z."),
    (lambda: create_model("x", 2, fast_mode=True).train(["a", "b"], ["x", "x"]), "label"),
    (lambda: create_model("x", 2, fast_mode=True).train(["a", "b"], ["x", ""]), "1 of 2 rows have no label"),
    (lambda: create_model("x", 2, fast_mode=True).train(TEXTS, LABELS, tune=True), "fast_mode has no language model"),
    (lambda: load_model("/no/such/folder"), "model.json is missing"),
])
def test_one_clear_line(act, words, galen_home):
    with pytest.raises(UserError, match=words):
        act()


def test_a_gguf_of_that_name_is_found(galen_home, demo_gguf, tmp_path):
    (galen_home / "gemma-2-2b-it-Q8_0.gguf").write_bytes(demo_gguf.read_bytes())
    assert classifier.found("gemma2-2b") == str(galen_home / "gemma-2-2b-it-Q8_0.gguf")


def test_a_text_that_recurs_is_not_on_both_sides(monkeypatch):
    """Else what is tuned on one side is tried on rows that it knows by heart."""
    asked = {}

    def fit(papers, golds, engine, **given):
        asked.update(given, papers=papers)
        raise UserError("seen enough")

    monkeypatch.setattr(classifier.classifier, "fit", fit)
    monkeypatch.setattr(classifier.Model, "_opened", lambda self: None)
    texts = [f"text {k % 150}" for k in range(300)]
    with pytest.raises(UserError, match="seen enough"):
        create_model("demo", num_labels=2).train(texts, ["a", "b"] * 150)
    learned, (tried, _) = {one.text for one in asked["papers"]}, asked["validation"]
    assert tried and learned and not learned & {one.text for one in tried}
    assert len(asked["papers"]) + len(tried) == 300
