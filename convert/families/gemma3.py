"""Gemma 3, text only: the keys and tensors that llama.cpp's architecture "gemma3" reads."""

from typing import Any

from convert.families.tensor import (
    Config,
    Family,
    Tensor,
    check_attention_scale,
    layer_matrices,
    layer_norms,
    outer_tensors,
    refuse_unless,
    shape_metadata,
    with_defaults,
)
from models.errors import UserError

DEFAULTS = dict(vocab_size=262_208, hidden_size=2304, intermediate_size=9216, num_hidden_layers=26,
                num_attention_heads=8, num_key_value_heads=4, head_dim=256, max_position_embeddings=131_072,
                rms_norm_eps=1e-6, tie_word_embeddings=True, sliding_window=4096, query_pre_attn_scalar=256)
LAYERS_OF_27B = 62
USUAL_PATTERN = 6               # every sixth layer sees everything: what llama.cpp takes without a key
GLOBAL_THETA, LOCAL_THETA = 1_000_000, 10_000


def metadata(config: Config) -> dict[str, Any]:
    """GGUF keys and values. Raises UserError for a setting that llama.cpp does not compute."""
    full = with_defaults(config, DEFAULTS)
    refuse_unless(full, "tie_word_embeddings", True)
    refuse_unless(full, "hidden_activation", "gelu_pytorch_tanh")
    for key in ("attention_bias", "use_bidirectional_attention"):
        refuse_unless(full, key, False)
    refuse_unless(full, "attn_logit_softcapping")
    check_attention_scale(full, LAYERS_OF_27B)
    keys = {**shape_metadata("gemma3", full), **_rope(full), **_window(full)}
    if full.get("final_logit_softcapping"):
        keys["gemma3.final_logit_softcapping"] = float(full["final_logit_softcapping"])
    return keys


def _rope(config: Config) -> dict[str, Any]:
    """Base frequencies of global and local layers, and the linear scaling of the global ones.

    Old files: rope_theta, rope_local_base_freq, rope_scaling. New: rope_parameters, one entry a layer type.
    """
    new = config.get("rope_parameters") or {}
    wide = {**(config.get("rope_scaling") or {}), **(new.get("full_attention") or {})}
    local = new.get("sliding_attention") or {}
    keys: dict[str, Any] = {
        "gemma3.rope.freq_base": float(wide.get("rope_theta") or config.get("rope_theta") or GLOBAL_THETA),
        "gemma3.rope.freq_base_swa": float(local.get("rope_theta") or config.get("rope_local_base_freq")
                                           or LOCAL_THETA),
    }
    kind = wide.get("rope_type") or wide.get("type") or "default"
    if kind == "linear":
        keys |= {"gemma3.rope.scaling.type": "linear", "gemma3.rope.scaling.factor": float(wide["factor"])}
    if kind not in ("default", "linear") or (local.get("rope_type") or "default") != "default":
        raise UserError(f"config.json scales positions with rope_type {kind!r} (local layers: "
                        f"{local.get('rope_type')!r}); only linear scaling of the global layers can be exported.")
    return keys


def _window(config: Config) -> dict[str, Any]:
    """The sliding window; the layers that have it only where they are not the usual five of six, as upstream."""
    count = config["num_hidden_layers"]
    pattern = config.get("sliding_window_pattern") or config.get("_sliding_window_pattern") or USUAL_PATTERN
    usual = [bool((k + 1) % USUAL_PATTERN) for k in range(count)]
    has_window = [bool((k + 1) % pattern) for k in range(count)]
    if config.get("layer_types"):
        has_window = [kind == "sliding_attention" for kind in config["layer_types"]]
    if not any(has_window):
        return {}
    if not isinstance(config["sliding_window"], int) or len(has_window) != count:
        raise UserError(f"config.json has sliding_window = {config['sliding_window']!r} and {len(has_window)} "
                        f"layer types for {count} layers; it is damaged.")
    keys: dict[str, Any] = {"gemma3.attention.sliding_window": config["sliding_window"]}
    if has_window != usual:
        keys["gemma3.attention.sliding_window_pattern"] = has_window
    return keys


def tensors(config: Config) -> list[Tensor]:
    """Every tensor of the GGUF, in order. Embedding rows beyond the vocabulary are left out."""
    full = with_defaults(config, DEFAULTS)
    hidden, head = full["hidden_size"], full["head_dim"]
    norms = {"input_layernorm": ("attn_norm", hidden), "self_attn.q_norm": ("attn_q_norm", head),
             "self_attn.k_norm": ("attn_k_norm", head), "post_attention_layernorm": ("post_attention_norm", hidden),
             "pre_feedforward_layernorm": ("ffn_norm", hidden),
             "post_feedforward_layernorm": ("post_ffw_norm", hidden)}
    layers = range(full["num_hidden_layers"])
    return [*outer_tensors(full, is_trimmed=True),
            *(t for k in layers for t in layer_norms(k, norms) + layer_matrices(full, k))]


FAMILY = Family(architecture="gemma3", metadata=metadata, tensors=tensors, dropped=("lm_head.weight",))
