"""Every PEFT feature merges to what peft's own merge_and_unload gives, whole or by rows, one adapter or several."""

import json
import shutil
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, LlamaConfig

from convert.adapter import Adapter
from convert.families import FAMILIES
from convert.merge import BLOCK_ROWS, MergedWeights
from convert.weights import open_weights
from models.errors import UserError
from tests.convert.tiny import SIZES, make_adapter, make_base, random_model

LAYERS = 3
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "rank and alpha patterns": dict(rank_pattern={"q_proj": 2, r"layers\.1\.mlp\.down_proj": 6},
                                    alpha_pattern={"layers.0.self_attn.v_proj": 32, "up_proj": 3}),
    "anchored patterns": dict(rank_pattern={r"^model\.layers\.2.*": 3}, alpha_pattern={r"^model.*gate_proj": 1}),
    "rsLoRA": dict(use_rslora=True, r=5),
    "rsLoRA with patterns": dict(use_rslora=True, rank_pattern={"o_proj": 9}, alpha_pattern={"o_proj": 1}),
    "some layers": dict(layers_to_transform=[1], target_modules=["q_proj", "up_proj"]),
    "all linear": dict(target_modules="all-linear", r=1),
    "by expression": dict(target_modules=r".*layers\.[02]\.mlp\.(up|down)_proj"),
    "DoRA": dict(use_dora=True),
    "DoRA, rsLoRA and patterns": dict(use_dora=True, use_rslora=True, rank_pattern={"q_proj": 2},
                                      alpha_pattern={"v_proj": 1, "down_proj": 40}),
    "embedding": dict(target_modules=["embed_tokens", "v_proj"]),
    "embedding, DoRA and patterns": dict(target_modules=["embed_tokens", "v_proj"], use_dora=True,
                                         rank_pattern={"embed_tokens": 3}, alpha_pattern={"embed_tokens": 1}),
    "head": dict(target_modules=["lm_head", "v_proj"], use_rslora=True),
    "head, DoRA": dict(target_modules=["lm_head", "v_proj"], use_dora=True),
    "both ends": dict(target_modules=["lm_head", "embed_tokens"]),
    "both ends, DoRA": dict(target_modules=["lm_head", "embed_tokens"], use_dora=True),
    "embedding, tied again": dict(target_modules=["embed_tokens", "v_proj"], ensure_weight_tying=True),
    "embedding as a copy": dict(modules_to_save=["embed_tokens"]),
    "embedding as a copy, tied again": dict(modules_to_save=["embed_tokens"], ensure_weight_tying=True),
    "head as a copy": dict(modules_to_save=["lm_head"]),
    "both ends as copies": dict(modules_to_save=["lm_head", "embed_tokens"]),
    "head as a copy, embedding LoRA": dict(modules_to_save=["lm_head"], target_modules=["embed_tokens", "q_proj"]),
    "embedding as a copy, head LoRA": dict(modules_to_save=["embed_tokens"], target_modules=["lm_head"]),
    "norms": dict(modules_to_save=["norm", "post_attention_layernorm"]),
    "linear layers as copies": dict(modules_to_save=["q_proj"], target_modules=["v_proj"]),
    "whole parts as copies": dict(modules_to_save=["mlp"], target_modules=["v_proj"], use_dora=True),
    "some tokens": dict(trainable_token_indices=[7, 31, 32, 299], target_modules=["v_proj"]),
    "some tokens, by name": dict(trainable_token_indices={"embed_tokens": [9, 3]}, target_modules=["v_proj"]),
    "some tokens of the head": dict(trainable_token_indices={"lm_head": [7, 8]}, target_modules=["v_proj"]),
    "embedding, some tokens of the head": dict(target_modules=["embed_tokens", "v_proj"],
                                               trainable_token_indices={"lm_head": [7, 8]}),
    "parameters": dict(target_parameters=["q_proj.weight", "up_proj.weight"], target_modules=[],
                       rank_pattern={"q_proj.weight": 3}, alpha_pattern={"up_proj": 64, "up_proj.weight": 2}),
    "the embedding as a parameter": dict(target_parameters=["embed_tokens.weight"], target_modules=["v_proj"]),
    "biases of all": dict(bias="all", target_modules=["v_proj", "down_proj"]),
    "biases of adapted layers": dict(bias="lora_only", target_modules=["q_proj", "up_proj"]),
    "MiCA": dict(init_lora_weights="mica"),
}
ONLY_WITH_BIASES = {"biases in the pairs": dict(lora_bias=True, target_modules=["v_proj", "down_proj"])}


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama in float16 with a head of its own, and a bias wherever the family may have one."""
    folder = tmp_path_factory.mktemp("llama")
    config = LlamaConfig(vocab_size=300, **SIZES, attention_bias=True, mlp_bias=True, tie_word_embeddings=False)
    random_model(config).to(torch.float16).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def gemma(tmp_path_factory: pytest.TempPathFactory, tokenizer_folder: Path) -> Path:
    """A random Gemma 3 in bfloat16, in shards, whose head is its embedding."""
    folder = tmp_path_factory.mktemp("gemma")
    return make_base(folder, "gemma3_text", tokenizer_folder, bf16=True)


def trained(folder: Path, base: Path, **settings: Any) -> Path:
    """A random adapter in which everything that can be trained has moved, also what make_adapter leaves alone.

    copies=False: without the base's embedding, which peft saves beside LoRA on it, and train/ does not.
    """
    has_copies = settings.pop("copies", True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        make_adapter(folder, base, note=False, **settings)
    path, draw = folder / "adapter_model.safetensors", torch.Generator().manual_seed(11)
    save_file({name: tensor if ".lora_" in name else tensor + 0.1 * torch.randn(tensor.shape, generator=draw)
               for name, tensor in load_file(path).items() if has_copies or ".base_layer." not in name}, path)
    return folder


def by_peft(base: Path, *adapters: Path) -> dict[str, np.ndarray]:
    """The state of the model after peft's own merges, one adapter after the other, in float32."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        for adapter in adapters:
            model = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
    return {name: tensor.numpy() for name, tensor in model.state_dict().items()}


def by_us(base: Path, *adapters: Path, is_tied: bool) -> MergedWeights:
    canonical = FAMILIES["gemma3_text"].canonical
    return MergedWeights(open_weights(base), [Adapter(path, canonical) for path in adapters], canonical, is_tied)


def read(merged: MergedWeights, name: str) -> np.ndarray:
    return merged.rows(name, 0, merged.shape(name)[0])


def assert_same(merged: MergedWeights, wanted: dict[str, np.ndarray], base: Path) -> int:
    """Every tensor to 1e-6 of its largest number; returns how many differ from the base's."""
    names, before, changed = merged.names(), by_peft(base), 0
    assert set(names) == set(wanted) - ({"lm_head.weight"} if merged.is_tied else set())
    for name in names:
        got = read(merged, name)
        assert got.dtype == np.float32 and got.shape == wanted[name].shape
        assert np.abs(got - wanted[name]).max() <= 1e-6 * np.abs(wanted[name]).max(), name
        is_other = not np.array_equal(wanted[name], before[name])
        assert merged.is_changed(name) >= is_other
        changed += is_other
    if merged.is_tied:
        assert np.array_equal(wanted["lm_head.weight"], wanted["model.embed_tokens.weight"])
    return changed


@pytest.mark.parametrize("kind", VARIANTS)
def test_merged_equals_pefts_merge(tmp_path: Path, gemma: Path, kind: str):
    adapter = trained(tmp_path, gemma, **VARIANTS[kind])
    assert assert_same(by_us(gemma, adapter, is_tied=True), by_peft(gemma, adapter), gemma) > 0


@pytest.mark.parametrize("kind", [*VARIANTS, *ONLY_WITH_BIASES])
def test_merged_equals_pefts_merge_with_biases_and_a_head_of_its_own(tmp_path: Path, llama: Path, kind: str):
    adapter = trained(tmp_path, llama, **(VARIANTS | ONLY_WITH_BIASES)[kind])
    assert assert_same(by_us(llama, adapter, is_tied=False), by_peft(llama, adapter), llama) > 0


@pytest.mark.parametrize("kind", ["plain", "DoRA", "embedding", "embedding, DoRA and patterns", "some tokens",
                                  "both ends, DoRA", "norms"])
def test_by_rows_has_the_bits_of_the_whole(tmp_path: Path, gemma: Path, kind: str):
    # from rank 8 on, the bits of a product depend on how many rows are multiplied at a time
    merged = by_us(gemma, trained(tmp_path, gemma, **VARIANTS[kind] | {"r": 16}), is_tied=True)
    draw = np.random.default_rng(5)
    for name in [n for n in merged.names() if ".layers.1." not in n and ".layers.2." not in n]:
        whole, count = read(merged, name), merged.shape(name)[0]
        cuts = sorted({0, count, *draw.integers(0, count, 5).tolist(), min(count, BLOCK_ROWS + 1)})
        parts = [merged.rows(name, start, stop) for start, stop in zip(cuts, cuts[1:], strict=False)]
        assert np.array_equal(np.concatenate(parts), whole), name
        with ThreadPoolExecutor(4) as pool:
            at_once = list(pool.map(lambda cut, name=name: merged.rows(name, *cut), zip(cuts, cuts[1:], strict=False)))
        assert np.array_equal(np.concatenate(at_once), whole), name


CHAINS: dict[str, list[dict[str, Any]]] = {
    "plain on plain": [{}, dict(r=2, target_modules=["q_proj", "up_proj"])],
    "DoRA on DoRA": [dict(use_dora=True), dict(use_dora=True, use_rslora=True, r=3)],
    "LoRA on a copied head": [dict(modules_to_save=["lm_head"]), dict(target_modules=["lm_head", "q_proj"])],
    "LoRA on a copied embedding": [dict(modules_to_save=["embed_tokens"]),
                                   dict(target_modules=["embed_tokens"], use_dora=True)],
    "DoRA on an adapted embedding": [dict(target_modules=["embed_tokens"], copies=False),
                                     dict(target_modules=["embed_tokens", "q_proj"], use_dora=True, copies=False)],
    "a copy over everything": [dict(target_modules=["embed_tokens", "q_proj"]),
                               dict(modules_to_save=["embed_tokens", "q_proj"], target_modules=["v_proj"])],
    "three": [dict(modules_to_save=["norm"], use_dora=True), dict(trainable_token_indices=[5, 6]),
              dict(target_modules=["embed_tokens", "k_proj"])],
}


@pytest.mark.parametrize("kind", CHAINS)
@pytest.mark.parametrize("family", ["gemma", "llama"])
def test_several_adapters_merge_in_order(tmp_path: Path, request: pytest.FixtureRequest, family: str, kind: str):
    base = request.getfixturevalue(family)
    adapters = [trained(tmp_path / str(k), base, **dict(settings)) for k, settings in enumerate(CHAINS[kind])]
    merged = by_us(base, *adapters, is_tied=family == "gemma")
    assert_same(merged, by_peft(base, *adapters), base)
    other = by_us(base, *adapters[::-1], is_tied=family == "gemma")
    is_plain = kind == "plain on plain"             # sums, in any order
    assert is_plain or any(np.abs(read(other, name) - read(merged, name)).max() > 1e-3
                           for name in set(other.names()) & set(merged.names()))


def test_a_head_that_an_adapter_unties_is_a_tensor_of_its_own(tmp_path: Path, gemma: Path):
    copies = {name: by_us(gemma, trained(tmp_path / str(k), gemma, **VARIANTS[name]), is_tied=True)
              for k, name in enumerate(["embedding", "head as a copy", "embedding as a copy"])}
    assert "lm_head.weight" not in copies["embedding"].names() and copies["embedding"].is_tied
    for name in ("head as a copy", "embedding as a copy"):
        assert "lm_head.weight" in copies[name].names() and not copies[name].notes
    assert np.array_equal(read(copies["embedding as a copy"], "lm_head.weight"),
                          open_weights(gemma).read("model.embed_tokens.weight"))
    assert "embedding" in copies["embedding"].notes[0] and "both" in copies["embedding"].notes[0]


def test_an_adapter_in_bfloat16_merges_in_float32(tmp_path: Path, gemma: Path):
    path = trained(tmp_path, gemma) / "adapter_model.safetensors"
    save_file({name: tensor.bfloat16() for name, tensor in load_file(path).items()}, path)
    assert_same(by_us(gemma, tmp_path, is_tied=True), by_peft(gemma, tmp_path), gemma)


def test_a_fresh_adapter_changes_nothing(tmp_path: Path, gemma: Path):
    path = trained(tmp_path, gemma) / "adapter_model.safetensors"
    save_file({n: torch.zeros_like(t) if "lora_B" in n else t for n, t in load_file(path).items()}, path)
    fresh, plain = by_us(gemma, tmp_path, is_tied=True), by_us(gemma, is_tied=True)
    assert fresh.names() == plain.names()
    assert all(np.array_equal(read(fresh, name), read(plain, name)) for name in plain.names())


def test_nan_in_the_adapter_is_named(tmp_path: Path, gemma: Path):
    path = trained(tmp_path, gemma) / "adapter_model.safetensors"
    tensors = load_file(path)
    tensors["base_model.model.model.layers.1.mlp.up_proj.lora_B.weight"][0, 0] = float("nan")
    save_file(tensors, path)
    merged = by_us(gemma, tmp_path, is_tied=True)
    with pytest.raises(UserError, match="layers.1.mlp.up_proj.lora_B.weight in adapter_model.safetensors holds NaN"):
        read(merged, "model.layers.1.mlp.up_proj.weight")


def test_magnitudes_on_weights_of_zero_are_refused(tmp_path: Path, gemma: Path):
    base = Path(shutil.copytree(gemma, tmp_path / "base"))
    name = "model.layers.0.mlp.up_proj"
    path = base / "model.safetensors"
    save_file(load_file(path) | {f"{name}.weight": torch.zeros(96, 64, dtype=torch.bfloat16)}, path)
    path = trained(tmp_path / "a", gemma, use_dora=True) / "adapter_model.safetensors"
    save_file(load_file(path) | {f"base_model.model.{name}.lora_B.weight": torch.zeros(96, 4)}, path)
    with pytest.raises(UserError, match="up_proj.lora_magnitude_vector, and the weights there are all zero"):
        read(by_us(base, tmp_path / "a", is_tied=True), f"{name}.weight")


def renamed(old: str, new: str) -> Callable[[dict], dict]:
    return lambda tensors: {name.replace(old, new): tensor for name, tensor in tensors.items()}


def longer(end: str, rows: int) -> Callable[[dict], dict]:
    return lambda tensors: {name: torch.zeros(rows, *tensor.shape[1:]) if name.endswith(end) else tensor
                            for name, tensor in tensors.items()}


@pytest.mark.parametrize(("settings", "change", "text"), [
    ({}, renamed("layers.2", "layers.7"), r"another base model: it changes model.layers.7.mlp.down_proj.weight"),
    ({}, longer("0.mlp.up_proj.lora_B.weight", 128),
     r"another base model: for model.layers.0.mlp.up_proj.weight it was made for \(128, 64\).*has \(96, 64\)"),
    (dict(use_dora=True), longer("0.mlp.up_proj.lora_magnitude_vector", 7), r"up_proj \(its magnitudes\).*\(7,\)"),
    (dict(modules_to_save=["norm"]), longer("model.norm.weight", 63), r"for model.norm.weight it was made for \(63,\)"),
    (dict(modules_to_save=["embed_tokens"]), longer("embed_tokens.weight", 8200),
     "The embeddings were resized: .* was trained with 8,200 rows in model.embed_tokens.weight, and this base .*8,192"),
    (dict(target_modules=["lm_head"]), longer("lm_head.base_layer.weight", 8200), "The embeddings were resized"),
    (dict(target_modules=["lm_head"]), lambda t: {n: v if "lora_A" in n else v[:9] for n, v in t.items()},
     "The embeddings were resized: .* with 9 rows in lm_head.weight"),
    (dict(modules_to_save=["q_proj"]), lambda t: t | {
        "base_model.model.model.layers.0.self_attn.q_proj.bias": torch.zeros(64)}, "it changes .*q_proj.bias, which"),
    (dict(trainable_token_indices=[3]), longer("tokens_delta", 1), ""),
    (dict(trainable_token_indices=[8191]), lambda t: {n: v[:, :9] if "delta" in n else v for n, v in t.items()},
     "for model.embed_tokens.weight it was made for .*9"),
])
def test_an_adapter_of_another_base_names_the_first_tensor(
        tmp_path: Path, gemma: Path, settings: dict, change: Callable, text: str):
    path = trained(tmp_path, gemma, **settings) / "adapter_model.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in change(load_file(path)).items()}, path)
    if not text:                                    # the way of changing it is no damage by itself
        by_us(gemma, tmp_path, is_tied=True)
        return
    with pytest.raises(UserError, match=text):
        by_us(gemma, tmp_path, is_tied=True)


def test_tokens_beside_lora_on_a_tied_head_are_refused(tmp_path: Path, gemma: Path):
    adapter = trained(tmp_path, gemma, target_modules=["lm_head", "v_proj"], trainable_token_indices=[7, 8])
    with pytest.raises(UserError, match="trainable_token_indices together with LoRA on lm_head, which this base"):
        by_us(gemma, adapter, is_tied=True)


def test_a_bias_of_a_pair_needs_a_bias_in_the_base(tmp_path: Path, gemma: Path):
    with pytest.raises(UserError, match="uses lora_bias on model.layers.0.self_attn.v_proj, which has no bias in this"):
        by_us(gemma, with_bias(tmp_path, gemma), is_tied=True)


def with_bias(folder: Path, base: Path) -> Path:
    """An adapter with a bias in its pairs, which peft itself makes for layers that have one only."""
    path = trained(folder, base, target_modules=["v_proj"]) / "adapter_model.safetensors"
    tensors = load_file(path)
    biases = {name.replace("weight", "bias"): torch.ones(len(tensor)) for name, tensor in tensors.items()
              if name.endswith("lora_B.weight")}
    save_file(tensors | biases, path)
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    (folder / "adapter_config.json").write_text(json.dumps(config | {"lora_bias": True}), encoding="utf-8")
    return folder


def test_one_tensor_under_two_names_is_refused(tmp_path: Path):
    save_file({"model.language_model.norm.weight": torch.zeros(4), "language_model.model.norm.weight": torch.ones(4)},
              tmp_path / "model.safetensors")
    with pytest.raises(UserError, match="are the same one under two names"):
        MergedWeights(open_weights(tmp_path), [], FAMILIES["gemma3"].canonical, is_tied=True)
