"""What adapters do to the input embedding and to the output head, where these are read a few rows at a time.

As peft's merge does it: the two are one matrix where the model ties them, until an adapter brings a copy of one.
"""

from collections.abc import Callable
from typing import Any

from models.errors import UserError

Change = Callable[[Any, Any], Any]      # (rows (N, width), their ids (N,)) -> the rows after it
ADAPTER = "default"             # what peft calls the only one that it has loaded


class Ends:
    """embedding and head: the changes of each, in order; is_tied: whether the two are one matrix so far."""

    def __init__(self, is_tied: bool):
        self.embedding: list[Change] = []
        self.head: list[Change] = []
        self.is_tied = is_tied

    def take(self, model: Any) -> None:
        """Add what one adapter does to the ends of model, and put the plain modules back there.

        The plain ones have weights of zero strides, unless the adapter has filled them itself. Raises UserError for
        DoRA there, which needs the norms of the whole matrix.
        """
        modules = (model.get_input_embeddings(), model.get_output_embeddings())
        copies = [_copy(module) for module in modules]
        is_one = self.is_tied and copies == [None, None]
        own = (self.embedding, self.head)
        written = [[_replaced(_plain(one).weight)] if any(_plain(one).weight.stride()) else [] for one in modules]
        added = [_changes(modules[0], "embed_tokens"), _changes(modules[1], "lm_head")]
        for changes in (written, added):                # the file is read before anything is merged
            for number, some in enumerate(changes):
                for target in own if is_one else (own[number],):
                    target += some
        for copied, target in zip(copies, own, strict=True):
            if copied is not None:
                target.append(_replaced(copied))
        if not is_one:
            self.is_tied = self.is_tied and None not in copies and bool(copies[0].eq(copies[1]).all())
        model.set_input_embeddings(_plain(modules[0]))
        model.set_output_embeddings(_plain(modules[1]))


def apply(changes: list[Change], rows: Any, ids: Any) -> Any:
    """rows (N, width) of the base after all changes; ids (N,)."""
    for change in changes:
        rows = change(rows, ids)
    return rows


def _plain(module: Any) -> Any:
    """The model's own module under what peft has put around it."""
    while hasattr(module, "base_layer") or hasattr(module, "original_module"):
        module = module.base_layer if hasattr(module, "base_layer") else module.original_module
    return module


def _copy(module: Any) -> Any:
    """The weight of a module that was trained as a copy; None if it was not."""
    return module.modules_to_save[ADAPTER].weight if hasattr(module, "modules_to_save") else None


def _changes(module: Any, name: str) -> list[Change]:
    """What an adapter's layers do to the weight of module."""
    changes: list[Change] = []
    if getattr(module, "lora_magnitude_vector", None):
        raise UserError(f"This adapter uses DoRA on {name}, which needs that whole matrix in memory, and this "
                        "machine has too little free for it; close other programs.")
    if ADAPTER in getattr(module, "lora_embedding_A", ()):
        changes.append(_added(module.lora_embedding_A[ADAPTER].T, module.lora_embedding_B[ADAPTER].T,
                              module.scaling[ADAPTER]))
    elif ADAPTER in getattr(module, "lora_A", ()):
        changes.append(_added(module.lora_B[ADAPTER].weight, module.lora_A[ADAPTER].weight, module.scaling[ADAPTER]))
    tokens = getattr(module, "token_adapter", None)
    if tokens is not None and not tokens.tied_adapter:
        changes.append(_some(tokens.token_indices[ADAPTER], tokens.trainable_tokens_delta[ADAPTER]))
    return changes


def _replaced(weight: Any) -> Change:
    return lambda _rows, ids: weight[ids]


def _added(left: Any, right: Any, scale: float) -> Change:
    """left (all rows, rank), right (rank, width)."""
    return lambda rows, ids: rows + left[ids] @ right * scale


def _some(tokens: list[int], values: Any) -> Change:
    """values (len(tokens), width) in the place of those rows."""
    def change(rows: Any, ids: Any) -> Any:
        for token, value in zip(tokens, values, strict=True):
            rows[ids == token] = value
        return rows
    return change
