"""Out of memory: what to lower, and by how much."""

import re
from typing import Any

import psutil
import torch

from models.errors import UserError
from train.adapter import Machine
from train.config import TrainConfig

SIGNS = ("out of memory", "can't allocate memory", "not enough memory", "CUBLAS_STATUS_ALLOC_FAILED")
SPARE = 1.2                     # the allocation that failed was not the step's last
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
MODEL_SHARE = 0.8               # of the memory: a model that takes more leaves no room to train in
SHORTEST = 256                  # tokens: shorter samples teach little


def advice(error: BaseException, model: Any, config: TrainConfig, machine: Machine) -> UserError | None:
    """What to lower so that a step fits, or None if error is no lack of memory.

    What is needed beyond the model itself grows with the tokens that go through it at once; the failed allocation says
    how much at least was needed.
    """
    text = str(error)
    if not isinstance(error, (MemoryError, torch.OutOfMemoryError)) and not any(sign in text for sign in SIGNS):
        return None
    room, used = _room(machine), _used(machine)
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    asked = _asked(text)
    too_much = (used + asked - weights) / max(1, room - weights)
    share = 1 / max(2.0, too_much * SPARE)
    what = f"Out of memory: {used / 1e9:.1f} of {room / 1e9:.1f} GB were in use"
    what += f" and {asked / 1e9:.1f} GB more were needed. " if asked else ". "
    if weights < room * MODEL_SHARE:
        return UserError(what + what_to_lower(config, share))
    can_quantize = machine.device != "mps" and not (config.load_4bit or config.load_8bit)
    fewer_bits = "set load_4bit to true (a quarter of the memory), or " if can_quantize else ""
    return UserError(f"{what}The model alone fills it: {fewer_bits}take a smaller base.")


def what_to_lower(config: TrainConfig, share: float) -> str:
    """The cheapest setting that brings what a step needs beside the model down to this share, as a sentence."""
    whole = config.batch * config.accumulate
    batch = max(size for size in range(1, config.batch + 1) if size <= max(1, config.batch * share)
                and whole % size == 0)
    steps = []
    if batch < config.batch:
        steps.append(f"set batch to {batch} and accumulate to {whole // batch} (they are {config.batch} and "
                     f"{config.accumulate}; a step still takes as many samples)")
    left = share * config.batch / batch
    if left < 1 and not config.gradient_checkpointing:
        steps.append("set gradient_checkpointing to true (a third slower, a fraction of the memory)")
    elif left < 1:
        length = max(SHORTEST, int(config.max_len * left) // 64 * 64)
        if length < config.max_len:
            steps.append(f"set max_len to {length} (it is {config.max_len})")
        else:
            steps.append("take a smaller base")
    sentence = ", and ".join(steps)
    return sentence[0].upper() + sentence[1:] + "."


def _asked(text: str) -> float:
    """Bytes of the allocation that failed, as the error tells them; 0 if it does not."""
    if found := re.search(r"allocate ([\d.]+) ?([KMG]?)i?B", text):
        return float(found[1]) * UNITS[found[2]]
    found = re.search(r"allocate (\d+) bytes", text)
    return float(found[1]) if found else 0.0


def _room(machine: Machine) -> float:
    """Bytes that this process could have."""
    if machine.device == "cuda":
        return torch.cuda.mem_get_info()[0] + torch.cuda.memory_reserved()
    if machine.device == "mps":
        return torch.mps.recommended_max_memory()
    return psutil.virtual_memory().available + psutil.Process().memory_info().rss


def _used(machine: Machine) -> float:
    """Bytes that it had when it failed, at most."""
    if machine.device == "cuda":
        return torch.cuda.max_memory_allocated()
    if machine.device == "mps":
        return torch.mps.driver_allocated_memory()
    return psutil.Process().memory_info().rss
