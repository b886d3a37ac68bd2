from pathlib import Path

import numpy as np
import pytest

from convert import gguf
from convert.check import KL_LIMITS
from convert.config import TYPES, ExportConfig
from convert.model import MergedModel
from convert.quantize import MOST_BITS, bytes_at_most, check_disk, quantize
from models.errors import UserError
from runtime import quantize as runtime_quantize
from runtime.config import LoadConfig
from runtime.probe import Probe
from runtime.reference import Reference
from tests.convert.tiny import fill, make_base

K_SIZES = dict(hidden_size=256, intermediate_size=512, head_dim=64, query_pre_attn_scalar=64)


def test_types_are_those_of_the_runtime():
    assert set(TYPES) == set(runtime_quantize.TYPES) == set(KL_LIMITS) == set(MOST_BITS)


def test_an_unknown_type_lists_the_known_ones():
    with pytest.raises(UserError, match=r"Type is 'Q4_X'; use one of F32, F16, BF16, Q8_0"):
        ExportConfig(source="x", types=("Q8_0", "Q4_X"))


@pytest.mark.parametrize("sizes", [{}, K_SIZES], ids=["rows of 64", "rows of 256"])
def test_no_type_is_larger_than_was_said(tmp_path: Path, tokenizer_folder: Path, sizes: dict):
    base = make_base(tmp_path, "gemma3_text", tokenizer_folder, **sizes)
    model = MergedModel(base, None, "x")
    gguf.write(tmp_path / "merged", model.plan, model.read)
    for name in sorted(TYPES, key=lambda t: t == "F32"):
        quantize(tmp_path / "merged", tmp_path / name, model.plan, name, threads=1)
        actual, most = (tmp_path / name).stat().st_size, bytes_at_most(model.plan, name)
        assert actual <= most, (name, actual, most)
        if sizes:
            assert most <= actual * 1.5, (name, actual, most)
    assert not (tmp_path / "merged").exists()           # it became the F32 file


def test_a_bfloat16_base_as_f32_equals_transformers(tmp_path: Path, tokenizer_folder: Path):
    base = make_base(tmp_path, "gemma3_text", tokenizer_folder, bf16=True)
    model = MergedModel(base, None, "x")
    gguf.write(tmp_path / "merged", model.plan, model.read)
    quantize(tmp_path / "merged", tmp_path / "x.gguf", model.plan, "F32", threads=1)
    ids = [2, *range(100, 150)]
    opened = Probe(tmp_path / "x.gguf", LoadConfig(ctx_tokens=64, threads=1, exact=True))
    assert np.abs(opened.logits(ids) - Reference(base).logits(ids)).max() < 2e-3
    opened.close()


def test_a_disk_too_small_is_refused_with_both_sizes(small_disk: Path, gemma3: Path):
    plan = MergedModel(gemma3, None, "x").plan
    check_disk(small_disk, plan, ["F32", "Q8_0"])
    with pytest.raises(UserError, match=r"The export needs [\d.]+ MB in .* and the disk has [\d.]+ MB; free some"):
        check_disk(small_disk, plan, list(TYPES))


def test_a_disk_that_fills_up_is_said(small_disk: Path, gemma3: Path):
    model = MergedModel(gemma3, None, "x")
    gguf.write(small_disk / "merged", model.plan, model.read)
    fill(small_disk)
    with pytest.raises(UserError, match="The disk is full: the Q8_0 file could not be written"):
        quantize(small_disk / "merged", small_disk / "x.gguf", model.plan, "Q8_0")
