import json
from pathlib import Path

import pytest

from corpus.layouts import load
from models.errors import UserError
from tests.corpus.layouts.tables import loaded, turns


def test_no_usable_row_is_an_error_with_counts_and_reasons(tmp_path: Path):
    path = tmp_path / "bad.csv"
    path.write_text("question,answer\nq,\n,a\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"bad.csv: none of the 2 rows can be used "
                                        r"\(line 2: answer is empty; line 3: question is empty\)"):
        load([str(path)])


def test_several_files_are_read_in_order_and_one_bad_row_does_not_hide_the_others(tmp_path: Path):
    (tmp_path / "a.csv").write_text("question,answer\nq1,a1\nq2,\nq3,a,b\n", encoding="utf-8")
    (tmp_path / "b.jsonl").write_text('{"prompt": "p", "completion": "c"}\nno json\n', encoding="utf-8")
    found = load([str(tmp_path / "a.csv"), str(tmp_path / "b.jsonl")])
    assert [(Path(e.file).name, e.line, e.messages[1]["content"]) for e in found.examples] == [
        ("a.csv", 2, "a1"), ("b.jsonl", 1, "c")]
    assert [(Path(row.file).name, row.line) for row in found.unusable] == [("a.csv", 3), ("a.csv", 4), ("b.jsonl", 2)]
    assert [(one.layout, one.rows) for one in found.recognised] == [("question/answer", 1), ("prompt/completion", 1)]


def test_the_official_split_of_a_file_or_a_row_is_kept(tmp_path: Path):
    (tmp_path / "test.csv").write_text("question,answer\nq1,a1\n")
    (tmp_path / "train.csv").write_text("question,answer\nq2,a2\n")
    assert {e.messages[0]["content"]: e.split for e in load([str(tmp_path)]).examples} == {"q1": "test", "q2": "train"}
    rows = loaded(tmp_path, {"question": "q", "answer": "a", "split": "dev"}, {"question": "r", "answer": "a"})
    assert [e.split for e in rows.examples] == ["validation", ""]


def test_half_a_surrogate_becomes_a_letter_that_can_be_written(tmp_path: Path):
    (tmp_path / "a.jsonl").write_text(r'{"prompt": "\ud83d\ude00 \ud83d", "completion": "\ude00 c"}')
    (tmp_path / "b.jsonl").write_text(json.dumps({"messages": turns("\ud83d", "c")}))
    examples = load([str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl")]).examples
    assert [example.messages for example in examples] == [
        turns("\U0001f600 \ufffd", "\ufffd c"), turns("\ufffd", "c")]


def test_line_ends_are_those_that_a_chat_has(tmp_path: Path):
    """MTS-Dialog's training rows end their lines with CR LF; nobody types that, and it costs a token a line."""
    found = loaded(tmp_path, {"question": "a\r\nb", "answer": "c\r\nd"})
    assert found.examples[0].messages == turns("a\nb", "c\nd")


@pytest.mark.parametrize("one, other", [
    ({"patient_id": 1}, {"patient_id": 1.0}), ({"Patient ID": "P001"}, {"patient_id": "p001 "}),
    ({"pmid": "17"}, {"pubid": 17})])
def test_one_patient_is_one_however_it_is_written(one: dict, other: dict, tmp_path: Path):
    groups = {loaded(tmp_path, {"question": "q", "answer": "a", **row}).examples[0].group for row in (one, other)}
    assert len(groups) == 1 and "" not in groups


def test_numbers_under_other_names_are_other_cases(tmp_path: Path):
    rows = [{"question": "q", "answer": "a", name: 1} for name in ("doc_id", "case_id")]
    assert [loaded(tmp_path, row).examples[0].group for row in rows] == ["docid=1", "caseid=1"]


@pytest.mark.parametrize("name, value, is_id", [
    ("pid", 7, True), ("patid", "A", True), ("subject", "S-7", True), ("patient", "P1", True), ("study_id", "x", True),
    ("encounter", "E1", True), ("dialog_id", "d", True), ("conv_id", "c", True), ("person_id", 3, True),
    ("subject", "anatomy", False), ("patient_id", "unknown", False), ("patient_id", None, False), ("ID", 3, False)])
def test_which_columns_tell_cases_apart(name: str, value: object, is_id: bool, tmp_path: Path):
    found = loaded(tmp_path, {"question": "q", "answer": "a", name: value})
    assert bool(found.examples[0].group) == is_id
    assert any("No column tells patients or documents apart in rows.jsonl" in note for note in found.notes) != is_id


@pytest.mark.parametrize("names, has_ids", [(("0", "1", "2"), False), (("41", "7", "20"), False),
                                            (("21645374", "16418930", "9488747"), True)])
def test_numbers_of_rows_are_no_ids(names: tuple[str, ...], has_ids: bool, tmp_path: Path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps({name: {"question": f"q{name}", "answer": "a"} for name in names}))
    assert [bool(e.group) for e in load([str(path)]).examples] == [has_ids] * 3
