"""A transformers model whose layers are read from its safetensors one at a time. Workers only."""

import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import WeightConverter, WeightRenaming, rename_source_key

from models.base import weight_files
from models.errors import UserError

FAMILIES = {"gemma", "gemma2", "gemma3_text", "gemma3", "llama", "qwen3"}   # each tried against the whole model
FLOATS = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
READ_BYTES = 1 << 24               # of a file at once
HEAD_NUMBERS = 1 << 25              # of the output head in memory at once
GROUP_BYTES = 1 << 29               # states and masks of the rows that share one reading of the layers


@dataclass(frozen=True, kw_only=True)
class Entry:
    """Where one tensor lies; start is in bytes from the start of the file."""
    path: Path
    dtype: str
    shape: tuple[int, ...]
    start: int


class Checkpoint:
    """The tensors of a model folder, read as float32.

    Source: the safetensors format (huggingface/safetensors, README). Read here and not by the library: that either
    maps the file, which Windows charges whole to this process, or reads a whole tensor for one row of it.
    """

    def __init__(self, base: Path):
        """Read the headers. Raises UserError if a file is damaged or cut short."""
        self.base = base
        self.entries: dict[str, Entry] = {}
        self._raw = torch.empty(READ_BYTES, dtype=torch.uint8)
        for path in weight_files(base):
            try:
                self.entries |= _read_header(path)
            except (ValueError, KeyError, TypeError) as error:
                raise UserError(f"{path} is no whole safetensors file ({error}); copy or download it "
                                "again.") from None

    @property
    def numbers(self) -> int:
        """How many numbers all tensors hold together."""
        return sum(prod(entry.shape) for entry in self.entries.values())

    def names(self, model: Any) -> dict[str, str]:
        """{parameter of the model: tensor of the files} for each tensor that is a parameter as it stands.

        The renaming is transformers' own (old vision checkpoints, folders saved without the head).
        """
        changes = get_model_conversion_mapping(model)
        renamings = [change for change in changes if isinstance(change, WeightRenaming)]
        converters = [change for change in changes if isinstance(change, WeightConverter)]
        known, names = model.state_dict(), {}
        for name in self.entries:
            new, joined = rename_source_key(name, renamings, converters, model.base_model_prefix, known)
            if joined is None:
                names[name if new not in known and name in known else new] = name
        return names

    def check(self, name: str, shape: tuple[int, ...]) -> None:
        """Raise UserError unless the tensor is of floats and of this shape."""
        entry = self.entries[name]
        if entry.dtype not in FLOATS:
            raise UserError(f"The tensor {name} in {entry.path.name} is of type {entry.dtype}; weights must be 32-bit "
                            "or 16-bit floats. Use the original model, not a quantized copy.")
        if entry.shape != shape:
            raise UserError(f"The tensor {name} in {self.base} has the shape {list(entry.shape)}, and config.json "
                            f"makes it {list(shape)}; the two do not belong together.")

    def read(self, name: str, into: torch.Tensor, start: int = 0) -> None:
        """Fill into (rows, ...), float32, with the tensor's rows from start on."""
        entry = self.entries[name]
        dtype, flat = FLOATS[entry.dtype], into.view(-1)
        step = READ_BYTES // dtype.itemsize
        with entry.path.open("rb", buffering=0) as file:
            file.seek(entry.start + start * prod(entry.shape[1:]) * dtype.itemsize)
            for done in range(0, len(flat), step):
                part = flat[done:done + step]
                raw = self._raw[:len(part) * dtype.itemsize]
                _fill(file, memoryview(raw.numpy()))
                part.copy_(raw.view(dtype))

    def rows(self, name: str, ids: list[int]) -> torch.Tensor:
        """The rows called ids of a matrix: (len(ids), width) float32."""
        entry = self.entries[name]
        dtype, width = FLOATS[entry.dtype], entry.shape[1] * FLOATS[entry.dtype].itemsize
        raw = bytearray()
        with entry.path.open("rb") as file:
            for k in ids:
                file.seek(entry.start + k * width)
                raw += file.read(width)
        return torch.frombuffer(raw, dtype=dtype).view(len(ids), -1).float()


def _fill(file: io.RawIOBase, left: memoryview) -> None:
    while left:
        count = file.readinto(left)
        if not count:
            raise UserError("A weight file has become shorter while it was read; copy or download it again.")
        left = left[count:]


def _read_header(path: Path) -> dict[str, Entry]:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        size = path.stat().st_size
        if not 2 <= length <= size - 8:
            raise ValueError(f"its header would be {length:,} bytes long")
        header = json.loads(file.read(length))
    entries = {}
    for name, value in header.items():
        if name != "__metadata__":
            start, end = (8 + length + int(at) for at in value["data_offsets"])
            shape, dtype = tuple(map(int, value["shape"])), str(value["dtype"])
            if end > size or dtype in FLOATS and end - start != prod(shape) * FLOATS[dtype].itemsize:
                raise ValueError(f"the tensor {name} ends at {end:,} and the file at {size:,} bytes")
            entries[name] = Entry(path=path, dtype=dtype, shape=shape, start=start)
    return entries


def linears(model: Any, names: dict[str, str]) -> dict[str, Any]:
    """{tensor of the files: module} of each linear layer, also where peft has wrapped it; a tied head: lm_head.weight.

    names: as Checkpoint.names gives them for the model without adapter.
    """
    found = {}
    for path, module in model.named_modules():
        if isinstance(module, torch.nn.Linear) and ".lora_" not in path and ".original_module" not in path:
            weight = re.sub(r"\.base_layer\b|\.modules_to_save\.\w+", "", path) + ".weight"
            found[names.get(weight, weight)] = module
    return found


def head_name(model: Any, names: dict[str, str]) -> str:
    """The output head's key in linears()."""
    head = model.get_output_embeddings()
    weight = next(path for path, module in model.named_modules() if module is head) + ".weight"
    return names.get(weight, weight)


@dataclass(frozen=True, kw_only=True)
class Place:
    """One parameter of the model, and the tensor that belongs into it."""
    module: Any
    attribute: str
    name: str
    shape: tuple[int, ...]

    def put(self, values: torch.Tensor) -> torch.nn.Parameter:
        """Make values the parameter."""
        parameter = torch.nn.Parameter(values, requires_grad=False)
        setattr(self.module, self.attribute, parameter)
        return parameter

    def clear(self) -> None:
        """Leave a parameter without storage; to compute with it is an error."""
        self.put(torch.empty(self.shape, device="meta"))


class StreamedHead(torch.nn.Linear):
    """The output head, read in parts for each call."""

    def __init__(self, checkpoint: Checkpoint, name: str, shape: tuple[int, ...]):
        super().__init__(shape[1], shape[0], bias=False, device="meta")
        self.checkpoint, self.name = checkpoint, name

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        if not self.weight.is_meta:                     # trained in full: the adapter holds it
            return super().forward(hidden)
        logits = hidden.new_empty(*hidden.shape[:-1], self.out_features)
        step = max(1, HEAD_NUMBERS // self.in_features)
        weights = hidden.new_empty(min(step, self.out_features), self.in_features)
        for start in range(0, self.out_features, step):
            part = weights[:self.out_features - start]
            self.checkpoint.read(self.name, part, start)
            logits[..., start:start + len(part)] = torch.nn.functional.linear(hidden, part)
        return logits


class NotedLayer(torch.nn.Module):
    """Stands for each decoder layer: notes how the model calls it, and hands the state through.

    So masks, positions and windows are the model's own, for each family.
    """

    def __init__(self) -> None:
        super().__init__()
        self.first: torch.Tensor | None = None
        self.calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def forward(self, hidden: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        if not self.calls:
            self.first = hidden
        self.calls.append((args, kwargs))
        return hidden


class Layerwise:
    """model without its layers' weights; hidden() brings them in one layer at a time."""

    def __init__(self, checkpoint: Checkpoint, adapt: Callable[[Any], Any] | None,
                 progress: Callable[[int, int], None] | None = None):
        """adapt: puts the adapter on an empty model. progress(layers done, of) is called after each layer.

        Raises UserError if a tensor is missing or does not belong.
        """
        self._checkpoint, self._progress = checkpoint, progress
        model = _empty_model(checkpoint.base)
        names = checkpoint.names(model)
        self.head_name = head_name(model, names)
        embedding = self._stream_ends(model, names)
        places = _places(checkpoint, model, names)
        if adapt:
            model, places = _adapted(model, places, adapt)
        for place in places:
            place.clear()
        if any(place.module is embedding.module for place in places):
            self._stream_embedding(embedding)
        self.model = model.eval()
        self.linears = linears(model, names)
        decoder = model.get_decoder()
        self._norm, self._layers = decoder.norm, list(decoder.layers)
        self._weights = [[place for place in places if place.module in inside]
                         for inside in (set(layer.modules()) for layer in self._layers)]
        for place in places:
            if place.module in set(self._norm.modules()):
                checkpoint.read(place.name, place.put(torch.empty(place.shape)))
        self._buffers: dict[tuple[int, tuple[int, ...]], torch.Tensor] = {}
        self._noted = NotedLayer()
        decoder.layers = torch.nn.ModuleList([self._noted] * len(self._layers))

    def hidden(self, rows: Sequence[list[int]], caches: Sequence[Any], sums: Any = None) -> Iterator[torch.Tensor]:
        """What the head gets for each row: (T, width) float32. caches: one of the row's past each, or None.

        The layers are read once for as many rows as fit GROUP_BYTES. sums: a reference.ActivationSums.
        """
        width = self._norm.weight.shape[0]
        start = 0
        while start < len(rows):
            end, size = start, 0
            while end < len(rows) and (end == start or size <= GROUP_BYTES):
                size += 4 * len(rows[end]) * (2 * len(rows[end]) + 2 * width)
                end += 1
            yield from self._group(rows[start:end], caches[start:end], sums)
            start = end

    @torch.inference_mode()
    def _group(self, rows: Sequence[list[int]], caches: Sequence[Any], sums: Any) -> list[torch.Tensor]:
        body = getattr(self.model, self.model.base_model_prefix)
        states, calls = [], []
        for row, cache in zip(rows, caches, strict=True):
            self._noted.calls = []
            made = body(input_ids=torch.tensor([row]), past_key_values=cache, use_cache=cache is not None)
            self.output = type(made)
            states.append(self._noted.first)
            calls.append(self._noted.calls)
        with sums.watching(self.linears) if sums else nullcontext():
            for index, layer in enumerate(self._layers):
                with self._loaded(index):
                    for k, state in enumerate(states):
                        args, kwargs = calls[k][index]
                        states[k] = layer(state, *args, **kwargs)
                if self._progress:
                    self._progress(index + 1, len(self._layers))
        return [self._norm(state)[0] for state in states]

    @contextmanager
    def _loaded(self, index: int) -> Iterator[None]:
        try:
            for k, place in enumerate(self._weights[index]):
                # the same memory for each layer: allocated anew each time, a 1B model's heap grew by 2 GB a pass
                if (k, place.shape) not in self._buffers:
                    self._buffers[k, place.shape] = torch.empty(place.shape)
                self._checkpoint.read(place.name, place.put(self._buffers[k, place.shape]))
            yield
        finally:
            for place in self._weights[index]:
                place.clear()

    def _stream_ends(self, model: Any, names: dict[str, str]) -> Place:
        """Give the model a head that reads itself; the place of the input embedding is returned."""
        inner, outer = model.get_input_embeddings(), model.get_output_embeddings()
        path = {module: f"{name}.weight" for name, module in model.named_modules() if module in (inner, outer)}
        is_tied = path[outer] in model.all_tied_weights_keys
        found = [names.get(path[inner]) or (names.get(path[outer]) if is_tied else None),
                 names.get(path[outer]) or (names.get(path[inner]) if is_tied else None)]
        for name, module in zip(found, (inner, outer), strict=True):
            if name is None:
                raise _lacks(self._checkpoint, path[module])
            self._checkpoint.check(name, tuple(module.weight.shape))
        model.set_output_embeddings(StreamedHead(self._checkpoint, str(found[1]), tuple(outer.weight.shape)))
        return Place(module=inner, attribute="weight", name=str(found[0]), shape=tuple(inner.weight.shape))

    def _stream_embedding(self, place: Place) -> None:
        """Let the input embedding read the rows that it is asked for."""
        def fill(_module: Any, args: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
            ids, where = args[0].unique(return_inverse=True)
            place.put(self._checkpoint.rows(place.name, ids.tolist()))
            return (where,)

        def clear(*_: Any) -> None:
            place.clear()

        place.module.padding_idx = None                 # only gradients know it, and it is no row of the few
        place.module.register_forward_pre_hook(fill)
        place.module.register_forward_hook(clear)


def _empty_model(base: Path) -> Any:
    """The model of config.json without weights; what it computes from the config alone (positions, scales) is there."""
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(
            transformers.AutoConfig.from_pretrained(base), dtype=torch.float32, attn_implementation="eager")
    for name, buffer in list(model.named_non_persistent_buffers()):
        path, _, attribute = name.rpartition(".")
        setattr(model.get_submodule(path), attribute, torch.empty_like(buffer, device="cpu"))
    model.initialize_weights()                          # does nothing to what has no storage
    return model


def _places(checkpoint: Checkpoint, model: Any, names: dict[str, str]) -> list[Place]:
    """Every parameter; those that text passes through are checked against the files."""
    decoder = model.get_decoder()
    used, places = set(decoder.layers.modules()) | {decoder.norm}, []
    for path, module in model.named_modules():
        for attribute, parameter in module.named_parameters(recurse=False):
            weight, shape = f"{path}.{attribute}", tuple(parameter.shape)
            if module in used and weight not in names:
                raise _lacks(checkpoint, weight)
            if module in used:
                checkpoint.check(names[weight], shape)
            places.append(Place(module=module, attribute=attribute, name=names.get(weight, weight), shape=shape))
    return places


def _adapted(model: Any, places: list[Place], adapt: Callable[[Any], Any]) -> tuple[Any, list[Place]]:
    """The model with its adapter, and the places that the adapter has not filled itself (biases, embeddings).

    peft moves its matrices to where the base weights are, so these are zeros of one number for that moment.
    """
    zeros = [place.put(torch.zeros(()).expand(place.shape)) for place in places]
    model = adapt(model)
    for path, module in model.named_modules():
        is_end = isinstance(getattr(module, "base_layer", None), StreamedHead | torch.nn.Embedding)
        if is_end and getattr(module, "lora_magnitude_vector", None):
            raise UserError(f"This adapter uses DoRA on {path}, which needs that whole matrix in memory, and this "
                            "machine has too little free for it; close other programs.")
    return model, [place for place, zero in zip(places, zeros, strict=True)
                   if getattr(place.module, place.attribute) is zero]


def _lacks(checkpoint: Checkpoint, weight: str) -> UserError:
    return UserError(f"{checkpoint.base} lacks the tensor {weight}; copy or download the model again.")
