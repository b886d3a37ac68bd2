"""The weights of a base with adapters folded in, in float32 and by rows; equal to peft's merge_and_unload.

Every row is computed in the same blocks whoever asks for it, so that a matrix read by rows has the very bits of the
matrix read whole.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Protocol, TypeVar

import numpy as np

from convert.adapter import EMBED, HEAD, Adapter, LowRank, Tokens
from convert.weights import Weights
from models.errors import UserError

T = TypeVar("T")
BLOCK_ROWS = 32                 # few, since what asks may begin and end anywhere


class Step(Protocol):
    """One change of a tensor."""

    def apply(self, values: np.ndarray, start: int) -> None:
        """Change values, the tensor's rows from start on (a multiple of BLOCK_ROWS), in place."""


@dataclass(eq=False)
class Stored:
    """One tensor of the merged model: where it is read, and what is done to it, in order.

    Two names may lead to the same one: a head that is tied to the embedding.
    """
    weights: Weights
    name: str                   # in the files of weights
    steps: list[Step] = field(default_factory=list)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.weights.entries[self.name].shape

    def rows(self, start: int, stop: int, steps: Sequence[Step]) -> np.ndarray:
        """Rows start to stop after steps, a new float32 array."""
        if not steps:
            return self.weights.read_rows(self.name, start, stop)
        first = start - start % BLOCK_ROWS
        values = self.weights.read_rows(self.name, first, min(-(-stop // BLOCK_ROWS) * BLOCK_ROWS, self.shape[0]))
        for step in steps:
            step.apply(values, first)
        return values[start - first:stop - first]


@dataclass(frozen=True)
class Delta:
    """scale * B @ A of one pair, for the rows of the matrix that it changes. Source: LoRA, arXiv:2106.09685, eq. 3."""
    weights: Weights
    pair: LowRank

    def blocks(self, values: np.ndarray, start: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(block of values, delta of the same shape) for all rows of values, which begin at row start."""
        stop, pair = start + len(values), self.pair
        if pair.is_embedding:               # stored the other way round
            left = np.ascontiguousarray(self.weights.read_columns(pair.a, start, stop).T)
            right = np.ascontiguousarray(self.weights.read(pair.b).T)
        else:
            left, right = self.weights.read_rows(pair.b, start, stop), self.weights.read(pair.a)
        for at in range(0, len(values), BLOCK_ROWS):
            delta = left[at:at + BLOCK_ROWS] @ right
            delta *= np.float32(pair.scale)
            yield values[at:at + BLOCK_ROWS], delta


@dataclass(frozen=True)
class PlainStep:
    """W + delta."""
    delta: Delta

    def apply(self, values: np.ndarray, start: int) -> None:
        for block, delta in self.delta.blocks(values, start):
            block += delta


@dataclass(frozen=True)
class DoraRowsStep:
    """magnitude * (W + delta) / its norm, each row by its own. Source: DoRA, arXiv:2402.09353, eq. 5."""
    delta: Delta

    def apply(self, values: np.ndarray, start: int) -> None:
        weights, pair = self.delta.weights, self.delta.pair
        magnitude = weights.read_rows(pair.magnitude, start, start + len(values))
        for k, (block, delta) in enumerate(self.delta.blocks(values, start)):
            block += delta
            norm = np.sqrt(np.einsum("ij,ij->i", block, block, dtype=np.float64))
            block *= _factor(magnitude[k * BLOCK_ROWS:k * BLOCK_ROWS + len(block)], norm, pair)[:, None]


class DoraColumnsStep:
    """The same for an embedding, where peft takes the norm of each column over all rows."""

    def __init__(self, delta: Delta, stored: Stored):
        """stored: with the steps that come before this one."""
        self._delta, self._stored, self._before = delta, stored, tuple(stored.steps)
        self._lock, self._factor = Lock(), np.empty(0, np.float32)

    def apply(self, values: np.ndarray, start: int) -> None:
        with self._lock:
            if not self._factor.size:
                self._factor = self._columns()
        for block, delta in self._delta.blocks(values, start):
            block += delta
            block *= self._factor

    def _columns(self) -> np.ndarray:
        pair = self._delta.pair
        # row after row in float32, as torch sums: at 262,144 rows it is 5e-5 off, and the training had that norm
        squares = np.zeros(self._stored.shape[1], np.float32)
        for start in range(0, self._stored.shape[0], 16 * BLOCK_ROWS):
            stop = min(start + 16 * BLOCK_ROWS, self._stored.shape[0])
            values = self._stored.rows(start, stop, self._before)
            for block, delta in self._delta.blocks(values, start):
                block += delta
                block *= block
                block[0] += squares
                squares = np.add.reduce(block, axis=0)
        return _factor(self._delta.weights.read(pair.magnitude), np.sqrt(squares), pair)


def _factor(magnitude: np.ndarray, norm: np.ndarray, pair: LowRank) -> np.ndarray:
    if not norm.all():
        raise UserError(f"The adapter scales by {pair.magnitude}, and the weights there are all zero; it is damaged, "
                        "or the base is.")
    return (magnitude / norm).astype(np.float32)


@dataclass(frozen=True)
class TokensStep:
    """Some rows replaced."""
    weights: Weights
    tokens: Tokens

    def apply(self, values: np.ndarray, start: int) -> None:
        for number, token in enumerate(self.tokens.ids):
            if start <= token < start + len(values):
                values[token - start] = self.weights.read_rows(self.tokens.name, number, number + 1)[0]


@dataclass(frozen=True)
class BiasStep:
    """The bias of a pair added to that of the layer."""
    weights: Weights
    pair: LowRank

    def apply(self, values: np.ndarray, start: int) -> None:
        values += self.weights.read_rows(self.pair.bias, start, start + len(values)) * np.float32(self.pair.scale)


class MergedWeights:
    """The tensors of base + adapters, applied in order, by canonical name. Any number of threads may read at once."""

    def __init__(self, base: Weights, adapters: Sequence[Adapter], canonical: Callable[[str], str], is_tied: bool):
        """is_tied: the head is the embedding, whatever the files hold.

        Raises UserError if an adapter was made for another base, naming the first tensor that does not fit.
        """
        self.notes: list[str] = []      # what a person should know of the merge
        self._base = base
        self._file_names: dict[str, str] = {}
        for name in base.entries:
            other = self._file_names.setdefault(canonical(name), name)
            if other != name:
                raise UserError(f"The tensors {other} and {name} of the base model are the same one under two names; "
                                "copy or download the model again.")
        self._stored = {name: Stored(base, file_name) for name, file_name in self._file_names.items()}
        embed, head = f"{EMBED}.weight", f"{HEAD}.weight"
        if is_tied and (embed in self._stored or head in self._stored):
            self._stored[embed] = self._stored[head] = self._stored.get(embed) or self._stored[head]
            self._file_names.setdefault(embed, self._file_names.get(head, ""))
        for adapter in adapters:
            self._add(adapter)

    @property
    def is_tied(self) -> bool:
        """True if the head is the embedding."""
        return self._stored.get(f"{HEAD}.weight") is self._stored.get(f"{EMBED}.weight")

    def names(self) -> list[str]:
        """Every tensor; a head that is tied is not one."""
        return [name for name in self._stored if name != f"{HEAD}.weight" or not self.is_tied]

    def shape(self, name: str) -> tuple[int, ...]:
        """Rows first, as in the base's files."""
        return self._stored[name].shape

    def dtype(self, name: str) -> str:
        """The type that the base has it in, such as "BF16"; that of the embedding for a head that an adapter adds."""
        return self._base.entries[self._file_names.get(name) or self._file_names[f"{EMBED}.weight"]].dtype

    def check_is_float(self, name: str) -> None:
        """Raise UserError unless its numbers are floats."""
        stored = self._stored[name]
        stored.weights.entries[stored.name].check_is_float(stored.name)

    def is_changed(self, name: str) -> bool:
        """True if an adapter has its hand in it."""
        stored = self._stored[name]
        return bool(stored.steps) or stored.name != self._file_names.get(name)

    def file_name(self, name: str) -> str:
        """What the base's files call it; an added one keeps its canonical name."""
        return self._file_names.get(name, name)

    def rows(self, name: str, start: int, stop: int) -> np.ndarray:
        """Rows start to stop (numbers, of a vector), a new float32 array. Raises UserError for NaN or infinity."""
        stored = self._stored[name]
        return stored.rows(start, stop, stored.steps)

    def _add(self, adapter: Adapter) -> None:
        was_tied = self.is_tied
        for name, tensor in _in_order(adapter.overwritten):
            stored = self._checked(adapter, name, adapter.weights.entries[tensor].shape)
            stored.weights, stored.name, stored.steps = adapter.weights, tensor, []
        ends = (f"{HEAD}.weight", f"{EMBED}.weight")
        for name, tensor in _in_order(adapter.replaced):
            self._checked(adapter, name, adapter.weights.entries[tensor].shape)
            self._stored[name] = Stored(adapter.weights, tensor)
        if was_tied and adapter.ties_weights and adapter.replaced.keys() & set(ends):
            copied = next(self._stored[name] for name in ends if name in adapter.replaced)
            self._stored |= dict.fromkeys(ends, copied)
        for module, pair in _in_order(adapter.low_rank):
            self._add_pair(adapter, module, pair)
        for module, tokens in _in_order(adapter.tokens):
            shape = (*adapter.weights.entries[tokens.name].shape, max(tokens.ids, default=0))
            stored = self._checked(adapter, f"{module}.weight", None)
            if len(stored.shape) != 2 or stored.shape[1] != shape[1] or stored.shape[0] <= shape[2]:
                raise _other_base(f"{module}.weight", (f"more than {shape[2]}", shape[1]), stored.shape)
            stored.steps.append(TokensStep(adapter.weights, tokens))
        changed = {HEAD, EMBED} & adapter.low_rank.keys()
        if self.is_tied and HEAD in changed and adapter.tokens:     # peft merges the one into the other's copy
            raise UserError(f"The adapter {adapter.folder.name} uses trainable_token_indices together with LoRA on "
                            f"{HEAD}, which this base uses both as embedding and as head; the export does not support "
                            "the two together. Train again with one of them.")
        if self.is_tied and changed and not adapter.ties_weights:
            self.notes.append(f"The adapter {adapter.folder.name} changes {min(changed)}, which this base uses both as "
                              "embedding and as head. As peft's own merge does, the change is made in both, although "
                              "the training saw it in one.")

    def _add_pair(self, adapter: Adapter, module: str, pair: LowRank) -> None:
        a, b = adapter.weights.entries[pair.a].shape, adapter.weights.entries[pair.b].shape
        stored = self._checked(adapter, f"{module}.weight", (a[1], b[0]) if pair.is_embedding else (b[0], a[1]))
        delta = Delta(adapter.weights, pair)
        if pair.magnitude:
            length = adapter.weights.entries[pair.magnitude].shape
            if length != (stored.shape[pair.is_embedding],):
                raise _other_base(f"{module} (its magnitudes)", length, (stored.shape[pair.is_embedding],))
            stored.steps.append(DoraColumnsStep(delta, stored) if pair.is_embedding else DoraRowsStep(delta))
        else:
            stored.steps.append(PlainStep(delta))
        if pair.bias:
            if f"{module}.bias" not in self._stored:
                raise UserError(f"This adapter uses lora_bias on {module}, which has no bias in this base, so there is "
                                "no place for it; the export does not support that. Train again without lora_bias.")
            self._checked(adapter, f"{module}.bias", adapter.weights.entries[pair.bias].shape).steps.append(
                BiasStep(adapter.weights, pair))

    def _checked(self, adapter: Adapter, name: str, shape: tuple[int, ...] | None) -> Stored:
        """The tensor that an adapter changes. Raises UserError unless the base has it, of this shape."""
        if name not in self._stored:
            raise UserError(f"This adapter was trained on another base model: it changes {name}, "
                            "which this base does not have. Give the base it was trained on.")
        stored = self._stored[name]
        if shape is not None and stored.shape != shape:
            if name in (f"{EMBED}.weight", f"{HEAD}.weight") and stored.shape[1:] == shape[1:]:
                raise UserError(f"The embeddings were resized: {adapter.folder} was trained with {shape[0]:,} rows in "
                                f"{name}, and this base has {stored.shape[0]:,}. Tokens that were added can not be "
                                "exported; train again without adding any.")
            raise _other_base(name, shape, stored.shape)
        return stored


def _in_order(items: Mapping[str, T]) -> list[tuple[str, T]]:
    """items in the order of the model's modules as far as it matters: its head is the last."""
    return sorted(items.items(), key=lambda item: (item[0].startswith(HEAD), item[0]))


def _other_base(name: str, wanted: tuple[object, ...], found: tuple[int, ...]) -> UserError:
    return UserError(f"This adapter was trained on another base model: for {name} it was made for {wanted}, and this "
                     f"base has {found}. Give the base it was trained on.")
