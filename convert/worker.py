"""The export job: `python -m convert.worker RUN_DIR` turns what config.json names into checked files."""

from convert.config import ExportConfig
from models import knobs, runs
from models.job import Job, main


def work(job: Job) -> None:
    """Run the export that job.folder's config.json describes."""
    config = knobs.from_json(ExportConfig, runs.read_json(job.folder / runs.CONFIG))
    from convert.export import export  # here, so that a library that can not be loaded is told in a sentence
    export(config, job)


if __name__ == "__main__":
    main(work)
