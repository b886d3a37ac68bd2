"""The sentences of the red-flag notice: well formed, as many as GUIDE.md says, dealt evenly. Prints no sealed text."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SITUATIONS = re.findall(r"^\| `(\w+)` \|", (HERE / "GUIDE.md").read_text(encoding="utf-8"), re.MULTILINE)


def rows(half: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (HERE / f"{half}.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("half", ["open", "sealed"])
def test_a_half(half: str):
    found = rows(half)
    assert all(set(row) == {"id", "text", "situation"} and row["text"].strip() for row in found)
    assert len(found) == 150 and sum(row["situation"] == "" for row in found) == 50
    assert {row["situation"] for row in found} - {""} == set(SITUATIONS)
    assert all(row["id"].rpartition("-")[0] == row["situation"] or row["id"].startswith("harmless-") for row in found)


def test_both_halves_hold_as_many_of_each_and_no_text_twice():
    both = [rows("open"), rows("sealed")]
    assert len(SITUATIONS) >= 15
    kinds = [Counter(row["id"].rpartition("-")[0] for row in half) for half in both]
    assert kinds[0] == kinds[1]
    assert len({row["text"].casefold() for half in both for row in half}) == 300
    assert len({row["id"] for half in both for row in half}) == 300
