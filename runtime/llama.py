"""The weights and the vocabulary of one GGUF in memory: what every context of it shares.

A malformed file or an exhausted memory can end the process that runs this; the page and the API
never do (runtime/session.py).
"""

import ctypes
import os
import unicodedata
from collections import deque
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

from models.errors import UserError
from models.header import Header, read_header
from runtime.config import LoadConfig
from tasks.controls import Controls, controls_of

try:
    import llama_cpp
    import llama_cpp.llama_cpp as lib
except (OSError, RuntimeError, ImportError) as error:       # its Python files are there, and what they load is not
    raise UserError(f"llama.cpp's library can not be loaded ({error}). Security software may have removed or blocked "
                    "it: allow Galen's folder there, delete .venv in it and start Galen again.") from error

ALL_LAYERS = 999
PIECE_CHARACTERS = 4096                           # of a text, cut behind a user-defined token
DEFAULT_LOAD = LoadConfig()
WARNING, ERROR, CONTINUED = 3, 4, 5               # ggml_log_level
CONTROL, UNKNOWN = 1 << 3, 1 << 0                 # llama_token_attr bits


C = ctypes.cdll.msvcrt if hasattr(ctypes, "windll") else ctypes.CDLL(None)


def give_memory_back() -> None:
    """Let glibc return what was freed to the system; elsewhere it goes by itself."""
    if hasattr(C, "malloc_trim"):
        C.malloc_trim(0)


class OutOfMemory(UserError):
    """A smaller choice may fit."""


class Log:
    """The last lines that llama.cpp printed, kept so that a failure can be explained."""

    def __init__(self) -> None:
        self.lines: deque[str] = deque(maxlen=60)
        self._is_kept = False
        self._keep = lib.llama_log_callback(self._take)       # must outlive the library's use of it
        self._drop = ctypes.cast(C.abs, lib.llama_log_callback)         # abs(level): nothing happens
        self.listen()

    def listen(self) -> None:
        """Keep what is printed from now on."""
        self.lines.clear()
        lib.llama_log_set(self._keep, ctypes.c_void_p(0))

    def listen_to(self, log_set: Callable[[Any, Any], None]) -> None:
        """Keep what another library prints as well, through its own way to set a log."""
        log_set(self._keep, ctypes.c_void_p(0))

    def ignore(self) -> None:
        """Let the library print into nothing: each line would wait for the interpreter, which has other work."""
        lib.llama_log_set(self._drop, ctypes.c_void_p(0))

    def _take(self, level: int, text: bytes, user_data: ctypes.c_void_p) -> None:
        if level != CONTINUED:
            self._is_kept = level in (WARNING, ERROR)
        if self._is_kept:
            self.lines.append(text.decode("utf-8", "replace").rstrip())

    def last_error(self) -> str:
        """The first line that names a cause, else the last one, or ""."""
        named = (line for line in self.lines if "error" in line.lower() or "unknown" in line.lower())
        return next(named, self.lines[-1] if self.lines else "")


LOG = Log()                                       # llama.cpp has one log a process


def model_params(config: LoadConfig) -> Any:
    """llama_model_params as config asks for them: the worker and the estimate load with the same."""
    params = lib.llama_model_default_params()
    params.n_gpu_layers = config.gpu_layers if config.gpu_layers >= 0 else ALL_LAYERS
    if config.device:
        params.device_list = device_list(config.device)        # an attribute of ours: it must outlive the load
        params.devices = ctypes.cast(params.device_list, ctypes.c_void_p)
    return params


def device_list(name: str) -> Any:
    """The one named device, or none at all, as the list that llama.cpp reads until its null pointer."""
    if name == "cpu":
        return (ctypes.c_void_p * 1)(None)
    from llama_cpp import _ggml
    find = _ggml.libggml.ggml_backend_dev_by_name
    find.restype, find.argtypes = ctypes.c_void_p, [ctypes.c_char_p]
    device = find(name.encode())
    if not device:
        raise UserError(f"There is no device {name!r} here; leave the device empty, or use cpu.")
    return (ctypes.c_void_p * 2)(device, None)


class Model:
    """The weights of a GGUF and its vocabulary; contexts compute with it. Also a tasks.prompt.Tokenizer.

    Reading the vocabulary is safe from several threads.
    """

    def __init__(self, path: Path, config: LoadConfig = DEFAULT_LOAD, vocab_only: bool = False,
                 header: Header | None = None):
        """Load path. Raises UserError if it is no whole GGUF, or llama.cpp can not load it.

        header: what somebody has just read of it and found sound.
        """
        self.header = header or read_header(path)               # refuses a broken file before native code sees it
        lib.llama_backend_init()
        params = model_params(config)
        params.vocab_only = vocab_only
        LOG.ignore()
        self.handle: Any = lib.llama_model_load_from_file(os.fsencode(path), params)
        LOG.listen()
        if not self.handle:                     # once more, to hear why
            self.handle = lib.llama_model_load_from_file(os.fsencode(path), params)
        if not self.handle:
            kind = OutOfMemory if any("alloc" in line for line in LOG.lines) else UserError
            raise kind(f"llama.cpp can not load {path.name}: {LOG.last_error() or 'it gave no reason'}")
        if lib.llama_model_is_recurrent(self.handle) or lib.llama_model_is_hybrid(self.handle):
            lib.llama_model_free(self.handle)
            raise UserError(f"{path.name} is a {self.header.architecture} model: its layers carry a state that can not "
                            "be cut back, and Galen runs models with attention only.")
        self.vocab: Any = lib.llama_model_get_vocab(self.handle)
        self.n_vocab: int = lib.llama_vocab_n_tokens(self.vocab)
        self.template = self.header.template
        bos, eos = lib.llama_vocab_bos(self.vocab), lib.llama_vocab_eos(self.vocab)
        self.bos = self._token_text(bos) if lib.llama_vocab_get_add_bos(self.vocab) and bos >= 0 else ""
        self.eos = self._token_text(eos) if eos >= 0 else ""
        self._pieces: dict[int, bytes] = {}

    @property
    def train_ctx_tokens(self) -> int:
        """The longest context that the model was made for."""
        return int(lib.llama_model_n_ctx_train(self.handle))

    @cached_property
    def _control_ids(self) -> dict[str, int]:
        """As llama.cpp has them: it mends the types of turn markers that a file calls ordinary."""
        marked = CONTROL | UNKNOWN
        return {self._token_text(k): k for k in range(self.n_vocab)
                if lib.llama_vocab_get_attr(self.vocab, k) & marked}

    @cached_property
    def controls(self) -> frozenset[str]:
        """Every control token as text."""
        return frozenset(self._control_ids)

    @cached_property
    def _user_defined(self) -> Controls:
        return controls_of(frozenset(self.header.special_tokens.values()) - self.controls)

    @cached_property
    def eog_ids(self) -> frozenset[int]:
        """The tokens that end an answer."""
        return frozenset(k for k in range(self.n_vocab) if lib.llama_vocab_is_eog(self.vocab, k))

    def is_eog(self, token: int) -> bool:
        """True for a token that ends an answer."""
        return bool(lib.llama_vocab_is_eog(self.vocab, token))

    def _token_text(self, token: int) -> str:
        return (lib.llama_vocab_get_text(self.vocab, token) or b"").decode("utf-8", "replace")

    def close(self) -> None:
        """Give the memory back; every context of it must be closed before."""
        if self.handle:
            lib.llama_model_free(self.handle)
            self.handle = None

    def encode(self, text: str, *, control: bool) -> list[int]:
        """Ids of text without BOS; control strings become control tokens only if control is True."""
        if control and text in self._control_ids:
            return [self._control_ids[text]]
        if control:
            return self._tokenized(text, True)
        if self._is_composed:
            text = unicodedata.normalize("NFC", text)
        ids: list[int] = []                                     # the library takes the square of user-defined tokens
        for piece in self._user_defined.pieces(text, PIECE_CHARACTERS):
            ids += self._tokenized(piece, False)
        return ids

    @cached_property
    def _is_composed(self) -> bool:
        """Qwen's tokenizer composes characters first; llama.cpp does not, and no key of a GGUF says so."""
        return self.header.metadata.get("tokenizer.ggml.pre") == "qwen2"

    def _tokenized(self, text: str, control: bool) -> list[int]:
        raw = text.encode("utf-8", "replace")
        room = len(raw) + 8
        ids = (lib.llama_token * room)()
        count = lib.llama_tokenize(self.vocab, raw, len(raw), ids, room, False, control)
        if count < 0:
            raise AssertionError(f"llama_tokenize wants {-count} ids for {len(raw)} bytes")
        return ids[:count]

    def bos_ids(self) -> list[int]:
        """The one BOS that a prompt begins with; empty for a model that wants none."""
        return [lib.llama_vocab_bos(self.vocab)] if self.bos else []

    def piece(self, token: int) -> bytes:
        """The bytes a token stands for; nothing for a control token."""
        known = self._pieces.get(token)
        if known is None:
            known = self._pieces[token] = self._read_piece(token)
        return known

    def _read_piece(self, token: int) -> bytes:
        buffer = ctypes.create_string_buffer(256)
        count = lib.llama_token_to_piece(self.vocab, token, buffer, len(buffer), 0, False)
        if count < 0:
            buffer = ctypes.create_string_buffer(-count)
            count = lib.llama_token_to_piece(self.vocab, token, buffer, len(buffer), 0, False)
        return buffer.raw[:count]


def version() -> str:
    """The version of llama-cpp-python, whose llama.cpp this is."""
    return llama_cpp.__version__
