"""Gemma 2: the keys and tensors that llama.cpp's architecture "gemma2" reads."""

from typing import Any

from convert.families.decoder import layer_matrices, layer_norms, outer_tensors, plus_one, shape_metadata
from convert.families.gemma1 import other_theta
from convert.families.settings import (
    check_attention_scale,
    number,
    refuse_head,
    refuse_unless,
    tied,
    whole,
    with_defaults,
)
from convert.families.tensor import Config, Family, Tensor
from models.errors import UserError

DEFAULTS = dict(vocab_size=256000, hidden_size=2304, intermediate_size=9216, num_hidden_layers=26,
                num_attention_heads=8, num_key_value_heads=4, head_dim=256, max_position_embeddings=8192,
                rms_norm_eps=1e-6, sliding_window=4096, query_pre_attn_scalar=256,
                attn_logit_softcapping=50.0, final_logit_softcapping=30.0)
LAYERS_OF_27B = 46


def metadata(config: Config) -> dict[str, Any]:
    """GGUF keys and values. Raises UserError for a setting that llama.cpp does not compute."""
    full = with_defaults(tied(config), DEFAULTS)
    refuse_head(full, frozenset(), "Gemma 2")
    refuse_unless(full, "hidden_activation", "gelu_pytorch_tanh")
    for key in ("attention_bias", "use_bidirectional_attention"):
        refuse_unless(full, key, False)
    alternating = [("sliding_attention", "full_attention")[k % 2] for k in range(full["num_hidden_layers"])]
    refuse_unless(full, "layer_types", alternating)
    check_attention_scale(full, LAYERS_OF_27B)
    keys = {**shape_metadata("gemma2", full), **other_theta("gemma2", full)}
    for key in ("attn_logit_softcapping", "final_logit_softcapping", "sliding_window"):
        if not full[key]:
            raise UserError(f"config.json has {key} = {full[key]!r}; llama.cpp always applies it to Gemma 2.")
    keys["gemma2.attn_logit_softcapping"] = number(full, "attn_logit_softcapping")
    keys["gemma2.final_logit_softcapping"] = number(full, "final_logit_softcapping")
    keys["gemma2.attention.sliding_window"] = whole(full, "sliding_window")
    return keys


def tensors(config: Config, present: frozenset[str] = frozenset()) -> list[Tensor]:
    """Every tensor of the GGUF, in order."""
    full = with_defaults(tied(config), DEFAULTS)
    refuse_head(full, present, "Gemma 2")
    hidden = full["hidden_size"]
    norms = {"input_layernorm": ("attn_norm", hidden), "post_attention_layernorm": ("post_attention_norm", hidden),
             "pre_feedforward_layernorm": ("ffn_norm", hidden),
             "post_feedforward_layernorm": ("post_ffw_norm", hidden)}
    layers = range(full["num_hidden_layers"])
    return [*outer_tensors(full, plus_one),
            *(t for k in layers for t in layer_norms(k, norms, plus_one) + layer_matrices(full, k))]


FAMILY = Family(architecture="gemma2", metadata=metadata, tensors=tensors, text_config=tied)
