"""One GGUF read out exactly: logits, log-probabilities, greedy text; the counterpart of reference.py. Workers only."""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from models.errors import UserError
from runtime.adapter import Adapter
from runtime.config import LoadConfig
from runtime.context import Context, Row, log_softmax_at
from runtime.llama import Model
from runtime.pool import conversation_tokens

DEFAULT_LOAD = LoadConfig()
ROWS_AT_ONCE = 256                                # with logits; fewer where a vocabulary is large:
NUMBERS_AT_ONCE = 1 << 24                         # of their logits, 64 MB


class Probe(Model):
    """A model with one context and one sequence, computed from an empty cache each time. For one thread."""

    def __init__(self, path: Path, config: LoadConfig = DEFAULT_LOAD, adapter: Path | None = None):
        """Load path, and switch on adapter, a GGUF LoRA for it.

        Raises UserError if either is no whole GGUF, they do not belong together, or llama.cpp can not load them.
        """
        super().__init__(path, config)
        self._adapter: Adapter | None = None
        self.ctx_tokens = conversation_tokens(config.ctx_tokens, self.train_ctx_tokens)
        try:
            self._adapter = Adapter(adapter, self) if adapter else None
            rows = max(1, min(ROWS_AT_ONCE, NUMBERS_AT_ONCE // self.n_vocab))
            self._context = Context(self, config, self.ctx_tokens, outputs=rows, sequences=1)
        except UserError:
            self._close_model()
            raise
        if self._adapter:
            self._adapter.switch_on(self._context)

    def close(self) -> None:
        """Give the memory back."""
        if self.handle:
            self._context.close()
        self._close_model()

    def _close_model(self) -> None:
        if self._adapter:
            self._adapter.close()
        super().close()

    def logits(self, ids: list[int]) -> np.ndarray:
        """Logits after each of ids: (len(ids), n_vocab) float32."""
        rows = np.empty((len(ids), self.n_vocab), np.float32)
        for at, chunk in self.logits_by_chunk(ids):
            rows[at:at + len(chunk)] = chunk
        return rows

    def logits_by_chunk(self, ids: list[int]) -> Iterator[tuple[int, np.ndarray]]:
        """The same in chunks: (position of the first row, rows (n, n_vocab) float32, valid until the next step)."""
        self._begin(ids)
        size = self._context.max_outputs
        for start in range(0, len(ids), size):
            chunk = ids[start:start + size]
            self._context.decode([Row(token, start + k, (0,), True) for k, token in enumerate(chunk)])
            yield start, np.stack([self._context.logits(k) for k in range(len(chunk))])

    def logprobs(self, ids: list[int], start: int) -> list[float]:
        """log p(ids[k] | ids[:k]) for each k >= start (start >= 1), in nats."""
        found: list[float] = []
        for at, rows in self.logits_by_chunk(ids):
            for k in range(max(start, at + 1), min(at + len(rows), len(ids) - 1) + 1):
                found += log_softmax_at(rows[k - 1 - at], [ids[k]])
        return found

    def generate(self, ids: list[int], max_tokens: int) -> tuple[list[int], str]:
        """Greedy continuation of ids: (new ids, "stop" at an end of generation, or "length")."""
        last, made = self._read(ids), list[int]()
        while len(made) < max_tokens:
            token = int(self._context.logits(last).argmax())
            if self.is_eog(token):
                return made, "stop"
            made.append(token)
            if len(made) == max_tokens or len(ids) + len(made) > self.ctx_tokens:
                break
            self._context.decode([Row(token, len(ids) + len(made) - 1, (0,), True)])
            last = 0
        return made, "length"

    def speeds(self, ids: list[int], new_tokens: int) -> tuple[float, float]:
        """Tokens a second here: of the prompt ids, and of generating new_tokens after it, ends or not."""
        began = time.perf_counter()
        row = self._context.logits(self._read(ids))
        read = time.perf_counter()
        for k in range(new_tokens):
            self._context.decode([Row(int(row.argmax()), len(ids) + k, (0,), True)])
            row = self._context.logits(0)
        return len(ids) / (read - began), new_tokens / (time.perf_counter() - read)

    def _read(self, ids: list[int]) -> int:
        """Compute a whole prompt; which row of the last batch holds its last token's logits."""
        self._begin(ids)
        size = self._context.batch_tokens
        for start in range(0, len(ids), size):
            chunk = ids[start:start + size]
            self._context.decode([Row(token, start + k, (0,), start + k == len(ids) - 1)
                                  for k, token in enumerate(chunk)])
        return len(chunk) - 1

    def _begin(self, ids: list[int]) -> None:
        if len(ids) > self.ctx_tokens:
            raise UserError(f"The prompt is {len(ids):,} tokens long and the context holds {self.ctx_tokens:,}.")
        self._context.clear()
