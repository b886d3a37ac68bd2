"""The header of a GGUF file, read in pure Python before any native code sees the file."""

import hashlib
import re
import stat
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models import sound
from models.errors import UserError
from models.reader import TOKENS, Memory, Reader, Tensor

__all__ = ["LONGEST_NAME", "Header", "Tensor", "fingerprint", "one_line", "read_header", "read_metadata"]

SPECIAL_TYPE = re.compile(rb"[^\x01\x06]")      # a token type that is neither normal nor byte
SAMPLE_BYTES = 1 << 20
LONGEST_NAME = 200              # of a text that is shown


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
        return str(self.metadata.get("general.architecture", ""))[:LONGEST_NAME]

    @property
    def name(self) -> str:
        return one_line(str(self.metadata.get("general.name") or self.path.stem))

    @property
    def template(self) -> str:
        return str(self.metadata.get("tokenizer.chat_template") or "")

    @property
    def ctx_tokens(self) -> int:
        value = self.metadata.get(f"{self.architecture}.context_length", 0)
        return value if type(value) is int else 0

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


def read_header(path: Path, memory: Memory | None = None) -> Header:
    """Read and check the header of the GGUF at path; the tensor data is not read.

    memory: of a scan over many files, for which the words of a vocabulary are passed over: special_tokens stays empty.
    Raises UserError if the file is missing, no GGUF, malformed, shorter than its tensor table says, or
    holds figures that would end the process which loads it (models/sound.py).
    """
    with _opened(path, memory) as reader:
        tensor_count, metadata, types = reader.keys()
        is_later_part = _is_later_part(metadata)
        if not isinstance(metadata.get("general.architecture"), str) and not is_later_part:
            raise reader.damaged("it names no architecture")
        tensors = reader.tensors(tensor_count, metadata.get("general.alignment", 32))
        why = "" if is_later_part else sound.wrong_figure(metadata, {one.name: one.shape for one in tensors})
        if TOKENS in metadata:
            why = why or sound.wrong_token_ids(metadata, reader.vocabulary.count)
        pieces = [] if memory or why else reader.vocabulary.each()
        if pieces:
            why = sound.wrong_words(str(metadata.get("tokenizer.ggml.model")), pieces)
        if why:
            raise reader.damaged(why)
        return Header(path=path, bytes=reader.size, metadata=metadata, tensors=tensors, types=types,
                      special_tokens=_special(pieces, reader.token_types) if pieces else {})


def read_metadata(path: Path) -> dict[str, Any]:
    """What a GGUF of any kind says of itself, an importance matrix too; only its keys are checked.

    Raises UserError as read_header does.
    """
    with _opened(path) as reader:
        return reader.keys()[1]


@contextmanager
def _opened(path: Path, memory: Memory | None = None) -> Iterator[Reader]:
    try:
        if not stat.S_ISREG(path.stat().st_mode):       # a pipe would keep whoever opens it
            raise UserError(f"{path} is {'a folder' if path.is_dir() else 'no file'}, not a GGUF file.")
        with path.open("rb") as file:
            size = path.stat().st_size
            if size < 24:
                raise UserError(f"{path.name} is no GGUF model: it has only {size} bytes.")
            yield Reader(path, file, size, memory)
    except FileNotFoundError:
        raise UserError(f"There is no file {path}.") from None
    except PermissionError:
        raise UserError(f"{path} may not be read; check its permissions.") from None
    except OSError as error:
        raise UserError(f"{str(path)[:200]} can not be read ({error.strerror}).") from error


def _is_later_part(metadata: Mapping[str, Any]) -> bool:
    """True for a part of a model whose first part has the keys; llama.cpp opens such a one by that first part only."""
    number, count = metadata.get("split.no", 0), metadata.get("split.count", 1)
    return isinstance(number, int) and isinstance(count, int) and 0 < number < count


def _special(pieces: list[bytes], types: bytes) -> dict[int, str]:
    """Every word whose type is neither normal nor byte."""
    numbers = (found.start() for found in SPECIAL_TYPE.finditer(types))
    return {number: pieces[number].decode("utf-8", "replace") for number in numbers if number < len(pieces)}


def one_line(text: str) -> str:
    """A text that a list can show: short, in one line, without what steers a terminal or turns a text around."""
    return " ".join("".join(c if c.isprintable() else " " for c in text[:LONGEST_NAME]).split())


def fingerprint(path: Path) -> str:
    """16 hex digits over size, header and sampled megabytes of a file: tells models apart, is no checksum."""
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        for at in sorted({0, size // 3, size * 2 // 3, max(0, size - SAMPLE_BYTES)}):
            file.seek(at)
            digest.update(file.read(SAMPLE_BYTES))
    return digest.hexdigest()[:16]
