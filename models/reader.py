"""The bytes of a GGUF's header -> keys and tensor table, each read held against the file's end and hard limits.

Source: the GGUF specification, versions 2 and 3 (ggml-org/ggml, docs/gguf.md).
"""

import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from models.errors import UserError
from models.tensor_types import TENSOR_TYPES

SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
ONE = {form: struct.Struct("<" + form) for form in SCALARS.values()}
STRING, ARRAY = 8, 9
SWAPPED = (1 << 24, 2 << 24, 3 << 24)          # the versions, as they look from the other end
MAX_COUNTS = {"keys": 1 << 16, "tensors": 1 << 17, "array items": 1 << 22}      # far above any real file
MAX_WORDS = 1 << 20            # of a vocabulary: each is held against all others
MAX_STRING = 1 << 25            # bytes; some files hold a whole tokenizer.json
MAX_HEADER = 1 << 26            # bytes of keys and tensor table together
MAX_DIMENSIONS = 4
PLACE = {sides: struct.Struct(f"<{sides}QIQ") for sides in range(1, MAX_DIMENSIONS + 1)}       # shape, type, offset
LONGEST_KEPT = 512              # arrays longer than this (vocabularies) are passed over, their length kept
MOST_KEPT = 1 << 16             # items of all shorter arrays together
LONGEST_NAME = 63               # bytes of a tensor's name that ggml has room for
TOKENS, TOKEN_TYPES = "tokenizer.ggml.tokens", "tokenizer.ggml.token_type"
STEP_BYTES = 1 << 20            # read at once
STRIDE = 4096                   # words that are passed before what was passed is noted
KEPT_LISTS, KEPT_KEYS = 2, 4     # lists of one key, and keys, in a Memory
LENGTH = struct.Struct("<Q").unpack_from


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """One entry of the tensor table; shape in GGUF's order (row length first)."""
    name: str
    shape: tuple[int, ...]
    type_name: str
    offset: int                 # bytes from the start of the file
    bytes: int


@dataclass(frozen=True)
class Words:
    """The bytes of a long list of words."""
    count: int = 0
    raw: bytes = b""

    def each(self) -> list[bytes]:
        """The words themselves."""
        data, end, found = self.raw, 0, list[bytes]()
        add = found.append
        for _ in range(self.count):
            start = end + 8
            end = start + LENGTH(data, end)[0]
            add(data[start:end])
        return found


@dataclass
class Memory:
    """Lists of words of files read before: most models of a family have the very same vocabulary.

    Comparing bytes takes a hundredth of the time that walking them does. One scan has one, in one thread.
    """
    lists: dict[str, list[Words]] = field(default_factory=dict)     # by key, the newest last

    def keep(self, key: str, words: Words) -> None:
        """Remember a list, and forget the oldest one of this key, or of the key that was longest unused."""
        self.lists[key] = [*self.lists.pop(key, ()), words][-KEPT_LISTS:]
        while len(self.lists) > KEPT_KEYS:
            del self.lists[next(iter(self.lists))]


class Reader:
    """One pass over the header of an open file."""

    def __init__(self, path: Path, file: BinaryIO, size: int, memory: Memory | None = None):
        self.path, self.size, self.at, self.kept = path, size, 0, 0
        self.vocabulary = Words()
        self.token_types = b""                  # of each word of it, one byte
        self._memory, self._file = memory or Memory(), file
        self.data = bytearray(file.read(STEP_BYTES))   # no map: a file cut short under it would end the process

    def keys(self) -> tuple[int, dict[str, Any], dict[str, int]]:
        """How many tensors there are; the metadata; GGUF's number of each value's type."""
        if self.data[:4] != b"GGUF":
            raise UserError(f"{self.path.name} is no GGUF model: it does not begin with GGUF.")
        self.at = 4
        version = self._scalar("I")
        if version in SWAPPED:
            raise UserError(f"{self.path.name} was written for computers that keep numbers the other way round "
                            "(big-endian); get the usual file of this model.")
        if version not in (2, 3):
            raise UserError(f"{self.path.name} is a GGUF of version {version}; versions 2 and 3 can be read.")
        tensor_count, key_count = self._count("tensors"), self._count("keys")
        metadata: dict[str, Any] = {}
        types: dict[str, int] = {}
        for _ in range(key_count):
            key = self._string()
            if not key or key in metadata:
                raise self.damaged(f"it holds the key {key[:60]!r} twice" if key else "one of its keys has no name")
            types[key] = self._scalar("I")
            metadata[key] = self._value(types[key], key)
        return tensor_count, metadata, types

    def tensors(self, count: int, alignment: Any) -> tuple[Tensor, ...]:
        """The tensors with their place in the file, each aligned, within the file and apart from the others."""
        table = [self._tensor() for _ in range(count)]
        if not isinstance(alignment, int) or not 1 <= alignment <= 1 << 20 or alignment & (alignment - 1):
            raise self.damaged(f"its alignment is {repr(alignment)[:40]}")
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

    def _move(self, end: int) -> int:
        """Go on at end; returns where we were."""
        if end > self.size:
            raise self._cut()
        if end > MAX_HEADER:
            raise self.damaged(f"its header does not end within {MAX_HEADER:,} bytes")
        while end > len(self.data):
            more = self._file.read(max(STEP_BYTES, end - len(self.data)))
            if not more:                        # it became shorter meanwhile
                raise self._cut()
            self.data += more
        start, self.at = self.at, end
        return start

    def _cut(self) -> UserError:
        return UserError(f"{self.path.name} is cut short: its header does not end within its "
                         f"{self.size:,} bytes. Copy or download it again.")

    def _take(self, length: int) -> bytearray:
        start = self._move(self.at + length)
        return self.data[start:self.at]

    def _scalar(self, form: str) -> Any:
        one = ONE[form]
        start = self._move(self.at + one.size)
        return one.unpack_from(self.data, start)[0]

    def _count(self, what: str) -> int:
        number: int = self._scalar("Q")
        if number > MAX_COUNTS[what]:
            raise self.damaged(f"it claims {number:,} {what}")
        return number

    def _bytes(self) -> bytearray:
        length: int = self._scalar("Q")
        if MAX_STRING < length <= self.size - self.at:
            raise self.damaged(f"it holds a text of {length:,} bytes")
        return self._take(length)

    def _string(self) -> str:
        return self._bytes().decode("utf-8", "replace")

    def _value(self, kind: int, key: str) -> Any:
        if kind in SCALARS:
            return self._scalar(SCALARS[kind])
        if kind == STRING:
            return self._string()
        if kind != ARRAY:
            raise self.damaged(f"the value of {key[:60]!r} has the unknown type {kind}")
        item_kind, length = self._scalar("I"), self._count("array items")
        if item_kind in SCALARS:
            form = SCALARS[item_kind]
            raw = self._take(length * ONE[form].size)
            if key == TOKEN_TYPES and form == "i":
                self.token_types = bytes(raw[::4])
            return list(struct.unpack(f"<{self._keep(length)}{form}", raw)) if length <= LONGEST_KEPT else range(length)
        if item_kind != STRING:
            raise self.damaged(f"the list {key[:60]!r} holds items of the type {item_kind}")
        if key != TOKENS and length <= LONGEST_KEPT:
            return [self._string() for _ in range(self._keep(length))]
        if key == TOKENS and length > MAX_WORDS:
            raise self.damaged(f"it claims a vocabulary of {length:,} pieces")
        words = self._words(key, length)
        if key == TOKENS:
            self.vocabulary = words
        return range(length)

    def _keep(self, length: int) -> int:
        """The length of a short array, once it is seen that all of them together are not long."""
        self.kept += length
        if self.kept > MOST_KEPT:
            raise self.damaged(f"its lists hold more than {MOST_KEPT:,} items")
        return length

    def _words(self, key: str, count: int) -> Words:
        """The next count words, left as they lie."""
        start = self.at
        for known in reversed(self._memory.lists.get(key, [])):
            if known.count == count and start + len(known.raw) <= min(self.size, MAX_HEADER):
                self._move(start + len(known.raw))
                if self.data.startswith(known.raw, start):
                    return known
        self._pass(start, count)
        with memoryview(self.data) as data:
            words = Words(count, bytes(data[start:self.at]))
        self._memory.keep(key, words)
        return words

    def _pass(self, end: int, left: int) -> None:
        """Go past so many words from end on; a loop without calls, since a vocabulary has up to half a million."""
        data = self.data
        while left:
            step, at = min(left, STRIDE), end
            try:
                for _ in range(step):
                    at += 8 + LENGTH(data, at)[0]
            except (struct.error, OverflowError):       # behind what was read so far
                self._move(at + 8)
            else:
                end, left = at, left - step
        self._move(end)

    def _tensor(self) -> Tensor:
        raw = self._bytes()
        name, sides = raw.decode("utf-8", "replace"), self._scalar("I")
        if not 1 <= len(raw) <= LONGEST_NAME or name.encode() != raw or not name.isprintable():
            raise self.damaged(f"a tensor is named {name[:60]!r}")
        if not 1 <= sides <= MAX_DIMENSIONS:
            raise self.damaged(f"the tensor {name[:60]!r} has {sides} dimensions")
        rest = PLACE[sides]
        *shape, kind, offset = rest.unpack_from(self.data, self._move(self.at + rest.size))
        if kind not in TENSOR_TYPES:
            raise self.damaged(f"the tensor {name[:60]!r} has the unknown type {kind}")
        type_name, block, block_bytes = TENSOR_TYPES[kind]
        rows = 1
        for side in shape[1:]:
            rows *= side
        if shape[0] % block or min(shape) < 1 or shape[0] * rows > 1 << 50:
            raise self.damaged(f"the tensor {name[:60]!r} has the impossible shape {shape} for {type_name}")
        return Tensor(name=name, shape=tuple(shape), type_name=type_name, offset=offset,
                      bytes=shape[0] // block * block_bytes * rows)
