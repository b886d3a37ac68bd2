"""How many of 200 inserted errors tasks/grounding/ marks, and how often it marks what a person wrote.

    .venv/bin/python bench/grounding.py                      the open half
    .venv/bin/python bench/grounding.py --sealed             the sealed half: scored once, see tests/tasks/grounding
    .venv/bin/python bench/grounding.py --missed             with what was missed (open half only)
    .venv/bin/python bench/grounding.py --judge 60           a sample of marks on references, to be read by a person
"""

import argparse
import json
import random
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.inserted import SEED, Inserted, Row, inserted, rows
from tasks.grounding import Mark, marks
from tasks.grounding.said import Said

DATA = Path(__file__).parents[2] / "shared" / "data"


def is_marked(error: Inserted) -> bool:
    """Whether a mark touches the changed characters."""
    return _touches(marks(error.summary, error.row.dialogue), error.start, error.end)


def was_marked(error: Inserted) -> bool:
    """Whether the place was marked before the error was put there, since the conversation does not say it either."""
    return _touches(marks(error.row.reference, error.row.dialogue), error.start, error.start + len(error.was))


def recall(errors: Sequence[Inserted]) -> dict[str, Any]:
    """Marked errors over all: by kind, and of those whose place was not marked before."""
    found = {kind: [is_marked(error) for error in errors if error.kind == kind] for kind in
             dict.fromkeys(error.kind for error in errors)}
    new = [is_marked(error) for error in errors if not was_marked(error)]
    return {"errors": len(errors), "recall": share([one for every in found.values() for one in every]),
            "recall_where_unmarked_before": share(new), "n_unmarked_before": len(new),
            "by_kind": {kind: f"{sum(every)}/{len(every)}" for kind, every in found.items()}}


def references(half: Sequence[Row]) -> dict[str, Any]:
    """Marks on what persons wrote: a mark there is a fault of the note or of the marks; only a reader can tell."""
    every = [(row, marks(row.reference, row.dialogue)) for row in half]
    notes = [Said(row.reference) for row in half]
    said = sum(len([one for one in note.quantities if one.form in ("digits", "words") and one.is_sure])
               + len(note.frequencies) + len(note.dates) for note in notes)
    flagged = Counter(mark.kind for _, found in every for mark in found)
    measured = sum(count for kind, count in flagged.items() if kind not in ("name", "medicine"))
    return {"references": len(half), "references_without_a_mark": share([not found for _, found in every]),
            "marks": sum(flagged.values()), "marks_by_kind": dict(flagged), "numbers_frequencies_dates": said,
            "unmarked_share_of_those": round(1 - measured / max(1, said), 3)}


def share(values: Sequence[bool]) -> float:
    """The part that is true."""
    return round(sum(values) / max(1, len(values)), 3)


def judge(half: Sequence[Row], count: int, seed: int) -> None:
    """Print a seeded sample of marks on references with their conversations."""
    every = [(row, mark) for row in half for mark in marks(row.reference, row.dialogue)]
    for number, (row, mark) in enumerate(random.Random(seed).sample(every, min(count, len(every))), start=1):
        left, right = row.reference[max(0, mark.start - 60):mark.start], row.reference[mark.end:mark.end + 40]
        print(f"--- {number} {row.id} {mark.kind}: {left}[[{mark.text}]]{right}\n    {mark.why}")
        print("    | " + row.dialogue[:6000].replace("\n", "\n    | "))


def _touches(found: Sequence[Mark], start: int, end: int) -> bool:
    return any(mark.start < end and start < mark.end for mark in found)


def main() -> None:
    """Measure one half and print one JSON object last."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--sealed", action="store_true")
    parser.add_argument("--missed", action="store_true")
    parser.add_argument("--judge", type=int, default=0)
    parser.add_argument("--seed", type=int, default=SEED)
    asked = parser.parse_args()
    every = rows(asked.data)
    half = [row for row in every if row.is_sealed == asked.sealed]
    if asked.judge:
        judge(half, asked.judge, asked.seed)
    errors = inserted(every, asked.sealed, asked.seed)
    if asked.missed and not asked.sealed:
        for error in errors:
            if not is_marked(error):
                print(f"missed {error.kind} {error.row.id}: {error.summary[max(0, error.start - 40):error.start]}"
                      f"[[{error.was} -> {error.now}]]{error.summary[error.end:error.end + 40]}")
    print(json.dumps({"half": "sealed" if asked.sealed else "open", **recall(errors), **references(half)}))


if __name__ == "__main__":
    main()
