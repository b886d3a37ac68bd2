from pathlib import Path

import pytest

from corpus.layouts import load
from tasks import answer
from tests.corpus.layouts.tables import loaded, reasons, turns


@pytest.mark.parametrize("row, messages, cut, layout", [
    ({"instruction": "Translate.", "input": "Fièvre", "output": "Fever"}, turns("Translate.\n\nFièvre", "Fever"),
     "Fièvre", "instruction/input/output"),
    ({"instruction": "Say hello.", "input": None, "output": "Hello", "text": "### all"}, turns("Say hello.", "Hello"),
     "", "instruction/input/output"),
    ({"Instruction": "Sum up.", "Context": "Long.", "Response": "Short."}, turns("Sum up.\n\nLong.", "Short."), "Long.",
     "instruction/input/output"),
    ({"Question": "Why?", " Answer": "Because."}, turns("Why?", "Because."), "", "question/answer"),
    ({"question": "Why?", "answer": "Because.", "category": "x", "title": "y"}, turns("Why?", "Because."), "",
     "question/answer"),
    ({"QUESTION": "Why?", "Response": "Because."}, turns("Why?", "Because."), "", "question/answer"),
    ({"input": "1 + 1", "output": 2}, turns("1 + 1", "2"), "", "question/answer"),
    ({"question": "Why?", "answer": "So.", "context": "Text."}, turns(answer.question("Why?", "Text."), "So."), "Text.",
     "question/answer"),
    ({"pubid": 7, "question": "Why?", "context": {"contexts": ["a", "b"], "labels": ["AIM", "END"]},
      "long_answer": "So."}, turns(answer.question("Why?", "Aim: a\nEnd: b"), "So."), "Aim: a\nEnd: b",
     "question/answer"),
    ({"Description": "d", "Patient": "It hurts.", "Doctor": "Rest."}, turns("It hurts.", "Rest."), "",
     "question/answer"),
    ({"prompt": "1 + 1 =", "completion": 2}, turns("1 + 1 =", "2"), "", "prompt/completion"),
    ({"prompt": "[1] + [2]", "completion": "[3]"}, turns("[1] + [2]", "[3]"), "", "prompt/completion"),
    ({"prompt": "Sum up.", "completion": "c", "context": "Long."}, turns("Sum up.\n\nLong.", "c"), "Long.",
     "prompt/completion"),
    ({"findings": "Clear lungs.", "impression": "Normal."}, turns("Clear lungs.", "Normal."), "", "question/answer"),
    ({"system": "Be brief.", "question": "Why?", "answer": "So."},
     ({"role": "system", "content": "Be brief."}, *turns("Why?", "So.")), "", "question/answer"),
])
def test_a_request_and_its_answer(row: dict, messages: tuple, cut: str, layout: str, tmp_path: Path):
    found = loaded(tmp_path, row, row)
    assert found.examples[0].messages == messages and found.examples[0].input == cut
    assert found.recognised[0].layout == layout and not found.unusable
    assert not cut or cut in messages[0]["content"]


@pytest.mark.parametrize("row, reason", [
    ({"question": "Why?", "answer": "  "}, "answer is empty"),
    ({"question": None, "answer": "x"}, "question is empty"),
    ({"question": float("nan"), "answer": "x"}, "question is empty"),
    ({"answer": "x"}, "question is missing"),
    ({"question": ["a"], "answer": "x"}, "question holds a list, not text"),
    ({"question": {"text": "a"}, "answer": "x"},
     "question holds an object, not text (map a part of it by hand, as question.text)"),
])
def test_a_row_that_can_not_be_used_is_returned_with_its_reason(row: dict, reason: str, tmp_path: Path):
    found = loaded(tmp_path, {"question": "q", "answer": "a"}, row, {"question": "r", "answer": 0})
    assert [example.messages[1]["content"] for example in found.examples] == ["a", "0"]
    assert reasons(found) == [(2, reason)]


def test_answers_that_are_all_yes_no_or_maybe_are_decisions(tmp_path: Path):
    found = loaded(tmp_path, {"question": "Is it?", "answer": "YES", "context": "Text."},
                   {"question": "Or not?", "answer": "no."})
    assert [(e.label, e.messages[1]["content"]) for e in found.examples] == [("yes", "Yes."), ("no", "No.")]
    assert found.examples[0].messages[0]["content"] == answer.decision_question("Is it?", "Text.")
    assert "yes, no or maybe" in found.notes[0]
    for others in ("So.", "yes"):
        mixed = loaded(tmp_path, {"question": "Is it?", "answer": "yes"}, {"question": "Why?", "answer": others})
        assert [e.label for e in mixed.examples] == ["", ""]


def test_pubmedqa_as_the_hub_has_it_and_with_a_decision_that_is_none(tmp_path: Path):
    context = {"contexts": ["a", "b"], "labels": ["AIM", "END"], "meshes": []}
    row = {"pubid": 7, "question": "Is it?", "context": context, "long_answer": "It seems so.", "final_decision": "Yes"}
    found = loaded(tmp_path, row, {**row, "final_decision": "perhaps"}, {**row, "context": ["a", "b"]})
    first, second = found.examples
    assert first.messages == turns(answer.decision_question("Is it?", "Aim: a\nEnd: b"), "Yes. It seems so.")
    assert (first.label, first.group, first.input) == ("yes", "pmid=7", "Aim: a\nEnd: b")
    assert second.input == "a\nb"
    assert reasons(found) == [(2, "final_decision is 'perhaps', not yes, no or maybe")]


def test_pubmedqa(shared_data: Path):
    found = load([str(shared_data / "pubmedqa" / "pqal_dev500.json")])
    assert len(found.examples) == 500 and not found.unusable
    assert found.recognised[0].layout == "PubMedQA" and "LONG_ANSWER" in found.recognised[0].columns.values()
    assert [sum(e.label == one for e in found.examples) for one in ("yes", "no", "maybe")] == [276, 169, 55]
    for example in found.examples:
        assert example.messages[-1]["content"].lower().startswith(f"{example.label}. ")      # the decision comes first
        assert example.messages[0]["content"].endswith(example.input) and example.group[len("key="):].isdigit()


def test_medquad_as_jsonl_and_as_xml(shared_data: Path):
    lines = load([str(shared_data / "medquad" / "medquad_train.jsonl")])
    assert len(lines.examples) == 9000 and lines.recognised[0].layout == "MedQuAD"
    assert len({e.group for e in lines.examples}) > len({e.group.split("/")[1] for e in lines.examples})
    sources = load([str(shared_data / "medquad" / "raw_xml_sample")])
    assert (len(sources.examples), len(sources.unusable)) == (45, 6)
    assert all(row.file.endswith(".xml") and "answer is empty" in row.reason for row in sources.unusable)
    assert {e.file.rsplit("/", 1)[1] for e in sources.examples} == {f"0000001_{k}.xml" for k in range(1, 7)}


def test_chatdoctor_and_its_table_of_diseases(shared_data: Path):
    talks = load([str(shared_data / "chatdoctor" / "chatdoctor5k.json")])
    assert len(talks.examples) == 5452 and talks.recognised[0].layout == "instruction/input/output"
    found = load([str(shared_data / "chatdoctor" / "format_dataset.csv")])
    assert len(found.examples) == 796 and not found.unusable
    assert found.recognised[0].columns["tests"] == "TestsAndProcedures"
    answers = [e.messages[1]["content"] for e in found.examples]
    assert not any("\\x" in text or "['" in text for text in answers)
    assert "Symptoms: Anxiety and nervousness, Depression," in answers[0]
    assert "κρυπτός" in answers[3]                  # its Greek was printed byte by byte


@pytest.mark.parametrize("cell, context", [
    ("{'contexts': array(['One (a).', 'Two.'], dtype=object), 'labels': array(['AIM', 'END'], dtype=object)}",
     "Aim: One (a).\nEnd: Two."),
    ("array(['One.',\n       'Two.'], dtype=object)", "One.\nTwo."),
    ("{'contexts': array(['One.', ...,  'Two.'], dtype=object)}", None), ("{'contexts': <cut>}", None)])
def test_a_context_as_numpy_prints_it_is_read_or_refused(cell: str, context: str | None, tmp_path: Path):
    found = loaded(tmp_path, {"question": "q", "answer": "a", "context": cell},
                   {"question": "q", "answer": "b", "context": "{brackets} of a text."})
    assert [e.input for e in found.examples] == [*([context] if context else []), "{brackets} of a text."]
    assert ["as a program printed it" in reason for _, reason in reasons(found)] == [True] * (context is None)


def test_the_history_of_an_instruction_comes_first(tmp_path: Path):
    row = {"instruction": "And now?", "input": "", "output": "Rest.", "system": "Be kind."}
    found = loaded(tmp_path, {**row, "history": [["Hi", "Yes?"]]}, {**row, "history": []}, {**row, "history": "x"})
    assert found.examples[0].messages == ({"role": "system", "content": "Be kind."},
                                          *turns("Hi", "Yes?", "And now?", "Rest."))
    assert len(found.examples[1].messages) == 3 and "history is not a list of pairs" in reasons(found)[0][1]


def test_true_and_false_are_decisions_where_every_answer_is_one(tmp_path: Path):
    rows = [{"question": f"Is it {k}?", "answer": value} for k, value in enumerate((True, False, "True"))]
    assert [e.label for e in loaded(tmp_path, *rows).examples] == ["yes", "no", "yes"]
    free = loaded(tmp_path, *rows, {"question": "Why?", "answer": "It hurts."})
    assert free.examples[0].messages[-1]["content"] == "True" and not free.examples[0].label
