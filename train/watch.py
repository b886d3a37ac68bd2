"""What happens between the steps of a run: its events, its best adapter, its checkpoints, and its end when asked."""

import math
import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
import torch
from transformers import TrainerCallback

from models import runs
from models.errors import UserError
from models.job import Job
from train import adapter, ranks
from train.board import Board
from train.checkpoint import BEST, PROGRESS, Checkpoints, State, learning
from train.config import TrainConfig
from train.peak import peak_rss_mb
from train.steps import Plan

Examine = Callable[[Any, int, Callable[[], None]], dict[str, float]]


class Ended(Exception):
    """The run has come to its end before its last step; raised between steps."""


class Stopped(Ended):
    """Somebody asked the job to stop; raised between steps, or between batches of an evaluation."""


@dataclass
class Progress:
    """How far a run is; in every checkpoint."""

    step: int = 0
    evaluated: int = -1              # the last step after which an evaluation was finished
    tokens: int = 0                  # seen in training, padding not counted
    learned_tokens: int = 0          # of them, those whose loss was learned from
    train_s: float = 0.0             # of steps and checkpoints
    eval_s: float = 0.0              # of the last evaluation
    whole_s: float = 0.0             # of everything since the model was loaded
    first_loss: float | None = None  # of the training steps
    last_loss: float | None = None
    base_loss: float | None = None
    base_metric: float | None = None
    best: str = ""                   # the folder of the best adapter among the checkpoints
    best_step: int = 0
    best_loss: float | None = None
    best_metric: float | None = None
    worse_evals: int = 0
    peak_mb: float = 0.0
    peak_vram_mb: float | None = None


class Watch(TrainerCallback):
    """Follows one stage, from its newest checkpoint if it has one; train/loop.py calls it."""

    def __init__(self, job: Job, folder: Path, config: TrainConfig, base: Path, plan: Plan):
        self.job, self.folder, self.config, self.base, self.plan = job, folder, config, base, plan
        self.steps = config.steps(len(plan.lengths), ranks.count())
        self.eval_at = config.eval_steps(len(plan.lengths), ranks.count())
        self.save_at = config.checkpoint_steps(len(plan.lengths), ranks.count())
        self.checkpoints = Checkpoints(folder / runs.CHECKPOINTS)
        self.resumed = self.checkpoints.newest()
        self.now = Progress(**runs.read_json(self.resumed / PROGRESS)) if self.resumed else Progress()
        self.is_whole = self.resumed is None                # the model is what it should be after now.step
        self.saved_best = self.now.best                     # what the newest checkpoint goes on from
        self.before: Sequence[str] = ()                     # adapters merged into its base, seen from its adapter
        self.examine: Examine | None = None
        self.board: Board | None = None
        self.process = psutil.Process()
        self.began = time.monotonic() - self.now.whole_s
        self.step_began = 0.0
        if ranks.is_first():
            for path in folder.glob(runs.SCRATCH + "*"):        # of a process that was killed
                shutil.rmtree(path)
            self.checkpoints.drop(self.resumed.name if self.resumed else "", self.now.best)
            self.board = Board(folder / runs.TENSORBOARD, self.now.step)

    @property
    def is_eval_due(self) -> bool:
        """True if the run ended in, or just before, an evaluation."""
        return self.now.evaluated < self.now.step and (self.now.step in self.eval_at or self.now.step == 0)

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Start the clock of the first step."""
        self.step_began = time.monotonic()

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """End the run of a process that took over after the last step."""
        if state.global_step >= self.steps:
            raise Ended

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Ask for an evaluation where one is due."""
        self.now.step = state.global_step
        samples = self.plan.samples_of(state.global_step - 1)
        self.now.tokens += sum(self.plan.lengths[k] for k in samples)
        self.now.learned_tokens += sum(self.plan.learned[k] for k in samples)
        control.should_evaluate = state.global_step in self.eval_at

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **living: Any) -> None:
        """One event a step. A checkpoint where one is due. A stop request ends the run here."""
        state.log_history.clear()                    # it would grow with every step
        if "loss" not in logs:                       # the Trainer's closing summary, or an evaluation
            return
        seconds, self.step_began = time.monotonic() - self.step_began, time.monotonic()
        self.now.train_s += seconds
        self.now.last_loss = logs["loss"]
        self.now.first_loss = logs["loss"] if self.now.first_loss is None else self.now.first_loss
        self._say_step(logs, seconds)
        is_stopped = ranks.agree(self.job.is_stop_asked())
        if is_stopped or self.now.step in self.save_at:
            self.save(state, **living)
        if is_stopped:
            raise Stopped

    def _say_step(self, logs: dict[str, float], seconds: float) -> None:
        values = {"loss": round(logs["loss"], 5), "lr": logs["learning_rate"], "grad_norm": round(logs["grad_norm"], 5),
                  "tokens_per_s": round(self.tokens_per_s(), 1), "memory_mb": round(self._memory_mb()),
                  "left_s": round(self._left_s(), 3)}
        self._event("step", steps=self.steps, seconds=round(seconds, 4), **values)
        if self.board:
            self.board.add(self.now.step, {f"train/{name}": value for name, value in values.items()})

    def save(self, state: Any, model: Any, optimizer: Any, lr_scheduler: Any, **_: Any) -> None:
        """Write a checkpoint; a full disk is said, and the run goes on."""
        self._update()
        is_written = self.checkpoints.write(self.now.step, State(
            model=model, optimizer=optimizer, scheduler=lr_scheduler, trainer=state, progress=asdict(self.now)),
            keep=self.now.best)
        seconds, self.step_began = time.monotonic() - self.step_began, time.monotonic()
        self.now.train_s += seconds
        if is_written:
            self.saved_best = self.now.best
            self._event("checkpoint", seconds=round(seconds, 3))
        else:
            self.job.event("note", text=f"The disk is full: no checkpoint after step {self.now.step}; the one before "
                                        "stays, and training goes on. Free some space.")

    def check(self) -> None:
        """Raise Stopped if somebody asked for it; the first process may call this alone."""
        if self.job.is_stop_asked():
            raise Stopped

    def evaluated(self, model: Any, loss: float, seconds: float) -> None:
        """Take in a validation loss: ask for answers, keep the adapter if it is the best, end early if told so.

        Raises UserError if the loss is not finite.
        """
        began = time.monotonic()
        metrics = self._metrics(model)
        step, answers_s = self.now.step, time.monotonic() - began
        self.now.eval_s = seconds + answers_s
        self._event("eval", loss=round(loss, 5), seconds=round(seconds, 3), answers_s=round(answers_s, 3),
                    **{name: round(value, 5) for name, value in metrics.items()})
        if self.board:
            self.board.add(step, {f"validation/{name}": value for name, value in {"loss": loss, **metrics}.items()})
        if not math.isfinite(loss):
            reason = ("the base model's weights are damaged, or too large for its arithmetic; get it again, or set "
                      "precision to float32" if step == 0 else "lower lr, or set precision to float32")
            raise UserError(f"The validation loss after step {step} is not a finite number: {reason}."
                            + " The best adapter so far is kept." * bool(self.now.best))
        self.now.evaluated = step
        metric = metrics.get(self.config.best_by)
        if step == 0:
            self.now.base_loss, self.now.base_metric = loss, metric
            return
        self.now.worse_evals += 1
        if self._is_better(loss, metric):
            self.now.best_loss, self.now.best_metric, self.now.best_step = loss, metric, step
            self.now.worse_evals = 0
            self.keep(model)
        self.step_began = time.monotonic()
        if self.now.worse_evals and self.now.worse_evals == self.config.patience:
            self.job.event("note", text=f"Stopped early: {self.now.worse_evals} evaluations without a better one.")
            raise Ended

    def _metrics(self, model: Any) -> dict[str, float]:
        """What the first process finds when it asks the model, in every process."""
        found: dict[str, float] | None = {}
        if self.examine and ranks.is_first():
            try:
                found = self.examine(model, self.now.step, self.check)
            except Stopped:
                found = None
        found = ranks.agree(found)
        if found is None:
            raise Stopped
        return found

    def _is_better(self, loss: float, metric: float | None) -> bool:
        if self.now.best_loss is None:
            return True
        if metric is None or self.now.best_metric is None:
            return loss < self.now.best_loss
        return metric > self.now.best_metric

    def keep(self, model: Any) -> None:
        """Write the adapter as it is now beside the checkpoints; drop the one kept before, unless one resumes there."""
        name = f"{BEST}{self.now.step:06d}"
        before, self.now.best = self.now.best, name
        if not ranks.is_first():
            return
        shutil.rmtree(self.checkpoints.folder / name, ignore_errors=True)       # of a process that was killed
        try:
            adapter.save(model.model, self.checkpoints.folder / name, self.base, self.before)
        except BaseException:
            self.now.best = before
            raise
        if before and before not in (name, self.saved_best):
            shutil.rmtree(self.checkpoints.folder / before)

    def publish(self, model: Any) -> None:
        """Give the run its adapter: the best one, else the one as it is if anything was learned.

        Hard links where the disk has them, so that it needs no room; the folder is replaced whole.
        """
        if not ranks.is_first():
            return
        is_sound = self.is_whole and all(torch.isfinite(one).all() for one in learning(model).values())
        if is_sound and self.now.step and not self.now.best:
            self.keep(model)
        if not self.now.best:
            return
        target = self.folder / runs.ADAPTER
        with runs.scratch_folder(self.folder) as scratch:
            shutil.copytree(self.checkpoints.folder / self.now.best, Path(scratch) / "new", copy_function=_link)
            if target.exists():
                target.rename(Path(scratch) / "old")
            (Path(scratch) / "new").rename(target)

    def close(self) -> None:
        """End what is open; note what was used."""
        self._update()
        if self.board:
            self.board.close()

    def tokens_per_s(self) -> float:
        """Tokens (padding not counted) a second of training, evaluations not counted."""
        return self.now.tokens / self.now.train_s if self.now.train_s else 0.0

    def _update(self) -> None:
        self.now.whole_s = time.monotonic() - self.began
        self.now.peak_mb = max(self.now.peak_mb, peak_rss_mb())
        if torch.cuda.is_initialized():
            self.now.peak_vram_mb = max(self.now.peak_vram_mb or 0.0, torch.cuda.max_memory_reserved() / 1e6)

    def _memory_mb(self) -> float:
        if torch.cuda.is_initialized():
            return torch.cuda.memory_allocated() / 1e6
        return float(self.process.memory_info().rss) / 1e6

    def _left_s(self) -> float:
        evals_left = sum(step > self.now.step for step in self.eval_at)
        return (self.now.train_s / max(1, self.now.step) * (self.steps - self.now.step)
                + self.now.eval_s * evals_left)

    def _event(self, kind: str, **values: Any) -> None:
        stage = {"stage": self.config.name} if self.config.name else {}
        self.job.event(kind, step=self.now.step, **stage, **values)


def _link(source: str, target: str) -> None:
    """A second name for a file where the disk has such a thing, else a copy."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
