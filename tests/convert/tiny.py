"""Small random Gemma models and adapters, built from a config in memory."""

import contextlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    Gemma4TextConfig,
    GemmaConfig,
    LlamaConfig,
    PreTrainedModel,
    Qwen3Config,
)

from models.base import fingerprint

TOKENIZER_FILES = ("tokenizer.model", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
SIZES = dict(hidden_size=64, intermediate_size=96, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
             head_dim=16, max_position_embeddings=512, pad_token_id=0, eos_token_id=1, bos_token_id=2)
CONFIGS = {"gemma": GemmaConfig, "gemma2": Gemma2Config, "gemma3_text": Gemma3TextConfig,
           "gemma4_text": Gemma4TextConfig, "llama": LlamaConfig, "qwen3": Qwen3Config}
END_OF_TURN = 5                 # in the embedded model's tokenizer
MATRICES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def make_base(folder: Path, family: str, tokenizer: Path, **settings: Any) -> Path:
    """Save a random model of the family in folder, with the tokenizer's files.

    bf16=True rounds its weights; terse=True makes its answers end at once.
    """
    is_bf16, is_terse = settings.pop("bf16", False), settings.pop("terse", False)
    pieces = len(json.loads((tokenizer / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"])
    own = {"query_pre_attn_scalar": 16, "sliding_window": 32} if family in ("gemma2", "gemma3_text") else {}
    if family == "gemma3_text":
        own["sliding_window_pattern"] = 3
    if family == "gemma4_text":
        own = dict(num_hidden_layers=5, sliding_window=32, global_head_dim=32, hidden_size_per_layer_input=16,
                   vocab_size_per_layer_input=pieces, layer_types=[
                       "sliding_attention", "sliding_attention", "full_attention", "sliding_attention",
                       "full_attention"])
    config = CONFIGS[family](vocab_size=pieces, **{**SIZES, **own, **settings})
    model = random_model(config)
    if is_terse:
        make_terse(model)
    model.to(torch.bfloat16 if is_bf16 else torch.float32).save_pretrained(folder)
    for name in TOKENIZER_FILES:
        if (tokenizer / name).is_file():
            shutil.copyfile(tokenizer / name, folder / name)
    return folder


def random_model(config: Any) -> PreTrainedModel:
    """Weights large enough that attention, norms and both caps matter.

    The feed-forward parts are kept small, as in trained models: llama.cpp reads GELU from a float16 table,
    which alone moves logits by a thousandth of their spread.
    """
    torch.manual_seed(20)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    with torch.no_grad():
        for name, weight in model.named_parameters():
            spread = 0.3 if "norm" in name else 0.06 if "embed" in name else 0.04 if "down_proj" in name else 0.12
            weight.normal_(-0.7 if "post_feedforward" in name else 0, spread)
    return model.eval()


def make_terse(model: PreTrainedModel) -> None:
    """Turn the embedding of <end_of_turn> towards what the model says everywhere, so that its answers end."""
    with torch.no_grad():
        hidden = model.model(input_ids=torch.arange(6, 256)[None]).last_hidden_state[0]
        model.get_input_embeddings().weight[END_OF_TURN] = hidden.mean(0) * 3


def make_adapter(folder: Path, base: Path, note: bool = True, **settings: Any) -> Path:
    """Save a random LoRA adapter for base in folder; note: with our base.json beside it."""
    torch.manual_seed(7)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    config = LoraConfig(**{"r": 4, "lora_alpha": 8, "target_modules": MATRICES, "task_type": "CAUSAL_LM", **settings})
    tuned = get_peft_model(model, config)
    with torch.no_grad():
        for name, weight in tuned.named_parameters():
            if "lora_" in name or "modules_to_save" in name:
                weight.normal_(0, 0.1)
    tuned.save_pretrained(folder)
    if note:
        (folder / "base.json").write_text(json.dumps(
            {"path": str(base), "fingerprint": fingerprint(base), "family": "any"}), encoding="utf-8")
    return folder


def merged_by_peft(base: Path, adapter: Path) -> dict[str, torch.Tensor]:
    """The state dict after peft's own merge_and_unload in float32."""
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    return PeftModel.from_pretrained(model, str(adapter)).merge_and_unload().state_dict()


def fill(disk: Path) -> None:
    """Write to disk until it is full."""
    filler = os.open(disk / "filler", os.O_WRONLY | os.O_CREAT)
    try:
        with contextlib.suppress(OSError):
            while True:
                os.write(filler, bytes(4096))
    finally:
        os.close(filler)
