"""A base with adapters as a GGUF wants it, and everything that is wrong with a base said before any work."""

import json
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from convert.families import find_family
from convert.model import MergedModel
from convert.stream import write_all
from models import base as base_folder
from models.errors import UserError
from runtime.config import LoadConfig
from runtime.probe import Probe
from runtime.reference import Reference
from tests.convert import zoo
from tests.convert.tiny import make_adapter, make_base, merged_by_peft


@pytest.fixture
def base(tmp_path: Path, gemma3: Path) -> Path:
    """A copy of the small Gemma 3, to be spoilt."""
    return Path(shutil.copytree(gemma3, tmp_path / "base"))


def change(base: Path, edit: Callable[[dict], dict]) -> None:
    path = base / "model.safetensors"
    tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}
    save_file(edit(tensors), path, metadata={"format": "pt"})


def configure(base: Path, **values: Any) -> None:
    path = base / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_every_tensor_of_the_plan_has_its_merged_rows(gemma3: Path, adapter: Path):
    model, wanted = MergedModel(gemma3, [adapter], "x"), merged_by_peft(gemma3, adapter)
    assert model.projector_plan is None and not model.notes
    for tensor in model.plan.tensors:
        assert model.file_name(tensor) == tensor.source
        whole = model.rows(tensor, 0, tensor.shape[0])
        want = wanted[tensor.source].numpy() + np.float32(tensor.transform is not None)
        assert whole.dtype == np.float32 and np.abs(whole - want).max() <= 1e-6 * np.abs(want).max()
        assert np.array_equal(model.rows(tensor, 3, 11), whole[3:11])
        assert model.is_changed(tensor) == bool(re.search(r"\d\.(mlp|self_attn)\.\w+_proj", tensor.source))


FAMILY_ADAPTERS: dict[str, dict[str, Any]] = {
    "every linear layer, DoRA": dict(target_modules="all-linear", use_dora=True, r=3, use_rslora=True),
    "embedding and norms": dict(target_modules=["embed_tokens", "k_proj"], modules_to_save=["norm", "down_proj"]),
    "biases": dict(target_modules=["v_proj", "o_proj"], bias="all"),
    "a head of its own": dict(modules_to_save=["lm_head"]),
}
NO_PLACE_FOR_A_HEAD = {"gemma-tiny-0.3M-it", "gemma-2"}     # llama.cpp takes the embedding, whatever a file holds


@pytest.mark.parametrize("kind", FAMILY_ADAPTERS)
@pytest.mark.parametrize("name", [name for name in zoo.KINDS if "gemma-4" not in name])
def test_every_family_merges_as_peft_does(tmp_path: Path, tokenizer_folder: Path, name: str, kind: str):
    base = zoo.make(name, tmp_path, tokenizer_folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adapter = make_adapter(tmp_path / "adapter", base, **FAMILY_ADAPTERS[kind])
        wanted = {find_family(base_folder.family(base)).canonical(key): values.numpy()
                  for key, values in merged_by_peft(base, adapter).items()}
    if kind == "a head of its own" and name in NO_PLACE_FOR_A_HEAD:
        with pytest.raises(UserError, match="lm_head.weight"):
            MergedModel(base, [adapter], "x")
        return
    model, changed = MergedModel(base, [adapter], "x"), 0
    for tensor in [*model.plan.tensors, *(model.projector_plan.tensors if model.projector_plan else ())]:
        if tensor.source:
            want = wanted[tensor.source][:(tensor.source_shape or tensor.shape)[0]]
            want = tensor.transform(want) if tensor.transform else want
            got = model.rows(tensor, 0, tensor.shape[0])
            assert got.shape == want.shape and np.abs(got - want).max() <= 1e-6 * np.abs(want).max(), tensor.source
            changed += model.is_changed(tensor)
    assert changed >= 2


CHAINS: dict[str, list[dict[str, Any]]] = {
    "a tied embedding": [dict(target_modules=["embed_tokens", "q_proj"])],
    "a head of its own, DoRA on it": [dict(modules_to_save=["lm_head"]), dict(target_modules=["lm_head", "up_proj"],
                                                                              use_dora=True)],
    "tokens, norms, plain": [dict(trainable_token_indices=[9, 10]), dict(modules_to_save=["norm"]), {}],
}


@pytest.mark.parametrize("kind", CHAINS)
def test_the_file_is_the_reference(tmp_path: Path, gemma3: Path, kind: str):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adapters = [make_adapter(tmp_path / str(k), gemma3, **settings) for k, settings in enumerate(CHAINS[kind])]
    write_all(MergedModel(gemma3, adapters, "x"), {"F32": tmp_path / "x.gguf"}, threads=1)
    ids = [2, *np.random.default_rng(4).integers(6, 4000, 40).tolist()]
    file = Probe(tmp_path / "x.gguf", LoadConfig(ctx_tokens=64, threads=1, exact=True))
    wanted, got = Reference(gemma3, adapters, 1).logits(ids), file.logits(ids)
    file.close()
    assert np.abs(wanted - got).max() < 4e-3 * np.abs(wanted).max() and wanted.std() > 0.1
    assert np.abs(wanted - Reference(gemma3, adapters[:-1], 1).logits(ids)).max() > 1e-2


def test_the_folder_side_has_the_files_names_and_layout(base: Path, adapter: Path):
    change(base, lambda tensors: {name.replace("model.", "language_model.model.", 1): tensor.bfloat16()
                                  for name, tensor in tensors.items()})
    model, wanted = MergedModel(base, [adapter], "x"), MergedModel(base, [], "x")
    assert model.source_names() == list(load_file(base / "model.safetensors"))
    name = "language_model.model.layers.0.mlp.down_proj.weight"
    assert model.source_shape(name) == (64, 96) and model.source_dtype(name) == "BF16"
    assert not np.array_equal(model.source_rows(name, 0, 64), wanted.source_rows(name, 0, 64))
    norm = "language_model.model.norm.weight"
    assert np.array_equal(model.source_rows(norm, 0, 64), load_file(base / "model.safetensors")[norm].float())
    assert {model.file_name(t) for t in model.plan.tensors} == set(model.source_names())


def test_an_untied_head_joins_plan_and_folder(tmp_path: Path, gemma3: Path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adapter = make_adapter(tmp_path, gemma3, modules_to_save=["lm_head"])
    model = MergedModel(gemma3, [adapter], "x")
    head = next(t for t in model.plan.tensors if t.name == "output.weight")
    want = load_file(adapter / "adapter_model.safetensors")["base_model.model.lm_head.weight"].numpy()
    assert np.array_equal(model.rows(head, 5, 50), want[5:50])
    assert model.file_name(head) == "lm_head.weight" and "lm_head.weight" in model.source_names()
    assert model.source_dtype("lm_head.weight") == "F32" and model.source_shape("lm_head.weight") == (8192, 64)
    assert "output.weight" not in [t.name for t in MergedModel(gemma3, [], "x").plan.tensors]


@pytest.mark.parametrize(("dtype", "adapted", "wanted"), [
    (torch.bfloat16, False, "BF16"), (torch.float16, False, "F16"), (torch.float32, False, "F32"),
    (torch.bfloat16, True, "F32"), (torch.float16, True, "F32")])
def test_numbers_keep_their_type_until_an_adapter_makes_sums(
        base: Path, adapter: Path, dtype: torch.dtype, adapted: bool, wanted: str):
    change(base, lambda tensors: {name: tensor.to(dtype) for name, tensor in tensors.items()})
    assert MergedModel(base, [adapter] * adapted, "x").plan.type_name == wanted


def test_a_base_of_two_types_is_written_in_the_wider_one(base: Path):
    change(base, lambda tensors: {name: tensor.bfloat16() if "mlp" in name else tensor.half()
                                  for name, tensor in tensors.items()})
    assert MergedModel(base, [], "x").plan.type_name == "F32"


def test_rows_beyond_the_vocabulary_are_trimmed_and_a_tied_head_dropped(base: Path, gemma3: Path):
    def lengthen(tensors: dict) -> dict:
        embedding = tensors["model.embed_tokens.weight"]
        return tensors | {"model.embed_tokens.weight": torch.cat([embedding, torch.full((64, 64), 9.0)]),
                          "lm_head.weight": embedding}

    change(base, lengthen)
    long, short = MergedModel(base, [], "x"), MergedModel(gemma3, [], "x")
    assert [t.name for t in long.plan.tensors] == [t.name for t in short.plan.tensors]
    first = long.plan.tensors[0]
    assert np.array_equal(long.rows(first, 0, first.shape[0]), short.rows(first, 0, first.shape[0]))


def test_a_folder_made_of_a_trimmed_model_has_no_row_too_many(base: Path, gemma3: Path):
    change(base, lambda tensors: {name: torch.cat([tensor, torch.ones(8, 64)]) if "embed" in name else tensor
                                  for name, tensor in tensors.items()})
    long, short = MergedModel(base, [], "x"), MergedModel(gemma3, [], "x")
    for name in short.source_names():
        assert long.source_shape(name) == short.source_shape(name)


def add_a_token_with_a_row(base: Path) -> None:
    """As resize_token_embeddings leaves it, where vocab_size was forgotten."""
    change(base, lambda tensors: {name: torch.cat([tensor, torch.ones(8, 64)]) if "embed" in name else tensor
                                  for name, tensor in tensors.items()})
    path = base / "tokenizer_config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    added = settings.get("added_tokens_decoder", {}) | {"8192": {"content": "<new>", "special": True}}
    path.write_text(json.dumps(settings | {"added_tokens_decoder": added}), encoding="utf-8")


def test_a_tied_head_that_is_saved_under_its_own_name_only(base: Path, gemma3: Path):
    change(base, lambda tensors: {name.replace("model.embed_tokens", "lm_head"): tensor
                                  for name, tensor in tensors.items()})
    odd, usual = MergedModel(base, [], "x"), MergedModel(gemma3, [], "x")
    for tensor in usual.plan.tensors:
        assert np.array_equal(odd.rows(tensor, 0, tensor.shape[0]), usual.rows(tensor, 0, tensor.shape[0]))


def cut_short(base: Path) -> None:
    (base / "model.safetensors").write_bytes((base / "model.safetensors").read_bytes()[:-1000])


def lose_a_shard(base: Path) -> None:
    tensors = load_file(base / "model.safetensors")
    (base / "model.safetensors").unlink()
    save_file(tensors, base / "model-00001-of-00002.safetensors")
    (base / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {
        **dict.fromkeys(tensors, "model-00001-of-00002.safetensors"), "x": "model-00002-of-00002.safetensors"}}))


def with_tensor(name: str, tensor: torch.Tensor) -> Callable[[Path], None]:
    return lambda base: change(base, lambda tensors: tensors | {name: tensor})


UP = "model.layers.0.mlp.up_proj.weight"
BAD: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a shard is missing": (lose_a_shard, "lacks model-00002-of-00002.safetensors, which its index names"),
    "a shard is cut short": (cut_short, "model.safetensors is cut short: it has .* bytes and its tensor"),
    "a tensor is missing": (lambda b: change(b, lambda t: {n: v for n, v in t.items() if n != UP}),
                            f"lacks the tensor {UP}; copy or download"),
    "a wrong shape": (with_tensor(UP, torch.zeros(95, 64)),
                      rf"{UP} in .* has the shape \[95, 64\], and config.json makes it \[96, 64\]; the two do not"),
    "embeddings resized": (with_tensor("model.embed_tokens.weight", torch.zeros(8000, 64)),
                           r"has the shape \[8000, 64\].*the embeddings were resized, or the two do not belong"),
    "a token was added": (add_a_token_with_a_row,
                          r"embeddings were resized: .* says 8,192 rows .*has 8,200, and .* such as '<new>'"),
    "an unknown tensor": (with_tensor("model.extra.weight", torch.zeros(2)), "model.extra.weight, which this archit"),
    "absmax": (with_tensor(f"{UP}.absmax", torch.zeros(2)), "up_proj.weight.absmax, a leftover of quantization"),
    "SCB": (with_tensor(UP.replace("weight", "SCB"), torch.zeros(2)), "up_proj.SCB, a leftover"),
    "a scale": (with_tensor(f"{UP}_scale", torch.zeros(2)), "weight_scale, a leftover"),
    "bytes": (with_tensor(UP, torch.zeros(96, 64, dtype=torch.uint8)), f"The tensor {UP} in .* is of type U8"),
    "a quantized config": (lambda b: configure(b, quantization_config={"quant_method": "bitsandbytes"}),
                           "quantized weights.*bitsandbytes"),
    "an unknown architecture": (lambda b: configure(b, model_type="mistral"),
                                "type 'mistral' can not be exported yet; known are gemma, gemma2"),
    "no tokenizer": (lambda b: [(b / n).unlink() for n in ("tokenizer.model", "tokenizer.json")],
                     "holds no tokenizer.model or tokenizer.json"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_base_that_can_not_be_exported_is_refused_before_work(base: Path, kind: str):
    spoil, text = BAD[kind]
    spoil(base)
    with pytest.raises(UserError, match=text) as error:
        MergedModel(base, [], "x")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_none_name_their_tensor(base: Path, value: float):
    change(base, lambda tensors: tensors | {UP: torch.full((96, 64), value)})
    model = MergedModel(base, [], "x")
    with pytest.raises(UserError, match=f"The tensor {UP} in model.safetensors holds NaN or infinity"):
        for tensor in model.plan.tensors:
            model.rows(tensor, 0, tensor.shape[0])


@pytest.mark.parametrize(("settings", "text"), [
    (dict(hidden_size=128), r"another base model: for model.layers.0.mlp.down_proj.weight .*\(64, 96\).*\(128, 96\)"),
    (dict(num_hidden_layers=2, layer_types=None), "another base model: it changes model.layers.2"),
])
def test_an_adapter_of_another_shape_names_the_first_tensor(
        tmp_path: Path, tokenizer_folder: Path, adapter: Path, settings: dict, text: str):
    other = make_base(tmp_path / "other", "gemma3_text", tokenizer_folder, **settings)
    with pytest.raises(UserError, match=text):
        MergedModel(other, [adapter], "x")


def test_a_pickle_is_refused_with_a_command_that_converts_it(base: Path, gemma3: Path):
    torch.save(load_file(base / "model.safetensors"), base / "pytorch_model.bin")
    (base / "model.safetensors").unlink()
    with pytest.raises(UserError, match="it holds pytorch_model.bin, which can run code when opened") as error:
        MergedModel(base, [], "x")
    code = re.search(r'python -c "(.*)"$', str(error.value))
    assert code
    subprocess.run([sys.executable, "-c", code[1]], check=True, capture_output=True)
    converted, usual = MergedModel(base, [], "x"), MergedModel(gemma3, [], "x")
    for tensor in usual.plan.tensors:
        assert np.array_equal(converted.rows(tensor, 0, tensor.shape[0]), usual.rows(tensor, 0, tensor.shape[0]))
