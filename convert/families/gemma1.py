"""Gemma 1: the keys and tensors that llama.cpp's architecture "gemma" reads."""

from typing import Any

from convert.families.tensor import (
    Config,
    Family,
    Tensor,
    layer_matrices,
    layer_norms,
    one_rope,
    outer_tensors,
    refuse_unless,
    shape_metadata,
    with_defaults,
)

DEFAULTS = dict(vocab_size=256000, hidden_size=3072, intermediate_size=24576, num_hidden_layers=28,
                num_attention_heads=16, num_key_value_heads=16, head_dim=256, max_position_embeddings=8192,
                rms_norm_eps=1e-6, tie_word_embeddings=True)


def metadata(config: Config) -> dict[str, Any]:
    """GGUF keys and values. Raises UserError for a setting that llama.cpp does not compute."""
    full = with_defaults(config, DEFAULTS)
    refuse_unless(full, "tie_word_embeddings", True)
    for key in ("hidden_act", "hidden_activation"):     # "gelu" in old files means the tanh form, as in transformers
        refuse_unless(full, key, "gelu_pytorch_tanh", "gelu")
    for key in ("attention_bias", "use_bidirectional_attention"):
        refuse_unless(full, key, False)
    return {**shape_metadata("gemma", full), **one_rope("gemma", full)}


def tensors(config: Config) -> list[Tensor]:
    """Every tensor of the GGUF, in order."""
    full = with_defaults(config, DEFAULTS)
    norms = {"input_layernorm": ("attn_norm", full["hidden_size"]),
             "post_attention_layernorm": ("ffn_norm", full["hidden_size"])}
    layers = range(full["num_hidden_layers"])
    return [*outer_tensors(full), *(t for k in layers for t in layer_norms(k, norms) + layer_matrices(full, k))]


FAMILY = Family(architecture="gemma", metadata=metadata, tensors=tensors, dropped=("lm_head.weight",))
