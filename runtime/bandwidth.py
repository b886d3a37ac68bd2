"""How fast this machine reads weights: measured in a moment, kept until processor, threads or llama.cpp change.

`python -m runtime.bandwidth` is the child process that measures; it loads no model.
"""

import contextlib
import json
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from models import outside, runs
from models.errors import UserError
from runtime import child
from runtime.device import cpu_name, default_threads, machine
from runtime.threads import BusyCores

FILE = "bandwidth.json"
READING = "F16"                                 # a tensor type that takes no computing to speak of
MEASURED = (READING, "Q8_0", "Q6_K", "Q5_0", "Q4_K")
MATRIX_BYTES = 160 << 20                        # of 96 MB, a cache of 32 MB kept enough to look a sixth faster
SPARE_MB = 1000                                 # free memory below which nothing is measured
LONGEST_S = 0.05                                # for one type
LOOK_S = 0.2                                    # how long the child looks who else works
BUSY_CORES = 0.35                               # of other programs; threads without a core make all others wait
WAIT_S, ASK_S = 15.0, 0.05                      # for the child; how often is_stopped is asked meanwhile


def never() -> bool:
    """Nothing stops it."""
    return False


class Busy(UserError):
    """A measurement now would be wrong; later it may not be."""


@dataclass(frozen=True, kw_only=True)
class Bandwidth:
    """One measurement. gb_s: of 16-bit weights, by_type: of each tensor type, both with the best number of threads."""
    gb_s: float
    by_type: Mapping[str, float]
    step_us: float                              # for one step of a model's graph, whatever it computes
    one_gb_s: float                             # the same for a single thread, which small models run with: Q8_0
    one_step_us: float
    threads: int                                # at the most; a model is given as many, or the best of fewer
    machine: tuple[str, ...]                    # what the figures hold for
    measured_at: float                          # seconds since 1970


def bandwidth() -> Bandwidth:
    """What was measured on this machine before, else what is measured now, within a second or two.

    Raises Busy while other programs have the cores or the memory, UserError if llama.cpp can not be used.
    """
    return known() or measure()


def known() -> Bandwidth | None:
    """What was measured here with this processor, its threads and this llama.cpp; None if nothing was."""
    with contextlib.suppress(UserError, KeyError, TypeError, ValueError):   # no file, or another version's
        values = runs.read_json(_file())
        found = Bandwidth(**{**values, "machine": tuple(values["machine"])})
        if found.machine == machine_now():
            return found
    return None


def measure(is_stopped: Callable[[], bool] = never) -> Bandwidth:
    """Measure now, in a child process, and keep it. Otherwise as bandwidth().

    is_stopped is asked all the while; the child is then ended at once, and Busy raised.
    """
    answer = _said(is_stopped)
    if "busy" in answer:
        raise Busy(answer["busy"])
    found = Bandwidth(**answer, machine=machine_now(), measured_at=time.time())
    with contextlib.suppress(UserError, OSError):               # a full disk: measured again next time
        runs.make_folder(_file().parent)
        runs.write_json(_file(), asdict(found))
    return found


def _said(is_stopped: Callable[[], bool]) -> dict[str, Any]:
    """The child's answer."""
    until = time.monotonic() + WAIT_S
    with subprocess.Popen(child.command("runtime.bandwidth"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, **child.options()) as asked:
        while True:
            try:
                out, error = asked.communicate(timeout=ASK_S)
                break
            except subprocess.TimeoutExpired:
                if is_stopped() or time.monotonic() > until:
                    asked.kill()
                    raise Busy("The speed of this computer could not be measured: it is busy.") from None
    if asked.returncode == 1:                   # a traceback: a bug of ours
        raise RuntimeError(error.decode("utf-8", "replace"))
    if asked.returncode:
        raise UserError("The speed of this computer could not be measured: llama.cpp's library ended with status "
                        f"{asked.returncode}.")
    answer: dict[str, Any] = json.loads(out.splitlines()[-1])
    return answer


def machine_now() -> tuple[str, ...]:
    """What a measurement holds for: processor, threads, and the very library."""
    package = distribution("llama_cpp_python")
    installed = Path(str(package.locate_file("llama_cpp/lib"))).stat().st_mtime_ns
    return cpu_name(), str(default_threads()), package.version, str(installed)


def _file() -> Path:
    return runs.home() / "cache" / FILE


# The child


def main() -> None:
    """Say one measurement, or why there is none, as a line of JSON on stdout."""
    try:
        answer = figures(BusyCores(), default_threads())
    except (Busy, MemoryError) as error:
        answer = {"busy": str(error) or "Too little memory is free to measure the speed of this computer."}
    print(json.dumps(answer))


def figures(cores: BusyCores, threads: int) -> dict[str, Any]:
    """What is measured now with so many threads, for Bandwidth. Raises Busy, or MemoryError."""
    if machine().free_mb < SPARE_MB:
        raise MemoryError
    from runtime.matvec import Processor
    processor = Processor()
    cores.others()
    time.sleep(LOOK_S)
    _refuse_busy(cores)
    counts = sorted({threads, max(1, threads // 2)})
    found = [(kind, processor.bytes_per_s(kind, MATRIX_BYTES, counts, LONGEST_S) / 1e9)
             for kind in (*MEASURED, READING)]
    # Twice, since memory that a machine shares is slower now and then; and nothing is read faster than that.
    gb_s = max(rate for kind, rate in found if kind == READING)
    rates = {kind: min(rate, gb_s) for kind, rate in found} | {READING: gb_s}
    step_s, one_step_s = processor.step_s(threads, LONGEST_S), processor.step_s(1, LONGEST_S)
    one = processor.bytes_per_s("Q8_0", MATRIX_BYTES, [1], LONGEST_S) / 1e9
    _refuse_busy(cores)
    processor.close()
    return {"gb_s": round(gb_s, 2), "by_type": {kind: round(rate, 2) for kind, rate in rates.items()},
            "step_us": round(step_s * 1e6, 3), "one_gb_s": round(one, 2), "one_step_us": round(one_step_s * 1e6, 3),
            "threads": threads}


def _refuse_busy(cores: BusyCores) -> None:
    others = cores.others()
    if others > BUSY_CORES:
        raise Busy(f"The speed of this computer could not be measured: other programs keep {others:.1f} of its cores "
                   "busy.")


if __name__ == "__main__":
    outside.watch()
    main()
