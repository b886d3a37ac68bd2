"""A base model with its adapter folded in: checked before any work, then read one tensor at a time."""

import re
from pathlib import Path

import numpy as np

from convert.families import find_family
from convert.families.tensor import Tensor
from convert.gguf import Plan
from convert.merge import Adapter
from convert.vocab import read_vocab
from convert.weights import open_weights
from models import base as base_folder
from models import runs
from models.errors import UserError

LEFTOVER = re.compile(r"\.(absmax|nested_absmax|quant_map|nested_quant_map|quant_state.*|SCB|weight_format|qweight|"
                      r"qzeros|scales|g_idx|weight_scale.*|weight_packed|weight_shape|input_scale)$|_scale(_inv)?$|_blocks$")
COMPUTED = (".rotary_emb.inv_freq",)                # saved by old transformers, derived from config.json
SAMPLING = {"temperature": "temp", "top_k": "top_k", "top_p": "top_p"}
SAMPLING_TYPES = {"temperature": float, "top_k": int, "top_p": float}


class MergedModel:
    """plan: the GGUF to write; read: its tensors."""

    def __init__(self, base: Path, adapter: Path | None, title: str):
        """Check everything that headers and configs can tell.

        Raises UserError for an unknown architecture, quantization leftovers, missing, unknown or misshapen tensors,
        an adapter that does not fit or uses something unsupported, and a tokenizer that does not belong.
        """
        base_folder.check_base(base)
        config = base_folder.config(base)
        family = find_family(base_folder.family(base))
        _refuse_quantized(base, config)
        self._weights = open_weights(base)
        self._adapter = Adapter(adapter) if adapter else None
        tensors = family.tensors(config)
        metadata = {"general.name": title, **family.metadata(config), **_sampling(base)}
        metadata = {key: value for key, value in metadata.items() if value is not None}
        self._check_tensors(base, tensors, family.dropped)
        if self._adapter:
            self._check_adapter(family.dropped)
        rows = next(t.shape[0] for t in tensors if t.name == "token_embd.weight")
        dtypes = {self._weights.entries[t.source].dtype for t in tensors if len(t.shape) > 1}
        # a bfloat16 base is written as it is; sums, and halves, only fit float32
        type_name = "BF16" if dtypes == {"BF16"} and adapter is None else "F32"
        self.plan = Plan(architecture=family.architecture, metadata=metadata, vocab=read_vocab(base, rows),
                         tensors=tensors, type_name=type_name)

    def read(self, tensor: Tensor) -> np.ndarray:
        """The merged values of one of plan.tensors, float32. Raises UserError for NaN or infinity."""
        values = self._weights.read(tensor.source)
        if self._adapter:
            values = self._adapter.merged(tensor.source, values)
        if tensor.is_trimmed:
            values = values[:tensor.shape[0]]
        return tensor.transform(values) if tensor.transform else values

    def _check_tensors(self, base: Path, tensors: list[Tensor], dropped: tuple[str, ...]) -> None:
        entries = self._weights.entries
        for name in entries:
            if LEFTOVER.search(name):
                raise UserError(f"{base} holds the tensor {name}, a leftover of quantization; "
                                "export from the original 16-bit weights, not from a quantized copy.")
        known = {t.source for t in tensors} | set(dropped)
        for name in entries:
            if name not in known and not name.endswith(COMPUTED):
                raise UserError(f"{base} holds the tensor {name}, which this architecture does not have; "
                                "the export would lose it.")
        for t in tensors:
            if t.source not in entries:
                raise UserError(f"{base} lacks the tensor {t.source}; copy or download the model again.")
            shape = entries[t.source].shape
            is_longer = t.is_trimmed and shape[1:] == t.shape[1:] and shape[0] > t.shape[0]
            if shape != t.shape and not is_longer:
                raise UserError(f"The tensor {t.source} in {base} has the shape {list(shape)}, and config.json makes "
                                f"it {list(t.shape)}; the two do not belong together.")

    def _check_adapter(self, dropped: tuple[str, ...]) -> None:
        assert self._adapter
        for name in dropped:
            if self._adapter.changes(name):
                raise UserError(f"The adapter changes {name}, which this family shares with its embedding; "
                                "the export does not support that. Train again without it.")
        self._adapter.check_fits({name: entry.shape for name, entry in self._weights.entries.items()})


def _refuse_quantized(base: Path, config: dict) -> None:
    quantized = config.get("quantization_config")
    if quantized:
        method = quantized.get("quant_method", "unknown method") if isinstance(quantized, dict) else quantized
        raise UserError(f"{base} holds quantized weights (quantization_config in config.json: {method}); "
                        "export from the original 16-bit weights.")


def _sampling(base: Path) -> dict[str, int | float]:
    """The sampling defaults of generation_config.json, as upstream writes them."""
    path = base / "generation_config.json"
    values = runs.read_json(path) if path.is_file() else {}
    return {f"general.sampling.{name}": SAMPLING_TYPES[key](values[key])
            for key, name in SAMPLING.items() if isinstance(values.get(key), int | float)}
