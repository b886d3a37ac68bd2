"""The header of a GGUF file, read in pure Python before any native code sees the file.

Source: the GGUF specification, versions 2 and 3 (ggml-org/ggml, docs/gguf.md).
"""

import hashlib
import mmap
import re
import struct
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models import sound
from models.errors import UserError
from models.tensor_types import TENSOR_TYPES

SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9
MAX_COUNT = 1 << 24             # metadata keys, tensors or array items: far above any real file
MAX_DIMENSIONS = 4
LONGEST_KEPT = 512              # arrays longer than this (vocabularies) are passed over, their length kept
LONGEST_NAME = 63               # bytes of a tensor's name that ggml has room for
TOKENS, TOKEN_TYPES = "tokenizer.ggml.tokens", "tokenizer.ggml.token_type"
SPECIAL_TYPE = re.compile(rb"[^\x01\x06]")      # a token type that is neither normal nor byte
LENGTH = struct.Struct("<Q").unpack_from
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
    """What a GGUF says of itself. metadata holds scalars, strings and short arrays, a range for each long one."""
    path: Path
    bytes: int
    metadata: Mapping[str, Any] = field(repr=False)
    tensors: tuple[Tensor, ...] = field(repr=False)
    special_tokens: Mapping[int, str] = field(repr=False)       # every token whose type is neither normal nor byte
    types: Mapping[str, int] = field(repr=False, default_factory=dict)      # GGUF's number of each value's type

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

    Raises UserError if the file is missing, no GGUF, malformed, shorter than its tensor table says, or
    holds figures that would end the process which loads it (models/sound.py).
    """
    with _opened(path) as reader:
        return reader.header()


def read_metadata(path: Path) -> dict[str, Any]:
    """What a GGUF of any kind says of itself, an importance matrix too; only its keys are checked.

    Raises UserError as read_header does.
    """
    with _opened(path) as reader:
        return reader.keys()[1]


@contextmanager
def _opened(path: Path) -> Iterator["_Reader"]:
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            if size < 24:
                raise UserError(f"{path.name} is no GGUF model: it has only {size} bytes.")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                yield _Reader(path, data, size)
    except FileNotFoundError:
        raise UserError(f"There is no file {path}.") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder, not a GGUF file.") from None
    except PermissionError:
        raise UserError(f"{path} may not be read; check its permissions.") from None
    except OSError as error:
        raise UserError(f"{str(path)[:200]} can not be read ({error.strerror}).") from error


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
        self.pieces: list[bytes] = []           # the vocabulary
        self.types = b""                        # and the type of each piece, one byte

    def keys(self) -> tuple[int, dict[str, Any], dict[str, int]]:
        """How many tensors there are; the metadata; GGUF's number of each value's type."""
        if self.data[:4] != b"GGUF":
            raise UserError(f"{self.path.name} is no GGUF model: it does not begin with GGUF.")
        self.at = 4
        version = self.scalar("I")
        if version not in (2, 3):
            raise UserError(f"{self.path.name} is a GGUF of version {version}; versions 2 and 3 can be read.")
        tensor_count, key_count = self.count("tensors"), self.count("keys")
        metadata: dict[str, Any] = {}
        types: dict[str, int] = {}
        for _ in range(key_count):
            key = self.string()
            if not key or key in metadata:
                raise self.damaged(f"it holds the key {key[:60]!r} twice" if key else "one of its keys has no name")
            types[key] = self.scalar("I")
            metadata[key] = self.value(types[key], key)
        return tensor_count, metadata, types

    def header(self) -> Header:
        tensor_count, metadata, types = self.keys()
        table = [self.tensor() for _ in range(tensor_count)]
        if not isinstance(metadata.get("general.architecture"), str):
            raise self.damaged("it names no architecture")
        tensors = self.placed(table, metadata.get("general.alignment", 32))
        why = (sound.wrong_figure(metadata, {tensor.name: tensor.shape for tensor in tensors})
               or sound.wrong_vocabulary(metadata, self.pieces))
        if why:
            raise self.damaged(why)
        special = {found.start(): self.pieces[found.start()].decode("utf-8", "replace")
                   for found in SPECIAL_TYPE.finditer(self.types) if found.start() < len(self.pieces)}
        return Header(path=self.path, bytes=self.size, metadata=metadata, tensors=tensors, special_tokens=special,
                      types=types)

    def placed(self, table: list[Tensor], alignment: Any) -> tuple[Tensor, ...]:
        """The tensors with their place in the file, each aligned, within the file and apart from the others."""
        if not isinstance(alignment, int) or not 1 <= alignment <= 1 << 20 or alignment & (alignment - 1):
            raise self.damaged(f"its alignment is {alignment!r}")
        start = -(-self.at // alignment) * alignment
        tensors = tuple(Tensor(name=t.name, shape=t.shape, type_name=t.type_name,
                               offset=start + t.offset, bytes=t.bytes) for t in table)
        if len({t.name for t in tensors}) != len(tensors):
            raise self.damaged("two tensors have the same name")
        end, before = start, ""
        for tensor in sorted(tensors, key=lambda tensor: tensor.offset):
            if tensor.offset % alignment:
                raise self.damaged(f"its tensor {tensor.name} begins at {tensor.offset:,}, "
                                   f"which is no multiple of {alignment}")
            if tensor.offset + tensor.bytes > self.size:
                raise UserError(f"{self.path.name} is cut short: it has {self.size:,} bytes and its tensor "
                                f"{tensor.name} ends at {tensor.offset + tensor.bytes:,}. Copy or download it again.")
            if tensor.offset < end:
                raise self.damaged(f"its tensors {before} and {tensor.name} lie on each other")
            end, before = tensor.offset + tensor.bytes, tensor.name
        return tensors

    def damaged(self, why: str) -> UserError:
        return UserError(f"{self.path.name} is damaged: {why}. Copy or download it again.")

    def move(self, end: int) -> int:
        """Go on at end; returns where we were."""
        if end > self.size:
            raise UserError(f"{self.path.name} is cut short: its header does not end within its "
                            f"{self.size:,} bytes. Copy or download it again.")
        start, self.at = self.at, end
        return start

    def take(self, length: int) -> bytes:
        start = self.move(self.at + length)
        return self.data[start:self.at]

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
            if key == TOKEN_TYPES and form == "i":
                self.types = raw[::4]
            return list(struct.unpack(f"<{length}{form}", raw)) if length <= LONGEST_KEPT else range(length)
        if item_kind != STRING:
            raise self.damaged(f"the list {key[:60]!r} holds items of the type {item_kind}")
        if key == TOKENS:
            self.pieces = self.strings(length)
            return range(length)
        if length <= LONGEST_KEPT:
            return [piece.decode("utf-8", "replace") for piece in self.strings(length)]
        self.pass_strings(length)
        return range(length)

    def strings(self, length: int) -> list[bytes]:
        """The next length strings; a loop without calls, since a vocabulary has up to half a million."""
        data, end, found = self.data, self.at, []
        try:
            for _ in range(length):
                start = end + 8
                end = start + LENGTH(data, end)[0]
                found.append(data[start:end])
        except (struct.error, OverflowError, IndexError):
            end = self.size + 1
        self.move(end)
        return found

    def pass_strings(self, length: int) -> None:
        """Go past the next length strings without keeping them."""
        data, end = self.data, self.at
        try:
            for _ in range(length):
                end += 8 + LENGTH(data, end)[0]
        except (struct.error, OverflowError):
            end = self.size + 1
        self.move(end)

    def tensor(self) -> Tensor:
        raw = self.take(self.scalar("Q"))
        name, sides = raw.decode("utf-8", "replace"), self.scalar("I")
        if not 1 <= len(raw) <= LONGEST_NAME or name.encode() != raw:
            raise self.damaged(f"a tensor is named {name[:60]!r}")
        if not 1 <= sides <= MAX_DIMENSIONS:
            raise self.damaged(f"the tensor {name[:60]!r} has {sides} dimensions")
        shape = tuple(self.scalar("Q") for _ in range(sides))
        kind, offset = self.scalar("I"), self.scalar("Q")
        if kind not in TENSOR_TYPES:
            raise self.damaged(f"the tensor {name[:60]!r} has the unknown type {kind}")
        type_name, block, block_bytes = TENSOR_TYPES[kind]
        rows = 1
        for side in shape[1:]:
            rows *= side
        if shape[0] % block or min(shape) < 1 or shape[0] * rows > 1 << 50:
            raise self.damaged(f"the tensor {name[:60]!r} has the impossible shape {list(shape)} for {type_name}")
        return Tensor(name=name, shape=shape, type_name=type_name, offset=offset,
                      bytes=shape[0] // block * block_bytes * rows)
