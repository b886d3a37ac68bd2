"""Our files hold what llama.cpp's own converter writes for the same folders; golden.json is made by upstream.py."""

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from convert.model import MergedModel
from convert.stream import write_all
from tests.convert.upstream import GOLDEN, TITLE, described
from tests.convert.zoo import DTYPES, KINDS, make

UPSTREAM = json.loads(GOLDEN.read_text(encoding="utf-8"))


def export(folder: Path, is_projector: bool = False, kind: str = "") -> Path:
    """Our file of folder, or of its projector, in its own type or in kind."""
    model = MergedModel(folder, [], TITLE)
    if is_projector:
        assert model.projector_plan
        model.plan = model.projector_plan
    path = folder / "ours.gguf"
    write_all(model, {kind or model.plan.type_name: path}, threads=1)
    return path


def compared(ours: dict[str, Any], upstream: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """{key or tensor: (ours, upstream's)} where they are not the same."""
    ours = json.loads(json.dumps(ours))
    return {name: (ours[part].get(name), upstream[part].get(name)) for part in ("keys", "tensors")
            for name in ours[part].keys() | upstream[part].keys()
            if ours[part].get(name) != upstream[part].get(name)}


@pytest.mark.parametrize("name", UPSTREAM)
def test_keys_and_tensors_are_upstreams(tmp_path: Path, tokenizer_folder: Path, name: str):
    """Names, types, shapes, values and the bytes of every tensor. One difference is meant, in float16 bases only."""
    kind, _, part = name.partition(" ")
    folder = make(kind, tmp_path, tokenizer_folder)
    path = export(folder, is_projector=part == "mmproj")
    different = compared(described(path), UPSTREAM[name])
    if KINDS[kind].dtype == "f16" and "gemma" in kind:
        check_rounded_norms(path, different)
        different = {}
    assert not different


def check_rounded_norms(path: Path, different: dict[str, Any]) -> None:
    """Upstream adds 1 to a float16 norm in float16, which rounds; we add in float32."""
    assert different and all("norm" in name for name in different)
    for one in gguf.GGUFReader(path).tensors:
        if one.name in different:
            assert not np.array_equal(one.data, one.data.astype(np.float16))
            assert np.array_equal(one.data - np.float32(1), (one.data - np.float32(1)).astype(np.float16))


def test_a_difference_would_be_seen(tmp_path: Path, tokenizer_folder: Path):
    folder = make("qwen-3", tmp_path, tokenizer_folder)
    tensors = load_file(folder / "model.safetensors")
    tensors["model.layers.1.self_attn.q_norm.weight"][3] += 0.5
    save_file(tensors, folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"rope_theta": 2e6}))
    different = compared(described(export(folder)), UPSTREAM["qwen-3"])
    assert different.keys() == {"qwen3.rope.freq_base", "blk.1.attn_q_norm.weight"}


@pytest.mark.parametrize("spelling", ["transformers 5 on disk", "transformers 5 in memory"])
def test_a_model_that_sees_is_the_same_under_every_spelling(tmp_path: Path, tokenizer_folder: Path, spelling: str):
    """Upstream reads the published names only; with the head that transformers adds by default, which is left out."""
    folder = make("gemma-3-seeing", tmp_path, tokenizer_folder)
    tensors = load_file(folder / "model.safetensors")
    tensors["vision_tower.vision_model.head.probe"] = tensors["multi_modal_projector.mm_soft_emb_norm.weight"].clone()
    renamed = {name.replace("vision_model.", ""): values for name, values in tensors.items()}
    if spelling == "transformers 5 in memory":
        renamed = {"model." + name.replace("language_model.model.", "language_model."): values
                   for name, values in renamed.items()}
    save_file(renamed, folder / "model.safetensors")
    assert not compared(described(export(folder)), UPSTREAM["gemma-3-seeing"])
    assert not compared(described(export(folder, is_projector=True)), UPSTREAM["gemma-3-seeing mmproj"])


@pytest.mark.parametrize("asked", ["F32", "Q4_K_M"])
def test_a_projector_keeps_the_types_that_its_reader_needs(tmp_path: Path, tokenizer_folder: Path, asked: str):
    """A projector is never quantized, whatever is asked of it."""
    folder = make("gemma-3-seeing", tmp_path, tokenizer_folder)
    types = {one.name: one.tensor_type.name for one in gguf.GGUFReader(export(folder, True, asked)).tensors}
    assert types["mm.input_projection.weight"] == "F16" and types["v.patch_embd.weight"] == "F32"
    assert types["v.blk.0.attn_q.weight"] == "BF16"


def test_every_kind_of_number_is_there():
    assert {kind.dtype for kind in KINDS.values()} == set(DTYPES)
    assert {len(KINDS[name.split(" ")[0]].files) > 0 for name in UPSTREAM} == {True, False}
    assert {name.split(" ")[0] for name in UPSTREAM} == set(KINDS)
