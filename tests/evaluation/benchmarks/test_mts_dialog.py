"""MTS-Dialog: ROUGE by the library, headers given or predicted, trivial answers beside the model."""

import csv

import pytest
from rouge_score.rouge_scorer import RougeScorer

from evaluation.benchmarks.catalog import find
from evaluation.config import EvaluateConfig
from models.errors import UserError
from tests.tasks.fake_engine import FakeEngine

MTS = find("mts_dialog")
CONFIG = EvaluateConfig(benchmark="mts_dialog")
PREDICTED = EvaluateConfig(benchmark="mts_dialog", headers="predicted")
TRAINING = [("CC", "Cough.", "Doctor: Hi.\nPatient: I cough."), ("CC", "Cough.", "Doctor: Hello.\nPatient: Coughing."),
            ("CC", "Fever.", "Doctor: Yes?\nPatient: I am hot."), ("PLAN", "Rest.", "Doctor: Rest.\nPatient: Yes.")]
TEST = [("CC", "The patient coughs.", "Doctor: What is it?\nPatient: I cough all day long."),
        ("PLAN", "Bed rest.", "Doctor: Stay in bed.\nPatient: For how long?\nDoctor: Two days.")]


@pytest.fixture
def folder(tmp_path):
    for name, rows in (("train", TRAINING), ("test1", TEST)):
        with (tmp_path / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["ID", "section_header", "section_text", "dialogue"])
            writer.writerows([k, *row] for k, row in enumerate(rows))
    return tmp_path


def test_the_section_asked_for_is_held_against_the_clinicians(folder):
    cases = MTS.open(str(folder / "test1.csv"), CONFIG).cases
    engine = FakeEngine(says={"all day": "The patient has been coughing.", "bed": "Rest in bed for 7 days."})
    found = MTS.score(engine, cases, CONFIG)
    expected = RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=True).score(TEST[0][1], found[0].answer)
    assert [found[0].values[name] for name in ("rouge_1", "rouge_2", "rouge_l")] == pytest.approx(
        [expected[name].fmeasure for name in ("rouge1", "rouge2", "rougeL")], abs=1e-6)
    assert found[0].value == found[0].values["rouge_1"] > 0.5 and "header" not in found[0].values
    assert [(case.group, case.gold) for case in cases] == [row[:2] for row in TEST]
    assert found[1].values["marked"] == 1 and "marked that the conversation does not say" in found[1].note
    assert cases[0].prompt in engine.asked[0] and 'the section "CC"' in cases[0].prompt


def test_trivial_answers_stand_beside_the_model(folder):
    cough, rest = MTS.open(str(folder / "test1.csv"), CONFIG).cases
    assert set(cough.baselines) == {"the dialogue itself", "the patient's words", "the header's commonest note",
                                    "the note of the nearest dialogue"}
    assert cough.baselines["the note of the nearest dialogue"] == pytest.approx(2 / 4)
    assert cough.baselines["the header's commonest note"] == pytest.approx(2 / 4)       # "Cough." of three words
    assert rest.baselines["the header's commonest note"] == pytest.approx(2 / 3)
    assert rest.baselines["the patient's words"] == 0
    (folder / "train.csv").unlink()
    assert "the header's commonest note" not in MTS.open(str(folder / "test1.csv"), CONFIG).cases[0].baselines


def test_headers_are_predicted_first_and_counted(folder):
    cases = MTS.open(str(folder / "test1.csv"), PREDICTED).cases
    engine = FakeEngine(prefers={"all day": "Chief complaint", "bed": "Allergies"}, says={"": "Something."})
    found = MTS.score(engine, cases, PREDICTED)
    assert [one.values["header"] for one in found] == [1, 0]
    assert 'the section "CC"' in engine.asked[0] and 'the section "ALLERGY"' in engine.asked[1]
    assert "CC" not in cases[0].prompt and cases[0].group == "CC"


def test_of_the_folder_the_test_split_is_read(folder):
    assert len(MTS.open(str(folder), CONFIG).cases) == 2


def test_a_row_without_a_note_is_named(folder):
    path = folder / "test1.csv"
    path.write_text(path.read_text() + '7,CC,,"Doctor: Hm."\n')
    with pytest.raises(UserError, match="test1.csv, line 7: section_text is empty"):
        MTS.open(str(path), CONFIG)


def test_a_long_dialogue_is_done_in_parts_and_said_so(folder):
    with (folder / "test1.csv").open("a", newline="") as file:
        csv.writer(file).writerow([9, "CC", "Cough.", "\n".join(f"Patient: I cough, day {k}." for k in range(60))])
    cases = MTS.open(str(folder / "test1.csv"), CONFIG).cases
    asked = EvaluateConfig(benchmark="mts_dialog", max_tokens=30)
    found = MTS.score(FakeEngine(says={"": "Coughs."}, ctx_tokens=700), cases, asked)
    assert "parts" in found[2].note and not found[2].skipped and found[2].answer.startswith("Coughs.")


def test_the_real_splits_have_the_published_baselines(shared_data):
    cases = MTS.open(str(shared_data / "mts-dialog" / "test1.csv"), CONFIG).cases
    means = {name: sum(case.baselines[name] for case in cases) / len(cases) for name in cases[0].baselines}
    assert len(cases) == 200 and len({case.group for case in cases}) == 20
    assert means["the dialogue itself"] == pytest.approx(0.230, abs=0.002)
    assert means["the patient's words"] == pytest.approx(0.179, abs=0.005)
    assert means["the header's commonest note"] == pytest.approx(0.151, abs=0.002)
    assert means["the note of the nearest dialogue"] == pytest.approx(0.204, abs=0.002)
