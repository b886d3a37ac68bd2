"""What an evaluation leaves behind for its report: what it was asked to do, and what became of each item."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models import runs
from models.errors import UserError

SIDES = ("model", "against")


@dataclass(frozen=True, kw_only=True)
class Scored:
    """One item as one model did it.

    number: its place in the source, from 0, the same for both models. id: what the source calls it. answer: what was
    read as the model's answer, "" = none; with several labels joined by " | ". right: None where an answer is not
    simply right or wrong. value: the item's main metric, None where it was skipped; values: every metric of it, by the
    names of its Benchmark. probabilities: of each choice. model: the fingerprint of what answered. skipped: why it was
    not scored, "" = it was. leak: which training row it also stands in, "" = none. group: what the report counts
    apart (a header, template or real). cluster: the patient or document that it is of; items of one are no independent
    ones. note: what else has to be said of the answer, as that a part of the text was cut. weight: of the item in the
    mean. baselines: the main metric that trivial answers get on this item, by their names.
    """

    number: int
    id: str
    prompt: str
    answer: str
    gold: str
    right: bool | None
    value: float | None
    model: str
    side: str = SIDES[0]
    values: dict[str, float] = field(default_factory=dict)
    probabilities: dict[str, float] = field(default_factory=dict)
    skipped: str = ""
    leak: str = ""
    group: str = ""
    cluster: str = ""
    note: str = ""
    weight: float = 1.0
    baselines: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Stated:
    """What a report has to state of an evaluation, in JSON values; the first fields are the Benchmark's.

    file: what was read, and digest the sha256 of its items. total: items of the source; drawn: how many of them were
    asked, and sample how they were drawn, as a sentence. settings: {label: value} of how they were asked. models:
    {"side", "name", "source", "fingerprint", "ctx_tokens"} of each. shares: metrics of a mean that are 0 or 1 on every
    item. guard: what was found of the training rows that were looked for, "" = none were. left_out: rows of the source
    that are no items, with the reason.
    """

    benchmark: str
    title: str
    licence: str
    source: str
    split: str
    kind: str
    metrics: tuple[str, ...]
    about: str
    is_english_only: bool
    is_higher_better: bool
    file: str
    digest: str
    total: int
    drawn: int
    sample: str
    seed: int
    settings: dict[str, str]
    models: tuple[dict[str, str], ...]
    shares: tuple[str, ...] = ()
    guard: str = ""
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def read_items(path: Path, side: str = "") -> list[Scored]:
    """The items of a file, in its order, a torn last line left out; side: of one model only.

    Raises UserError if the file can not be read, or a line is no item.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"The items {path} can not be read ({error.strerror}).") from error
    found = []
    for number, line in enumerate(data[:data.rfind(b"\n") + 1].splitlines(), 1):
        try:
            found.append(Scored(**json.loads(line)))
        except (ValueError, TypeError) as error:
            raise UserError(f"{path}, line {number}, is no item of an evaluation ({error}).") from error
    return [one for one in found if side in ("", one.side)]


def read_stated(path: Path) -> Stated:
    """What was stated of an evaluation. Raises UserError if the file is missing or of another kind."""
    values = runs.read_json(path)
    try:
        fields: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value
                                  for name, value in values.items()}
        return Stated(**fields)
    except (TypeError, AttributeError) as error:
        raise UserError(f"{path} says nothing of an evaluation ({error}).") from error


def append_items(path: Path, items: Sequence[Scored]) -> None:
    """Append a group of items, in one write. Raises UserError when the disk is full."""
    lines = b"".join(runs.json_bytes(dataclasses.asdict(one)) + b"\n" for one in items)
    try:
        with path.open("ab", buffering=0) as file:
            file.write(lines)
    except OSError as error:
        if runs.is_disk_full(error):
            raise UserError(f"The disk is full: {path.name} could not be written to {path.parent}. Free some space "
                            "and start the evaluation again: it goes on where it is.") from error
        raise
