"""A PEFT LoRA folder: its settings checked, and every tensor of it given its meaning."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from convert.weights import Weights
from models import runs
from models.errors import UserError

CONFIG, WEIGHTS, PICKLE = "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"
PREFIX = "base_model.model."
A, B, BIAS = ".lora_A.weight", ".lora_B.weight", ".lora_B.bias"
EMBEDDING_A, EMBEDDING_B = ".lora_embedding_A", ".lora_embedding_B"
MAGNITUDES = (".lora_magnitude_vector", ".lora_magnitude_vector.weight")     # the second: peft 0.9
TOKENS = ".token_adapter.trainable_tokens_delta"
EMBED, HEAD = "model.embed_tokens", "lm_head"       # canonical names of the two ends
UNDERSTOOD = {                  # keys of adapter_config.json that are used here, or say nothing about the merge
    "peft_type", "task_type", "peft_version", "auto_mapping", "base_model_name_or_path", "revision", "inference_mode",
    "r", "lora_alpha", "rank_pattern", "alpha_pattern", "use_rslora", "use_dora", "target_modules", "exclude_modules",
    "target_parameters", "modules_to_save", "trainable_token_indices", "lora_dropout", "bias", "lora_bias",
    "init_lora_weights", "layers_to_transform", "layers_pattern", "eva_config", "megatron_core", "qalora_group_size",
    "ensure_weight_tying", "runtime_config",
}
CHANGES_BASE = {"pissa", "olora", "corda", "loftq", "lora_ga", "kasa"}    # initializations that rewrite the base
MAX_AMOUNT = 2.0**31                # no rank and no alpha is near it


@dataclass(frozen=True, kw_only=True)
class LowRank:
    """One pair of LoRA matrices: the names of its tensors in the adapter's file.

    a (rank, in), b (out, rank); is_embedding: a (rank, rows of the embedding), b (width, rank). scale: alpha / rank,
    or alpha / sqrt(rank) for rsLoRA, no unit. magnitude and bias are "" where there are none (DoRA, lora_bias).
    """
    a: str
    b: str
    rank: int
    scale: float
    is_embedding: bool
    magnitude: str
    bias: str


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """Rows of an embedding that were trained on their own: ids, and the tensor that holds the rows in that order."""
    ids: tuple[int, ...]
    name: str


class Adapter:
    """What an adapter does to the base. Modules and tensors are called by their canonical names (Family.canonical).

    low_rank and tokens by module. overwritten: tensors written over those of the base, also where two modules share
    one; replaced: the tensors of modules that were trained as copies of their own (modules_to_save).
    """

    def __init__(self, folder: Path, canonical: Callable[[str], str] = str):
        """Read config and header. Raises UserError naming a feature that is not supported, or what is missing."""
        self.folder, self.config = folder, _read_config(folder)
        path = folder / WEIGHTS
        if not path.is_file():
            raise UserError(_lacks_weights(folder))
        self.weights = Weights([path])
        self.low_rank: dict[str, LowRank] = {}
        self.tokens: dict[str, Tokens] = {}
        self.overwritten: dict[str, str] = {}
        self.replaced: dict[str, str] = {}
        self._sort(canonical)

    @property
    def ties_weights(self) -> bool:
        """True if copies of an embedding and of a head that is tied to it are tied in turn."""
        return bool(self.config.get("ensure_weight_tying"))

    @property
    def beyond_lora(self) -> str:
        """What of it no pair of matrices can hold, as peft calls it; "" if there is nothing.

        What is overwritten is not counted: it may be a copy of the base's own.
        """
        if any(pair.magnitude for pair in self.low_rank.values()):
            return "DoRA (use_dora)"
        if self.tokens:
            return "trainable_token_indices"
        if any(pair.bias for pair in self.low_rank.values()):
            return "lora_bias"
        return f"modules_to_save ({min(self.replaced)})" if self.replaced else ""

    def pair(self, module: str) -> tuple[np.ndarray, np.ndarray, float]:
        """(a, b, scale) of a module, as LowRank has them, in float32."""
        found = self.low_rank[module]
        return self.weights.read(found.a), self.weights.read(found.b), found.scale

    def _sort(self, canonical: Callable[[str], str]) -> None:
        names = set(self.weights.entries)
        if not names:
            raise UserError("The adapter holds no tensors; was the training interrupted?")
        for name in sorted(names):
            self.weights.entries[name].check_is_float(name)
            bare = name.removeprefix(PREFIX)
            if bare.endswith((A, EMBEDDING_A)):
                module = bare.removesuffix(A).removesuffix(EMBEDDING_A)
                self.low_rank[canonical(module)] = self._low_rank(name, module, names)
            elif bare.endswith((B, EMBEDDING_B)):
                if name.replace(EMBEDDING_B, EMBEDDING_A).replace(B, A) not in names:
                    raise UserError(f"The adapter holds {name} without its partner; it is damaged.")
            elif bare.endswith(TOKENS):
                module = bare.removesuffix(TOKENS)
                self.tokens[canonical(module)] = self._tokens(name, module)
            elif bare.endswith((BIAS, *MAGNITUDES)):
                self._check_belongs(name)
            else:
                self._sort_full(name, bare, canonical)

    def _low_rank(self, name: str, module: str, names: set[str]) -> LowRank:
        is_embedding = name.endswith(EMBEDDING_A)
        stem = name.removesuffix(EMBEDDING_A if is_embedding else A)
        b = stem + (EMBEDDING_B if is_embedding else B)
        if b not in names:
            raise UserError(f"The adapter holds {name} without its partner; it is damaged.")
        magnitude = next((stem + end for end in MAGNITUDES if stem + end in names), "")
        if self.config.get("use_dora") and not magnitude:
            raise UserError(f"The adapter uses DoRA and holds no magnitudes for {module}; it is damaged.")
        shapes = [self.weights.entries[tensor].shape for tensor in (name, b)]
        # peft matches its patterns with the parameter's name where the parameter was the target
        targets = self.config.get("target_parameters") or ()
        key = f"{module}.weight" if any(f".{module}.weight".endswith(f".{one}") for one in targets) else module
        rank = self._of_pattern("rank_pattern", key, self.config["r"])
        if len(shapes[0]) > 2 and len(shapes[0]) == len(shapes[1]):
            raise UserError(f"This adapter changes {module} with LoRA of a convolution (matrices of the shapes "
                            f"{list(shapes[0])} and {list(shapes[1])}), which the export does not support; train again "
                            "without it.")
        if any(len(shape) != 2 for shape in shapes):
            raise UserError(f"The adapter's matrices for {module} have the shapes {list(shapes[0])} and "
                            f"{list(shapes[1])}; it is damaged.")
        if not shapes[0][0] == shapes[1][1] == rank or not rank:
            raise UserError(f"The adapter's matrices for {module} have ranks {shapes[0][0]} and {shapes[1][1]}, "
                            f"and its adapter_config.json says {rank}; it is damaged.")
        alpha = self._of_pattern("alpha_pattern", key, self.config["lora_alpha"])
        scale = alpha / (math.sqrt(rank) if self.config.get("use_rslora") else rank)
        return LowRank(a=name, b=b, rank=shapes[0][0], scale=scale, is_embedding=is_embedding, magnitude=magnitude,
                       bias=stem + BIAS if stem + BIAS in names else "")

    def _of_pattern(self, name: str, key: str, default: float) -> float:
        """The value of the first pattern that key ends with (a regular expression, as in peft)."""
        for pattern, value in (self.config.get(name) or {}).items():
            if re.match(_expression(pattern), key):
                return value
        return default

    def _check_belongs(self, name: str) -> None:
        """Raise UserError unless a DoRA magnitude or a bias belongs to a pair, and the config knows of it."""
        feature = "lora_bias" if name.endswith(BIAS) else "use_dora"
        if not self.config.get(feature):
            raise UserError(f"The adapter holds {name}, and its adapter_config.json says {feature} = "
                            f"{self.config.get(feature)!r}; it is damaged.")
        stem = re.sub(r"\.lora_[^.]+(\.weight|\.bias)?$", "", name)
        if not {stem + A, stem + EMBEDDING_A} & set(self.weights.entries):
            raise UserError(f"The adapter holds {name} without its partner; it is damaged.")

    def _tokens(self, name: str, module: str) -> Tokens:
        """Raises UserError unless the config says which rows these are."""
        given = self.config.get("trainable_token_indices")
        if isinstance(given, Mapping):      # by the ending of the module's name
            given = next((ids for end, ids in given.items() if module.endswith(str(end))), None)
        shape = self.weights.entries[name].shape
        if (not isinstance(given, list) or not all(type(one) is int and one >= 0 for one in given)
                or len(shape) != 2 or len(given) != shape[0]):
            raise UserError(f"The adapter holds {name} with the shape {list(shape)}, and its trainable_token_indices "
                            f"for {module} are {str(given)[:60]}; it is damaged.")
        return Tokens(ids=tuple(given), name=name)

    def _sort_full(self, name: str, bare: str, canonical: Callable[[str], str]) -> None:
        """A tensor in full. Raises UserError if nothing in the config says why it is there."""
        module, _, kind = bare.rpartition(".")
        is_wrapped = module.endswith(".base_layer")
        module = module.removesuffix(".base_layer")
        tensor = f"{canonical(module)}.{kind}"
        saved = self.config.get("modules_to_save") or ()
        above = [module.rsplit(".", k)[0] for k in range(module.count(".") + 1)]
        if self.ties_weights and canonical(module) == HEAD and any("embed_tokens" in str(end) for end in saved):
            above.append(EMBED)             # the head's copy is that of the embedding
        if not is_wrapped and any(part.endswith(str(end)) for part in above for end in saved):
            self.replaced[tensor] = name
        elif (kind == "bias" and self.config.get("bias", "none") != "none") or (
                kind == "weight" and canonical(module) in (EMBED, HEAD)):       # saved beside its LoRA matrices
            self.overwritten[tensor] = name
        else:
            raise UserError(f"The adapter holds the tensor {name}, which is no LoRA matrix and nothing that its "
                            "adapter_config.json speaks of; the export does not support it.")


def _lacks_weights(folder: Path) -> str:
    if (folder / PICKLE).is_file():
        return (f"{folder} holds its adapter as {PICKLE}, which can run code when opened. If you trust it, convert it: "
                "python -c \"import torch; from safetensors.torch import save_file; "
                f"save_file(torch.load(r'{folder / PICKLE}', weights_only=True), r'{folder / WEIGHTS}')\"")
    return f"{folder} holds no {WEIGHTS}; is it the folder of a finished training?"


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    config = runs.read_json(path)
    if not isinstance(config, dict):
        raise UserError(f"{path} holds no settings by name; it is damaged.")
    kind = config.get("peft_type")
    if kind != "LORA":
        raise UserError(f"{folder} is an adapter of the type {kind}; only LoRA adapters can be exported.")
    unsupported = next((key for key, value in config.items() if key not in UNDERSTOOD and value), None)
    if unsupported:
        raise UserError(f"This adapter uses {unsupported}, which the export does not support "
                        f"({unsupported} = {str(config[unsupported])[:60]}); train again without it.")
    start = config.get("init_lora_weights")
    if isinstance(start, str) and any(start.lower().startswith(name) for name in CHANGES_BASE):
        raise UserError(f"This adapter was started with init_lora_weights = {start!r}, which rewrites the base "
                        "weights, so it does not fit the original base; convert it to a plain LoRA with peft first.")
    if not _is_amount(config.get("r")) or config["r"] <= 0 or not _is_amount(config.get("lora_alpha")):
        raise UserError(f"{path} names no rank (r) or no lora_alpha; it is damaged.")
    for name in ("rank_pattern", "alpha_pattern"):
        _check_patterns(config.get(name) or {}, f"The {name} in {path}")
    for name in ("modules_to_save", "target_parameters"):
        if not isinstance(config.get(name) or [], list):
            raise UserError(f"The {name} in {path} is no list of names; the file is damaged.")
    odd = next((name for name in config.get("target_parameters") or () if not str(name).endswith(".weight")), None)
    if odd:
        raise UserError(f"This adapter uses target_parameters with {odd!r}, which the export does not support; only "
                        "weights of linear layers and embeddings can be changed.")
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
