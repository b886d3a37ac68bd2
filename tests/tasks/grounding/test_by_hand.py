"""Wordings and errors that another reader made by hand, to find faults: see GUIDE.md for what they first showed."""

import json
from pathlib import Path

from bench.inserted import rows
from tasks.grounding import Mark, marks

HERE = Path(__file__).parent


def read(name: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (HERE / name).read_text(encoding="utf-8").splitlines()]


def touched(found: list[Mark], start: int, end: int) -> bool:
    return any(mark.start < end and start < mark.end for mark in found)


def test_other_wordings_and_other_values():
    cases = read("worded.jsonl")
    marked = [(bool(marks(case["note"], case["dialogue"])), case) for case in cases]
    said = [(case["note"], case["dialogue"]) for is_marked, case in marked if is_marked and case["is_said"]]
    unsaid = [(case["note"], case["dialogue"]) for is_marked, case in marked if not is_marked and not case["is_said"]]
    assert len(cases) == 178 and len(said) <= 2 and not unsaid, (said, unsaid)


def test_errors_put_into_real_notes_by_hand(shared_data: Path):
    known = {row.id: row for row in rows(shared_data)}
    missed = []
    for case in read("by_hand.jsonl"):
        row = known[case["id"]]
        at = row.reference.index(case["around"]) + case["around"].rindex(case["old"])
        note = row.reference[:at] + case["new"] + row.reference[at + len(case["old"]):]
        if not touched(marks(note, row.dialogue), at, at + len(case["new"])):
            missed.append(case)
    assert len(missed) <= 1, missed
