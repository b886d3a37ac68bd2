from pathlib import Path

import pytest

from corpus.config import DataConfig
from corpus.layouts import Loaded, load
from models.errors import UserError
from tasks import answer
from tests.corpus.layouts.tables import loaded, reasons, turns

OPTIONS = {"A": "Aspirin", "B": "Ibuprofen", "C": "Codeine"}
ASKED = answer.choice_question("Which?", OPTIONS)


@pytest.mark.parametrize("row", [
    {"options": OPTIONS, "answer_idx": "B", "answer": "Ibuprofen", "meta_info": "step1"},
    {"options": OPTIONS, "answer": "b"},
    {"options": OPTIONS, "answer": "(B)"},
    {"options": OPTIONS, "answer": "B. Ibuprofen"},
    {"options": OPTIONS, "answer": "Answer: B"},
    {"options": OPTIONS, "answer": "B) because it is milder"},
    {"options": OPTIONS, "answer": " ibuprofen. "},
    {"options": str(OPTIONS), "answer": "B"},
    {"options": {**OPTIONS, "D": None}, "answer": "B"},
    {"choices": list(OPTIONS.values()), "answer": 1, "subject": "x"},
    {"choices": ["A. Aspirin", "B. Ibuprofen", "C. Codeine"], "answer": "B"},
    {"options": [{"key": letter, "value": text} for letter, text in OPTIONS.items()], "answer_idx": "B"},
    {"choices": {"text": list(OPTIONS.values()), "label": ["A", "B", "C"]}, "answerKey": "B"},
    {"options": {"1": "Aspirin", "2": "Ibuprofen", "3": "Codeine"}, "answer": "Ibuprofen"},
    {"opa": "Aspirin", "opb": "Ibuprofen", "opc": "Codeine", "opd": None, "cop": 1, "exp": None, "answer": "Ibuprofen"},
    {"A": "Aspirin", "B": "Ibuprofen", "C": "Codeine", "answer": "B"},
    {"option1": "Aspirin", "option2": "Ibuprofen", "option3": "Codeine", "correct": "option2"},
    {"options": OPTIONS, "answer": "Option 2"},
    {"Option A": "Aspirin", "Option B": "Ibuprofen", "Option C": "Codeine", "Correct Answer": "B"},
])
def test_every_writing_of_a_choice_asks_and_answers_alike(row: dict, tmp_path: Path):
    found = loaded(tmp_path, {"question": "Which?", **row}, {"question": "Which?", **row})
    assert found.examples[0].messages == turns(ASKED, "B. Ibuprofen")
    assert (found.examples[0].label, found.examples[0].input) == ("B", "Which?")
    assert found.recognised[0].layout == "multiple choice" and not found.unusable


def test_choices_inside_an_object_and_under_one_question_with_endings(tmp_path: Path):
    inside = {"id": 1, "data": {"Question": "Which?", "Options": OPTIONS, "Correct Answer": "Ibuprofen",
                                "Correct Option": "B"}}
    found = loaded(tmp_path, inside, inside)
    assert found.examples[0].messages == turns(ASKED, "B. Ibuprofen")
    assert found.recognised[0].columns["letter"] == "data.Correct Option"
    endings = {"sent1": "Which?", **{f"ending{k}": text for k, text in enumerate(OPTIONS.values())}}
    numbers = loaded(tmp_path, {**endings, "label": 1}, {**endings, "label": 0})
    assert [e.messages for e in numbers.examples] == [turns(ASKED, "B. Ibuprofen"), turns(ASKED, "A. Aspirin")]


def test_one_column_is_not_both_the_letter_and_the_text_of_the_answer(tmp_path: Path):
    row = {"question": "Which?", "options": {"A": "B", "B": "A"}, "answer": "A"}
    found = loaded(tmp_path, row, row)
    assert "answer_text" not in found.recognised[0].columns
    assert found.examples[0].messages[1]["content"] == "A. B"


def test_an_explanation_follows_the_decision(tmp_path: Path):
    row = {"question": "Which?", "options": OPTIONS, "answer": "C", "exp": "It is an opiate."}
    assert loaded(tmp_path, row, row).examples[0].messages[1]["content"] == "C. Codeine\n\nIt is an opiate."
    left_out = loaded(tmp_path, row, row, columns=("explanation=-",))
    assert left_out.examples[0].messages[1]["content"] == "C. Codeine"
    assert left_out.recognised[0].unread == ("exp",)


@pytest.mark.parametrize("row, reason", [
    ({"options": OPTIONS, "answer": "D"}, "its answer 'D' is none of its options"),
    ({"options": OPTIONS, "answer": "A lesion"}, "its answer 'A lesion' is none of its options"),
    ({"options": OPTIONS, "answer": "I don't know"}, "its answer \"I don't know\" is none of its options"),
    ({"options": OPTIONS, "answer": None}, "answer is empty"),
    ({"options": OPTIONS, "answer": "B", "answer_text": "Codeine"},
     "its answer is B ('Ibuprofen'), but its text is that of C"),
    ({"options": ["Aspirin"], "answer": "A"}, "it has 1 options; a choice needs two"),
    ({"options": "Aspirin or Codeine", "answer": "A"}, "options is not a list or an object of options"),
])
def test_a_choice_that_can_not_be_used_says_why(row: dict, reason: str, tmp_path: Path):
    good = {"question": "Which?", "options": OPTIONS, "answer": "B"}
    assert reasons(loaded(tmp_path, good, {"question": "Which?", **row})) == [(2, reason)]


def numbered(folder: Path, *numbers: int) -> Loaded:
    return loaded(folder, *({"question": "Which?", "opa": "w", "opb": "x", "opc": "y", "opd": "z", "cop": number}
                            for number in numbers))


def test_a_split_with_hidden_answers_is_told_as_such(tmp_path: Path):
    with pytest.raises(UserError, match=r"every answer is -1, which stands for a hidden one .* take a split"):
        numbered(tmp_path, -1, -1)


def test_numbers_of_answers_are_counted_from_where_the_file_counts_them(tmp_path: Path):
    assert [e.label for e in numbered(tmp_path, 0, 3, 1).examples] == ["A", "D", "B"]
    from_one = numbered(tmp_path, 1, 4, 2)
    assert [e.label for e in from_one.examples] == ["A", "D", "B"]
    assert from_one.notes[:1] == ("The answers of rows.jsonl are numbers; the first option is 1.",)
    assert reasons(numbered(tmp_path, 0, -1)) == [(2, "its answer '-1' is none of its options")]
    with pytest.raises(UserError, match=r"can not be told whether the first option is number 0 or 1; write letters"):
        numbered(tmp_path, 1, 2, 3)


def test_a_table_without_column_names_is_read_as_mmlu_has_it(tmp_path: Path):
    path = tmp_path / "x_test.csv"
    path.write_text('Which one?,Aspirin,Ibuprofen,Codeine,Morphine,B\n"Which, then?",w,x,y,z,D\nAnd?,w,x,y,z,E\n')
    found = load([str(path)])
    assert [(e.line, e.label) for e in found.examples] == [(1, "B"), (2, "D")]
    assert found.recognised[0].columns == {"question": "1", "A": "2", "B": "3", "C": "4", "D": "5", "letter": "6"}
    assert reasons(found) == [(3, "its answer 'E' is none of its options")]
    with pytest.raises(UserError, match="x_test.csv has no column names: .* as question=1 answer=2"):
        load([str(path)], DataConfig(layout="question"))
    by_hand = load([str(path)], DataConfig(columns=("question=1", "answer=6"), layout="question"))
    assert by_hand.examples[0].messages == turns("Which one?", "B")


def test_the_real_choices(shared_data: Path):
    counts = {"medqa_dev150.jsonl": [42, 35, 45, 28], "medmcqa_dev300.jsonl": [96, 88, 63, 53],
              "mmlu/anatomy_test.csv": 135, "mmlu/medical_genetics_test.csv": 100}
    for name, wanted in counts.items():
        found = load([str(shared_data / "mcq" / name)])
        letters = [sum(e.label == letter for e in found.examples) for letter in "ABCD"]
        assert letters == wanted if isinstance(wanted, list) else sum(letters) == wanted
        assert not found.unusable and found.recognised[0].layout == "multiple choice"
        for example in found.examples:
            chosen = example.messages[1]["content"]
            assert chosen.startswith(f"{example.label}. ") and f"\n{chosen}" in example.messages[0]["content"]


@pytest.mark.parametrize("options", [[f"o{k}" for k in range(12)], {f"{k}": f"o{k}" for k in range(12)}])
def test_more_options_than_there_are_letters_are_not_cut_off(tmp_path: Path, options: object):
    row = {"question": "Which?", "options": options, "answer": "o1"}
    found = loaded(tmp_path, row, {**row, "options": ["o0", "o1"]})
    assert reasons(found) == [(1, "it has 12 options; a choice has 10 at the most")]


@pytest.mark.parametrize("padded", [["Aspirin", "Heparin", *[None] * 10], ["Aspirin", "Heparin", *[""] * 10],
                                    {one: {"A": "Aspirin", "B": "Heparin"}.get(one) for one in "ABCDEFGHIJKL"}])
def test_options_that_are_there_in_name_only_are_none(tmp_path: Path, padded: object):
    found = loaded(tmp_path, *[{"question": f"Which {k}?", "options": padded, "answer": "Heparin"} for k in range(2)])
    assert not reasons(found) and [one.label for one in found.examples] == ["B", "B"]
