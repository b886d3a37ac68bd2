"""A transformers model whose layers are read from its safetensors one at a time. Workers only."""

import io
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
from models.checkpoint import Entry, read_header
from models.errors import UserError
from runtime.ends import Change, Ends, apply

FAMILIES = {"gemma", "gemma2", "gemma3_text", "gemma3", "llama", "qwen3"}   # each tried against the whole model
FLOATS = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
EMBEDDING = "embed_tokens.weight"
READ_BYTES = 1 << 24               # of a file at once
HEAD_NUMBERS = 1 << 25              # of the output head in memory at once
GROUP_BYTES = 1 << 29               # states and masks of the rows that share one reading of the layers


class Checkpoint:
    """The tensors of a model folder, read as float32."""

    def __init__(self, base: Path):
        """Read the headers. Raises UserError if a file is damaged or cut short."""
        self.base = base
        self.entries: dict[str, Entry] = {}
        self._raw = torch.empty(READ_BYTES, dtype=torch.uint8)
        for path in weight_files(base):
            self.entries |= read_header(path)

    @property
    def numbers(self) -> int:
        """How many numbers all tensors hold together."""
        return sum(prod(entry.shape) for entry in self.entries.values())

    @property
    def embedding_rows(self) -> int:
        """Rows of the embedding in the files, whatever config.json says; 0 where it has another name."""
        return max((e.shape[0] for name, e in self.entries.items() if name.endswith(EMBEDDING) and e.shape), default=0)

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

    def check(self, name: str, shape: tuple[int, ...], is_trimmed: bool = False) -> None:
        """Raise UserError unless the tensor is of floats and of this shape; is_trimmed: it may have more rows."""
        entry = self.entries[name]
        entry.check_is_float(name)
        is_longer = is_trimmed and entry.shape[1:] == shape[1:] and entry.shape[0] > shape[0]
        if entry.shape != shape and not is_longer:
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
        self.changes: list[Change] = []

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        logits = hidden.new_empty(*hidden.shape[:-1], self.out_features)
        step = max(1, HEAD_NUMBERS // self.in_features)
        weights = hidden.new_empty(min(step, self.out_features), self.in_features)
        for start in range(0, self.out_features, step):
            part = weights[:self.out_features - start]
            self.checkpoint.read(self.name, part, start)
            part = apply(self.changes, part, torch.arange(start, start + len(part)))
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

    def __init__(self, checkpoint: Checkpoint, adapts: Sequence[Callable[[Any], Any]] = (),
                 progress: Callable[[int, int], None] | None = None):
        """adapts: each puts one adapter on an empty model, in order. progress(layers done, of) is called after each
        layer. Raises UserError if a tensor is missing or does not belong.
        """
        self._checkpoint, self._progress = checkpoint, progress
        model = _empty_model(checkpoint.base)
        names = checkpoint.names(model)
        self.head_name = head_name(model, names)
        embedding, head, ends = self._stream_ends(model, names)
        places = _places(checkpoint, model, names)
        self._earlier = [Stage(checkpoint, adapt, ends) for adapt in adapts[:-1]]
        if adapts:
            model, places = _adapted(model, places, adapts[-1])
            ends.take(model)
        for place in [*places, embedding]:
            place.clear()
        head.changes = ends.head
        self._stream_embedding(embedding, ends.embedding)
        self.model = model.eval()
        self.linears = linears(model, names)
        decoder = model.get_decoder()
        self._norm, self._layers = decoder.norm, list(decoder.layers)
        self._weights = [_inside(layer, places) for layer in self._layers]
        self._buffers: dict[tuple[int, tuple[int, ...]], torch.Tensor] = {}
        with torch.inference_mode():
            self._fill(_inside(self._norm, places), lambda _k, shape: torch.empty(shape))
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

    def release_layers(self) -> None:
        """Keep no layer alive, and no memory that a layer was read into."""
        self.linears, self._layers, self._weights, self._buffers, self._earlier = {}, [], [], {}, []

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
            # the same memory for each layer: allocated anew each time, a 1B model's heap grew by 2 GB a pass
            self._fill(self._weights[index], self._buffer)
            yield
        finally:
            for place in self._weights[index]:
                place.clear()

    def _buffer(self, number: int, shape: tuple[int, ...]) -> torch.Tensor:
        """The memory for the tensor of that number within a layer."""
        if (number, shape) not in self._buffers:
            self._buffers[number, shape] = torch.empty(shape)
        return self._buffers[number, shape]

    def _fill(self, places: list[Place], buffer: Callable[[int, tuple[int, ...]], torch.Tensor]) -> None:
        """Read the places' tensors into buffers, and let them go through the earlier adapters."""
        values = {place.name: buffer(k, place.shape) for k, place in enumerate(places)}
        for place in places:
            self._checkpoint.read(place.name, values[place.name])
        for stage in self._earlier:
            stage.merge(values)
        for place in places:
            place.put(values[place.name])

    def _stream_ends(self, model: Any, names: dict[str, str]) -> tuple[Place, StreamedHead, Ends]:
        """Give the model a head that reads itself; returned with the place of the input embedding."""
        inner, outer = model.get_input_embeddings(), model.get_output_embeddings()
        path = {module: f"{name}.weight" for name, module in model.named_modules() if module in (inner, outer)}
        is_tied = path[outer] in model.all_tied_weights_keys
        found = [names.get(path[inner]) or (names.get(path[outer]) if is_tied else None),
                 names.get(path[outer]) or (names.get(path[inner]) if is_tied else None)]
        for name, module in zip(found, (inner, outer), strict=True):
            if name is None:
                raise _lacks(self._checkpoint, path[module])
            self._checkpoint.check(name, tuple(module.weight.shape), is_trimmed=True)
        head = StreamedHead(self._checkpoint, str(found[1]), tuple(outer.weight.shape))
        model.set_output_embeddings(head)
        embedding = Place(module=inner, attribute="weight", name=str(found[0]), shape=tuple(inner.weight.shape))
        return embedding, head, Ends(is_tied)

    def _stream_embedding(self, place: Place, changes: list[Change]) -> None:
        """Let the input embedding read the rows that it is asked for."""
        def fill(_module: Any, args: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
            ids, where = args[0].unique(return_inverse=True)
            place.put(apply(changes, self._checkpoint.rows(place.name, ids.tolist()), ids))
            return (where,)

        def clear(*_: Any) -> None:
            place.clear()

        place.module.padding_idx = None                 # only gradients know it, and it is no row of the few
        place.module.register_forward_pre_hook(fill)
        place.module.register_forward_hook(clear)


class Stage:
    """An adapter that later ones were trained on: an empty model with it, through which weights pass and are merged."""

    def __init__(self, checkpoint: Checkpoint, adapt: Callable[[Any], Any], ends: Ends):
        """ends: also gets what the adapter does to embedding and head."""
        model = _empty_model(checkpoint.base)
        every = _places(checkpoint, model, checkpoint.names(model))
        model, empty = _adapted(model, every, adapt)
        ends.take(model)
        for place in empty:
            place.clear()
        self._places = {place.name: place for place in every}
        self._empty = set(map(id, empty))
        # the layer of peft's around each module, and what stands in for it where it was trained as a copy
        self._wrappers: dict[Any, Any] = {}
        self._copies: dict[Any, Any] = {}
        for module in model.modules():
            if hasattr(module, "base_layer"):
                self._wrappers[module.base_layer] = module
            for copied in getattr(module, "modules_to_save", {}).values():
                for path, inner in module.original_module.named_modules():
                    self._copies[inner] = copied.get_submodule(path)

    def merge(self, values: dict[str, torch.Tensor]) -> None:
        """Change values, {tensor of the files: its numbers} of whole modules, in place."""
        places = {name: self._places[name] for name in values}
        for name, place in places.items():
            if id(place) in self._empty:
                place.put(values[name])
        for wrapper in {self._wrappers[place.module] for place in places.values() if place.module in self._wrappers}:
            wrapper.merge()
            wrapper.merged_adapters.clear()
        for name, place in places.items():
            module = self._copies.get(place.module, place.module)
            merged = getattr(module, place.attribute).data
            if merged.data_ptr() != values[name].data_ptr():
                values[name].copy_(merged)
            if id(place) in self._empty:
                place.clear()


def _inside(module: Any, places: list[Place]) -> list[Place]:
    """The places of a module and all within."""
    inside = set(module.modules())
    return [place for place in places if place.module in inside]


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
    return model, [place for place, zero in zip(places, zeros, strict=True)
                   if getattr(place.module, place.attribute) is zero]


def _lacks(checkpoint: Checkpoint, weight: str) -> UserError:
    return UserError(f"{checkpoint.base} lacks the tensor {weight}; copy or download the model again.")
