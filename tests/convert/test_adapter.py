"""What an adapter's files say is understood or refused by name; nothing in them is passed over."""

import json
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from convert.adapter import Adapter
from models.errors import UserError
from tests.convert.tiny import make_adapter

UP = "base_model.model.model.layers.0.mlp.up_proj"


@pytest.fixture
def folder(tmp_path: Path, adapter: Path) -> Path:
    """A copy of the adapter, to be spoilt."""
    return Path(shutil.copytree(adapter, tmp_path / "a"))


def configure(folder: Path, **change: Any) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | change), encoding="utf-8")


def made(folder: Path, base: Path, **settings: Any) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make_adapter(folder, base, **settings)


@pytest.mark.parametrize(("change", "text"), [
    (dict(peft_type="LOHA"), "of the type LOHA"),
    (dict(init_lora_weights="pissa_niter_16"), "pissa_niter_16.*rewrites the base"),
    (dict(init_lora_weights="corda"), "corda.*rewrites the base"),
    (dict(some_new_feature={"x": 1}), "uses some_new_feature"),
    (dict(fan_in_fan_out=True), "uses fan_in_fan_out"),
    (dict(layer_replication=[[0, 2], [1, 3]]), "uses layer_replication"),
    (dict(alora_invocation_tokens=[1]), "uses alora_invocation_tokens"),
    (dict(kasa_config={"x": 1}), "uses kasa_config"),
    (dict(use_qalora=True), "uses use_qalora"),
    (dict(arrow_config={"top_k": 2}), "uses arrow_config"),
    (dict(r=8), "ranks 4 and 4.*says 8"),
    (dict(rank_pattern={"up_proj": 0}), "up_proj have ranks 4 and 4.*says 0"),
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
    (dict(modules_to_save="norm"), "modules_to_save in .*adapter_config.json is no list of names"),
    (dict(target_parameters=3), "target_parameters in .* is no list of names"),
    (dict(target_parameters=["q_proj.weight", "experts.up"]), "target_parameters with 'experts.up'"),
    (dict(use_dora=True), "uses DoRA and holds no magnitudes for model.layers.0.mlp.down_proj"),
])
def test_a_config_that_does_not_fit_is_refused(folder: Path, change: dict, text: str):
    configure(folder, **change)
    with pytest.raises(UserError, match=text):
        Adapter(folder)


@pytest.mark.parametrize("text", ["[]", "null", "3"])
def test_a_config_that_is_no_table_is_refused(folder: Path, text: str):
    (folder / "adapter_config.json").write_text(text)
    with pytest.raises(UserError, match="adapter_config.json holds no settings by name; it is damaged"):
        Adapter(folder)


@pytest.mark.parametrize(("keep", "add", "text"), [
    ("", {"base_model.model.lm_head.bias": torch.zeros(2)}, "lm_head.bias, which is no LoRA matrix"),
    ("", {"base_model.model.model.norm.weight": torch.zeros(2)}, "model.norm.weight, which is no LoRA matrix"),
    ("layers.0.self_attn.q_proj.lora_A", {}, "q_proj.lora_A.weight without its partner"),
    ("layers.0.self_attn.q_proj.lora_B", {}, "q_proj.lora_B.weight without its partner"),
    ("nothing", {}, "holds no tensors"),
    ("layers.0.", {f"{UP}.base_layer.weight.absmax": torch.zeros(2)}, "absmax"),
    ("layers.0.", {f"{UP}.base_layer.weight": torch.zeros(2)}, "up_proj.base_layer.weight, which is no LoRA matrix"),
    ("layers.0.", {f"{UP}.lora_magnitude_vector": torch.zeros(96)}, "says use_dora = False; it is damaged"),
    ("layers.0.", {f"{UP}.lora_B.bias": torch.zeros(96)}, "says lora_bias = False; it is damaged"),
    ("layers.0.", {f"{UP}.token_adapter.trainable_tokens_delta": torch.zeros(1, 64)},
     r"trainable_token_indices for model.layers.0.mlp.up_proj are None"),
    ("layers.0.", {f"{UP}.lora_A.weight": torch.zeros(4)}, r"up_proj have the shapes \[4\] and \[96, 4\]"),
    ("layers.0.", {f"{UP}.lora_A.weight": torch.zeros(4, 3, 8, 8), f"{UP}.lora_B.weight": torch.zeros(64, 4, 1, 1)},
     "up_proj with LoRA of a convolution .* which the export does not support"),
    ("layers.0.", {f"{UP}.lora_A.weight": torch.zeros(4, 64, dtype=torch.int8)}, "of type I8; weights must be"),
])
def test_tensors_that_say_nothing_are_refused(folder: Path, keep: str, add: dict, text: str):
    path = folder / "adapter_model.safetensors"
    save_file({n: t for n, t in load_file(path).items() if keep in n} | add, path)
    with pytest.raises(UserError, match=text):
        Adapter(folder)


@pytest.mark.parametrize("ids", [[3], [3, 4, 5], [3, -1], [3, True], "3", {"lm_head": [3, 4]}])
def test_tokens_that_do_not_match_their_rows_are_refused(tmp_path: Path, gemma3: Path, ids: Any):
    folder = made(tmp_path, gemma3, trainable_token_indices=[3, 4])
    assert Adapter(folder).tokens["model.embed_tokens"].ids == (3, 4)
    configure(folder, trainable_token_indices=ids)
    with pytest.raises(UserError, match="its trainable_token_indices for model.embed_tokens are"):
        Adapter(folder)


def test_a_magnitude_without_its_pair_is_refused(tmp_path: Path, gemma3: Path):
    path = made(tmp_path, gemma3, use_dora=True) / "adapter_model.safetensors"
    save_file({n: t for n, t in load_file(path).items() if "up_proj.lora_A" not in n and "up_proj.lora_B" not in n},
              path)
    with pytest.raises(UserError, match="up_proj.lora_magnitude_vector without its partner"):
        Adapter(tmp_path)


def test_a_pickle_is_refused_with_a_command_that_converts_it(folder: Path):
    wanted = Adapter(folder).weights.entries.keys()
    path = folder / "adapter_model.safetensors"
    torch.save(load_file(path), folder / "adapter_model.bin")
    path.unlink()
    with pytest.raises(UserError, match="adapter_model.bin, which can run code when opened") as error:
        Adapter(folder)
    code = re.search(r'python -c "(.*)"$', str(error.value))
    assert code
    subprocess.run([sys.executable, "-c", code[1]], check=True)
    assert Adapter(folder).weights.entries.keys() == wanted
    path.unlink()
    (folder / "adapter_model.bin").unlink()
    with pytest.raises(UserError, match="holds no adapter_model.safetensors; is it the folder of a finished training"):
        Adapter(folder)


def test_what_a_pair_of_matrices_can_not_hold_is_named(tmp_path: Path, gemma3: Path):
    kinds: dict[str, dict[str, Any]] = {
        "": {}, "DoRA": dict(use_dora=True), "trainable_token_indices": dict(trainable_token_indices=[7]),
        "modules_to_save": dict(modules_to_save=["norm"])}
    for name, settings in kinds.items():
        said = Adapter(made(tmp_path / (name or "plain"), gemma3, **settings)).beyond_lora
        assert said.startswith(name) and bool(said) == bool(name)


def test_a_pair_is_read_with_its_scale(tmp_path: Path, gemma3: Path):
    adapter = Adapter(made(tmp_path, gemma3, r=9, lora_alpha=6, use_rslora=True,
                           target_modules=["embed_tokens", "q_proj"]))
    a, b, scale = adapter.pair("model.layers.1.self_attn.q_proj")
    assert (a.shape, b.shape, scale) == ((9, 64), (64, 9), pytest.approx(2.0)) and a.dtype == np.float32
    a, b, _ = adapter.pair("model.embed_tokens")
    assert a.shape == (9, 8192) and b.shape == (64, 9) and adapter.low_rank["model.embed_tokens"].is_embedding
