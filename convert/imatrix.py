"""The importance matrix: how strongly each column of a matrix is used, from sums taken while the reference read text.

Source of the file's layout: llama.cpp, tools/imatrix/imatrix.cpp (save_imatrix) and common/imatrix-loader.cpp.
"""

from pathlib import Path
from typing import Protocol

import gguf
import numpy as np

from convert.families.tensor import Tensor
from convert.gguf import Plan
from models import runs
from runtime.reference import ActivationSums

USING_TYPES = frozenset({"Q6_K", "Q5_K_M", "Q4_K_M", "Q4_K_S", "IQ4_XS", "IQ4_NL", "Q3_K_M", "Q2_K"})
LAYERS = "blk."                         # embedding and head stay out, as in llama.cpp's tool: no gain (docs/log.md)
CHUNK_TOKENS = 512                      # llama.cpp counts text in chunks of its context; we say how many these would be
# of a matrix's mean: where a whole block of columns counts for nothing, llama.cpp writes zeros for its weights
LEAST_SHARE = 1e-6


class Named(Protocol):
    """What is needed of a model.MergedModel."""

    @property
    def plan(self) -> Plan: ...

    def file_name(self, tensor: Tensor) -> str:
        """The tensor's name in the base's files."""
        ...


def uses_importance(type_name: str) -> bool:
    """True for the types (mixes) that are made with an importance matrix where there is one."""
    return type_name in USING_TYPES


def importance(sums: ActivationSums, model: Named) -> dict[str, np.ndarray]:
    """{tensor of the GGUF: mean of the squared inputs of each column, (columns,) float32}.

    Rows of a matrix may be permuted on the way into the GGUF (the queries of Llama); columns never are.
    """
    return {name: total / np.float32(count) for name, (total, count) in _totals(sums, model).items()}


def write_imatrix(path: Path, sums: ActivationSums, model: Named, dataset: str) -> None:
    """Write the sums to path as llama.cpp's tools do; dataset: what the text was. The same sums give the same bytes."""
    totals = _totals(sums, model)
    most = max((count for _, count in totals.values()), default=0)
    with runs.whole_file(path) as part:
        writer = gguf.GGUFWriter(part, "")
        try:
            writer.kv_data[0].clear()                       # an importance matrix names no architecture
            writer.add_type(gguf.GGUFType.IMATRIX)
            writer.add_array(gguf.Keys.IMatrix.DATASETS, [dataset])
            writer.add_uint32(gguf.Keys.IMatrix.CHUNK_COUNT, -(-most // CHUNK_TOKENS))
            writer.add_uint32(gguf.Keys.IMatrix.CHUNK_SIZE, CHUNK_TOKENS)
            for name, (total, count) in sorted(totals.items()):
                writer.add_tensor(f"{name}.in_sum2", total)
                writer.add_tensor(f"{name}.counts", np.array([count], np.float32))
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_tensors_to_file()
        finally:
            writer.close()


def _totals(sums: ActivationSums, model: Named) -> dict[str, tuple[np.ndarray, int]]:
    """{tensor of the GGUF: (summed squares of each column, (columns,) float32; tokens)} of every matrix in a layer."""
    found = {}
    for tensor in model.plan.tensors:
        source = model.file_name(tensor)
        if tensor.name.startswith(LAYERS) and len(sums.in_sum2.get(source, ())) == tensor.shape[-1]:
            total = sums.in_sum2[source]
            floor = LEAST_SHARE * total.mean()
            found[tensor.name] = np.maximum(total, floor).astype(np.float32), sums.tokens[source]
    return found
