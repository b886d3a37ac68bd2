"""bench/runtime.py runs every measure on the embedded model; bench/random_gemma.py has the shape it claims."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bench.random_gemma import CONFIG, ROWS, RandomGemma
from models import runs

MEASURED = {"decode_vs_library", "decode_vs_raw", "parallel8_vs_sequential", "turn_ttft_vs_cold", "stream_stall_x",
            "join_ttft_x", "busy_core_x", "score_vs_generate", "load_s_vs_library"}


def bench(*words: str, home: Path) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, str(runs.ROOT / "bench/runtime.py"), *words], capture_output=True, text=True,
                          cwd=home, env={**os.environ, "GALEN_HOME": str(home)}, timeout=300)


def test_every_key_is_measured_and_the_last_line_is_json(demo_gguf: Path, galen_home: Path):
    ran = bench("--model", str(demo_gguf), "--no-embedded", "--rounds", "1", "--texts", "3", home=galen_home)
    assert ran.returncode == 0, ran.stderr
    result = json.loads(ran.stdout.splitlines()[-1])
    assert not [about["error"] for about in result["runs"].values() if "error" in about]
    assert all(result[key] > 0 for key in MEASURED)
    assert result["cancel_steps"] >= 0 and math.isfinite(result["overhead_us_per_token"])
    turn = {name: values[0] for name, values in result["raw"]["next_turn"].items()}
    assert turn["turn_cached_tokens"] > 0.9 * turn["turn_prompt_tokens"] and turn["cold_cached_tokens"] < 20
    assert turn["cold_prompt_tokens"] > 1500
    assert {"processor", "cores", "threads", "others_at_start", "others_at_end", "missed"} <= result.keys()


def test_one_key_alone_and_what_the_user_gets_wrong(demo_gguf: Path, galen_home: Path):
    ran = bench("--model", str(demo_gguf), "--no-embedded", "--rounds", "1", "--only", "cancel_steps", home=galen_home)
    result = json.loads(ran.stdout.splitlines()[-1])
    assert list(result["raw"]) == ["cancel"] and len(result["raw"]["cancel"]["steps_after_cancel"]) == 4
    ran = bench("--model", str(galen_home / "none.gguf"), "--only", "cancel_steps", home=galen_home)
    assert ran.returncode == 1 and "none.gguf" in ran.stderr and "Traceback" not in ran.stderr


@pytest.fixture(scope="module")
def model(shared_data: Path):
    return RandomGemma(shared_data / "models/gemma-vocab/gemma3-shaped.tokenizer.model")


def test_the_random_model_has_the_shape_of_gemma_3_1b(model):
    plan = model.plan
    assert sum(math.prod(t.shape) for t in plan.tensors) == 999_885_952
    assert len(plan.tensors) == 340 and len(plan.vocab.tokens) == ROWS
    assert plan.metadata["gemma3.attention.sliding_window"] == CONFIG["sliding_window"]
    assert plan.vocab.special_ids["eot"] == plan.vocab.tokens.index("<end_of_turn>") and plan.vocab.template


def test_its_weights_repeat_and_never_favour_a_control_token(model):
    tensors = {t.name: t for t in model.plan.tensors}
    small = tensors["blk.3.attn_q.weight"]
    whole = model.rows(small, 0, 1024)
    assert np.array_equal(model.rows(small, 990, 1010), whole[990:1010]) and abs(whole.std() - 1152 ** -0.5) < 1e-3
    assert not np.array_equal(whole, model.rows(tensors["blk.4.attn_q.weight"], 0, 1024))
    embedding, special = tensors["token_embd.weight"], list(model.plan.vocab.special_ids.values())
    longest = np.linalg.norm(model.rows(embedding, 0, 1000)[special], axis=1).max()
    assert longest < 0.2 * np.linalg.norm(model.rows(embedding, 200_000, 200_100), axis=1).min()
