"""A LoRA adapter as GGUF: its pairs of matrices by themselves, to be switched on and off beside one loaded base."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from convert.adapter import EMBED, Adapter, LowRank
from convert.adapter import HEAD as HEAD_MODULE
from convert.families import find_family
from convert.families.tensor import Tensor
from convert.gguf import ADDERS
from convert.metadata import general
from convert.model import MergedModel
from models import base as base_folder
from models import runs
from models.errors import UserError

EMBEDDING, HEAD = "token_embd.weight", "output.weight"
APPLIED = (EMBEDDING, HEAD, *(f"blk.*.{name}.weight" for name in (      # where llama.cpp adds an adapter's product
    "attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")))
INSTEAD = "Export the merged model instead."
OTHER_BASE = "This adapter was trained on another base model:"
HUB_ADDRESS = re.compile(r"https://huggingface\.co/[\w.-]+/[\w.-]+")
HEADER_BYTES, TABLE_BYTES = 1 << 16, 128            # at most: of the keys; of a tensor's entry and padding
COMPARED_ROWS = 4096


@dataclass(frozen=True, kw_only=True)
class Pair:
    """What some adapters, in order, do to one matrix of the base. Side by side, their ranks add up to the sum."""
    tensor: Tensor
    parts: tuple[tuple[Adapter, str], ...]      # with the module's canonical name

    @property
    def rank(self) -> int:
        return sum(adapter.low_rank[module].rank for adapter, module in self.parts)

    @property
    def shapes(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Of a and b, rows first: (rank, in) and (out, rank); for the embedding (rows, rank) and (width, rank)."""
        rows, columns = self.tensor.shape
        if self.tensor.name == EMBEDDING:
            return (rows, self.rank), (columns, self.rank)
        return (self.rank, columns), (rows, self.rank)

    def values(self, alpha: float) -> tuple[np.ndarray, np.ndarray]:
        """a and b in float32, such that alpha / rank times their product is the change.

        b takes on what an adapter's scale differs by: rsLoRA, patterns, its share of the rank.
        """
        halves = [adapter.pair(module) for adapter, module in self.parts]
        a = np.concatenate([a for a, _, _ in halves])
        b = np.concatenate([b * np.float32(scale * self.rank / alpha) for _, b, scale in halves], axis=1)
        rows = self.tensor.shape[0]
        if self.tensor.name == EMBEDDING:
            return a.T[:rows], b
        return a, b[_row_order(self.tensor)] if self.tensor.transform else b[:rows]


class LoraFile:
    """One adapter file before it is written. bytes: what it takes at most."""

    def __init__(self, base: MergedModel, folder: Path, adapters: Sequence[Path], title: str):
        """base: the model in folder without adapters; adapters: PEFT folders, applied in order.

        Raises UserError for what pairs of matrices can not hold, what llama.cpp would not compute with, an adapter
        for another base, and a family for which adapters are not offered.
        """
        if not adapters:
            raise UserError(f"{folder} is a model without an adapter, so there is none to write; choose another type.")
        family = find_family(base_folder.family(folder))
        if not family.has_lora:
            raise UserError(f"Adapters for models of the family {family.architecture} can not be written as GGUF. "
                            f"{INSTEAD}")
        opened = [Adapter(path, family.canonical) for path in adapters]
        self.pairs = _pairs(base, opened)
        for adapter in opened:
            if adapter.beyond_lora:
                raise UserError(f"The adapter {adapter.folder} uses {adapter.beyond_lora}, which an adapter as GGUF "
                                f"can not hold. {INSTEAD}")
            _check_copies(adapter, base)
        self.architecture = family.architecture
        self.alpha = float(opened[0].config["lora_alpha"]) or 1.0       # llama.cpp takes 0 for "as it is"
        self.metadata = _metadata(adapters[-1], title) | {"adapter.lora.alpha": self.alpha}
        self.bytes = HEADER_BYTES + sum(TABLE_BYTES + 4 * math.prod(shape)
                                        for pair in self.pairs for shape in pair.shapes)

    def write(self, path: Path, progress: Callable[[int, int], None]) -> None:
        """Write the file, pair by pair; it appears whole or not at all. progress(done, of) may raise to stop.

        In float32, as upstream by default: an adapter is small, and so nothing is lost.
        """
        with runs.whole_file(path) as part:
            writer = gguf.GGUFWriter(part, self.architecture)
            try:
                self._write(writer, progress)
            finally:
                writer.close()

    def exact_bytes(self, folder: Path) -> int:
        """The size that write() will give. folder: where the file's header lies for a moment."""
        path = folder / "adapter-header.gguf"
        writer = gguf.GGUFWriter(path, self.architecture)
        try:
            self._write_head(writer)
        finally:
            writer.close()
        sizes = [path.stat().st_size, *(4 * math.prod(shape) for pair in self.pairs for shape in pair.shapes)]
        path.unlink()
        return sum(gguf.GGUFWriter.ggml_pad(size, writer.data_alignment) for size in sizes)

    def _write_head(self, writer: gguf.GGUFWriter) -> None:
        for key, value in self.metadata.items():
            getattr(writer, ADDERS[type(value)])(key, value)
        writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
        for pair in self.pairs:
            for half, shape in zip("ab", pair.shapes, strict=True):
                writer.add_tensor_info(f"{pair.tensor.name}.lora_{half}", shape, np.dtype(np.float32),
                                       4 * math.prod(shape))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()

    def _write(self, writer: gguf.GGUFWriter, progress: Callable[[int, int], None]) -> None:
        self._write_head(writer)
        assert writer.fout
        for done, pair in enumerate(self.pairs):
            progress(done, len(self.pairs))
            for values in pair.values(self.alpha):      # not by write_tensor_data: it hides that a disk is full
                writer.write_padding(writer.fout[0], writer.fout[0].tell())
                writer.fout[0].write(np.ascontiguousarray(values).data)
                writer.write_padding(writer.fout[0], values.nbytes)


def _pairs(base: MergedModel, adapters: Sequence[Adapter]) -> list[Pair]:
    """The pairs of the file, in the order of the base's tensors. Raises UserError for one that has no place in it."""
    by_module = {t.source.removesuffix(".weight"): t for t in base.plan.tensors if t.source.endswith(".weight")}
    has_head = any(t.name == HEAD for t in base.plan.tensors)
    seeing = {t.source.removesuffix(".weight") for t in base.projector_plan.tensors} if base.projector_plan else ()
    for adapter in adapters:
        for module, low_rank in adapter.low_rank.items():
            if module in (EMBED, HEAD_MODULE) and not has_head:
                raise UserError(f"The adapter {adapter.folder} changes {module}, and this base has one matrix for its "
                                f"embedding and its head: llama.cpp can not change one of them alone. {INSTEAD}")
            if module in seeing:
                raise UserError(f"The adapter {adapter.folder} changes {module}, a part of the vision tower, which an "
                                f"adapter as GGUF can not reach. {INSTEAD}")
            if module not in by_module:
                raise UserError(f"{OTHER_BASE} it changes {module}, which the base's language model does not have. "
                                "Give the base it was trained on.")
            _check_place(adapter, module, low_rank, by_module[module])
    found = ((t, [(a, module) for a in adapters if module in a.low_rank]) for module, t in by_module.items())
    return [Pair(tensor=t, parts=tuple(parts)) for t, parts in found if parts]


def _check_place(adapter: Adapter, module: str, low_rank: LowRank, tensor: Tensor) -> None:
    """Raise UserError unless llama.cpp computes with a pair for tensor, and this one has its shape."""
    if not any(fnmatchcase(tensor.name, pattern) for pattern in APPLIED):
        raise UserError(f"The adapter {adapter.folder} changes {module}, where llama.cpp applies no adapter. {INSTEAD}")
    a, b = (adapter.weights.entries[name].shape for name in (low_rank.a, low_rank.b))
    shape, wanted = ((a[1], b[0]) if low_rank.is_embedding else (b[0], a[1])), tensor.source_shape or tensor.shape
    is_longer = tensor.is_trimmed and shape[0] > wanted[0] and shape[1] == wanted[1]
    if low_rank.is_embedding != (tensor.name == EMBEDDING) or (shape != wanted and not is_longer):
        raise UserError(f"{OTHER_BASE} for {module} it was made for {list(shape)}, and this base has {list(wanted)}. "
                        "Give the base it was trained on.")


def _check_copies(adapter: Adapter, base: MergedModel) -> None:
    """Raise UserError if a tensor that the adapter has in full is not the base's own: peft saves copies of some."""
    names = {t.source for t in base.plan.tensors}
    for tensor, name in adapter.overwritten.items():
        shape = adapter.weights.entries[name].shape
        is_same = tensor in names and base.source_shape(tensor) == shape
        for start in range(0, shape[0] if is_same else 0, COMPARED_ROWS):
            stop = min(start + COMPARED_ROWS, shape[0])
            is_same = is_same and np.array_equal(adapter.weights.read_rows(name, start, stop),
                                                 base.source_rows(tensor, start, stop))
        if not is_same:
            raise UserError(f"The adapter {adapter.folder} holds {tensor} trained in full, which an adapter as GGUF "
                            f"can not hold. {INSTEAD}")


def _row_order(tensor: Tensor) -> np.ndarray:
    """Where each row of the tensor comes from, asked of what reorders them (Llama's queries and keys)."""
    assert tensor.transform
    rows = np.arange(tensor.shape[0], dtype=np.float32)[:, None]        # whole numbers are exact to 16 million
    order = tensor.transform(rows)[:, 0].astype(np.int64)
    assert np.array_equal(np.sort(order), np.arange(len(rows))), f"{tensor.name} is not reordered, but changed"
    return order


def _metadata(folder: Path, title: str) -> dict[str, Any]:
    """The general.* keys that upstream writes, without the places on this machine that peft puts into a model card."""
    keys = general(folder, title, [])
    base = "general.base_model."
    if not HUB_ADDRESS.fullmatch(keys.get(f"{base}0.repo_url", "")):
        keys = {key: value for key, value in keys.items() if not key.startswith(base)}
        tags = [tag for tag in keys.pop("general.tags", []) if not tag.startswith("base_model:")]
        keys |= {"general.tags": tags} if tags else {}
    return {"general.type": "adapter", "adapter.type": "lora"} | {
        key: value for key, value in keys.items() if key != "general.type"}
