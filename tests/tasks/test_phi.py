import pytest

from tasks.phi import find

FOUND = [
    ("e-mail", "Write to jane.doe+x@clinic.example.org today", "jane.doe+x@clinic.example.org"),
    ("telephone", "Tel. (555) 123-4567", "(555) 123-4567"),
    ("telephone", "call 555-123-4567.", "555-123-4567"),
    ("telephone", "+44 20 7946 0958 is the ward", "+44 20 7946 0958"),
    ("social security number", "SSN 123-45-6789", "123-45-6789"),
    ("date of birth", "DOB: 03/04/1956, smoker", "DOB: 03/04/1956"),
    ("date of birth", "She was born on 4 March 1956.", "born on 4 March 1956"),
    ("date of birth", "date of birth 1956-03-04", "date of birth 1956-03-04"),
    ("record number", "MRN: 00123456", "MRN: 00123456"),
    ("record number", "patient ID AB-12345", "patient ID AB-12345"),
    ("record number", "NHS number 943 476 5919", "NHS number 943 476 5919"),
    ("web address", "see https://intranet.clinic/p?id=7, please", "https://intranet.clinic/p?id=7"),
    ("network address", "from 10.1.2.3.", "10.1.2.3"),
    ("name after a title", "Mrs. Anne-Marie O'Neil came", "Mrs. Anne-Marie O'Neil"),
    ("name after a title", "patient name: John Smith", "patient name: John Smith"),
    ("home folder", "'/home/jane/models'", "/home/jane"),
    ("home folder", r"C:\\Users\\Jane Doe\\x", r"C:\\Users\\Jane Doe"),
    ("home folder", "/Users/jane", "/Users/jane"),
]


@pytest.mark.parametrize(("kind", "text", "value"), FOUND)
def test_the_clear_kinds_are_found(kind: str, text: str, value: str):
    assert [(hit.kind, hit.text) for hit in find(f"one line\n{text}\nanother") if hit.line == 2] == [(kind, value)]


@pytest.mark.parametrize("text", [
    "Pain since Monday, 38.4 °C, BP 120/80, 5-6 days, 2026-11-21.", "mean KL 0.0012-0.0034 at 1,234,567 tokens",
    "version 1.2.3 and 1.2.3.4.5, 999.1.1.1, 127.0.0.1, 0.0.0.0", "Dr. of medicine, Mr and Mrs", "a@b", "@user",
    "born in spring", "record numbers grow", "sha256 00123456789012345678901234567890", "1.5e-10 -0.123-456",
    "/home/", "Doctor: What brings you in?", "patient number of days", "000-12-3456 and 123-00-4567",
])
def test_what_is_none_is_not(text: str):
    assert find(text) == []


def test_what_is_known_to_be_public_is_no_find():
    text = "Contact: licence@example.org\nand jane@example.org"
    assert [hit.text for hit in find(text, known=["Terms. Contact: licence@example.org."])] == ["jane@example.org"]


def test_a_long_line_takes_no_time():
    assert find("+1 " * 100_000 + "a." * 100_000 + "(555 " * 50_000) == []
