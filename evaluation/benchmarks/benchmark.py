"""What a benchmark is: where its items come from, how a model does them, and what the report must state of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from corpus.layouts import Example
from evaluation.config import EvaluateConfig
from tasks.engine import Engine, TooLong

ACCURACY, LABELS, MEAN, PERPLEXITY = KINDS = ("accuracy", "labels", "mean", "perplexity")


@dataclass(frozen=True, kw_only=True)
class Case:
    """One item as its source has it.

    id: what the source calls it ("PMID 123", "mts.csv, line 12"). prompt, gold: as they stand in items.jsonl.
    task: what score() needs. example: what the leak guard compares with training rows, None = nothing can leak.
    """

    id: str
    prompt: str
    gold: str
    task: Any
    example: Example | None = None
    group: str = ""
    weight: float = 1.0
    baselines: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a model made of a case; the fields are those of evaluation.items.Scored.

    baselines: further ones than the Case has, where they take time that a sample need not spend on all items.
    """

    answer: str = ""
    right: bool | None = None
    value: float | None = None
    values: Mapping[str, float] = field(default_factory=dict)
    probabilities: Mapping[str, float] = field(default_factory=dict)
    skipped: str = ""
    note: str = ""
    baselines: Mapping[str, float] = field(default_factory=dict)


def skipped(found: TooLong) -> Outcome:
    """An item that the model's context does not hold."""
    return Outcome(skipped=f"too long: {found}")


@dataclass(frozen=True, kw_only=True)
class Opened:
    """The items of a source. notes: lines for the person; left_out: rows that are no items, with the reason.

    benchmark: what the source turned out to be, where that is not fixed (a file of the user's own).
    """

    cases: tuple[Case, ...]
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    benchmark: "Benchmark | None" = None


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """Everything that is fixed about a benchmark.

    name: on the command line. hub: each "hf:OWNER/NAME:SUBSET" that is read where no file is named; hub_split: the
    split of them. split: in words, which rows are the official ones. metric: the name of the main metric, the first
    of metrics, which are the names in Scored.values. shares: those of kind "mean" that are 0 or 1 on every item.
    about: what the metrics say, and what they do not.
    kind: how items become one figure: "accuracy" (share right), "labels" (sets of labels in answer and gold, joined
    by " | "), "mean" (of value, by weight), "perplexity" (exp of the sum of values["nats"] over that of
    values["tokens"]).
    group: how many items score() gets at once, which is also what a kill can cost. knobs: the fields of EvaluateConfig
    that its score() reads, which the report states.
    open: the cases of a source ("" = the benchmark's own); raises UserError that names rows which lack something.
    score: the outcomes of a group of cases, in order; many at once, nothing random.
    calibrate: fits probabilities on further cases; what it returns, with a sentence as "why", score() finds in the
    file config.calibration.
    """

    name: str
    title: str
    licence: str
    source: str
    split: str
    kind: str
    metrics: tuple[str, ...]
    about: str
    open: Callable[[str, EvaluateConfig], Opened]
    score: Callable[[Engine, Sequence[Case], EvaluateConfig], list[Outcome]]
    calibrate: Callable[[Engine, Sequence[Case], EvaluateConfig], dict[str, Any]] | None = None
    hub: tuple[str, ...] = ()
    hub_split: str = ""
    group: int = 16
    knobs: tuple[str, ...] = ()
    shares: tuple[str, ...] = ()
    is_english_only: bool = False
    is_higher_better: bool = True

    @property
    def metric(self) -> str:
        """The main metric."""
        return self.metrics[0]
