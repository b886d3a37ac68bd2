"""What this machine has to compute with: its cores, its memory, and how many threads a model starts with."""

import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

LARGE_PARAMETERS = 100_000_000
PERFORMANCE_SHARE = 0.85        # of the fastest core's clock: equal cores differ by less, efficiency cores by more
LINUX_CPUS = Path("/sys/devices/system/cpu")
LINUX_CPU_NAMES = Path("/proc/cpuinfo")


@dataclass(frozen=True, kw_only=True)
class Device:
    """One device as llama.cpp names it; only a process that loaded the library knows of it (runtime/estimate.py)."""
    name: str                   # what LoadConfig.device takes: "CUDA0", "Vulkan0", "CPU"
    description: str            # "NVIDIA GeForce RTX 4070"
    kind: str                   # "cpu", "gpu", "igpu" (shares the machine's memory), "accel" or "meta"
    backend: str                # "CUDA"
    free_mb: int
    total_mb: int


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Cores and memory. A MB is 10^6 bytes."""
    cpu: str                    # the processor's name
    threads: int                # logical processors this process may use
    cores: int                  # the physical cores they belong to
    performance_cores: int      # of these, the fast ones
    free_mb: int                # what programs can have without swapping; file caches count as free
    total_mb: int


def machine() -> Machine:
    """This machine as this process may use it, with the memory that is free now."""
    memory = psutil.virtual_memory()
    cores, performance = physical_cores()
    return Machine(cpu=cpu_name(), threads=len(allowed_cpus()), cores=cores, performance_cores=performance,
                   free_mb=memory.available // 10**6, total_mb=memory.total // 10**6)


def default_threads(parameters: int = LARGE_PARAMETERS) -> int:
    """One thread for each fast core this process may use; one alone for a small model.

    Threads of a small model wait for each other more than they compute, and far more beside another process
    (docs/log.md). runtime/threads.py measures what is better.
    """
    return 1 if parameters < LARGE_PARAMETERS else physical_cores()[1]


def allowed_cpus() -> list[int]:
    """The numbers of the logical processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def physical_cores() -> tuple[int, int]:
    """(physical cores this process may use, the fast ones of them), each at least 1."""
    allowed = allowed_cpus()
    if sys.platform == "linux":
        return linux_cores(LINUX_CPUS, allowed)
    cores = max(1, min(len(allowed), psutil.cpu_count(logical=False) or len(allowed)))
    fast = _sysctl("hw.perflevel0.physicalcpu") if sys.platform == "darwin" else ""
    return cores, max(1, min(cores, int(fast))) if fast.isdigit() else cores


def linux_cores(root: Path, allowed: Iterable[int]) -> tuple[int, int]:
    """physical_cores from the kernel's folder of processors: siblings share a core, its capacity or clock ranks it."""
    speeds: dict[str, int] = {}
    for number in allowed:
        folder = root / f"cpu{number}"
        siblings = _text(folder / "topology/core_cpus_list") or _text(folder / "topology/thread_siblings_list")
        speed = _text(folder / "cpu_capacity") or _text(folder / "cpufreq/cpuinfo_max_freq")
        speeds[siblings or str(number)] = int(speed) if speed.isdigit() else 0
    fastest = max(speeds.values())
    return len(speeds), sum(speed >= PERFORMANCE_SHARE * fastest for speed in speeds.values())


def cpu_name() -> str:
    """The processor's name as its maker gives it, else the kind of machine."""
    name = ""
    if sys.platform == "linux":
        lines = _text(LINUX_CPU_NAMES).splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    elif sys.platform == "darwin":
        name = _sysctl("machdep.cpu.brand_string")
    return name or platform.processor() or platform.machine()


def _text(path: Path) -> str:
    """The text of a file of the kernel's; "" where there is none."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _sysctl(name: str) -> str:
    """A value of macOS's; "" where it has none (hw.perflevel0: processors with one kind of core)."""
    return subprocess.run(["sysctl", "-n", name], capture_output=True, text=True).stdout.strip()
