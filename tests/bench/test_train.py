"""bench/train.py's QLoRA part: both sides run on a CPU with a tiny shape, and its figures are what the sides said."""

from argparse import Namespace
from pathlib import Path

import pytest

from bench import train
from models import runs

CUDA = pytest.importorskip("torch").cuda.is_available()
MADE = {"training": 32, "validation": 4, "supervised": 1000, "tokens": 4000, "longest": 900}


def said(epoch_s: float, **more: float) -> dict:
    return {"epoch_s": epoch_s, "steps": 4, "device": "a device", **more}


def test_ratios_are_medians_of_the_rounds_and_above_one_is_faster():
    found = train.qlora_figures(MADE, {"ours": [said(2.0), said(1.0), said(4.0)],
                                       "trl": [said(6.0), said(5.0), said(4.0)]})
    assert found["qlora_vs_trl"] == 3.0
    assert found["qlora_supervised_tokens_per_s"] == {"ours": [500, 1000, 250], "trl": [166.7, 200, 250]}
    assert found["qlora_tokens_per_s"]["ours"] == [2000, 4000, 1000]
    assert not any("peak" in key for key in found)


def test_peaks_are_told_where_a_gpu_was_and_below_one_is_less():
    found = train.qlora_figures(MADE, {"ours": [said(1.0, peak_vram_mb=1500.0)],
                                       "trl": [said(1.0, peak_vram_mb=3000.0)]})
    assert found["qlora_peak_vs_trl"] == 0.5 and found["qlora_peak_vram_mb"] == {"ours": [1500], "trl": [3000]}


@pytest.mark.parametrize("only, is_tiny, has_qlora", [(None, False, CUDA), (None, True, True), ("qlora", False, True),
                                                      ("vocab", True, False)])
def test_qlora_is_measured_where_there_is_a_gpu_or_where_asked_for(only: str | None, is_tiny: bool, has_qlora: bool):
    parts = train.wanted(Namespace(only=only, tiny=is_tiny))
    assert ("qlora" in parts) == has_qlora and ("speed" in parts) == (only is None)


def test_both_sides_learn_from_the_same_rows_in_four_bits(tmp_path: Path):
    for name, rows in (("train", 20), ("validation", 4)):
        lines = (runs.ROOT / "corpus/demo/train.csv").read_text(encoding="utf-8").split("\nt")
        (tmp_path / f"{name}.csv").write_text("\nt".join(lines[:rows + 1]) + "\n", encoding="utf-8")
    found = train.qlora(tmp_path, Namespace(tiny=True, threads=1, rounds=1))
    made = found["qlora_tokens"]
    assert made["training"] == 20 and 0 < made["supervised"] < made["tokens"]
    assert found["qlora_steps"] == {"ours": 4, "trl": 4}        # two epochs of a step of 16 samples and one of 4
    assert found["qlora_vs_trl"] > 0 and ("qlora_peak_vs_trl" in found) == CUDA
    notes = (tmp_path / "qlora/run" / runs.EVENTS).read_text(encoding="utf-8")
    assert "base weights in 4-bit NF4" in notes and (tmp_path / "qlora/run" / runs.ADAPTER).is_dir()
