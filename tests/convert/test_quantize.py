import os
from pathlib import Path

import pytest

from convert.check import KL_LIMITS
from convert.config import TYPES, ExportConfig
from convert.quantize import check_room, mixes, sizes
from convert.stream import write_all
from models.errors import UserError
from runtime import quantize as runtime_quantize
from tests.convert.shaped import Shaped
from tests.convert.tiny import fill


def test_types_are_those_of_the_runtime():
    assert set(TYPES) == set(runtime_quantize.TYPES) == set(KL_LIMITS)


def test_an_unknown_type_lists_the_known_ones():
    with pytest.raises(UserError, match=r"Type is 'Q4_X'; use one of F32, F16, BF16, Q8_0"):
        ExportConfig(source="x", types=("Q8_0", "Q4_X"))


def test_the_mix_is_known_before_and_depends_on_the_matrix(tmp_path: Path):
    plan = Shaped().plan
    plain = mixes(plan, ["Q4_0", "Q4_K_M"], tmp_path)
    weighed = mixes(plan, ["Q4_0", "Q4_K_M"], tmp_path, {"Q4_0"})
    assert not list(tmp_path.iterdir())
    assert plain["Q4_K_M"] == weighed["Q4_K_M"]
    assert {t for t in plain["Q4_0"] if plain["Q4_0"][t] != weighed["Q4_0"][t]} == {
        "blk.0.ffn_down.weight", "blk.1.ffn_down.weight"}           # Q4_1 there, with a matrix only
    assert plain["Q4_K_M"]["token_embd.weight"] == "Q6_K" and plain["Q4_K_M"]["output_norm.weight"] == "F32"
    assert mixes(Shaped(tied=False).plan, ["Q4_K_M"], tmp_path)["Q4_K_M"]["token_embd.weight"] == "Q4_K"


def test_an_architecture_that_llama_cpp_does_not_have_is_said(tmp_path: Path):
    plan = Shaped().plan
    object.__setattr__(plan, "architecture", "gemma99")
    with pytest.raises(UserError, match="llama.cpp can not make a file of the type Q8_0 .* 'gemma99'"):
        mixes(plan, ["Q8_0"], tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_disk_is_asked_for_exactly_the_files(small_disk: Path):
    needed = sizes(Shaped(layers=8).plan, ["Q2_K"], small_disk)["Q2_K"]
    assert not list(small_disk.iterdir())               # the skeleton took no room, and is gone
    check_room(small_disk, 6 << 20)
    fill(small_disk)
    free = -(-needed // 4096) * 4096
    os.truncate(small_disk / "filler", (small_disk / "filler").stat().st_size - free)
    check_room(small_disk, needed)
    with pytest.raises(UserError, match=r"The export needs 0.\d MB in .* and the disk has 0.\d MB; free some"):
        check_room(small_disk, free + 1)
    write_all(Shaped(layers=8), {"Q2_K": small_disk / "x.gguf"}, threads=1)
    assert (small_disk / "x.gguf").stat().st_size == needed
