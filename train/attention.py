"""Attention for batches without padding: samples laid end to end, each attending to itself alone."""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from train.config import TrainConfig

SEGMENTS = "galen_segments"
SOFTCAPPED = ("gemma2",)            # families whose soft-capping only eager attention applies


def is_packed(config: TrainConfig, device: str, family: str) -> bool:
    """True if the samples of a batch are laid end to end; if not, they are padded and grouped by length.

    On a CPU short samples one by one cost more than the padding that they save.
    """
    if config.packing == "auto":
        return device == "cuda" and family not in SOFTCAPPED
    return config.packing == "on"


def choose_attention(config: TrainConfig, device: str, family: str) -> str:
    """The name of the attention, as transformers wants it."""
    if family in SOFTCAPPED:
        return "eager"
    return SEGMENTS if is_packed(config, device, family) else "sdpa"


def attend(module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor,
           attention_mask: torch.Tensor | None, lengths: Sequence[int] | None = None,
           sliding_window: int | None = None, **options: Any) -> tuple[torch.Tensor, None]:
    """What transformers' SDPA gives; with lengths, for each of the samples of the one row by itself.

    query, key, value (1, heads, T, width); the lengths' sum is T. attention_mask is for calls without lengths.
    """
    if lengths is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, sliding_window=sliding_window,
                                      **options)
    parts = zip(*(tensor.split(lengths, dim=2) for tensor in (query, key, value)), strict=True)
    outputs = []
    for q, k, v in parts:
        band = _band(q.shape[2], sliding_window, q.device)
        outputs.append(sdpa_attention_forward(module, q, k, v, band, **options)[0])
    return torch.cat(outputs, dim=1), None


def no_mask(device: torch.device) -> torch.Tensor:
    """What keeps transformers from making a (T, T) mask that attend would not look at: one that is made already."""
    return torch.ones(1, 1, 1, 1, dtype=torch.bool, device=device)


def _band(length: int, window: int | None, device: torch.device) -> torch.Tensor | None:
    """(1, 1, length, length) bool, True where attended to; None where plain causal attention says the same."""
    if window is None or length <= window:
        return None
    at = torch.arange(length, device=device)
    distance = at[:, None] - at
    return ((distance >= 0) & (distance < window))[None, None]


AttentionInterface.register(SEGMENTS, attend)
AttentionMaskInterface.register(SEGMENTS, sdpa_mask)
