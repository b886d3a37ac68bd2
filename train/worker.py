"""The training process: `python -m train.worker RUN_DIR` turns the TrainConfig in a run folder into an adapter.

A further process of a run under `accelerate launch` needs no folder: it learns it from the first.
"""

import errno
import importlib.util
import logging
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import psutil

from corpus.gather import gather
from models import job as jobs
from models import knobs, runs
from models.errors import UserError
from models.job import Job
from train import memory, notice, ranks
from train.awake import awake
from train.config import TrainConfig

KEPT_KERNELS = "64"             # oneDNN's 1,024 take 0.7 GB more after 100 steps: every batch has shapes of its own
HUB = "hf:"                     # begins the name of a dataset of the hub
LOCKED_BYTE = 1 << 40           # of the events file, far beyond its end: Windows lets nobody else read what is locked
HELD = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)      # what a system says of a lock that another process has


def work(job: Job) -> None:
    """Train as the run folder's config.json says; results lie where models/runs.py says.

    Raises UserError for whatever the user can mend: rows, base model, settings, disk.
    """
    config = knobs.from_json(TrainConfig, runs.read_json(job.folder / runs.CONFIG))
    set_up_libraries(config, job)
    if ranks.count() > 1 and ranks.is_first():
        ranks.share_folder(job.folder)
    try:
        with awake(config.keep_awake and ranks.is_first(), lambda text: job.event("note", text=text)):
            train(config, job)
    except UserError as error:
        tell(config, f"The run {job.folder.name} ended: {error}")
        raise
    except (MemoryError, SystemError, OSError, RuntimeError, ImportError) as error:
        if told := memory.advice_before(error, config):
            raise told from error
        raise
    finally:
        ranks.end()
    if not job.is_stop_asked():
        tell(config, f"The run {job.folder.name} is done.")


def train(config: TrainConfig, job: Job) -> None:
    """One stage, or several."""
    from train import adapter, stage, stages
    for one in config.stage_configs():
        adapter.choose_machine(one)             # a device that is not there is said before anything long
    if config.stages:
        stages.run(config, job)
        return
    job.event("phase", text="Reading the rows", done=0, of=4)
    gathered = gather(config, lambda text: job.event("note", text=text))
    stage.run(config, gathered, job, job.folder, began=psutil.Process().create_time())


def tell(config: TrainConfig, text: str) -> None:
    """A notice for a person who went away."""
    if config.notify and ranks.is_first():
        notice.show("Galen", text)


def set_up_libraries(config: TrainConfig | None = None, job: Job | None = None) -> None:
    """Keep them on this machine, silent but for errors, and small; they read this when they are imported.

    config and job: of the run, if there is one. Raises UserError if it names a logger that is not installed.
    """
    if config is None or not has_hub_source(config):
        os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1")
    os.environ.update(HF_HUB_DISABLE_TELEMETRY="1", DO_NOT_TRACK="1", TOKENIZERS_PARALLELISM="false",
                      TRANSFORMERS_VERBOSITY="error")
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", KEPT_KERNELS)
    if ranks.count() == 1:              # else transformers spreads one process over all GPUs (nn.DataParallel)
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=FutureWarning)       # between these libraries, not for the user
    if config and job:
        set_up_loggers(config.report_to, job.folder)


def set_up_loggers(names: Sequence[str], folder: Path) -> None:
    """Keep Weights & Biases and trackio on this machine: a person may send up later what they wrote.

    Raises UserError if one is not installed.
    """
    for name in names:
        if importlib.util.find_spec(name) is None:
            raise UserError(f"Loggers beside TensorBoard has {name}, which is not installed here; install it (pip "
                            f"install {name}), or leave it out.")
        os.environ.pop("TRACKIO_SPACE_ID", None)
        os.environ.update(WANDB_MODE="offline", WANDB_DIR=str(folder), TRACKIO_DIR=str(folder / "trackio"))


def has_hub_source(config: TrainConfig) -> bool:
    """True if rows of some stage come from the hub."""
    return any(source.startswith(HUB) for one in config.stage_configs()
               for source in (*one.data, *one.eval, *one.guard))


def hold(folder: Path) -> IO[bytes]:
    """Take the run in folder for this process alone, until it ends, however it ends: the lock, to be kept.

    Raises UserError if another process has it. A disk that knows no locks gives it to everybody.
    """
    file = (folder / runs.EVENTS).open("ab")
    try:
        if sys.platform == "win32":
            import msvcrt
            file.seek(LOCKED_BYTE)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in HELD:
            file.close()
            raise UserError(f"The run in {folder} is still running; it needs no --resume.") from error
    return file


def first() -> None:
    """The first process: nothing is written before the folder is its own."""
    try:
        held = hold(Path(sys.argv[1]).resolve())
    except UserError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from error
    with held:
        jobs.main(work)


def further() -> None:
    """A further process: the first one's folder, silent. Exit status as jobs.main's."""
    ranks.end_with_parent()
    try:
        work(ranks.Quiet(ranks.share_folder(None)))
    except UserError as error:
        print(f"Process {ranks.rank()}: {error}", file=sys.stderr)
        raise SystemExit(2) from error


if __name__ == "__main__":
    if ranks.is_first():
        first()
    else:
        further()
