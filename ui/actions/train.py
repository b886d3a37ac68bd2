"""What `train` does: a recipe and the user's wishes -> a run folder -> a running job."""

import subprocess
from pathlib import Path

from models import knobs, runs
from models.errors import UserError
from models.library import DEMO_NAME, find_base
from train.config import TrainConfig, load_recipe
from ui import jobs


def train_config(recipe: str, *, base: str = "", data: list[str] | None = None, evaluation: list[str] | None = None,
                 assignments: list[str] | None = None) -> TrainConfig:
    """The recipe with the user's wishes laid over it; files and folders become absolute paths.

    assignments: ["rank=8", ...]. Raises UserError for what does not fit, a missing file or base included.
    """
    values = load_recipe(recipe)
    values |= knobs.parse(TrainConfig, assignments or [])
    if base:
        values["base"] = base
    if data:
        values["data"] = tuple(data)
    if evaluation:
        values["eval"] = tuple(evaluation)
    for name in ("data", "eval"):
        values[name] = tuple(_existing(path) for path in values.get(name, ()))
    if not values["data"]:
        raise UserError("No training files are named; add --data FILE.")
    config = knobs.from_json(TrainConfig, values)
    if config.base == DEMO_NAME:
        find_base(DEMO_NAME)
        return config
    return knobs.from_json(TrainConfig, {**values, "base": str(find_base(config.base))})


def start(config: TrainConfig, at: str = "") -> tuple[Path, subprocess.Popen]:
    """Make a run folder (at, or a new one in home()/runs) and start the training there."""
    folder = runs.new_run(config.recipe or "train", at)
    return folder, jobs.start("train.worker", folder, config)


def _existing(path: str) -> str:
    full = Path(path).expanduser().resolve()
    if not full.is_file():
        raise UserError(f"There is no file {path}.")
    return str(full)
