"""How much memory a job will want, and how much there is beside the loaded model."""

from pathlib import Path
from typing import Any

import psutil

from models import library, runs
from models.base import weight_files
from models.errors import UserError
from models.split import files_of
from models.tuned import CONFIG as ADAPTER_CONFIG
from models.tuned import base_of
from ui import job_folder

RESERVE_MB = 500                # left free: the rest of the machine goes on meanwhile
# Where nobody measured or said it, MB = factor * size of the weights' files + the rest. 16-bit weights are 32-bit ones
# in a training on most processors and in the reference of an export; a GGUF is mapped as it is, with its cache.
TRAINING, REFERENCE, GGUF = (2.0, 2000.0), (2.0, 1000.0), (1.2, 600.0)


def needed_mb(folder: Path) -> float:
    """MB (10^6 bytes) of main memory that the job in folder takes at the most."""
    asked, config = job_folder.asked_of(folder), job_folder.config_of(folder)
    promised = job_folder.promise_of(folder).get("peak_rss_mb")
    if asked.kind == "train" and promised:
        return float(promised)
    if asked.memory_mb is not None:
        return asked.memory_mb
    if asked.kind in ("train", "estimate"):
        return _likely(TRAINING, _weights_mb(str(config.get("base", ""))))
    if asked.kind == "export":
        return _likely(REFERENCE, _weights_mb(str(config.get("base") or config.get("source", ""))))
    return max((_of_model(str(config[name])) for name in ("model", "against", "base") if config.get(name)),
               default=0.0)


def needs_gpu(folder: Path) -> bool:
    """True for a training whose estimate was made on a GPU."""
    return job_folder.promise_of(folder).get("peak_vram_mb") is not None


def free_mb(model_pid: int | None) -> float:
    """MB that a job can have while the model of that process stays loaded."""
    free = psutil.virtual_memory().available
    try:                        # its weights are mapped from their file, which the system counts as free
        memory: Any = psutil.Process(model_pid).memory_info() if model_pid else None
        free -= getattr(memory, "shared", 0)
    except psutil.NoSuchProcess:
        pass                    # gone meanwhile, and its memory with it
    return free / 1e6 - RESERVE_MB


def _likely(factor_and_rest: tuple[float, float], weights_mb: float) -> float:
    factor, rest = factor_and_rest
    return factor * weights_mb + rest


def _of_model(name: str) -> float:
    return _likely(REFERENCE if weights_folder(name) else GGUF, _weights_mb(name))


def weights_folder(name: str) -> Path | None:
    """The folder that name means if its model is computed by transformers; None for a GGUF, or nothing."""
    places = (runs.typed(name), runs.home() / "runs" / name) if name else ()
    folder = next((one for one in places if one.is_dir()), None)
    if folder is None or (not (folder / ADAPTER_CONFIG).is_file() and not any(folder.glob("model*.safetensors"))
                          and any((*folder.glob("*.gguf"), *folder.glob(f"{runs.EXPORT}/*.gguf")))):
        return None
    return folder


def _weights_mb(name: str) -> float:
    """Size of the files of what is called name: a GGUF, a listed model, a model folder, a run, an adapter."""
    try:
        return sum(path.stat().st_size for path in _weights(name)) / 1e6
    except (UserError, OSError):
        return 0.0              # the job itself will say what is wrong with it


def _weights(name: str) -> list[Path]:
    folder = weights_folder(name)
    if folder is None:
        return files_of(library.find_model(name))
    adapter = next((one for one in (folder / runs.ADAPTER, folder) if (one / ADAPTER_CONFIG).is_file()), None)
    return weight_files(library.find_base(base_of(adapter)) if adapter else folder)
