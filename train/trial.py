"""A few real steps of a stage, tried in the very loop of a run, and what they say of the whole stage."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from corpus.gather import Gathered
from corpus.layouts import Example
from models import knobs, runs
from models.job import Job
from train import cost, stage
from train.config import TrainConfig
from train.steps import Plan

TRIED_STEPS = 12                # about
LEAST_STEPS = 3
BUDGET_S = 60.0                 # after it no further step is begun
HEAP_GROWTH = 1.06              # what a CPU run's memory grows by after the tried steps: 5 and 10% (docs/log.md)
EVENTS_MB = 7e-4                # a step, with its share of the TensorBoard file
TRIED_EVALS = 16                # batches of the validation rows


class Trial(Job):
    """The job that the tried steps belong to: remembers the events, and asks to stop when the time is up.

    trained_s: what the answers took at each evaluation, every one as long as its reference.
    """

    def __init__(self, outer: Job, folder: Path):
        super().__init__(folder)
        self.outer, self.events, self.trained_s = outer, list[dict[str, Any]](), list[float]()

    def trained_answers_took(self, seconds: float) -> None:
        """Remember it: the model of a trial has learned nothing, and may run on to the limit with every answer."""
        self.trained_s.append(seconds)

    def event(self, kind: str, **values: Any) -> None:
        """Remember and write it; the person hears how many steps have been tried."""
        super().event(kind, **values)
        self.events.append({"t": time.time(), "kind": kind, **values})
        if kind == "step":
            self.outer.event("phase", text="Trying steps", done=values["step"], of=values["steps"])

    def is_stop_asked(self) -> bool:
        """True when enough time has been spent, or when somebody asked for it."""
        tried = self.of("step")
        is_enough = len(tried) > LEAST_STEPS and time.time() - tried[0]["t"] > BUDGET_S
        return self.outer.is_stop_asked() or is_enough

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The events of one kind."""
        return [event for event in self.events if event["kind"] == kind]

    def cycles(self) -> list[float]:
        """Seconds of each step, with what goes on between it and the one before where nothing else did."""
        pairs = zip([{"kind": "", "t": 0.0}, *self.events], self.events, strict=False)
        return [event["t"] - before["t"] if before["kind"] == "step" else event["seconds"]
                for before, event in pairs if event["kind"] == "step"]


class Tried(Plan):
    """The plan of the tried steps: real ones of the real order, the largest among them."""

    def __init__(self, plan: Plan, config: TrainConfig):
        vars(self).update(vars(plan))
        steps = [plan.samples_of(step) for step in range(config.steps(len(plan.lengths)))]
        self.loads = [cost.load_of(plan.batches_of(step), plan.lengths, plan.learned, plan.is_packed)
                      for step in steps]
        self.chosen = cost.to_measure(self.loads, TRIED_STEPS)
        self.an_epoch, self._tried = len(self.chosen), [steps[k] for k in self.chosen]

    def of_epoch(self, epoch: int) -> list[list[int]]:
        """The tried steps, whatever the epoch."""
        return self._tried


def promise(config: TrainConfig, gathered: Gathered, trial: Trial, before: Sequence[Path], began: float
            ) -> dict[str, Any]:
    """What the stage takes: {"parts": seconds by name, "peak_...": ..., ...}; {} if somebody asked to stop.

    before: the adapters of the stages before, tried as well. began: when its process did.
    """
    tried, folder = list[Tried](), trial.folder

    def few(plan: Plan) -> Plan:
        tried.append(Tried(plan, config))
        return tried[0]

    validation = _some(gathered.validation, config.batch)
    steps = min(TRIED_STEPS + 3, config.steps(len(gathered.training)))
    short = replace(config, max_steps=steps, evals=1, checkpoints=2, patience=0, notify=False, keep_awake=False,
                    report_to=())
    runs.write_json(folder / runs.CONFIG, knobs.to_json(short))
    result = stage.run(short, replace(gathered, validation=validation), trial, folder, before, order=few).result
    if trial.outer.is_stop_asked():
        return {}
    share = _chars(gathered.validation) / max(1, _chars(validation))
    wall = time.time() - began
    peak_mb = result["peak_rss_mb"] * (1.0 if result["peak_vram_mb"] else HEAP_GROWTH)
    return {**result, "peak_rss_mb": peak_mb, "peak_disk_mb": _disk_mb(config, trial, tried[0], result),
            "steps": len(tried[0].loads), "parts": _parts(config, trial, tried[0], wall, share, bool(before)),
            **_scoring(config, trial, share), "measured_steps": len(trial.of("step")), "measured_s": wall}


def _disk_mb(config: TrainConfig, trial: Trial, tried: Tried, result: dict[str, Any]) -> float:
    """What the run folder holds at its fullest: two checkpoints, the older of which may not have been tried (the trial
    ends early where steps are long), and beside them two best adapters.
    """
    adapter_mb = result["parameters"] * 4 / 1e6
    best = 2 * adapter_mb if len(config.eval_steps(len(tried.lengths))) > 1 else 0.0
    is_one = len(trial.of("checkpoint")) < 2 <= len(config.checkpoint_steps(len(tried.lengths)))
    older = 3 * adapter_mb if is_one else 0.0               # the weights and AdamW's two means of them
    return float(result["peak_disk_mb"]) + best + older + EVENTS_MB * len(tried.loads)


def _scoring(config: TrainConfig, trial: Trial, share: float) -> dict[str, float]:
    """Seconds that it takes to load the base, and to score the stage's validation rows: once with the base as it is
    ("base_score_s"), or with a model that has learned to end its answers ("score_s").
    """
    loss_s, began = share * trial.of("eval")[-1]["seconds"], trial.of("phase")
    untrained_s, trained_s = _answers(trial) if config.best_by != "loss" else (0.0, 0.0)
    return {"load_s": began[-1]["t"] - began[-2]["t"], "base_score_s": loss_s + untrained_s,
            "score_s": loss_s + trained_s}


def _answers(trial: Trial) -> tuple[float, float]:
    """Seconds of the answers of an evaluation: by the model untrained, and each as long as its reference."""
    both_s = trial.of("eval")[0]["answers_s"]                       # the first evaluation made them twice
    return both_s - trial.trained_s[0], sum(trial.trained_s) / len(trial.trained_s)


def _some(validation: Sequence[Example], batch: int) -> tuple[Example, ...]:
    """Enough of the validation rows to tell the time of all: the longest batch, and others of every length."""
    by_length = sorted(validation, key=lambda example: _chars([example]))
    starts = range(0, len(by_length), batch)
    if len(starts) <= TRIED_EVALS:
        return tuple(validation)
    taken = sorted(starts[-1 - k * (len(starts) - 1) // (TRIED_EVALS - 1)] for k in range(TRIED_EVALS))
    return tuple(example for start in taken for example in by_length[start:start + batch])


def _chars(examples: Sequence[Example]) -> int:
    return sum(len(message["content"]) for example in examples for message in example.messages)


def _parts(config: TrainConfig, trial: Trial, tried: Tried, wall: float, share: float, is_trained: bool
           ) -> dict[str, float]:
    """Seconds of the whole stage: what was measured, as often as the run does it; all the rest of wall once.

    share: how many times longer the run's validation rows are than those that were tried. is_trained: a stage before
    will have taught the model to end its answers when this one begins.
    """
    seconds, rows = trial.cycles(), len(tried.lengths)
    numbers = [tried.chosen[k % len(tried.chosen)] for k in range(len(seconds))]
    loads = [tried.loads[k] for k in numbers]
    price = cost.fit(loads[1:] or loads, seconds[1:] or seconds)
    warming = max(0.0, seconds[0] - price(loads[0]))
    evals = [event["seconds"] for event in trial.of("eval")]
    answers = [event["answers_s"] for event in trial.of("eval")]
    untrained_s, trained_s = _answers(trial)
    written = [event["seconds"] for event in trial.of("checkpoint")]
    a_checkpoint = sum(written) / max(1, len(written))
    eval_count, checkpoint_count = len(config.eval_steps(rows)), len(config.checkpoint_steps(rows))
    return {
        "loading and rows": wall - sum(seconds) - sum(evals) - sum(answers) - sum(written),
        "steps": warming + sum(map(price, tried.loads)),
        "evaluations": share * (evals[0] + evals[-1] * eval_count),
        "answers": (trained_s if is_trained else untrained_s) + trained_s * eval_count,
        "checkpoints": a_checkpoint * checkpoint_count + a_checkpoint / 3 * (eval_count - 1)}   # the adapter is a third
