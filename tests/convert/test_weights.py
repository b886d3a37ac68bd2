from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from convert.weights import Weights, open_weights
from models.errors import UserError


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_every_float_type_reads_as_torch_reads_it(tmp_path: Path, dtype: torch.dtype):
    torch.manual_seed(1)
    wanted = {"a": torch.randn(7, 5).to(dtype), "b": torch.randn(3).to(dtype) * 1e-3}
    save_file(wanted, tmp_path / "model.safetensors")
    weights = open_weights(tmp_path)
    for name, tensor in wanted.items():
        got = weights.read(name)
        assert got.dtype == np.float32 and got.flags.writeable
        assert np.array_equal(got, tensor.float().numpy())


def test_a_shard_cut_short_is_named_with_its_sizes(tmp_path: Path):
    path = tmp_path / "model.safetensors"
    save_file({"a": torch.zeros(100), "b": torch.zeros(100)}, path)
    whole = path.read_bytes()
    for keep in (4, 40, len(whole) - 1):
        path.write_bytes(whole[:keep])
        with pytest.raises(UserError, match="model.safetensors.*(cut short|no whole)"):
            open_weights(tmp_path)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_nan_and_infinity_are_refused_with_the_tensor_named(tmp_path: Path, value: float, dtype: torch.dtype):
    tensor = torch.ones(4, 4, dtype=dtype)
    tensor[2, 3] = value
    save_file({"layers.0.weight": tensor}, tmp_path / "x.safetensors")
    with pytest.raises(UserError, match="layers.0.weight in x.safetensors holds NaN or infinity"):
        Weights([tmp_path / "x.safetensors"]).read("layers.0.weight")


def test_integers_are_no_weights(tmp_path: Path):
    save_file({"w": torch.zeros(4, dtype=torch.uint8)}, tmp_path / "x.safetensors")
    with pytest.raises(UserError, match="tensor w in x.safetensors is of type U8"):
        Weights([tmp_path / "x.safetensors"]).read("w")


def test_a_name_in_two_shards_is_refused(tmp_path: Path):
    for name in ("one", "two"):
        save_file({"w": torch.zeros(4)}, tmp_path / f"{name}.safetensors")
    with pytest.raises(UserError, match="w stands in both one.safetensors and two.safetensors"):
        open_weights(tmp_path)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_rows_and_columns_are_those_of_the_whole(tmp_path: Path, dtype: torch.dtype):
    torch.manual_seed(2)
    save_file({"m": torch.randn(9, 5).to(dtype), "v": torch.randn(9).to(dtype), "t": torch.randn(4, 2, 3).to(dtype)},
              tmp_path / "x.safetensors")
    weights = Weights([tmp_path / "x.safetensors"])
    for name in ("m", "v", "t"):
        for start, stop in ((0, 4), (1, 3), (3, 4), (2, 2)):
            assert np.array_equal(weights.read_rows(name, start, stop), weights.read(name)[start:stop])
    assert np.array_equal(weights.read_columns("m", 1, 4), weights.read("m")[:, 1:4])


def test_a_file_that_shrinks_under_way_is_named(tmp_path: Path):
    path = tmp_path / "x.safetensors"
    save_file({"w": torch.zeros(100)}, path)
    weights = Weights([path])
    path.write_bytes(path.read_bytes()[:-8])
    assert len(weights.read_rows("w", 0, 98)) == 98
    with pytest.raises(UserError, match="x.safetensors has become shorter while it was read"):
        weights.read("w")
