"""What this machine has: cores counted right on every shape of processor, memory, threads to start with."""

import os

import pytest

from runtime import device


def cpus(root, *each):
    """A kernel's folder of processors: (siblings, capacity or None, clock or None) of each."""
    for number, (siblings, capacity, clock) in enumerate(each):
        folder = root / f"cpu{number}"
        (folder / "topology").mkdir(parents=True)
        (folder / "topology/core_cpus_list").write_text(f"{siblings}\n")
        if capacity is not None:
            (folder / "cpu_capacity").write_text(f"{capacity}\n")
        if clock is not None:
            (folder / "cpufreq").mkdir()
            (folder / "cpufreq/cpuinfo_max_freq").write_text(f"{clock}\n")
    return root


HYPERTHREADS = [("0-1", None, 4_700_000), ("0-1", None, 4_700_000), ("2-3", None, 4_700_000), ("2-3", None, 4_700_000)]


@pytest.mark.parametrize(("each", "allowed", "expected"), [
    ([("0", 1024, None), ("1", 1024, None)], [0, 1], (2, 2)),
    (HYPERTHREADS, [0, 1, 2, 3], (2, 2)),
    (HYPERTHREADS, [0, 1], (1, 1)),
    (HYPERTHREADS, [1, 2], (2, 2)),
    ([*HYPERTHREADS, ("4", None, 3_400_000), ("5", None, 3_400_000)], range(6), (4, 2)),
    ([*HYPERTHREADS, ("4", None, 3_400_000), ("5", None, 3_400_000)], [4, 5], (2, 2)),
    ([("0", None, 5_250_000), ("1", None, 5_750_000)], [0, 1], (2, 2)),            # equal cores of two dies
    ([("0", 1024, 3_000_000), ("1", 380, 3_000_000)], [0, 1], (2, 1)),             # capacity says more than clock
    ([("0", None, None)], [0, 7], (2, 2)),                                      # the kernel knows nothing of 7
], ids=["virtual", "hyperthreads", "one core allowed", "two halves allowed", "efficiency cores",
        "only efficiency cores", "two dies", "arm", "unknown"])
def test_cores_are_counted_from_what_the_kernel_says(tmp_path, each, allowed, expected):
    assert device.linux_cores(cpus(tmp_path, *each), allowed) == expected


def test_this_machine_is_described():
    found = device.machine()
    assert 1 <= found.performance_cores <= found.cores <= found.threads <= (os.cpu_count() or 1)
    assert 0 < found.free_mb < found.total_mb and found.total_mb > 500 and found.cpu


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system can not bind a process to a core")
def test_only_the_cores_that_this_process_may_use_count():
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert device.machine().cores == 1 and device.default_threads() == 1
    finally:
        os.sched_setaffinity(0, allowed)


def test_a_small_model_gets_one_thread_and_a_large_one_the_fast_cores():
    assert device.default_threads(device.LARGE_PARAMETERS - 1) == 1
    assert device.default_threads(device.LARGE_PARAMETERS) == device.machine().performance_cores
