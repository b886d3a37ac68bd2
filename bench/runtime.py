"""Does the runtime run a model at the speed the machine allows? Session against the library, on the same file.

    .venv/bin/python bench/runtime.py                          every key, with every core of this machine
    .venv/bin/python bench/runtime.py --cores 2                the same on two cores (Linux)
    .venv/bin/python bench/runtime.py --only cancel_steps      one key, or several
    .venv/bin/python bench/runtime.py --model FILE             another GGUF than the random Gemma 3 1B

The random model is made first if it is not there (bench/random_gemma.py). The embedded model is measured beside it.
On a machine with a GPU all layers lie on it. Prints a table, then one JSON object. Half an hour on four cores.
"""

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

if __name__ == "__main__":                      # else bench/runtime.py hides the package of that name
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from bench import measures
from bench.random_gemma import random_gemma
from bench.subject import Subject
from models import library
from models.errors import UserError
from models.header import read_header

Measure = Callable[[Subject], measures.Measured]
BARS: dict[str, tuple[str, float | None, Measure]] = {  # key -> (at least or at most, the bar, what measures it)
    "decode_vs_library": (">=", 0.98, measures.decode),
    "decode_vs_raw": (">=", 0.96, measures.decode),
    "parallel8_vs_sequential": (">=", 1.6, measures.parallel),
    "turn_ttft_vs_cold": ("<=", 0.10, measures.next_turn),
    "stream_stall_x": ("<=", 8.0, measures.join),
    "join_ttft_x": ("<=", 2.0, measures.join),
    "busy_core_x": (">=", 0.4, measures.busy_core),
    "score_vs_generate": (">=", 1.8, measures.scoring),
    "cancel_steps": ("<=", 1.0, measures.cancel),
    "load_s_vs_library": ("<=", 1.1, measures.load),
    "overhead_us_per_token": ("", None, measures.decode),
}
PARALLEL_BAR_CORES = 2          # that bar holds on two cores; on others the figure is reported
SMALL_PARAMETERS = 100_000_000  # below it one thread is fastest, for the library as for us


def pin(count: int) -> list[int]:
    """Keep this process, and every one it starts, on so many cores; two threads of one core only if it must be."""
    if not hasattr(os, "sched_setaffinity"):
        sys.exit("--cores needs Linux; leave it out.")
    allowed = sorted(os.sched_getaffinity(0))
    if not 1 <= count <= len(allowed):
        sys.exit(f"--cores is {count}; this process may use {len(allowed)}.")
    chosen = sorted(allowed, key=lambda cpu: (not _is_first_thread(cpu), cpu))[:count]
    os.sched_setaffinity(0, chosen)
    return sorted(chosen)


def _is_first_thread(cpu: int) -> bool:
    path = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/core_cpus_list")
    return not path.is_file() or int(path.read_text().replace("-", ",").split(",")[0]) == cpu


def physical_cores() -> int:
    """The cores this process may use, each counted once."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(allowed, psutil.cpu_count(logical=False) or allowed)


def machine(pinned: list[int], threads: int) -> dict[str, Any]:
    """What the figures were taken on."""
    name = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        name = next((line.split(":")[1].strip() for line in info.read_text().split("\n")
                     if line.startswith("model name")), name)
    return {"processor": name, "system": platform.platform(), "cores": physical_cores(), "pinned_to": pinned,
            "threads": threads, "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
            "llama_cpp_python": metadata.version("llama-cpp-python"), "python": platform.python_version()}


def others(seconds: float = 1.0) -> dict[str, Any]:
    """What else runs now: how many cores everybody keeps busy while we wait, and who."""
    watched = [p for p in psutil.process_iter(["name"]) if p.pid != os.getpid()]
    for process in watched:
        _percent(process)
    psutil.cpu_percent()
    time.sleep(seconds)
    busy = psutil.cpu_percent() / 100 * (psutil.cpu_count() or 1)
    shares = [(_percent(process), process.info["name"]) for process in watched]
    return {"busy_cores": round(busy, 2),
            "processes": [f"{name} {share:.0f}%" for share, name in sorted(shares, reverse=True)[:5] if share >= 5]}


def _percent(process: psutil.Process) -> float:
    try:
        return process.cpu_percent()
    except psutil.Error:
        return 0.0


def measured(subject: Subject, keys: list[str]) -> dict[str, Any]:
    """Every measure that gives one of keys, in turn, with what else it gives; a key is None where one failed."""
    found: dict[str, float | None] = {}
    raw: dict[str, Any] = {}
    runs: dict[str, Any] = {}
    for measure in dict.fromkeys(BARS[key][2] for key in keys):
        about: dict[str, Any] = {"others_before": others()}
        runs[measure.__name__] = about
        began = time.monotonic()
        try:
            result = measure(subject)
        except (UserError, RuntimeError) as error:
            result = measures.Measured({key: None for key in BARS if BARS[key][2] is measure})
            about["error"] = str(error)
        about["seconds"] = round(time.monotonic() - began)
        raw[measure.__name__] = _rounded(result.raw)
        found |= _rounded(result.keys)
        for key, value in result.keys.items():
            print(row(key, value), about.get("error", ""), flush=True)
    return {**found, "raw": raw, "runs": runs}


def row(key: str, value: float | None) -> str:
    """One line of the table."""
    sign, bar, _ = BARS[key]
    if value is None:
        return f"  {key:26}    failed"
    if bar is None:
        return f"  {key:26}{value:10.3f}"
    note = f"   (the bar is for {PARALLEL_BAR_CORES} cores)" if key == "parallel8_vs_sequential" else ""
    return f"  {key:26}{value:10.3f}   {sign} {bar:<6}{'met' if is_met(key, value) else 'MISSED'}{note}"


def is_met(key: str, value: float | None) -> bool:
    """A key without a bar is only reported."""
    sign, bar, _ = BARS[key]
    return bar is None or (value is not None and (value >= bar if sign == ">=" else value <= bar))


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    return round(value, 5) if isinstance(value, float) else value


def subject_of(path: Path, options: argparse.Namespace, threads: int) -> Subject:
    header = read_header(path)
    print(f"{path.name}: {header.type_name}, {header.bytes / 1e6:,.0f} MB", flush=True)
    own = int(header.metadata.get(f"{header.metadata.get('general.architecture')}.context_length", options.ctx))
    return Subject(path=path, ctx_tokens=min(options.ctx, own), rounds=options.rounds, texts=options.texts,
                   threads=threads if header.parameters >= SMALL_PARAMETERS else 1, is_endless="random" in header.name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=list(BARS), default=list(BARS), metavar="KEY")
    parser.add_argument("--model", type=Path, default=None, help="a GGUF (default: the random Gemma 3 1B, Q4_K_M)")
    parser.add_argument("--cores", type=int, default=0, help="pin everything to so many cores (0: all)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--texts", type=int, default=50, help="to classify in each round")
    parser.add_argument("--ctx", type=int, default=4096, help="context in tokens, at most the model's own")
    parser.add_argument("--no-embedded", action="store_true", help="leave the embedded model out")
    options = parser.parse_args()
    pinned = pin(options.cores) if options.cores else []
    threads = physical_cores()
    try:
        path = options.model or random_gemma()
        result = machine(pinned, threads) | {"others_at_start": others()}
        subject = subject_of(path, options, threads)
        result |= {"model": path.name, "model_mb": round(path.stat().st_size / 1e6), "rounds": options.rounds,
                   "texts": options.texts, "ctx_tokens": options.ctx, **measured(subject, options.only)}
        if not options.no_embedded:
            beside = subject_of(library.demo_gguf(), options, threads)
            result["embedded"] = {"threads": beside.threads, **measured(beside, options.only)}
        result |= {"missed": [key for key in BARS if key in result and not is_met(key, result[key])],
                   "others_at_end": others()}
    except UserError as error:
        sys.exit(str(error))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
