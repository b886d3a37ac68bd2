"""What a task is to a batch: the rows, what is asked of the model for a group of them, and how it is scored."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evaluation.batch.journal import Row
from evaluation.batch.rows import Item, Rows
from tasks.engine import Engine

PROBLEM = "problem"                 # the column that says why a row could not be done; empty where it was
DIGITS = 6                          # of a probability that is written down

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Work:
    """A task that is ready to begin.

    columns: those that it adds; do: their values for some rows that can be done, in order, PROBLEM among them where
    one could not be; scores: what the rows came to against the file's own answers, {} if it has none; learned: the
    places of rows that the model learned from, None = unknown. identity: what a batch that goes on must have again.
    begin: what comes before the first rows of a start. group: how many rows are asked for at once.
    """

    rows: Rows
    columns: tuple[str, ...]
    do: Callable[[Engine | None, Sequence[Item]], list[Row]]
    scores: Callable[[Sequence[Row]], dict[str, Any]]
    identity: dict[str, Any]
    learned: Callable[[], frozenset[int] | None] = frozenset
    begin: Callable[[Engine | None], None] = lambda engine: None
    group: int = 32
    needs_model: bool = True
    notes: tuple[str, ...] = ()


def done(work: Work, engine: Engine | None, items: Sequence[Item]) -> list[Row]:
    """The values of a group's rows; those that can not be done have their reason and nothing else."""
    able = [item for item in items if not item.reason]
    found = iter(work.do(engine, able) if able else [])
    return [{PROBLEM: item.reason} if item.reason else next(found) for item in items]


def shares(probabilities: Mapping[str, float], names: Sequence[str]) -> Row:
    """The columns of probabilities: "p(yes)" and so on."""
    return {share_column(name): round(probabilities[name], DIGITS) for name in names if name in probabilities}


def share_column(name: str) -> str:
    """The column of a choice's probability."""
    return f"p({name})"
