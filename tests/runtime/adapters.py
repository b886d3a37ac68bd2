"""PEFT adapters written as GGUF LoRA files, as llama.cpp reads them."""

import json
from pathlib import Path

import gguf
import numpy as np
from safetensors.numpy import load_file

PLACES = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
          "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
          "mlp.down_proj": "ffn_down"}


def write_adapter(folder: Path, path: Path, architecture: str = "gemma3", **changes: str) -> Path:
    """Write the PEFT adapter in folder to path; changes replace metadata."""
    alpha = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))["lora_alpha"]
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_string("general.type", changes.get("type", "adapter"))
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", float(alpha))
    for name, values in load_file(folder / "adapter_model.safetensors").items():
        layer, _, rest = name.partition(".layers.")[2].partition(".")
        place, _, half = rest.partition(".lora_")
        writer.add_tensor(f"blk.{layer}.{PLACES[place]}.weight.lora_{half[0].lower()}", values.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
