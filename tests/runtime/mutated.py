"""Broken GGUF files, made from whole ones by a seeded mutator; and which of them end a bare llama.cpp."""

import json
import os
import random
import signal
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from models import runs

WIDTHS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}      # bytes of a scalar, by its type
STRING, ARRAY = 8, 9
NASTY = (0, 1, 2, 3, 7, 31, 255, 256, 2**15, 2**16, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**63,
         2**64 - 1)
ADDED = ("expert_count", "expert_used_count", "expert_group_count", "nextn_predict_layers", "rope.scaling.type",
         "rope.scaling.factor", "rope.dimension_count", "pooling_type", "embedding_length_out", "vocab_size",
         "attention.sliding_window_pattern", "attention.shared_kv_layers")
KINDS = {"header": 100, "tensors": 100, "string": 50, "truncation": 50}


@dataclass(frozen=True)
class Field:
    """A stretch of the header that can be written over."""
    part: str                   # "header" or "tensors"
    what: str                   # "number", "value" (a number under a key), "length" (of a string), "text"
    start: int
    bytes: int


@dataclass(frozen=True)
class Mutant:
    name: str                   # "header-017"
    data: bytes


def mutants(sources: list[bytes], seed: int, part: int = 0, parts: int = 1) -> Iterator[Mutant]:
    """KINDS of each kind, from sources in turn; the same for the same seed. Of parts, the one with that number."""
    layouts = [fields(source) for source in sources]
    for kind, count in KINDS.items():
        for k in range(part, count, parts):
            rng = random.Random(f"{seed} {kind} {k}")
            source, layout = sources[k % len(sources)], layouts[k % len(sources)]
            yield Mutant(f"{kind}-{k:03}", MUTATIONS[kind](source, layout, rng))


def fields(data: bytes) -> list[Field]:
    """Every field of a whole GGUF's header and tensor table."""
    reader = _Walk(data)
    reader.number("header", 4)                              # version
    tensor_count, key_count = reader.number("header", 8), reader.number("header", 8)
    for _ in range(key_count):
        reader.string("header")
        reader.value(reader.number("header", 4))
    for _ in range(tensor_count):
        reader.string("tensors")
        for _ in range(reader.number("tensors", 4)):
            reader.number("tensors", 8)
        reader.number("tensors", 4)
        reader.number("tensors", 8)
    return reader.fields


class _Walk:
    def __init__(self, data: bytes):
        self.data, self.at, self.fields = data, 4, list[Field]()

    def number(self, part: str, width: int, what: str = "number") -> int:
        self.fields.append(Field(part, what, self.at, width))
        self.at += width
        return int.from_bytes(self.data[self.at - width:self.at], "little")

    def string(self, part: str) -> None:
        length = int.from_bytes(self.data[self.at:self.at + 8], "little")
        self.fields += [Field(part, "length", self.at, 8), Field(part, "text", self.at + 8, length)]
        self.at += 8 + length

    def value(self, kind: int) -> None:
        if kind == STRING:
            self.string("header")
        elif kind != ARRAY:
            self.number("header", WIDTHS[kind], "value")
        else:
            item, length = self.number("header", 4), self.number("header", 8)
            for k in range(length):
                if item == STRING:
                    self.string("header")
                elif k < 4:                                 # the first few items speak for the rest
                    self.number("header", WIDTHS[item], "value")
                else:
                    self.at += WIDTHS[item]


def _header(data: bytes, layout: list[Field], rng: random.Random) -> bytes:
    """Hyper-parameters, special tokens, counts and types overwritten; a hyper-parameter too many."""
    if rng.random() < 0.4:
        return _with_key(data, layout, rng)
    what = "value" if rng.random() < 0.8 else "number"
    return _renumbered(data, [f for f in layout if f.part == "header" and f.what == what], rng)


def _tensors(data: bytes, layout: list[Field], rng: random.Random) -> bytes:
    """Numbers and names in the tensor table: dimensions, sides, types, offsets."""
    table = [f for f in layout if f.part == "tensors"]
    if rng.random() < 0.2:
        return _retexted(data, [f for f in table if f.what == "text"], rng)
    return _renumbered(data, [f for f in table if f.what == "number"], rng)


def _string(data: bytes, layout: list[Field], rng: random.Random) -> bytes:
    """Lengths and bytes of keys, of their values and of pieces of the vocabulary; one string written over another."""
    strings = [f for f in layout if f.what in ("length", "text")]
    few = [f for f in strings if f.part == "header" and f.start < strings[0].start + 2000]
    chosen = few if rng.random() < 0.6 else strings
    if rng.random() < 0.3:
        return _renumbered(data, [f for f in chosen if f.what == "length"], rng)
    if rng.random() < 0.3:
        return _repeated(data, [f for f in strings if f.what == "text" and f.part == "header"], rng)
    return _retexted(data, [f for f in chosen if f.what == "text" and f.bytes], rng)


def _truncation(data: bytes, layout: list[Field], rng: random.Random) -> bytes:
    end = layout[-1].start + layout[-1].bytes
    return data[:rng.choice([rng.randrange(64), rng.randrange(end), rng.randrange(end, len(data)), len(data) - 1])]


def _renumbered(data: bytes, chosen: list[Field], rng: random.Random) -> bytes:
    changed = bytearray(data)
    for field in rng.sample(chosen, rng.choice([1, 1, 1, 2])):
        old = int.from_bytes(data[field.start:field.start + field.bytes], "little")
        new = rng.choice([*NASTY, old + 1, old - 1, old * 2, old // 2, rng.getrandbits(64)])
        changed[field.start:field.start + field.bytes] = struct.pack("<Q", new % 2**64)[:field.bytes]
    return bytes(changed)


def _retexted(data: bytes, chosen: list[Field], rng: random.Random) -> bytes:
    changed, field = bytearray(data), rng.choice(chosen)
    for at in rng.sample(range(field.start, field.start + field.bytes), min(field.bytes, rng.randint(1, 8))):
        changed[at] = rng.choice([0, 0x80, 0xC3, 0xFF, 0x0A, 0x20, 0x7B, 0x25, rng.randrange(256)])
    return bytes(changed)


def _with_key(data: bytes, layout: list[Field], rng: random.Random) -> bytes:
    """One more hyper-parameter in front of the others; a second new key fills up to the alignment."""
    at = layout[3].start                                    # behind version, tensor count, key count
    name = data.index(b"general.architecture") + 20 + 4     # behind this key and the type of its value
    architecture = data[name + 8:name + 8 + data[name]].decode()
    key = f"{architecture}.{rng.choice(ADDED)}".encode()
    if key.endswith(b"scaling.type"):
        value = struct.pack("<IQ", STRING, 4) + rng.choice([b"none", b"yarn", b"okra"])
    else:
        value = struct.pack("<II", 4, rng.choice(NASTY) % 2**32)
        if rng.random() < 0.2:
            value = struct.pack("<If", 6, rng.choice([-1.0, 0.0, 1e-30, float("nan"), float("inf")]))
    new = struct.pack("<Q", len(key)) + key + value
    filled = -(len(new) + 8 + 3 + 4 + 8) % 32
    new += struct.pack("<Q", 3) + b"pad" + struct.pack("<IQ", STRING, filled) + b" " * filled
    count = int.from_bytes(data[16:24], "little")
    return data[:16] + struct.pack("<Q", count + 2) + new + data[at:]


def _repeated(data: bytes, chosen: list[Field], rng: random.Random) -> bytes:
    target = rng.choice(chosen)
    source = rng.choice([f for f in chosen if f.bytes == target.bytes])
    return data[:target.start] + data[source.start:source.start + source.bytes] + data[target.start + target.bytes:]


MUTATIONS: dict[str, Callable[[bytes, list[Field], random.Random], bytes]] = {
    "header": _header, "tensors": _tensors, "string": _string, "truncation": _truncation}


def deaths(sources: list[Path], seed: int) -> dict[str, str]:
    """How a bare llama_cpp.Llama() ends the process that opens each mutant: the signal, by the mutant's name.

    Asked of a child, which forks once for each. Those that are refused or work are left out.
    """
    run = subprocess.run([sys.executable, "-m", "tests.runtime.mutated", str(seed), *map(str, sources)], cwd=runs.ROOT,
                         check=True, capture_output=True, text=True, env={**os.environ, "GGML_NO_BACKTRACE": "1"})
    return json.loads(run.stdout.splitlines()[-1])


def _open_each(sources: list[bytes], seed: int, path: Path) -> dict[str, str]:
    import resource

    import llama_cpp  # before the forks, so that each begins at once
    found = {}
    for mutant in mutants(sources, seed):
        path.write_bytes(mutant.data)
        child = os.fork()
        if child == 0:
            resource.setrlimit(resource.RLIMIT_CPU, (4, 6))     # a hang ends in SIGXCPU
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            try:
                model = llama_cpp.Llama(str(path), n_ctx=256, n_batch=64, n_threads=1, n_threads_batch=1, verbose=False)
                model.create_completion("Once", max_tokens=4)
            finally:
                os._exit(0)                     # whatever Python can say of it is no death
        status = os.waitpid(child, 0)[1]
        if os.WIFSIGNALED(status):
            found[mutant.name] = signal.Signals(os.WTERMSIG(status)).name
    return found


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(_open_each([Path(name).read_bytes() for name in sys.argv[2:]], int(sys.argv[1]),
                                    Path(folder) / "mutant.gguf")))
