"""Samples in batches: their order, a pure function of seed and epoch, and one batch as tensors."""

import random
from collections.abc import Sequence
from typing import Any

import torch

from train.adapter import Machine
from train.attention import is_packed
from train.config import TrainConfig
from train.samples import IGNORED, Sample

LENGTH_NOISE = 0.05                 # share by which lengths are blurred, so that batches differ from epoch to epoch
WIDTH_STEP = 32                     # oneDNN builds and keeps kernels for every width: few widths save 0.7 GB
PACKED_STEP = 64                    # the same for rows of several samples
SAMPLES_A_POOL = 400                # samples are sorted by length within pools of about this many


class Padded:
    """Samples -> one batch of tensors, a row each, padded on the right.

    Causal attention never looks to the right, so no mask is needed for what is learned to be right.
    """

    def __init__(self, pad_id: int):
        self.pad_id = pad_id

    def __call__(self, samples: Sequence[Sample]) -> dict[str, Any]:
        """input_ids and labels, each (B, T) int64; T is the longest sample, rounded up to WIDTH_STEP."""
        width = padded(max(len(sample.ids) for sample in samples), WIDTH_STEP)
        ids = torch.full((len(samples), width), self.pad_id)
        labels = torch.full((len(samples), width), IGNORED)
        for k, sample in enumerate(samples):
            n = len(sample.ids)
            ids[k, :n], labels[k, :n] = torch.tensor(sample.ids), torch.tensor(sample.labels)
        return {"input_ids": ids, "labels": labels}


class Packed:
    """Samples -> one batch of tensors, all in one row; a sample sees itself alone."""

    def __init__(self, pad_id: int):
        self.pad_id = pad_id

    def __call__(self, samples: Sequence[Sample]) -> dict[str, Any]:
        """input_ids, position_ids and labels, each (1, T) int64, and lengths (B,) of the samples in it.

        What is left up to T is padding. The first label of a sample is never learned: the token before it is
        another sample's.
        """
        total = sum(len(sample.ids) for sample in samples)
        width = padded(total, PACKED_STEP)
        ids = torch.full((1, width), self.pad_id)
        labels = torch.full((1, width), IGNORED)
        positions = torch.zeros((1, width), dtype=torch.long)
        positions[0, total:] = torch.arange(width - total)
        at = 0
        for sample in samples:
            n = len(sample.ids)
            ids[0, at:at + n] = torch.tensor(sample.ids)
            labels[0, at + 1:at + n] = torch.tensor(sample.labels[1:])
            positions[0, at:at + n] = torch.arange(n)
            at += n
        lengths = torch.tensor([len(sample.ids) for sample in samples])
        return {"input_ids": ids, "position_ids": positions, "labels": labels, "lengths": lengths}


def collator(config: TrainConfig, machine: Machine, pad_id: int, model: Any) -> Padded | Packed:
    """What makes batches for training model there."""
    family = model.config.model_type
    return Packed(pad_id) if is_packed(config, machine.device, family) else Padded(pad_id)


def padded(tokens: int, step: int) -> int:
    """tokens rounded up to a multiple of step."""
    return -(-tokens // step) * step


def batch_tokens(lengths: Sequence[int], is_packed: bool) -> int:
    """Tokens, padding included, that a batch of samples of these lengths computes."""
    if is_packed:
        return padded(sum(lengths), PACKED_STEP)
    return len(lengths) * padded(max(lengths), WIDTH_STEP)


def steps_of_epoch(lengths: Sequence[int], step: int, seed: int, epoch: int) -> list[list[int]]:
    """The samples of each optimizer step of an epoch, of about equal length; the last step may have fewer.

    lengths: tokens of every sample. step: samples that a step takes (batch x accumulate x processes), however they
    are divided; within it they stand longest first. A pure function: transformers' own length grouping draws from the
    global generator, so that a resumed run would see another order.
    """
    draw = random.Random(f"{seed} {epoch}")
    order = list(range(len(lengths)))
    draw.shuffle(order)
    blurred = [length * draw.uniform(1 - LENGTH_NOISE, 1 + LENGTH_NOISE) for length in lengths]
    pool = step * max(1, SAMPLES_A_POOL // step)
    steps = []
    for start in range(0, len(order), pool):
        by_length = sorted(order[start:start + pool], key=lambda k: blurred[k], reverse=True)
        steps += [sorted(by_length[k:k + step], key=lambda k: (-lengths[k], k)) for k in range(0, len(by_length), step)]
    short = [one for one in steps if len(one) < step]
    full = [one for one in steps if len(one) == step]
    draw.shuffle(full)
    return full + short
