from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFReader, GGUFValueType

from convert.config import TYPES
from convert.families.tensor import Tensor
from convert.gguf import Plan, layout, row_bytes
from convert.stream import write_all
from models.header import read_header
from runtime.quantize import TYPES as FILE_TYPES
from tests.convert.shaped import Shaped, Words


def test_every_value_has_the_type_that_was_asked_for(tmp_path: Path):
    keys = {"a.bool": True, "a.int": 7, "a.float": 0.5, "a.text": "x", "a.list": [1, 2], "a.int32": np.int32(-3),
            "a.uint64": np.uint64(1 << 40), "a.nothing": "", "a.none": []}
    plan = Plan(architecture="llama", metadata=keys, vocab=Words(), type_name="F32",
                tensors=[Tensor(source="x", name="x.weight", shape=(2, 32))])
    shape = layout(plan, "F32")
    (tmp_path / "x.gguf").write_bytes(shape.header + bytes(shape.bytes - len(shape.header)))
    fields = GGUFReader(tmp_path / "x.gguf").fields
    found = {key: (field.types[0].name, field.contents()) for key, field in fields.items()}
    assert {key: found[key] for key in found if key.startswith("a.")} == {
        "a.bool": ("BOOL", True), "a.int": ("UINT32", 7), "a.float": ("FLOAT32", 0.5), "a.text": ("STRING", "x"),
        "a.list": ("ARRAY", [1, 2]), "a.int32": ("INT32", -3), "a.uint64": ("UINT64", 1 << 40)}
    assert fields["a.list"].types[1] == GGUFValueType.INT32
    assert found["general.architecture"] == ("STRING", "llama")
    assert found["general.file_type"] == ("UINT32", 0) and found["general.quantization_version"] == ("UINT32", 2)
    assert found["tokenizer.ggml.tokens"][1] == ["<unk>", "a", "b"]


@pytest.mark.parametrize("name", TYPES)
def test_the_type_of_the_file_is_llama_cpps_number(tmp_path: Path, name: str):
    plan = Plan(architecture="llama", metadata={}, vocab=None, type_name="F32", tensors=[])
    (tmp_path / "x.gguf").write_bytes(layout(plan, name).header)
    assert read_header(tmp_path / "x.gguf").metadata["general.file_type"] == FILE_TYPES[name]


def test_a_tensor_of_a_fixed_type_keeps_it_and_vectors_are_float32(tmp_path: Path):
    shapes = {"a.weight": (3, 64), "b.weight": (64,), "c.weight": (2, 3, 4, 4), "d.weight": (5, 64)}
    kinds = {"a.weight": "F32", "c.weight": "F16", "d.weight": "BF16"}
    plan = Plan(architecture="clip", metadata={}, vocab=None, type_name="F16", tensors=[
        Tensor(source=name, name=name, shape=shape, kind=kinds.get(name, "")) for name, shape in shapes.items()])
    model = Shaped()
    model.plan = plan
    write_all(model, {"F16": tmp_path / "x.gguf"})
    found = {t.name: t for t in GGUFReader(tmp_path / "x.gguf").tensors}
    assert {name: t.tensor_type.name for name, t in found.items()} == {**kinds, "b.weight": "F32"}
    assert [tuple(map(int, t.shape))[::-1] for t in found.values()] == list(shapes.values())
    conv = model.rows(plan.tensors[2], 0, 2).astype(np.float16)
    assert np.array_equal(found["c.weight"].data.reshape(conv.shape), conv)


def test_rows_that_are_no_whole_blocks_are_a_bug():
    assert row_bytes("Q4_K", 512) == 288
    with pytest.raises(AssertionError, match="rows of 72 are no whole blocks of Q5_0"):
        row_bytes("Q5_0", 72)
