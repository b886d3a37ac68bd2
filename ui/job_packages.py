"""Whether the packages that a job needs are on this computer: the page alone needs fewer than training does."""

import importlib.util
from collections.abc import Mapping
from typing import Any

from models.errors import UserError
from ui.job_memory import weights_folder

MISSING = ("This needs the packages for training, which are not here yet; close Galen and run: "
           "python launcher.py setup --all")
TRAINED = ("train.", "convert.")        # modules that always read 16-bit weights
READS = ("model", "against", "base")    # settings of an evaluation or a task that may name a folder of them


def check_packages(module: str, config: Mapping[str, Any]) -> None:
    """Raise UserError if `python -m module` with these settings could not begin."""
    is_needed = module.startswith(TRAINED) or any(weights_folder(str(config.get(name) or "")) for name in READS)
    if is_needed and not has_training():
        raise UserError(MISSING)


def has_training() -> bool:
    """True if models can be trained and exported here."""
    return importlib.util.find_spec("torch") is not None
