from pathlib import Path

import gguf
import numpy as np
import pytest

from models.errors import UserError
from models.header import read_header
from runtime.quantize import OutOfRange, blocks, mix, quantize

VALUES = np.random.default_rng(3).standard_normal((5, 512), np.float32)


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q5_0"])
def test_blocks_are_those_of_the_gguf_package(kind: str):
    theirs = gguf.quants.quantize(VALUES, gguf.GGMLQuantizationType[kind])
    assert blocks(VALUES, kind).tobytes() == theirs.tobytes()


def test_the_matrix_says_which_columns_count():
    weights = np.where(np.arange(512) % 32 < 16, 1.0, 1e-3).astype(np.float32)
    for kind in ("Q4_K", "Q2_K", "IQ4_XS", "Q4_0"):
        def error(data: np.ndarray, kind: str = kind) -> float:
            found = gguf.quants.dequantize(data.reshape(5, -1), gguf.GGMLQuantizationType[kind])
            return float((weights * np.square(found - VALUES)).sum())
        assert error(blocks(VALUES, kind, weights)) < 0.95 * error(blocks(VALUES, kind)), kind


@pytest.mark.parametrize("kind", ["F16", "Q8_0", "Q4_K", "IQ4_NL", "Q5_0"])
def test_numbers_too_large_are_refused(kind: str):
    values = VALUES.copy()
    values[2, 7] = 1e9
    with pytest.raises(OutOfRange):
        blocks(values, kind)


def test_the_mix_of_a_file_is_what_quantize_makes_of_it(tmp_path: Path, window_gguf: Path):
    for has_matrix in (False, True):
        matrix = {"blk.0.ffn_down.weight": np.ones(96, np.float32)} if has_matrix else None
        quantize(window_gguf, tmp_path / "x.gguf", "Q4_0", 1, matrix)
        assert mix(window_gguf, "Q4_0", has_matrix) == {t.name: t.type_name for t in
                                                        read_header(tmp_path / "x.gguf").tensors}


def test_what_llama_cpp_refuses_is_said(tmp_path: Path):
    (tmp_path / "x.gguf").write_bytes(b"GGUF")
    with pytest.raises(UserError, match="llama.cpp can not make a file of the type Q8_0 from this model: .*failed"):
        mix(tmp_path / "x.gguf", "Q8_0", False)
    with pytest.raises(UserError, match="llama.cpp can not write y.gguf as Q8_0: "):
        quantize(tmp_path / "x.gguf", tmp_path / "y.gguf", "Q8_0", 1)
