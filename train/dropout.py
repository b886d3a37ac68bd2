"""LoRA's dropout on a CPU: torch's own draws its mask number by number, a third of a step's time."""

from typing import Any

import torch

LEVELS = 1 << 16                # of a 16-bit number, four of which are drawn at once


class Dropout(torch.nn.Module):
    """torch.nn.Dropout with p to the nearest 1/65,536, drawn from the same global generator."""

    def __init__(self, p: float):
        super().__init__()
        self.p = p

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x with a share p of its numbers zeroed and the others scaled by 1 / (1 - p), in training."""
        if not self.training:
            return x
        dropped = round(self.p * LEVELS)
        draws = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-2**63, None).view(torch.int16)
        is_kept = draws[:x.numel()].view(x.shape) >= dropped - LEVELS // 2
        return x * is_kept.to(x.dtype).mul_(LEVELS / (LEVELS - dropped))


def use_fast_dropout(model: Any) -> None:
    """Put this dropout in the place of torch's in every LoRA layer of model."""
    for module in model.modules():
        for name, dropout in getattr(module, "lora_dropout", {}).items():
            if isinstance(dropout, torch.nn.Dropout):
                module.lora_dropout[name] = Dropout(dropout.p)
