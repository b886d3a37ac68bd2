"""bench/export.py has the shapes it claims, reads a process from outside, and exports what it made."""

import math
import subprocess
import sys
from pathlib import Path

import pytest

from bench.export import ours, upstream, watch
from bench.random_base import COMMON, SHAPES, tensors, write_adapter, write_base
from models import runs
from models.errors import UserError

TINY = dict(vocab_size=8192, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=2,
            num_key_value_heads=1, max_position_embeddings=512, sliding_window=64)


def test_the_random_models_have_the_true_numbers_of_parameters():
    counts = {name: sum(math.prod(shape) for _, shape in tensors({**COMMON, **SHAPES[name]})) for name in SHAPES}
    assert counts == {"gemma3-270m": 268_098_176, "gemma3-1b": 999_885_952, "gemma3-4b": 3_880_263_168}


def test_memory_and_writing_of_the_whole_tree_are_seen_from_outside(tmp_path: Path):
    inner = f"import time; x = bytearray(50_000_000); open({str(tmp_path / 'x')!r}, 'wb').write(x[:7_000_000]); " \
            "time.sleep(0.3)"
    outer = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}], check=True)"
    step = watch([sys.executable, "-c", outer])
    assert 50 < step.peak_anon_mb < 90 and 7 <= step.written_mb < 8 and step.wall_s > 0.3
    with pytest.raises(RuntimeError, match="ended with status 3:\nno such thing"):
        watch([sys.executable, "-c", "print('no such thing'); raise SystemExit(3)"])


def test_our_side_exports_the_random_base_and_writes_little_else(tmp_path: Path):
    write_adapter(tmp_path / "adapter", write_base(tmp_path / "base", TINY, runs.DEMO_BASE / "tokenizer.model"))
    found = ours(tmp_path, "Q4_K_M", 1)
    assert 300_000 < found["bytes"] < 2_000_000 and found["written_ratio"] < 1.2     # the skeleton's header counts here
    assert found["peak_anon_mb"] < 400 and found["wall_s"] > 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter", "base"]


def test_the_upstream_converter_is_found_in_a_source_package(tmp_path: Path):
    (tmp_path / "a/vendor").mkdir(parents=True)
    with pytest.raises(UserError, match="holds no convert_hf_to_gguf.py"):
        upstream(tmp_path / "a", tmp_path)
    (tmp_path / "a/vendor/convert_hf_to_gguf.py").touch()
    assert upstream(tmp_path / "a", tmp_path) == tmp_path / "a/vendor"


def test_without_a_tokenizer_it_says_so(tmp_path: Path):
    ran = subprocess.run([sys.executable, "bench/export.py", "--model", "gemma3-270m", "--alone", "--keep",
                          str(tmp_path), "--tokenizer", str(tmp_path / "none")], cwd=runs.ROOT, text=True,
                         capture_output=True)
    assert ran.returncode == 1 and "There is no tokenizer at" in ran.stderr and "Traceback" not in ran.stderr
