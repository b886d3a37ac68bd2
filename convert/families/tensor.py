"""What a family says of itself: the GGUF keys of a config, and each tensor under both names."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.errors import UserError

Config = Mapping[str, Any]      # a model folder's config.json


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """One tensor of the GGUF. shape: rows first, as in the source; transform changes the float32 values."""
    source: str                 # name in the Hugging Face folder
    name: str                   # name in the GGUF
    shape: tuple[int, ...]
    transform: Callable[[np.ndarray], np.ndarray] | None = None
    is_trimmed: bool = False    # the source may have more rows; those beyond shape are no tokens


@dataclass(frozen=True, kw_only=True)
class Family:
    """One architecture: both functions take config.json and raise UserError for what llama.cpp can not compute."""
    architecture: str           # llama.cpp's name, the prefix of its keys
    metadata: Callable[[Config], dict[str, Any]]
    tensors: Callable[[Config], list[Tensor]]
    dropped: tuple[str, ...] = ()   # source tensors that are computed or tied, so never written


def plus_one(weight: np.ndarray) -> np.ndarray:
    """Gemma multiplies by 1 + weight after normalizing; llama.cpp by the weight alone."""
    return weight + np.float32(1)


def layer_matrices(config: Config, layer: int) -> list[Tensor]:
    """The seven projections of a layer, unchanged."""
    hidden, inner, head = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    queries, keys = config["num_attention_heads"] * head, config["num_key_value_heads"] * head
    shapes = {
        "self_attn.q_proj": ("attn_q", (queries, hidden)), "self_attn.k_proj": ("attn_k", (keys, hidden)),
        "self_attn.v_proj": ("attn_v", (keys, hidden)), "self_attn.o_proj": ("attn_output", (hidden, queries)),
        "mlp.gate_proj": ("ffn_gate", (inner, hidden)), "mlp.up_proj": ("ffn_up", (inner, hidden)),
        "mlp.down_proj": ("ffn_down", (hidden, inner)),
    }
    return [Tensor(source=f"model.layers.{layer}.{source}.weight", name=f"blk.{layer}.{name}.weight", shape=shape)
            for source, (name, shape) in shapes.items()]


def layer_norms(layer: int, names: Mapping[str, tuple[str, int]]) -> list[Tensor]:
    """Norms of a layer from {name in the source: (name in the GGUF, length)}, each with the 1 added."""
    return [Tensor(source=f"model.layers.{layer}.{source}.weight", name=f"blk.{layer}.{name}.weight",
                   shape=(length,), transform=plus_one) for source, (name, length) in names.items()]


def outer_tensors(config: Config, is_trimmed: bool = False) -> list[Tensor]:
    """Token embeddings and the last norm."""
    hidden = config["hidden_size"]
    return [Tensor(source="model.embed_tokens.weight", name="token_embd.weight",
                   shape=(config["vocab_size"], hidden), is_trimmed=is_trimmed),
            Tensor(source="model.norm.weight", name="output_norm.weight", shape=(hidden,), transform=plus_one)]


def with_defaults(config: Config, defaults: Config) -> dict[str, Any]:
    """config with transformers' defaults for what it leaves out. Raises UserError for sizes that are no numbers."""
    full = {**defaults, **config}
    for key in ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
                "num_key_value_heads", "head_dim", "max_position_embeddings"):
        if not isinstance(full.get(key), int) or full[key] < 1:
            raise UserError(f"config.json has {key} = {full.get(key)!r}; it must be a whole number above 0.")
    return full


def refuse_unless(config: Config, key: str, *allowed: Any) -> None:
    """Raise UserError if config has another value for key than those that llama.cpp computes for this family."""
    value = config.get(key)
    if value is not None and value not in allowed:
        raise UserError(f"config.json has {key} = {value!r}; llama.cpp computes this family with "
                        f"{' or '.join(map(repr, allowed))} only, so the export would be another model.")


def check_attention_scale(config: Config, largest_layers: int) -> None:
    """Raise UserError unless query_pre_attn_scalar is what llama.cpp takes from the shapes alone.

    It takes head_dim, but hidden_size / heads for the family's largest model, known by its number of layers.
    Source: llama.cpp, src/models/gemma2.cpp and gemma3.cpp.
    """
    expected = config["head_dim"]
    if config["num_hidden_layers"] == largest_layers:
        expected = config["hidden_size"] // config["num_attention_heads"]
    refuse_unless(config, "query_pre_attn_scalar", expected)


def shape_metadata(arch: str, config: Config) -> dict[str, Any]:
    """The keys that every decoder has."""
    return {
        f"{arch}.context_length": config["max_position_embeddings"],
        f"{arch}.embedding_length": config["hidden_size"],
        f"{arch}.block_count": config["num_hidden_layers"],
        f"{arch}.feed_forward_length": config["intermediate_size"],
        f"{arch}.attention.head_count": config["num_attention_heads"],
        f"{arch}.attention.head_count_kv": config["num_key_value_heads"],
        f"{arch}.attention.layer_norm_rms_epsilon": float(config["rms_norm_eps"]),
        f"{arch}.attention.key_length": config["head_dim"],
        f"{arch}.attention.value_length": config["head_dim"],
    }


def one_rope(arch: str, config: Config) -> dict[str, Any]:
    """The base frequency where all layers share one: no key for 10,000, as upstream. Raises UserError if scaled."""
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    kind = rope.get("rope_type") or rope.get("type") or "default"
    if kind != "default":
        raise UserError(f"config.json scales positions (rope_type {kind!r}); this family is exported without only.")
    theta = float(rope.get("rope_theta") or config.get("rope_theta") or 10_000)
    return {} if theta == 10_000 else {f"{arch}.rope.freq_base": theta}
