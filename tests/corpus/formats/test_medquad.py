from pathlib import Path

import pytest

from corpus.config import DataConfig
from corpus.read import read_table, read_tables
from models.errors import UserError

HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n<Document id="7" source="GARD" url="https://a.example/7">\n'
PAIR = ('<QAPair pid="1">\n<Question qid="7-1" qtype="symptoms">What &amp; why ?</Question>\n<Answer>{}</Answer>\n'
        "</QAPair>\n")
ABOUT = "<Focus>Gout</Focus>\n<FocusAnnotations><Category>Disease</Category></FocusAnnotations>\n<QAPairs>\n"
DOCUMENT = f"{HEAD}{ABOUT}" \
           f"{PAIR.format('Pain.')}{PAIR.format(' ')}</QAPairs>\n</Document>"


def written(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return path


def test_questions_have_the_names_of_the_jsonl_and_their_lines(tmp_path: Path):
    table = read_table(written(tmp_path / "a.xml", DOCUMENT))
    assert [(record.line, record.fields) for record in table.records] == [(7, {
        "source": "GARD", "doc": "7", "url": "https://a.example/7", "focus": "Gout", "qid": "7-1", "qtype": "symptoms",
        "question": "What & why ?", "answer": "Pain."})]
    assert [(row.line, row.file) for row in table.unusable] == [(11, str(tmp_path / "a.xml"))]
    assert "its answer is empty" in table.unusable[0].reason


def test_documents_of_a_folder_are_one_table_whose_rows_know_their_file(tmp_path: Path):
    for name in ("2.xml", "1.xml"):
        written(tmp_path / "qa" / name, DOCUMENT)
    written(tmp_path / "qa" / "3.xml", DOCUMENT[:400])
    written(tmp_path / "qa" / "4.xml", f"{HEAD}</Document>")
    written(tmp_path / "other" / "5.xml", DOCUMENT)
    other, table = read_tables(str(tmp_path), DataConfig())
    assert (other.file, table.file) == (str(tmp_path / "other"), str(tmp_path / "qa"))
    assert [Path(record.file).name for record in table.records] == ["1.xml", "2.xml", "3.xml"]
    assert [(Path(row.file).name, row.reason[:20]) for row in table.unusable] == [
        ("1.xml", "its answer is empty "), ("2.xml", "its answer is empty "),
        ("3.xml", "it is not whole XML "), ("4.xml", "the document holds n")]


def test_a_limit_holds_for_all_documents(tmp_path: Path):
    for k in range(5):
        written(tmp_path / f"{k}.xml", DOCUMENT)
    table = read_tables(str(tmp_path), DataConfig(limit_rows=3))[0]
    assert (len(table.records), len(table.unusable)) == (2, 1)
    assert "only the first 3 rows" in table.notes[0]


@pytest.mark.parametrize("content, words", [
    ("<?xml version='1.0'?>\n<rows/>", r"line 2: it is XML, but no MedQuAD document \(it begins with <rows>\)"),
    (DOCUMENT[:300], "is not whole XML"),
    ('<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><Document>&b;</Document>', "may be harmful; take them out"),
])
def test_what_is_no_document_gets_one_clear_line(tmp_path: Path, content: str, words: str):
    with pytest.raises(UserError, match=words):
        read_table(written(tmp_path / "a.xml", content))


def test_the_real_documents(shared_data: Path):
    adam, cancer = read_tables(str(shared_data / "medquad" / "raw_xml_sample"), DataConfig())
    assert (len(adam.records), len(adam.unusable)) == (0, 6)
    assert (len(cancer.records), len(cancer.unusable)) == (45, 0)
    assert cancer.records[0].line == 17 and cancer.records[0].fields["answer"].startswith("Key Points")
