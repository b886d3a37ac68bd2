"""One GGUF into another type, and how much disk that takes at most."""

import os
import shutil
from pathlib import Path

from convert.families.tensor import Tensor
from convert.gguf import Plan
from models.errors import UserError
from runtime import quantize as runtime_quantize

K_BLOCK = 256                   # K-quants need rows of whole blocks; others fall back to 32-value types
# the most bits a weight takes in the mix of that name: (rows of whole K blocks, other rows)
MOST_BITS = {
    "F32": (32, 32), "F16": (16, 16), "BF16": (16, 16), "Q8_0": (8.5, 8.5), "Q6_K": (6.5625, 8.5),
    "Q5_K_M": (6.5625, 8.5), "Q5_0": (5.5, 5.5), "Q4_K_M": (6.5625, 8.5), "Q4_K_S": (5.5, 6.0), "Q4_0": (4.5, 4.5),
    "IQ4_XS": (5.5, 6.0), "IQ4_NL": (5.5, 5.5), "Q3_K_M": (5.5, 6.0), "Q2_K": (4.5, 5.5),
}
EMBEDDING_BITS = (6.5625, 8.5)  # embeddings that are the output as well get no less
SPARE_BYTES = 1 << 20


def bytes_at_most(plan: Plan, type_name: str) -> int:
    """No GGUF of plan in that type is larger; usually a tenth smaller."""
    header = plan.bytes_needed() - sum(plan.tensor_bytes(t) for t in plan.tensors)
    return header + sum(_tensor_bytes(t, type_name) for t in plan.tensors)


def _tensor_bytes(tensor: Tensor, type_name: str) -> int:
    count = 1
    for side in tensor.shape:
        count *= side
    if len(tensor.shape) == 1:
        return 4 * count
    column = 1 if tensor.shape[-1] % K_BLOCK else 0
    bits = MOST_BITS[type_name][column]
    if tensor.name == "token_embd.weight":
        bits = max(bits, EMBEDDING_BITS[column])
    return int(count * bits) // 8 + 32


def check_disk(folder: Path, plan: Plan, types: list[str]) -> None:
    """Raise UserError unless folder's disk has room for the merged file beside one file for each of types."""
    others = [name for name in types if name != plan.type_name]
    needed = plan.bytes_needed() + sum(bytes_at_most(plan, name) for name in others) + SPARE_BYTES
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UserError(f"The export needs {_size(needed)} in {folder} while it works, and the disk has {_size(free)}; "
                        "free some space or choose another folder.")


def quantize(merged: Path, target: Path, plan: Plan, type_name: str, threads: int = 0) -> None:
    """Write merged (a GGUF of plan) to target in that type; merged itself becomes target if it is of that type.

    Raises UserError if the disk is full or llama.cpp refuses; target may then be half written.
    """
    if type_name == plan.type_name:
        os.replace(merged, target)
        return
    try:
        runtime_quantize.quantize(merged, target, type_name, threads)
    except UserError as error:
        written = target.stat().st_size if target.exists() else 0
        if shutil.disk_usage(target.parent).free < bytes_at_most(plan, type_name) - written:
            raise UserError(f"The disk is full: the {type_name} file could not be written to {target.parent}. "
                            "Free some space and try again.") from error
        raise


def _size(count: int) -> str:
    return f"{count / 1e9:,.2f} GB" if count >= 1e8 else f"{count / 1e6:,.1f} MB"
