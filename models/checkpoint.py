"""The header of a safetensors file: where each tensor lies, of which type and shape.

Source: the safetensors format (huggingface/safetensors, README): 8 bytes header length, a JSON header, raw
little-endian rows. Read here and not by the library: that either maps the file, which Windows charges whole to this
process, or reads a whole tensor for one row of it, and its numpy side knows no bfloat16.
"""

import json
import struct
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any

from models.errors import UserError

FLOAT_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
MAX_HEADER_BYTES = 100 << 20


@dataclass(frozen=True, kw_only=True)
class Entry:
    """Where one tensor lies; start and end are bytes from the start of the file."""
    path: Path
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int

    def check_is_float(self, name: str) -> None:
        """Raise UserError unless its numbers are floats; name: what it is called in its file."""
        if self.dtype not in FLOAT_BYTES:
            raise UserError(f"The tensor {name} in {self.path.name} is of type {self.dtype}; weights must be 32-bit "
                            "or 16-bit floats. Use the original model, not a quantized copy.")


def read_header(path: Path) -> dict[str, Entry]:
    """The tensors of one file by name. Raises UserError if it is missing, damaged or cut short."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = struct.unpack("<Q", file.read(8).ljust(8, b"\0"))[0]
            if not 2 <= length <= MAX_HEADER_BYTES:
                raise _damaged(path, f"its header would be {length:,} bytes long")
            if 8 + length > size:
                raise _cut_short(path, size, "its header alone", 8 + length)
            header = json.loads(file.read(length))
    except FileNotFoundError:
        raise UserError(f"{path} is missing; copy or download it again.") from None
    except (ValueError, RecursionError) as error:
        raise _damaged(path, f"its header is no JSON ({error})") from None
    if not isinstance(header, dict):
        raise _damaged(path, "its header is no table of tensors")
    entries = {name: _entry(path, name, value, 8 + length, size)
               for name, value in header.items() if name != "__metadata__"}
    _check_apart(path, entries)
    return entries


def _check_apart(path: Path, entries: dict[str, Entry]) -> None:
    """Raise UserError if two tensors share bytes."""
    placed = sorted((entry.start, entry.end, name) for name, entry in entries.items() if entry.end > entry.start)
    for (_, end, name), (start, _, following) in pairwise(placed):
        if start < end:
            raise _damaged(path, f"its tensors {name} and {following} lie in the same place")


def _entry(path: Path, name: str, value: Any, data_at: int, size: int) -> Entry:
    try:
        shape, (start, end) = tuple(map(int, value["shape"])), map(int, value["data_offsets"])
        dtype = str(value["dtype"])
    except (TypeError, KeyError, ValueError, OverflowError):
        raise _damaged(path, f"its entry for {name} is not readable") from None
    if data_at + end > size:
        raise _cut_short(path, size, f"its tensor {name}", data_at + end)
    if start < 0 or min(shape, default=0) < 0 or (dtype in FLOAT_BYTES
                                                  and end - start != prod(shape) * FLOAT_BYTES[dtype]):
        raise _damaged(path, f"the tensor {name} has {end - start:,} bytes, which does not fit {dtype} {list(shape)}")
    return Entry(path=path, dtype=dtype, shape=shape, start=data_at + start, end=data_at + end)


def _damaged(path: Path, why: str) -> UserError:
    return UserError(f"{path} is no whole safetensors file: {why}. Copy or download it again.")


def _cut_short(path: Path, size: int, what: str, end: int) -> UserError:
    return UserError(f"{path} is cut short: it has {size:,} bytes and {what} ends at {end:,}, so it is no whole "
                     "safetensors file. Copy or download it again.")
