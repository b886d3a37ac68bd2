from pathlib import Path

import pytest

from corpus.config import DataConfig
from corpus.layouts import load
from corpus.layouts.columns import key
from corpus.layouts.recognise import LAYOUTS
from models.errors import UserError
from tests.corpus.layouts.tables import loaded, turns

QA = {"question": "q", "answer": "a"}


@pytest.mark.parametrize("row, settings, message", [
    ({"ID": 1, "Frage": "x"}, {}, r"rows.jsonl has the columns ID, Frage, which fit no known layout \(.*"
                                  r"question \+ answer.*\). Rename them, or map them by hand, as question=COLUMN"),
    ({"text": "x"}, {}, r"For title/abstract/group only the group is missing"),
    ({"prompt": "p", "chosen": "c", "rejected": "r"}, {}, r"For prompt/completion only the completion is missing"),
    ({**QA, "response": "r"}, {}, r"'answer', 'response' could each be the answer; map it by hand: "
                                  r"answer=answer or answer=response"),
    ({**QA, "prompt": "p"}, {}, r"'question', 'prompt' could each be the question"),
    ({"Question": "q", **QA}, {}, r"'Question', 'question' could each be the question"),
    ({**QA, "context": "c", "abstract": "b"}, {}, r"'context', 'abstract' could each be the context; .*"
                                                  r"or context=- for neither"),
    ({"dialogue": "d", "note": "n", "summary": "s"}, {}, r"'note', 'summary' could each be the section_text"),
    ({"text": "t", "label": "l", "category": "c"}, {}, r"'label', 'category' could each be the group"),
    ({"patient": "p", "message": "m", "doctor": "d"}, {}, r"'patient', 'message' could each be the question"),
    ({**QA, "text": "t", "label": "l"}, {}, r"its columns fit question/answer \(question, answer\) and title/abstract/"
                                            r"group \(text, label\); name the layout by hand"),
    ({"messages": list(turns("q", "a")), **QA}, {}, r"its columns fit messages \(messages\) and question/answer"),
    ({f"column {k}": k for k in range(90)} | {"x" * 300: 1}, {}, r"column 19 and 71 more, which fit no known layout"),
    ({"w" * 300: 1, "b": 2}, {}, r"has the columns w{40}\.\.\., b, which fit"),
    (QA, {"layout": "verse"}, r"Layout is 'verse'; use one of messages, ShareGPT, multiple choice, PubMedQA"),
    (QA, {"layout": "pubmedqa"}, r"none of them is the contexts or the final_decision of PubMedQA. Map it by hand, as "
                                 r"contexts=COLUMN"),
    (QA, {"columns": ("question=Frage",)}, r"rows.jsonl has no column 'Frage'; it has question, answer"),
    (QA, {"columns": ("questin=question",)}, r"has the field 'questin'; did you mean 'question'\?"),
    (QA, {"columns": ("zebra=question",)}, r"has the field 'zebra'; there are .*question"),
])
def test_what_can_not_be_told_is_asked(row: dict, settings: dict, message: str, tmp_path: Path):
    with pytest.raises(UserError, match=message) as error:
        loaded(tmp_path, row, row, **settings)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("row, settings, messages", [
    ({"Frage": "q", "Antwort": "a"}, {"columns": ("question=Frage", "answer=Antwort")}, turns("q", "a")),
    ({"Frage": "q", "Antwort": "a"}, {"columns": ("question = frage", "answer = ANTWORT")}, turns("q", "a")),
    ({"Frage": "q", "Antwort": "a"}, {"columns": ("prompt=Frage", "completion=Antwort")}, turns("q", "a")),
    ({**QA, "response": "r"}, {"columns": ("answer=response",)}, turns("q", "r")),
    ({**QA, "context": "c"}, {"columns": ("context=-",)}, turns("q", "a")),
    ({**QA, "text": "t", "label": "l"}, {"layout": "Question/Answer"}, turns("q", "a")),
    ({**QA, "text": "t", "label": "l"}, {"columns": ("answer=answer",)}, turns("q", "a")),
    ({**QA, "instruction": "i"}, {"layout": "question"}, turns("q", "a")),
    ({"id": 1, "data": {"question": "q", "answer": "a"}}, {}, turns("q", "a")),
    ({"id": 1, "d": {"x": {"q1": "q"}, "a1": "a"}}, {"columns": ("question=d.x.q1", "answer=d.a1")}, turns("q", "a")),
])
def test_a_mapping_by_hand_and_nested_fields(row: dict, settings: dict, messages: tuple, tmp_path: Path):
    found = loaded(tmp_path, row, row, **settings)
    assert [example.messages for example in found.examples] == [messages] * 2


@pytest.mark.parametrize("row, layout", [
    ({"text": "t", "label": "l", "summary": "s"}, "title/abstract/group"),      # a better name before a weaker one
    ({"text": "t", "article": "u", "target": "v", "label": "l"}, "title/abstract/group"),
    ({"question": "q", "answer": "a", "category": "c"}, "question/answer"),
    ({"question": "q", "category": "c"}, "title/abstract/group"),
    ({"prompt": "p", "prompt_id": "1", "messages": list(turns("q", "a"))}, "messages"),
    ({"conversation": "Doctor: Hi.", "summary": "s", "label": "l"}, "dialogue/section_text"),
    ({"instruction": "i", "input": "q", "output": "a", "text": "t"}, "instruction/input/output"),
    ({"question": "q", "answer": "a", "qtype": "symptoms"}, "MedQuAD"),
])
def test_the_most_particular_layout_that_fits_is_taken(row: dict, layout: str, tmp_path: Path):
    assert loaded(tmp_path, row, row).recognised[0].layout == layout


def test_what_was_chosen_is_shown(tmp_path: Path):
    found = loaded(tmp_path, {"Frage": "q", "Antwort": "a", "Nr": 1, "patient_id": 5}, {"Frage": "r"},
                   columns=("question=Frage", "answer=Antwort"))
    [shown] = found.recognised
    assert shown.columns == {"question": "Frage", "answer": "Antwort", "group_id": "patient_id"}
    assert (shown.layout, shown.unread, shown.rows) == ("question/answer", ("Nr",), 1)
    assert found.examples[0].group == "patientid=5"
    assert shown.describe() == ("rows.jsonl: question/answer (question = Frage, answer = Antwort, "
                                "group_id = patient_id); not read: Nr")


def test_a_nested_field_that_is_null_is_named(tmp_path: Path):
    found = loaded(tmp_path, {"id": 1, "data": {"question": "q", "answer": "a"}}, {"id": 2, "data": {"question": "q"}},
                   {"id": 3, "data": None}, {"id": 4}, {"id": 5, "data": {"question": float("nan"), "answer": "a"}})
    assert [(row.line, row.reason) for row in found.unusable] == [
        (2, "data.answer is empty"), (3, "data.question is empty"), (4, "data.question is missing"),
        (5, "data.question is empty")]


def test_a_mapping_is_for_the_files_that_have_its_columns(tmp_path: Path):
    german, plain, half = tmp_path / "a.csv", tmp_path / "b.csv", tmp_path / "c.csv"
    german.write_text("Frage,Antwort\nq1,a1\n")
    plain.write_text("question,answer\nq2,a2\n")
    half.write_text("Frage,answer\nq3,a3\n")
    config = DataConfig(columns=("question=Frage", "answer=Antwort"), layout="question/answer")
    both = load([str(german), str(plain)], config)
    assert [e.messages for e in both.examples] == [turns("q1", "a1"), turns("q2", "a2")]
    with pytest.raises(UserError, match="c.csv has no column 'Antwort'"):
        load([str(german), str(half)], config)
    with pytest.raises(UserError, match="b.csv has no column 'Frage'"):
        load([str(plain)], config)
    choices = tmp_path / "d.csv"
    choices.write_text("question,A,B,answer\nWhich?,x,y,B\n")
    assert load([str(plain)], config, like=both).examples[0].messages == turns("q2", "a2")
    assert load([str(choices)], DataConfig(layout="question"), like=both).examples[0].label == ""
    assert load([str(choices)], DataConfig(layout="pubmedqa"), like=both).examples[0].label == "B"


def test_no_layout_has_two_fields_of_one_name_and_every_target_is_a_field():
    for layout in LAYOUTS:
        names = [field.name for field in layout.fields]
        assert len(names) == len(set(names)) and layout.target in names
        for field in layout.fields:                 # else a column with a field's own name could go to another one
            others = {key(name) for name in names if name != field.name}
            assert others.isdisjoint(map(key, field.names))


def test_an_id_mapped_by_hand_keeps_the_name_of_its_column(tmp_path: Path):
    found = loaded(tmp_path, {"question": "q", "answer": "a", "Kart.-Nr.": 7}, columns=("group_id=Kart.-Nr.",))
    assert found.examples[0].group == "kartnr=7"


def test_an_instruction_without_an_input_is_marked(tmp_path: Path):
    found = loaded(tmp_path, *({"instruction": "i", "input": text, "output": "o"} for text in ("", "x")))
    assert [e.is_instruction for e in found.examples] == [True, False]
