"""A GGUF LoRA adapter: checked against the base it is to change, then switched on in a context."""

import ctypes
import os
from pathlib import Path
from typing import Any

from models.errors import UserError
from models.header import Header, read_header
from runtime.context import Context
from runtime.llama import LOG, Model, lib

ENDINGS = (".lora_a", ".lora_b")
EMBEDDING, HEAD = "token_embd.weight", "output.weight"


class Adapter:
    """An adapter's weights in memory, usable in any context of its model."""

    def __init__(self, path: Path, model: Model):
        """Raises UserError if path is no adapter, or one for another base."""
        self.path = path
        check_adapter(read_header(path), model.header)
        LOG.lines.clear()
        self.handle: Any = lib.llama_adapter_lora_init(model.handle, os.fsencode(path))
        if not self.handle:
            raise UserError(f"llama.cpp can not use the adapter {path.name}: {LOG.last_error() or 'it gave no reason'}")

    def close(self) -> None:
        """Give the memory back; no context may use it any more."""
        if self.handle:
            lib.llama_adapter_lora_free(self.handle)
            self.handle = None

    def switch_on(self, context: Context) -> None:
        """Let every batch of context compute with the adapter, at the strength the file asks for."""
        adapters = (lib.llama_adapter_lora_p_ctypes * 1)(self.handle)
        status = lib.llama_set_adapters_lora(context.handle, adapters, 1, (ctypes.c_float * 1)(1.0))
        if status != 0:
            raise RuntimeError(f"llama_set_adapters_lora returned {status}")


def check_adapter(adapter: Header, base: Header) -> None:
    """Raise UserError unless every pair of adapter fits a tensor of base."""
    name, kind = adapter.path.name, adapter.metadata.get("general.type")
    if kind != "adapter" or adapter.metadata.get("adapter.type") != "lora":
        raise UserError(f"{name} is no LoRA adapter: its type is {kind or 'not given'!r}.")
    if adapter.architecture != base.architecture:
        raise UserError(f"The adapter {name} was made for a {adapter.architecture} model, and {base.path.name} is a "
                        f"{base.architecture} model.")
    shapes = {tensor.name: tensor.shape for tensor in base.tensors}
    pairs: dict[str, dict[str, tuple[int, ...]]] = {}
    for tensor in adapter.tensors:
        target, ending = tensor.name[:-len(ENDINGS[0])], tensor.name[-len(ENDINGS[0]):]
        if ending not in ENDINGS:
            raise UserError(f"The adapter {name} holds the tensor {tensor.name[:80]!r}, which is no half of a pair.")
        pairs.setdefault(target, {})[ending] = tensor.shape
    if not pairs:
        raise UserError(f"The adapter {name} changes nothing: it holds no tensors.")
    for target, halves in pairs.items():
        if len(halves) != 2:
            raise UserError(f"The adapter {name} holds only one half of the pair for {target!r}.")
        if target not in shapes:
            raise UserError(f"The adapter {name} was made for another base: {base.path.name} has no tensor {target!r}.")
        if target == EMBEDDING and HEAD not in shapes:      # llama.cpp would abort: it has one name for both
            raise UserError(f"The adapter {name} changes the embedding, which is also the output head of "
                            f"{base.path.name}; llama.cpp can not compute that. Merge it into the model instead.")
        _check_pair(name, target, halves[ENDINGS[0]], halves[ENDINGS[1]], shapes[target], base)


def _check_pair(name: str, target: str, a: tuple[int, ...], b: tuple[int, ...], shape: tuple[int, ...],
                base: Header) -> None:
    """GGUF order: base (in, out), a (in, rank), b (rank, out); for embeddings a and b are transposed."""
    fits = len(a) == len(b) == len(shape) == 2
    if fits and target.endswith(EMBEDDING):
        fits = b[1] == shape[0] and a[1] == shape[1] and a[0] == b[0]
    elif fits:
        fits = a[0] == shape[0] and b[1] == shape[1] and a[1] == b[0]
    if not fits:
        raise UserError(f"The adapter was made for another base: {name} has {list(a)} and {list(b)} for {target!r}, "
                        f"whose shape in {base.path.name} is {list(shape)}.")
