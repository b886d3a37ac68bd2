"""A folder of safetensors files, read as float32: whole tensors, or some of their rows."""

from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from models.base import weight_files
from models.checkpoint import FLOAT_BYTES, Entry, read_header
from models.errors import UserError

FLOATS: dict[str, np.dtype[Any]] = {"F64": np.dtype("<f8"), "F32": np.dtype("<f4"), "F16": np.dtype("<f2"),
                                    "BF16": np.dtype("<u2")}


class Weights:
    """The tensors of some safetensors files by name. Any number of threads may read at once."""

    def __init__(self, paths: list[Path]):
        """Read the headers. Raises UserError if a file is missing, damaged or cut short, or a name occurs twice."""
        self.entries: dict[str, Entry] = {}
        for path in paths:
            for name, entry in read_header(path).items():
                if name in self.entries:
                    raise UserError(f"The tensor {name} stands in both {self.entries[name].path.name} and {path.name}.")
                self.entries[name] = entry

    def read(self, name: str) -> np.ndarray:
        """The tensor as a new float32 array. Raises UserError if it is not of floats, or holds NaN or infinity."""
        return self._numbers(name, 0, prod(self.entries[name].shape)).reshape(self.entries[name].shape)

    def read_rows(self, name: str, start: int, stop: int) -> np.ndarray:
        """Rows start to stop (numbers, of a vector), as read() has them."""
        shape = self.entries[name].shape
        width = prod(shape[1:])
        return self._numbers(name, start * width, (stop - start) * width).reshape(stop - start, *shape[1:])

    def read_columns(self, name: str, start: int, stop: int) -> np.ndarray:
        """Columns start to stop of a matrix with few rows: (rows, stop - start)."""
        rows, width = self.entries[name].shape
        return np.stack([self._numbers(name, k * width + start, stop - start) for k in range(rows)])

    def _numbers(self, name: str, start: int, count: int) -> np.ndarray:
        entry = self.entries[name]
        entry.check_is_float(name)
        raw = np.fromfile(entry.path, FLOATS[entry.dtype], count, offset=entry.start + start * FLOAT_BYTES[entry.dtype])
        if len(raw) < count:
            raise UserError(f"{entry.path} has become shorter while it was read; copy or download it again.")
        if entry.dtype == "BF16":
            wide = np.zeros(count, np.uint32)
            wide.view("<u2")[1::2] = raw            # the upper half of a float32
            values = wide.view(np.float32)
        else:
            values = raw.astype(np.float32, copy=False)
        if count and not (np.isfinite(values.min()) and np.isfinite(values.max())):
            raise UserError(f"The tensor {name} in {entry.path.name} holds NaN or infinity; "
                            "the training went wrong or the file is damaged.")
        return values


def open_weights(folder: Path) -> Weights:
    """The weights of a model folder, sharded or not. Raises UserError as Weights does."""
    return Weights(weight_files(folder))
