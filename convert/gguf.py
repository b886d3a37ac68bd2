"""A GGUF file: written from a plan, tensor by tensor, so that one tensor at a time is in memory."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from convert.families.tensor import Tensor
from convert.vocab import Vocab

ALIGNMENT = gguf.GGUF_DEFAULT_ALIGNMENT
FILE_TYPES = {"F32": gguf.LlamaFileType.ALL_F32, "BF16": gguf.LlamaFileType.MOSTLY_BF16}
ADDERS = {bool: "add_bool", int: "add_uint32", float: "add_float32", str: "add_string", list: "add_array"}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything of a GGUF but the numbers in its tensors. type_name: "F32" or "BF16", of the matrices."""
    architecture: str
    metadata: dict[str, Any]
    vocab: Vocab
    tensors: list[Tensor]
    type_name: str

    def tensor_type(self, tensor: Tensor) -> str:
        """Vectors stay in F32: llama.cpp's norms want it."""
        return "F32" if len(tensor.shape) == 1 else self.type_name

    def tensor_bytes(self, tensor: Tensor) -> int:
        return math.prod(tensor.shape) * (4 if self.tensor_type(tensor) == "F32" else 2)

    def bytes_needed(self) -> int:
        """Size of the file: tensors exactly, header from the vocabulary's texts."""
        data = sum(-(-self.tensor_bytes(t) // ALIGNMENT) * ALIGNMENT for t in self.tensors)
        return data + sum(len(text.encode("utf-8")) + 16 for text in self.vocab.tokens) + (1 << 16)


def write(path: Path, plan: Plan, read: Callable[[Tensor], np.ndarray]) -> None:
    """Write plan to path, asking read for each tensor's float32 values just before they are written.

    The same plan and values give the same bytes. Raises OSError as the disk does.
    """
    writer = gguf.GGUFWriter(path, plan.architecture)
    try:
        _add_metadata(writer, plan)
        _add_vocab(writer, plan.vocab)
        for tensor in plan.tensors:
            kind = gguf.GGMLQuantizationType[plan.tensor_type(tensor)]
            writer.add_tensor_info(tensor.name, tensor.shape, np.dtype(np.float32), plan.tensor_bytes(tensor), kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for tensor in plan.tensors:
            values = read(tensor)
            if plan.tensor_type(tensor) == "BF16":
                values = gguf.quants.quantize(values, gguf.GGMLQuantizationType.BF16)
            writer.write_tensor_data(np.ascontiguousarray(values))
    finally:
        writer.close()


def _add_metadata(writer: gguf.GGUFWriter, plan: Plan) -> None:
    writer.add_type(gguf.GGUFType.MODEL)
    for key, value in plan.metadata.items():
        getattr(writer, ADDERS[type(value)])(key, value)
    parameters = sum(math.prod(t.shape) for t in plan.tensors)
    writer.add_size_label(gguf.size_label(parameters, parameters, 0, 0))
    writer.add_file_type(FILE_TYPES[plan.type_name])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def _add_vocab(writer: gguf.GGUFWriter, vocab: Vocab) -> None:
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(vocab.tokens)
    writer.add_token_scores(vocab.scores)
    writer.add_token_types(vocab.types)
    for name, token in vocab.special_ids.items():
        getattr(writer, f"add_{name}_token_id")(token)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(False)
    if vocab.template:
        writer.add_chat_template(vocab.template)
