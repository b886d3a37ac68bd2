"""The training process: `python -m train.worker RUN_DIR` turns the TrainConfig in a run folder into an adapter."""

import json
import logging
import os
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corpus import layouts
from corpus.layouts import Example
from corpus.read import Unusable
from corpus.split import split, without_repeats
from models import job as jobs
from models import knobs, runs
from models.errors import UserError
from models.job import Job
from models.library import find_base
from train.config import TrainConfig

if TYPE_CHECKING:                   # torch and transformers are imported after set_up_libraries()
    from train.adapter import Machine
    from train.loop import Outcome
    from train.samples import Sample

SHOWN_ROWS = 20
KEPT_KERNELS = "64"             # oneDNN's 1,024 take 0.7 GB more after 100 steps: every batch has shapes of its own


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The examples of a run, and the rows left out on the way."""

    training: Sequence[Example]
    validation: Sequence[Example]
    unusable: Sequence[Unusable]


@dataclass(frozen=True, kw_only=True)
class Batches:
    """What the loop eats."""

    training: list["Sample"]
    validation: list["Sample"]
    pad_id: int


def work(job: Job) -> None:
    """Train as the run folder's config.json says; results lie where models/runs.py says.

    Raises UserError for whatever the user can mend: rows, base model, settings, disk.
    """
    set_up_libraries()
    config = knobs.from_json(TrainConfig, runs.read_json(job.folder / runs.CONFIG))
    base = find_base(config.base)
    job.event("phase", text="Reading the rows", done=0, of=4)
    rows = read_rows(config, job)
    job.event("phase", text="Loading the base model", done=1, of=4)
    batches, figures = make_batches(rows, config, base, job)
    model, machine, size = load_model(config, base, job)
    job.event("phase", text="Training", done=2, of=4)
    outcome = run(model, machine, batches, config, base, job)
    say(outcome, config, job)
    runs.write_json(job.folder / runs.RESULT, {
        **asdict(outcome), **figures, **size, "machine": machine.describe(), "base": str(base),
        "is_stopped": job.is_stop_asked()})


def set_up_libraries() -> None:
    """Keep them on this machine, silent but for errors, and small; they read this when they are imported."""
    os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", DO_NOT_TRACK="1",
                      TOKENIZERS_PARALLELISM="false", TRANSFORMERS_VERBOSITY="error")
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", KEPT_KERNELS)
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=FutureWarning)       # between these libraries, not for the user


def read_rows(config: TrainConfig, job: Job) -> Rows:
    """The examples for training and for validation, from the files or by a seeded split."""
    if not config.data:
        raise UserError("No training file is given; name one with --data.")
    loaded = layouts.load(config.data)
    if config.eval:
        held = layouts.load(config.eval)
        training, repeats = without_repeats(loaded.examples, held.examples)
        validation, unusable = [*held.examples], [*loaded.unusable, *held.unusable, *repeats]
        notes = [*loaded.notes, *held.notes]
        if not training:
            raise UserError(f"Every one of the {len(repeats)} training rows has the input of a validation row; "
                            "name other rows with --eval, or none (then some rows are set aside).")
        if repeats:
            notes.append(f"{len(repeats)} training rows were left out: their input is also a validation row's.")
    else:
        training, validation = split(loaded.examples, config.eval_share, config.seed)
        unusable, notes = [*loaded.unusable], [*loaded.notes]
    for text in notes:
        job.event("note", text=text)
    return Rows(training=training, validation=validation, unusable=unusable)


def make_batches(rows: Rows, config: TrainConfig, base: Path, job: Job) -> tuple[Batches, dict[str, Any]]:
    """The rows as samples, and {"samples", "validation_samples", "left_out", "cut"}.

    Writes the rows left out and the held-out rows to the run folder.
    """
    from tasks.hf_tokenizer import HFTokenizer
    from train import adapter, samples
    hf = adapter.load_tokenizer(base)
    training = samples.prepare(rows.training, HFTokenizer(hf), config.max_len)
    validation = samples.prepare(rows.validation, HFTokenizer(hf), config.max_len)
    unusable = [*rows.unusable, *training.unusable, *validation.unusable]
    layouts.write_unusable(job.folder / runs.UNUSABLE, unusable)
    layouts.write_examples(job.folder / runs.HELDOUT, validation.examples)
    figures = {"samples": len(training.samples), "validation_samples": len(validation.samples),
               "left_out": len(unusable), "cut": training.cut + validation.cut}
    _say_rows(figures, unusable, config, job)
    return Batches(training=training.samples, validation=validation.samples, pad_id=hf.pad_token_id or 0), figures


def _say_rows(figures: dict[str, Any], unusable: Sequence[Unusable], config: TrainConfig, job: Job) -> None:
    for row in unusable[:SHOWN_ROWS]:
        job.event("row", **asdict(row))
    text = f"{figures['samples']} rows to learn from, {figures['validation_samples']} for validation"
    if unusable:
        text += f"; {len(unusable)} left out (listed in {runs.UNUSABLE})"
    if figures["cut"]:
        text += f"; {figures['cut']} longer than {config.max_len:,} tokens lost the middle of their input"
    job.event("note", text=text + ".")


def load_model(config: TrainConfig, base: Path, job: Job) -> tuple[Any, "Machine", dict[str, int]]:
    """The base with a fresh adapter, where it computes, and {"modules", "parameters"} that learn."""
    import torch
    import transformers

    from train import adapter
    transformers.utils.logging.disable_progress_bar()
    if config.threads:
        torch.set_num_threads(config.threads)
    machine = adapter.choose_machine(config.precision)
    model = adapter.add_lora(adapter.load_base(base, machine, config.load_4bit), config)
    modules, parameters = adapter.count(model)
    weights = ", base weights in 4-bit NF4" if config.load_4bit else ""
    job.event("note", text=f"LoRA on {modules} projections: {parameters:,} parameters learn. "
                           f"{machine.describe()}{weights}.")
    return model, machine, {"modules": modules, "parameters": parameters}


def run(model: Any, machine: "Machine", batches: Batches, config: TrainConfig, base: Path, job: Job) -> "Outcome":
    """Train and draw the curve, however the training ends."""
    from train import adapter, curve, loop, samples
    watch = loop.Watch(job, config, base, len(batches.training))
    collate = samples.Collator(batches.pad_id, adapter.takes_token_types(model))
    try:
        return loop.train(model, (batches.training, batches.validation), collate, watch, machine)
    finally:
        lines = (job.folder / runs.EVENTS).read_text(encoding="utf-8").splitlines()
        curve.draw([json.loads(line) for line in lines], job.folder / runs.CURVE)


def say(outcome: "Outcome", config: TrainConfig, job: Job) -> None:
    """The result in one line for the person."""
    if outcome.best_val_loss is None:
        text = ("Stopped before the first validation; the adapter is saved as it was." if outcome.steps else
                "Stopped before the first step; there is no adapter.")
    else:
        text = (f"Validation loss {outcome.base_val_loss:.3f} before, {outcome.best_val_loss:.3f} after step "
                f"{outcome.best_step}, the adapter that was kept.")
        if outcome.base_val_loss is not None and outcome.best_val_loss >= outcome.base_val_loss:
            text += " Training did not help: try a lower learning rate, or more rows."
    job.event("note", text=text)


if __name__ == "__main__":
    jobs.main(work)
