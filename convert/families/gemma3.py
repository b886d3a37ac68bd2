"""Gemma 3, text alone or with a vision tower: what llama.cpp's architecture "gemma3" reads."""

import re
from pathlib import Path
from typing import Any

from convert.families.decoder import layer_matrices, layer_norms, outer_tensors, own_head, plus_one, shape_metadata
from convert.families.rope import Rope
from convert.families.settings import (
    cap,
    check_attention_scale,
    number,
    refuse_unless,
    table,
    text_config,
    whole,
    with_defaults,
)
from convert.families.siglip import TOWER, UNUSED, siglip
from convert.families.tensor import BPE, SENTENCEPIECE, Config, Family, Projector, Tensor
from models.errors import UserError

DEFAULTS = dict(vocab_size=262_208, hidden_size=2304, intermediate_size=9216, num_hidden_layers=26,
                num_attention_heads=8, num_key_value_heads=4, head_dim=256, max_position_embeddings=131_072,
                rms_norm_eps=1e-6, sliding_window=4096, query_pre_attn_scalar=256)
LAYERS_OF_27B = 62
USUAL_PATTERN = 6               # every sixth layer sees everything: what llama.cpp takes without a key
KINDS = ("sliding_attention", "full_attention")
GLOBAL_THETA, LOCAL_THETA = 1_000_000, 10_000


def metadata(config: Config) -> dict[str, Any]:
    """GGUF keys and values. Raises UserError for a setting that llama.cpp does not compute."""
    full = with_defaults(text_config(config), DEFAULTS)
    refuse_unless(full, "hidden_activation", "gelu_pytorch_tanh")
    for key in ("attention_bias", "use_bidirectional_attention"):
        refuse_unless(full, key, False)
    refuse_unless(full, "attn_logit_softcapping")
    check_attention_scale(full, LAYERS_OF_27B)
    keys = {**shape_metadata("gemma3", full), **_rope(full), **_window(full)}
    limit = cap(full, "final_logit_softcapping")
    return keys | {"gemma3.final_logit_softcapping": limit} if limit else keys


def _rope(config: Config) -> dict[str, Any]:
    """Base frequencies of global and local layers, and the linear scaling of the global ones.

    Old files: rope_theta, rope_local_base_freq, rope_scaling. New: rope_parameters, one entry a layer type.
    """
    new = table(config, "rope_parameters")
    wide = {**table(config, "rope_scaling"), **table(new, "full_attention")}
    local = table(new, "sliding_attention")
    thetas = dict(rope_theta=wide.get("rope_theta") or config.get("rope_theta") or GLOBAL_THETA,
                  rope_local_base_freq=local.get("rope_theta") or config.get("rope_local_base_freq") or LOCAL_THETA)
    keys: dict[str, Any] = {"gemma3.rope.freq_base": number(thetas, "rope_theta"),
                            "gemma3.rope.freq_base_swa": number(thetas, "rope_local_base_freq")}
    kind = wide.get("rope_type") or wide.get("type") or "default"
    if kind == "linear":
        factor = Rope(kind=kind, theta=GLOBAL_THETA, settings=wide).number("factor")
        keys |= {"gemma3.rope.scaling.type": "linear", "gemma3.rope.scaling.factor": factor}
    if kind not in ("default", "linear") or (local.get("rope_type") or "default") != "default":
        raise UserError(f"config.json scales positions with rope_type {kind!r} (local layers: "
                        f"{local.get('rope_type')!r}); only linear scaling of the global layers can be exported.")
    return keys


def _window(config: Config) -> dict[str, Any]:
    """The sliding window; the layers that have it only where they are not the usual five of six, as upstream."""
    count = config["num_hidden_layers"]
    pattern = whole(dict(sliding_window_pattern=config.get("sliding_window_pattern")
                         or config.get("_sliding_window_pattern") or USUAL_PATTERN), "sliding_window_pattern")
    usual = [bool((k + 1) % USUAL_PATTERN) for k in range(count)]
    has_window = [bool((k + 1) % pattern) for k in range(count)]
    kinds = config.get("layer_types")
    if kinds:
        if not isinstance(kinds, list) or len(kinds) != count or any(kind not in KINDS for kind in kinds):
            raise UserError(f"config.json has layer_types = {str(kinds)[:80]} for {count} layers; it must name "
                            f"{' or '.join(KINDS)} for each.")
        has_window = [kind == KINDS[0] for kind in kinds]
    if not any(has_window):
        return {}
    keys: dict[str, Any] = {"gemma3.attention.sliding_window": whole(config, "sliding_window")}
    if has_window != usual:
        keys["gemma3.attention.sliding_window_pattern"] = has_window
    return keys


def tensors(config: Config, present: frozenset[str] = frozenset()) -> list[Tensor]:
    """Every tensor of the GGUF, in order. Embedding rows beyond the vocabulary are left out."""
    full = with_defaults(text_config(config), DEFAULTS)
    hidden, head = full["hidden_size"], full["head_dim"]
    norms = {"input_layernorm": ("attn_norm", hidden), "self_attn.q_norm": ("attn_q_norm", head),
             "self_attn.k_norm": ("attn_k_norm", head), "post_attention_layernorm": ("post_attention_norm", hidden),
             "pre_feedforward_layernorm": ("ffn_norm", hidden),
             "post_feedforward_layernorm": ("post_ffw_norm", hidden)}
    layers = range(full["num_hidden_layers"])
    return [*outer_tensors(full, plus_one, is_trimmed=True), *own_head(full, present, is_trimmed=True),
            *(t for k in layers for t in layer_norms(k, norms, plus_one) + layer_matrices(full, k))]


def canonical(name: str) -> str:
    """The text model's own names, as if there were no vision tower; the tower's and the projector's as published.

    Published files have language_model.model.X and vision_tower.vision_model.X, transformers 5 calls them
    model.language_model.X and model.vision_tower.X in memory, and saves a mixture.
    """
    name = re.sub(r"^model\.(?=(language_model|vision_tower|multi_modal_projector)\b)", "", name)
    if name.startswith("language_model."):
        inner = name.removeprefix("language_model.")
        return inner if inner.startswith(("model.", "lm_head")) else f"model.{inner}"
    if name.startswith("vision_tower.") and not name.startswith(f"{TOWER}."):
        return name.replace("vision_tower", TOWER, 1)
    return name


def projector(config: Config, folder: Path) -> Projector | None:
    """The mmproj of a model with a vision tower."""
    if not table(config, "vision_config"):
        return None
    width = with_defaults(text_config(config), DEFAULTS)["hidden_size"]
    return siglip(config, width, folder)


FAMILY = Family(architecture="gemma3", metadata=metadata, tensors=tensors, canonical=canonical,
                text_config=text_config, projector=projector, dropped=(UNUSED,), vocabularies=(SENTENCEPIECE, BPE))
