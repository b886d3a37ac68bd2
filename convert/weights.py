"""A folder of safetensors files, one tensor at a time as float32.

Source: the safetensors format (huggingface/safetensors, README): 8 bytes header length, a JSON
header, raw little-endian rows. Read here directly because numpy has no bfloat16.
"""

import json
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.base import weight_files
from models.errors import UserError

FLOATS: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": np.dtype("<u2")}
MAX_HEADER_BYTES = 100 << 20


@dataclass(frozen=True, kw_only=True)
class Entry:
    """Where one tensor lies; start and end are bytes from the start of the file."""
    path: Path
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


class Weights:
    """The tensors of some safetensors files by name."""

    def __init__(self, paths: list[Path]):
        """Read the headers. Raises UserError if a file is missing, damaged or cut short, or a name occurs twice."""
        self.entries: dict[str, Entry] = {}
        for path in paths:
            for name, entry in _read_header(path).items():
                if name in self.entries:
                    raise UserError(f"The tensor {name} stands in both {self.entries[name].path.name} and {path.name}.")
                self.entries[name] = entry

    def read(self, name: str) -> np.ndarray:
        """The tensor as a new float32 array. Raises UserError if it is not of floats, or holds NaN or infinity."""
        entry = self.entries[name]
        if entry.dtype not in FLOATS:
            raise UserError(f"The tensor {name} in {entry.path.name} is of type {entry.dtype}; weights must be 32-bit "
                            "or 16-bit floats. Use the original model, not a quantized copy.")
        raw = np.fromfile(entry.path, FLOATS[entry.dtype], math.prod(entry.shape), offset=entry.start)
        if entry.dtype == "BF16":
            wide = raw.astype(np.uint32)
            wide <<= 16
            values = wide.view(np.float32)
        else:
            values = raw.astype(np.float32, copy=False)
        if values.size and not (np.isfinite(values.min()) and np.isfinite(values.max())):
            raise UserError(f"The tensor {name} in {entry.path.name} holds NaN or infinity; "
                            "the training went wrong or the file is damaged.")
        return values.reshape(entry.shape)


def open_weights(folder: Path) -> Weights:
    """The weights of a model folder, sharded or not. Raises UserError as Weights does."""
    return Weights(weight_files(folder))


def _read_header(path: Path) -> dict[str, Entry]:
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = struct.unpack("<Q", file.read(8).ljust(8, b"\0"))[0]
            if not 2 <= length <= MAX_HEADER_BYTES:
                raise _damaged(path, f"its header claims {length:,} bytes")
            if 8 + length > size:
                raise UserError(f"{path} is cut short: it has {size:,} bytes and its header alone ends at "
                                f"{8 + length:,}. Copy or download it again.")
            header = json.loads(file.read(length))
    except FileNotFoundError:
        raise UserError(f"{path} is missing; copy or download it again.") from None
    except ValueError as error:
        raise _damaged(path, f"its header is no JSON ({error})") from None
    if not isinstance(header, dict):
        raise _damaged(path, "its header is no table of tensors")
    return {name: _entry(path, name, value, 8 + length, size)
            for name, value in header.items() if name != "__metadata__"}


def _entry(path: Path, name: str, value: dict, data_at: int, size: int) -> Entry:
    try:
        shape, (start, end) = tuple(map(int, value["shape"])), value["data_offsets"]
        dtype = str(value["dtype"])
    except (TypeError, KeyError, ValueError):
        raise _damaged(path, f"its entry for {name} is not readable") from None
    if data_at + end > size:
        raise UserError(f"{path} is cut short: it has {size:,} bytes and its tensor {name} ends at "
                        f"{data_at + end:,}. Copy or download it again.")
    if dtype in FLOATS and end - start != math.prod(shape) * FLOATS[dtype].itemsize:
        raise _damaged(path, f"the tensor {name} has {end - start:,} bytes, which does not fit {dtype} {list(shape)}")
    return Entry(path=path, dtype=dtype, shape=shape, start=data_at + start, end=data_at + end)


def _damaged(path: Path, why: str) -> UserError:
    return UserError(f"{path} is no whole safetensors file: {why}. Copy or download it again.")
