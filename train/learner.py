"""The model as the training loop calls it: a batch in, the summed loss of its learned tokens out."""

from typing import Any

import torch

from models.errors import UserError
from train.attention import SEGMENTS, no_mask
from train.loss import token_losses
from train.samples import IGNORED

CHECKED_IDS = 8                 # tokens whose losses are compared with the model's own
CLOSE = {torch.float32: 1e-3}   # how far they may be apart, in proportion; in 16 bits FAR
FAR = 0.03


class Learner(torch.nn.Module):
    """A model with an adapter, of which only the learned positions go through the head.

    Raises UserError if the model makes its logits in a way that the loss does not know (some families scale them).
    """

    def __init__(self, model: Any):
        super().__init__()
        self.model = model
        self.config = model.config                  # transformers' Trainer reads it
        self._check_loss()

    @torch.no_grad()
    def _check_loss(self) -> None:
        base, was_training = self.model.get_base_model(), self.model.training
        head = base.get_output_embeddings().weight
        ids = torch.arange(CHECKED_IDS, device=head.device)[None] % len(head)
        self.model.eval()                           # no dropout: the random numbers of the run stay as they are
        own = torch.nn.functional.cross_entropy(base(input_ids=ids, use_cache=False).logits[0, :-1].float(), ids[0, 1:])
        ours = Learner.forward(self, ids, ids)["losses"].mean()
        self.model.train(was_training)
        far = CLOSE.get(head.dtype, FAR)        # of weights that are not finite the loop tells
        if not torch.isclose(own, ours, rtol=far, atol=far, equal_nan=True):
            raise UserError(f"Models of the family {base.config.model_type} make their logits in a way that training "
                            f"here does not know: a loss of {float(own):.3f} would be taken for {float(ours):.3f}. "
                            "Choose a base of another family.")

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
