"""The shape of the demonstration model: a Gemma 3 text model of about ten million parameters."""

import torch
from torch import nn
from transformers import Gemma3ForCausalLM, Gemma3TextConfig, GenerationConfig

from models.demo.vocabulary import BOS, END, EOS, PAD, PIECES

CONTEXT_TOKENS = 2048


def shape() -> Gemma3TextConfig:
    """Widths are multiples of 256, which K-quants need; five sliding layers to one full, as in every Gemma 3."""
    return Gemma3TextConfig(
        vocab_size=PIECES, hidden_size=256, intermediate_size=1024, num_hidden_layers=8,
        num_attention_heads=4, num_key_value_heads=2, head_dim=64, query_pre_attn_scalar=64,
        sliding_window=512, max_position_embeddings=CONTEXT_TOKENS, tie_word_embeddings=True,
        rope_parameters={"full_attention": {"rope_type": "default", "rope_theta": 1_000_000.0},
                         "sliding_attention": {"rope_type": "default", "rope_theta": 10_000.0}},
        pad_token_id=PAD, bos_token_id=BOS, eos_token_id=[EOS, END])


def new_model(seed: int) -> Gemma3ForCausalLM:
    torch.manual_seed(seed)
    model = Gemma3ForCausalLM(shape())
    model.generation_config = GenerationConfig(bos_token_id=BOS, eos_token_id=[EOS, END], pad_token_id=PAD)
    return model


def token_losses(model: nn.Module, ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Loss of each label in nats, 0 where the label is -100: (B, T) float32, computed in bfloat16."""
    with torch.autocast("cpu", torch.bfloat16):
        hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state  # (B, T, hidden)
        logits = model.lm_head(hidden)                                          # (B, T, vocab)
    losses = nn.functional.cross_entropy(logits.flatten(0, 1).float(), labels.flatten(), reduction="none")
    return losses.view_as(labels)
