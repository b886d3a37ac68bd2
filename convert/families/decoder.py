"""Tensors and keys that all text families share: the seven matrices of a layer, norms, embedding, sizes."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from convert.families.settings import number
from convert.families.tensor import Config, Tensor

HEAD = "lm_head.weight"
Transform = Callable[[np.ndarray], np.ndarray]


def plus_one(weight: np.ndarray) -> np.ndarray:
    """Gemma multiplies by 1 + weight after normalizing; llama.cpp by the weight alone."""
    return weight + np.float32(1)


def layer_matrices(config: Config, layer: int, transforms: Mapping[str, Transform] | None = None,
                   biases: tuple[str, ...] = ()) -> list[Tensor]:
    """The seven projections of a layer, and the biases of those that biases names.

    transforms: {name in the source: what changes its weight and bias}; the others stay as they are.
    """
    hidden, inner, head = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    queries, keys = config["num_attention_heads"] * head, config["num_key_value_heads"] * head
    shapes = {
        "self_attn.q_proj": ("attn_q", (queries, hidden)), "self_attn.k_proj": ("attn_k", (keys, hidden)),
        "self_attn.v_proj": ("attn_v", (keys, hidden)), "self_attn.o_proj": ("attn_output", (hidden, queries)),
        "mlp.gate_proj": ("ffn_gate", (inner, hidden)), "mlp.up_proj": ("ffn_up", (inner, hidden)),
        "mlp.down_proj": ("ffn_down", (hidden, inner)),
    }
    return [Tensor(source=f"model.layers.{layer}.{source}.{kind}", name=f"blk.{layer}.{name}.{kind}",
                   shape=shape if kind == "weight" else shape[:1], transform=(transforms or {}).get(source))
            for source, (name, shape) in shapes.items()
            for kind in (("weight", "bias") if source in biases else ("weight",))]


def layer_norms(layer: int, names: Mapping[str, tuple[str, int]], transform: Transform | None = None) -> list[Tensor]:
    """Norms of a layer from {name in the source: (name in the GGUF, length)}."""
    return [Tensor(source=f"model.layers.{layer}.{source}.weight", name=f"blk.{layer}.{name}.weight",
                   shape=(length,), transform=transform) for source, (name, length) in names.items()]


def outer_tensors(config: Config, transform: Transform | None = None, is_trimmed: bool = False) -> list[Tensor]:
    """Token embedding and last norm; transform is the norm's."""
    hidden = config["hidden_size"]
    return [Tensor(source="model.embed_tokens.weight", name="token_embd.weight",
                   shape=(config["vocab_size"], hidden), is_trimmed=is_trimmed),
            Tensor(source="model.norm.weight", name="output_norm.weight", shape=(hidden,), transform=transform)]


def own_head(config: Config, present: frozenset[str], is_trimmed: bool = False) -> list[Tensor]:
    """The output matrix, unless it is the embedding's: llama.cpp takes that where a file has no other."""
    if config["tie_word_embeddings"] and HEAD not in present:
        return []
    return [Tensor(source=HEAD, name="output.weight", shape=(config["vocab_size"], config["hidden_size"]),
                   is_trimmed=is_trimmed)]


def shape_metadata(arch: str, config: Config) -> dict[str, Any]:
    """The keys that every decoder has."""
    return {
        f"{arch}.context_length": config["max_position_embeddings"],
        f"{arch}.embedding_length": config["hidden_size"],
        f"{arch}.block_count": config["num_hidden_layers"],
        f"{arch}.feed_forward_length": config["intermediate_size"],
        f"{arch}.attention.head_count": config["num_attention_heads"],
        f"{arch}.attention.head_count_kv": config["num_key_value_heads"],
        f"{arch}.attention.layer_norm_rms_epsilon": number(config, "rms_norm_eps"),
        f"{arch}.attention.key_length": config["head_dim"],
        f"{arch}.attention.value_length": config["head_dim"],
    }
