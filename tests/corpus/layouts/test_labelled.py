import json
from pathlib import Path

import pytest

from corpus.layouts import load
from tasks import classify
from tasks.classify import Labels
from tests.corpus.layouts.tables import loaded, reasons, turns


@pytest.mark.parametrize("cell, label", [
    ("Cardio", "cardio"), ("neuro|Cardio", "cardio | neuro"), ("neuro , cardio", "cardio | neuro"),
    ("neuro;cardio", "cardio | neuro"), ("|cardio|| neuro | ", "cardio | neuro"), (";cardio,", "cardio"),
    ("cardio|cardio", "cardio"), (["neuro", "Cardio"], "cardio | neuro"), (["ear, nose"], "ear, nose"),
    ("['neuro', 'cardio']", "cardio | neuro"), (3, "3"), (3.0, "3"), (0, "0"),
])
def test_labels_are_split_lower_cased_and_put_in_order(cell: object, label: str, tmp_path: Path):
    example = loaded(tmp_path, {"text": "A text.", "label": cell}, {"text": "Another.", "label": "neuro"},
                     {"text": "A third.", "label": "cardio"}).examples[0]
    assert example.label == label == example.messages[1]["content"]


@pytest.mark.parametrize("row", [
    {"title": "T", "abstract": "A", "group": "x"}, {"Title": "T", "Abstract": "A", "Medical Domains": "x"},
    {"title": "T", "text": "A", "category": "x"}, {"title": "T", "medical_abstract": "A", "condition_label": "x"},
])
def test_titles_and_texts_and_groups_by_other_names(row: dict, tmp_path: Path):
    labels = Labels(names=("x", "y"), is_single=True)
    example = loaded(tmp_path, row, {**row, list(row)[-1]: "y"}).examples[0]
    assert example.messages == turns(classify.request("A", labels, "T"), "x") and example.input == "A"


def test_what_can_be_chosen_from_is_that_of_all_files_and_then_that_of_training(tmp_path: Path):
    for name, labels in (("a.csv", "x|y"), ("b.csv", "z"), ("eval.csv", "v")):
        (tmp_path / name).write_text(f"text,label\nA text.,{labels}\n")
    training = load([str(tmp_path / "a.csv"), str(tmp_path / "b.csv")])
    assert training.labels == Labels(names=("x", "y", "z"), is_single=False)
    assert len({e.messages[0]["content"] for e in training.examples}) == 1
    held = load([str(tmp_path / "eval.csv")], like=training)
    assert held.examples[0].messages[0] == training.examples[0].messages[0]
    assert held.examples[0].label == "v"
    assert held.notes == ("eval.csv has labels that the training rows do not have: v.",)


def test_numbers_get_the_names_that_stand_beside_them(tmp_path: Path):
    (tmp_path / "train.csv").write_text("label,text\n1,A text.\n2,Another.\n")
    alone = load([str(tmp_path / "train.csv")])
    assert [e.label for e in alone.examples] == ["1", "2"] and "are numbers" in alone.notes[0]
    (tmp_path / "labels.csv").write_text("label,name\n1,Neoplasms\n3,Other\n")
    assert [e.label for e in load([str(tmp_path / "train.csv")]).examples] == ["1", "2"]     # 2 has no name
    (tmp_path / "labels.csv").write_text("label,name\n1,Neoplasms\n2,Ear, nose\n".replace("Ear, nose", '"Ear, nose"'))
    named = load([str(tmp_path / "train.csv")])
    assert [e.label for e in named.examples] == ["neoplasms", "ear, nose"]
    folder = load([str(tmp_path)])
    assert [e.label for e in folder.examples] == ["neoplasms", "ear, nose"] and len(folder.recognised) == 1
    assert "labels.csv names labels; it holds no examples." in folder.notes


def test_rows_without_a_label_and_files_with_one_label_a_row_are_told(tmp_path: Path):
    found = loaded(tmp_path, {"text": "A", "label": "x"}, {"text": "B", "label": " | "}, {"text": "", "label": "x"},
                   {"text": "C", "label": []}, {"text": "D", "label": {"a": 1}})
    assert [row[1] for row in reasons(found)] == [
        "group holds no label", "text is empty", "label is empty",
        "group holds an object, not text (map a part of it by hand, as group.a)"]
    many = loaded(tmp_path, *({"text": "A", "label": f"x{k}"} for k in range(60)))
    assert "60 different labels in 60 rows" in many.notes[0]


def test_the_challenge_of_the_reference_classifier(shared_data: Path):
    found = load([str(shared_data / "medlit-challenge" / "challenge_train2850.csv")])
    assert len(found.examples) == 2850 and not found.unusable
    assert found.labels == Labels(names=("cardiovascular", "hepatorenal", "neurological", "oncological"),
                                  is_single=False)
    assert len({e.label for e in found.examples}) == 15
    assert sum(e.label == "neurological" for e in found.examples) == 857
    for example in found.examples:
        assert example.messages[0]["content"].endswith(f"\n\n{example.input}")
        assert example.messages[0]["content"].startswith("Classify the following medical text")


@pytest.mark.parametrize("source", ["medical_tc_train.csv", ""])
def test_the_conditions_have_their_names(shared_data: Path, source: str):
    found = load([str(shared_data / "medical-abstracts-tc" / source)])
    counts = {name: sum(e.label == name for e in found.examples) for name in found.labels.names}
    assert counts == {"neoplasms": 433, "digestive system diseases": 205, "nervous system diseases": 270,
                      "cardiovascular diseases": 426, "general pathological conditions": 688}
    assert found.labels.is_single and not found.unusable


def test_labels_of_a_datasets_folder_are_named_by_the_dataset(tmp_path: Path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    features = {"info": {"features": {"text": {"dtype": "string", "_type": "Value"},
                                      "label": {"names": ["neg", "pos"], "_type": "ClassLabel"}}}}
    table = pa.table({"text": ["A text.", "Another."], "label": [1, 0]})
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(features)}), tmp_path / "train.parquet")
    assert [e.label for e in load([str(tmp_path / "train.parquet")]).examples] == ["pos", "neg"]


@pytest.mark.parametrize("cells, labels", [
    (["Pain, chronic", "Pain, acute", "Fever"], ["pain, chronic", "pain, acute", "fever"]),
    (["Pain, chronic|Fever", "Fever", "Chronic"], ["fever | pain, chronic", "fever", "chronic"]),
    (["a, b", "a", "b"], ["a | b", "a", "b"]),
    (["a; b", "a", "b"], ["a | b", "a", "b"]),
])
def test_a_comma_divides_labels_only_where_its_parts_are_labels(cells: list, labels: list, tmp_path: Path):
    found = loaded(tmp_path, *({"text": f"A text {k}.", "label": cell} for k, cell in enumerate(cells)))
    assert [e.label for e in found.examples] == labels
    assert any("is one label, as 'pain, " in note for note in found.notes) == ("pain" in "".join(labels))


def test_the_training_rows_say_how_labels_are_divided(tmp_path: Path):
    for name, cells in (("train.csv", ("a;b", "a", "b")), ("eval.csv", ("b;a",))):
        (tmp_path / name).write_text("text,label\n" + "".join(f"A text.,{cell}\n" for cell in cells))
    training = load([str(tmp_path / "train.csv")])
    assert load([str(tmp_path / "eval.csv")], like=training).examples[0].label == "a | b"


@pytest.mark.parametrize("labels, is_said", [
    (["Cardiology", "cardiology "], True), (["cardiology", "neurology"], False)])
def test_one_label_alone_is_told(tmp_path: Path, labels: list[str], is_said: bool):
    found = loaded(tmp_path, *({"text": f"Text {k}.", "label": label} for k, label in enumerate(labels)))
    assert any("have the one label 'cardiology', so there is nothing" in note for note in found.notes) == is_said
