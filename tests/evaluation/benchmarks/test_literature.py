"""Literature: labels are read from likelihoods, template rows counted apart, a slip in a gold label is named."""

import csv
import dataclasses

import pytest

from evaluation.benchmarks.catalog import find
from evaluation.benchmarks.literature import is_template
from evaluation.config import EvaluateConfig
from models import runs
from models.errors import UserError
from tasks import classifier
from tasks.classify import Paper
from tests.tasks.fake_engine import FakeEngine

LITERATURE = find("literature")
CONFIG = EvaluateConfig(benchmark="literature")
TEMPLATE = ("Study design: cohort investigation of statins in stroke. Participants: 83 patients with chorea and palsy "
            "evaluation. Results: none.")


def file(path, rows):
    lines = ["title;abstract;group", *(f"{title};{abstract};{group}" for title, abstract, group in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8-sig")
    return str(path)


ROWS = [("Heart", "The failing heart was studied.", "cardiovascular"), ("Brain", TEMPLATE, "neurological"),
        ("Both", "Heart and brain were studied.", "Neurological|cardiovascular"),
        ("More", "The heart again was studied.", "cardiovascular")]


def test_a_file_with_a_mark_and_semicolons_is_read(tmp_path):
    cases = LITERATURE.open(file(tmp_path / "a.csv", ROWS), CONFIG).cases
    assert [case.gold for case in cases] == ["cardiovascular", "neurological", "cardiovascular | neurological",
                                             "cardiovascular"]
    assert [case.group for case in cases] == ["real", "template", "real", "real"]
    assert [case.baselines["always cardiovascular"] for case in cases] == [1, 0, 0, 1]
    assert "cardiovascular, neurological" in cases[0].prompt and "Heart\n\nThe failing" in cases[0].prompt


def test_the_likeliest_labels_are_the_answer(tmp_path):
    cases = LITERATURE.open(file(tmp_path / "a.csv", ROWS), CONFIG).cases
    engine = FakeEngine(prefers={"failing heart": "cardiovascular", "Study design": "cardiovascular",
                                 "Heart and brain": "cardiovascular | neurological"})
    found = LITERATURE.score(engine, cases[:3], CONFIG)
    assert [one.answer for one in found] == ["cardiovascular", "cardiovascular", "cardiovascular | neurological"]
    assert [one.right for one in found] == [True, False, True] == [bool(one.value) for one in found]
    assert all(set(one.probabilities) == {"cardiovascular", "neurological"} for one in found)


def test_one_label_of_two_is_not_right(tmp_path):
    case = LITERATURE.open(file(tmp_path / "a.csv", ROWS), CONFIG).cases[2]
    found, = LITERATURE.score(FakeEngine(prefers={"Heart and brain": "cardiovascular"}), [case], CONFIG)
    assert (found.answer, found.right, found.value) == ("cardiovascular", False, 0.0)
    assert found.values == {"shared": 1, "missed": 1, "wrong": 0}


def test_labels_may_be_named_and_then_a_slip_is_an_error(tmp_path):
    path = file(tmp_path / "a.csv", [*ROWS, ("Slip", "Brains were studied.", "neurologcal")])
    asked = EvaluateConfig(benchmark="literature", labels=("Neurological", "cardiovascular", "oncological"))
    with pytest.raises(UserError, match="a.csv, line 6: its label 'neurologcal' is none of .*; did you mean "
                                        "'neurological'"):
        LITERATURE.open(path, asked)
    found = LITERATURE.open(file(tmp_path / "b.csv", ROWS), asked)
    assert "oncological" in found.cases[0].prompt


def test_without_named_labels_a_slip_is_noted(tmp_path):
    rows = [*ROWS, ("Third", "The brain was studied.", "neurological"), ("Again", "It was seen.", "neurological"),
            ("Slip", "Brains were studied.", "neurologcal")]
    notes = LITERATURE.open(file(tmp_path / "a.csv", rows), CONFIG).notes
    assert any("'neurologcal' stands in 1 of 7 rows; if 'neurological' is meant" in note for note in notes)
    assert not any("stands in" in note for note in LITERATURE.open(file(tmp_path / "b.csv", rows[:-1]), CONFIG).notes)


def test_a_row_without_a_label_is_named(tmp_path):
    path = file(tmp_path / "a.csv", [*ROWS, ("None", "Nothing was studied.", "")])
    with pytest.raises(UserError, match="a.csv, line 6: group is empty"):
        LITERATURE.open(path, CONFIG)


def test_a_file_without_labels_says_what_is_missing(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("title;abstract\nHeart;The heart.\n")
    with pytest.raises(UserError, match="none of them is the group"):
        LITERATURE.open(str(path), CONFIG)


def test_templates_are_told_from_real_abstracts(shared_data):
    with (shared_data / "medlit-challenge" / "challenge_train2850.csv").open(encoding="utf-8-sig") as lines:
        rows = list(csv.DictReader(lines, delimiter=";"))
    made = [row for row in rows if is_template(row["abstract"])]
    assert 0.56 < len(made) / len(rows) < 0.59
    assert max(len(row["abstract"]) for row in made) < 450
    # a real abstract of this set is longer, or tells of single patients; none ends as the templates do
    rest = [row["abstract"] for row in rows if not is_template(row["abstract"])]
    assert not [text for text in rest if text.endswith(("therapeutic innovation.", "safety considerations."))]


def test_development_rows_give_probabilities_and_thresholds(tmp_path):
    rows = [(f"T{k}", f"The {'heart' if k % 2 else 'brain'} number {k} was studied.",
             "cardiovascular" if k % 2 else "neurological") for k in range(60)]
    dev = LITERATURE.open(file(tmp_path / "dev.csv", rows), CONFIG).cases
    engine = FakeEngine(prefers={"brain": "neurological"})
    fitted = LITERATURE.calibrate(engine, dev, CONFIG)
    assert set(fitted["head"]["calibrations"]) <= {"cardiovascular", "neurological", "one label"} and fitted["why"]
    path = tmp_path / "calibration.json"
    runs.write_json(path, fitted)
    asked = EvaluateConfig(benchmark="literature", calibration=str(path))
    found = LITERATURE.score(engine, dev[:4], asked)
    assert [one.answer for one in found][::2] == ["neurological"] * 2
    assert all(0 <= share <= 1 for one in found for share in one.probabilities.values())


def test_a_classifier_that_was_fitted_decides(tmp_path):
    rows = [(f"T{k}", f"The {'heart beats' if k % 2 else 'brain thinks'} number {k}.",
             "cardiovascular" if k % 2 else "neurological") for k in range(40)]
    cases = LITERATURE.open(file(tmp_path / "a.csv", rows), CONFIG).cases
    papers = [case.task[0] for case in cases]
    classifier.fit(papers, [{case.gold} for case in cases]).save(tmp_path / "fitted")
    asked = EvaluateConfig(benchmark="literature", classifier=str(tmp_path / "fitted"))
    found = LITERATURE.score(FakeEngine(), cases[:6], asked)
    assert all(one.right for one in found)


def test_an_empty_text_has_no_label_and_the_item_says_why(tmp_path):
    cases = LITERATURE.open(file(tmp_path / "a.csv", ROWS), CONFIG).cases
    empty = dataclasses.replace(cases[0], task=(Paper(text=" "), cases[0].task[1]))
    found, other = LITERATURE.score(FakeEngine(), [empty, cases[1]], CONFIG)
    assert found.answer == "" and found.right is False and "no text" in found.note and other.answer
