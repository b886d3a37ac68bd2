"""The promise: `python -m train.estimate RUN_DIR` tries a few steps, then says what the run takes, and if it fits."""

import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from corpus.gather import Gathered
from models import job as jobs
from models import knobs, runs
from models.errors import UserError
from models.job import Job
from train import ranks
from train.config import TrainConfig
from train.worker import set_up_libraries

TRIAL = "trial"                 # the folder of the steps that are tried, removed afterwards
BUSY_CORES = 0.5                # of other programs: from here on it is said


def work(job: Job) -> None:
    """Write the estimate of the run folder's config; nothing when somebody asks to stop.

    Raises UserError for whatever a run would raise at its start.
    """
    config = knobs.from_json(TrainConfig, runs.read_json(job.folder / runs.CONFIG))
    set_up_libraries(config, job)
    if ranks.count() > 1:
        raise UserError("An estimate is made by one process; leave out accelerate launch.")
    folder, others = job.folder / TRIAL, Others()
    began = psutil.Process().create_time()
    stages = []
    try:
        for one, gathered in _gathered(config, job):
            stages.append(_stage(one, gathered, job, folder, began))
            if job.is_stop_asked():
                return
            began = time.time()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    runs.write_json(job.folder / runs.ESTIMATE, whole(stages, job.folder, others.cores()))


def _gathered(config: TrainConfig, job: Job) -> list[tuple[TrainConfig, Gathered]]:
    from train.stages import gather_stages  # torch, after set_up_libraries()
    job.event("phase", text="Reading the rows")
    return gather_stages(config, lambda text: None)


def _stage(config: TrainConfig, gathered: Gathered, job: Job, folder: Path, began: float) -> dict[str, Any]:
    """The promise of a stage that starts from the ones tried before it, as in the run; {} if somebody asked to stop."""
    from train import trial
    before = sorted(folder.glob(f"*/{runs.ADAPTER}"), key=lambda path: int(path.parent.name))
    place = folder / str(len(before))
    place.mkdir(parents=True)
    return trial.promise(config, gathered, trial.Trial(job, place), before, began)


class Others:
    """How many cores other programs keep busy, from here on."""

    def __init__(self) -> None:
        self._began, self._before = time.monotonic(), self._busy_s()

    def _busy_s(self) -> float:
        times, own = psutil.cpu_times(), psutil.Process().cpu_times()
        return sum(times) - times.idle - getattr(times, "iowait", 0.0) - own.user - own.system

    def cores(self) -> float:
        """On average."""
        return max(0.0, self._busy_s() - self._before) / max(1e-3, time.monotonic() - self._began)


def whole(stages: Sequence[Mapping[str, Any]], folder: Path, busy_cores: float) -> dict[str, Any]:
    """The promise of a run of these stages, and what there is of memory and disk."""
    names = list(dict.fromkeys(name for one in stages for name in one["parts"]))
    parts = {name: round(sum(one["parts"].get(name, 0.0) for one in stages), 2) for name in names}
    if len(stages) > 1:                 # before the first stage and after each, every set is scored
        untrained, trained = (sum(one[name] for one in stages) for name in ("base_score_s", "score_s"))
        loads = (len(stages) + 1) * stages[0]["load_s"]
        parts["scores of all stages"] = round(untrained + len(stages) * trained + loads, 2)
    promise = {
        "seconds": round(sum(parts.values()), 1), "parts": parts, "steps": sum(one["steps"] for one in stages),
        "peak_rss_mb": round(max(one["peak_rss_mb"] for one in stages)),
        "peak_disk_mb": round(sum(one["peak_disk_mb"] for one in stages), 1),
        "memory_mb": round((psutil.virtual_memory().available + psutil.Process().memory_info().rss) / 1e6),
        "disk_free_mb": round(shutil.disk_usage(folder).free / 1e6),
        "measured_steps": sum(one["measured_steps"] for one in stages),
        "measured_s": round(sum(one["measured_s"] for one in stages), 1), "machine": stages[0]["machine"],
        "notes": []}
    if busy_cores > BUSY_CORES:
        promise["notes"].append(f"Other programs kept {busy_cores:.1f} cores busy meanwhile; on an idle machine the "
                                "run is faster than this.")
    if any(one.get("peak_vram_mb") for one in stages):
        promise |= {"peak_vram_mb": round(max(one["peak_vram_mb"] for one in stages)), "vram_mb": _vram_mb()}
    pairs = {"peak_rss_mb": "memory_mb", "peak_disk_mb": "disk_free_mb", "peak_vram_mb": "vram_mb"}
    promise["fits"] = all(promise[asked] <= promise[there] for asked, there in pairs.items() if asked in promise)
    return promise


def _vram_mb() -> int:
    import torch
    return round((torch.cuda.mem_get_info()[0] + torch.cuda.memory_reserved()) / 1e6)


if __name__ == "__main__":
    jobs.main(work)
