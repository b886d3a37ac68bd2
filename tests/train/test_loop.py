import errno
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from corpus.layouts import load
from models import runs
from models.errors import UserError
from models.job import Job
from tests.train.conftest import events
from train import adapter, loop
from train.adapter import Machine
from train.config import TrainConfig
from train.samples import IGNORED, Collator, Sample, prepare

CPU = Machine(device="cpu", is_bfloat16=False)


@pytest.fixture
def samples(rows: Path, tokenizer) -> list[Sample]:
    return prepare(load([str(rows)]).examples, tokenizer, 128).samples


def run(folder: Path, base: Path, data: tuple[list[Sample], list[Sample]], **values: object) -> loop.Outcome:
    """A run in this process: adapter and events in folder."""
    folder.mkdir(exist_ok=True)
    config = TrainConfig(**{"rank": 4, "dropout": 0.0, "lr": 0.01, "warmup": 0.0, "evals": 2, **values})
    model = adapter.add_lora(adapter.load_base(base, CPU, config.load_4bit), config)
    watch = loop.Watch(Job(folder), config, base, len(data[0]))
    return loop.train(model, data, Collator(0, False), watch, CPU)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / runs.ADAPTER / "adapter_model.safetensors")


def test_the_validation_loss_is_a_mean_over_tokens(tmp_path: Path, tiny_base: Path, samples: list[Sample]):
    losses = [run(tmp_path / str(batch), tiny_base, (samples[:8], samples), batch=batch, max_steps=1).base_val_loss
              for batch in (1, 8)]
    base = adapter.load_base(tiny_base, CPU, False).eval()
    totals = []
    for sample in samples:
        count = sum(label != IGNORED for label in sample.labels)
        loss = base(input_ids=torch.tensor([sample.ids]), labels=torch.tensor([sample.labels])).loss.item()
        totals.append((count, loss * count))
    expected = sum(total for _, total in totals) / sum(count for count, _ in totals)
    assert losses == pytest.approx([expected, expected], abs=1e-5)


def test_accumulated_batches_equal_one_batch(tmp_path: Path, tiny_base: Path, samples: list[Sample]):
    for name, batch, accumulate in (("one", 8, 1), ("four", 2, 4)):
        run(tmp_path / name, tiny_base, (samples[:8], samples[8:]), batch=batch, accumulate=accumulate, max_steps=2)
    one, four = weights(tmp_path / "one"), weights(tmp_path / "four")
    assert all(torch.allclose(one[name], four[name], atol=1e-4) for name in one)


def test_the_best_adapter_is_kept_not_the_last(tmp_path: Path, tiny_base: Path, samples: list[Sample]):
    outcome = run(tmp_path / "run", tiny_base, (samples[:4], samples[4:]), lr=0.03, max_steps=40, evals=8, batch=4)
    evals = {event["step"]: event["loss"] for event in events(tmp_path / "run", "eval")}
    best = min((step for step in evals if step), key=lambda step: evals[step])
    assert outcome.best_step == best < 40
    assert outcome.best_val_loss == pytest.approx(evals[best], abs=1e-4)
    assert outcome.best_val_loss < outcome.base_val_loss
    assert not (tmp_path / "run" / runs.CHECKPOINTS).exists()

    run(tmp_path / "again", tiny_base, (samples[:4], samples[4:]), lr=0.03, max_steps=40, evals=1, batch=4)
    last, kept = weights(tmp_path / "again"), weights(tmp_path / "run")
    assert any(not torch.equal(last[name], kept[name]) for name in last)


def test_patience_ends_a_run_that_no_longer_gets_better(tmp_path: Path, tiny_base: Path, samples: list[Sample]):
    outcome = run(tmp_path / "run", tiny_base, (samples[:4], samples[4:]), lr=0.03, max_steps=200, evals=40, batch=4,
                  schedule="constant", patience=3)
    steps = [event["step"] for event in events(tmp_path / "run", "eval")]
    assert outcome.steps == steps[-1] < 200
    assert [step for step in steps if step > outcome.best_step] == steps[-3:]
    assert "3 evaluations without a better one" in events(tmp_path / "run", "note")[-1]["text"]


def test_a_stop_asked_for_at_a_step_ends_there_and_saves(tmp_path: Path, tiny_base: Path, samples: list[Sample]):
    class StopAtFive(Job):
        def is_stop_asked(self) -> bool:
            return len(events(self.folder, "step")) >= 5

    config = TrainConfig(rank=4, max_steps=100, evals=1, batch=4)
    model = adapter.add_lora(adapter.load_base(tiny_base, CPU, False), config)
    watch = loop.Watch(StopAtFive(tmp_path), config, tiny_base, len(samples))
    outcome = loop.train(model, (samples, samples), Collator(0, False), watch, CPU)
    assert outcome.steps == 5 and outcome.best_val_loss is None and outcome.best_step == 0
    assert any(tensor.abs().max() > 0 for name, tensor in weights(tmp_path).items() if "lora_B" in name)


def test_a_stop_during_the_first_evaluation_leaves_no_adapter(tmp_path: Path, tiny_base: Path, samples: list[Sample]):
    (tmp_path / runs.STOP).touch()
    outcome = run(tmp_path, tiny_base, (samples, samples), max_steps=5)
    assert outcome.steps == 0 and outcome.base_val_loss is None
    assert not (tmp_path / runs.ADAPTER).exists()


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant"])
def test_a_run_of_one_step_learns(tmp_path: Path, tiny_base: Path, samples: list[Sample], schedule: str):
    outcome = run(tmp_path, tiny_base, (samples[:8], samples[8:]), max_steps=1, warmup=0.05, schedule=schedule)
    [step] = events(tmp_path, "step")
    assert step["lr"] == 0.01 and outcome.best_val_loss != outcome.base_val_loss
    assert all(tensor.abs().max() > 0 for name, tensor in weights(tmp_path).items() if "lora_B" in name)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_is_an_error_with_its_likely_reason(bad: float):
    outputs = SimpleNamespace(logits=torch.tensor([[0.0, bad, 1.0]]))
    with pytest.raises(UserError, match="no longer a finite number; most likely the learning rate is too high"):
        loop.training_loss(outputs, torch.tensor([[0, 2]]))


def test_an_adapter_kept_before_a_failure_is_published(tmp_path: Path, tiny_base: Path, samples: list[Sample]):
    class FullAtSecond(loop.Watch):
        def keep(self, model: object) -> None:
            if self.best:
                raise OSError(errno.ENOSPC, "No space left on device")
            super().keep(model)

    config = TrainConfig(rank=4, max_steps=20, evals=10, batch=4, lr=0.01)
    model = adapter.add_lora(adapter.load_base(tiny_base, CPU, False), config)
    watch = FullAtSecond(Job(tmp_path), config, tiny_base, len(samples))
    with pytest.raises(OSError):
        loop.train(model, (samples, samples), Collator(0, False), watch, CPU)
    assert sorted(p.name for p in (tmp_path / runs.ADAPTER).iterdir()) == [
        "adapter_config.json", "adapter_model.safetensors", "base.json"]
    assert not (tmp_path / runs.CHECKPOINTS).exists()
