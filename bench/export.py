"""From adapter to Q4_K_M: our one pass beside peft + the upstream converter + llama_model_quantize, in the same run.

    .venv/bin/python bench/export.py                            Gemma 3 270M and 1B in turn, random weights
    .venv/bin/python bench/export.py --model gemma3-4b --cores 2

Both sides start from the same folders, each step in a process of its own, whose memory and writing are read from
outside. Needs the public Gemma-shaped tokenizer in ../shared/data (or --tokenizer FILE), llama-cpp-python's source
package (--source, else fetched with pip), and for the 1B model 7 GB of disk, 4B 25 GB. A JSON object is printed last.
"""

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from bench.random_base import SHAPES, TOKENIZER, write_adapter, write_base
from models import runs
from models.errors import UserError

SIDES = Path(__file__).with_name("export_sides.py")
SAMPLE_S = 0.02
BARS = {"ratio_wall": 0.40, "peak_anon_mb": 900, "written_ratio": 1.02}       # of the 1B model


@dataclass(frozen=True, kw_only=True)
class Step:
    """What one process took. peak_anon_mb: anonymous memory of its whole tree; MB are 10^6 bytes."""
    wall_s: float
    peak_anon_mb: float
    written_mb: float


def watch(command: list[str]) -> Step:
    """Run command and sample it from outside. Raises RuntimeError with what it said if it fails."""
    with tempfile.TemporaryFile("w+") as said:
        began = time.monotonic()
        process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT, cwd=runs.ROOT,
                                   env={**os.environ, "HF_HUB_OFFLINE": "1"})
        peak = written = 0
        while not _is_over(process.pid):
            anonymous, wrote = _tree(process.pid)
            peak, written = max(peak, anonymous), max(written, wrote)
            time.sleep(SAMPLE_S)
        wall_s = time.monotonic() - began
        written = max(written, _written(process.pid))           # the whole of it stands until the process is reaped
        if process.wait():
            said.seek(0)
            raise RuntimeError(f"{command[1:3]} ended with status {process.returncode}:\n{said.read()[-2000:]}")
    return Step(wall_s=wall_s, peak_anon_mb=peak / 1e6, written_mb=written / 1e6)


def _is_over(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _tree(pid: int) -> tuple[int, int]:
    """Anonymous bytes in memory now, and bytes written so far, of a process and all below it."""
    found = [pid]
    with contextlib.suppress(psutil.NoSuchProcess):
        found += [child.pid for child in psutil.Process(pid).children(recursive=True)]
    return sum(map(_anonymous, found)), sum(map(_written, found))


def _anonymous(pid: int) -> int:
    return 1024 * _figure(Path(f"/proc/{pid}/status"), "RssAnon")


def _written(pid: int) -> int:
    """Through write calls, or as pages made dirty, whichever is more."""
    return max(_figure(Path(f"/proc/{pid}/io"), name) for name in ("wchar", "write_bytes"))


def _figure(path: Path, name: str) -> int:
    try:
        lines = path.read_text().splitlines()
    except OSError:                             # it has ended meanwhile
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), 0)


def ours(folder: Path, type_name: str, threads: int) -> dict[str, Any]:
    """Our export of folder's base and adapter; the peak is that of merging, quantizing and writing."""
    out = folder / "ours" / "model.gguf"
    runs.make_folder(out.parent)
    steps = {"export": side("export", folder / "base", folder / "adapter", out, type_name, threads)}
    size, left = out.stat().st_size, [path.name for path in out.parent.iterdir()]
    assert left == [out.name], left
    steps["check"] = side("check", out, threads)
    shutil.rmtree(out.parent)
    return summed(size, steps, steps["export"].peak_anon_mb)


def two_step(folder: Path, type_name: str, threads: int, source: Path) -> dict[str, Any]:
    """What people do today; each intermediate goes as soon as nothing needs it."""
    merged, wide, out = folder / "merged", folder / "wide.gguf", folder / "theirs.gguf"
    steps = {"merge": side("merge", folder / "base", folder / "adapter", merged)}
    for name in ("tokenizer.model", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copyfile(folder / "base" / name, merged / name)
    steps["convert"] = watch([sys.executable, str(source / "convert_hf_to_gguf.py"), str(merged), "--outtype", "bf16",
                              "--outfile", str(wide)])
    shutil.rmtree(merged)
    steps["quantize"] = side("quantize", wide, out, type_name, threads)
    size = out.stat().st_size
    wide.unlink()
    out.unlink()
    return summed(size, steps, max(step.peak_anon_mb for step in steps.values()))


def side(step: str, *values: object) -> Step:
    """One step of bench/export_sides.py."""
    return watch([sys.executable, str(SIDES), step, *map(str, values)])


def summed(size: int, steps: dict[str, Step], peak_anon_mb: float) -> dict[str, Any]:
    """What a side took, from its steps; size: of the file that came out."""
    return {"bytes": size, "wall_s": sum(step.wall_s for step in steps.values()), "peak_anon_mb": peak_anon_mb,
            "written_ratio": 1e6 * sum(step.written_mb for step in steps.values()) / size,
            "steps": {name: asdict(step) for name, step in steps.items()}}


def measure(folder: Path, options: argparse.Namespace, threads: int, source: Path | None) -> dict[str, Any]:
    """The keys of one model: medians of the rounds, in each of which both sides run one after the other."""
    rounds = []
    for _ in range(options.rounds):
        one: dict[str, Any] = {"load_before": os.getloadavg()[0], "ours": ours(folder, options.type, threads)}
        if source:
            one["two_step"] = two_step(folder, options.type, threads, source)
        rounds.append(one)
        print(json.dumps(one), file=sys.stderr, flush=True)
    found = {
        "wall_s": statistics.median(one["ours"]["wall_s"] for one in rounds),
        "wall_two_step_s": None, "ratio_wall": None,
        "peak_anon_mb": max(one["ours"]["peak_anon_mb"] for one in rounds),
        "written_ratio": max(one["ours"]["written_ratio"] for one in rounds),
    }
    if source:
        found["wall_two_step_s"] = statistics.median(one["two_step"]["wall_s"] for one in rounds)
        found["ratio_wall"] = statistics.median(one["ours"]["wall_s"] / one["two_step"]["wall_s"] for one in rounds)
    return {**{key: value and round(value, 4) for key, value in found.items()}, "rounds": rounds}


def upstream(given: Path | None, work: Path) -> Path:
    """The folder of convert_hf_to_gguf.py: in given, else in the source package of the installed version."""
    root = given or work / "source"
    if given is None:
        version = metadata.version("llama-cpp-python")
        subprocess.run([sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", "llama-cpp-python",
                        f"llama-cpp-python=={version}", "-d", str(root)], check=True, stdout=subprocess.DEVNULL)
        with tarfile.open(next(root.glob("*.tar.gz"))) as package:
            package.extractall(root, filter="data")
    found = next(iter(sorted(root.rglob("convert_hf_to_gguf.py"))), None)
    if found is None:
        raise UserError(f"{root} holds no convert_hf_to_gguf.py; give llama-cpp-python's unpacked source package.")
    return found.parent


def pin(cores: int) -> int:
    """Keep this process and its children on so many cores (0: all); how many these are."""
    allowed = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, allowed[:cores] if cores else allowed)
    return len(os.sched_getaffinity(0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", nargs="+", choices=list(SHAPES), default=["gemma3-270m", "gemma3-1b"])
    parser.add_argument("--type", default="Q4_K_M")
    parser.add_argument("--cores", type=int, default=0, help="pin everything to so many cores (0: all)")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--alone", action="store_true", help="leave the other side out")
    parser.add_argument("--keep", type=Path, default=None, help="keep the random models there, and find them there")
    parser.add_argument("--source", type=Path, default=None, help="llama-cpp-python's source package, unpacked")
    parser.add_argument("--tokenizer", type=Path, default=TOKENIZER)
    options = parser.parse_args()
    threads = pin(options.cores)
    result: dict[str, Any] = {"type": options.type, "cores": threads, "load_at_start": os.getloadavg()[0], "bars": BARS}
    with tempfile.TemporaryDirectory() as scratch:
        work = options.keep or Path(scratch)
        try:
            source = None if options.alone else upstream(options.source, work)
            for model in options.model:
                folder = work / model
                if not (folder / "adapter" / "adapter_model.safetensors").is_file():
                    write_adapter(folder / "adapter", write_base(folder / "base", SHAPES[model], options.tokenizer))
                result[model] = measure(folder, options, threads, source)
                if options.keep is None:
                    shutil.rmtree(folder)
        except UserError as error:
            sys.exit(str(error))
    if len(options.model) == 1:
        result |= {key: value for key, value in result[options.model[0]].items() if key != "rounds"}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
