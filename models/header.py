"""The header of a GGUF file, read in pure Python before any native code sees the file.

Source: the GGUF specification, versions 2 and 3 (ggml-org/ggml, docs/gguf.md).
"""

import hashlib
import mmap
import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

from models.errors import UserError

SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9
MAX_COUNT = 1 << 24             # metadata keys, tensors or array items: far above any real file
MAX_DIMENSIONS = 4
LONGEST_KEPT = 64               # arrays longer than this (vocabularies) are passed over, their length kept
SAMPLE_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """One entry of the tensor table; shape in GGUF's order (row length first)."""
    name: str
    shape: tuple[int, ...]
    type_name: str
    offset: int                 # bytes from the start of the file
    bytes: int


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a GGUF says of itself. metadata holds scalars, strings and short arrays."""
    path: Path
    bytes: int
    metadata: Mapping[str, Any] = field(repr=False)
    tensors: tuple[Tensor, ...] = field(repr=False)

    @property
    def architecture(self) -> str:
        return str(self.metadata.get("general.architecture", ""))

    @property
    def name(self) -> str:
        return str(self.metadata.get("general.name") or self.path.stem)

    @property
    def template(self) -> str:
        return str(self.metadata.get("tokenizer.chat_template") or "")

    @property
    def ctx_tokens(self) -> int:
        value = self.metadata.get(f"{self.architecture}.context_length", 0)
        return value if isinstance(value, int) else 0

    @property
    def parameters(self) -> int:
        total = 0
        for tensor in self.tensors:
            count = 1
            for side in tensor.shape:
                count *= side
            total += count
        return total

    @property
    def type_name(self) -> str:
        """The tensor type that holds most bytes: "Q8_0", "Q4_K", "BF16", ..."""
        held: Counter[str] = Counter()
        for tensor in self.tensors:
            held[tensor.type_name] += tensor.bytes
        return held.most_common(1)[0][0] if held else ""


def read_header(path: Path) -> Header:
    """Read and check the header of the GGUF at path; the tensor data is not read.

    Raises UserError if the file is missing, no GGUF, malformed, or shorter than its tensor table says.
    """
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            if size < 24:
                raise UserError(f"{path.name} is no GGUF model: it has only {size} bytes.")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _Reader(path, data, size).header()
    except FileNotFoundError:
        raise UserError(f"There is no file {path}.") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder, not a GGUF file.") from None
    except PermissionError:
        raise UserError(f"{path} may not be read; check its permissions.") from None


def fingerprint(path: Path) -> str:
    """16 hex digits over size, header and sampled megabytes of a file: tells models apart, is no checksum."""
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        for at in sorted({0, size // 3, size * 2 // 3, max(0, size - SAMPLE_BYTES)}):
            file.seek(at)
            digest.update(file.read(SAMPLE_BYTES))
    return digest.hexdigest()[:16]


class _Reader:
    """One pass over the header, each read held against the file's end."""

    def __init__(self, path: Path, data: mmap.mmap, size: int):
        self.path, self.data, self.size, self.at = path, data, size, 0

    def header(self) -> Header:
        if self.data[:4] != b"GGUF":
            raise UserError(f"{self.path.name} is no GGUF model: it does not begin with GGUF.")
        self.at = 4
        version = self.scalar("I")
        if version not in (2, 3):
            raise UserError(f"{self.path.name} is a GGUF of version {version}; versions 2 and 3 can be read.")
        tensor_count, key_count = self.count("tensors"), self.count("keys")
        metadata: dict[str, Any] = {}
        for _ in range(key_count):
            key = self.string()
            metadata[key] = self.value(self.scalar("I"), key)
        table = [self.tensor() for _ in range(tensor_count)]
        alignment = metadata.get("general.alignment", 32)
        if not isinstance(alignment, int) or not 1 <= alignment <= 1 << 20 or alignment & (alignment - 1):
            raise self.damaged(f"its alignment is {alignment!r}")
        start = -(-self.at // alignment) * alignment
        tensors = tuple(Tensor(name=t.name, shape=t.shape, type_name=t.type_name,
                               offset=start + t.offset, bytes=t.bytes) for t in table)
        for tensor in tensors:
            if tensor.offset + tensor.bytes > self.size:
                raise UserError(f"{self.path.name} is cut short: it has {self.size:,} bytes and its tensor "
                                f"{tensor.name} ends at {tensor.offset + tensor.bytes:,}. Copy or download it again.")
        if len({t.name for t in tensors}) != len(tensors):
            raise self.damaged("two tensors have the same name")
        if not isinstance(metadata.get("general.architecture"), str):
            raise self.damaged("it names no architecture")
        return Header(path=self.path, bytes=self.size, metadata=metadata, tensors=tensors)

    def damaged(self, why: str) -> UserError:
        return UserError(f"{self.path.name} is damaged: {why}. Copy or download it again.")

    def take(self, length: int) -> bytes:
        end = self.at + length
        if end > self.size:
            raise UserError(f"{self.path.name} is cut short: its header does not end within its "
                            f"{self.size:,} bytes. Copy or download it again.")
        part = self.data[self.at:end]
        self.at = end
        return part

    def scalar(self, form: str) -> Any:
        return struct.unpack("<" + form, self.take(struct.calcsize("<" + form)))[0]

    def count(self, what: str) -> int:
        number = self.scalar("Q")
        if number > MAX_COUNT:
            raise self.damaged(f"it claims {number:,} {what}")
        return number

    def string(self) -> str:
        return self.take(self.scalar("Q")).decode("utf-8", "replace")

    def value(self, kind: int, key: str) -> Any:
        if kind in SCALARS:
            return self.scalar(SCALARS[kind])
        if kind == STRING:
            return self.string()
        if kind != ARRAY:
            raise self.damaged(f"the value of {key[:60]!r} has the unknown type {kind}")
        item_kind, length = self.scalar("I"), self.count("array items")
        if item_kind in SCALARS:
            form = SCALARS[item_kind]
            raw = self.take(length * struct.calcsize("<" + form))
            return list(struct.unpack(f"<{length}{form}", raw)) if length <= LONGEST_KEPT else range(length)
        if item_kind != STRING:
            raise self.damaged(f"the list {key[:60]!r} holds items of the type {item_kind}")
        if length <= LONGEST_KEPT:
            return [self.string() for _ in range(length)]
        for _ in range(length):
            self.take(self.scalar("Q"))
        return range(length)

    def tensor(self) -> Tensor:
        name, sides = self.string(), self.scalar("I")
        if not 1 <= sides <= MAX_DIMENSIONS:
            raise self.damaged(f"the tensor {name[:60]!r} has {sides} dimensions")
        shape = tuple(self.scalar("Q") for _ in range(sides))
        kind, offset = self.scalar("I"), self.scalar("Q")
        try:
            quant = GGMLQuantizationType(kind)
        except ValueError:
            raise self.damaged(f"the tensor {name[:60]!r} has the unknown type {kind}") from None
        block, block_bytes = GGML_QUANT_SIZES[quant]
        rows = 1
        for side in shape[1:]:
            rows *= side
        if shape[0] % block or min(shape) < 1 or shape[0] * rows > 1 << 50:
            raise self.damaged(f"the tensor {name[:60]!r} has the impossible shape {list(shape)} for {quant.name}")
        return Tensor(name=name, shape=shape, type_name=quant.name, offset=offset,
                      bytes=shape[0] // block * block_bytes * rows)
