"""One GGUF opened by llama.cpp: the only place that binds llama_cpp, used inside worker processes only.

A malformed file or an exhausted memory can end the process that runs this; the page and the API
never do (runtime/session.py).
"""

import ctypes
import os
from collections import deque
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import llama_cpp
import llama_cpp.llama_cpp as lib
import numpy as np

from models.errors import UserError
from models.header import read_header
from runtime.config import LoadConfig, SampleConfig
from runtime.device import default_threads

BATCH_TOKENS = 512
DEFAULT_CTX_TOKENS = 8192
DEFAULT_LOAD = LoadConfig()
PENALTY_WINDOW_TOKENS = 256
WARNING, ERROR, CONTINUED = 3, 4, 5               # ggml_log_level
CONTROL, UNKNOWN = 1 << 3, 1 << 0                 # llama_token_attr bits
TYPES = {                                         # llama_ftype by the name that users and files know
    "F32": 0, "F16": 1, "BF16": 32, "Q8_0": 7, "Q6_K": 18, "Q5_K_M": 17, "Q5_0": 8, "Q4_K_M": 15,
    "Q4_K_S": 14, "Q4_0": 2, "IQ4_XS": 30, "IQ4_NL": 25, "Q3_K_M": 12, "Q2_K": 10,
}


class Log:
    """The last lines that llama.cpp printed, kept so that a failure can be explained."""

    def __init__(self) -> None:
        self.lines: deque[str] = deque(maxlen=60)
        self._is_kept = False
        self._keep = lib.llama_log_callback(self._take)       # must outlive the library's use of it
        lib.llama_log_set(self._keep, ctypes.c_void_p(0))

    def _take(self, level: int, text: bytes, user_data: ctypes.c_void_p) -> None:
        if level != CONTINUED:
            self._is_kept = level in (WARNING, ERROR)
        if self._is_kept:
            self.lines.append(text.decode("utf-8", "replace").rstrip())

    def last_error(self) -> str:
        """The first line that names a cause, or ""."""
        return next((line for line in self.lines if "error" in line.lower() or "unknown" in line.lower()), "")


LOG = Log()                                       # llama.cpp has one log a process


class Model:
    """A loaded GGUF with one context; sequences start from an empty cache unless their prefix is cached.

    Also a tasks.prompt.Tokenizer. Not for two threads at once.
    """

    def __init__(self, path: Path, config: LoadConfig = DEFAULT_LOAD):
        """Load path. Raises UserError if it is no whole GGUF, or llama.cpp can not load it."""
        self.header = read_header(path)
        LOG.lines.clear()
        lib.llama_backend_init()
        params = lib.llama_model_default_params()
        params.n_gpu_layers = config.gpu_layers if config.gpu_layers >= 0 else 999
        self._model = lib.llama_model_load_from_file(os.fsencode(path), params)
        if not self._model:
            raise UserError(f"llama.cpp can not load {path.name}: {LOG.last_error() or 'it gave no reason'}")
        self._vocab = lib.llama_model_get_vocab(self._model)
        self._ctx = None
        self.n_vocab: int = lib.llama_vocab_n_tokens(self._vocab)
        own = lib.llama_model_n_ctx_train(self._model)
        self.ctx_tokens = config.ctx_tokens or min(own, DEFAULT_CTX_TOKENS)
        self._open_context(config)
        self._read_vocab()
        self.cached: list[int] = []               # ids whose keys and values lie in the context
        self._batch = lib.llama_batch_init(BATCH_TOKENS, 0, 1)

    def _open_context(self, config: LoadConfig) -> None:
        params = lib.llama_context_default_params()
        params.n_ctx = self.ctx_tokens
        params.n_batch = params.n_ubatch = BATCH_TOKENS
        params.n_seq_max = 1
        params.n_threads = params.n_threads_batch = config.threads or default_threads(self.header.parameters)
        params.swa_full = True                    # any prefix may be reused (docs/log.md)
        params.no_perf = True
        if config.exact:
            params.type_k = params.type_v = lib.GGML_TYPE_F32
            params.flash_attn_type = lib.LLAMA_FLASH_ATTN_TYPE_DISABLED
        self._ctx = lib.llama_init_from_model(self._model, params)
        if not self._ctx:
            lib.llama_model_free(self._model)
            raise UserError(f"The memory does not hold a context of {self.ctx_tokens:,} tokens; use a shorter one.")
        self._memory: int = lib.llama_get_memory(self._ctx)

    def _read_vocab(self) -> None:
        attrs = [lib.llama_vocab_get_attr(self._vocab, k) for k in range(self.n_vocab)]
        self._control_ids = {self._token_text(k): k for k in range(self.n_vocab) if attrs[k] & (CONTROL | UNKNOWN)}
        self.controls = frozenset(self._control_ids)
        self.eog_ids = frozenset(k for k in range(self.n_vocab) if lib.llama_vocab_is_eog(self._vocab, k))
        self.template = self.header.template
        bos, eos = lib.llama_vocab_bos(self._vocab), lib.llama_vocab_eos(self._vocab)
        self.bos = self._token_text(bos) if lib.llama_vocab_get_add_bos(self._vocab) and bos >= 0 else ""
        self.eos = self._token_text(eos) if eos >= 0 else ""

    def _token_text(self, token: int) -> str:
        return (lib.llama_vocab_get_text(self._vocab, token) or b"").decode("utf-8", "replace")

    def close(self) -> None:
        """Give the memory back."""
        if self._ctx:
            lib.llama_batch_free(self._batch)
            lib.llama_free(self._ctx)
            lib.llama_model_free(self._model)
            self._ctx = None

    def encode(self, text: str, *, control: bool) -> list[int]:
        """Ids of text without BOS; control strings become control tokens only if control is True."""
        if control and text in self._control_ids:
            return [self._control_ids[text]]
        raw = text.encode("utf-8")
        room = len(raw) + 8
        ids = (lib.llama_token * room)()
        count = lib.llama_tokenize(self._vocab, raw, len(raw), ids, room, False, control)
        if count < 0:
            raise AssertionError(f"llama_tokenize wants {-count} ids for {len(raw)} bytes")
        return list(ids[:count])

    def piece(self, token: int) -> bytes:
        """The bytes a token stands for; nothing for a control token."""
        buffer = ctypes.create_string_buffer(256)
        count = lib.llama_token_to_piece(self._vocab, token, buffer, len(buffer), 0, False)
        if count < 0:
            buffer = ctypes.create_string_buffer(-count)
            count = lib.llama_token_to_piece(self._vocab, token, buffer, len(buffer), 0, False)
        return buffer.raw[:count]

    def logits(self, ids: list[int]) -> np.ndarray:
        """Logits after each of ids, from an empty cache: (len(ids), n_vocab) float32."""
        rows = np.empty((len(ids), self.n_vocab), np.float32)
        for at, chunk in self.logits_by_chunk(ids):
            rows[at:at + len(chunk)] = chunk
        return rows

    def logits_by_chunk(self, ids: list[int]) -> Iterator[tuple[int, np.ndarray]]:
        """The same in chunks: (position of the first row, rows (n, n_vocab) float32, valid until the next step)."""
        self._truncate(0)
        for start in range(0, len(ids), BATCH_TOKENS):
            chunk = ids[start:start + BATCH_TOKENS]
            self._decode(chunk, all_logits=True)
            pointer = lib.llama_get_logits(self._ctx)
            yield start, np.ctypeslib.as_array(pointer, shape=(len(chunk), self.n_vocab))

    def logprobs(self, ids: list[int], start: int) -> list[float]:
        """log p(ids[k] | ids[:k]) for each k >= start (start >= 1), in nats."""
        found: list[float] = []
        for at, rows in self.logits_by_chunk(ids):
            for k in range(max(start, at + 1), min(at + len(rows), len(ids) - 1) + 1):
                row = rows[k - 1 - at].astype(np.float64)
                top = row.max()
                found.append(float(row[ids[k]] - top - np.log(np.exp(row - top).sum())))
        return found

    def prefill(self, ids: list[int], is_cancelled: Callable[[], bool] = lambda: False) -> int:
        """Bring ids into the context, reusing the longest common prefix; returns how many were reused.

        The last id is always computed, so that its logits are there. Raises UserError beyond the context.
        """
        if len(ids) >= self.ctx_tokens:
            raise UserError(f"The prompt is {len(ids):,} tokens long and the context holds {self.ctx_tokens:,}.")
        reused = 0
        while reused < min(len(ids) - 1, len(self.cached)) and ids[reused] == self.cached[reused]:
            reused += 1
        self._truncate(reused)
        for start in range(reused, len(ids), BATCH_TOKENS):
            if is_cancelled():
                break
            self._decode(ids[start:start + BATCH_TOKENS], all_logits=False)
        return reused

    def sample(self, ids: list[int], config: SampleConfig,
               is_cancelled: Callable[[], bool] = lambda: False) -> Generator[int, None, str]:
        """Continue ids token by token, after prefill(ids). An end-of-generation id is not yielded.

        Returns (as a generator does) why it ended: "stop" at such an id, "length" at config.max_tokens
        or a full context, "cancelled" once is_cancelled() is true, which is asked before each token.
        """
        sampler = self._sampler(config)
        try:
            for past in ids:
                lib.llama_sampler_accept(sampler, past)
            for made in range(config.max_tokens):
                if is_cancelled():
                    return "cancelled"
                token = lib.llama_sampler_sample(sampler, self._ctx, -1)
                if token in self.eog_ids:
                    return "stop"
                yield token
                if made + 1 == config.max_tokens or len(self.cached) >= self.ctx_tokens:
                    break
                self._decode([token], all_logits=False)
            return "length"
        finally:
            lib.llama_sampler_free(sampler)

    def generate(self, ids: list[int], max_tokens: int) -> tuple[list[int], str]:
        """Greedy continuation of ids: (new ids, "stop" or "length")."""
        self.prefill(ids)
        made: list[int] = []
        tokens = self.sample(ids, SampleConfig(temperature=0.0, max_tokens=max_tokens))
        while True:
            try:
                made.append(next(tokens))
            except StopIteration as end:
                return made, end.value

    def _sampler(self, config: SampleConfig) -> int:
        chain = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())
        if config.repeat_penalty != 1.0:
            lib.llama_sampler_chain_add(chain, lib.llama_sampler_init_penalties(
                self.n_vocab, PENALTY_WINDOW_TOKENS, config.repeat_penalty, 0.0, 0.0))
        if config.temperature == 0.0:
            lib.llama_sampler_chain_add(chain, lib.llama_sampler_init_greedy())
            return chain
        if config.top_k:
            lib.llama_sampler_chain_add(chain, lib.llama_sampler_init_top_k(config.top_k))
        lib.llama_sampler_chain_add(chain, lib.llama_sampler_init_top_p(config.top_p, 1))
        lib.llama_sampler_chain_add(chain, lib.llama_sampler_init_min_p(config.min_p, 1))
        lib.llama_sampler_chain_add(chain, lib.llama_sampler_init_temp(config.temperature))
        seed = config.seed if config.seed >= 0 else int.from_bytes(os.urandom(4), "little") % 0xFFFFFFFF
        lib.llama_sampler_chain_add(chain, lib.llama_sampler_init_dist(seed))
        return chain

    def _truncate(self, length: int) -> None:
        if length < len(self.cached):
            if not lib.llama_memory_seq_rm(self._memory, 0, length, -1):
                lib.llama_memory_clear(self._memory, True)
                length = 0
            del self.cached[length:]

    def _decode(self, ids: list[int], all_logits: bool) -> None:
        batch, past = self._batch, len(self.cached)
        batch.n_tokens = len(ids)
        for k, token in enumerate(ids):
            batch.token[k] = token
            batch.pos[k] = past + k
            batch.n_seq_id[k] = 1
            batch.seq_id[k][0] = 0
            batch.logits[k] = all_logits or k == len(ids) - 1
        status = lib.llama_decode(self._ctx, batch)
        if status != 0:
            raise RuntimeError(f"llama_decode returned {status} at {past} + {len(ids)} tokens")
        self.cached += ids


def quantize(source: Path, target: Path, type_name: str, threads: int = 0) -> None:
    """Write source (a GGUF in F32, F16 or BF16) to target as type_name, a key of TYPES.

    Raises UserError if llama.cpp refuses or the disk is full; target may then be half written.
    """
    LOG.lines.clear()
    params = lib.llama_model_quantize_default_params()
    params.ftype = TYPES[type_name]
    params.nthread = threads or default_threads()
    status = lib.llama_model_quantize(os.fsencode(source), os.fsencode(target), ctypes.byref(params))
    if status != 0:
        reason = LOG.last_error() or "it gave no reason"
        raise UserError(f"llama.cpp can not write {target.name} as {type_name}: {reason}")


def version() -> str:
    """The version of llama-cpp-python, whose llama.cpp this is."""
    return llama_cpp.__version__
