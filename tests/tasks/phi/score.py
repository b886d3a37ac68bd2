"""How much of a marked file the search for identifiers finds, by GUIDE.md: python -m tests.tasks.phi.score FILE."""

import json
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tasks.phi import find

OUTSIDE = 15                # letters and digits that a right hit may cover outside of all marked spans


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Of one kind, or of all: marked spans, those found, hits, those right."""

    marked: int
    found: int
    hits: int
    right: int

    def precision(self) -> float:
        """Right hits of all hits; 1 without any."""
        return self.right / self.hits if self.hits else 1.0

    def recall(self) -> float:
        """Found spans of all marked ones; 1 without any."""
        return self.found / self.marked if self.marked else 1.0

    def f1(self) -> float:
        """The harmonic mean of both."""
        both = self.precision() + self.recall()
        return 2 * self.precision() * self.recall() / both if both else 0.0


@dataclass(frozen=True, kw_only=True)
class Score:
    """Of a file. covered: share of spans that hits of any kind cover. quiet: share of look-alikes without a hit."""

    kinds: dict[str, Counts]
    whole: Counts
    covered: float
    quiet: float


def score(path: Path) -> Score:
    """Score the marked snippets of a file."""
    marked, found, hits, right = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    covered, quiet, look_alikes = 0, 0, 0
    for line in path.read_text(encoding="utf-8").split("\n"):
        if not line:
            continue
        row = json.loads(line)
        text, spans, told = row["text"], row["spans"], find(row["text"])
        signs = [c.isalnum() for c in text]
        by_any = {k for hit in told for k in range(hit.start, hit.end)}
        gold = {k for span in spans for k in range(span["start"], span["end"])}
        for span in spans:
            kind, places = span["kind"], {k for k in range(span["start"], span["end"]) if signs[k]}
            marked[kind] += 1
            found[kind] += places <= {k for hit in told if hit.kind == kind for k in range(hit.start, hit.end)}
            covered += places <= by_any
        for hit in told:
            hits[hit.kind] += 1
            is_there = any(span["kind"] == hit.kind and span["start"] < hit.end and hit.start < span["end"]
                           for span in spans)
            outside = sum(signs[k] for k in range(hit.start, hit.end) if k not in gold)
            right[hit.kind] += is_there and outside <= OUTSIDE
        look_alikes += not spans
        quiet += not spans and not told
    kinds = {kind: Counts(marked=marked[kind], found=found[kind], hits=hits[kind], right=right[kind])
             for kind in sorted(marked.keys() | hits.keys())}
    whole = Counts(marked=marked.total(), found=found.total(), hits=hits.total(), right=right.total())
    return Score(kinds=kinds, whole=whole, covered=covered / max(1, marked.total()), quiet=quiet / max(1, look_alikes))


def main() -> None:
    """Print the figures of the files named."""
    for name in sys.argv[1:]:
        result = score(Path(name))
        print(f"{name}\n{'kind':24} spans  hits  precision recall   F1")
        for kind, one in [*result.kinds.items(), ("all", result.whole)]:
            print(f"{kind:24} {one.marked:5} {one.hits:5}  {one.precision():9.3f} {one.recall():6.3f} {one.f1():6.3f}")
        print(f"recall when a hit of any kind may cover the span: {result.covered:.3f}")
        print(f"look-alikes with no hit: {result.quiet:.3f}")


if __name__ == "__main__":
    main()
