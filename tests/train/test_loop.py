import json
import math
import random
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from corpus.layouts import load
from models import runs
from models.errors import UserError
from models.job import Job
from tests.small_disk import mounted
from tests.train.conftest import events
from tests.train.test_board import records
from train import adapter, loop
from train.adapter import Machine
from train.batches import Padded
from train.config import TrainConfig
from train.learner import Learner
from train.samples import IGNORED, Sample, prepare
from train.steps import Plan
from train.watch import Progress, Watch

CPU = Machine(device="cpu", is_bfloat16=False)
Data = tuple[list[Sample], list[Sample]]


@pytest.fixture
def samples(rows: Path, tokenizer) -> list[Sample]:
    return prepare(load([str(rows)]).examples, tokenizer, 128).samples


def watched(folder: Path, base: Path, data: Data, job: Job | None = None, **values: object
            ) -> tuple[Learner, loop.Lessons, Watch]:
    """What loop.train takes, for a run in this process: adapter and events in folder."""
    folder.mkdir(exist_ok=True)
    config = TrainConfig(**{"rank": 4, "dropout": 0.0, "lr": 0.01, "warmup": 0.0, "evals": 2, "precision": "float32",
                            **values})
    learner = Learner(adapter.add_lora(adapter.load_base(base, CPU, config), config))
    plan = Plan(data[0], config)
    lessons = loop.Lessons(training=data[0], validation=data[1], plan=plan, collate=Padded(0), pad=Padded(0),
                           machine=CPU)
    return learner, lessons, Watch(job or Job(folder), folder, config, base, plan)


def run(folder: Path, base: Path, data: Data, **values: object) -> loop.Outcome:
    return loop.train(*watched(folder, base, data, **values))


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / runs.ADAPTER / "adapter_model.safetensors")


def test_the_validation_loss_is_a_mean_over_tokens(tmp_path: Path, tiny_base: Path, samples: list[Sample]):
    losses = [run(tmp_path / str(batch), tiny_base, (samples[:8], samples), batch=batch, max_steps=1).base_val_loss
              for batch in (1, 8)]
    base = adapter.load_base(tiny_base, CPU, TrainConfig()).eval()
    totals = []
    for sample in samples:
        count = sum(label != IGNORED for label in sample.labels)
        loss = base(input_ids=torch.tensor([sample.ids]), labels=torch.tensor([sample.labels])).loss.item()
        totals.append((count, loss * count))
    expected = sum(total for _, total in totals) / sum(count for count, _ in totals)
    assert losses == pytest.approx([expected, expected], abs=1e-5)


def test_accumulated_batches_equal_one_batch(tmp_path: Path, tiny_base: Path, samples: list[Sample]):
    for name, batch, accumulate in (("one", 8, 1), ("four", 2, 4)):
        run(tmp_path / name, tiny_base, (samples[:12], samples[12:]), batch=batch, accumulate=accumulate, max_steps=4)
    one, four = weights(tmp_path / "one"), weights(tmp_path / "four")
    assert all(torch.allclose(one[name], four[name], atol=1e-4) for name in one)


def test_the_best_adapter_is_kept_not_the_last(tmp_path: Path, tiny_base: Path, samples: list[Sample]):
    """The more it learns of its rows, the less likely it finds the answers here: random ones."""
    draw = random.Random(0)
    others = [replace(sample, labels=[label if label == IGNORED else draw.randrange(300, 8000)
                                      for label in sample.labels]) for sample in samples[4:]]
    outcome = run(tmp_path / "run", tiny_base, (samples[:4], others), lr=0.03, max_steps=24, evals=8, batch=4)
    evals = {event["step"]: event["loss"] for event in events(tmp_path / "run", "eval")}
    best = min((step for step in evals if step), key=lambda step: evals[step])
    assert outcome.best_step == best < 24
    assert outcome.best_val_loss == pytest.approx(evals[best], abs=1e-4)

    run(tmp_path / "again", tiny_base, (samples[:4], others), lr=0.03, max_steps=24, evals=1, batch=4)
    last, kept = weights(tmp_path / "again"), weights(tmp_path / "run")
    assert any(not torch.equal(last[name], kept[name]) for name in last)


def test_the_best_by_a_metric_is_kept(tmp_path: Path, tiny_base: Path, samples: list[Sample]):
    found = {0: 0.1, 3: 0.4, 6: 0.9, 9: 0.9, 12: 0.2}
    learner, lessons, watch = watched(tmp_path, tiny_base, (samples[:4], samples[4:]), max_steps=12, evals=4, batch=4,
                                      best_by="accuracy")
    watch.examine = lambda model, step, check: {"accuracy": found[step]}
    outcome = loop.train(learner, lessons, watch)
    assert (outcome.base_metric, outcome.best_metric, outcome.best_step) == (0.1, 0.9, 6)
    assert {event["step"]: event["accuracy"] for event in events(tmp_path, "eval")} == found
    losses = {event["step"]: event["loss"] for event in events(tmp_path, "eval")}
    assert outcome.best_val_loss == pytest.approx(losses[6], abs=1e-4) and losses[12] < losses[6]


def test_patience_ends_a_run_that_no_longer_gets_better(tmp_path: Path, tiny_base: Path, samples: list[Sample]):
    outcome = run(tmp_path / "run", tiny_base, (samples[:4], samples[4:]), lr=0.03, max_steps=200, evals=40, batch=4,
                  schedule="constant", patience=3)
    steps = [event["step"] for event in events(tmp_path / "run", "eval")]
    assert outcome.steps == steps[-1] < 200 and not outcome.is_stopped
    assert [step for step in steps if step > outcome.best_step] == steps[-3:]
    assert "3 evaluations without a better one" in events(tmp_path / "run", "note")[-1]["text"]


def test_a_stop_during_the_first_evaluation_leaves_no_adapter(tmp_path: Path, tiny_base: Path, samples: list[Sample]):
    (tmp_path / runs.STOP).touch()
    outcome = run(tmp_path, tiny_base, (samples, samples), max_steps=5)
    assert outcome.steps == 0 and outcome.base_val_loss is None and outcome.is_stopped
    assert not (tmp_path / runs.ADAPTER).exists()


def test_a_stop_while_answers_are_written_ends_the_run(tmp_path: Path, tiny_base: Path, samples: list[Sample]):
    def examine(model: Any, step: int, check: Callable[[], None]) -> dict[str, float]:
        if step:
            (tmp_path / runs.STOP).touch()
        check()
        return {}

    learner, lessons, watch = watched(tmp_path, tiny_base, (samples, samples), max_steps=6, evals=2, batch=4)
    watch.examine = examine
    outcome = loop.train(learner, lessons, watch)
    assert outcome.is_stopped and outcome.steps == 3 and (tmp_path / runs.ADAPTER).is_dir()


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant"])
def test_a_run_of_one_step_learns(tmp_path: Path, tiny_base: Path, samples: list[Sample], schedule: str):
    outcome = run(tmp_path, tiny_base, (samples[:8], samples[8:]), max_steps=1, warmup=0.05, schedule=schedule)
    [step] = events(tmp_path, "step")
    assert step["lr"] == 0.01 and outcome.best_val_loss != outcome.base_val_loss
    assert all(tensor.abs().max() > 0 for name, tensor in weights(tmp_path).items() if "lora_B" in name)


def test_a_step_says_what_it_was_measured_by_and_tensorboard_has_it(tmp_path: Path, tiny_base: Path,
                                                                    samples: list[Sample]):
    outcome = run(tmp_path, tiny_base, (samples[:8], samples[8:]), max_steps=4, evals=2, checkpoints=2, batch=4)
    steps = events(tmp_path, "step")
    names = ("loss", "lr", "grad_norm", "tokens_per_s", "memory_mb", "seconds")
    assert all(event[name] > 0 for event in steps for name in names)
    assert [event["left_s"] > 0 for event in steps] == [True, True, True, False]
    assert [event["step"] for event in events(tmp_path, "checkpoint")] == [2, 4]
    written = {(event.step, value.tag): value.simple_value for event in records(tmp_path / runs.TENSORBOARD)
               for value in event.summary.value}
    for event in steps:
        for name in ("loss", "lr", "grad_norm", "tokens_per_s", "memory_mb", "left_s"):
            assert written[event["step"], f"train/{name}"] == pytest.approx(event[name], rel=1e-5)
    for event in events(tmp_path, "eval"):
        assert written[event["step"], "validation/loss"] == pytest.approx(event["loss"], rel=1e-3)
    learned = 2 * sum(label != IGNORED for sample in samples[:8] for label in sample.labels)
    assert outcome.supervised_tokens == learned and outcome.train_s < outcome.whole_s


class Poisoned(Learner):
    """Its loss is a poison at one of its training steps."""

    def __init__(self, model: Any, step: int, poison: float):
        super().__init__(model)
        self.left, self.poison = step, poison

    def forward(self, *args: Any, **inputs: Any) -> dict[str, torch.Tensor]:
        found = super().forward(*args, **inputs)
        self.left -= self.training
        return {**found, "loss": found["loss"] * self.poison} if self.training and not self.left else found


@pytest.mark.parametrize("poison", [math.nan, math.inf])
@pytest.mark.parametrize("step", [1, 3, 6])
def test_a_loss_that_is_not_finite_ends_the_run_and_leaves_a_sound_adapter(tmp_path: Path, tiny_base: Path, step: int,
                                                                           samples: list[Sample], poison: float):
    learner, lessons, watch = watched(tmp_path, tiny_base, (samples[:8], samples[8:]), max_steps=8, evals=2, batch=4)
    with pytest.raises(UserError, match=f"The loss of step {step} is no longer a finite number; most likely the "
                                        r"learning rate is too high. Lower lr \(it is 0.01\)"):
        loop.train(Poisoned(learner.model, step, poison), lessons, watch)
    assert len(events(tmp_path, "step")) == step - 1
    assert (tmp_path / runs.ADAPTER).exists() == (step > 1)
    if step > 1:
        assert all(torch.isfinite(tensor).all() for tensor in weights(tmp_path).values())


@pytest.mark.parametrize("now, values, loss, words", [
    (Progress(step=7, first_loss=2.0, last_loss=9.0), {}, math.nan, "had risen from 2 to 9: the learning rate is too"),
    (Progress(step=7, first_loss=2.0, last_loss=2.1), {}, math.nan, "or set precision to float32"),
    (Progress(step=7, first_loss=2.0, last_loss=2.1), {}, 2.0, "The gradient of step 8"),
    (Progress(step=7, best="best-000004"), {"precision": "float32"}, math.nan, "The best adapter so far is kept"),
    (Progress(step=7), {"precision": "float32"}, math.nan, "The adapter before that step is kept"),
])
def test_why_a_loss_is_not_finite(now: Progress, values: dict, loss: float, words: str):
    assert words in loop.why_not_finite(now, TrainConfig(**values), loss)


@pytest.mark.parametrize("error, raised, words", [
    (ZeroDivisionError("by this test"), ZeroDivisionError, "by this test"),
    (RuntimeError("by this test"), RuntimeError, "by this test"),
    (MemoryError(), UserError, "Out of memory: .* Set batch to 2 and accumulate to 2"),
])
def test_an_adapter_is_saved_whatever_ends_the_run(tmp_path: Path, tiny_base: Path, samples: list[Sample],
                                                   error: Exception, raised: type[Exception], words: str):
    class Breaks(Job):
        def event(self, kind: str, **values: Any) -> None:
            super().event(kind, **values)
            if (kind, values.get("step")) == ("step", 5):
                raise error

    learner, lessons, watch = watched(tmp_path, tiny_base, (samples[:8], samples[8:]), Breaks(tmp_path), max_steps=8,
                                      evals=1, batch=4)
    with pytest.raises(raised, match=words):
        loop.train(learner, lessons, watch)
    assert all(tensor.abs().max() > 0 for name, tensor in weights(tmp_path).items() if "lora_B" in name)
    assert sorted(path.name for path in (tmp_path / runs.ADAPTER).iterdir()) == [
        "adapter_config.json", "adapter_model.safetensors", "base.json"]


class Filler(Job):
    """Fills the disk of its folder at one event, and empties it again at another."""

    def __init__(self, folder: Path, full_at: tuple[str, int], free_at: tuple[str, int] | None):
        super().__init__(folder)
        self.full_at, self.free_at = full_at, free_at

    def event(self, kind: str, **values: Any) -> None:
        super().event(kind, **values)
        if (kind, values.get("step")) == self.full_at:
            subprocess.run(["dd", "if=/dev/zero", f"of={self.folder}/filler", "bs=4k"], capture_output=True)
        elif (kind, values.get("step")) == self.free_at:
            (self.folder / "filler").unlink()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real disk of 4 MB."""
    with mounted(tmp_path / "disk", 4) as folder:
        yield folder


def test_a_full_disk_at_a_checkpoint_keeps_the_one_before_and_the_run_goes_on(small_disk: Path, tiny_base: Path,
                                                                             samples: list[Sample]):
    settings = {"max_steps": 9, "evals": 1, "checkpoints": 3, "batch": 4}
    learner, lessons, watch = watched(small_disk, tiny_base, (samples[:8], samples[8:]),
                                      Filler(small_disk, ("checkpoint", 3), ("step", 7)), **settings)
    loop.train(learner, lessons, watch)
    [note] = events(small_disk, "note")
    assert "The disk is full: no checkpoint after step 6; the one before stays" in note["text"]
    assert [event["step"] for event in events(small_disk, "checkpoint")] == [3, 9]
    assert len(events(small_disk, "step")) == 9 and (small_disk / runs.ADAPTER).is_dir()


def test_a_disk_that_stays_full_ends_the_run_with_the_best_adapter_and_a_checkpoint(small_disk: Path, tiny_base: Path,
                                                                                   samples: list[Sample]):
    settings = {"max_steps": 12, "evals": 4, "checkpoints": 4, "batch": 4, "lr": 0.003}
    learner, lessons, watch = watched(small_disk, tiny_base, (samples[:8], samples[8:]),
                                      Filler(small_disk, ("step", 5), None), **settings)
    with pytest.raises(UserError, match="The disk is full: the adapter could not be written"):
        loop.train(learner, lessons, watch)
    kept = weights(small_disk)
    assert json.loads((small_disk / runs.ADAPTER / runs.BASE).read_text())["family"] == "gemma3_text"
    assert all(torch.isfinite(tensor).all() for tensor in kept.values())
    newest = watch.checkpoints.newest()
    assert newest and newest.name == "step-000003"
    (small_disk / "filler").unlink()

    outcome = loop.train(*watched(small_disk, tiny_base, (samples[:8], samples[8:]), **settings))
    assert outcome.steps == 12 and outcome.best_step == 12


def test_float16_of_accelerates_own_settings_is_not_taken_over(tmp_path: Path, tiny_base: Path, samples: list[Sample],
                                                              monkeypatch: pytest.MonkeyPatch):
    plain = run(tmp_path / "plain", tiny_base, (samples[:8], samples[8:]), max_steps=1)
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "fp16")
    launched = run(tmp_path / "launched", tiny_base, (samples[:8], samples[8:]), max_steps=1)
    assert launched.best_val_loss == plain.best_val_loss
