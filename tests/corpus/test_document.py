import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from corpus import document
from models import runs
from models.errors import UserError


def pdf(path: Path, *pages: str, head: bytes = b"%PDF-1.4\n") -> Path:
    """A PDF with one line of text on each page."""
    bodies = [b"<< /Type /Catalog /Pages 2 0 R >>",
              b"<< /Type /Pages /Kids [%s] /Count %d >>" % (
                  b" ".join(b"%d 0 R" % (4 + 2 * k) for k in range(len(pages))), len(pages)),
              b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]
    for k, text in enumerate(pages):
        drawn = b"BT /F1 12 Tf 50 700 Td (%s) Tj ET" % text.encode("latin-1")
        bodies += [b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents %d 0 R "
                   b"/Resources << /Font << /F1 3 0 R >> >> >>" % (5 + 2 * k),
                   b"<< /Length %d >>\nstream\n%s\nendstream" % (len(drawn), drawn)]
    written, places = head, []
    for number, body in enumerate(bodies, start=1):
        places.append(len(written))
        written += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = len(written)
    written += b"xref\n0 %d\n0000000000 65535 f \n" % (len(bodies) + 1)
    written += b"".join(b"%010d 00000 n \n" % place for place in places)
    written += b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(bodies) + 1, table)
    path.write_bytes(written)
    return path


def test_text_of_a_pdf_page_by_page(tmp_path: Path):
    text = document.text_of(pdf(tmp_path / "a.pdf", "Ibuprofen 400 mg", "second page"))
    assert text.split() == ["Ibuprofen", "400", "mg", "second", "page"]


def test_text_of_a_word_file_with_its_tables_in_order(tmp_path: Path):
    from docx import Document
    made = Document()
    made.add_paragraph("before the table")
    table = made.add_table(rows=1, cols=2)
    table.cell(0, 0).text, table.cell(0, 1).text = "drug", "5 mg"
    made.add_paragraph("after — it")
    made.save(str(tmp_path / "a.docx"))
    assert document.text_of(tmp_path / "a.docx").splitlines() == ["before the table", "drug | 5 mg", "", "after — it"]


def test_fields_insertions_and_text_boxes_of_a_word_file_are_read_and_deletions_are_not(tmp_path: Path):
    from docx import Document
    Document().save(str(tmp_path / "whole.docx"))
    with zipfile.ZipFile(tmp_path / "whole.docx") as whole:
        members = {name: whole.read(name) for name in whole.namelist()}

    def run(text: str) -> str:
        return f"<w:r><w:t>{text}</w:t></w:r>"

    def field(inside: str) -> str:
        return f"<w:sdt><w:sdtContent>{inside}</w:sdtContent></w:sdt>"

    box = f"<w:txbxContent><w:p>{run('box')}</w:p></w:txbxContent>"
    alternatives = '<mc:AlternateContent xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006">' \
                   f"<mc:Choice>{box}</mc:Choice><mc:Fallback>{box}</mc:Fallback></mc:AlternateContent>"
    cells = f"<w:tc><w:p>{run('drug')}</w:p></w:tc>" + field(f"<w:tc><w:p>{run('5 mg')}</w:p></w:tc>")
    body = field(f"<w:p>{run('Allergies:')}{field(run(' penicillin'))}</w:p>") + \
        f"<w:p><w:ins>{run('inserted')}</w:ins><w:del><w:r><w:delText>deleted</w:delText></w:r></w:del></w:p>" \
        f"<w:p><w:r>{alternatives}</w:r></w:p><w:tbl>{field(f'<w:tr>{cells}</w:tr>')}</w:tbl>"
    document_xml = members["word/document.xml"].replace(b"<w:body>", b"<w:body>" + body.encode())
    zipped(tmp_path / "a.docx", **{**members, "word/document.xml": document_xml})
    assert document.text_of(tmp_path / "a.docx").splitlines() == [
        "Allergies: penicillin", "inserted", "box", "drug | 5 mg"]


def test_of_a_long_document_what_time_gives_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.setattr(document, "_bound", lambda: None)
    monkeypatch.setattr(document, "READ_S", 0.0)
    assert document.main(pdf(tmp_path / "a.pdf", "first page", "second page")) == 0
    assert capsys.readouterr().out.strip() == "first page"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1252"])
def test_text_files_in_any_encoding(tmp_path: Path, encoding: str):
    text = "Der Patient klagt über Übelkeit. Die Körpertemperatur beträgt 38,5 °C, später fällt sie.\n" * 5
    (tmp_path / "a.txt").write_text(text, encoding=encoding)
    assert document.text_of(tmp_path / "a.txt") == text.strip()


def test_what_is_longer_than_anybody_reads_is_cut(tmp_path: Path):
    (tmp_path / "a.txt").write_text("x" * (document.LONGEST + 10))
    assert len(document.text_of(tmp_path / "a.txt")) == document.LONGEST


def zipped(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


@pytest.mark.parametrize("name, make, words", [
    ("a.exe", lambda path: path.write_bytes(b"MZ"), "can not be read into a message; use one of .pdf"),
    ("a.pdf", lambda path: path.write_bytes(b"no pdf at all"), "a.pdf can not be read as a PDF"),
    ("a.pdf", lambda path: path.write_bytes(pdf(path, "text").read_bytes()[:200]), "a.pdf"),
    ("a.pdf", lambda path: pdf(path, ""), "holds no text: its pages may be pictures"),
    ("a.docx", lambda path: path.write_bytes(b"no zip"), "can not be read as a Word file"),
    ("a.docx", lambda path: zipped(path, other=b"x"), "can not be read as a Word file"),
    ("a.txt", lambda path: path.write_bytes(bytes(range(256)) * 40), "binary data"),
    ("a.txt", lambda path: path.write_text("  \n"), "holds no text")])
def test_what_can_not_be_read_is_told(tmp_path: Path, name: str, make, words: str):
    make(tmp_path / name)
    with pytest.raises(UserError) as told:
        document.text_of(tmp_path / name)
    assert words in str(told.value)


def test_the_name_is_the_persons(tmp_path: Path):
    (tmp_path / "file.pdf").write_bytes(b"no pdf at all")
    with pytest.raises(UserError, match="^My report.pdf can not be read"):
        document.text_of(tmp_path / "file.pdf", "My report.pdf")


def test_a_locked_pdf_is_told(tmp_path: Path):
    from pypdf import PdfReader, PdfWriter
    writer = PdfWriter()
    writer.append(PdfReader(pdf(tmp_path / "open.pdf", "text")))
    writer.encrypt("secret", algorithm="RC4-128")
    writer.write(tmp_path / "a.pdf")
    with pytest.raises(UserError, match="locked with a password"):
        document.text_of(tmp_path / "a.pdf")


def test_a_file_that_unpacks_without_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from docx import Document
    monkeypatch.setattr(document, "MEMORY_MB", 150)
    monkeypatch.setattr(document, "TIME_S", 300.0)      # it is the memory that ends it
    Document().save(str(tmp_path / "whole.docx"))
    with zipfile.ZipFile(tmp_path / "whole.docx") as whole:
        members = {name: whole.read(name) for name in whole.namelist()}
    body = members["word/document.xml"]
    paragraphs = b"<w:p><w:r><w:t>x</w:t></w:r></w:p>" * 10**6
    members["word/document.xml"] = body.replace(b"<w:body>", b"<w:body>" + paragraphs)
    assert zipped(tmp_path / "a.docx", **members).stat().st_size < 1e6
    with pytest.raises(UserError, match="more time or memory than a document should"):
        document.text_of(tmp_path / "a.docx")


def test_a_file_that_takes_too_long_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(document, "TIME_S", 0.0)
    with pytest.raises(UserError, match="more time or memory than a document should"):
        document.text_of(pdf(tmp_path / "a.pdf", "text"))


def test_the_parsers_are_in_the_child_alone(tmp_path: Path):
    path = pdf(tmp_path / "a.pdf", "text")
    code = f"import sys; from pathlib import Path; from corpus.document import text_of; " \
           f"print(text_of(Path({str(path)!r})), {{'pypdf', 'docx', 'lxml'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=runs.ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "text set()"
