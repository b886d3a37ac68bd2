"""The one order of steps from files to the rows of a run: load, tidy, scan for identifiers, clean, split, guard."""

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from corpus.clean import clean, tidy
from corpus.config import DataConfig
from corpus.findings import Finding, finding, rows_word
from corpus.identifiers import Shown, mask_finding, mask_reasons, mask_rows, mask_words, scan
from corpus.layouts import Example, Loaded, Recognised, load
from corpus.leak import guard
from corpus.read import Unusable, fingerprint
from corpus.split import divide
from models import runs
from models.errors import UserError

# Every set that a model is judged by and that comes with the program: training never sees their rows.
# Further benchmarks are named here.
BUNDLED = {"the held-out rows of the demonstration": runs.ROOT / "corpus" / "demo" / "heldout.csv"}

SCANNED_CHARS, LONG_S = 1_500_000, 5        # that the scan for identifiers reads a second; from when it is announced


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """All rows of a run, and how they came to be.

    test: set aside. No case of training or validation is in it, nor in a set of config.guard. left_out: every row of
    the files that is in none of the three. findings: one a step, in order. fingerprints: {source: sha256 of its bytes}.
    hits: what the scan for identifiers found, for its audit file.
    """

    training: tuple[Example, ...]
    validation: tuple[Example, ...]
    test: tuple[Example, ...]
    left_out: tuple[Unusable, ...]
    findings: tuple[Finding, ...]
    fingerprints: dict[str, str]
    recognised: tuple[Recognised, ...]
    hits: tuple[Shown, ...] = ()


def gather(config: DataConfig, note: Callable[[str], None]) -> Gathered:
    """The rows that config names, ready for training. note gets a line for the person as each step is done.

    Raises UserError as reading does, or if nothing is left to train on or to validate with.
    """
    findings: list[Finding] = []

    def say(*found: Finding) -> None:
        for one in found:
            one = mask_finding(one, config)
            findings.append(one)
            if one.count:
                note(one.text)

    loaded, aside = _read(config)
    for text in _layouts(loaded.recognised):
        note(text)
    for text in loaded.notes:
        note(mask_words(text, config))
    say(_reading(loaded, aside))
    tidied = tidy(loaded.examples)
    say(_without_texts(tidied.finding) if config.mask or config.drop else tidied.finding)
    if slow := _slow(tidied.kept):
        note(slow)
    scanned = scan(tidied.kept, config)         # before all steps that show texts, which show them masked
    say(*scanned.findings)
    if config.drop and not any(row.split in ("", "train") for row in scanned.kept):
        raise UserError(f"Every row for training holds an identifier of a kind to drop ({', '.join(config.drop)}); "
                        "mask some of these kinds instead.")
    cleaned = clean(scanned.kept, config)
    say(*cleaned.steps)
    parts = divide(cleaned.kept, config)
    say(parts.finding)
    test = {"test": parts.test} if parts.test else {}
    named, bundled = _named_sets(config, loaded, note), _bundled_sets(config, loaded)
    checked = guard(parts.validation, {**test, **named}, config, role="validation")
    guarded = guard(parts.training, {"validation": checked.kept, **test, **named, **bundled}, config)
    say(*checked.findings, *guarded.findings)
    _check_left(guarded.kept, checked.kept, len(parts.training))
    return Gathered(training=guarded.kept, validation=checked.kept, test=parts.test,
                    left_out=(*loaded.unusable, *aside, *tidied.left_out, *scanned.left_out, *cleaned.left_out,
                              *checked.left_out, *guarded.left_out),
                    findings=tuple(findings), hits=scanned.hits, recognised=loaded.recognised, fingerprints={
                        source: fingerprint(source, config) for source in (*config.data, *config.eval, *config.guard)})


def _read(config: DataConfig) -> tuple[Loaded, tuple[Unusable, ...]]:
    """Training and validation files together, and the rows of other parts, which are set aside.

    The rows to validate with are marked as validation, whatever their file says.
    """
    if not config.data:
        raise UserError("No training file is given; name one with --data.")
    loaded = load(config.data, config)
    if not config.eval:
        return dataclasses.replace(loaded, unusable=mask_reasons(loaded.unusable, config)), ()
    named = load(config.eval, config, like=loaded)
    judging, training = _judging(named.examples)
    aside = [*(("its file marks it as validation, and --eval names other rows", row) for row in loaded.examples
               if row.split == "validation"),
             *(("its file marks it as training, and --eval asks for rows to validate with", row)
               for row in training)]
    together = dataclasses.replace(
        loaded, examples=(*(row for row in loaded.examples if row.split != "validation"),
                          *(dataclasses.replace(row, split="validation") for row in judging)),
        unusable=mask_reasons((*loaded.unusable, *named.unusable), config),
        notes=(*loaded.notes, *named.notes), recognised=(*loaded.recognised, *named.recognised))
    return together, tuple(Unusable(file=row.file, line=row.line, reason=reason) for reason, row in aside)


def _layouts(recognised: Sequence[Recognised]) -> list[str]:
    """How each file is read, one line each; of many files that are read alike, the first."""
    alike: dict[tuple[str, ...], list[Recognised]] = defaultdict(list)
    for one in recognised:
        alike[one.layout, *one.columns, *one.columns.values(), *one.unread].append(one)
    return [one.describe() + (f" (and {len(others):,} more read alike)" if others else "")
            for one, *others in alike.values()]


def _reading(loaded: Loaded, aside: Sequence[Unusable]) -> Finding:
    text = f"{rows_word(len(loaded.examples))} read; {len(loaded.unusable):,} can not be used"
    text += f"; {len(aside):,} more are of another part of their files, and not asked for." if aside else "."
    rows = (*loaded.unusable, *aside)
    return finding("reading", len(rows), text, (
        {"file": row.file, "line": row.line, "why": row.reason} for row in rows))


def _without_texts(found: Finding) -> Finding:
    """The finding of a step before the scan, which has seen what is to be masked."""
    kept = ("file", "line", "why")
    return dataclasses.replace(found, rows=tuple({name: row[name] for name in kept} for row in found.rows))


def _slow(rows: Sequence[Example]) -> str:
    """What to say before a long scan; "" if it is a short one."""
    chars = sum(len(message["content"]) for row in rows for message in row.messages)
    wait_s = chars // SCANNED_CHARS
    return (f"Searching {rows_word(len(rows))} for identifiers of persons: about {wait_s:,} seconds."
            if wait_s >= LONG_S else "")


def _judging(rows: Sequence[Example]) -> tuple[Sequence[Example], Sequence[Example]]:
    """Rows of a validation or test source: (what to judge by, its own training rows where it marks them)."""
    judging = [row for row in rows if row.split in ("validation", "test")]
    return (judging, [row for row in rows if row.split in ("", "train")]) if judging else (rows, ())


def _named_sets(config: DataConfig, training: Loaded, note: Callable[[str], None]) -> dict[str, list[Example]]:
    """{source: rows} of config.guard, in full, but for rows that are validated with."""
    whole = dataclasses.replace(config, limit_rows=0, dataset_split="")
    used = {_resolved(row.file) for row in training.examples if row.split == "validation"}
    sets = {}
    for source in config.guard:
        loaded = load([source], whole, like=training)
        for text in loaded.notes:
            note(mask_words(text, config))
        if loaded.unusable:
            first = mask_reasons(loaded.unusable[:1], config)[0]
            note(f"{rows_word(len(loaded.unusable))} of {source} can not be used, so training is not guarded against "
                 f"them (line {first.line}: {first.reason}).")
        judging = tidy(_judging(loaded.examples)[0]).kept
        sets[source] = mask_rows((row for row in judging if _resolved(row.file) not in used), config)
    return sets


def _bundled_sets(config: DataConfig, training: Loaded) -> dict[str, list[Example]]:
    return {name: mask_rows(load([str(path)], DataConfig(), like=training).examples, config)
            for name, path in BUNDLED.items()}


def _resolved(source: str) -> Path:
    return runs.typed(source).resolve()


def _check_left(training: Sequence[Example], validation: Sequence[Example], before: int) -> None:
    if not training:
        raise UserError(f"Every one of {rows_word(before)} for training is also in a set that the model is judged by; "
                        "name other rows with --data or --eval, or set leaks=keep.")
    if not validation:
        raise UserError("No row is left to validate with: all of them are also in the test rows or "
                        "in a set of --guard. Name other rows with --eval.")
