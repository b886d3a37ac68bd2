"""Tiny models of every family, the same bytes on every machine: what upstream made of them stands in golden.json."""

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

TOKENIZER_FILES = ("tokenizer.model", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
VOCAB = 8192                    # pieces of the embedded model's tokenizer
DTYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
SIZES = dict(vocab_size=VOCAB, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, head_dim=16, max_position_embeddings=512, rms_norm_eps=1e-6,
             bos_token_id=2, eos_token_id=1, pad_token_id=0)
VISION = dict(hidden_size=48, intermediate_size=80, num_hidden_layers=2, num_attention_heads=4, image_size=56,
              patch_size=14, model_type="siglip_vision_model", vision_use_head=False)
LLAMA3 = dict(rope_type="llama3", factor=32.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=64)
CARD = """---
license: gemma
license_name: terms
version: "1.5"
tags:
- medical
- chest-x-ray
language:
- en
- no
pipeline_tag: image-text-to-text
base_model: google/gemma-3-4b-pt
datasets:
- someone/notes-v2
---
# A card
"""
PICTURES = dict(image_mean=[0.5, 0.4, 0.3], image_std=[0.5, 0.25, 0.125], image_seq_length=4,
                image_processor_type="Gemma3ImageProcessor", size=dict(height=56, width=56))


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A model: its config.json, type of its weights, number of files, and other files beside them."""
    config: dict[str, Any]
    dtype: str = "bf16"
    shards: int = 1
    files: dict[str, Any] = field(default_factory=dict)


def kind_of(model_type: str, architecture: str, **settings: Any) -> dict[str, Any]:
    return dict(model_type=model_type, architectures=[architecture], **{**SIZES, **settings})


SEEING = dict(model_type="gemma3", architectures=["Gemma3ForConditionalGeneration"], mm_tokens_per_image=4,
              text_config=kind_of("gemma3_text", "Gemma3ForCausalLM", sliding_window=32, query_pre_attn_scalar=16,
                                  rope_scaling=dict(factor=8.0, rope_type="linear")), vision_config=VISION)
GEMMA_4 = kind_of(
    "gemma4_text", "Gemma4ForCausalLM", num_hidden_layers=5, sliding_window=32, hidden_size_per_layer_input=16,
    vocab_size_per_layer_input=VOCAB, final_logit_softcapping=30.0, enable_moe_block=False, global_head_dim=32,
    layer_types=["sliding_attention"] * 2 + ["full_attention", "sliding_attention", "full_attention"])
KINDS = {
    "gemma-tiny-0.3M-it": Kind(config=kind_of("gemma", "GemmaForCausalLM")),
    "gemma-2": Kind(dtype="f32", config=kind_of(
        "gemma2", "Gemma2ForCausalLM", sliding_window=32, query_pre_attn_scalar=16, attn_logit_softcapping=50.0,
        final_logit_softcapping=30.0), files={"generation_config.json": dict(top_k=5, repetition_penalty=1.5)}),
    "gemma-3-text": Kind(shards=2, config=kind_of(
        "gemma3_text", "Gemma3ForCausalLM", sliding_window=32, sliding_window_pattern=6, query_pre_attn_scalar=16,
        num_hidden_layers=7, rope_scaling=dict(factor=8.0, rope_type="linear"), rope_theta=2e6,
        rope_local_base_freq=5e3, final_logit_softcapping=20.0),
        files={"generation_config.json": dict(top_k=64, top_p=0.95, temperature=0.7, do_sample=True)}),
    "gemma-3-seeing": Kind(config=SEEING, files={"README.md": CARD, "preprocessor_config.json": PICTURES}),
    "gemma-3-seeing-f16": Kind(config=SEEING, dtype="f16", files={"preprocessor_config.json": PICTURES}),
    "gemma-4-small": Kind(config=GEMMA_4 | dict(num_kv_shared_layers=2, use_double_wide_mlp=True)),
    "gemma-4-large": Kind(dtype="f32", config=GEMMA_4 | dict(
        hidden_size_per_layer_input=0, attention_k_eq_v=True, num_global_key_value_heads=1, num_kv_shared_layers=0,
        use_bidirectional_attention="vision", rope_parameters=dict(
            sliding_attention=dict(rope_type="default", rope_theta=2e4),
            full_attention=dict(rope_type="proportional", rope_theta=5e5, partial_rotary_factor=0.5)))),
    "llama-3": Kind(dtype="f16", config=kind_of(
        "llama", "LlamaForCausalLM", rope_theta=500_000.0, rope_scaling=LLAMA3, tie_word_embeddings=False)),
    "llama-with-biases": Kind(dtype="f32", config=kind_of(
        "llama", "LlamaForCausalLM", attention_bias=True, mlp_bias=True, tie_word_embeddings=True, head_dim=8,
        rope_scaling=dict(type="linear", factor=2.0))),
    "qwen-3": Kind(config=kind_of("qwen3", "Qwen3ForCausalLM", rope_theta=1e6, tie_word_embeddings=True)),
    "qwen-3-long": Kind(dtype="f32", shards=3, config=kind_of(
        "qwen3", "Qwen3ForCausalLM", rope_theta=1e6, tie_word_embeddings=False, num_key_value_heads=4,
        rope_scaling=dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=128))),
}


def make(name: str, folder: Path, tokenizer: Path, is_sharp: bool = False) -> Path:
    """Save the model called name in folder/name, with the tokenizer's files.

    is_sharp: with other weights than those in golden.json, under which every part of a layer moves the logits.
    """
    kind, out = KINDS[name], folder / name
    out.mkdir(parents=True)
    for file, content in {"config.json": kind.config, **kind.files}.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (out / file).write_text(text, encoding="utf-8")
    for file in TOKENIZER_FILES:
        if (tokenizer / file).is_file():
            shutil.copyfile(tokenizer / file, out / file)
    draw = np.random.default_rng(len(name))
    tensors = {source: torch.from_numpy(draw.normal(0, 0.1, shape) + 0.01).to(DTYPES[kind.dtype])
               for source, shape in sorted(shapes(kind.config).items())}
    if is_sharp:
        tensors = {source: sharpened(source, values, kind.config) for source, values in tensors.items()}
    _save(out, tensors, kind.shards)
    return out


def sharpened(source: str, values: torch.Tensor, config: dict[str, Any]) -> torch.Tensor:
    """Norms around one, and attention that looks at some tokens more than at others."""
    model_type = config.get("text_config", config)["model_type"]
    if "vision" in source or "mm_" in source:
        return values
    if "norm" in source or "layer_scalar" in source:
        return values + (0 if model_type in ("gemma", "gemma2", "gemma3_text") else 1)
    return values * (4 if "self_attn" in source and source.endswith("weight") else 1)


def _save(out: Path, tensors: dict[str, torch.Tensor], shards: int) -> None:
    if shards == 1:
        save_file(tensors, out / "model.safetensors")
        return
    placed = {name: f"model-{k % shards + 1:05}-of-{shards:05}.safetensors" for k, name in enumerate(tensors)}
    for file in set(placed.values()):
        save_file({name: values for name, values in tensors.items() if placed[name] == file}, out / file)
    (out / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": placed}))


def shapes(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """{name: shape} as the published files have them."""
    if "text_config" in config:
        text = shapes(config["text_config"])
        return {f"language_model.{name}": shape for name, shape in text.items()} | _vision(config)
    if config["model_type"] == "gemma4_text":
        return _gemma_4(config)
    hidden, inner, head = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    queries, keys = config["num_attention_heads"] * head, config["num_key_value_heads"] * head
    found: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (VOCAB, hidden), "model.norm.weight": (hidden,)}
    if not config.get("tie_word_embeddings", True):
        found["lm_head.weight"] = (VOCAB, hidden)
    norms = {"input_layernorm": hidden, "post_attention_layernorm": hidden}
    if config["model_type"] in ("gemma2", "gemma3_text"):
        norms |= {"pre_feedforward_layernorm": hidden, "post_feedforward_layernorm": hidden}
    if config["model_type"] in ("gemma3_text", "qwen3"):
        norms |= {"self_attn.q_norm": head, "self_attn.k_norm": head}
    linear = {"self_attn.q_proj": (queries, hidden), "self_attn.k_proj": (keys, hidden),
              "self_attn.v_proj": (keys, hidden), "self_attn.o_proj": (hidden, queries),
              "mlp.gate_proj": (inner, hidden), "mlp.up_proj": (inner, hidden), "mlp.down_proj": (hidden, inner)}
    for k in range(config["num_hidden_layers"]):
        found |= {f"model.layers.{k}.{name}.weight": (length,) for name, length in norms.items()}
        found |= {f"model.layers.{k}.{name}.weight": shape for name, shape in linear.items()}
        if config.get("attention_bias"):
            found |= {f"model.layers.{k}.{name}.bias": shape[:1] for name, shape in linear.items()}
    return found


def _vision(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    vision, tower = config["vision_config"], "vision_tower.vision_model"
    hidden, inner, patch = vision["hidden_size"], vision["intermediate_size"], vision["patch_size"]
    found: dict[str, tuple[int, ...]] = {
        "multi_modal_projector.mm_input_projection_weight": (hidden, config["text_config"]["hidden_size"]),
        "multi_modal_projector.mm_soft_emb_norm.weight": (hidden,),
        f"{tower}.embeddings.patch_embedding.weight": (hidden, 3, patch, patch),
        f"{tower}.embeddings.patch_embedding.bias": (hidden,),
        f"{tower}.embeddings.position_embedding.weight": ((vision["image_size"] // patch) ** 2, hidden),
        f"{tower}.post_layernorm.weight": (hidden,), f"{tower}.post_layernorm.bias": (hidden,)}
    inside = {"layer_norm1": (hidden,), "layer_norm2": (hidden,), "mlp.fc1": (inner, hidden),
              "mlp.fc2": (hidden, inner),
              **{f"self_attn.{one}_proj": (hidden, hidden) for one in ("q", "k", "v", "out")}}
    for k in range(vision["num_hidden_layers"]):
        for name, shape in inside.items():
            found |= {f"{tower}.encoder.layers.{k}.{name}.weight": shape,
                      f"{tower}.encoder.layers.{k}.{name}.bias": shape[:1]}
    return found


def _gemma_4(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """As published, with the keys and values of layers that take another layer's."""
    count, side, hidden = config["num_hidden_layers"], config["hidden_size_per_layer_input"], config["hidden_size"]
    found: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (VOCAB, hidden), "model.norm.weight": (hidden,)}
    if side:
        found |= {"model.embed_tokens_per_layer.weight": (VOCAB, count * side),
                  "model.per_layer_model_projection.weight": (count * side, hidden),
                  "model.per_layer_projection_norm.weight": (side,)}
    for k, kind in enumerate(config["layer_types"]):
        is_global = kind == "full_attention"
        head = config["global_head_dim"] if is_global else config["head_dim"]
        is_same = is_global and config.get("attention_k_eq_v", False)
        heads = config["num_global_key_value_heads"] if is_same else config["num_key_value_heads"]
        is_wide = config.get("use_double_wide_mlp") and k >= count - config["num_kv_shared_layers"]
        inner, queries = config["intermediate_size"] * (1 + bool(is_wide)), config["num_attention_heads"] * head
        shapes = {"input_layernorm.weight": (hidden,), "post_attention_layernorm.weight": (hidden,),
                  "pre_feedforward_layernorm.weight": (hidden,), "post_feedforward_layernorm.weight": (hidden,),
                  "self_attn.q_norm.weight": (head,), "self_attn.k_norm.weight": (head,),
                  "self_attn.q_proj.weight": (queries, hidden), "self_attn.k_proj.weight": (heads * head, hidden),
                  "self_attn.v_proj.weight": (heads * head, hidden), "self_attn.o_proj.weight": (hidden, queries),
                  "mlp.gate_proj.weight": (inner, hidden), "mlp.up_proj.weight": (inner, hidden),
                  "mlp.down_proj.weight": (hidden, inner), "layer_scalar": (1,)}
        if side:
            shapes |= {"per_layer_input_gate.weight": (side, hidden), "per_layer_projection.weight": (hidden, side),
                       "post_per_layer_input_norm.weight": (hidden,)}
        if is_same:
            del shapes["self_attn.v_proj.weight"]
        found |= {f"model.layers.{k}.{name}": shape for name, shape in shapes.items()}
    return found
