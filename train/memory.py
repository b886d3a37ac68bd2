"""Out of memory: what to lower, and by how much. No torch at import: it may be what there was no room for."""

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from models.errors import UserError
from train.config import TrainConfig

if TYPE_CHECKING:
    from train.adapter import Machine

SIGNS = ("out of memory", "can't allocate memory", "not enough memory", "CUBLAS_STATUS_ALLOC_FAILED",
         "Cannot allocate memory", "bad_alloc", "failed to map segment", "paging file is too small")
LOST = "error return without exception set"     # of a library in C that could not even make its MemoryError
CGROUP = Path("/sys/fs/cgroup")
SPARE = 1.2                     # the allocation that failed was not the step's last
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
MODEL_SHARE = 0.8               # of the memory: a model that takes more leaves no room to train in
SHORTEST = 256                  # tokens: shorter samples teach little


def advice(error: BaseException, model: Any, config: TrainConfig, machine: "Machine") -> UserError | None:
    """What to lower so that a step fits, or None if error is no lack of memory.

    What is needed beyond the model itself grows with the tokens that go through it at once; the failed allocation says
    how much at least was needed.
    """
    if not is_lack(error):
        return None
    text = str(error)
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


def advice_before(error: BaseException, config: TrainConfig | None = None, device: str = "cpu") -> UserError | None:
    """What to do so that a run can be prepared and its base loaded, or None if error is no lack of memory."""
    if not is_lack(error):
        return None
    steps = "Close other programs, or take a smaller base"
    if config and device != "mps" and not (config.load_4bit or config.load_8bit):
        steps = "Close other programs, take a smaller base, or set load_4bit to true (a quarter of the memory)"
    used, room = _process_bytes(), _main_room()
    return UserError(f"Out of memory before the training began: {used / 1e9:.1f} of {room / 1e9:.1f} GB were in use, "
                     f"and more was needed. {steps}.")


def is_lack(error: BaseException) -> bool:
    """True if error, or what caused it, says that memory has run out."""
    is_here = isinstance(error, MemoryError) or (isinstance(error, SystemError) and LOST in str(error))
    if is_here or any(sign in str(error) for sign in SIGNS):
        return True
    return error.__cause__ is not None and is_lack(error.__cause__)


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


def _room(machine: "Machine") -> float:
    """Bytes that this process could have."""
    import torch
    if machine.device == "cuda":
        return torch.cuda.mem_get_info()[0] + torch.cuda.memory_reserved()
    if machine.device == "mps":
        return torch.mps.recommended_max_memory()
    return _main_room()


def _used(machine: "Machine") -> float:
    """Bytes that it had when it failed, at most."""
    import torch
    if machine.device == "cuda":
        return torch.cuda.max_memory_allocated()
    if machine.device == "mps":
        return torch.mps.driver_allocated_memory()
    return _process_bytes()


def _process_bytes() -> float:
    return float(psutil.Process().memory_info().rss)


def _main_room() -> float:
    """Bytes of main memory that this process could have: what is free, its own limit, and its container's."""
    memory = psutil.Process().memory_info()
    rooms = [psutil.virtual_memory().available + memory.rss, *_container_limits()]
    if sys.platform != "win32":
        import resource
        limit = resource.getrlimit(resource.RLIMIT_AS)[0]       # of addresses, of which more are taken than memory
        if limit != resource.RLIM_INFINITY:
            rooms.append(max(memory.rss, limit - (memory.vms - memory.rss)))
    return float(min(rooms))


def _container_limits() -> list[int]:
    """The limits in bytes that control groups set on this process, on Linux."""
    own = Path("/proc/self/cgroup")
    places = [CGROUP / "memory.max", CGROUP / "memory" / "memory.limit_in_bytes"]
    if own.is_file():
        places += [CGROUP / line.partition("::/")[2] / "memory.max"
                   for line in own.read_text(encoding="utf-8").splitlines() if "::/" in line]
    found = [path.read_text(encoding="ascii").strip() for path in places if path.is_file()]
    return [int(text) for text in found if text.isdigit()]
