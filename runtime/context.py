"""One llama.cpp context on a model: token rows of many sequences go in together, logits come out.

The cells of the cache are one pool for all sequences; the layers with a sliding window keep every
cell (swa_full), so that any prefix can be used again. llama.cpp would still hand a cell that its
sequence's window has left to whoever asks next, so every sequence has a twin that holds the same
cells: a cell of two sequences is never given away (docs/log.md).
"""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.projector import read_projector
from runtime.config import LoadConfig
from runtime.device import default_threads
from runtime.gelu import ExactGelu
from runtime.llama import LOG, C, Model, OutOfMemory, lib
from runtime.pool import padded, sequences_for

BATCH_TOKENS = 512
TWINS = 128                                       # the twin of sequence s is s + TWINS; llama.cpp knows 256
LEAST_CHUNK = 8                                   # prompt tokens that a step takes beside a token of every stream
WIDE_ROWS = 32                                    # a batch of so many is worth every free core
MAX_OUTPUTS = 64                                  # rows of one batch that may ask for logits
OK, NO_ROOM, ABORTED = 0, 1, 2                    # what llama_decode returns

# A flag that llama.cpp can read without the interpreter lock: strlen(data) != 0 means stop.
_STRLEN = ctypes.cast(C.strlen, lib.ggml_abort_callback)


class Aborted(Exception):
    """A decode was ended by Context.abort; the cache is as it was before it."""


class NoRoom(Exception):
    """The cells of the cache are all in use; nothing was computed."""


@dataclass(slots=True)
class Row:
    """One token to compute: where it stands, which sequences it belongs to, whether its logits are wanted."""
    token: int
    position: int
    sequences: Sequence[int]
    has_logits: bool = False


def context_params(config: LoadConfig, model: Model, cells: int, outputs: int = MAX_OUTPUTS,
                   sequences: int = 0) -> Any:
    """llama_context_params for a pool of cells: the worker and the estimate open a context with the same.

    outputs: rows of one batch that may ask for logits; sequences: 0 is what the slots need.
    """
    sequences = sequences or sequences_for(config.slots)
    params = lib.llama_context_default_params()
    params.n_ctx = cells
    batch = max(config.batch_tokens or BATCH_TOKENS, config.slots + LEAST_CHUNK if sequences > 1 else 1)
    if config.projector:                          # a picture's tokens see each other: never divided
        batch = max(batch, read_projector(Path(config.projector)).tokens)
    params.n_batch = params.n_ubatch = min(batch, cells)
    params.n_seq_max, params.n_outputs_max = sequences, max(outputs, sequences)
    params.n_threads = params.n_threads_batch = config.threads or default_threads(model.header.parameters)
    params.swa_full = params.kv_unified = params.no_perf = True
    if config.device == "cpu":
        params.op_offload = params.offload_kqv = False
    if config.exact:
        params.type_k = params.type_v = lib.GGML_TYPE_F32
        params.flash_attn_type = lib.LLAMA_FLASH_ATTN_TYPE_DISABLED
    return params


class Context:
    """A cache of cells and the sequences in it. Not for two threads at once, but for abort()."""

    def __init__(self, model: Model, config: LoadConfig, cells: int, outputs: int = MAX_OUTPUTS,
                 sequences: int = 0):
        """Raises OutOfMemory if the memory does not hold it."""
        self.model, self.cells = model, padded(cells)
        params = context_params(config, model, self.cells, outputs, sequences)
        self.batch_tokens: int = params.n_batch
        self.sequences: int = params.n_seq_max    # their numbers are below this
        self.max_outputs: int = min(params.n_outputs_max, params.n_batch)
        self._abort_flag = ctypes.create_string_buffer(2)
        self._gelu = ExactGelu() if config.exact else None
        if self._gelu:
            params.cb_eval = self._gelu.callback
        params.abort_callback, params.abort_callback_data = _STRLEN, ctypes.addressof(self._abort_flag)
        LOG.lines.clear()
        self.handle: Any = lib.llama_init_from_model(model.handle, params)
        if not self.handle:
            raise OutOfMemory(f"The memory does not hold a context of {cells:,} tokens; use a shorter one.")
        self._memory: Any = lib.llama_get_memory(self.handle)
        self._window = int(lib.llama_model_n_swa(model.handle))
        self.lengths = [0] * self.sequences       # tokens of each sequence in the cache
        self._twinned = [0] * self.sequences      # of these, how many its twin holds too
        self.steps = 0                            # batches computed so far
        self._threads = self._few = self._many = params.n_threads
        self.is_computing = False                 # a batch is in llama.cpp's hands; read by other threads
        self.clears = 0                           # times that everything was forgotten
        self._make_batch()

    def _make_batch(self) -> None:
        size = self.batch_tokens
        self._tokens = np.zeros(size, np.int32)
        self._positions = np.zeros(size, np.int32)
        self._tag_counts = np.zeros(size, np.int32)
        self._tags = np.zeros((size, self.sequences), np.int32)
        self._wanted = np.zeros(size, np.int8)
        integers = ctypes.POINTER(ctypes.c_int32)
        pointers = (integers * size)(*(row.ctypes.data_as(integers) for row in self._tags))
        self._batch = lib.llama_batch(
            n_tokens=0, token=self._tokens.ctypes.data_as(integers), embd=None,
            pos=self._positions.ctypes.data_as(integers), n_seq_id=self._tag_counts.ctypes.data_as(integers),
            seq_id=pointers, logits=self._wanted.ctypes.data_as(ctypes.POINTER(ctypes.c_int8)))

    def close(self) -> None:
        """Give the cache back."""
        if self.handle:
            lib.llama_free(self.handle)
            self.handle = None

    def set_threads(self, threads: int, wide: int = 0) -> None:
        """Compute with so many threads from the next batch on; wide: for batches of many rows, if that is more."""
        self._few, self._many = threads, max(threads, wide)

    def _use_threads(self, rows: int) -> None:
        threads = self._many if rows >= WIDE_ROWS else self._few
        if threads != self._threads:
            lib.llama_set_n_threads(self.handle, threads, threads)
            self._threads = threads

    def abort(self) -> None:
        """End the batch that is being computed, or the next one; called from another thread. CPU only."""
        self._abort_flag[0] = b"\x01"

    def decode_steady(self, rows: Sequence[Row]) -> None:
        """decode(), with figures that do not depend on the number of threads.

        llama.cpp divides the attention of a row that is alone among the threads, and sums in another order with each
        number of them; so it gets company, which is forgotten again (docs/log.md).
        """
        if len(rows) > 1:
            self.decode(rows)
            return
        [row] = rows
        try:
            self.decode([row, Row(row.token, row.position + 1, row.sequences)])
        except NoRoom:                            # the last free cell
            self.decode(rows)
            return
        for sequence in row.sequences:
            self.truncate(sequence, row.position + 1)

    def decode(self, rows: Sequence[Row]) -> None:
        """Compute rows (at most batch_tokens, of which max_outputs with logits); positions follow each sequence's end.

        Raises NoRoom, or Aborted after abort(); the cache is then as before.
        """
        batch = self._batch
        batch.n_tokens = len(rows)
        tokens, positions, counts, tags, wanted = (
            self._tokens, self._positions, self._tag_counts, self._tags, self._wanted)
        grown: dict[int, int] = {}
        for k, row in enumerate(rows):
            tokens[k], positions[k], counts[k], wanted[k] = (
                row.token, row.position, len(row.sequences), row.has_logits)
            if len(row.sequences) == 1:
                tags[k, 0] = row.sequences[0]
            else:
                tags[k, :len(row.sequences)] = row.sequences
            for sequence in row.sequences:
                grown[sequence] = row.position + 1
        self._compute(batch, grown)

    def decode_picture(self, made: np.ndarray, position: int, sequence: int) -> None:
        """Compute a picture's cells behind a sequence: made (tokens, width) float32, at most batch_tokens.

        Each of them sees all the others. Raises NoRoom or Aborted as decode() does.
        """
        size, batch = len(made), self._batch
        self._positions[:size] = range(position, position + size)
        self._tag_counts[:size], self._tags[:size, 0], self._wanted[:size] = 1, sequence, 0
        picture = lib.llama_batch(
            n_tokens=size, token=None, embd=made.ctypes.data_as(ctypes.POINTER(ctypes.c_float)), pos=batch.pos,
            n_seq_id=batch.n_seq_id, seq_id=batch.seq_id, logits=batch.logits)
        lib.llama_set_causal_attn(self.handle, False)
        try:
            self._compute(picture, {sequence: position + size})
        finally:
            lib.llama_set_causal_attn(self.handle, True)

    def _compute(self, batch: Any, grown: dict[int, int]) -> None:
        """Let llama.cpp compute a batch. grown: how long each sequence in it will be."""
        self._use_threads(batch.n_tokens)
        self.is_computing = True
        status = lib.llama_decode(self.handle, batch)
        self.is_computing = False
        self.steps += 1
        if status == OK:
            for sequence, length in grown.items():
                self.lengths[sequence] = length
                self._guard(sequence)
            return
        self._abort_flag[0] = b"\x00"
        for sequence in grown:
            lib.llama_memory_seq_rm(self._memory, sequence, self.lengths[sequence], -1)
        if status == NO_ROOM:
            raise NoRoom
        if status == ABORTED:
            raise Aborted
        raise RuntimeError(f"llama_decode returned {status} for {batch.n_tokens} rows: {list(LOG.lines)}")

    def _guard(self, sequence: int) -> None:
        """Let the twin hold every cell that has left the sequence's window, before anybody asks for cells."""
        length, held = self.lengths[sequence], self._twinned[sequence]
        if self._window and length - held >= self._window:      # the oldest cell not held is out of the window
            lib.llama_memory_seq_cp(self._memory, sequence, sequence + TWINS, held, length)
            self._twinned[sequence] = length

    def truncate(self, sequence: int, length: int) -> None:
        """Keep the first length tokens of a sequence."""
        if length >= self.lengths[sequence]:
            return
        self._remove(sequence, length)
        self.lengths[sequence] = length
        if self._twinned[sequence] > length:
            self._remove(sequence + TWINS, length)
            self._twinned[sequence] = length

    def _remove(self, sequence: int, start: int) -> None:
        if not lib.llama_memory_seq_rm(self._memory, sequence, start, -1):
            raise RuntimeError(f"llama.cpp can not cut a sequence at {start}")

    def copy(self, source: int, target: int, length: int) -> None:
        """Let target (emptied) begin with the first length tokens of source; the cells are shared."""
        self.truncate(target, 0)
        lib.llama_memory_seq_cp(self._memory, source, target, 0, length)
        self.lengths[target] = length
        if self._window:
            lib.llama_memory_seq_cp(self._memory, source, target + TWINS, 0, length)
            self._twinned[target] = length

    def clear(self) -> None:
        """Forget every sequence; the next ones are laid out as in a fresh context."""
        self.clears += 1
        lib.llama_memory_clear(self._memory, False)
        self.lengths = [0] * self.sequences
        self._twinned = [0] * self.sequences

    def logits(self, row: int) -> np.ndarray:
        """Logits of row (its index in the last decode, which asked for them): (n_vocab,), valid until the next one."""
        pointer = lib.llama_get_logits_ith(self.handle, row)
        return np.ctypeslib.as_array(pointer, shape=(self.model.n_vocab,))


def log_softmax_at(row: np.ndarray, tokens: Sequence[int]) -> list[float]:
    """log p of some tokens under logits (n_vocab,) float32, in nats; summed in float64."""
    top = float(row.max())
    total = top + float(np.log(np.exp(row - top).sum(dtype=np.float64)))
    return [float(row[token]) - total for token in tokens]
