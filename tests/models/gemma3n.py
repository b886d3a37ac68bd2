"""A small random Gemma 3n as a GGUF: the one family of the catalog that convert/ does not write.

Tensors and keys as llama.cpp's gemma3n.cpp reads them; it fixes four inputs, a rank of 64 and 256 columns a layer.
"""

from pathlib import Path

import gguf
import numpy as np

from models.header import read_header
from tests.tasks.families import vocabulary

LAYERS, WIDTH, HEADS, KV_HEADS, HEAD, INNER = 5, 64, 4, 2, 32, 128
INPUTS, RANK, OF_LAYER = 4, 64, 256
KEYS = {"block_count": LAYERS, "context_length": 1024, "embedding_length": WIDTH, "feed_forward_length": INNER,
        "head_count": HEADS, "head_count_kv": KV_HEADS, "key_length": HEAD, "value_length": HEAD,
        "layer_norm_rms_eps": 1e-6, "sliding_window": 512, "rope_freq_base": 1e6}
WIDE_NORMS = ("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm", "post_norm", "altup_correct_scale",
              "altup_router_norm", "laurel_post_norm")
OF_A_LAYER = {
    **dict.fromkeys(WIDE_NORMS, (WIDTH,)), "attn_q_norm": (HEAD,), "attn_k_norm": (HEAD,),
    "attn_q": (HEADS * HEAD, WIDTH), "attn_k": (KV_HEADS * HEAD, WIDTH), "attn_v": (KV_HEADS * HEAD, WIDTH),
    "attn_output": (WIDTH, HEADS * HEAD), "ffn_gate": (INNER, WIDTH), "ffn_up": (INNER, WIDTH),
    "ffn_down": (WIDTH, INNER), "inp_gate": (OF_LAYER, WIDTH), "proj": (WIDTH, OF_LAYER),
    "altup_correct_coef": (INPUTS, INPUTS), "altup_predict_coef": (INPUTS * INPUTS, INPUTS),
    "altup_router": (INPUTS, WIDTH), "laurel_l": (RANK, WIDTH), "laurel_r": (WIDTH, RANK)}


def write(path: Path, tokenizer_of: Path) -> None:
    """Write one to path, with the vocabulary and the chat template of another GGUF."""
    pieces = vocabulary(tokenizer_of)
    count = len(pieces["tokenizer.ggml.tokens"])
    shapes = {"token_embd": (count, WIDTH), "altup_proj": (INPUTS - 1, WIDTH, WIDTH), "output_norm": (WIDTH,),
              "altup_unembd_proj": (INPUTS - 1, WIDTH, WIDTH), "per_layer_token_embd": (count, OF_LAYER * LAYERS),
              "per_layer_model_proj": (OF_LAYER * LAYERS, WIDTH), "per_layer_proj_norm": (OF_LAYER,),
              **{f"blk.{k}.{name}": shape for k in range(LAYERS) for name, shape in OF_A_LAYER.items()}}
    writer = gguf.GGUFWriter(path, "gemma3n")
    for name, value in KEYS.items():
        getattr(writer, f"add_{name}")(value)
    writer.add_name("Gemma 3n E2B It")
    writer.add_tokenizer_model("llama")
    for key, values in pieces.items():
        writer.add_array(key, values)
    for name, value in (("bos", 2), ("eos", 1), ("unk", 3)):
        getattr(writer, f"add_{name}_token_id")(value)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(read_header(tokenizer_of).template)
    chance = np.random.default_rng(5)
    for name, shape in shapes.items():
        values = np.ones(shape) if len(shape) == 1 else chance.standard_normal(shape) * 0.05
        writer.add_tensor(f"{name}.weight", values.astype(np.float16 if name == "per_layer_token_embd" else np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
