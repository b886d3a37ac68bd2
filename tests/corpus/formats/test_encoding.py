from pathlib import Path

import pytest

from corpus.config import DataConfig
from corpus.formats.encoding import BLOCK, text_of
from corpus.read import read_table
from models.errors import UserError

FRENCH = "Le patient se plaint de douleurs à l’épaule gauche depuis trois semaines, aggravées après l’effort. "
TEXTS = {
    "cp1252": FRENCH,
    "latin-1": "El paciente refiere dolor de cabeza desde hace tres días, sin fiebre ni náuseas. ¿Qué toma? ",
    "mac_roman": FRENCH,
    "cp1250": "Pacjent skarży się na ból głowy, nudności i zawroty, które trwają od trzech dni. Leczenie: żółć, ćma. ",
    "iso8859_2": "Cukrzyca to choroba, w której stężenie glukozy jest wysokie. Są dziś świeże śniadania, wąskie. ",
    "iso8859_15": "Le cœur bat très vite après l'effort, déjà élevé à l'hôpital; une sœur opérée en août. ",
    "cp1254": "Hasta üç gündür baş ağrısından yakınıyor, ateşi yok. Ağız kuruluğu, sık idrara çıkma ve güçsüzlük var. ",
    "cp1251": "Пациент жалуется на головную боль и тошноту в течение трех дней. Температура нормальная. ",
    "cp1253": "Ο ασθενής παραπονιέται για πονοκέφαλο εδώ και τρεις ημέρες. Δεν έχει πυρετό. ",
    "gb18030": "患者主诉头痛三天，无发热。有恶心，但没有呕吐。已经开了药，建议多休息，三天后复诊。",
    "big5": "患者主訴頭痛三天，無發熱。有噁心，但沒有嘔吐。已經開了藥，建議多休息，三天後複診。",
    "cp932": "患者は三日間の頭痛を訴えています。発熱はありません。吐き気がありますが、嘔吐はしていません。",
    "cp949": "환자는 3일간 두통을 호소합니다. 발열은 없습니다. 메스꺼움이 있으나 구토는 하지 않았습니다.",
}


def written(path: Path, *parts: bytes) -> Path:
    path.write_bytes(b"".join(parts))
    return path


@pytest.mark.parametrize("encoding", TEXTS)
def test_an_encoding_is_told_from_the_text(tmp_path: Path, encoding: str):
    rows = "".join(f'"{k}","{TEXTS[encoding]}"\n' for k in range(20))
    table = read_table(written(tmp_path / "a.csv", b"question,answer\n", rows.encode(encoding)))
    assert {record.fields["answer"] for record in table.records} == {TEXTS[encoding]}
    assert len(table.notes) == 1 and "a.csv is not UTF-8 (line 2); it was read as " in table.notes[0]


@pytest.mark.parametrize("text", ["38.5 °C", "naïve", "5 µg – “high”", "patient’s"])
def test_a_few_signs_beyond_ascii_are_windows(tmp_path: Path, text: str):
    table = read_table(written(tmp_path / "a.csv", f"question,answer\nq,{text}\n".encode("cp1252")))
    assert table.records[0].fields["answer"] == text and "Windows-1252" in table.notes[0]


def test_lines_of_two_encodings_are_each_read_in_theirs(tmp_path: Path):
    path = written(tmp_path / "a.jsonl", '{"q": "Größe"}\n{"q": "plain"}\n'.encode(),
                   '{"q": "café"}\n'.encode("cp1252"))
    table = read_table(path)
    assert [record.fields["q"] for record in table.records] == ["Größe", "plain", "café"]
    assert table.notes == ("a.jsonl mixes encodings: its lines that are not UTF-8 (1 of 4, the first: line 3) were "
                           "read as Windows-1252.",)


def test_what_fits_no_encoding_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match=r"neither UTF-8 nor in another encoding that can be told \(line 2\)"):
        text_of(written(tmp_path / "a.csv", b"question,answer\nq,\x81\n"))
    mixed = written(tmp_path / "b.csv", "ä,ö\n".encode(), "caf\xe9,a\n".encode("cp1252"), b"b,\x81\n")
    with pytest.raises(UserError, match="save it as UTF-8"):
        text_of(mixed)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_wide_characters_are_known_by_their_mark_or_their_zeros(tmp_path: Path, encoding: str):
    path = written(tmp_path / "a.csv", "question,answer\nWhat is it?,Größe\n".encode(encoding))
    table = read_table(path)
    assert table.records[0].fields == {"question": "What is it?", "answer": "Größe"}
    assert table.notes == (f"a.csv was read as {encoding.upper()}.",)


def test_nul_bytes_in_a_text_are_left_out_and_counted(tmp_path: Path):
    path = written(tmp_path / "a.csv", b"question,answer\nq\0a,b\0\nx,y\n", bytes(4000))
    table = read_table(path)
    assert [tuple(record.fields.values()) for record in table.records] == [("qa", "b"), ("x", "y")]
    assert table.notes == ("NUL bytes in a.csv were left out: 4,002, the first in line 2.",)


@pytest.mark.parametrize("data", [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"\xff\xd8\xff\xe0\0\x10JFIF\0",
                                  b"\x7fELF\2\1\1\0\0", bytes(range(256)) * 20])
def test_binary_data_is_no_text(tmp_path: Path, data: bytes):
    with pytest.raises(UserError, match=r"a\.csv is not a table: it holds binary data\. Use CSV"):
        text_of(written(tmp_path / "a.csv", data))


def test_a_fault_at_the_border_of_two_blocks_is_found(tmp_path: Path):
    head = b"question,answer\n" + b"q,a\n" * (BLOCK // 4)
    text = head[:BLOCK - 1] + "é\nx,y\n".encode()
    assert text_of(written(tmp_path / "good.csv", text)).whole is None
    bad = text_of(written(tmp_path / "bad.csv", head[:BLOCK - 1] + b"\xc3\nx,y\n"))
    line = head[:BLOCK - 1].count(b"\n") + 1
    assert bad.whole is not None and f"(line {line})" in bad.notes[0]


def test_only_the_rows_asked_for_are_read(tmp_path: Path):
    path = written(tmp_path / "a.csv", b"q,a\n1,2\n3,4\n5,6\n")
    two, three = (read_table(path, DataConfig(limit_rows=limit)) for limit in (2, 3))
    assert len(two.records) == 2 and two.notes == ("Of a.csv only the first 2 rows were read.",)
    assert len(three.records) == 3 and not three.notes


def test_code_page_850_is_not_taken_for_mac_roman(tmp_path: Path):
    text = "question,answer\n" + "Was ist die übliche Dosis für ältere Patienten in Österreich?,Je nach Größe.\n" * 20
    (tmp_path / "a.csv").write_bytes(text.encode("cp850"))
    table = read_table(tmp_path / "a.csv")
    assert table.records[0].fields["question"] == "Was ist die übliche Dosis für ältere Patienten in Österreich?"
    assert "it was read as CP850." in table.notes[0]
