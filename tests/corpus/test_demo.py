"""The demonstration's own rows: enough of them, and none repeats another."""

import csv
import re

from models import runs

FOLDER = runs.ROOT / "corpus" / "demo"
RUN_WORDS = 8


def rows(name):
    with (FOLDER / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def word_runs(row) -> set[tuple[str, ...]]:
    found = set()
    for text in (row["dialogue"], row["section_text"]):
        words = re.findall(r"[a-z0-9']+", re.sub(r"(?m)^\w+:", " ", text).lower())
        found |= {tuple(words[k:k + RUN_WORDS]) for k in range(len(words) - RUN_WORDS + 1)}
    return found


def test_there_are_enough_rows_headers_and_held_out_rows():
    train, heldout = rows("train"), rows("heldout")
    assert len(train) >= 120 and len(heldout) >= 30
    assert len({row["section_header"] for row in train}) >= 8
    assert {row["section_header"] for row in heldout} <= {row["section_header"] for row in train}


def test_no_two_rows_share_a_run_of_eight_words():
    seen = {}
    for row in rows("train") + rows("heldout"):
        for run in word_runs(row):
            assert run not in seen, f"{row['id']} and {seen[run]} share {' '.join(run)}"
        seen.update(dict.fromkeys(word_runs(row), row["id"]))


def test_no_row_repeats_real_data(shared_data):
    ours = set().union(*map(word_runs, rows("train") + rows("heldout")))
    for path in sorted((shared_data / "mts-dialog").glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                assert not ours & word_runs(row)
