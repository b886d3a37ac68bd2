"""One stage of training in one folder: samples, model, the run, and what it leaves, resumable at any moment."""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import transformers

from corpus import layouts
from corpus.gather import Gathered
from corpus.identifiers import write_audit
from corpus.table import Unusable
from models import knobs, runs
from models.base import fingerprint
from models.errors import UserError
from models.job import Job
from models.library import find_base
from tasks.hf_tokenizer import HFTokenizer
from train import adapter, batches, card, curve, loop, ranks, samples
from train.answers import Examiner
from train.checkpoint import Checkpoints
from train.config import TrainConfig
from train.learner import Learner
from train.peak import folder_mb
from train.samples import Prepared
from train.steps import Plan
from train.watch import Watch

SHOWN_ROWS = 20
# settings that may change before a run goes on; the base, which may have moved, is known by its fingerprint
FREE = ("base", "recipe", "notify", "keep_awake", "report_to")
TOKENIZER = ("tokenizer*", "*.jinja", "special_tokens_map.json", "added_tokens.json")
NOT_DRAWN = (OSError, ImportError, MemoryError, SystemError, RuntimeError, ValueError)


@dataclass(frozen=True, kw_only=True)
class StageResult:
    """What a stage left in its folder; result is its result.json."""

    folder: Path
    result: dict[str, Any]

    @property
    def is_stopped(self) -> bool:
        """True if it ended because somebody asked for it."""
        return bool(self.result["is_stopped"])


@dataclass(frozen=True, kw_only=True)
class Material:
    """The rows of a stage as samples."""

    training: Prepared
    validation: Prepared
    tokenizer: HFTokenizer
    pad_id: int


def finished(folder: Path) -> bool:
    """True if the stage in folder has come to its end, its checkpoints dropped; a stopped one has not."""
    is_cleared = not (folder / runs.CHECKPOINTS).exists()
    return is_cleared and (folder / runs.RESULT).is_file() and not runs.read_json(folder / runs.RESULT)["is_stopped"]


def run(config: TrainConfig, gathered: Gathered, job: Job, folder: Path, before: Sequence[Path] = (), *,
        order: Callable[[Plan], Plan] = lambda plan: plan, began: float = 0.0) -> StageResult:
    """Train one stage in folder, from its newest checkpoint if it has one.

    before: the adapters of the stages before, in order. order: may change which samples the steps take. began: when
    the time of this stage began to count, as time.time() (0: now). Raises UserError for whatever the user can mend.
    """
    began = began or time.time()
    base = find_base(config.base)
    start_again(config, gathered, base, folder)
    material = prepare(config, gathered, base, job, folder)
    job.event("phase", text="Loading the base model", done=1, of=4)
    machine = adapter.choose_machine(config)
    ranks.start(machine.device)
    learner, size = load(config, base, machine, before, job)
    collate = batches.collator(config, machine, material.pad_id, learner.model)
    plan = order(Plan(material.training.samples, config, ranks.count(), ranks.rank(),
                      isinstance(collate, batches.Packed)))
    watch = Watch(job, folder, config, base, plan)
    if config.start == "merged":
        watch.before = [Path(os.path.relpath(one, folder / runs.ADAPTER)).as_posix() for one in before]
    if ranks.is_first():
        watch.examine = Examiner(material.validation.examples, material.tokenizer, config, job).examine
    lessons = loop.Lessons(training=material.training.samples, validation=material.validation.samples, plan=plan,
                           collate=collate, pad=batches.Padded(material.pad_id), machine=machine)
    job.event("phase", text="Training", done=2, of=4)
    if watch.resumed:
        job.event("resume", step=watch.now.step, **({"stage": config.name} if config.name else {}))
    try:
        outcome = loop.train(learner, lessons, watch, adapter.optimizer(config, machine)[0])
    except UserError:
        draw(config, job, folder)
        raise
    draw(config, job, folder)
    known = {"is_resumed": watch.resumed is not None, "machine": machine.describe(), "base": str(base),
             "fingerprints": dict(gathered.fingerprints),
             **figures(gathered, material), **size}
    return leave(outcome, known, config, job, folder, began)


def start_again(config: TrainConfig, gathered: Gathered, base: Path, folder: Path) -> None:
    """See to it that a resumed run computes as before: threads, processes, settings, base, tokenizer, rows.

    Raises UserError naming what has changed. A start with nothing kept to go on from writes down what there is.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    now = {"threads": torch.get_num_threads(), "processes": ranks.count(), "base": fingerprint(base),
           "fingerprints": dict(gathered.fingerprints), "tokenizer": tokenizer_files(base),
           "config": {name: value for name, value in knobs.to_json(config).items() if name not in FREE}}
    path = folder / runs.STARTED
    if not path.exists() or Checkpoints(folder / runs.CHECKPOINTS).newest() is None:
        if ranks.is_first():
            runs.write_json(path, now)
        return
    then = runs.read_json(path)
    for name in sorted({*then["fingerprints"], *now["fingerprints"]}):
        if then["fingerprints"].get(name) != now["fingerprints"].get(name):
            raise UserError(f"The data file {name} has changed since the interrupted run in {folder} began. Put it "
                            "back as it was, or start a new run.")
    if then["base"] != now["base"]:
        raise UserError(f"The base model {base} has changed since the interrupted run in {folder} began. Put it back "
                        "as it was, or start a new run.")
    for name, value in now["config"].items():
        if then["config"].get(name, value) != value:
            raise UserError(f"The setting {name} was {then['config'][name]} when the interrupted run in {folder} "
                            f"began, and is {value} now. Put it back in {runs.CONFIG}, or start a new run.")
    for name in sorted({*then["tokenizer"], *now["tokenizer"]}):
        if then["tokenizer"].get(name) != now["tokenizer"].get(name):
            raise UserError(f"The tokenizer's file {base / name} has changed since the interrupted run in {folder} "
                            "began. Put it back as it was, or start a new run.")
    if then["processes"] != ranks.count():
        raise UserError(f"The interrupted run in {folder} had {then['processes']} processes, this one has "
                        f"{ranks.count()}; start it with as many as before.")
    torch.set_num_threads(then["threads"])


def tokenizer_files(base: Path) -> dict[str, str]:
    """The sha256 of each file that says how text becomes tokens, the chat template included."""
    paths = sorted({path for pattern in TOKENIZER for path in base.glob(pattern) if path.is_file()})
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def prepare(config: TrainConfig, gathered: Gathered, base: Path, job: Job, folder: Path) -> Material:
    """The rows as samples. Writes the rows left out, held out and set aside, and the findings, to the folder."""
    hf = adapter.load_tokenizer(base)
    tokenizer = HFTokenizer(hf)
    training = samples.prepare(gathered.training, tokenizer, config.max_len)
    validation = samples.prepare(gathered.validation, tokenizer, config.max_len)
    material = Material(training=training, validation=validation, tokenizer=tokenizer, pad_id=hf.pad_token_id or 0)
    unusable = [*gathered.left_out, *training.unusable, *validation.unusable]
    if ranks.is_first():
        layouts.write_unusable(folder / runs.UNUSABLE, unusable)
        layouts.write_examples(folder / runs.HELDOUT, validation.examples)
        layouts.write_examples(folder / runs.TEST, gathered.test)
        runs.write_json(folder / runs.FINDINGS, [asdict(one) for one in gathered.findings])
        if gathered.hits:
            write_audit(folder / runs.IDENTIFIERS, gathered.hits)
    say_rows(material, unusable, config, job)
    return material


def say_rows(material: Material, unusable: Sequence[Unusable], config: TrainConfig, job: Job) -> None:
    """How many rows there are and how many are left out, the first of them one by one."""
    for row in unusable[:SHOWN_ROWS]:
        job.event("row", **asdict(row))
    text = (f"{len(material.training.samples)} rows to learn from, {len(material.validation.samples)} for validation")
    if unusable:
        text += f"; {len(unusable)} left out (listed in {runs.UNUSABLE})"
    job.event("note", text=text + ".")
    if words := material.training.cut_words(config.max_len):
        job.event("note", text=words)


def figures(gathered: Gathered, material: Material) -> dict[str, int]:
    """The counts of rows for the result."""
    left_out = len(gathered.left_out) + len(material.training.unusable) + len(material.validation.unusable)
    return {"samples": len(material.training.samples), "validation_samples": len(material.validation.samples),
            "test_rows": len(gathered.test), "left_out": left_out,
            "cut": material.training.cut + material.validation.cut}


def load(config: TrainConfig, base: Path, machine: adapter.Machine, before: Sequence[Path], job: Job
         ) -> tuple[Learner, dict[str, int]]:
    """The base with the adapter that learns, where it computes, and {"modules", "parameters"} that learn."""
    transformers.utils.logging.disable_progress_bar()
    model = adapter.load_base(base, machine, config)
    model = adapter.continue_from(model, before, config) if before else adapter.add_lora(model, config)
    modules, parameters = adapter.count(model)
    weights = ", base weights in 4-bit NF4" * config.load_4bit + ", base weights in 8 bits" * config.load_8bit
    job.event("note", text=f"LoRA on {modules} projections: {parameters:,} parameters learn. "
                           f"{machine.describe()}{weights}.")
    if missing := adapter.missing(model, config):
        job.event("note", text=f"The base model has no projection called {', '.join(missing)}; those get no LoRA.")
    if note := adapter.optimizer(config, machine)[1]:
        job.event("note", text=note)
    return Learner(model), {"modules": modules, "parameters": parameters}


def draw(config: TrainConfig, job: Job, folder: Path) -> None:
    """The curve of what this stage has been so far; a run does not fail for want of it."""
    if not ranks.is_first():
        return
    try:
        events = map(json.loads, (job.folder / runs.EVENTS).read_text(encoding="utf-8").splitlines())
        curve.draw([event for event in events if event.get("stage", "") == config.name], folder / runs.CURVE)
    except (UserError, *NOT_DRAWN) as error:
        job.event("note", text=f"The curve could not be drawn ({error}).")


def leave(outcome: loop.Outcome, known: dict[str, Any], config: TrainConfig, job: Job, folder: Path, began: float
          ) -> StageResult:
    """Write the result and the card, and drop the checkpoints of a run that needs them no more."""
    values = asdict(outcome)
    before_s = max(0.0, values.pop("whole_s") - (time.time() - began))      # of processes that were interrupted
    disk_mb = folder_mb(folder)
    if ranks.is_first() and not outcome.is_stopped:
        values["peak_disk_mb"] = max(outcome.peak_disk_mb, disk_mb)
        disk_mb -= folder_mb(folder / runs.CHECKPOINTS)
    say(outcome, config, job)
    result = {**values, "metric": config.best_by, **known, "seconds": before_s + time.time() - began,
              "disk_mb": disk_mb}
    if ranks.is_first():
        runs.write_json(folder / runs.RESULT, result)
        if (folder / runs.ADAPTER).is_dir():
            card.write(folder)
        if not outcome.is_stopped:              # last: who is killed before goes on from them, and trains nothing again
            shutil.rmtree(folder / runs.CHECKPOINTS, ignore_errors=True)
    return StageResult(folder=folder, result=result)


def say(outcome: loop.Outcome, config: TrainConfig, job: Job) -> None:
    """The result in one line for the person."""
    if outcome.best_val_loss is None:
        text = ("Stopped before the first validation; the adapter is saved as it was." if outcome.steps else
                "Stopped before the first step; there is no adapter.")
    else:
        text = (f"Validation loss {outcome.base_val_loss:.3f} before, {outcome.best_val_loss:.3f} after step "
                f"{outcome.best_step}, the adapter that was kept.")
        if outcome.best_metric is not None:
            text += f" {config.best_by} {outcome.base_metric:.3f} before, {outcome.best_metric:.3f} after."
        elif outcome.base_val_loss is not None and outcome.best_val_loss >= outcome.base_val_loss:
            text += " Training did not help: try a lower learning rate, or more rows."
    job.event("note", text=text)
