"""What `export` does: a run, an adapter or a model folder -> checked GGUFs, in a job of its own."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from convert.config import ExportConfig
from models import knobs, runs
from models.errors import UserError
from models.library import DEMO_NAME
from ui import jobs


def export_config(sources: Sequence[str], types: Sequence[str], *, base: str = "", out: str = "",
                  settings: Mapping[str, Any] | None = None) -> ExportConfig:
    """What the user asked for, with absolute paths; settings: any other field of ExportConfig.

    sources: a run, adapter or model folder, then further adapters in order. Raises UserError if one of them is no
    folder or a type is unknown.
    """
    first, *more = [str(_folder(source)) for source in sources]
    values: dict[str, Any] = {"source": first, "more": tuple(more),
                              "types": tuple(t.strip() for t in types if t.strip()), **(settings or {})}
    if base:
        values["base"] = str(runs.DEMO_BASE if base == DEMO_NAME else runs.typed(base).resolve())
    if out:
        values["out"] = str(runs.typed(out).resolve())
    return knobs.from_json(ExportConfig, values)


def _folder(source: str) -> Path:
    folder = runs.DEMO_BASE if source == DEMO_NAME else runs.typed(source)
    if not folder.is_dir() and (runs.home() / "runs" / source).is_dir():
        folder = runs.home() / "runs" / source
    if not folder.is_dir():
        raise UserError(f"There is no folder {source}; give a run, an adapter or a model folder.")
    return folder.resolve()


def start(config: ExportConfig) -> tuple[Path, subprocess.Popen]:
    """Make a run folder for the export and start the job there."""
    folder = runs.new_run(f"export-{Path(config.source).name}")
    return folder, jobs.start("convert.worker", folder, config)
