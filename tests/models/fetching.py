"""A download job in a process of its own, against the local hub: run it, kill it, look at what it left."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models import runs
from tests.models.hub import Hub
from ui import jobs

WAIT_S = 60.0


@dataclass
class Fetching:
    """One computer, as it were: a folder with a home, a Hugging Face cache and run folders.

    A context manager: what was started and runs still is ended.
    """
    hub: Hub
    folder: Path
    more: dict[str, str] = field(default_factory=dict)          # environment
    started: list[subprocess.Popen] = field(default_factory=list)

    def __enter__(self) -> "Fetching":
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.started:
            process.kill()                      # nothing, when it has ended
            process.wait()

    @property
    def environment(self) -> dict[str, str]:
        """Of every process here; the hub library starts offline, as under the app."""
        return {**os.environ, **self.hub.environment(self.folder), "HF_HUB_OFFLINE": "1",
                "GALEN_HOME": str(self.folder / "home"), "PYTHONPATH": str(runs.ROOT), **self.more}

    @property
    def cache(self) -> Path:
        """Hugging Face's."""
        return self.folder / "hf" / "hub"

    def run_folder(self, name: str, *files: str, repo: str = "google/x", **config: Any) -> Path:
        """A run folder with its config."""
        run = self.folder / "home" / "runs" / name
        run.mkdir(parents=True)
        runs.write_json(run / runs.CONFIG, {"repo": repo, "files": list(files), **config})
        return run

    def start(self, run: Path) -> subprocess.Popen:
        """Begin; what it prints goes to its log."""
        (run / runs.STOP).unlink(missing_ok=True)
        with (run / runs.LOG).open("ab") as log:
            self.started.append(subprocess.Popen([sys.executable, "-m", "models.worker", str(run)],
                                                 env=self.environment, cwd=runs.ROOT, stdout=log, stderr=log,
                                                 stdin=subprocess.DEVNULL))
        return self.started[-1]

    def finish(self, run: Path, process: subprocess.Popen | None = None) -> tuple[int, str]:
        """Let it run to its end: exit status, and the last event's text or kind."""
        process = process or self.start(run)
        status = process.wait(WAIT_S)
        last = self.events(run)[-1]
        return status, last.get("text", last["kind"])

    def get(self, name: str, *files: str, **config: Any) -> dict[str, Any]:
        """A download that must succeed; its result."""
        run = self.run_folder(name, *files, **config)
        status, said = self.finish(run)
        assert (status, said) == (0, "done"), said
        return runs.read_json(run / runs.RESULT)

    def refused(self, name: str, *files: str, **config: Any) -> str:
        """A download that must fail in a way that the user can fix; its words."""
        run = self.run_folder(name, *files, **config)
        status, said = self.finish(run)
        assert status == 2, self.log(run)
        assert self.log(run).strip().splitlines()[-1] == said
        return said

    def events(self, run: Path) -> list[dict[str, Any]]:
        """All so far."""
        return jobs.read_from(run / runs.EVENTS, 0)[0]

    def notes(self, run: Path) -> str:
        """What it said on the way."""
        return " ".join(event["text"] for event in self.events(run) if event["kind"] == "note")

    def log(self, run: Path) -> str:
        """What it printed."""
        return (run / runs.LOG).read_text(encoding="utf-8")

    def part_bytes(self) -> int:
        """Of files that are on their way; one that gets its name meanwhile counts no more."""
        found = 0
        for path in self.folder.glob("home/cache/downloads/*.part"):
            with contextlib.suppress(FileNotFoundError):
                found += path.stat().st_size
        return found

    def wait_for_part(self, count: int, process: subprocess.Popen) -> None:
        """Until so many bytes are here."""
        def is_here() -> bool:
            assert process.poll() is None, "it ended before"
            return self.part_bytes() >= count
        self.wait_until(is_here)

    def wait_until(self, is_so: Callable[[], bool]) -> None:
        """Look again and again."""
        began = time.monotonic()
        while not is_so():
            assert time.monotonic() - began < WAIT_S
            time.sleep(0.02)

    def progress(self, run: Path) -> list[dict[str, Any]]:
        """What it told of its progress so far."""
        return [event for event in self.events(run) if event["kind"] == "progress"]

    def placed(self) -> list[int]:
        """The bytes of each content in the cache."""
        return [size for name, size in self.files().items() if "/blobs/" in name]

    def files(self) -> dict[str, int]:
        """Every file of any size below the folder that is no link, and its bytes."""
        return {str(path.relative_to(self.folder)): path.stat().st_size for path in sorted(self.folder.rglob("*"))
                if path.is_file() and not path.is_symlink()}

    def models(self) -> list[str]:
        """Files and links that look like a whole model."""
        return [path.name for path in self.folder.rglob("*") if path.suffix in (".gguf", ".safetensors")]
