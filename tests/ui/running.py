"""A real Galen in its own process, as a test starts it, watches it and ends it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from models import runs
from tests.processes import command
from tests.ui.fakes import wait_for

# Connections and name look-ups of the main process are written down as it makes them.
START = """
import sys
from pathlib import Path
home, port, model, host = (*sys.argv[1:4], *(sys.argv[4:5] or ["127.0.0.1"]))
log = open(Path(home) / "outside.log", "a", buffering=1)
def watch(event, values):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        address = values[1] if event in ("socket.connect", "socket.sendto") else values[0]
        log.write(f"{event} {address!r}\\n")
sys.addaudithook(watch)
from runtime import process
from runtime.session import Session
from models.errors import UserError
from ui import app
process.KILL_S = 60.0           # tests hold the model's process still, and a slow machine takes its time meanwhile
try:
    app.serve(Session(), host, port=int(port), model=Path(model) if model else None)
except UserError as error:
    sys.exit(f"told: {error}")
"""


LONGEST_RUN_S = 0.5             # of one who has nothing to compute, or may not


def computed_s(processes: list[psutil.Process]) -> float:
    """What all threads of these processes have computed, to the microsecond where the system tells it."""
    found = 0.0
    for process in processes:
        with contextlib.suppress(OSError, ValueError, psutil.NoSuchProcess):
            tasks = [*Path(f"/proc/{process.pid}/task").glob("*/schedstat")]
            found += sum(int(one.read_text().split()[0]) for one in tasks) / 1e9 if tasks else sum(
                process.cpu_times()[:2])
    return found


class RunningApp:
    """Started with model on a free port; url once it answers."""
    start = START

    def __init__(self, home: Path, model: Path | None, port: int = 0, host: str = "127.0.0.1"):
        self.home = home
        home.mkdir(parents=True, exist_ok=True)
        self.process = subprocess.Popen(
            [sys.executable, "-c", self.start, str(home), str(port), str(model or ""), host], cwd=runs.ROOT, text=True,
            env={**os.environ, "GALEN_HOME": str(home), "OMP_NUM_THREADS": "2"}, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT)
        assert self.process.stdout is not None
        self.said: list[str] = []
        while not (line := self.process.stdout.readline()).startswith("Galen "):
            assert line, f"it ended instead of starting: {self.said}"
            self.said.append(line)
        self.said.append(line)
        self.url = line.split(" at ")[1].split()[0]
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line)

    def health(self) -> dict[str, Any]:
        with urllib.request.urlopen(self.url + "/health", timeout=60) as answer:
            return json.load(answer)

    def wait_until_loaded(self) -> "RunningApp":
        wait_for(lambda: self.health()["model"])
        return self

    def workers(self) -> list[psutil.Process]:
        """The model's processes under this app."""
        try:
            found = psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:            # killed
            return []
        return [one for one in found if "runtime.worker" in " ".join(command(one))]

    def outside_connections(self) -> list[str]:
        """What the main process connected to or looked up that is not this machine."""
        return self.outside_connections_but("127.0.0.1")

    def outside_connections_but(self, own: str) -> list[str]:
        """The same where this machine goes by another address as well."""
        names = ("'127.0.0.1'", "'localhost'", "'::1'", f"'{own}'")
        lines = (self.home / "outside.log").read_text().splitlines()
        return [line for line in lines if not any(name in line for name in names)]

    @contextlib.contextmanager
    def slowed(self, pause_s: float = 0.1, run_s: float = 0.01) -> Iterator[threading.Event]:
        """Let the model's process run for moments only, so that a small model writes at a reading pace.

        run_s: of its own computing, however busy the machine is. Yields an event: while it is set, the process does
        not run at all.
        """
        over, is_frozen = threading.Event(), threading.Event()

        def send(signal_number: int) -> list[psutil.Process]:
            workers = self.workers()
            for worker in workers:
                with contextlib.suppress(psutil.NoSuchProcess):
                    worker.send_signal(signal_number)
            return workers

        def throttle() -> None:
            while not over.is_set():
                workers = send(signal.SIGSTOP)
                over.wait(pause_s)
                if not is_frozen.is_set():
                    before, until = computed_s(workers), time.monotonic() + LONGEST_RUN_S
                    send(signal.SIGCONT)
                    while not (over.wait(0.002) or is_frozen.is_set() or time.monotonic() > until
                               or computed_s(workers) - before >= run_s):
                        pass
            send(signal.SIGCONT)

        thread = threading.Thread(target=throttle)
        thread.start()
        try:
            yield is_frozen
        finally:
            over.set()
            thread.join()

    def kill(self) -> None:
        """End it as a power cut does. Processes of its model that a test holds still go on, and see that it is gone."""
        workers = self.workers()
        self.end(signal.SIGKILL)
        for worker in workers:
            with contextlib.suppress(psutil.NoSuchProcess):
                worker.send_signal(signal.SIGCONT)

    def end(self, how: int = signal.SIGTERM) -> float:
        """End it by a signal; seconds until it was gone."""
        start = time.monotonic()
        self.process.send_signal(how)
        self.process.wait(60)
        return time.monotonic() - start
