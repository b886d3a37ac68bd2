"""Texts as unit vectors, from models that were made for it; a context of its own, opened at the first text."""

from typing import Any

import llama_cpp.llama_cpp as lib
import numpy as np

from models.errors import UserError
from models.header import Header
from runtime.config import LoadConfig
from runtime.context import context_params
from runtime.llama import Model

POOLINGS = (1, 2, 3)                            # mean, first token, last token: llama_pooling_type
LONGEST_TEXT_TOKENS = 2048


def offers_embeddings(header: Header) -> bool:
    """True for a file that says how its tokens become one vector."""
    return header.metadata.get(f"{header.architecture}.pooling_type") in POOLINGS


class Embedder:
    """A context that pools. For one thread."""

    def __init__(self, model: Model, config: LoadConfig):
        """Raises UserError for a model that offers no embeddings, or if the memory does not hold the context."""
        if not offers_embeddings(model.header):
            raise UserError(f"{model.header.path.name} offers no embeddings; choose an embedding model.")
        self._model = model
        self._tokens = min(model.train_ctx_tokens or LONGEST_TEXT_TOKENS, LONGEST_TEXT_TOKENS)
        params = context_params(config, model, self._tokens, outputs=self._tokens, sequences=1)
        params.n_batch = params.n_ubatch = self._tokens      # a text is computed in one batch
        params.embeddings = True
        self._handle: Any = lib.llama_init_from_model(model.handle, params)
        if not self._handle:
            raise UserError(f"The memory does not hold a context of {self._tokens:,} tokens for embeddings.")
        self._width = int(lib.llama_model_n_embd_out(model.handle))
        self._batch = lib.llama_batch_init(self._tokens, 0, 1)
        self.is_computing = False               # read by other threads

    def embed(self, text: str) -> list[float]:
        """The text's vector, of length 1. Raises UserError for a text that is empty or too long."""
        ids = self._ids(text)
        lib.llama_memory_clear(lib.llama_get_memory(self._handle), False)
        batch = self._batch
        batch.n_tokens = len(ids)
        for k, token in enumerate(ids):
            batch.token[k], batch.pos[k], batch.n_seq_id[k], batch.logits[k] = token, k, 1, True
            batch.seq_id[k][0] = 0
        self.is_computing = True
        status = lib.llama_decode(self._handle, batch)
        self.is_computing = False
        if status != 0:
            raise RuntimeError(f"llama_decode returned {status} for {len(ids)} tokens to embed")
        vector = np.ctypeslib.as_array(lib.llama_get_embeddings_seq(self._handle, 0), shape=(self._width,)).copy()
        length = float(np.linalg.norm(vector))
        if not np.isfinite(length) or length == 0.0:
            raise UserError("The model computes no finite numbers; its file is damaged, or was converted wrongly.")
        return [float(value) for value in vector / length]

    def _ids(self, text: str) -> list[int]:
        """As the model wants a text: with the BOS and EOS or SEP that its file asks for."""
        ids = self._model.encode(text, control=False)
        if not ids:
            raise UserError("There is nothing to embed: a text is empty.")
        ids = self._model.bos_ids() + ids
        if lib.llama_vocab_get_add_eos(self._model.vocab):
            ids.append(lib.llama_vocab_eos(self._model.vocab))
        if lib.llama_vocab_get_add_sep(self._model.vocab):          # BERT's vocabularies
            ids.append(lib.llama_vocab_sep(self._model.vocab))
        if len(ids) > self._tokens:
            raise UserError(f"A text is {len(ids):,} tokens long and {self._tokens:,} can be embedded; shorten it.")
        return ids

    def close(self) -> None:
        """Give the memory back."""
        lib.llama_batch_free(self._batch)
        lib.llama_free(self._handle)
