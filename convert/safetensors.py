"""The merged model as a Hugging Face folder for vLLM and others: sharded safetensors, streamed, with the base's files.

Source: the safetensors format (huggingface/safetensors, README), and the index that transformers reads.
"""

import json
import math
import os
import re
import shutil
import struct
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from threadpoolctl import threadpool_limits

from convert.merge import BLOCK_ROWS
from convert.quantize import check_room
from convert.weights import open_weights
from models import runs
from models.errors import UserError
from runtime.device import allowed_cpus

SHARD_BYTES = 5_000_000_000
AT_ONCE = 1 << 20                               # numbers of a tensor that a thread has in memory
BYTES = {"F32": 4, "F16": 2, "BF16": 2}
TORCH_NAMES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
COPIED = re.compile(r"generation_config\.json|(special_tokens_map|added_tokens|vocab|chat_template|processor_config|"
                    r"preprocessor_config)\.json|tokenizer.*\.(json|model)|merges\.txt|chat_template\.jinja|"
                    r"(licen[cs]e|copying|notice|use_policy)\b.*", re.IGNORECASE)
HEADER_STEP = 8                                 # bytes; the header is filled with spaces up to a multiple


class Model(Protocol):
    """What is needed of convert/model.py's MergedModel: the merged tensors in the base's own names and layout."""

    def source_names(self) -> Sequence[str]: ...
    def source_shape(self, name: str) -> tuple[int, ...]: ...
    def source_rows(self, name: str, start: int, stop: int) -> np.ndarray: ...      # float32


def write(model: Model, base: Path, target: Path, progress: Callable[[int, int], None], *, type_name: str = "",
          shard_bytes: int = SHARD_BYTES, threads: int = 0) -> list[Path]:
    """Write the folder target, which appears whole or not at all, and return its files.

    type_name: of every tensor; "" for the base's own. threads: 0 for one a core. progress(bytes done, of) may raise
    to stop.
    Raises UserError if target exists, the disk is too small, or a value does not fit its type.
    """
    if target.exists():
        raise UserError(f"{target} exists already; delete or rename it, or give the export another name or folder.")
    types = _types(model, base, type_name)
    shards = split({name: _tensor_bytes(model, name, kind) for name, kind in types.items()}, shard_bytes)
    runs.make_folder(target.parent)
    check_room(target.parent, total_bytes(model, base, type_name))
    try:
        with runs.scratch_folder(target.parent) as scratch:
            folder = Path(scratch) / target.name
            folder.mkdir()
            _write_shards(model, folder, types, shards, threads or len(allowed_cpus()), progress)
            _write_rest(base, folder, types)
            os.replace(folder, target)
    except OSError as error:
        if runs.is_disk_full(error):
            raise UserError(f"The disk is full: {target.name} could not be written to {target.parent}. "
                            "Free some space and try again.") from error
        raise
    return sorted(target.iterdir())


def total_bytes(model: Model, base: Path, type_name: str = "") -> int:
    """What the tensors of write() take together."""
    return sum(_tensor_bytes(model, name, kind) for name, kind in _types(model, base, type_name).items())


def folder_bytes(model: Model, base: Path, scratch: Path) -> int:
    """What all the files of write() take together; the small ones are written to scratch, an empty folder."""
    types = _types(model, base, "")
    shards = split({name: _tensor_bytes(model, name, kind) for name, kind in types.items()}, SHARD_BYTES)
    heads = sum(len(_header(model, {name: types[name] for name in names})) for names in shards)
    total = total_bytes(model, base)
    _write_rest(base, scratch, types)
    _write_index(scratch, shards, total)
    return total + heads + sum(path.stat().st_size for path in scratch.iterdir())


def _types(model: Model, base: Path, type_name: str) -> dict[str, str]:
    """The type of each tensor; one that an adapter brings has the one that most of the base's have.

    What the base has in 64 bits is summed in 32, and written so.
    """
    own = {name: "F32" if entry.dtype == "F64" else entry.dtype for name, entry in open_weights(base).entries.items()}
    common = Counter(own.values()).most_common(1)[0][0]
    return {name: type_name or own.get(name, common) for name in model.source_names()}


def split(sizes: dict[str, int], shard_bytes: int) -> list[list[str]]:
    """The tensors in order, in as few files as come of filling one after the other; a larger tensor has its own."""
    shards: list[list[str]] = [[]]
    filled = 0
    for name, size in sizes.items():
        if shards[-1] and filled + size > shard_bytes:
            shards.append([])
            filled = 0
        shards[-1].append(name)
        filled += size
    return shards


def _tensor_bytes(model: Model, name: str, kind: str) -> int:
    return math.prod(model.source_shape(name)) * BYTES[kind]


def _write_shards(model: Model, folder: Path, types: dict[str, str], shards: list[list[str]], threads: int,
                  progress: Callable[[int, int], None]) -> None:
    total, done = sum(_tensor_bytes(model, name, kind) for name, kind in types.items()), 0
    with ThreadPoolExecutor(threads) as pool, threadpool_limits(1, "blas"):       # the pieces are the threads
        for k, names in enumerate(shards, 1):
            pieces = ((model, name, types[name], *rows) for name in names for rows in _pieces(model.source_shape(name)))
            with (folder / _file_name(k, len(shards))).open("xb") as file:
                file.write(_header(model, {name: types[name] for name in names}))
                for packed in _in_order(pool, pieces, 2 * threads):
                    file.write(packed)
                    done += len(packed)
                    progress(done, total)
    _write_index(folder, shards, total)


def _file_name(number: int, count: int) -> str:
    return "model.safetensors" if count == 1 else f"model-{number:05}-of-{count:05}.safetensors"


def _write_index(folder: Path, shards: list[list[str]], total: int) -> None:
    """In which file each tensor lies, where there are several."""
    placed = {name: _file_name(k, len(shards)) for k, names in enumerate(shards, 1) for name in names}
    if len(shards) > 1:
        runs.write_json(folder / "model.safetensors.index.json",
                        {"metadata": {"total_size": total}, "weight_map": dict(sorted(placed.items()))})


def _in_order(pool: ThreadPoolExecutor, pieces: Iterable[tuple[Any, ...]], ahead: int) -> Iterator[bytes]:
    """The bytes of each piece, computed a few ahead on all threads."""
    waiting: deque[Future[bytes]] = deque()
    for piece in pieces:
        waiting.append(pool.submit(_piece, *piece))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _write_rest(base: Path, folder: Path, types: dict[str, str]) -> None:
    for path in sorted(base.iterdir()):
        if path.is_file() and COPIED.fullmatch(path.name):
            shutil.copyfile(path, folder / path.name)
    _write_config(base, folder, types)


def _header(model: Model, types: dict[str, str]) -> bytes:
    entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, kind in types.items():
        start, end = end, end + _tensor_bytes(model, name, kind)
        entries[name] = {"dtype": kind, "shape": list(model.source_shape(name)), "data_offsets": [start, end]}
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % HEADER_STEP)
    return struct.pack("<Q", len(text)) + text


def _pieces(shape: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Rows (start, stop), so that only parts of a large tensor are in memory."""
    rows = max(1, AT_ONCE // max(1, math.prod(shape[1:]) * BLOCK_ROWS)) * BLOCK_ROWS
    for start in range(0, shape[0], rows):
        yield start, min(start + rows, shape[0])


def _piece(model: Model, name: str, kind: str, start: int, stop: int) -> bytes:
    packed = _packed(model.source_rows(name, start, stop), kind)
    if packed is None:
        raise UserError(f"The merged tensor {name} holds values that do not fit {TORCH_NAMES[kind]}; "
                        "export safetensors from a base in bfloat16 or float32.")
    return packed


def _packed(values: np.ndarray, kind: str) -> bytes | None:
    """float32 values as bytes of a type, rounded to the nearest, ties to even; None if one becomes infinite."""
    values = np.ascontiguousarray(values, "<f4")
    if kind == "F32":
        return values.tobytes()
    if kind == "F16":
        with np.errstate(over="ignore"):
            halves = values.astype("<f2")
        return halves.tobytes() if np.isfinite(halves).all() else None
    bits = values.view("<u4")
    rounded = ((bits + (np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1)))) >> np.uint32(16)).astype("<u2")
    return rounded.tobytes() if ((rounded & np.uint16(0x7F80)) != 0x7F80).all() else None


def _write_config(base: Path, folder: Path, types: dict[str, str]) -> None:
    """config.json as the base's, but for the type of the weights and a head that is no longer the embedding."""
    config = runs.read_json(base / "config.json")
    before = json.dumps(config)
    kinds = {TORCH_NAMES[kind] for kind in types.values()}
    has_head = any(name.endswith("lm_head.weight") for name in types)
    for part in (config, config.get("text_config")):
        if not isinstance(part, dict):
            continue
        for key in ("dtype", "torch_dtype"):
            if key in part and len(kinds) == 1:
                part[key] = next(iter(kinds))
        if has_head and (part is config or "tie_word_embeddings" in part):
            part["tie_word_embeddings"] = False
    if json.dumps(config) == before:
        shutil.copyfile(base / "config.json", folder / "config.json")
    else:
        runs.write_json(folder / "config.json", config)
