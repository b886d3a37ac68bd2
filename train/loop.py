"""The run itself: transformers' Trainer with our loss, our order of rows, and the best adapter kept."""

import math
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from models import runs
from models.errors import UserError
from models.job import Job
from train import adapter
from train.adapter import Machine
from train.config import TrainConfig
from train.samples import IGNORED, Collator, GroupedByLength, Sample

SCHEDULES = {"cosine": "cosine", "linear": "linear", "constant": "constant_with_warmup"}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a run came to; losses in nats per answer token. best_val_loss is None if no evaluation was finished."""

    steps: int
    base_val_loss: float | None
    best_val_loss: float | None
    best_step: int
    seconds: float
    tokens_per_s: float


class Stopped(Exception):
    """Somebody asked the job to stop; raised between steps, or between batches of an evaluation."""


def answer_losses(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of every learned token, (N,) float32.

    logits (N, vocab): only of positions whose next token is learned. labels (B, T).
    """
    targets = labels[:, 1:]
    return torch.nn.functional.cross_entropy(logits.float(), targets[targets != IGNORED], reduction="none")


def training_loss(outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
    """Mean loss of the learned tokens of one optimizer step. Raises UserError if it is not finite."""
    losses = answer_losses(outputs.logits, labels)
    loss = losses.sum() / (losses.numel() if num_items_in_batch is None else num_items_in_batch)
    if not torch.isfinite(loss):
        raise UserError("The loss is no longer a finite number; most likely the learning rate is too high. "
                        "Lower lr, or set precision to float32. The best adapter so far is kept.")
    return loss


class AnswerTrainer(Trainer):
    """Trainer whose validation loss is the mean over all learned tokens, however they fall into batches."""

    def _get_train_sampler(self, train_dataset: Any = None) -> GroupedByLength:
        lengths = [len(sample.ids) for sample in train_dataset or self.train_dataset]
        return GroupedByLength(lengths, self.args.per_device_train_batch_size, self.args.seed)

    def prediction_step(self, model: Any, inputs: dict[str, Any], prediction_loss_only: bool,
                        ignore_keys: list[str] | None = None) -> tuple[None, torch.Tensor, torch.Tensor]:
        """(None, summed loss of each row, learned tokens of each row); both (B,)."""
        inputs = self._prepare_inputs(inputs)
        labels = inputs.pop("labels")
        with torch.no_grad():
            losses = answer_losses(model(**inputs).logits, labels)
        is_learned = labels[:, 1:] != IGNORED
        rows = is_learned.nonzero()[:, 0]
        sums = torch.zeros(len(labels), device=losses.device).index_add(0, rows, losses)
        return None, sums, is_learned.sum(dim=1)


def mean_loss(prediction: Any) -> dict[str, float]:
    """{"loss"} from the sums and counts of prediction_step."""
    return {"loss": float(prediction.predictions.sum(dtype="float64") / prediction.label_ids.sum())}


class Watch(TrainerCallback):
    """Writes the events of a run, keeps its best adapter, and ends it when asked to."""

    def __init__(self, job: Job, config: TrainConfig, base: Path, samples: int):
        self.job, self.config, self.base = job, config, base
        self.steps, self.eval_at = config.steps(samples), config.eval_steps(samples)
        self.folder = job.folder / runs.CHECKPOINTS
        self.best: Path | None = None
        self.base_loss: float | None = None
        self.best_loss, self.best_step, self.worse_evals = math.inf, 0, 0
        self.step_began = self.busy_s = self.eval_s = 0.0
        self.step, self.tokens = 0, 0

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Start the clock of a step."""
        self.step_began = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Stop the clock; ask for an evaluation where one is due."""
        self.busy_s += time.monotonic() - self.step_began
        self.step, self.tokens = state.global_step, state.num_input_tokens_seen
        control.should_evaluate = state.global_step in self.eval_at

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **_: Any) -> None:
        """One event a step; a stop request ends the run here."""
        if "loss" not in logs:                       # the Trainer's closing summary, or an evaluation
            return
        self.job.event("step", step=self.step, steps=self.steps, loss=round(logs["loss"], 5),
                       lr=logs["learning_rate"], grad_norm=round(logs.get("grad_norm", 0.0), 5),
                       tokens_per_s=round(self.tokens_per_s(), 1), left_s=round(self._left_s(), 1))
        if self.job.is_stop_asked():
            raise Stopped

    def on_prediction_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """A stop request also ends an evaluation."""
        if self.job.is_stop_asked():
            raise Stopped

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: dict[str, float], **kwargs: Any) -> None:
        """Record the validation loss; keep the adapter if it is the best so far."""
        loss, self.eval_s = metrics["eval_loss"], metrics["eval_runtime"]
        self.job.event("eval", step=state.global_step, loss=round(loss, 5))
        if not math.isfinite(loss):
            raise UserError(f"The validation loss after step {state.global_step} is not a finite number; lower lr, or "
                            "set precision to float32. The best adapter so far is kept.")
        if state.global_step == 0:
            self.base_loss = loss
            return
        self.worse_evals += 1
        if loss < self.best_loss:
            self.best_loss, self.best_step, self.worse_evals = loss, state.global_step, 0
            self.keep(kwargs["model"])
        if self.worse_evals and self.worse_evals == self.config.patience:
            self.job.event("note", text=f"Stopped early: {self.worse_evals} evaluations without a better one.")
            control.should_training_stop = True

    def keep(self, model: Any) -> None:
        """Write the adapter as it is now to checkpoints/, then drop the one kept before."""
        path = self.folder / f"step-{self.step:06d}"
        adapter.save(model, path, self.base)
        before, self.best = self.best, path
        if before:
            shutil.rmtree(before)
        self.job.event("checkpoint", step=self.step, path=str(path))

    def publish(self) -> None:
        """Give the kept adapter its final name; needs no room on the disk."""
        if self.best:
            self.best.rename(self.job.folder / runs.ADAPTER)
        if self.folder.is_dir():
            self.folder.rmdir()

    def tokens_per_s(self) -> float:
        """Tokens (padding not counted) a second of training, evaluations not counted."""
        return self.tokens / self.busy_s if self.busy_s else 0.0

    def _left_s(self) -> float:
        evals_left = sum(step > self.step for step in self.eval_at)
        return self.busy_s / max(1, self.step) * (self.steps - self.step) + self.eval_s * evals_left


def arguments(config: TrainConfig, machine: Machine, steps: int, folder: Path) -> TrainingArguments:
    """TrainConfig as transformers wants it. Evaluations and checkpoints are asked for by Watch."""
    return TrainingArguments(
        output_dir=str(folder), max_steps=steps, seed=config.seed, report_to="none", disable_tqdm=True,
        per_device_train_batch_size=config.batch, gradient_accumulation_steps=config.accumulate,
        per_device_eval_batch_size=config.batch, learning_rate=config.lr, lr_scheduler_type=SCHEDULES[config.schedule],
        warmup_steps=config.warmup_steps(steps), weight_decay=config.weight_decay, max_grad_norm=config.clip,
        use_cpu=machine.device == "cpu", bf16=machine.is_bfloat16, eval_strategy="no", save_strategy="no",
        eval_on_start=True, logging_steps=1, logging_nan_inf_filter=False, remove_unused_columns=False,
        include_num_input_tokens_seen="non_padding", dataloader_pin_memory=machine.device != "cpu")


def train(model: Any, data: tuple[Sequence[Sample], Sequence[Sample]], collate: Collator, watch: Watch,
          machine: Machine) -> Outcome:
    """Train model's adapter on data = (training, validation) and leave the best one in the run's adapter folder.

    The base's own validation loss is measured first, as step 0. Ends early when the job is asked to stop; then the
    adapter is the best evaluated one, or the one as it is if none was. Raises UserError if a loss is not finite or
    the disk is full; the best adapter until then is kept.
    """
    training, validation = data
    by_length = sorted(validation, key=lambda sample: len(sample.ids))
    trainer = AnswerTrainer(
        model=model, args=arguments(watch.config, machine, watch.steps, watch.job.folder), data_collator=collate,
        train_dataset=training, eval_dataset=by_length, compute_loss_func=training_loss, compute_metrics=mean_loss,
        callbacks=[watch])
    trainer.remove_callback(PrinterCallback)
    began = time.monotonic()
    try:
        trainer.train()
    except Stopped:
        if watch.step and not watch.best:
            watch.keep(model)
    finally:
        watch.publish()
    is_evaluated = math.isfinite(watch.best_loss)
    return Outcome(steps=watch.step, base_val_loss=watch.base_loss,
                   best_val_loss=watch.best_loss if is_evaluated else None, best_step=watch.best_step,
                   seconds=time.monotonic() - began, tokens_per_s=watch.tokens_per_s())
