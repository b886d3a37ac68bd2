"""A stage in a process of its own that kills itself at a given moment; one process imports, its children run."""

import os
import signal
import sys
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from corpus.layouts import Example
from models import knobs, runs
from models.job import Job

CONTEXT = get_context("spawn" if sys.platform == "win32" else "forkserver")
CONTEXT.set_forkserver_preload(["tests.train.survival"])
os.environ.setdefault("OMP_NUM_THREADS", "1")       # a fork has no other thread of its parent

if CONTEXT.get_start_method() == "forkserver":
    import train.stage  # noqa: F401


def die() -> None:
    """As the system does it when memory has run out."""
    if sys.platform == "win32":
        os._exit(-9)
    os.kill(os.getpid(), signal.SIGKILL)


class Doomed(Job):
    """A job whose process dies at a moment: ("step", 7), ("asked", "9.2"): the second question about stopping after
    step 9, or ("open" or "os.rename", "words of a path").
    """

    def __init__(self, folder: Path, moment: tuple[str, Any] | None):
        super().__init__(folder)
        self.moment, self.step, self.asked = moment, 0, 0
        if moment and moment[0] in ("open", "os.rename"):
            sys.addaudithook(self.audit)

    def event(self, kind: str, **values: Any) -> None:
        super().event(kind, **values)
        self.step = values.get("step", self.step)
        self.asked = 0 if kind in ("step", "eval") else self.asked
        if self.moment == (kind, values.get("step")):
            die()

    def is_stop_asked(self) -> bool:
        self.asked += 1
        if self.moment == ("asked", f"{self.step}.{self.asked}"):
            die()
        if self.moment == ("stop", self.step):
            (self.folder / runs.STOP).touch()
        return super().is_stop_asked()

    def audit(self, name: str, values: tuple[Any, ...]) -> None:
        if self.moment and name == self.moment[0] and self.moment[1] in str(values[0]).replace(os.sep, "/"):
            die()


def run_stage(folder: Path, values: dict[str, Any], rows: list[Example], moment: tuple[str, Any] | None) -> None:
    """One stage: the last quarter of rows is validation."""
    import torch

    from corpus.gather import Gathered
    from train import stage
    from train.config import TrainConfig
    torch.set_num_threads(1)
    config = knobs.from_json(TrainConfig, values)
    cut = len(rows) * 3 // 4
    gathered = Gathered(training=tuple(rows[:cut]), validation=tuple(rows[cut:]), test=(), left_out=(), findings=(),
                        fingerprints={"rows.csv": str(values.get("seed", 0))}, recognised=())
    stage.run(config, gathered, Doomed(folder, moment), folder)


def start(folder: Path, values: dict[str, Any], rows: list[Example], moment: tuple[str, Any] | None = None) -> int:
    """Run the stage in folder, or go on with it; how its process ended (-9: killed)."""
    folder.mkdir(exist_ok=True)
    if not (folder / runs.CONFIG).exists():
        runs.write_json(folder / runs.CONFIG, values)
    (folder / runs.STOP).unlink(missing_ok=True)
    process = CONTEXT.Process(target=run_stage, args=(folder, values, rows, moment))
    process.start()
    process.join()
    return process.exitcode or 0
