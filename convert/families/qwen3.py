"""Qwen 3: the keys and tensors that llama.cpp's architecture "qwen3" reads."""

from typing import Any

from convert.families.decoder import layer_matrices, layer_norms, outer_tensors, own_head, shape_metadata
from convert.families.rope import read_rope, rope_metadata
from convert.families.settings import refuse_unless, untied, with_defaults
from convert.families.tensor import BPE, SENTENCEPIECE, Config, Family, Tensor

DEFAULTS = dict(vocab_size=151_936, hidden_size=4096, intermediate_size=22_016, num_hidden_layers=32,
                num_attention_heads=32, num_key_value_heads=32, head_dim=128, max_position_embeddings=32_768,
                rms_norm_eps=1e-6)


def metadata(config: Config) -> dict[str, Any]:
    """GGUF keys and values. Raises UserError for a setting that llama.cpp does not compute."""
    full = with_defaults(untied(config), DEFAULTS)
    refuse_unless(full, "hidden_act", "silu", "swish")
    for key in ("attention_bias", "use_sliding_window"):
        refuse_unless(full, key, False)
    refuse_unless(full, "layer_types", ["full_attention"] * full["num_hidden_layers"])
    return {**shape_metadata("qwen3", full),
            **rope_metadata("qwen3", read_rope(full, "linear", "yarn"), full["max_position_embeddings"])}


def tensors(config: Config, present: frozenset[str] = frozenset()) -> list[Tensor]:
    """Every tensor of the GGUF, in order."""
    full = with_defaults(untied(config), DEFAULTS)
    hidden, head = full["hidden_size"], full["head_dim"]
    norms = {"input_layernorm": ("attn_norm", hidden), "post_attention_layernorm": ("ffn_norm", hidden),
             "self_attn.q_norm": ("attn_q_norm", head), "self_attn.k_norm": ("attn_k_norm", head)}
    return [*outer_tensors(full), *own_head(full, present),
            *(t for k in range(full["num_hidden_layers"]) for t in layer_norms(k, norms) + layer_matrices(full, k))]


FAMILY = Family(architecture="qwen3", metadata=metadata, tensors=tensors, text_config=untied,
                vocabularies=(SENTENCEPIECE, BPE))
