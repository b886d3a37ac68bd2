"""The leak guard: which training rows also stand, exactly or nearly, in a set that they will be judged by."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from corpus.config import DataConfig
from corpus.findings import Finding, finding, place, rows_word, shown
from corpus.layouts import Example
from corpus.read import Unusable
from corpus.same import Cases, Match, Traits, traits

STEP = "leak guard"
KINDS = {"input": "with the same input", "group": "of the same patient or document",
         "question": "of which one asks the other's question",
         "near input": "with nearly the same input", "part of input": "of which one's input holds the other's",
         "answer": "with the same long answer"}
ASIDE = "wording common to all aside"


@dataclass(frozen=True, kw_only=True)
class Guarded:
    """findings: one a set, every row with both sides; a row that is kept on request is counted all the same."""

    kept: tuple[Example, ...]
    left_out: tuple[Unusable, ...]
    findings: tuple[Finding, ...]


def guard(training: Sequence[Example], sets: Mapping[str, Sequence[Example]], config: DataConfig,
          role: str = "training") -> Guarded:
    """The training rows that are in none of the sets; config.leaks = "keep" only counts them.

    sets: {name that a person reads: rows}. role: what the guarded rows are called.
    """
    names = [name for name, rows in sets.items() for _ in rows]
    known = [row for rows in sets.values() for row in rows]
    compared = traits([*known, *training])
    leaks = _leaks(compared[len(known):], compared[:len(known)], names, config.similarity)
    findings = []
    for name in sets:
        rows = [(training[k], known[found[name].key], found[name]) for k, found in leaks.items() if name in found]
        findings.append(_finding(name, rows, len(training), role, config.leaks == "keep"))
    left_out = [] if config.leaks == "keep" else [
        _unusable(training[k], known[match.key], name, match)
        for k, found in leaks.items() for name, match in [next(iter(found.items()))]]
    gone = set() if config.leaks == "keep" else leaks.keys()
    return Guarded(kept=tuple(row for k, row in enumerate(training) if k not in gone), left_out=tuple(left_out),
                   findings=tuple(findings))


def _leaks(training: Sequence[Traits], known: Sequence[Traits], names: Sequence[str],
           similarity: float) -> dict[int, dict[str, Match]]:
    """{index of a training row: {name of a set it stands in: the most similar match, the plainest of such}}."""
    cases = Cases(known, similarity)
    leaks: dict[int, dict[str, Match]] = {}
    for k, one in enumerate(training):
        for match in sorted(cases.find(one), key=lambda match: -match.similarity):
            leaks.setdefault(k, {}).setdefault(names[match.key], match)
    return leaks


def _finding(name: str, rows: Sequence[tuple[Example, Example, Match]], of: int, role: str, is_kept: bool) -> Finding:
    count = len(rows)
    if not count:
        return finding(STEP, 0, f"No row for {role} is also in {name}.")
    kinds = Counter(KINDS[match.kind] for *_, match in rows)
    how = ", ".join(f"{n:,} {words}" for words, n in kinds.most_common())
    text = (f"{count:,} of {rows_word(of)} for {role} {'is' if count == 1 else 'are'} also in {name} "
            f"({how}): {'kept, as asked' if is_kept else f'removed from {role}'}.")
    return finding(STEP, count, text, (
        {**shown(row), "set": name, "why": why(match, row), **shown(other, "other_")} for row, other, match in rows))


def why(match: Match, row: Example) -> str:
    """What makes the two the same case."""
    share = f"{match.similarity:.0%}"
    return {"input": "the same input", "group": f"the same id ({row.group})",
            "question": "its prompt holds the other's question",
            "near input": f"{share} of the input is the same, {ASIDE}",
            "part of input": f"one input holds {share} of the other, {ASIDE}",
            "answer": f"{share} of the answer is the same, {ASIDE}"}[match.kind]


def _unusable(row: Example, other: Example, name: str, match: Match) -> Unusable:
    return Unusable(file=row.file, line=row.line,
                    reason=f"it is also in {name} ({place(other)}): {why(match, row)}")
