from pathlib import Path

import pytest

from corpus.layouts import load
from tasks.summarise import request
from tests.corpus.layouts.tables import loaded, turns


@pytest.mark.parametrize("row, header, group", [
    ({"dialogue": " Doctor: Hi. ", "section_text": "Well.", "section_header": "ROS", "ID": 3}, "ROS", ""),
    ({"dialogue": "Doctor: Hi.", "section_text": "Well."}, "", ""),
    ({"Section Text": "Well.", "Section Header": "ROS", "DIALOGUE": "Doctor: Hi."}, "ROS", ""),
    ({"dataset": "virtassist", "encounter_id": "D2N001", "dialogue": "Doctor: Hi.", "note": "Well."}, "",
     "encounterid=d2n001"),
    ({"dialogue": [{"speaker": "Doctor", "text": "Hi."}], "note": "Well."}, "", ""),
    ({"dialogue": "[{'role': 'Doctor', 'content': 'Hi.'}]", "note": "Well."}, "", ""),
    ({"dialogue": ["Doctor: Hi."], "note": "Well."}, "", ""),
    ({"conversation": "Doctor: Hi.", "summary": "Well.", "encounter_id": 1, "patient_id": 17.0}, "", "patientid=17"),
])
def test_a_dialogue_and_its_note(row: dict, header: str, group: str, tmp_path: Path):
    example, _ = loaded(tmp_path, row, row).examples
    assert example.messages == turns(request("Doctor: Hi.", header), "Well.")
    assert (example.section, example.input, example.group) == (header, "Doctor: Hi.", group)


def test_mts_dialog(shared_data: Path):
    for name, rows in (("train", 1201), ("validation", 100), ("test1", 200)):
        found = load([str(shared_data / "mts-dialog" / f"{name}.csv")])
        assert len(found.examples) == rows and not found.unusable
        assert found.recognised[0].columns == {
            "dialogue": "dialogue", "section_text": "section_text", "section_header": "section_header"}
        assert found.recognised[0].unread == ("ID",)
        assert not any(example.group for example in found.examples)         # its ID is a number of a row, in each file
    together = load([str(shared_data / "mts-dialog")])
    assert sorted({e.split for e in together.examples}) == ["test", "train", "validation"]
    assert len({e.section for e in together.examples}) == 20


def test_aci_bench(shared_data: Path):
    found = load([str(shared_data / "aci-bench" / f"{name}.csv") for name in ("train", "valid")])
    assert [one.rows for one in found.recognised] == [67, 20] and not found.unusable
    assert len({example.group for example in found.examples}) == 87
