"""Probabilities fitted on development rows before a model is scored: on which rows, and where the result lies."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from corpus.config import DataConfig
from corpus.leak import guard
from evaluation import leaks
from evaluation.benchmarks.benchmark import Benchmark, Case
from evaluation.config import EvaluateConfig
from evaluation.items import SIDES
from models import runs
from models.errors import UserError
from tasks.engine import Engine


def calibrated(side: str, engine: Engine, benchmark: Benchmark, config: EvaluateConfig, items: Sequence[Case],
               folder: Path, say: Callable[[str], None]) -> EvaluateConfig:
    """config with the file of what is fitted for this model; as it is where nothing is to be fitted.

    items: what the model will be scored on; no development row that also is one of them is fitted on. Raises UserError
    if the benchmark has no probabilities, or no development row is left.
    """
    if not config.dev:
        return config
    path = folder / runs.CALIBRATION.format(side)
    if not path.exists():
        if benchmark.calibrate is None:
            raise UserError(f"{benchmark.title} has no choices whose probabilities could be calibrated; leave --dev "
                            "out.")
        rows = _apart(benchmark.open(config.dev, config).cases, items, say)
        say(f"Calibrating {engine.name} on {len(rows):,} rows of {Path(config.dev).name}.")
        fitted = benchmark.calibrate(engine, rows, config)
        runs.write_json(path, {**fitted, "why": f"{fitted['why']}{_learned(rows, side, config, say)}"})
        say(said(folder, side))
    return dataclasses.replace(config, calibration=str(path))


def _learned(rows: Sequence[Case], side: str, config: EvaluateConfig, say: Callable[[str], None]) -> str:
    """How many of the rows the model was trained on, as a sentence with a space before it; "" where none is known."""
    source = config.model if side == SIDES[0] else config.against
    found, _ = leaks.look({k: row.example for k, row in enumerate(rows) if row.example}, [source], config.guard, say)
    return (f" The model has learned from {len(found):,} of these {len(rows):,} rows, and is surer of them than of "
            "others: fit it on rows that it has not seen.") if found else ""


def said(folder: Path, side: str) -> str:
    """What became of a model's calibration, as a sentence; "" where nothing was fitted."""
    path = folder / runs.CALIBRATION.format(side)
    return f"Calibration: {runs.read_json(path)['why']}" if path.exists() else ""


def _apart(rows: Sequence[Case], items: Sequence[Case], say: Callable[[str], None]) -> list[Case]:
    """The development rows that are none of the items."""
    examples = {id(row.example): row for row in rows if row.example}
    judged = [item.example for item in items if item.example]
    kept = guard([row.example for row in examples.values() if row.example], {"the items": judged}, DataConfig(),
                 role="calibration").kept
    left = [examples[id(example)] for example in kept]
    if len(left) < len(rows):
        say(f"{len(rows) - len(left):,} of {len(rows):,} development rows are among the items, and left out.")
    if not left:
        raise UserError("Every development row is also among the items; give other rows with --dev.")
    return left
