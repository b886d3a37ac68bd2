"""Labels for the rows of a file: what can be chosen, what is wrong with the file's own, and how many were right."""

import json
from contextlib import nullcontext

import pytest

from evaluation.batch import worker
from evaluation.batch.config import ClassifyConfig
from models import knobs, runs
from models.errors import UserError
from models.job import Job
from tests.tasks.fake_engine import FakeEngine

LABELS = ("cardiology", "neurology", "oncology")


@pytest.fixture
def classified(tmp_path):
    """Writes a file, classifies it; (rows, result, what was said)."""
    def run(text, engine=None, name="rows.csv", **settings):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        folder = runs.new_run("x", str(tmp_path / f"run{len(list(tmp_path.glob('run*')))}"))
        config = ClassifyConfig(**{"file": str(path), "out": str(tmp_path / "out.jsonl"), **settings})
        runs.write_json(folder / runs.CONFIG, knobs.to_json(config))
        worker.work(Job(folder), lambda wanted: nullcontext(engine or FakeEngine(prefers={"heart": "cardiology"})))
        said = [json.loads(line).get("text", "") for line in (folder / runs.EVENTS).read_text().splitlines()]
        rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
        return rows, runs.read_json(folder / runs.RESULT), "\n".join(said)
    return run


def table(*rows, header="title,abstract,group"):
    return "\n".join([header, *rows]) + "\n"


def test_every_row_has_its_labels_with_probabilities(classified):
    rows, result, said = classified(table("t,The heart.,cardiology", "t,The brain.,neurology", "t,,oncology"),
                                    labels=LABELS)
    assert rows[0]["predicted_labels"] == "cardiology" and rows[0]["by"] == "language model"
    assert rows[0]["confidence"] == rows[0]["p(cardiology)"] > 0.9
    assert sum(rows[0][f"p({label})"] for label in LABELS) == pytest.approx(1, abs=1e-5)
    assert rows[2]["problem"] == "abstract is empty" and rows[2]["predicted_labels"] is None
    assert result["scores"]["n"] == 2 and result["scores"]["labels"]["cardiology"]["n"] == 1
    assert "rows.csv: title = title, abstract = abstract, group = group" in said


def test_without_a_label_column_nothing_is_scored_and_labels_must_be_named(classified):
    text = table("t,The heart.", header="title,abstract")
    rows, result, said = classified(text, labels=LABELS, single=True)
    assert rows[0]["predicted_labels"] == "cardiology" and result["scores"] == {}
    assert "rows.csv has no column of labels, so nothing is scored (--map group=COLUMN names it)." in said
    with pytest.raises(UserError, match="no column of labels, and no --labels are named, so there is"):
        classified(text)


def test_a_misspelt_label_names_the_nearest_and_is_not_scored(classified):
    _, result, said = classified(table("t,The heart.,cardiolgy", "t,My heart.,cardiolgy", "t,A heart.,cardiology",
                                       "t,Hearts.,dentistry"), labels=LABELS)
    assert ("rows.csv, line 2 and 1 more rows: the label 'cardiolgy' is none of those to choose from; did you mean "
            "'cardiology'? Not scored.") in said
    assert "line 5: the label 'dentistry' is none of those to choose from; no label is like it" in said
    assert result["scores"]["n"] == 2 and result["scores"]["subset_accuracy"] == 0.5
    assert result["scores"]["labels"]["dentistry"] == {"precision": 0, "recall": 0, "f1": 0, "n": 1}


def test_labels_are_the_files_own_or_those_that_the_model_was_tuned_on(classified, tmp_path):
    text = table("t,The heart.,cardiology", "t,Brain.,neurology")
    assert "are those of rows.csv itself: cardiology, neurology." in classified(text)[2]
    run = tmp_path / "tuned"
    runs.make_folder(run)
    (run / runs.EVENTS).touch()
    (tmp_path / "learned.csv").write_text(table("t,The skin.,dermatology", "t,The heart.,cardiology"))
    runs.write_json(run / runs.CONFIG, {"data": [str(tmp_path / "learned.csv")], "eval": []})
    rows, _, said = classified(text, model=str(run))
    assert "are those that tuned was trained on: cardiology, dermatology." in said and "p(dermatology)" in rows[0]
    assert "the label 'neurology' is none of those to choose from" in said
    assert "nobody can say which items it has seen" in said         # of one row none can be set aside again


def test_a_slip_among_the_files_own_labels_is_named(classified):
    rows = [f"t,The heart {k}.,cardiology" for k in range(4)] + ["t,The heart.,cardiolgy", "t,Brain.,neurology"]
    assert ("rows.csv, line 6: the label 'cardiolgy' stands in 1 of 6 rows; did you mean 'cardiology'? As it is, it is "
            "a label of its own.") in classified(table(*rows))[2]


@pytest.mark.parametrize(("text", "settings", "words"), [
    (table("t,Heart.,cardiology", "t,Hearts.,cardiology"), {}, "only the label 'cardiology' to choose from"),
    (table("t,Heart.,cardiology"), dict(labels=("one",)), "only the label 'one' to choose from"),
    (table("t,Heart.,a"), dict(labels=("a|b", "c")), "The label 'a|b' has a \"|\" in it".replace("|", "[|]")),
    (table("t,Heart.,a"), dict(fast=True), "Words alone .--fast. are learned from labelled rows; name them with --tr"),
    (table("t,Heart.,a"), dict(shots=2), "are taken from labelled rows; name them with --train"),
    (table("t,Heart.,a"), dict(classifier="/no/such"), "There is no classifier in /no/such"),
])
def test_one_clear_line(classified, text, settings, words):
    with pytest.raises(UserError, match=words):
        classified(text, **settings)


def test_a_very_long_abstract_a_mark_and_another_separator(classified):
    text = "\ufefftitle;abstract;group\r\n" + "t;" + "heart " * 8334 + ";cardiology\r\nt;Brain.;neurology\r\n"
    rows, result, _ = classified(text, labels=LABELS)
    assert len(rows[0]["abstract"]) > 50_000 and rows[0]["predicted_labels"] == "cardiology" and not rows[0]["problem"]
    rows, result, _ = classified(text, FakeEngine(ctx_tokens=400), labels=LABELS)
    assert "cut" in rows[0]["note"] or "middle" in rows[0]["note"]
    rows, result, _ = classified(text, FakeEngine(ctx_tokens=100), labels=LABELS)
    assert "and the context holds 100" in rows[0]["problem"] and result["not_done"] == 2


def training_rows(tmp_path):
    rows = [f"t,The heart and its vessels {k}.,cardiology" for k in range(12)]
    rows += [f"t,The brain and its nerves {k}.,neurology" for k in range(12)]
    path = tmp_path / "train.csv"
    path.write_text(table(*rows))
    return str(path)


def test_words_alone_need_no_model_and_say_so(classified, tmp_path):
    class Never:
        def __getattr__(self, name):
            raise AssertionError(name)
    rows, result, said = classified(table("t,Vessels of a heart.,cardiology", "t,A nerve of the brain.,neurology",
                                          "t,The brain and its nerves 3.,neurology"),
                                    Never(), train=training_rows(tmp_path), fast=True)
    assert [row["predicted_labels"] for row in rows] == ["cardiology", "neurology", "neurology"]
    assert rows[0]["by"] == "linear model" and "without a language model" in said and result["models"] == {}
    assert result["learned_from"] == 1 and result["scores"]["n"] == 3 and result["scores_of_others"]["n"] == 2
    assert "1 of 3 items is also among the rows of train.csv" in said


def test_a_classifier_is_fitted_once_and_used_again(classified, tmp_path):
    train = training_rows(tmp_path)
    rows, _, said = classified(table("t,A heart.,cardiology"), train=train, shots=2)
    assert rows[0]["predicted_labels"] == "cardiology" and "Learning from 24 labelled rows." in said
    kept = tmp_path / "run0" / runs.CLASSIFIER
    again, _, said = classified(table("t,A heart.,cardiology"), classifier=str(kept))
    assert again == rows and "Learning" not in said
    with pytest.raises(UserError, match="fitted with the language model"):
        classified(table("t,A heart.,cardiology"), FakeEngine(name="other"), classifier=str(kept))
    (tmp_path / "run0" / runs.RESULT).unlink()
    (tmp_path / "run0" / runs.ROWS).unlink()
    worker.work(Job(tmp_path / "run0"), lambda wanted: nullcontext(FakeEngine(prefers={"heart": "cardiology"})))
    said = (tmp_path / "run0" / runs.EVENTS).read_text()
    assert said.count("Learning from") == 1


def test_labels_with_their_meaning_from_a_table(classified, tmp_path):
    (tmp_path / "meanings.csv").write_text("label,meaning\nCardiology,heart and vessels\nneurology,nerves\n")
    engine = FakeEngine(prefers={"heart": "cardiology"})
    rows, _, _ = classified(table("t,Some text."), engine, descriptions=str(tmp_path / "meanings.csv"), single=True)
    assert rows[0]["predicted_labels"] == "cardiology"
    assert "heart and vessels" in engine.text(engine.scored[0][0])
