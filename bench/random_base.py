"""A Hugging Face folder of random bfloat16 weights at the true shapes of a Gemma 3, and a LoRA adapter for it.

Written tensor by tensor; numbers repeat after eight million. The tokenizer is the public Gemma-shaped one.
"""

import json
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from models import runs
from models.errors import UserError

TOKENIZER = runs.ROOT.parent / "shared/data/models/gemma-vocab/gemma3-shaped.tokenizer.model"
NAMES = dict(bos_token="<bos>", eos_token="<eos>", unk_token="<unk>", pad_token="<pad>", add_bos_token=True,
             tokenizer_class="GemmaTokenizer")
COMMON = dict(architectures=["Gemma3ForCausalLM"], model_type="gemma3_text", head_dim=256, rms_norm_eps=1e-6,
              query_pre_attn_scalar=256, rope_theta=1e6, rope_local_base_freq=1e4,
              hidden_activation="gelu_pytorch_tanh", bos_token_id=2, eos_token_id=1, pad_token_id=0,
              torch_dtype="bfloat16", tie_word_embeddings=True)
SHAPES = {
    "gemma3-270m": dict(vocab_size=262_144, hidden_size=640, intermediate_size=2048, num_hidden_layers=18,
                        num_attention_heads=4, num_key_value_heads=1, max_position_embeddings=32_768,
                        sliding_window=512),
    "gemma3-1b": dict(vocab_size=262_144, hidden_size=1152, intermediate_size=6912, num_hidden_layers=26,
                      num_attention_heads=4, num_key_value_heads=1, max_position_embeddings=32_768,
                      sliding_window=512),
    "gemma3-4b": dict(vocab_size=262_208, hidden_size=2560, intermediate_size=10_240, num_hidden_layers=34,
                      num_attention_heads=8, num_key_value_heads=4, max_position_embeddings=131_072,
                      sliding_window=1024, rope_scaling=dict(rope_type="linear", factor=8.0)),
}
SHARD_BYTES = 5_000_000_000
POOL = 8 << 20
RANK, ALPHA = 16, 32


def write_base(folder: Path, shape: dict[str, Any], tokenizer: Path = TOKENIZER) -> Path:
    """The folder, filled. shape: what config.json says of it, as in SHAPES. Raises UserError without a tokenizer."""
    if not tokenizer.is_file():
        raise UserError(f"There is no tokenizer at {tokenizer}; name a Gemma 3 tokenizer.model with --tokenizer.")
    runs.make_folder(folder)
    config = {**COMMON, **shape}
    (folder / "config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(NAMES), encoding="utf-8")
    shutil.copyfile(tokenizer, folder / "tokenizer.model")
    shutil.copyfile(runs.DEMO_BASE / "chat_template.jinja", folder / "chat_template.jinja")
    _write_sharded(folder, tensors(config))
    return folder


def write_adapter(folder: Path, base: Path) -> Path:
    """The folder, filled: a random LoRA on all seven matrices of every layer."""
    runs.make_folder(folder)
    shapes = {name: shape for name, shape in tensors(json.loads((base / "config.json").read_text())) if "_proj" in name}
    settings = dict(peft_type="LORA", task_type="CAUSAL_LM", r=RANK, lora_alpha=ALPHA, bias="none",
                    base_model_name_or_path=str(base),
                    target_modules=sorted({name.split(".")[-2] for name in shapes}))
    (folder / "adapter_config.json").write_text(json.dumps(settings), encoding="utf-8")
    pairs = {}
    for name, (rows, columns) in shapes.items():
        stem = f"base_model.model.{name.removesuffix('.weight')}"
        pairs[f"{stem}.lora_A.weight"], pairs[f"{stem}.lora_B.weight"] = (RANK, columns), (rows, RANK)
    _write(folder / "adapter_model.safetensors", list(pairs.items()), "F32")
    return folder


def tensors(config: dict) -> list[tuple[str, tuple[int, ...]]]:
    """Name and shape of every tensor, as transformers saves a Gemma 3 of text."""
    hidden, inner, head = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    queries, keys = config["num_attention_heads"] * head, config["num_key_value_heads"] * head
    layer = {
        "input_layernorm": (hidden,), "mlp.down_proj": (hidden, inner), "mlp.gate_proj": (inner, hidden),
        "mlp.up_proj": (inner, hidden), "post_attention_layernorm": (hidden,), "post_feedforward_layernorm": (hidden,),
        "pre_feedforward_layernorm": (hidden,), "self_attn.k_norm": (head,), "self_attn.k_proj": (keys, hidden),
        "self_attn.o_proj": (hidden, queries), "self_attn.q_norm": (head,), "self_attn.q_proj": (queries, hidden),
        "self_attn.v_proj": (keys, hidden),
    }
    return [("model.embed_tokens.weight", (config["vocab_size"], hidden)), ("model.norm.weight", (hidden,)),
            *((f"model.layers.{k}.{name}.weight", shape) for k in range(config["num_hidden_layers"])
              for name, shape in layer.items())]


def _write_sharded(folder: Path, entries: list[tuple[str, tuple[int, ...]]]) -> None:
    shards: list[list[tuple[str, tuple[int, ...]]]] = [[]]
    for entry in entries:
        if shards[-1] and sum(2 * math.prod(shape) for _, shape in [*shards[-1], entry]) > SHARD_BYTES:
            shards.append([])
        shards[-1].append(entry)
    if len(shards) == 1:
        _write(folder / "model.safetensors", entries, "BF16")
        return
    names = [f"model-{k:05}-of-{len(shards):05}.safetensors" for k in range(1, len(shards) + 1)]
    for name, shard in zip(names, shards, strict=True):
        _write(folder / name, shard, "BF16")
    where = {tensor: name for name, shard in zip(names, shards, strict=True) for tensor, _ in shard}
    total = sum(2 * math.prod(shape) for _, shape in entries)
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {"total_size": total}, "weight_map": where}), encoding="utf-8")


def _write(path: Path, entries: list[tuple[str, tuple[int, ...]]], dtype: str) -> None:
    """A safetensors file of random numbers."""
    width, at, header = {"F32": 4, "BF16": 2}[dtype], 0, {"__metadata__": {"format": "pt"}}
    for name, shape in entries:
        end = at + width * math.prod(shape)
        header[name], at = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, end]}, end
    raw = json.dumps(header).encode()
    raw = raw.ljust(-(-len(raw) // 8) * 8)
    pool = np.random.default_rng(11).standard_normal(POOL, np.float32) * np.float32(0.02)
    stored = pool if dtype == "F32" else (pool.view(np.uint32) >> 16).astype(np.uint16)
    with runs.whole_file(path) as part, part.open("wb") as file:
        file.write(len(raw).to_bytes(8, "little") + raw)
        for k, (_, shape) in enumerate(entries):
            for piece in _pieces(stored, math.prod(shape), 7919 * k):
                file.write(piece.data)


def _pieces(pool: np.ndarray, count: int, start: int) -> Iterator[np.ndarray]:
    """So many numbers, from start of the pool on and round again."""
    at = start % len(pool)
    while count:
        piece = pool[at:at + count]
        yield piece
        count, at = count - len(piece), 0
