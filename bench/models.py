"""Getting a model, measured: the download against a plain HTTP client, downloads that are killed, the library's scan.

    python bench/models.py [--gb 2] [--kills 20] [--skip-scan]

A local server that behaves like the hub (tests/models/hub.py) sends a file of random bytes, as large as a small model,
at 200 MB/s, to a plain client (http.client, whole file, no checksum) and to the download job in turns; both are timed
as whole processes. Then the download of 1 GB is killed at random moments and started again. One JSON object last.
"""

import argparse
import hashlib
import http.client
import json
import random
import shutil
import signal
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

from models import online, runs

REPO, FILE, KILLED_FILE, MB_S = "galen/bench", "model.gguf", "killed.gguf", 200
KILLED_GB = 1.0
TURNS = 3
LATEST_KILL = 0.7               # of the time that the whole file would take


def main() -> None:
    """Measure, and print what was found."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--gb", type=float, default=2.0)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--skip-scan", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="galen-bench-") as name:
        folder = Path(name)
        place = folder / "hub" / REPO
        place.mkdir(parents=True)
        _random_file(place / FILE, int(asked.gb * 1e9))
        sha256 = _random_file(place / KILLED_FILE, int(KILLED_GB * 1e9))
        with _hub(folder / "hub") as hub:
            found: dict[str, Any] = {**_ratio(hub, folder), "download_gb": asked.gb}
            found |= _killed(hub, folder, int(KILLED_GB * 1e9), sha256, asked.kills)
    if not asked.skip_scan:
        from bench.models_scan import scan
        found |= scan()
    print(json.dumps(found))


def _random_file(path: Path, size: int) -> str:
    """Write it; its sha256."""
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for at in range(0, size, 1 << 24):
            data = random.randbytes(min(1 << 24, size - at))
            digest.update(data)
            file.write(data)
    return digest.hexdigest()


class _Server:
    """The hub in a process of its own; one line of its answers a question."""

    def __init__(self, process: subprocess.Popen):
        self._process = process
        assert process.stdout and process.stdin
        self.endpoint = process.stdout.readline().strip()

    def sent(self) -> int:
        """Bytes of the file that it sent so far."""
        assert self._process.stdout and self._process.stdin
        self._process.stdin.write("sent\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def environment(self, folder: Path) -> dict[str, str]:
        """Of a download that is to use it, with a cache of its own."""
        return {**online.environment(), "HF_ENDPOINT": self.endpoint, "HF_HOME": str(folder / "hf"),
                "HF_HUB_CACHE": str(folder / "hf" / "hub"), "GALEN_HOME": str(folder / "home"), "HF_TOKEN": ""}


@contextmanager
def _hub(folder: Path) -> Iterator[_Server]:
    process = subprocess.Popen([sys.executable, "-m", "tests.models.hub", str(folder), str(MB_S)], cwd=runs.ROOT,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield _Server(process)
    finally:
        process.kill()
        process.wait()


def _ratio(hub: _Server, folder: Path) -> dict[str, float]:
    """Plain time by the job's, the whole process of each: medians of turns that follow each other."""
    plain, ours, inside = [], [], []
    for turn in range(TURNS):
        place = folder / f"turn{turn}"
        place.mkdir()
        began = time.perf_counter()
        subprocess.run([sys.executable, __file__, "plain", hub.endpoint, str(place / "plain")], check=True)
        plain.append(time.perf_counter() - began)
        (place / "plain").unlink()
        run = _run_folder(place, FILE)
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "models.worker", str(run)], check=True, cwd=runs.ROOT,
                       env=hub.environment(place))
        ours.append(time.perf_counter() - began)
        inside.append(runs.read_json(run / runs.RESULT)["seconds"])
        shutil.rmtree(place)
    ratios = [one / other for one, other in zip(plain, ours, strict=True)]
    return {"download_ratio": round(statistics.median(ratios), 3), "download_ratio_min": round(min(ratios), 3),
            "download_plain_s": round(statistics.median(plain), 2), "download_s": round(statistics.median(ours), 2),
            "download_inside_s": statistics.median(inside)}


def _plain(endpoint: str, to: str) -> None:
    """The plain client: what a script of ten lines does."""
    with urllib.request.urlopen(f"{endpoint}/{REPO}/resolve/main/{FILE}") as answer, open(to, "wb") as file:
        assert isinstance(answer, http.client.HTTPResponse)
        while data := answer.read(1 << 20):
            file.write(data)


def _killed(hub: _Server, folder: Path, size: int, sha256: str, kills: int) -> dict[str, Any]:
    """One download killed at so many random moments: what the server sent in all, by what the file has."""
    place = folder / "killed"
    place.mkdir()
    run, before = _run_folder(place, KILLED_FILE), hub.sent()
    command = [sys.executable, "-m", "models.worker", str(run)]
    random.seed(20261122)
    killed, share = 0, size / (MB_S * 1e6) / kills         # seconds of sending that each start may have
    for _ in range(kills):
        job = subprocess.Popen(command, cwd=runs.ROOT, env=hub.environment(place))
        kept, begun = _kept(place), time.perf_counter()
        while _kept(place) == kept and job.poll() is None and time.perf_counter() - begun < 30:
            time.sleep(0.01)                    # it has begun to write
        time.sleep(random.uniform(0.0, 2 * share * LATEST_KILL))
        if job.poll() is None:
            job.send_signal(signal.SIGKILL)
        killed += job.wait() == -signal.SIGKILL         # not one that was done before
    subprocess.run(command, check=True, cwd=runs.ROOT, env=hub.environment(place))
    result = runs.read_json(run / runs.RESULT)
    with open(result["files"][0], "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    shutil.rmtree(place)
    return {"killed_is_right": digest == sha256, "killed_times": killed,
            "killed_fetched": round((hub.sent() - before) / size, 4)}


def _kept(place: Path) -> int:
    return sum(one.stat().st_size for one in place.glob("home/cache/downloads/*.part"))


def _run_folder(place: Path, file: str) -> Path:
    run = place / "run"
    run.mkdir()
    runs.write_json(run / runs.CONFIG, {"repo": REPO, "files": [file]})
    return run


if __name__ == "__main__":
    if sys.argv[1:2] == ["plain"]:
        _plain(*sys.argv[2:])
    else:
        main()
