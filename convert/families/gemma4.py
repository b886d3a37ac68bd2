"""Gemma 4, the dense sizes' text: the keys and tensors that llama.cpp's architecture "gemma4" reads."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from convert.families.decoder import layer_matrices, layer_norms, outer_tensors, own_head, shape_metadata
from convert.families.settings import cap, number, refuse_unless, table, text_config, whole, with_defaults
from convert.families.tensor import GEMMA_4, Config, Family, Tensor
from models.errors import UserError

DEFAULTS = dict(vocab_size=262_144, hidden_size=2304, intermediate_size=9216, num_hidden_layers=30,
                num_attention_heads=8, num_key_value_heads=4, head_dim=256, max_position_embeddings=131_072,
                rms_norm_eps=1e-6, sliding_window=512, num_kv_shared_layers=0, hidden_size_per_layer_input=256,
                vocab_size_per_layer_input=262_144)
GLOBAL_HEAD, USUAL_PATTERN = 512, 6
WINDOW, GLOBAL = "sliding_attention", "full_attention"
ROPES = {WINDOW: dict(rope_type="default", rope_theta=10_000.0),
         GLOBAL: dict(rope_type="proportional", partial_rotary_factor=0.25, rope_theta=1_000_000.0)}
UNTURNED = 1e30                 # a frequency divided by this does not turn
TOWERS = ("vision_tower", "audio_tower", "embed_vision", "embed_audio")


@dataclass(frozen=True, kw_only=True)
class Layers:
    """Which layers see everything, and the heads of those; which are the first that take another layer's keys."""
    is_global: list[bool]
    head: int
    kv_heads: int
    first_shared: int


def metadata(config: Config) -> dict[str, Any]:
    """GGUF keys and values. Raises UserError for a setting that llama.cpp does not compute."""
    full = _checked(config)
    layers, ropes = _layers(full), _ropes(full)
    inner, wide = full["intermediate_size"], bool(full.get("use_double_wide_mlp"))
    keys = shape_metadata("gemma4", full) | {
        "gemma4.rope.freq_base": number(ropes[GLOBAL], "rope_theta"),
        "gemma4.rope.freq_base_swa": number(ropes[WINDOW], "rope_theta"),
        "gemma4.rope.dimension_count": layers.head, "gemma4.rope.dimension_count_swa": full["head_dim"],
        "gemma4.attention.key_length": layers.head, "gemma4.attention.value_length": layers.head,
        "gemma4.attention.key_length_swa": full["head_dim"], "gemma4.attention.value_length_swa": full["head_dim"],
        "gemma4.attention.sliding_window": whole(full, "sliding_window"),
        "gemma4.attention.sliding_window_pattern": [not one for one in layers.is_global],
        "gemma4.attention.shared_kv_layers": full["num_kv_shared_layers"],
        "gemma4.embedding_length_per_layer_input": full["hidden_size_per_layer_input"] or 0,
        "gemma4.final_logit_softcapping": cap(full, "final_logit_softcapping"),     # no key would mean 30
    }
    if layers.kv_heads != full["num_key_value_heads"]:
        keys["gemma4.attention.head_count_kv"] = [layers.kv_heads if one else full["num_key_value_heads"]
                                                  for one in layers.is_global]
    if wide:
        keys["gemma4.feed_forward_length"] = [inner * (1 + (k >= layers.first_shared))
                                              for k in range(full["num_hidden_layers"])]
    return keys


def tensors(config: Config, present: frozenset[str] = frozenset()) -> list[Tensor]:
    """Every tensor of the GGUF, in order. Files may hold keys and values of layers that take another layer's."""
    full = _checked(config)
    layers, hidden = _layers(full), full["hidden_size"]
    turning = int(layers.head * number(_ropes(full)[GLOBAL], "partial_rotary_factor") / 2)
    factors = np.where(np.arange(layers.head // 2) < turning, 1.0, UNTURNED).astype(np.float32)
    found = [Tensor(source="", name="rope_freqs.weight", shape=factors.shape, kind="F32", values=factors),
             *outer_tensors(full), *own_head(full, present)]
    side = full["hidden_size_per_layer_input"]
    if side:
        together = side * full["num_hidden_layers"]
        found += [Tensor(source="model.embed_tokens_per_layer.weight", name="per_layer_token_embd.weight",
                         shape=(full["vocab_size_per_layer_input"], together)),
                  Tensor(source="model.per_layer_model_projection.weight", name="per_layer_model_proj.weight",
                         shape=(together, hidden)),
                  Tensor(source="model.per_layer_projection_norm.weight", name="per_layer_proj_norm.weight",
                         shape=(side,))]
    for k in range(full["num_hidden_layers"]):
        optional = _unused(full, layers, k)
        found += [t for t in _layer(full, layers, k) if t.source in present or t.source not in optional]
    return found


def _layer(full: Config, layers: Layers, k: int) -> list[Tensor]:
    """Every tensor that a layer may have."""
    own = dict(full)
    if layers.is_global[k]:
        own |= dict(head_dim=layers.head, num_key_value_heads=layers.kv_heads)
    if full.get("use_double_wide_mlp") and k >= layers.first_shared:
        own["intermediate_size"] = 2 * full["intermediate_size"]
    hidden, head, side = own["hidden_size"], own["head_dim"], own["hidden_size_per_layer_input"]
    norms = {"input_layernorm": ("attn_norm", hidden), "self_attn.q_norm": ("attn_q_norm", head),
             "self_attn.k_norm": ("attn_k_norm", head), "post_attention_layernorm": ("post_attention_norm", hidden),
             "pre_feedforward_layernorm": ("ffn_norm", hidden),
             "post_feedforward_layernorm": ("post_ffw_norm", hidden)}
    found = [Tensor(source=f"model.layers.{k}.layer_scalar", name=f"blk.{k}.layer_output_scale.weight", shape=(1,))]
    if side:
        norms["post_per_layer_input_norm"] = ("post_norm", hidden)
        found += [Tensor(source=f"model.layers.{k}.per_layer_input_gate.weight", name=f"blk.{k}.inp_gate.weight",
                         shape=(side, hidden)),
                  Tensor(source=f"model.layers.{k}.per_layer_projection.weight", name=f"blk.{k}.proj.weight",
                         shape=(hidden, side))]
    return layer_norms(k, norms) + layer_matrices(own, k) + found


def _unused(full: Config, layers: Layers, k: int) -> set[str]:
    """The source tensors that layer k does not compute with, so that a file need not hold them."""
    names = ["k_proj", "v_proj", "k_norm"] if k >= layers.first_shared else []
    if full.get("attention_k_eq_v") and layers.is_global[k]:
        names.append("v_proj")
    return {f"model.layers.{k}.self_attn.{name}.weight" for name in names}


def _checked(config: Config) -> dict[str, Any]:
    """The text part's settings. Raises UserError for those that llama.cpp does not compute."""
    full = with_defaults(text_config(config), DEFAULTS)
    refuse_unless(full, "hidden_activation", "gelu_pytorch_tanh")
    refuse_unless(full, "attention_bias", False)
    refuse_unless(full, "use_bidirectional_attention", "vision")
    if full.get("enable_moe_block"):
        raise UserError("config.json has enable_moe_block = true; of Gemma 4 only the dense sizes can be exported yet.")
    shared = whole(full, "num_kv_shared_layers", least=0)
    if shared >= full["num_hidden_layers"]:
        raise UserError(f"config.json has num_kv_shared_layers = {shared!r} for {full['num_hidden_layers']} layers; "
                        "it is damaged.")
    if full["hidden_size_per_layer_input"] is not None:
        whole(full, "hidden_size_per_layer_input", least=0)
    if full["hidden_size_per_layer_input"] and full["vocab_size_per_layer_input"] != full["vocab_size"]:
        raise UserError(f"config.json has vocab_size_per_layer_input = {full['vocab_size_per_layer_input']!r} and "
                        f"vocab_size = {full['vocab_size']}; llama.cpp reads only files where both are the same.")
    return full


def _layers(full: Config) -> Layers:
    """What the layers that see everything have of their own. Old files say it once, new ones for each layer."""
    count, kinds = full["num_hidden_layers"], full.get("layer_types")
    if not kinds:
        kinds = [GLOBAL if (k + 1) % USUAL_PATTERN == 0 or k + 1 == count else WINDOW for k in range(count)]
    if (not isinstance(kinds, list) or len(kinds) != count or any(kind not in (WINDOW, GLOBAL) for kind in kinds)
            or WINDOW not in kinds or kinds[-1] != GLOBAL):
        raise UserError(f"config.json has layer_types = {str(kinds)[:200]} for {count} layers; llama.cpp computes "
                        f"Gemma 4 with both {WINDOW!r} and {GLOBAL!r}, the last layer being of the second kind.")
    heads = full.get("num_global_key_value_heads") if full.get("attention_k_eq_v") else None
    wanted: dict[str, Any] = dict(head_dim=full.get("global_head_dim") or GLOBAL_HEAD,
                                  num_key_value_heads=heads or full["num_key_value_heads"])
    if full.get("per_layer_config") is not None:
        said = table(full, "per_layer_config")
        own = {int(k): dict(table(dict(per_layer_config=value), "per_layer_config"))
               for k, value in said.items() if k.isdecimal() and len(k) < 9}
        wanted = {key: full[key] for key in ("head_dim", "num_key_value_heads")} | own.get(count - 1, {})
        if (own != {k: own.get(count - 1, {}) for k in range(count) if kinds[k] == GLOBAL} or len(wanted) != 2
                or len(own) != len(said)):
            raise UserError("config.json has a per_layer_config that is not the same for all layers of a kind, or "
                            f"changes more than heads: {str(said)[:200]}. llama.cpp does not compute that.")
    wanted["global_head_dim"] = wanted["head_dim"]
    return Layers(is_global=[kind == GLOBAL for kind in kinds], head=whole(wanted, "global_head_dim"),
                  kv_heads=whole(wanted, "num_key_value_heads"), first_shared=count - full["num_kv_shared_layers"])


def _ropes(full: Config) -> dict[str, dict[str, Any]]:
    given = table(full, "rope_parameters")
    ropes = {kind: {**usual, **table(given, kind)} for kind, usual in ROPES.items()}
    if (ropes[WINDOW]["rope_type"], ropes[GLOBAL]["rope_type"]) != ("default", "proportional"):
        raise UserError(f"config.json scales positions with {str(dict(given))[:200]}; Gemma 4 is exported with "
                        "\"proportional\" for the layers that see everything and \"default\" for the others only.")
    return ropes


def canonical(name: str) -> str:
    """The text model's own names, as if there were no towers; those without the model. before them."""
    for start in ("model.language_model.", "language_model.model.", "language_model."):
        if name.startswith(start):
            inner = name.removeprefix(start)
            return inner if inner.startswith(("model.", "lm_head")) else f"model.{inner}"
    inner = name.removeprefix("model.")
    return inner if inner.startswith(TOWERS) else name


def notes(config: Config) -> list[str]:
    """What a person should know of such an export."""
    towers = [name for name in ("vision_config", "audio_config") if config.get(name)]
    return ["Only the text part of Gemma 4 is exported: the files read no pictures and no sound."] if towers else []


FAMILY = Family(architecture="gemma4", metadata=metadata, tensors=tensors, canonical=canonical, notes=notes,
                text_config=text_config, dropped=tuple(f"{name}.*" for name in TOWERS), vocabularies=(GEMMA_4,))
