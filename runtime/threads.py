"""How many threads a model computes with: measured once for each machine and model, fewer while others work."""

import contextlib
import os
import time
from collections.abc import Callable, Generator
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from models import runs
from models.errors import UserError
from runtime.device import allowed_cpus, cpu_name, physical_cores

ROUNDS = 3                      # each candidate is measured so often, in turn with the others
STEPS = 5                       # of a round; the first with another number of threads is slow, the median is not
GOOD_ENOUGH = 0.97              # of the best speed: fewer threads leave a core to the rest of the machine
MANY_CORES = 8                  # up to here every number of threads is a candidate

SAMPLE_S = 0.2
RISE_S = 1.0                    # a core must have been free for so long before a thread is put on it
LONG_LOOK_S = 1.0               # one sample over so long a time counts in full, a shorter one half
TAKEN, FREE = 0.4, 0.2          # a thread leaves when others keep this much of its core busy, returns below FREE


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """What was measured: where, and decode steps a second by number of threads."""
    machine: list[str]
    steps_per_s: dict[str, float]
    threads: int


def tuned_threads(fingerprint: str) -> int:
    """The best number of threads for that model, measured on this machine before; 0 if it was not."""
    with contextlib.suppress(UserError, KeyError, TypeError):       # no file yet, or another version's
        tuning = Tuning(**runs.read_json(_file(fingerprint)))
        if tuning.machine == _machine():
            return tuning.threads
    return 0


def tune(step: Callable[[int], None], fingerprint: str, cores: int = 0, watch: "Watch | None" = None,
         clock: Callable[[], float] = time.perf_counter) -> Generator[None, None, int]:
    """Measure step(threads), one decode, with different numbers of threads; keep and return the best one.

    Yields after each step, so that a request can go first; it may then be continued or dropped. It ends, keeps
    nothing and returns 0 as soon as other processes want a core: the measurement would be wrong, and a step with
    too many threads might take seconds.
    """
    cores = cores or physical_cores()[0]
    watch = watch or Watch(cores, cores)
    seconds: dict[int, list[float]] = {count: [] for count in candidates(cores)}
    for _ in range(ROUNDS):
        for count, measured in seconds.items():
            for _ in range(STEPS):
                began = clock()
                if watch.threads(began) < cores:
                    return 0
                step(count)
                measured.append(clock() - began)
                yield
    from statistics import median  # only here: importing it takes longer than a short answer
    speeds = {count: 1 / max(1e-9, median(measured)) for count, measured in seconds.items()}
    best = min(count for count, speed in speeds.items() if speed >= GOOD_ENOUGH * max(speeds.values()))
    with contextlib.suppress(UserError, OSError):                   # a full disk: measured again next time
        runs.make_folder(_file(fingerprint).parent)
        runs.write_json(_file(fingerprint), asdict(Tuning(
            machine=_machine(), threads=best, steps_per_s={str(n): round(v, 2) for n, v in speeds.items()})))
    return best


def candidates(cores: int) -> list[int]:
    """1, 2, ... 8, then in steps of a quarter up to cores."""
    counts = list(range(1, min(cores, MANY_CORES) + 1))
    while counts[-1] < cores:
        counts.append(min(cores, counts[-1] + max(2, counts[-1] // 4)))
    return counts


class BusyCores:
    """How many of the cores that this process may use other processes keep busy."""

    def __init__(self, cores: int = 0, counters: Callable[[], tuple[float, float, float]] | None = None):
        """counters() gives seconds since some start: of all these processors, of them busy, of this process."""
        self._cores = cores or len(allowed_cpus())
        self._counters = counters or _counters
        self._last = self._counters()

    def others(self) -> float:
        """In cores, since the last call. Our own threads do not count, not even while they spin."""
        then, self._last = self._last, self._counters()
        total_s, busy_s, own_s = (now - before for now, before in zip(self._last, then, strict=True))
        if total_s <= 0:
            return 0.0
        return max(0.0, busy_s - own_s) / total_s * self._cores


def _counters() -> tuple[float, float, float]:
    own = os.times()
    every = psutil.cpu_times(percpu=True)
    times = [every[k] for k in allowed_cpus() if k < len(every)]
    total = sum(sum(one) - getattr(one, "guest", 0.0) - getattr(one, "guest_nice", 0.0) for one in times)
    idle = sum(one.idle + getattr(one, "iowait", 0.0) for one in times)
    return total, total - idle, own.user + own.system


class Watch:
    """How many threads to compute with now: the tuned number, or fewer while other processes want the cores.

    A thread without a core of its own makes all the others wait for it at every layer (docs/log.md).
    """

    def __init__(self, tuned: int, cores: int = 0, others: Callable[[], float] | None = None):
        """others() counts the cores that other processes kept busy since it was last called."""
        self._tuned, self._cores = tuned, cores or physical_cores()[0]
        self._others = others or BusyCores().others
        self._sampled_at: float | None = None
        self._crowded_at = 0.0                  # when there was last no room for one thread more
        self._busy = 0.0
        self.free_cores = self._cores           # that the model may take, if it can use so many

    def threads(self, now: float) -> int:
        """For the next step; now is time.monotonic(). Cheap: it looks at the machine five times a second."""
        if self._sampled_at is None:
            self._others()
            self._sampled_at = self._crowded_at = now
        elif now - self._sampled_at >= SAMPLE_S:
            weight = 1.0 if now - self._sampled_at >= LONG_LOOK_S else 0.5
            self._busy += (self._others() - self._busy) * weight
            self._sampled_at = now
            self._choose(now)
        return min(self._tuned, self.free_cores)

    def _choose(self, now: float) -> None:
        left = self._cores - self._busy
        if left < self.free_cores - TAKEN:
            self.free_cores = max(1, int(left + TAKEN))
        room = min(self._cores, int(left + FREE))
        if room <= self.free_cores:
            self._crowded_at = now
        elif now - self._crowded_at >= RISE_S:
            self.free_cores = room


def _machine() -> list[str]:
    """What a measurement holds for."""
    from importlib.metadata import version
    return [cpu_name(), str(physical_cores()[0]), version("llama_cpp_python")]


def _file(fingerprint: str) -> Path:
    return runs.home() / "cache" / f"threads-{fingerprint}.json"
