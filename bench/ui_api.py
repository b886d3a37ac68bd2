"""Is the API as fast as the model behind it, and does it stand fifty clients at once? One JSON object last.

    taskset -c 0,1 .venv/bin/python bench/ui_api.py                  every key
    taskset -c 0,1 .venv/bin/python bench/ui_api.py --only speed     tokens/s at 1B shape, beside the session alone
    taskset -c 0,1 .venv/bin/python bench/ui_api.py --only clients   many clients on the embedded model for two minutes

Server, models and clients all run on the cores that this process may use.
"""

import argparse
import http.client
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from bench.random_gemma import random_gemma
from bench.subject import settle
from models import library, runs
from runtime.config import LoadConfig, SampleConfig
from runtime.session import Session

BARS = {"api_vs_session": (">=", 0.97), "clients_failed": ("<=", 0), "clients_cut": ("<=", 0),
        "main_growth_mb": ("<=", 8.0), "worker_growth_mb": ("<=", 8.0)}
SERVE = "import sys; from pathlib import Path; from runtime.session import Session; from ui import app; " \
        "app.serve(Session(), model=Path(sys.argv[1]))"
TOKENS = 192                    # of an answer that is timed
CHAT = "/v1/chat/completions"
QUESTIONS = ("What is asthma?", "How is a cold treated?", "Tell me about the heart.", "What does insulin do?")


@contextmanager
def served(model: Path, home: Path) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """A running Galen with model loaded: its port, and its main process."""
    process = subprocess.Popen([sys.executable, "-c", SERVE, str(model)], cwd=runs.ROOT, text=True,
                               stdout=subprocess.PIPE, env={**os.environ, "GALEN_HOME": str(home)})
    assert process.stdout is not None
    try:
        said = ""
        while not (found := re.search(r" at http://127\.0\.0\.1:(\d+)", said)):
            said = process.stdout.readline()
            if not said:
                raise RuntimeError("Galen ended instead of starting")
        port = int(found[1])
        while not json.loads(get(port, "/health"))["model"]:
            time.sleep(0.2)
        yield port, process
    finally:
        process.terminate()
        process.wait(20)


def get(port: int, path: str) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path)
    return connection.getresponse().read()


def worker_of(process: subprocess.Popen[str]) -> psutil.Process:
    """The model's process."""
    return next(one for one in psutil.Process(process.pid).children(recursive=True)
                if "runtime.worker" in " ".join(one.cmdline()))


@dataclass
class Heard:
    """One answer as a client got it."""
    status: int = 0
    retry_s: int = 0
    tokens: int = 0
    times: list[float] = field(default_factory=list)        # of the pieces of text
    is_whole: bool = False


def ask(port: int, name: str, question: str, max_tokens: int, is_stream: bool = True) -> Heard:
    """Ask for one answer and read it to its end."""
    body = {"model": name, "messages": [{"role": "user", "content": question}], "max_tokens": max_tokens}
    if is_stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    connection.request("POST", CHAT, json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    heard = Heard(answer.status, int(answer.headers.get("Retry-After", 0)))
    if answer.status != 200:
        answer.read()
    elif is_stream:
        _read_events(answer, heard)
    else:
        whole = json.loads(answer.read())
        heard.tokens = whole["usage"]["completion_tokens"]
        heard.is_whole = whole["choices"][0]["finish_reason"] in ("stop", "length")
    connection.close()
    return heard


def _read_events(answer: http.client.HTTPResponse, heard: Heard) -> None:
    reason = None
    for line in answer:
        if line == b"data: [DONE]\n":
            heard.is_whole = reason in ("stop", "length")
        elif line.startswith(b"data: "):
            chunk = json.loads(line[6:])
            for choice in chunk.get("choices", []):
                reason = choice["finish_reason"] or reason
                if choice["delta"].get("content"):
                    heard.times.append(time.perf_counter())
            heard.tokens = (chunk.get("usage") or {}).get("completion_tokens", heard.tokens)


def speed(options: argparse.Namespace) -> dict[str, Any]:
    """Tokens/s after the first one: through the API, and from a session on the same file, in turns."""
    model = random_gemma()
    api: list[float] = []
    alone: list[float] = []
    own_ms: list[float] = []
    with tempfile.TemporaryDirectory() as folder, served(model, Path(folder)) as (port, process):
        name = next(one["id"] for one in json.loads(get(port, "/v1/models"))["data"] if one["id"] != "demo")
        settle(worker_of(process))              # it measures its threads; ours finds there what it found
        os.environ["GALEN_HOME"] = folder
        session = Session()
        session.load(model, LoadConfig())
        settle(session)

        def ask_api(question: str) -> None:
            main = psutil.Process(process.pid)
            before = sum(main.cpu_times()[:2])
            heard = ask(port, name, question, TOKENS)
            assert heard.is_whole and heard.tokens == TOKENS
            own_ms.append((sum(main.cpu_times()[:2]) - before) / TOKENS * 1000)
            api.append((heard.tokens - 1) / (heard.times[-1] - heard.times[0]))

        def ask_session(question: str) -> None:
            stream = session.chat([{"role": "user", "content": question}], SampleConfig(max_tokens=TOKENS))
            times = [time.perf_counter() for _ in stream]
            assert stream.end and stream.end.generated_tokens == TOKENS
            alone.append((TOKENS - 1) / (times[-1] - times[0]))

        for k in range(options.rounds + 1):
            for turn in (ask_api, ask_session)[::-1 if k % 2 else 1]:
                turn(f"{k}: tell a long story.")
        session.close()
    ratios = [a / b for a, b in zip(api[1:], alone[1:], strict=True)]       # the first round warms both up
    # who comes second in a round is some percent slower, whoever it is: rounds count in pairs, one of each order
    pairs = [(a * b) ** 0.5 for a, b in zip(ratios[::2], ratios[1::2], strict=True)]
    return {"api_vs_session": statistics.median(pairs), "pairs": pairs, "api_tokens_per_s": statistics.median(api[1:]),
            "session_tokens_per_s": statistics.median(alone[1:]), "ratios": ratios,
            "main_cpu_ms_per_token": statistics.median(own_ms[1:])}


class Clients:
    """Many clients that ask, read, and ask again until the time is up; each draws its own questions."""

    def __init__(self, port: int, seconds: float):
        self._port, self._until = port, time.monotonic() + seconds
        self._lock = threading.Lock()
        self.statuses: Counter[int] = Counter()
        self.failures: list[str] = []
        self.cut = self.tokens = 0

    def run(self, count: int) -> None:
        threads = [threading.Thread(target=self._be, args=(number,)) for number in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _be(self, number: int) -> None:
        draw = random.Random(number)
        while time.monotonic() < self._until:
            try:
                heard = ask(self._port, "demo", draw.choice(QUESTIONS), draw.randint(8, 200), draw.random() < 0.5)
            except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
                with self._lock:
                    self.failures.append(f"{type(error).__name__}: {error}")
                continue
            with self._lock:
                self.statuses[heard.status] += 1
                self.tokens += heard.tokens
                self.cut += heard.status == 200 and not heard.is_whole
                if heard.status not in (200, 503) or heard.status == 503 and not heard.retry_s:
                    self.failures.append(f"status {heard.status}")
            if heard.status == 503:
                time.sleep(min(heard.retry_s, 2) * (0.5 + draw.random()))


def clients(options: argparse.Namespace) -> dict[str, Any]:
    """So many clients at once: what was answered, and the memory of both processes from the second quarter on."""
    with tempfile.TemporaryDirectory() as folder, served(library.demo_gguf(), Path(folder)) as (port, process):
        watched = {"main": psutil.Process(process.pid), "worker": worker_of(process)}
        seen: dict[str, list[float]] = {name: [] for name in watched}
        all_of_them = Clients(port, options.seconds)
        running = threading.Thread(target=all_of_them.run, args=(options.clients,))
        began = time.monotonic()
        running.start()
        while running.is_alive():
            running.join(0.5)
            for name, one in watched.items():
                seen[name].append(one.memory_info().rss / 1e6)
        seconds = time.monotonic() - began
    quarter = len(next(iter(seen.values()))) // 4
    growth = {f"{name}_growth_mb": statistics.median(mb[-quarter:]) - statistics.median(mb[quarter:2 * quarter])
              for name, mb in seen.items()}
    return {"clients_failed": len(all_of_them.failures), "clients_cut": all_of_them.cut, **growth,
            **{f"{name}_mb": mb[-1] for name, mb in seen.items()},
            "answered": all_of_them.statuses[200], "told_busy": all_of_them.statuses[503],
            "clients_tokens_per_s": all_of_them.tokens / seconds, "seconds": seconds,
            "failures": all_of_them.failures[:5]}


MEASURES: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {"speed": speed, "clients": clients}


def against_bar(name: str, value: float) -> str:
    """A figure's bar, and whether it is kept; "" where there is none."""
    if name not in BARS:
        return ""
    sign, bar = BARS[name]
    is_met = value >= bar if sign == ">=" else value <= bar
    return f"{sign} {bar} {'met' if is_met else 'MISSED'}"


def main() -> None:
    """Measure what is asked for and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=MEASURES)
    parser.add_argument("--rounds", type=int, default=8, help="an even number")
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=120.0)
    options = parser.parse_args()
    if options.rounds < 2 or options.rounds % 2:
        parser.error("--rounds takes an even number")
    found: dict[str, Any] = {}
    for name, measure in MEASURES.items():
        if options.only in (None, name):
            found |= measure(options)
    for name, value in found.items():
        if isinstance(value, float | int):
            print(f"{name:24} {value:10.3f}   {against_bar(name, value)}")
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    print(json.dumps({**found, "cores": cores, "clients": options.clients, "rounds": options.rounds}))


if __name__ == "__main__":
    main()
