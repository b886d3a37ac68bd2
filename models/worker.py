"""The download job: `python -m models.worker RUN_DIR` fetches what config.json names from the hub."""

import os
import time
from dataclasses import asdict

from models import knobs, online, runs
from models.download import DownloadConfig, Progress, download
from models.fetch import Paused
from models.job import Job, main


def work(job: Job) -> None:
    """Fetch it; the last event is "stopped" if the stop file asked for a pause, and what came is kept."""
    config = knobs.from_json(DownloadConfig, runs.read_json(job.folder / runs.CONFIG))
    for name in online.OFFLINE:                 # before the hub's library is imported; our own switch decides
        os.environ.pop(name, None)
    online.settle()
    os.environ.update(online.QUIET)
    begun = time.monotonic()

    def told(progress: Progress) -> None:
        for text in progress.notes:
            job.event("note", text=text)
        values = asdict(progress)
        del values["notes"]
        job.event("progress", **values)

    try:
        done = download(config, told, job.is_stop_asked, job.folder)
    except Paused:
        return
    runs.write_json(job.folder / runs.RESULT, {
        "path": str(done.folder), "files": [str(path) for path in done.files], "revision": done.commit,
        "bytes": done.bytes, "seconds": round(time.monotonic() - begun, 1), "fetched_bytes": done.fetched_bytes})


if __name__ == "__main__":
    main(work)
