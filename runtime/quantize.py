"""A GGUF written anew in a smaller type by llama.cpp's own quantizer; workers only."""

import ctypes
import os
from pathlib import Path

import llama_cpp.llama_cpp as lib

from models.errors import UserError
from runtime.device import default_threads
from runtime.llama import LOG

TYPES = {                                         # llama_ftype by the name that users and files know
    "F32": 0, "F16": 1, "BF16": 32, "Q8_0": 7, "Q6_K": 18, "Q5_K_M": 17, "Q5_0": 8, "Q4_K_M": 15,
    "Q4_K_S": 14, "Q4_0": 2, "IQ4_XS": 30, "IQ4_NL": 25, "Q3_K_M": 12, "Q2_K": 10,
}


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
