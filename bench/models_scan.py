"""How long the library takes to know 500 model files, and whether the page can be used meanwhile. One JSON object last.

    .venv/bin/python bench/models_scan.py [--files 500] [--cores 2]

Each file has the true header of a Gemma 3 1B, 262,144 words and all, a name of its own, and a hole for weights. Cold:
a real Galen that never saw the folder, nothing of it in the system's cache; in one turn all files have the same words,
as models of one family do, in the other each has a word that no other has. Warm: a new process, by path, size, time.
Needs the tokenizer in ../shared/data, 3.5 GB of disk, and Linux.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from bench.random_gemma import TOKENIZER, shape
from convert.gguf import layout
from models import runs

NAME, WORD = b"random Gemma 3 1B", b"<unused99>"       # in the header; each file has its own in the same place
LOOK_S = 0.5
AFTER_LOOKS = 20
BARS = {"scan_500_s": 1.0, "scan_500_cold_s": 40.0, "scan_500_cold_own_words_s": 40.0}
WARM = """
import time
from models.shelf import Shelf
began = time.perf_counter()
shelf = Shelf()
entries = shelf.look()
first = time.perf_counter() - began
again = []
for _ in range(20):
    began = time.perf_counter()
    shelf.look()
    again.append(time.perf_counter() - began)
print(len([one for one in entries if one.facts]), shelf.is_reading, first, sorted(again)[10])
"""
SERVE = ("from runtime.session import Session; from ui import app; app.serve(Session())")


def make(home: Path, files: int, is_own_words: bool) -> None:
    """Write the files, and take them out of the system's cache."""
    planned = layout(shape(TOKENIZER), "BF16")
    assert planned.header.count(NAME) == 1 and planned.header.count(WORD) == 1
    home.mkdir(parents=True, exist_ok=True)
    for number in range(files):
        header = planned.header.replace(NAME, b"Gemma number %04d" % number)
        if is_own_words:
            header = header.replace(WORD, b"<own%05d>" % number)
        with (home / f"gemma-{number:04}.gguf").open("wb") as file:
            file.write(header)
            file.truncate(planned.bytes)
            file.flush()
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


@contextmanager
def served(home: Path) -> Iterator[str]:
    """A real Galen with that folder; its address."""
    process = subprocess.Popen([sys.executable, "-c", SERVE], cwd=runs.ROOT, text=True, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, env=_environment(home))
    assert process.stdout is not None
    try:
        while " at http" not in (line := process.stdout.readline()):
            if not line:
                raise RuntimeError("Galen ended instead of starting")
        yield line.split(" at ")[1].split()[0]
    finally:
        process.terminate()
        process.wait(20)


def cold(home: Path, files: int) -> tuple[float, list[float], list[float]]:
    """Seconds from the address until the API lists every file; seconds of each page meanwhile, and afterwards."""
    with served(home) as url:
        began = time.monotonic()
        pages: list[float] = []
        while (count := len(json.loads(_got(f"{url}/v1/models")[0])["data"])) < files + 1:
            pages.append(_got(f"{url}/models")[1])
            if time.monotonic() - began > 300:
                raise RuntimeError(f"only {count} files were listed after 300 s")
            time.sleep(LOOK_S)
        seconds = time.monotonic() - began
        return seconds, pages, [_got(f"{url}/models")[1] for _ in range(AFTER_LOOKS)]


def warm(home: Path) -> tuple[float, float]:
    """Seconds of the first look of a new process, which must know every file, and of later ones."""
    said = subprocess.run([sys.executable, "-c", WARM], cwd=runs.ROOT, text=True, capture_output=True, check=True,
                          env=_environment(home)).stdout.split()
    assert said[1] == "False", "it read files again"
    return float(said[2]), float(said[3])


def _environment(home: Path) -> dict[str, str]:
    return {**os.environ, "GALEN_HOME": str(home), "GALEN_ELSEWHERE": "no", "HF_HUB_CACHE": str(home / "none"),
            "PYTHONPATH": str(runs.ROOT)}


def _got(url: str) -> tuple[bytes, float]:
    began = time.monotonic()
    with urllib.request.urlopen(url, timeout=60) as answer:
        return answer.read(), time.monotonic() - began


def scan(files: int = 500) -> dict[str, Any]:
    """Every figure of the scan."""
    found: dict[str, Any] = {"scan_files": files}
    for ending, is_own in (("", False), ("_own_words", True)):
        with tempfile.TemporaryDirectory(prefix="galen-scan-") as name:
            home = Path(name)
            make(home, files, is_own)
            seconds, pages, after = cold(home, files)
            found |= {f"scan_500_cold{ending}_s": seconds, f"page_while_scanning{ending}_ms": _ms(pages),
                      f"page_while_scanning{ending}_worst_ms": 1000 * max(pages, default=0), "page_ms": _ms(after)}
            found["scan_500_s"], found["look_again_s"] = warm(home)
    return found


def _ms(seconds: list[float]) -> float:
    return 1000 * statistics.median(seconds or [0.0])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, default=500)
    parser.add_argument("--cores", type=int, default=2)
    options = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:options.cores])
    found = scan(options.files)
    for name, value in found.items():
        print(f"{name:36} {value:10.3f}" + (f"   bar {BARS[name]}" if name in BARS else ""))
    print(json.dumps({**found, "cores": options.cores}))


if __name__ == "__main__":
    main()
