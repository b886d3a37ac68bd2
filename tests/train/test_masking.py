"""A run with mask=all leaves no identifier in its folder, but for the audit that lists them for its owner."""

import json
from collections.abc import Callable
from pathlib import Path

from models import runs

RAW = ("Zywicki", "ZYWICKI", "Jonathan", "Oluwaseun", "Adeyemi", "482139", "555-867", "03/04/1951", "Doe")


def made(path: Path) -> Path:
    """40 rows of patients, with repeats, a refusal, one that leaks, and rows that can not be used."""
    rows = []
    for k in range(40):
        asked = (f"My name is Oluwaseun Adeyemi. Dr. Jonathan Zywicki gave me {k + 10} mg of drug{k} in week{k * 7}, "
                 f"is it right{k * 3}? Your MRN is 482139{k:02d}, call 555-867-53{k:02d}.")
        rows.append({"patient_id": f"MRN482139{k:02d}" if k % 2 else f"Jane Doe {k}", "question": asked,
                     "answer": f"Adeyemi reports that dose{k} is right. Plan by Zywicki in term{k * 5}."})
    rows += [{**rows[3], "patient_id": ""}, {**rows[4], "question": "Why, Dr. Zywicki?", "answer": "Zywicki."},
             {**rows[5], "answer": "I'm sorry, I can't help Mr. Jonathan Zywicki born 03/04/1951 with that."},
             {**rows[6], "answer": {"John Zywicki": "MRN 48213999"}}, {**rows[6], "answer": None}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_no_file_of_a_run_holds_an_identifier(start: Callable, tmp_path: Path, tiny_base: Path):
    data = made(tmp_path / "rows.jsonl")
    lines = data.read_text(encoding="utf-8").splitlines()
    guard = tmp_path / "guard.jsonl"
    guard.write_text("\n".join(lines[8:10]), encoding="utf-8")
    folder, process = start(base=tiny_base, data=[str(data)], guard=[str(guard)], mask=["all"], epochs=1)
    _, told = process.communicate()
    assert process.returncode == 0, told
    unusable = (folder / runs.UNUSABLE).read_text(encoding="utf-8")
    assert "the same id (case " in unusable or "the same input" in unusable
    assert "its answer refuses" in unusable and "[NAME]" in (folder / runs.HELDOUT).read_text(encoding="utf-8")
    for path in folder.rglob("*"):
        if path.is_file() and path.name != runs.IDENTIFIERS:
            held = path.read_bytes()
            assert not [raw for raw in RAW if raw.encode() in held], path
    assert b"Zywicki" in (folder / runs.IDENTIFIERS).read_bytes()
