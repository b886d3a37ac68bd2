import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from convert.merge import Adapter
from convert.model import MergedModel
from models.errors import UserError
from tests.convert.tiny import make_adapter, make_base, merged_by_peft

VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "rank and alpha patterns": dict(rank_pattern={"q_proj": 2, r"layers\.1\.mlp\.down_proj": 6},
                                    alpha_pattern={"layers.0.self_attn.v_proj": 32, "up_proj": 3}),
    "rsLoRA": dict(use_rslora=True, r=5),
    "rsLoRA with patterns": dict(use_rslora=True, rank_pattern={"o_proj": 9}, alpha_pattern={"o_proj": 1}),
    "some layers": dict(layers_to_transform=[1], target_modules=["q_proj", "up_proj"]),
}


@pytest.mark.parametrize("settings", VARIANTS.values(), ids=VARIANTS)
def test_merged_equals_pefts_merge(tmp_path: Path, gemma3: Path, settings: dict[str, Any]):
    adapter = make_adapter(tmp_path, gemma3, **settings)
    model, wanted = MergedModel(gemma3, adapter, "x"), merged_by_peft(gemma3, adapter)
    changed = 0
    for tensor in model.plan.tensors:
        got, want = model.read(tensor), wanted[tensor.source].numpy() + np.float32(tensor.transform is not None)
        assert np.abs(got - want).max() <= 1e-6 * np.abs(want).max(), tensor.source
        changed += model._adapter.changes(tensor.source)
    assert changed == (2 if "layers_to_transform" in settings else 21)


def test_an_adapter_in_bfloat16_merges_in_float32(tmp_path: Path, gemma3: Path, adapter: Path):
    shutil.copytree(adapter, tmp_path / "half")
    path = tmp_path / "half" / "adapter_model.safetensors"
    save_file({name: tensor.bfloat16() for name, tensor in load_file(path).items()}, path)
    half, pair = Adapter(tmp_path / "half"), load_file(path)
    stem = "base_model.model.model.layers.0.self_attn.q_proj.lora_"
    want = pair[f"{stem}B.weight"].double() @ pair[f"{stem}A.weight"].double() * 2
    got = half.merged("model.layers.0.self_attn.q_proj.weight", np.zeros((64, 64), np.float32))
    assert np.abs(got - want.numpy()).max() < 1e-6


def test_a_fresh_adapter_changes_nothing(tmp_path: Path, gemma3: Path, adapter: Path):
    shutil.copytree(adapter, tmp_path / "fresh")
    path = tmp_path / "fresh" / "adapter_model.safetensors"
    save_file({n: torch.zeros_like(t) if "lora_B" in n else t for n, t in load_file(path).items()}, path)
    fresh, plain = MergedModel(gemma3, tmp_path / "fresh", "x"), MergedModel(gemma3, None, "x")
    assert all(np.array_equal(fresh.read(t), plain.read(t)) for t in plain.plan.tensors)


@pytest.mark.parametrize(("settings", "text"), [
    (dict(use_dora=True), "uses DoRA"),
    (dict(modules_to_save=["norm"]), "modules_to_save"),
    (dict(bias="lora_only"), "bias"),
    (dict(lora_bias=True), "lora_bias"),
    (dict(target_modules=["embed_tokens"]), "embed_tokens.base_layer.weight"),
    (dict(trainable_token_indices=[7, 8]), "trainable_token_indices"),
    (dict(layer_replication=[[0, 2], [1, 3]]), "layer_replication"),
])
def test_what_peft_can_do_and_we_can_not_is_refused_by_name(tmp_path: Path, gemma3: Path, settings: dict, text: str):
    adapter = make_adapter(tmp_path, gemma3, **settings)
    with pytest.raises(UserError, match=text):
        MergedModel(gemma3, adapter, "x")


@pytest.mark.parametrize(("change", "text"), [
    (dict(peft_type="LOHA"), "of the type LOHA"),
    (dict(init_lora_weights="pissa_niter_16"), "pissa_niter_16.*rewrites the base"),
    (dict(some_new_feature={"x": 1}), "some_new_feature"),
    (dict(fan_in_fan_out=True), "fan_in_fan_out"),
    (dict(r=8), "ranks 4 and 4.*says 8"),
    (dict(r=None), "names no rank"),
    (dict(r=0), "names no rank"),
    (dict(r=True), "names no rank"),
    (dict(lora_alpha=float("nan")), "no lora_alpha"),
    (dict(lora_alpha=10 ** 400), "no lora_alpha"),
    (dict(rank_pattern=["q_proj"]), "rank_pattern in .*adapter_config.json is no table of patterns"),
    (dict(alpha_pattern={"q_proj(": 3}), r"alpha_pattern in .* holds 'q_proj\(', which is no regular expression"),
    (dict(alpha_pattern={"(?i)q_proj": 3}), "which is no regular expression"),
    (dict(alpha_pattern={"a{99999999999}": 3}), "which is no regular expression"),
    (dict(alpha_pattern={"q_proj": "8"}), "has '8' for 'q_proj', which is no number"),
])
def test_a_config_that_does_not_fit_is_refused(tmp_path: Path, gemma3: Path, adapter: Path, change: dict, text: str):
    folder = shutil.copytree(adapter, tmp_path / "a")
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UserError, match=text):
        MergedModel(gemma3, folder, "x")


@pytest.mark.parametrize("text", ["[]", "null", "3"])
def test_a_config_that_is_no_table_is_refused(tmp_path: Path, adapter: Path, text: str):
    folder = shutil.copytree(adapter, tmp_path / "a")
    (folder / "adapter_config.json").write_text(text)
    with pytest.raises(UserError, match="adapter_config.json holds no settings by name; it is damaged"):
        Adapter(folder)


@pytest.mark.parametrize(("keep", "add", "text"), [
    ("", {"base_model.model.lm_head.bias": torch.zeros(2)}, "lm_head.bias, which is no LoRA matrix"),
    ("layers.0.self_attn.q_proj.lora_A", {}, "without its partner"),
    ("nothing", {}, "holds no tensors"),
    ("layers.0.", {"base_model.model.model.layers.0.mlp.up_proj.base_layer.weight.absmax": torch.zeros(2)}, "absmax"),
])
def test_adapter_tensors_that_are_no_pairs_are_refused(tmp_path: Path, adapter: Path, keep: str, add: dict, text: str):
    folder = shutil.copytree(adapter, tmp_path / "a")
    path = folder / "adapter_model.safetensors"
    save_file({n: t for n, t in load_file(path).items() if keep in n} | add, path)
    with pytest.raises(UserError, match=text):
        Adapter(folder)


def test_nan_in_the_adapter_is_named(tmp_path: Path, gemma3: Path, adapter: Path):
    folder = shutil.copytree(adapter, tmp_path / "a")
    path = folder / "adapter_model.safetensors"
    tensors = load_file(path)
    tensors["base_model.model.model.layers.1.mlp.up_proj.lora_B.weight"][0, 0] = float("nan")
    save_file(tensors, path)
    model = MergedModel(gemma3, folder, "x")
    with pytest.raises(UserError, match="layers.1.mlp.up_proj.lora_B.weight in adapter_model.safetensors holds NaN"):
        for tensor in model.plan.tensors:
            model.read(tensor)


@pytest.mark.parametrize(("settings", "text"), [
    (dict(hidden_size=128), r"another base model: for model.layers.0.mlp.down_proj.weight .*\(64, 96\).*\(128, 96\)"),
    (dict(num_hidden_layers=2, layer_types=None), "another base model: it changes model.layers.2"),
])
def test_an_adapter_of_another_shape_names_the_first_tensor(
        tmp_path: Path, tokenizer_folder: Path, adapter: Path, settings: dict, text: str):
    other = make_base(tmp_path / "other", "gemma3_text", tokenizer_folder, **settings)
    with pytest.raises(UserError, match=text):
        MergedModel(other, adapter, "x")
