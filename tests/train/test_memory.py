import subprocess
import sys

import pytest
import torch

from models import runs
from train import memory
from train.adapter import Machine
from train.config import TrainConfig

CPU = Machine(device="cpu", is_bfloat16=False)
FULL = RuntimeError("[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory: you "
                    "tried to allocate 64000000000000 bytes. Error code 12 (Cannot allocate memory)")


def said(error: BaseException, **values: object) -> str:
    return str(memory.advice(error, torch.nn.Linear(4, 4), TrainConfig(**values), CPU))


def test_a_real_failure_names_what_to_lower_and_by_how_much():
    with pytest.raises(RuntimeError) as failed:
        torch.empty(1 << 60, dtype=torch.uint8)
    text = said(failed.value, batch=8, accumulate=2)
    assert text.startswith("Out of memory: ") and " GB were in use and 115292150" in text
    assert "Set batch to 1 and accumulate to 16 (they are 8 and 2; a step still takes as many samples)" in text


def test_other_errors_are_not_taken_for_it():
    assert memory.advice(RuntimeError("The size of tensor a must match"), torch.nn.Linear(4, 4), TrainConfig(),
                         CPU) is None


@pytest.mark.parametrize("error", [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0"),
    MemoryError(), RuntimeError("MPS backend out of memory (MPS allocated: 5 GB)"), FULL])
def test_every_devices_words_are_known(error: BaseException):
    assert said(error).startswith("Out of memory: ")


@pytest.mark.parametrize("error", [
    MemoryError("Cannot allocate memory (os error 12)"), SystemError("error return without exception set"),
    OSError("unable to mmap 553726144 bytes from file <model.safetensors>: Cannot allocate memory (12)"),
    ImportError("libtorch.so: failed to map segment from shared object")])
def test_too_little_memory_to_load_needs_no_model(error: BaseException):
    text = str(memory.advice_before(error, TrainConfig()))
    assert text.startswith("Out of memory before the training began: ")
    assert text.endswith("Close other programs, take a smaller base, or set load_4bit to true (a quarter of the "
                         "memory).")
    assert "load_4bit" not in str(memory.advice_before(error, TrainConfig(load_4bit=True)))
    assert memory.advice_before(OSError("No such file"), TrainConfig()) is None


LIMITED = """
import resource, psutil
from train import memory
before, taken = memory._main_room(), psutil.Process().memory_info().vms
resource.setrlimit(resource.RLIMIT_AS, (taken + 50_000_000, resource.RLIM_INFINITY))
assert memory._main_room() < min(before, 50_000_000 + psutil.Process().memory_info().rss + 1), memory._main_room()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems keep no such limit")
def test_the_limit_of_the_process_counts():
    subprocess.run([sys.executable, "-c", LIMITED], cwd=runs.ROOT, check=True)


@pytest.mark.parametrize(("values", "share", "sentence"), [
    (dict(batch=8, accumulate=1), 0.5, "Set batch to 4 and accumulate to 2 (they are 8 and 1; a step still takes as "
                                       "many samples)."),
    (dict(batch=8, accumulate=3), 0.7, "Set batch to 4 and accumulate to 6 (they are 8 and 3; a step still takes as "
                                       "many samples)."),
    (dict(batch=5, accumulate=3), 0.3, "Set batch to 1 and accumulate to 15 (they are 5 and 3; a step still takes as "
                                       "many samples)."),
    (dict(batch=2, accumulate=1), 0.25, "Set batch to 1 and accumulate to 2 (they are 2 and 1; a step still takes as "
                                        "many samples), and set gradient_checkpointing to true (a third slower, a "
                                        "fraction of the memory)."),
    (dict(batch=1), 0.5, "Set gradient_checkpointing to true (a third slower, a fraction of the memory)."),
    (dict(batch=1, max_len=1024, gradient_checkpointing=True), 0.4, "Set max_len to 384 (it is 1024)."),
    (dict(batch=1, max_len=256, gradient_checkpointing=True), 0.5, "Take a smaller base."),
])
def test_the_cheapest_setting_comes_first(values: dict, share: float, sentence: str):
    assert memory.what_to_lower(TrainConfig(**values), share) == sentence


def test_a_model_that_fills_the_memory_alone_wants_fewer_bits(monkeypatch: pytest.MonkeyPatch):
    class Large:
        def parameters(self):
            return iter([torch.empty(1 << 50, device="meta")])

    text = str(memory.advice(FULL, Large(), TrainConfig(), CPU))
    assert text.endswith("The model alone fills it: set load_4bit to true (a quarter of the memory), or take a "
                         "smaller base.")
    text = str(memory.advice(FULL, Large(), TrainConfig(load_4bit=True, batch=1, gradient_checkpointing=True), CPU))
    assert text.endswith("The model alone fills it: take a smaller base.")
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 8e9)
    monkeypatch.setattr(torch.mps, "driver_allocated_memory", lambda: 7e9)
    text = str(memory.advice(FULL, Large(), TrainConfig(), Machine(device="mps", is_bfloat16=True)))
    assert "load_4bit" not in text
