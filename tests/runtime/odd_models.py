"""Small random GGUFs of architectures that convert/ does not write: a BERT that embeds, a Mamba without attention."""

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from transformers import BertConfig, BertModel

CLS, SEP = 101, 102
BERT_PLACES = {
    "attention.self.query": "attn_q", "attention.self.key": "attn_k", "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output", "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up", "output.dense": "ffn_down", "output.LayerNorm": "layer_output_norm"}
BERT_OUTER = {
    "embeddings.word_embeddings.weight": "token_embd.weight", "embeddings.position_embeddings.weight":
    "position_embd.weight", "embeddings.token_type_embeddings.weight": "token_types.weight",
    "embeddings.LayerNorm.weight": "token_embd_norm.weight", "embeddings.LayerNorm.bias": "token_embd_norm.bias"}


def write_bert(path: Path) -> BertModel:
    """Write a BERT with WordPiece letters to path; returns the same as transformers has it."""
    words = [f"[unused{k}]" for k in range(100)] + ["[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words += [*"abcdefghijklmnopqrstuvwxyz", *(f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"), "lung", "."]
    torch.manual_seed(3)
    config = BertConfig(vocab_size=len(words), hidden_size=64, num_hidden_layers=2, num_attention_heads=4,
                        intermediate_size=96, max_position_embeddings=128)
    model = BertModel(config, add_pooling_layer=False).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.08)
    writer = gguf.GGUFWriter(path, "bert")
    for name, value in (("block_count", 2), ("context_length", 128), ("embedding_length", 64),
                        ("feed_forward_length", 96), ("head_count", 4), ("layer_norm_eps", config.layer_norm_eps),
                        ("causal_attention", False), ("pooling_type", gguf.PoolingType.MEAN), ("token_type_count", 2),
                        ("tokenizer_model", "bert"), ("tokenizer_pre", "default"), ("unk_token_id", 100),
                        ("sep_token_id", SEP), ("mask_token_id", 103), ("pad_token_id", 0), ("bos_token_id", CLS)):
        getattr(writer, f"add_{name}")(value)
    writer.add_uint32("tokenizer.ggml.cls_token_id", CLS)
    writer.add_token_list([word if word[0] == "[" else word[2:] if word[:2] == "##" else "\u2581" + word
                           for word in words])
    writer.add_token_types([3 if word[0] == "[" else 1 for word in words])
    for name, values in model.state_dict().items():
        place = BERT_OUTER.get(name)
        if name.startswith("encoder.layer."):
            layer, _, rest = name.removeprefix("encoder.layer.").partition(".")
            module, _, leaf = rest.rpartition(".")
            place = f"blk.{layer}.{BERT_PLACES[module]}.{leaf}"
        if place:
            writer.add_tensor(place, values.float().numpy())
    _finish(writer)
    return model


def write_mamba(path: Path, vocabulary: Path) -> None:
    """Write a Mamba of one layer to path, with the vocabulary of another GGUF."""
    writer, draw = gguf.GGUFWriter(path, "mamba"), np.random.default_rng(1)
    for name, value in (("block_count", 1), ("context_length", 256), ("embedding_length", 64),
                        ("feed_forward_length", 0), ("head_count", 0), ("layer_norm_rms_eps", 1e-5),
                        ("ssm_conv_kernel", 4), ("ssm_inner_size", 128), ("ssm_state_size", 16),
                        ("ssm_time_step_rank", 4)):
        getattr(writer, f"add_{name}")(value)
    pieces = _copy_vocabulary(writer, vocabulary)
    for name, shape in (("token_embd.weight", (pieces, 64)), ("output_norm.weight", (64,)),
                        ("blk.0.attn_norm.weight", (64,)), ("blk.0.ssm_in.weight", (256, 64)),
                        ("blk.0.ssm_conv1d.weight", (128, 4)), ("blk.0.ssm_conv1d.bias", (128,)),
                        ("blk.0.ssm_x.weight", (36, 128)), ("blk.0.ssm_dt.weight", (128, 4)),
                        ("blk.0.ssm_dt.bias", (128,)), ("blk.0.ssm_a", (128, 16)), ("blk.0.ssm_d", (128,)),
                        ("blk.0.ssm_out.weight", (64, 128))):
        writer.add_tensor(name, draw.standard_normal(shape, np.float32) * 0.1)
    _finish(writer)


def _copy_vocabulary(writer: Any, source: Path) -> int:
    fields = gguf.GGUFReader(source).fields
    for name, field in fields.items():
        if name.startswith("tokenizer.") and "template" not in name:
            kind = field.types[0]
            own = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(name, field.contents(), kind, sub_type=own)
    return len(fields["tokenizer.ggml.tokens"].contents())


def _finish(writer: Any) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
