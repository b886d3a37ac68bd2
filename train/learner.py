"""The model as the training loop calls it: a batch in, the summed loss of its learned tokens out."""

from typing import Any

import torch

from train.attention import SEGMENTS, no_mask
from train.loss import token_losses
from train.samples import IGNORED


class Learner(torch.nn.Module):
    """A model with an adapter, of which only the learned positions go through the head."""

    def __init__(self, model: Any):
        super().__init__()
        self.model = model
        self.config = model.config                  # transformers' Trainer reads it

    def forward(self, input_ids: torch.Tensor, labels: torch.Tensor, lengths: torch.Tensor | None = None,
                **inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        """{"loss": summed over all learned tokens, "losses" (N,): one a learned token, detached, "rows" (N,): which
        sample of the batch each belongs to, "count": N}.

        input_ids and labels (B, T); a packed batch is one row, and lengths (samples,) says where its samples end.
        """
        base = self.model.get_base_model()
        head = base.get_output_embeddings()
        if lengths is not None and base.config.get_text_config()._attn_implementation == SEGMENTS:
            inputs["lengths"] = [*lengths.tolist(), input_ids.shape[1] - int(lengths.sum())]
            inputs["attention_mask"] = no_mask(input_ids.device)
        hidden = base.get_decoder()(input_ids=input_ids, use_cache=False, **inputs).last_hidden_state
        is_learned = labels[:, 1:] != IGNORED
        losses = token_losses(hidden[:, :-1][is_learned], head.weight, labels[:, 1:][is_learned], head.bias,
                              getattr(base.config.get_text_config(), "final_logit_softcapping", None))
        return {"loss": losses.sum(), "losses": losses.detach(), "count": is_learned.sum(),
                "rows": _rows(is_learned, lengths)}

    def generate(self, **arguments: Any) -> Any:
        """transformers' generate of the model with its adapter."""
        return self.model.generate(**arguments)


def _rows(is_learned: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
    """The sample of each learned position, in order."""
    where = is_learned.nonzero()
    if lengths is None:
        return where[:, 0]
    return torch.searchsorted(lengths.cumsum(0), where[:, 1].contiguous(), right=True)
