"""Gemma 1: the keys and tensors that llama.cpp's architecture "gemma" reads."""

from typing import Any

from convert.families.decoder import layer_matrices, layer_norms, outer_tensors, plus_one, shape_metadata
from convert.families.rope import THETA, read_rope
from convert.families.settings import refuse_head, refuse_unless, tied, with_defaults
from convert.families.tensor import Config, Family, Tensor

DEFAULTS = dict(vocab_size=256000, hidden_size=3072, intermediate_size=24576, num_hidden_layers=28,
                num_attention_heads=16, num_key_value_heads=16, head_dim=256, max_position_embeddings=8192,
                rms_norm_eps=1e-6)


def metadata(config: Config) -> dict[str, Any]:
    """GGUF keys and values. Raises UserError for a setting that llama.cpp does not compute."""
    full = with_defaults(tied(config), DEFAULTS)
    refuse_head(full, frozenset(), "Gemma 1")
    for key in ("hidden_act", "hidden_activation"):     # "gelu" in old files means the tanh form, as in transformers
        refuse_unless(full, key, "gelu_pytorch_tanh", "gelu")
    for key in ("attention_bias", "use_bidirectional_attention"):
        refuse_unless(full, key, False)
    return {**shape_metadata("gemma", full), **other_theta("gemma", full)}


def other_theta(arch: str, config: Config) -> dict[str, Any]:
    """The base frequency, where it is not the usual one: upstream never writes it for Gemma 1 and 2."""
    theta = read_rope(config).theta
    return {} if theta == THETA else {f"{arch}.rope.freq_base": theta}


def tensors(config: Config, present: frozenset[str] = frozenset()) -> list[Tensor]:
    """Every tensor of the GGUF, in order."""
    full = with_defaults(tied(config), DEFAULTS)
    refuse_head(full, present, "Gemma 1")
    norms = {"input_layernorm": ("attn_norm", full["hidden_size"]),
             "post_attention_layernorm": ("ffn_norm", full["hidden_size"])}
    layers = range(full["num_hidden_layers"])
    return [*outer_tensors(full, plus_one),
            *(t for k in layers for t in layer_norms(k, norms, plus_one) + layer_matrices(full, k))]


FAMILY = Family(architecture="gemma", metadata=metadata, tensors=tensors, text_config=tied)
