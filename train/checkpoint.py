"""Checkpoints of a run: all that a resumed run needs to go on bit for bit, whole or not counted."""

import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy
import torch
from safetensors.torch import load_file
from safetensors.torch import save as dump

from models import runs
from models.errors import UserError
from train import ranks
from train.peak import folder_mb

WEIGHTS, OPTIMIZER, TRAINER, PROGRESS = "weights.safetensors", "optimizer.pt", "trainer_state.json", "progress.json"
STEP, BEST = "step-", "best-"       # what the folders are called: states to go on from, adapters that were the best


@dataclass(frozen=True, kw_only=True)
class State:
    """The living parts of a run that a checkpoint is made of."""

    model: Any                       # only parameters that learn are kept
    optimizer: Any
    scheduler: Any
    trainer: Any                     # transformers' TrainerState
    progress: dict[str, Any]         # JSON


class Checkpoints:
    """The checkpoint folder of a run. Every process calls write(); the first one owns the folder."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.peak_mb = 0.0           # of the run's folder, at its fullest

    def newest(self) -> Path | None:
        """The last checkpoint that was finished; None if there is none."""
        for path in sorted(self.folder.glob(STEP + "*"), reverse=True):
            if is_complete(path):
                return path
        return None

    def write(self, step: int, state: State, keep: str) -> bool:
        """Write the state after a step; then drop the checkpoints before it, and adapters other than keep.

        False if the disk is full; the checkpoint before then stays.
        """
        path = self.folder / f"{STEP}{step:06d}"
        is_full = ranks.agree(ranks.is_first() and self._tried(lambda: self._make(path)))
        is_full = is_full or self._tried(lambda: save(path / rng_name(), rng_state()))
        is_full = ranks.total([float(is_full)])[0] > 0
        if ranks.is_first():
            is_full = is_full or self._tried(lambda: self._write_common(path, state))
            self.peak_mb = max(self.peak_mb, folder_mb(self.folder.parent))
            if is_full:
                shutil.rmtree(path, ignore_errors=True)
            else:
                self.drop(path.name, keep)
        return not ranks.agree(is_full)

    def drop(self, *kept: str) -> None:
        """Remove everything but what has one of these names."""
        for path in self.folder.glob("*"):
            if path.name not in kept:
                shutil.rmtree(path)

    def _make(self, path: Path) -> None:
        if path.exists():            # left by a run that was killed while it wrote here
            shutil.rmtree(path)
        path.mkdir(parents=True)

    def _write_common(self, path: Path, state: State) -> None:
        save(path / OPTIMIZER, {"optimizer": state.optimizer.state_dict(), "scheduler": state.scheduler.state_dict()})
        save_weights(path / WEIGHTS, state.model)
        state.trainer.save_to_json(str(path / TRAINER))
        runs.write_json(path / PROGRESS, state.progress)
        files = {file.name: file.stat().st_size for file in path.iterdir()}
        for name in files:
            with (path / name).open("rb+") as file:
                os.fsync(file.fileno())
        runs.write_json(path / runs.COMPLETE, {"files": files, "processes": ranks.count()})

    def _tried(self, write: Callable[[], None]) -> bool:
        """True if it could not be written because the disk is full."""
        try:
            write()
        except OSError as error:
            if not runs.is_disk_full(error):
                raise
            return True
        except UserError as error:
            if not (isinstance(error.__cause__, OSError) and runs.is_disk_full(error.__cause__)):
                raise
            return True
        return False


def is_complete(path: Path) -> bool:
    """True if the checkpoint's completion mark is there, and every file as long as the mark says."""
    if not (path / runs.COMPLETE).is_file():
        return False
    files = runs.read_json(path / runs.COMPLETE)["files"]
    return all((path / name).is_file() and (path / name).stat().st_size == size for name, size in files.items())


def learning(model: Any) -> dict[str, torch.Tensor]:
    """The parameters of a model that learn, by name."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def save_weights(path: Path, model: Any) -> None:
    """Write the parameters that learn. Raises OSError when the disk is full."""
    tensors = {name: parameter.detach().contiguous() for name, parameter in learning(model).items()}
    path.write_bytes(dump(tensors))             # its save_file reports a full disk as text only


def load_weights(model: Any, path: Path) -> None:
    """Give the parameters that learn the values of a checkpoint. Raises UserError if it is another model's."""
    tensors, parameters = load_file(path), learning(model)
    if {name: tensor.shape for name, tensor in tensors.items()} != {k: p.shape for k, p in parameters.items()}:
        raise UserError(f"The checkpoint in {path.parent} belongs to another adapter than config.json describes; "
                        "start a new run.")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(tensors[name])


class _Sink:
    """A file that remembers why it could not be written; torch.save says only that it could not."""

    def __init__(self, file: IO[bytes]):
        self.file, self.error = file, OSError()

    def write(self, data: Any) -> int:
        try:
            return self.file.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self.file.flush()


def save(path: Path, value: Any) -> None:
    """torch.save. Raises OSError when the disk is full."""
    with path.open("wb", buffering=0) as file:
        sink = _Sink(file)
        try:
            torch.save(value, sink)
        except (OSError, RuntimeError):
            if sink.error.errno is None:
                raise
            raise sink.error from None


def load(path: Path) -> Any:
    """What save wrote, on the CPU."""
    return torch.load(path, map_location="cpu", weights_only=True)


def rng_name() -> str:
    """The file of this process's generators in a checkpoint."""
    return f"rng-{ranks.rank()}.pt"


def rng_state() -> dict[str, Any]:
    """The global generators of this process."""
    generator = dict(numpy.random.get_state(legacy=False))
    generator["state"] = {**generator["state"], "key": torch.from_numpy(generator["state"]["key"].copy())}
    state = {"python": random.getstate(), "numpy": generator, "torch": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    elif torch.backends.mps.is_available():
        state["mps"] = torch.mps.get_rng_state()
    return state


def set_rng_state(state: dict[str, Any]) -> None:
    """Put the global generators back to where rng_state found them."""
    generator = state["numpy"]
    random.setstate(state["python"])
    numpy.random.set_state({**generator, "state": {**generator["state"], "key": generator["state"]["key"].numpy()}})
    torch.set_rng_state(state["torch"])
    if "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"])
    elif "mps" in state:
        torch.mps.set_rng_state(state["mps"])
