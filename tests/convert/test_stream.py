import errno
import math
import subprocess
import sys
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from convert.config import TYPES
from convert.families.tensor import Tensor
from convert.model import MergedModel
from convert.quantize import sizes
from convert.stream import IN_FLIGHT_VALUES, PIECE_VALUES, write_all
from models import runs
from models.errors import UserError
from models.header import read_header
from runtime.config import LoadConfig
from runtime.probe import Probe
from runtime.quantize import quantize
from runtime.reference import Reference
from tests.convert.shaped import Shaped
from tests.convert.tiny import make_adapter, make_base

SHAPES = {
    "rows of 256": {},
    "rows of 288, untied": dict(hidden=288, inner=544, tied=False),
    "rows of 288": dict(hidden=288, inner=768, layers=9),
    "rows of 72": dict(hidden=72, inner=256, tied=False, layers=8),
    "more than a piece": dict(hidden=256, rows=4200, layers=8, tied=False),
    "a base in float16": dict(layers=8, type_name="F16"),
    "a base in float32": dict(layers=8, type_name="F32"),
}


def data(path: Path) -> dict[str, tuple[str, bytes]]:
    """{tensor: (type, bytes)} of a GGUF."""
    header = read_header(path)
    raw = path.read_bytes()
    return {t.name: (t.type_name, raw[t.offset:t.offset + t.bytes]) for t in header.tensors}


@pytest.mark.parametrize("is_weighed", [False, True], ids=["plain", "with an importance matrix"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=list(SHAPES))
def test_every_type_is_what_llama_cpp_makes_of_the_base(tmp_path: Path, shape: dict, is_weighed: bool):
    model = Shaped(**shape)
    importance = model.importance() if is_weighed else None
    own = tmp_path / "own.gguf"
    write_all(model, {model.plan.type_name: own}, threads=1)
    targets = {name: tmp_path / f"{name}.gguf" for name in TYPES}
    expected = sizes(model.plan, TYPES, tmp_path, TYPES if is_weighed else ())
    write_all(model, targets, dict.fromkeys(TYPES, importance) if importance else None, threads=2)
    for name, path in targets.items():
        quantize(own, tmp_path / "theirs.gguf", name, 1, importance)
        ours, theirs = data(path), data(tmp_path / "theirs.gguf")
        assert ours.keys() == theirs.keys()
        wrong = [t for t in ours if ours[t] != theirs[t]]
        assert not wrong, (name, [(t, ours[t][0], theirs[t][0]) for t in wrong[:3]])
        assert path.stat().st_size == expected[name]
        assert read_header(path).metadata == read_header(tmp_path / "theirs.gguf").metadata


def test_a_matrix_counts_for_the_types_that_have_one_only(tmp_path: Path):
    model = Shaped(layers=8)
    matrix = model.importance()
    write_all(model, {name: tmp_path / name for name in ("Q4_K_M", "Q4_K_S")}, {"Q4_K_M": matrix}, threads=1)
    write_all(model, {"Q4_K_M": tmp_path / "weighed"}, {"Q4_K_M": matrix}, threads=1)
    write_all(model, {"Q4_K_S": tmp_path / "plain"}, threads=1)
    assert data(tmp_path / "Q4_K_M") == data(tmp_path / "weighed")
    assert data(tmp_path / "Q4_K_S") == data(tmp_path / "plain")


def folder_of(tmp_path: Path, family: str, tokenizer: Path, **settings: Any) -> Path:
    """A tiny base in bfloat16 with rows of whole and of broken blocks."""
    sizes = dict(hidden_size=128, intermediate_size=256, num_hidden_layers=8, bf16=True)
    return make_base(tmp_path / "base", family, tokenizer, **{**sizes, **settings})


def test_a_bfloat16_folder_becomes_what_llama_cpp_makes_of_its_bfloat16_file(tmp_path: Path, tokenizer_folder: Path):
    base = folder_of(tmp_path, "gemma3_text", tokenizer_folder)
    model = MergedModel(base, [], "x")
    assert model.plan.type_name == "BF16"
    write_all(model, {name: tmp_path / name for name in TYPES}, threads=2)
    for name in TYPES:
        quantize(tmp_path / "BF16", tmp_path / "theirs", name, 1)
        assert data(tmp_path / name) == data(tmp_path / "theirs"), name
    source = load_file(base / "model.safetensors")
    stored = data(tmp_path / "BF16")
    for tensor in model.plan.tensors:
        if len(tensor.shape) == 2:
            assert stored[tensor.name] == ("BF16", source[tensor.source].view(torch.int16).numpy().tobytes())


def test_a_bfloat16_base_as_f32_equals_transformers(tmp_path: Path, tokenizer_folder: Path):
    base = folder_of(tmp_path, "gemma3_text", tokenizer_folder)
    write_all(MergedModel(base, [], "x"), {"F32": tmp_path / "x.gguf"}, threads=1)
    ids = [2, *range(100, 150)]
    opened = Probe(tmp_path / "x.gguf", LoadConfig(ctx_tokens=64, threads=1, exact=True))
    assert np.abs(opened.logits(ids) - Reference(base).logits(ids)).max() < 2e-3
    opened.close()


def test_an_adapter_is_never_rounded_before_the_type(tmp_path: Path, tokenizer_folder: Path):
    """Blocks of the float32 sums: the file equals llama.cpp's from a float32 one, on any number of threads."""
    base = folder_of(tmp_path, "gemma3_text", tokenizer_folder)
    model = MergedModel(base, [make_adapter(tmp_path / "adapter", base)], "x")
    for threads in (1, 3):
        write_all(model, {name: tmp_path / f"{name}-{threads}" for name in ("F32", "Q8_0", "Q4_K_M")}, threads=threads)
    for name in ("Q8_0", "Q4_K_M"):
        quantize(tmp_path / "F32-1", tmp_path / "theirs", name, 1)
        assert data(tmp_path / f"{name}-1") == data(tmp_path / "theirs")
        assert (tmp_path / f"{name}-1").read_bytes() == (tmp_path / f"{name}-3").read_bytes()


def test_any_number_of_threads_gives_the_same_bytes(tmp_path: Path):
    model = Shaped(rows=4200, layers=8)
    for threads in (1, 3):
        write_all(model, {"Q4_K_M": tmp_path / f"{threads}.gguf"}, threads=threads)
    assert (tmp_path / "1.gguf").read_bytes() == (tmp_path / "3.gguf").read_bytes()


def test_the_weights_are_read_once_for_all_types(tmp_path: Path):
    model, asked = Shaped(rows=4200, layers=8), []

    class Counted:
        plan = model.plan

        def rows(self, tensor: Tensor, start: int, stop: int) -> np.ndarray:
            asked.append((tensor.name, start, stop))
            return model.rows(tensor, start, stop)

    write_all(Counted(), {name: tmp_path / name for name in TYPES})
    assert len(asked) == len(set(asked)) == len(model.plan.tensors) + 1         # the embedding in two pieces
    assert sum(stop - start for name, start, stop in asked if name == "token_embd.weight") == 4200


def test_a_tensor_with_a_transform_is_asked_for_whole(tmp_path: Path):
    model, asked = Shaped(rows=4200, layers=8), []
    model.plan.tensors[0] = replace(model.plan.tensors[0], transform=lambda values: values)

    class Counted:
        plan = model.plan

        def rows(self, tensor: Tensor, start: int, stop: int) -> np.ndarray:
            asked.append((tensor.name, start, stop))
            return np.asfortranarray(model.rows(tensor, start, stop))           # as a transposed one would be

    write_all(Counted(), {"Q4_0": tmp_path / "whole.gguf"})
    write_all(Shaped(rows=4200, layers=8), {"Q4_0": tmp_path / "x.gguf"})
    assert asked.count(("token_embd.weight", 0, 4200)) == 1
    assert (tmp_path / "whole.gguf").read_bytes() == (tmp_path / "x.gguf").read_bytes()


class Watched:
    """A model of zeros, one large tensor, that counts how many values of it are in memory at once."""

    def __init__(self) -> None:
        self.plan = replace(Shaped(layers=8).plan, tensors=[
            Tensor(source="x", name="token_embd.weight", shape=(40 * PIECE_VALUES // 256, 256))])
        self.alive = self.most = 0

    def rows(self, tensor: Tensor, start: int, stop: int) -> np.ndarray:
        values = np.zeros((stop - start, 256), np.float32)
        self.alive += values.size
        self.most = max(self.most, self.alive)
        weakref.finalize(values, self.gone, values.size)
        return values

    def gone(self, count: int) -> None:
        self.alive -= count


def test_few_pieces_are_in_memory_at_once(tmp_path: Path):
    model = Watched()
    write_all(model, {"Q4_0": tmp_path / "x.gguf"}, threads=3)
    assert 0 < model.most <= 6 * PIECE_VALUES


def test_large_tensors_that_are_read_whole_come_one_at_a_time(tmp_path: Path):
    model = Watched()
    rows = (IN_FLIGHT_VALUES // 2 // 256 + 1)
    model.plan = replace(model.plan, tensors=[
        Tensor(source="x", name=f"blk.{k}.ffn_up.weight", shape=(rows, 256), transform=lambda values: values)
        for k in range(3)])
    write_all(model, {"Q4_0": tmp_path / "x.gguf"}, threads=3)
    assert model.most == rows * 256


def test_progress_ends_with_all(tmp_path: Path):
    model, said = Shaped(layers=8), []
    write_all(model, {"Q8_0": tmp_path / "x.gguf"}, threads=2, progress=lambda done, of: said.append((done, of)))
    of = sum(math.prod(t.shape) for t in model.plan.tensors)
    assert said[-1] == (of, of) and said == sorted(said)


class Stopped(Exception):
    pass


def test_what_progress_raises_stops_it_and_leaves_nothing(tmp_path: Path):
    def stop(done: int, of: int) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        write_all(Shaped(layers=8), {"Q8_0": tmp_path / "a", "F16": tmp_path / "b"}, threads=2, progress=stop)
    assert not list(tmp_path.iterdir())


class Broken(Shaped):
    """A model one of whose tensors is what `value` makes of it."""

    def __init__(self, value: float):
        super().__init__(layers=8)
        self.value = value

    def rows(self, tensor: Tensor, start: int, stop: int) -> np.ndarray:
        values = super().rows(tensor, start, stop)
        if tensor.name == "blk.7.ffn_up.weight":
            values[3, 5] = self.value
        return values


@pytest.mark.parametrize("value, name, what", [
    (np.nan, "F32", "NaN"), (np.nan, "Q8_0", "NaN"), (-np.inf, "Q4_K_M", "NaN or infinity after the merge"),
    (1e6, "F16", "numbers that F16 has no room for; the largest is 1e.06"), (1e30, "Q8_0", "numbers")])
def test_numbers_that_a_type_can_not_hold_name_the_tensor(tmp_path: Path, value: float, name: str, what: str):
    with pytest.raises(UserError, match=rf"The tensor blk.7.ffn_up.weight \(in the source: 7.ffn_up\) holds {what}"):
        write_all(Broken(value), {name: tmp_path / "x.gguf"}, threads=2)
    assert not list(tmp_path.iterdir())


def test_an_error_of_the_source_is_the_one_that_is_seen(tmp_path: Path):
    class Missing(Shaped):
        def rows(self, tensor: Tensor, start: int, stop: int) -> np.ndarray:
            if tensor.name == "blk.3.attn_k.weight":
                raise UserError("the shard is gone")
            return super().rows(tensor, start, stop)

    with pytest.raises(UserError, match="the shard is gone"):
        write_all(Missing(layers=8), {"Q8_0": tmp_path / "x.gguf"}, threads=3)
    assert not list(tmp_path.iterdir())


def test_a_disk_with_too_little_room_stops_it_before_the_first_read(small_disk: Path):
    class Unread(Shaped):
        def rows(self, tensor: Tensor, start: int, stop: int) -> np.ndarray:
            raise AssertionError("the weights were read")

    with pytest.raises(OSError) as caught:
        write_all(Unread(rows=8000), {"Q8_0": small_disk / "a", "F32": small_disk / "b"})
    assert caught.value.errno == errno.ENOSPC and not list(small_disk.iterdir())


def test_killed_half_way_nothing_has_a_final_name(tmp_path: Path):
    """The files have the names of targets, which lie in a scratch folder; the process that dies renames none."""
    script = ("import sys, time; from pathlib import Path; from convert.stream import write_all\n"
              "from tests.convert.shaped import Shaped\n"
              "class Slow(Shaped):\n"
              "    def rows(self, *args):\n"
              "        time.sleep(0.2); print('.', flush=True); return super().rows(*args)\n"
              "write_all(Slow(), {'Q8_0': Path(sys.argv[1]) / 'scratch.gguf'}, threads=1)\n")
    process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], cwd=runs.ROOT, stdout=subprocess.PIPE)
    assert process.stdout and process.stdout.read(4)
    process.kill()
    process.communicate()
    assert [path.name for path in tmp_path.iterdir()] == ["scratch.gguf"]
