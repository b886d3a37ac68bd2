"""The keys general.* of a GGUF: what the folder's model card, its name and its sampling defaults say."""

import math
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import yaml

from convert.families.settings import LARGEST
from convert.families.tensor import Tensor
from models import runs
from models.errors import UserError

ARCHITECTURE = "general.architecture"
WHOLE = ("sampling_top_k", "sampling_penalty_last_n", "sampling_mirostat")      # INT32 in the file
LARGEST_WHOLE = 2**31 - 1
LISTS = ("tags", "languages")
TABLES = ("base_models", "datasets")


def general(folder: Path, title: str, tensors: Sequence[Tensor], kind: str = "model") -> dict[str, Any]:
    """Every general.* key of a model of those tensors but its architecture, file type and quantization version.

    kind: "model" or "mmproj". Keys and values are those that upstream writes for the folder under the name title.
    Raises UserError if the model card's head, or generation_config.json, can not be read.
    """
    parameters = sum(math.prod(t.shape) for t in tensors)
    metadata = _read(folder, title, parameters)
    if metadata.size_label is None and parameters:
        metadata.size_label = gguf.size_label(parameters, parameters, 0, 0)
    for one in fields(metadata):
        setattr(metadata, one.name, _clean(one.name, getattr(metadata, one.name)))
    writer = gguf.GGUFWriter(None, "")
    metadata.set_gguf_meta_model(writer)
    keys = {key: _plain(entry) for key, entry in writer.kv_data[0].items() if key != ARCHITECTURE}
    return {"general.type": kind, **keys}


def _read(folder: Path, title: str, parameters: int) -> gguf.Metadata:
    defaults = folder / "generation_config.json"
    values = runs.read_json(defaults) if defaults.is_file() else {}
    if not isinstance(values, dict):
        raise UserError(f"{defaults} holds no settings by name; copy it from the original model, or take it away.")
    try:
        metadata = gguf.Metadata.load(None, folder, title, parameters)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"The head of {folder / 'README.md'} (between the lines ---) is not readable: "
                        f"{str(error).splitlines()[0]}. Correct it, or take the file away.") from error
    if metadata.sampling_penalty_repeat is None:        # the gguf package lags behind its converter here
        metadata.sampling_penalty_repeat = values.get("repetition_penalty")
    return metadata


def _clean(name: str, value: Any) -> Any:
    """value as a GGUF can hold it: model cards write versions as numbers, and licences as lists. None: left out."""
    if value is None:
        return None
    if name.startswith("sampling_") and name != "sampling_sequence":
        most = LARGEST_WHOLE if name in WHOLE else LARGEST
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= most:
            return None
        return int(value) if name in WHOLE else float(value)
    if name in TABLES:
        return [{key: str(one) for key, one in entry.items()} for entry in value if isinstance(entry, dict)]
    if name in LISTS:
        return [str(one) for one in value]
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _plain(entry: gguf.GGUFValue) -> Any:
    """A value whose type in Python says which it has in the file."""
    return np.int32(entry.value) if entry.type == gguf.GGUFValueType.INT32 else entry.value
