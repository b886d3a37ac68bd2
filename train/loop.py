"""The run itself: transformers' Trainer with our loss, our order of rows, and checkpoints that go on bit for bit."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, Trainer, TrainingArguments

from models.errors import UserError
from train import checkpoint, memory, ranks
from train.adapter import Machine
from train.config import TrainConfig
from train.samples import Sample
from train.steps import Loader, Plan
from train.watch import Ended, Progress, Stopped, Watch

SCHEDULES = {"cosine": "cosine", "linear": "linear", "constant": "constant_with_warmup"}
RISEN = 1.5                     # a loss so many times the first one has not just been unlucky
Collate = Callable[[Sequence[Sample]], dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Lessons:
    """What a run learns from and is measured on, and how samples become batches of tensors."""

    training: Sequence[Sample]
    validation: Sequence[Sample]
    plan: Plan
    collate: Collate                 # of training: padded or packed
    pad: Collate                     # of validation: padded
    machine: Machine


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a run came to; losses in nats per answer token. best_val_loss is None if no evaluation was finished.

    base_metric and best_metric are values of config.best_by, None where that is the loss.
    """

    steps: int
    base_val_loss: float | None
    best_val_loss: float | None
    base_metric: float | None
    best_metric: float | None
    best_step: int
    supervised_tokens: int
    train_s: float                   # of steps and checkpoints, evaluations not counted
    whole_s: float                   # of everything since the model was loaded
    tokens_per_s: float
    peak_rss_mb: float
    peak_vram_mb: float | None
    peak_disk_mb: float
    is_stopped: bool


class Lesson(Trainer):
    """Trainer with the order of a Plan, a mean loss over all learned tokens of a step, and Checkpoints."""

    def __init__(self, lessons: Lessons, watch: Watch, **options: Any):
        super().__init__(train_dataset=lessons.training, callbacks=[watch], **options)
        self.lessons, self.watch = lessons, watch
        self.loss_is_scaled_for_ga = True
        self.remove_callback(PrinterCallback)

    def get_train_dataloader(self) -> Loader:
        """Every process's own share of every step."""
        return Loader(self.lessons.training, self.lessons.plan, self.lessons.collate)

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: torch.device) -> int:
        """Learned tokens of the step that begins, in all processes together."""
        plan = self.lessons.plan
        return sum(plan.learned[k] for k in plan.samples_of(self.state.global_step)) if batch_samples else 0

    def compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool = False,
                     num_items_in_batch: Any = None) -> Any:
        """This batch's share of the step's mean loss; DDP divides the gradients by the processes."""
        return model(**inputs)["loss"] * (ranks.count() / num_items_in_batch)

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> float:
        """Raises UserError if it is not finite, before the optimizer spoils the adapter."""
        norm = float(super()._get_grad_norm(model, grad_norm))
        if not math.isfinite(norm):
            raise UserError(why_not_finite(self.watch.now, self.watch.config, float(self._tr_loss)))
        return norm

    def evaluate(self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval"
                 ) -> dict[str, float]:
        """{"eval_loss"} over the validation samples; the watch takes it in."""
        began = time.monotonic()
        loss = validation_loss(self.model, self.lessons.validation, self.lessons.pad, self.lessons.machine,
                               self.args.per_device_eval_batch_size, self.watch.job.is_stop_asked)
        self.log({f"{metric_key_prefix}_loss": loss})
        self.watch.evaluated(self.model, loss, time.monotonic() - began)
        self.callback_handler.on_evaluate(self.args, self.state, self.control, {"eval_loss": loss})
        return {"eval_loss": loss}

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """0: nobody reads it, and counting parameters at every step takes time."""
        return 0

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        checkpoint.load_weights(self.model, Path(resume_from_checkpoint) / checkpoint.WEIGHTS)
        self.watch.is_whole = True

    def _load_optimizer_and_scheduler(self, checkpoint_folder: str | None) -> None:
        if checkpoint_folder:
            state = checkpoint.load(Path(checkpoint_folder) / checkpoint.OPTIMIZER)
            self.optimizer.load_state_dict(state["optimizer"])
            self.lr_scheduler.load_state_dict(state["scheduler"])

    def _load_rng_state(self, checkpoint_folder: str | None) -> None:
        if checkpoint_folder:
            checkpoint.set_rng_state(checkpoint.load(Path(checkpoint_folder) / checkpoint.rng_name()))


def validation_loss(model: Any, samples: Sequence[Sample], pad: Collate, machine: Machine, batch: int,
                    is_stop_asked: Callable[[], bool] = lambda: False) -> float:
    """Mean loss over all learned tokens of samples, shared out over the processes.

    model: a Learner. batch: samples at once. Raises Stopped when somebody asks for it.
    """
    ordered = sorted(samples, key=lambda sample: len(sample.ids))
    batches = [ordered[k:k + batch] for k in range(0, len(ordered), batch)]
    was_training, summed, count = model.training, 0.0, 0.0
    model.eval()
    try:
        with torch.no_grad(), torch.autocast(machine.device, torch.bfloat16, enabled=machine.is_bfloat16):
            for k in range(0, len(batches), ranks.count()):
                if ranks.agree(is_stop_asked()):
                    raise Stopped
                for part in batches[k + ranks.rank():k + ranks.rank() + 1]:
                    found = model(**{name: tensor.to(machine.device) for name, tensor in pad(part).items()})
                    summed, count = summed + float(found["loss"]), count + float(found["count"])
    finally:
        model.train(was_training)
    summed, count = ranks.total([summed, count])
    return summed / count


def why_not_finite(now: Progress, config: TrainConfig, loss: float) -> str:
    """The likely reason why a step's loss or gradient is no longer a number, and what to do."""
    what = "gradient" if math.isfinite(loss) else "loss"
    text = f"The {what} of step {now.step + 1} is no longer a finite number; "
    if now.first_loss is not None and now.last_loss is not None and now.last_loss > RISEN * now.first_loss:
        text += (f"the loss had risen from {now.first_loss:.3g} to {now.last_loss:.3g}: the learning rate is too "
                 f"high. Lower lr (it is {config.lr:g}).")
    elif config.precision != "float32":
        text += (f"most likely the learning rate is too high, or numbers too large for the arithmetic. Lower lr (it "
                 f"is {config.lr:g}), or set precision to float32.")
    else:
        text += f"most likely the learning rate is too high. Lower lr (it is {config.lr:g})."
    return text + (" The best adapter so far is kept." if now.best else " The adapter before that step is kept."
                   if now.step else "")


def arguments(config: TrainConfig, machine: Machine, steps: int, folder: Path, optimizer: str) -> TrainingArguments:
    """TrainConfig as transformers wants it. Evaluations and checkpoints are asked for by Watch."""
    return TrainingArguments(
        output_dir=str(folder), max_steps=steps, seed=config.seed, disable_tqdm=True, optim=optimizer,
        report_to=list(config.report_to) or "none", run_name=folder.name, trackio_static_space_id=False,
        per_device_train_batch_size=config.batch, gradient_accumulation_steps=config.accumulate,
        per_device_eval_batch_size=config.batch, learning_rate=config.lr, lr_scheduler_type=SCHEDULES[config.schedule],
        warmup_steps=config.warmup_steps(steps), weight_decay=config.weight_decay, max_grad_norm=config.clip,
        use_cpu=machine.device == "cpu", bf16=machine.is_bfloat16, eval_strategy="no", save_strategy="no",
        logging_steps=1, logging_nan_inf_filter=False, remove_unused_columns=False,
        ddp_find_unused_parameters=False, ddp_broadcast_buffers=False, ddp_timeout=int(ranks.WAIT.total_seconds()))


def train(model: Any, lessons: Lessons, watch: Watch, optimizer: str = "adamw_torch") -> Outcome:
    """Train model (a Learner) and leave the best adapter in the watch's folder, whatever ends it.

    Goes on from the folder's newest checkpoint. The base's own validation loss is measured first, as step 0. When the
    job is asked to stop, the adapter is the best evaluated one, or the one as it is if none was. Raises UserError if
    a loss is not finite or the disk is full; the best adapter until then is kept.
    """
    _keep_frozen_apart(model)
    args = arguments(watch.config, lessons.machine, watch.steps, watch.folder, optimizer)
    args.eval_on_start = watch.is_eval_due
    args.mixed_precision = "bf16" if lessons.machine.is_bfloat16 else "no"      # not accelerate's own settings: float16
    trainer = Lesson(lessons, watch, model=model, args=args, data_collator=lessons.collate)
    if ranks.rank():
        torch.manual_seed(watch.config.seed + ranks.rank())     # other dropout than the first process
    is_stopped = False
    try:
        trainer.train(resume_from_checkpoint=str(watch.resumed) if watch.resumed else None)
    except Ended as end:
        is_stopped = isinstance(end, Stopped)
    except (MemoryError, RuntimeError) as error:
        if told := memory.advice(error, model, watch.config, lessons.machine):
            raise told from error
        raise
    finally:
        watch.publish(model)
        watch.close()
    now = watch.now
    return Outcome(
        steps=now.step, base_val_loss=now.base_loss, best_val_loss=now.best_loss, base_metric=now.base_metric,
        best_metric=now.best_metric, best_step=now.best_step, supervised_tokens=now.learned_tokens,
        train_s=now.train_s, whole_s=now.whole_s, tokens_per_s=watch.tokens_per_s(), peak_rss_mb=now.peak_mb,
        peak_vram_mb=now.peak_vram_mb, peak_disk_mb=watch.checkpoints.peak_mb, is_stopped=is_stopped)


def _keep_frozen_apart(model: Any) -> None:
    """DDP need not send the base to every process: each has read it from the disk."""
    if ranks.count() > 1:
        learned = checkpoint.learning(model)
        names = [name for name, _ in (*model.named_parameters(), *model.named_buffers()) if name not in learned]
        torch.nn.parallel.DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(model, names)
