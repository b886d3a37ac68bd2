"""GELU in float32 for an exact context: llama.cpp reads it from a table of float16, which moves every log-likelihood.

llama.cpp asks before and calls after each node of its graph; those of the gated feed-forward (Gemma) are computed
anew from their two inputs and written back.
"""

import ctypes
import math
from typing import Any

import llama_cpp.llama_cpp as lib
import numpy as np
from llama_cpp import _ctypes_extensions, _ggml

GATE, UP, GATED = "ffn_gate", "ffn_up", "ffn_geglu"     # what llama-graph.cpp calls the inputs and the product


class ExactGelu:
    """What a context's cb_eval is; it must live as long as the context. For one thread."""

    def __init__(self) -> None:
        self._base = _library()
        self._inputs: dict[str, np.ndarray] = {}
        self.callback = lib.ggml_backend_sched_eval_callback(self._call)

    def _call(self, tensor: int, is_asked: bool, _: Any) -> bool:
        kind, _, layer = self._base.ggml_get_name(tensor).decode("utf-8", "replace").partition("-")
        if is_asked:
            return kind in (GATE, UP, GATED)
        if kind in (GATE, UP):
            self._inputs[kind] = self._values(tensor)
        elif kind == GATED and self._inputs.keys() == {GATE, UP}:
            gate, up = self._inputs.pop(GATE), self._inputs.pop(UP)
            made = gelu(gate) * up
            if len(made) == self._base.ggml_nelements(tensor):
                self._base.ggml_backend_tensor_set(tensor, made.ctypes.data, 0, made.nbytes)
        return True

    def _values(self, tensor: int) -> np.ndarray:
        """A tensor of float32, flat."""
        values = np.empty(self._base.ggml_nelements(tensor), np.float32)
        self._base.ggml_backend_tensor_get(tensor, values.ctypes.data, 0, values.nbytes)
        return values


def gelu(x: np.ndarray) -> np.ndarray:
    """GELU by tanh, elementwise, in float32. Source: Hendrycks & Gimpel, arXiv:1606.08415."""
    inner = np.float32(math.sqrt(2 / math.pi)) * x * (1 + np.float32(0.044715) * x * x)
    return np.float32(0.5) * x * (1 + np.tanh(inner))


def _library() -> Any:
    """libggml-base, in which tensors are read and written."""
    base = _ctypes_extensions.load_shared_library("ggml-base", _ggml.libggml_base_path)
    base.ggml_get_name.argtypes, base.ggml_get_name.restype = [ctypes.c_void_p], ctypes.c_char_p
    base.ggml_nelements.argtypes, base.ggml_nelements.restype = [ctypes.c_void_p], ctypes.c_int64
    for name in ("ggml_backend_tensor_get", "ggml_backend_tensor_set"):
        getattr(base, name).argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t]
        getattr(base, name).restype = None
    return base
