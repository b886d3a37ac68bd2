from pathlib import Path

import numpy as np
import pytest
import torch
from gguf import GGUFReader
from safetensors.torch import load_file

from convert import gguf
from convert.model import MergedModel
from models import runs
from models.errors import UserError
from models.header import read_header
from tests.convert.tiny import make_base


def test_the_same_model_gives_the_same_bytes(tmp_path: Path, gemma3: Path, adapter: Path):
    for name in ("one", "two"):
        model = MergedModel(gemma3, adapter, "x")
        gguf.write(tmp_path / name, model.plan, model.read)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_a_bfloat16_base_keeps_its_bits(tmp_path: Path, tokenizer_folder: Path):
    base = make_base(tmp_path, "gemma", tokenizer_folder, bf16=True)
    model = MergedModel(base, None, "x")
    gguf.write(tmp_path / "x.gguf", model.plan, model.read)
    source = load_file(base / "model.safetensors")
    for tensor, stored in zip(model.plan.tensors, GGUFReader(tmp_path / "x.gguf").tensors, strict=True):
        bits = source[tensor.source].view(torch.int16).numpy()
        if len(tensor.shape) == 2:
            assert stored.tensor_type.name == "BF16" and np.array_equal(stored.data.view(np.int16), bits)
        else:
            assert stored.tensor_type.name == "F32"


def test_an_adapter_on_a_bfloat16_base_is_summed_in_float32(tmp_path: Path, tokenizer_folder: Path, adapter: Path):
    base = make_base(tmp_path, "gemma3_text", tokenizer_folder, bf16=True)
    assert MergedModel(base, None, "x").plan.type_name == "BF16"
    assert MergedModel(base, adapter, "x").plan.type_name == "F32"


def test_the_size_is_known_before(tmp_path: Path, gemma3: Path):
    model = MergedModel(gemma3, None, "x")
    gguf.write(tmp_path / "x.gguf", model.plan, model.read)
    actual = (tmp_path / "x.gguf").stat().st_size
    assert actual <= model.plan.bytes_needed() <= actual * 1.05 + (1 << 16)
    header = read_header(tmp_path / "x.gguf")
    assert [t.name for t in header.tensors] == [t.name for t in model.plan.tensors]
    assert [t.bytes for t in header.tensors] == [model.plan.tensor_bytes(t) for t in model.plan.tensors]


def test_nan_stops_the_writing(tmp_path: Path, gemma3: Path):
    model = MergedModel(gemma3, None, "x")

    def read(tensor):
        if tensor.name == "blk.1.ffn_up.weight":
            raise UserError("NaN")
        return model.read(tensor)

    with pytest.raises(UserError, match="NaN"), runs.whole_file(tmp_path / "x.gguf") as part:
        gguf.write(part, model.plan, read)
    assert not list(tmp_path.iterdir())
