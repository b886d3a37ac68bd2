"""A LoRA adapter folded into its base weights, in float32, one tensor at a time."""

import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from convert.weights import Weights
from models import runs
from models.errors import UserError

PREFIX = "base_model.model."
A, B = ".lora_A.weight", ".lora_B.weight"
UNDERSTOOD = {                  # keys of adapter_config.json that are used here, or say nothing about the merge
    "peft_type", "task_type", "peft_version", "auto_mapping", "base_model_name_or_path", "revision", "inference_mode",
    "r", "lora_alpha", "rank_pattern", "alpha_pattern", "use_rslora", "target_modules", "exclude_modules",
    "lora_dropout", "bias", "init_lora_weights", "layers_to_transform", "layers_pattern", "eva_config",
    "megatron_core", "qalora_group_size", "ensure_weight_tying", "runtime_config",
}
NAMES = {"use_dora": "DoRA", "modules_to_save": "modules trained in full (modules_to_save)",
         "trainable_token_indices": "trained token embeddings (trainable_token_indices)"}
CHANGES_BASE = {"pissa", "olora", "corda", "loftq", "lora_ga", "kasa"}    # initializations that rewrite the base
DORA = "lora_magnitude_vector"
MAX_AMOUNT = 2.0**31                # no rank and no alpha is near it


class Adapter:
    """A PEFT LoRA folder: which base weights it changes, and by how much."""

    def __init__(self, folder: Path):
        """Read config and header. Raises UserError naming a feature that is not supported, or what is missing."""
        self.config = _read_config(folder)
        path = folder / "adapter_model.safetensors"
        if not path.is_file():
            raise UserError(f"{folder} holds no adapter_model.safetensors; is it the folder of a finished training?")
        self.weights = Weights([path])
        self.modules = _paired_modules(self.weights.entries)

    def changes(self, weight: str) -> bool:
        """True if the base tensor called weight is not the same after the merge."""
        return weight.removesuffix(".weight") in self.modules

    def check_fits(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Raise UserError unless each adapted module is a matrix of the base, of the right shape and rank."""
        for module, stem in self.modules.items():
            weight = f"{module}.weight"
            a, b = self.weights.entries[stem + A].shape, self.weights.entries[stem + B].shape
            if weight not in shapes:
                raise UserError(f"This adapter was trained on another base model: it changes {module}, "
                                "which this base does not have. Give the base it was trained on.")
            if len(a) != 2 or len(b) != 2 or (b[0], a[1]) != tuple(shapes[weight]):
                raise UserError(f"This adapter was trained on another base model: for {weight} it was made for "
                                f"{b[:1] + a[1:]}, and this base has {tuple(shapes[weight])}. "
                                "Give the base it was trained on.")
            rank = self._of_pattern("rank_pattern", module, self.config["r"])
            if a[0] != b[1] or a[0] != rank or not rank:
                raise UserError(f"The adapter's matrices for {module} have ranks {a[0]} and {b[1]}, "
                                f"and its adapter_config.json says {rank}; it is damaged.")

    def merged(self, weight: str, values: np.ndarray) -> np.ndarray:
        """values (the base tensor called weight, (out, in) float32) + scale * B @ A; changed in place and returned.

        scale = alpha / rank, or alpha / sqrt(rank) for rsLoRA, no unit. Source: peft's LoRA Linear layer.
        """
        module = weight.removesuffix(".weight")
        if module not in self.modules:
            return values
        stem = self.modules[module]
        a, b = self.weights.read(stem + A), self.weights.read(stem + B)
        alpha = self._of_pattern("alpha_pattern", module, self.config["lora_alpha"])
        scale = alpha / (math.sqrt(a.shape[0]) if self.config.get("use_rslora") else a.shape[0])
        delta = b @ a
        delta *= np.float32(scale)
        values += delta
        return values

    def _of_pattern(self, name: str, module: str, default: float) -> float:
        """The value of the first pattern that the module's name ends with (a regular expression, as in peft)."""
        for pattern, value in (self.config.get(name) or {}).items():
            if re.match(_expression(pattern), module):
                return value
        return default


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / "adapter_config.json"
    config = runs.read_json(path)
    if not isinstance(config, dict):
        raise UserError(f"{path} holds no settings by name; it is damaged.")
    kind = config.get("peft_type")
    if kind != "LORA":
        raise UserError(f"{folder} is an adapter of the type {kind}; only LoRA adapters can be exported.")
    unsupported = [key for key, value in config.items() if key not in UNDERSTOOD and value]
    if config.get("bias", "none") != "none":
        unsupported.append("bias")
    if unsupported:
        key = unsupported[0]
        raise UserError(f"This adapter uses {NAMES.get(key, key)}, which the export does not support "
                        f"({key} = {config[key]!r}); train again without it.")
    start = config.get("init_lora_weights")
    if isinstance(start, str) and any(start.lower().startswith(name) for name in CHANGES_BASE):
        raise UserError(f"This adapter was started with init_lora_weights = {start!r}, which rewrites the base "
                        "weights, so it does not fit the original base; convert it to a plain LoRA with peft first.")
    if not _is_amount(config.get("r")) or config["r"] <= 0 or not _is_amount(config.get("lora_alpha")):
        raise UserError(f"{path} names no rank (r) or no lora_alpha; it is damaged.")
    for name in ("rank_pattern", "alpha_pattern"):
        _check_patterns(config.get(name) or {}, f"The {name} in {path}")
    return config


def _expression(pattern: str) -> str:
    """What peft makes of a key of rank_pattern and alpha_pattern."""
    return rf"(.*\.)?({pattern})$"


def _is_amount(value: Any) -> bool:
    """True for a number that float32 can hold: no truth value, no NaN, no infinity."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < MAX_AMOUNT


def _check_patterns(patterns: Any, where: str) -> None:
    """Raise UserError unless patterns is {regular expression: number}."""
    if not isinstance(patterns, dict):
        raise UserError(f"{where} is no table of patterns; the file is damaged.")
    for pattern, value in patterns.items():
        try:
            re.compile(_expression(pattern))
        except (re.error, OverflowError, RecursionError) as error:
            raise UserError(f"{where} holds {pattern[:40]!r}, which is no regular expression ({error}); "
                            "the file is damaged.") from error
        if not _is_amount(value):
            raise UserError(f"{where} has {value!r} for {pattern[:40]!r}, which is no number; the file is damaged.")


def _paired_modules(names: Iterable[str]) -> dict[str, str]:
    """{module of the base: stem of its two tensors in the adapter}. Raises UserError for anything but LoRA pairs."""
    names = set(names)
    modules = {}
    for name in sorted(names):
        ending = A if name.endswith(A) else B
        if DORA in name:
            raise UserError(f"This adapter uses DoRA, which the export does not support (its tensor {name}); "
                            "train again without it.")
        if not name.endswith(ending):
            raise UserError(f"The adapter holds the tensor {name}, which is no LoRA matrix of a linear layer; "
                            "the export does not support it.")
        stem = name.removesuffix(ending)
        if stem + A not in names or stem + B not in names:
            raise UserError(f"The adapter holds {name} without its partner; it is damaged.")
        modules[stem.removeprefix(PREFIX)] = stem
    if not modules:
        raise UserError("The adapter holds no tensors; was the training interrupted?")
    return modules
