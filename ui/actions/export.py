"""What `export` does: a run, an adapter or a model folder -> checked GGUFs, in a job of its own."""

import subprocess
from pathlib import Path

from convert.config import ExportConfig
from models import knobs, runs
from models.errors import UserError
from models.library import DEMO_NAME
from ui import jobs


def export_config(source: str, types: list[str], *, base: str = "", out: str = "", name: str = "") -> ExportConfig:
    """What the user asked for, with absolute paths. Raises UserError if source is no folder or a type is unknown."""
    folder = runs.DEMO_BASE if source == DEMO_NAME else Path(source).expanduser()
    if not folder.is_dir() and (runs.home() / "runs" / source).is_dir():
        folder = runs.home() / "runs" / source
    if not folder.is_dir():
        raise UserError(f"There is no folder {source}; give a run, an adapter or a model folder.")
    values = {"source": str(folder.resolve()), "types": tuple(t.strip() for t in types if t.strip()),
              "name": name}
    if base:
        values["base"] = str(runs.DEMO_BASE if base == DEMO_NAME else Path(base).expanduser().resolve())
    if out:
        values["out"] = str(Path(out).expanduser().resolve())
    return knobs.from_json(ExportConfig, values)


def start(config: ExportConfig) -> tuple[Path, subprocess.Popen]:
    """Make a run folder for the export and start the job there."""
    folder = runs.new_run(f"export-{Path(config.source).name}")
    return folder, jobs.start("convert.worker", folder, config)
