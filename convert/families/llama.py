"""Llama: the keys and tensors that llama.cpp's architecture "llama" reads."""

from collections.abc import Callable
from typing import Any

import numpy as np

from convert.families.decoder import layer_matrices, layer_norms, outer_tensors, own_head, shape_metadata
from convert.families.rope import Rope, llama3_factors, read_rope, rope_metadata
from convert.families.settings import refuse_unless, untied, whole, with_defaults
from convert.families.tensor import BPE, LLAMA_JSON, SENTENCEPIECE, Config, Family, Tensor

DEFAULTS = dict(vocab_size=32_000, hidden_size=4096, intermediate_size=11_008, num_hidden_layers=32,
                num_attention_heads=32, max_position_embeddings=2048, rms_norm_eps=1e-6)
ATTENTION = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj")
MLP = ("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")


def metadata(config: Config) -> dict[str, Any]:
    """GGUF keys and values. Raises UserError for a setting that llama.cpp does not compute."""
    full = _full(config)
    refuse_unless(full, "hidden_act", "silu", "swish")
    return {**shape_metadata("llama", full), "llama.vocab_size": full["vocab_size"],
            "llama.rope.dimension_count": full["head_dim"],
            **rope_metadata("llama", _rope(full), full["max_position_embeddings"])}


def tensors(config: Config, present: frozenset[str] = frozenset()) -> list[Tensor]:
    """Every tensor of the GGUF, in order. The scaling of Llama 3 is a tensor that no folder holds."""
    full, rope = _full(config), _rope(_full(config))
    norms = {"input_layernorm": ("attn_norm", full["hidden_size"]),
             "post_attention_layernorm": ("ffn_norm", full["hidden_size"])}
    biases = (ATTENTION if full.get("attention_bias") else ()) + (MLP if full.get("mlp_bias") else ())
    paired = {"self_attn.q_proj": in_pairs(full["num_attention_heads"]),
              "self_attn.k_proj": in_pairs(full["num_key_value_heads"])}
    scaled = []
    if rope.kind == "llama3":
        factors = llama3_factors(rope, full["head_dim"], full["max_position_embeddings"])
        scaled = [Tensor(source="", name="rope_freqs.weight", shape=factors.shape, kind="F32", values=factors)]
    return [*scaled, *outer_tensors(full), *own_head(full, present),
            *(t for k in range(full["num_hidden_layers"])
              for t in layer_norms(k, norms) + layer_matrices(full, k, paired, biases))]


def in_pairs(heads: int) -> Callable[[np.ndarray], np.ndarray]:
    """What puts the rows of each head in llama.cpp's order: 0, half, 1, half + 1, ...

    transformers turns row k together with row k + half; llama.cpp turns neighbours.
    """
    def pair(values: np.ndarray) -> np.ndarray:
        halves = values.reshape(heads, 2, values.shape[0] // heads // 2, *values.shape[1:])
        return halves.swapaxes(1, 2).reshape(values.shape)
    return pair


def _full(config: Config) -> dict[str, Any]:
    """config with what it leaves out, or says with null, as transformers fills it in."""
    given = {key: value for key, value in untied(config).items() if value is not None}
    full: dict[str, Any] = {**DEFAULTS, **given}
    full.setdefault("num_key_value_heads", full["num_attention_heads"])
    if "head_dim" not in full:
        full["head_dim"] = whole(full, "hidden_size") // whole(full, "num_attention_heads")
    return with_defaults(full, {})


def _rope(full: Config) -> Rope:
    return read_rope(full, "linear", "yarn", "llama3")


FAMILY = Family(architecture="llama", metadata=metadata, tensors=tensors, text_config=untied,
                vocabularies=(SENTENCEPIECE, LLAMA_JSON, BPE))
