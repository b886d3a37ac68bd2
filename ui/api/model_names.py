"""Which model a request means: its name in the list, what people call it, or the one in use."""

import re
from pathlib import Path

from models.errors import UserError
from ui.classifier import HUB
from ui.workbench import Workbench

LONGEST_SHOWN = 100


def listed_name(bench: Workbench, name: str) -> str:
    """The listed name of the model that is meant; "" means the one in use. UserError if there is none.

    "MedGemma 4B", "medgemma-4b" and "google/medgemma-4b-it" mean the first file whose name begins so.
    """
    listed = bench.model.listed()
    if not name.strip():
        chosen = next((one.name for one in listed if one.path == bench.model.state.chosen), None)
        if chosen is None:
            raise UserError("No model is in use; name one in the field model.")
        return chosen
    if any(one.name == name for one in listed):
        return name
    plain = _plain(name.rpartition("/")[2])
    begins = tuple(_plain(one.rpartition("/")[2]) for one in HUB.get(plain, ())) or (plain,)
    found = next((one.name for one in listed if plain and _plain(one.path.stem).startswith(begins)), None)
    if found is None:
        there = ", ".join(one.name for one in listed)
        raise UserError(f"There is no model {name[:LONGEST_SHOWN]!r} here; there are {there}.")
    return found


def name_of(bench: Workbench, path: Path) -> str:
    """The listed name of the model at path. UserError if it is gone."""
    name = next((one.name for one in bench.model.listed() if one.path == path), None)
    if name is None:
        raise UserError(f"The model {path.name} is not here any more; put it back, or use another one.")
    return name


def _plain(name: str) -> str:
    return re.sub(r"[\s_]+", "-", name.strip().casefold())
