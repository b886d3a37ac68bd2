"""Which samples each optimizer step learns from, and how they are divided over processes and batches."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch

from train.batches import steps_of_epoch
from train.config import TrainConfig
from train.samples import IGNORED, Sample


class Plan:
    """The order of a run: a pure function of the samples' lengths, the effective batch, the seed and the epoch."""

    def __init__(self, samples: Sequence[Sample], config: TrainConfig, processes: int = 1, rank: int = 0,
                 is_packed: bool = False):
        """samples of every process together; this process computes those of its rank."""
        self.is_packed = is_packed
        self.lengths = [len(sample.ids) for sample in samples]
        self.learned = [sum(label != IGNORED for label in sample.labels[1:]) for sample in samples]
        self.batch, self.processes, self.rank, self.seed = config.batch, processes, rank, config.seed
        self.step = config.batch * config.accumulate * processes
        self.an_epoch = -(-len(samples) // self.step)
        self._epoch, self._steps = -1, list[list[int]]()

    def of_epoch(self, epoch: int) -> list[list[int]]:
        """The samples of each step of an epoch."""
        if epoch != self._epoch:
            self._epoch, self._steps = epoch, steps_of_epoch(self.lengths, self.step, self.seed, epoch)
        return self._steps

    def samples_of(self, step: int) -> list[int]:
        """The samples of a step of the run; the first step is 0."""
        return self.of_epoch(step // self.an_epoch)[step % self.an_epoch]

    def batches_of(self, samples: list[int]) -> list[list[int]]:
        """What this process computes of a step's samples: as many batches as every other process.

        A process for which nothing is left gets batches of the sample len(lengths), of which nothing is learned.
        """
        group = self.batch * self.processes
        found = []
        for start in range(0, len(samples), group):
            part = samples[start:start + group]
            size = min(self.batch, -(-len(part) // self.processes))
            found.append(part[self.rank * size:(self.rank + 1) * size] or [len(self.lengths)])
        return found


class Batches(torch.utils.data.Sampler[list[int]]):
    """A process's batches of one epoch, as torch's DataLoader takes them."""

    def __init__(self, plan: Plan):
        self.plan, self.epoch = plan, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; transformers' Trainer calls it before each."""
        self.epoch = epoch

    def __len__(self) -> int:
        return sum(len(self.plan.batches_of(samples)) for samples in self.plan.of_epoch(self.epoch))

    def __iter__(self) -> Iterator[list[int]]:
        return (batch for samples in self.plan.of_epoch(self.epoch) for batch in self.plan.batches_of(samples))


class Loader(torch.utils.data.DataLoader):
    """Batches of tensors in the order of a plan; draws nothing from the global generators."""

    def __init__(self, samples: Sequence[Sample], plan: Plan, collate: Callable[[Sequence[Sample]], dict[str, Any]]):
        batches = Batches(plan)
        super().__init__([*samples, _empty(samples)], batch_sampler=batches, collate_fn=collate,
                         generator=torch.Generator())
        self.set_epoch = batches.set_epoch


def _empty(samples: Sequence[Sample]) -> Sample:
    """The shortest sample, with nothing in it to learn."""
    shortest = min(samples, key=lambda sample: len(sample.ids))
    return replace(shortest, labels=[IGNORED] * len(shortest.ids))
