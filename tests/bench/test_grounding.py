import hashlib
import json
import sys
from collections import Counter
from pathlib import Path

import pytest

from bench import grounding
from bench.inserted import QUOTA, Row, inserted, rows


@pytest.fixture(scope="module")
def every(shared_data: Path) -> list[Row]:
    return rows(shared_data)


def test_two_hundred_errors_stay_the_same(every: list[Row]):
    halves = [inserted(every, is_sealed) for is_sealed in (False, True)]
    for errors in halves:
        assert Counter(error.kind for error in errors) == QUOTA and sum(QUOTA.values()) == 100
        assert all(error.summary[:error.start] + error.was + error.summary[error.end:] == error.row.reference
                   and error.now != error.was for error in errors)
    assert not {error.row.id for error in halves[0]} & {error.row.id for error in halves[1]}
    seen = [hashlib.sha256(repr(errors).encode()).hexdigest()[:16] for errors in halves]
    assert seen == ["a2c035610cdfa9ce", "ae0890f04733ac4e"]


def test_the_open_errors_are_marked(every: list[Row]):
    found = grounding.recall(inserted(every, False))
    assert found["recall"] >= 0.95 and found["recall_where_unmarked_before"] >= 0.95


def test_what_persons_wrote_is_seldom_marked(every: list[Row]):
    found = grounding.references([row for row in every if not row.is_sealed][::4])
    assert found["references_without_a_mark"] > 0.8 and found["unmarked_share_of_those"] > 0.9
    assert found["marks"] > 10


def test_one_json_object_comes_last(shared_data: Path, monkeypatch: pytest.MonkeyPatch,
                                    capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(sys, "argv", ["grounding.py", "--data", str(shared_data), "--missed", "--judge", "2"])
    grounding.main()
    lines = capsys.readouterr().out.splitlines()
    assert json.loads(lines[-1])["half"] == "open" and sum(line.startswith("--- ") for line in lines) == 2
