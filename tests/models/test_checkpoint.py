"""Headers of safetensors files: whole ones as the library reads them, damaged ones named."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from models.checkpoint import read_header
from models.errors import UserError


def write(path: Path, header: object, data: bytes = b"", length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + data)
    return path


def test_every_tensor_has_its_place(tmp_path: Path):
    tensors = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor([7, 8], dtype=torch.uint8)}
    save_file(tensors, tmp_path / "x.safetensors", metadata={"format": "pt"})
    entries, raw = read_header(tmp_path / "x.safetensors"), (tmp_path / "x.safetensors").read_bytes()
    assert {name: (e.dtype, e.shape) for name, e in entries.items()} == {"a": ("F32", (2, 3)), "b": ("U8", (2,))}
    assert raw[entries["a"].start:entries["a"].end] == tensors["a"].numpy().tobytes()
    entries["a"].check_is_float("a")
    with pytest.raises(UserError, match="The tensor b in x.safetensors is of type U8; weights must be 32-bit or"):
        entries["b"].check_is_float("b")


def one(**change: object) -> dict:
    return {"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} | change}


@pytest.mark.parametrize(("header", "data", "length", "text"), [
    (one(), bytes(7), None, "cut short: it has .* and its tensor w ends at .*no whole safetensors file"),
    (one(), bytes(8), 5000, "cut short: .* its header alone ends at 5,008"),
    (one(), bytes(8), 1 << 40, "its header would be 1,099,511,627,776 bytes long"),
    (one(), bytes(8), 0, "its header would be 0 bytes long"),
    (b"{not json", b"", None, "its header is no JSON"),
    (b"[" * 100_000, b"", None, "its header is no JSON"),
    ([1], b"", None, "its header is no table of tensors"),
    ({"w": 3}, b"", None, "its entry for w is not readable"),
    (one(data_offsets=[0]), bytes(8), None, "its entry for w is not readable"),
    (one(shape=["x"]), bytes(8), None, "its entry for w is not readable"),
    ({"w": one()["w"] | {"shape": [float("inf")]}}, bytes(8), None, "its entry for w is not readable"),
    (one() | {"v": one(data_offsets=[4, 12])["w"]}, bytes(12), None, "its tensors w and v lie in the same place"),
    (one(shape=[3]), bytes(8), None, r"the tensor w has 8 bytes, which does not fit F32 \[3\]"),
    (one(shape=[-1, -2]), bytes(8), None, r"does not fit F32 \[-1, -2\]"),
    (one(data_offsets=[-8, 0]), bytes(8), None, "does not fit F32"),
    (one(dtype="BF16"), bytes(8), None, "does not fit BF16"),
])
def test_damage_is_named(tmp_path: Path, header: object, data: bytes, length: int | None, text: str):
    with pytest.raises(UserError, match=text) as error:
        read_header(write(tmp_path / "x.safetensors", header, data, length))
    assert "x.safetensors" in str(error.value) and "\n" not in str(error.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(UserError, match="gone.safetensors is missing; copy or download it again"):
        read_header(tmp_path / "gone.safetensors")
