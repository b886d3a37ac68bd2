"""The same calls answered by transformers and peft: what a GGUF is held against. Workers only."""

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from models.base import check_base
from models.errors import UserError
from runtime.device import default_threads
from tasks.hf_tokenizer import HFTokenizer


class Reference:
    """Base model plus optional adapter in float32 on the CPU; greedy."""

    def __init__(self, base: Path, adapter: Path | None = None, threads: int = 0):
        """Load base (a Hugging Face folder) and adapter (a PEFT folder); threads 0: chosen by size.

        Raises UserError if either is not whole.
        """
        check_base(base)
        os.environ["HF_HUB_OFFLINE"] = os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
        import torch
        import transformers
        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        self._torch = torch
        # soft-capping exists in eager attention only (Gemma 2); the others are exact in it too
        model = transformers.AutoModelForCausalLM.from_pretrained(
            base, dtype=torch.float32, attn_implementation="eager")
        torch.set_num_threads(threads or default_threads(model.num_parameters()))
        if adapter is not None:
            if not (adapter / "adapter_config.json").is_file():
                raise UserError(f"{adapter} holds no adapter_config.json, so it is no PEFT adapter.")
            from peft import PeftModel
            model = PeftModel.from_pretrained(model, str(adapter))
        self._model = model.eval()
        self.tokenizer = HFTokenizer(transformers.AutoTokenizer.from_pretrained(base))

    def logits(self, ids: list[int]) -> np.ndarray:
        """Logits after each of ids: (len(ids), vocab) float32."""
        with self._torch.inference_mode():
            return self._model(input_ids=self._torch.tensor([ids])).logits[0].float().numpy()

    def logprobs(self, ids: list[int], start: int) -> list[float]:
        """log p(ids[k] | ids[:k]) for each k >= start (start >= 1), in nats."""
        with self._torch.inference_mode():
            rows = self._model(input_ids=self._torch.tensor([ids])).logits[0, start - 1:-1].double()
            targets = self._torch.tensor(ids[start:])[:, None]
            return rows.log_softmax(-1).gather(1, targets)[:, 0].tolist()

    def generate(self, ids: list[int], max_tokens: int, stop_ids: Iterable[int]) -> tuple[list[int], str]:
        """Greedy continuation of ids: (new ids without the one that stops, "stop" or "length")."""
        stop, torch = frozenset(stop_ids), self._torch
        made: list[int] = []
        step, cache = torch.tensor([ids]), None
        with torch.inference_mode():
            while len(made) < max_tokens:
                out = self._model(input_ids=step, past_key_values=cache, use_cache=True)
                cache, token = out.past_key_values, int(out.logits[0, -1].argmax())
                if token in stop:
                    return made, "stop"
                made.append(token)
                step = torch.tensor([[token]])
        return made, "length"
