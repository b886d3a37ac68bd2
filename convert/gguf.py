"""A GGUF file before it is written: what it says, what its header is in bytes, where each tensor lies."""

import io
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import gguf
import numpy as np
from gguf.gguf_writer import WriterState

from convert.families.tensor import Tensor
from convert.vocab import Vocab
from models.tensor_types import TENSOR_TYPES

ALIGNMENT = gguf.GGUF_DEFAULT_ALIGNMENT
BLOCKS = {name: (values, size) for name, values, size in TENSOR_TYPES.values()}
ADDERS = {                      # a number of another width than usual comes as numpy's scalar
    bool: "add_bool", int: "add_uint32", float: "add_float32", str: "add_string", list: "add_array",
    np.uint8: "add_uint8", np.int8: "add_int8", np.uint16: "add_uint16", np.int16: "add_int16",
    np.uint32: "add_uint32", np.int32: "add_int32", np.uint64: "add_uint64", np.int64: "add_int64",
    np.float32: "add_float32", np.float64: "add_float64",
}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything of a GGUF but the numbers in its tensors.

    metadata: the keys general.* and of the architecture. vocab: None where there is none (a projector).
    type_name: "BF16", "F16" or "F32", in which the matrices lose nothing.
    """
    architecture: str
    metadata: dict[str, Any]
    vocab: Vocab | None
    tensors: list[Tensor]
    type_name: str

    def kind(self, tensor: Tensor) -> str:
        """The ggml type before any quantization. Vectors stay in F32: llama.cpp's norms want it."""
        return tensor.kind or ("F32" if len(tensor.shape) == 1 else self.type_name)

    @cached_property
    def packed_vocab(self) -> tuple[int, bytes]:
        """Count and bytes of the tokenizer's keys: the same in a file of every type."""
        return _packed_keys(self.vocab.metadata() if self.vocab else {})


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a tensor lies in a file: offset from the start of the file, both in bytes."""
    kind: str
    offset: int
    bytes: int


@dataclass(frozen=True, kw_only=True)
class Layout:
    """One file: its header up to the first tensor, the place of each tensor by name, its whole size."""
    header: bytes
    places: dict[str, Place]
    bytes: int


def row_bytes(kind: str, columns: int) -> int:
    """Size of a row of so many values; they must be whole blocks of the type."""
    values, size = BLOCKS[kind]
    if columns % values:
        raise AssertionError(f"rows of {columns} are no whole blocks of {kind}")
    return columns // values * size


def tensor_bytes(kind: str, shape: tuple[int, ...]) -> int:
    """Size of a tensor."""
    return row_bytes(kind, shape[-1]) * math.prod(shape[:-1])


def layout(plan: Plan, type_name: str, kinds: Mapping[str, str] | None = None, has_vocab: bool = True) -> Layout:
    """The file of plan in that type. kinds: the ggml type of each tensor by name (None: plan's own)."""
    kinds = kinds or {t.name: plan.kind(t) for t in plan.tensors}
    file_type = "ALL_F32" if type_name == "F32" else f"MOSTLY_{type_name}"
    count, keys = _packed_keys({
        "general.architecture": plan.architecture, **plan.metadata,
        "general.file_type": int(gguf.LlamaFileType[file_type]),
        "general.quantization_version": gguf.GGML_QUANT_VERSION,
    })
    vocab_count, vocab_keys = plan.packed_vocab if has_vocab else (0, b"")
    start = struct.pack("<IIQQ", gguf.GGUF_MAGIC, gguf.GGUF_VERSION, len(plan.tensors), count + vocab_count)
    header = start + keys + vocab_keys + _packed_table(plan.tensors, kinds)
    header = header.ljust(_padded(len(header)), b"\0")
    places, end = {}, len(header)
    for tensor in plan.tensors:
        kind = kinds[tensor.name]
        place = places[tensor.name] = Place(kind=kind, offset=end, bytes=tensor_bytes(kind, tensor.shape))
        end += _padded(place.bytes)
    return Layout(header=header, places=places, bytes=end)


def _packed_keys(values: Mapping[str, Any]) -> tuple[int, bytes]:
    """Keys and values as GGUFWriter writes them, and how many they are: it leaves empty ones out."""
    writer = gguf.GGUFWriter(None, "")
    writer.kv_data[0].clear()                           # the architecture, which it adds itself
    for key, value in values.items():
        getattr(writer, ADDERS[type(value)])(key, value)
    written = io.BytesIO()
    writer.fout, writer.state = [written], WriterState.HEADER
    writer.write_kv_data_to_file()
    return len(writer.kv_data[0]), written.getvalue()


def _packed_table(tensors: list[Tensor], kinds: Mapping[str, str]) -> bytes:
    writer = gguf.GGUFWriter(None, "")
    for tensor in tensors:
        kind = kinds[tensor.name]
        writer.add_tensor_info(tensor.name, tensor.shape, np.dtype(np.float32), tensor_bytes(kind, tensor.shape),
                               gguf.GGMLQuantizationType[kind])
    written = io.BytesIO()
    writer.fout, writer.state = [written], WriterState.KV_DATA
    writer.write_ti_data_to_file()
    return written.getvalue()


def _padded(count: int) -> int:
    return -(-count // ALIGNMENT) * ALIGNMENT
