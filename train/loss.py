"""The loss of learned tokens without their logits in memory: chunk by chunk, gradient and all."""

from typing import Any

import torch

ROWS_STEP = 64                  # oneDNN builds and keeps a kernel for every number of rows: a few numbers, not hundreds
CHUNK_BYTES = 64 << 20          # of float32 logits at a time: 64 tokens of a 262,144-word vocabulary


def token_losses(hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, bias: torch.Tensor | None = None,
                 softcap: float | None = None, chunk_bytes: int = CHUNK_BYTES) -> torch.Tensor:
    """Cross-entropy of every token, (N,) float32, as if logits = hidden @ weight.T + bias had been made whole.

    hidden (N, width): the last hidden states at positions whose next token is learned. weight (vocab, width) and
    bias (vocab,): the head, frozen. targets (N,). softcap: logits are softcap * tanh(logits / softcap), as Gemma 2
    has them. chunk_bytes: float32 logits at a time. The matrix products are in autocast's type where it is on, all
    else in float32.
    """
    assert not weight.requires_grad, "the head learns, and this loss has no gradient for it"
    device = hidden.device.type
    if torch.is_autocast_enabled(device):
        hidden = hidden.to(torch.get_autocast_dtype(device))
    losses: torch.Tensor = _ChunkedLoss.apply(hidden, weight, targets, bias, softcap, chunk_bytes)
    return losses


class _ChunkedLoss(torch.autograd.Function):
    """Rows of logits are made a chunk at a time, and their gradient at once: neither is kept, nor made twice."""

    @staticmethod
    def forward(ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor,
                bias: torch.Tensor | None, softcap: float | None, chunk_bytes: int) -> torch.Tensor:
        learned, weight = len(hidden), weight.to(hidden.dtype)
        hidden = torch.nn.functional.pad(hidden, (0, 0, 0, -learned % ROWS_STEP))
        targets = torch.nn.functional.pad(targets, (0, -learned % ROWS_STEP))
        losses = torch.empty(len(hidden), dtype=torch.float32, device=hidden.device)
        gradient = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        rows = max(1, chunk_bytes // (4 * len(weight)))
        for start in range(0, len(hidden), rows):
            part = slice(start, start + rows)
            logits = (hidden[part] @ weight.t()).float()            # (rows, vocab)
            if bias is not None:
                logits += bias
            if softcap:
                logits.div_(softcap).tanh_()
                slope = 1 - logits.square() if gradient is not None else None
                logits.mul_(softcap)
            target = targets[part].unsqueeze(1)
            top = logits.amax(dim=1, keepdim=True)
            losses[part] = (top - logits.gather(1, target)).squeeze(1)
            total = logits.sub_(top).exp_().sum(dim=1, keepdim=True)
            losses[part] += total.log().squeeze(1)
            if gradient is not None:
                logits.div_(total)                                  # the probabilities, in place
                logits.scatter_add_(1, target, torch.full_like(total, -1.0))
                if softcap:
                    logits.mul_(slope)
                gradient[part] = logits.to(weight.dtype) @ weight
        ctx.save_for_backward(None if gradient is None else gradient[:learned])
        return losses[:learned]

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        [gradient] = ctx.saved_tensors
        return gradient * grads[0].unsqueeze(1).to(gradient.dtype), None, None, None, None, None
