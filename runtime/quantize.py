"""llama.cpp's quantizer: the types that it chooses for a file, the blocks that it makes of rows; workers only."""

import ctypes
import os
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from models.errors import UserError
from models.tensor_types import TENSOR_TYPES
from runtime.device import default_threads
from runtime.llama import LOG, lib

TYPES = {                                         # llama_ftype by the name that users and files know
    "F32": 0, "F16": 1, "BF16": 32, "Q8_0": 7, "Q6_K": 18, "Q5_K_M": 17, "Q5_0": 8, "Q4_K_M": 15,
    "Q4_K_S": 14, "Q4_0": 2, "IQ4_XS": 30, "IQ4_NL": 25, "Q3_K_M": 12, "Q2_K": 10,
}
KINDS = {name: (number, values, size) for number, (name, values, size) in TENSOR_TYPES.items()}
CHOSEN = re.compile(r"^\[ *\d+/ *\d+\] +(\S+) +- \[[^]]*\], type = +(\S+), size = .*?(?:\((\S+)\))?$", re.MULTILINE)

class OutOfRange(ValueError):
    """Some number, or the scale of some block, is none in this type."""


def blocks(values: np.ndarray, kind: str, importance: np.ndarray | None = None) -> np.ndarray:
    """Rows in a ggml type, as bytes: values (rows, columns) float32 and finite, importance (columns,) float32.

    The columns must be whole blocks of kind. Releases the interpreter lock. Raises OutOfRange for numbers too large.
    """
    rows, columns = values.shape
    number, in_block, block_bytes = KINDS[kind]
    assert values.dtype == np.float32 and values.flags.c_contiguous and columns % in_block == 0
    assert importance is None or (importance.dtype == np.float32 and importance.shape == (columns,)
                                  and importance.flags.c_contiguous)
    out = np.empty(rows * (columns // in_block) * block_bytes, np.uint8)
    base = _base()
    made = base.ggml_quantize_chunk(number, values.ctypes.data, out.ctypes.data, 0, rows, columns,
                                    importance.ctypes.data if importance is not None else None)
    assert made == out.nbytes, (made, out.nbytes)
    if not base.ggml_validate_row_data(number, out.ctypes.data, out.nbytes):
        raise OutOfRange(kind)
    return out


def mix(skeleton: Path, type_name: str, has_importance: bool) -> dict[str, str]:
    """{tensor: the ggml type that llama.cpp gives it} in a file of that type, a key of TYPES.

    skeleton: a GGUF with its real header; the tensors may be holes. Raises UserError if llama.cpp refuses it.
    """
    params = _params(type_name, {"-": np.ones(1, np.float32)} if has_importance else None, 1)
    params.dry_run = True
    said: list[str] = []

    @lib.llama_log_callback
    def listen(level: int, text: bytes, user_data: ctypes.c_void_p) -> None:
        said.append(text.decode("utf-8", "replace"))

    lib.llama_log_set(listen, ctypes.c_void_p(0))
    try:
        status = lib.llama_model_quantize(os.fsencode(skeleton), b"", ctypes.byref(params))
    finally:
        LOG.listen()
    text = "".join(said)
    if status != 0:
        reason = next((line for line in text.splitlines() if "failed" in line), "it gave no reason")
        raise UserError(f"llama.cpp can not make a file of the type {type_name} from this model: {reason}")
    return {name: (new or old).upper() for name, old, new in CHOSEN.findall(text)}


def quantize(source: Path, target: Path, type_name: str, threads: int = 0,
             importance: Mapping[str, np.ndarray] | None = None) -> None:
    """Write source (a GGUF in F32, F16 or BF16) to target as type_name, a key of TYPES.

    Raises UserError if llama.cpp refuses or the disk is full; target may then be half written.
    """
    LOG.lines.clear()
    params = _params(type_name, importance, threads or default_threads())
    status = lib.llama_model_quantize(os.fsencode(source), os.fsencode(target), ctypes.byref(params))
    if status != 0:
        reason = LOG.last_error() or "it gave no reason"
        raise UserError(f"llama.cpp can not write {target.name} as {type_name}: {reason}")


@cache
def _base() -> Any:
    """libggml-base, in which the quantizer of blocks lies."""
    from llama_cpp import _ctypes_extensions, _ggml
    base = _ctypes_extensions.load_shared_library("ggml-base", _ggml.libggml_base_path)
    base.ggml_quantize_chunk.restype, base.ggml_validate_row_data.restype = ctypes.c_size_t, ctypes.c_bool
    base.ggml_quantize_chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64,
                                         ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p]
    base.ggml_validate_row_data.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t]
    return base


def _params(type_name: str, importance: Mapping[str, np.ndarray] | None, threads: int) -> Any:
    """llama_model_quantize_params; what they point to lives as long as they do."""
    params = lib.llama_model_quantize_default_params()
    params.ftype, params.nthread = TYPES[type_name], threads
    if importance is not None:
        params.kept = dict(importance)
        entries = (lib.llama_model_imatrix_data * (len(importance) + 1))()     # the last one, empty, ends the list
        for entry, (name, weights) in zip(entries, params.kept.items(), strict=False):
            entry.name, entry.size = name.encode(), weights.size
            entry.data = weights.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        params.imatrix = entries
    return params
