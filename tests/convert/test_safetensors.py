import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, AutoTokenizer

from convert import safetensors
from convert.model import MergedModel
from models import runs
from models.errors import UserError
from tests.convert import zoo
from tests.convert.tiny import TOKENIZER_FILES, fill, make_adapter, make_base, merged_by_peft


def silent(done: int, of: int) -> None:
    """Say nothing."""


class Numbers:
    """A model of one tensor."""

    def __init__(self, values: np.ndarray):
        self.values = values

    def source_names(self) -> Sequence[str]:
        return ["x"]

    def source_shape(self, name: str) -> tuple[int, ...]:
        return self.values.shape

    def source_rows(self, name: str, start: int, stop: int) -> np.ndarray:
        return self.values[start:stop]


def test_it_loads_in_transformers_and_is_pefts_merge(tmp_path: Path, gemma3: Path, adapter: Path):
    model = MergedModel(gemma3, [adapter], "x")
    files = safetensors.write(model, gemma3, tmp_path / "merged", silent)
    names = {path.name for path in files}
    assert {"model.safetensors", "config.json", *TOKENIZER_FILES} - {"chat_template.jinja"} <= names
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype=torch.float32).state_dict()
    wanted = merged_by_peft(gemma3, adapter)
    assert set(loaded) == set(wanted)
    for name, weight in wanted.items():
        assert torch.allclose(loaded[name], weight, rtol=1e-6, atol=1e-7), name
    assert AutoTokenizer.from_pretrained(tmp_path / "merged").encode("a") == AutoTokenizer.from_pretrained(
        gemma3).encode("a")
    assert (tmp_path / "merged" / "config.json").read_bytes() == (gemma3 / "config.json").read_bytes()


def test_shards_have_an_index_and_hold_everything_once(tmp_path: Path, gemma3: Path, adapter: Path):
    model = MergedModel(gemma3, [adapter], "x")
    safetensors.write(model, gemma3, tmp_path / "one", silent)
    seen: list[tuple[int, int]] = []
    safetensors.write(model, gemma3, tmp_path / "many", lambda done, of: seen.append((done, of)), shard_bytes=60_000)
    shards = sorted((tmp_path / "many").glob("model-*.safetensors"))
    index = runs.read_json(tmp_path / "many" / "model.safetensors.index.json")
    assert len(shards) > 3 and shards[0].name == f"model-00001-of-{len(shards):05}.safetensors"
    assert set(index["weight_map"].values()) == {path.name for path in shards}
    whole, parts = load_file(tmp_path / "one" / "model.safetensors"), {}
    for path in shards:
        held = load_file(path)
        assert not set(held) & set(parts) and all(index["weight_map"][name] == path.name for name in held)
        assert path.stat().st_size < 70_000 or len(held) == 1
        parts.update(held)
    assert set(parts) == set(whole) and all(torch.equal(parts[name], whole[name]) for name in whole)
    assert seen[-1] == (index["metadata"]["total_size"],) * 2 and seen == sorted(seen)
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "many").state_dict().keys() >= whole.keys()


@pytest.mark.parametrize("name", ["gemma-3-seeing", "llama-with-biases", "qwen-3-long", "gemma-tiny-0.3M-it"])
def test_every_tensor_of_every_family_is_there_bit_for_bit(tmp_path: Path, tokenizer_folder: Path, name: str):
    """The vision tower and projector too, which a GGUF of the text model leaves out."""
    base = zoo.make(name, tmp_path, tokenizer_folder)
    safetensors.write(MergedModel(base, [], "x"), base, tmp_path / "out", silent)
    before = {k: v for path in base.glob("*.safetensors") for k, v in load_file(path).items()}
    after = load_file(tmp_path / "out" / "model.safetensors")
    assert before.keys() == after.keys()
    assert all(before[k].dtype == after[k].dtype and torch.equal(before[k], after[k]) for k in before)


def test_a_model_that_sees_is_pefts_merge_too(tmp_path: Path, tokenizer_folder: Path):
    base = zoo.make("gemma-3-seeing", tmp_path, tokenizer_folder)
    model = AutoModelForImageTextToText.from_pretrained(base, dtype=torch.float32)
    config = LoraConfig(r=4, target_modules=r".*language_model.*\.(q_proj|down_proj)", init_lora_weights=False)
    tuned = get_peft_model(model, config)
    tuned.save_pretrained(tmp_path / "adapter")
    wanted = tuned.merge_and_unload().state_dict()
    safetensors.write(MergedModel(base, [tmp_path / "adapter"], "x"), base, tmp_path / "out", silent, type_name="F32")
    loaded = AutoModelForImageTextToText.from_pretrained(tmp_path / "out", dtype=torch.float32).state_dict()
    assert loaded.keys() == wanted.keys()
    for name, weight in wanted.items():
        assert torch.allclose(loaded[name], weight, rtol=1e-6, atol=1e-7), name


def test_a_bfloat16_base_stays_one_bit_for_bit(tmp_path: Path, tokenizer_folder: Path):
    base = make_base(tmp_path / "base", "gemma2", tokenizer_folder, bf16=True)
    safetensors.write(MergedModel(base, [], "x"), base, tmp_path / "out", silent)
    before, after = load_file(base / "model.safetensors"), load_file(tmp_path / "out" / "model.safetensors")
    assert before.keys() == after.keys()
    assert all(torch.equal(before[k].view(torch.int16), after[k].view(torch.int16)) for k in before)


def test_bfloat16_asked_for_is_torchs_rounding(tmp_path: Path, gemma3: Path, adapter: Path):
    model = MergedModel(gemma3, [adapter], "x")
    safetensors.write(model, gemma3, tmp_path / "out", silent, type_name="BF16")
    for name, weight in load_file(tmp_path / "out" / "model.safetensors").items():
        exact = model.source_rows(name, 0, model.source_shape(name)[0])
        assert torch.equal(weight, torch.from_numpy(np.ascontiguousarray(exact)).to(torch.bfloat16)), name
    config = runs.read_json(tmp_path / "out" / "config.json")
    assert config.get("dtype", config.get("torch_dtype")) == "bfloat16"


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16"])
def test_every_value_is_rounded_as_torch_does(kind: str):
    bits = np.random.default_rng(0).integers(0, 1 << 32, 100_000, dtype=np.uint64).astype(np.uint32)
    values = bits.view(np.float32)
    values = values[np.isfinite(values) & (np.abs(values) < 6e4)]
    dtype = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}[kind]
    assert safetensors._packed(values, kind) == torch.from_numpy(values).to(dtype).view(torch.uint8).numpy().tobytes()


def test_a_value_too_large_for_its_type_is_named(tmp_path: Path, gemma3: Path):
    with pytest.raises(UserError, match="merged tensor x holds values that do not fit float16"):
        safetensors.write(Numbers(np.full((2, 2), 1e6, np.float32)), gemma3, tmp_path / "out", silent, type_name="F16")
    assert not list(tmp_path.iterdir())


def test_large_tensors_are_read_by_rows(tmp_path: Path, gemma3: Path, monkeypatch: pytest.MonkeyPatch):
    values = np.random.default_rng(0).normal(size=(500, 8)).astype(np.float32)
    model, asked = Numbers(values), []
    rows = model.source_rows
    model.source_rows = lambda name, start, stop: asked.append(stop - start) or rows(name, start, stop)
    monkeypatch.setattr(safetensors, "AT_ONCE", 512)
    safetensors.write(model, gemma3, tmp_path / "out", silent, type_name="F32")
    assert max(asked) == 64 and sum(asked) == 500
    with safe_open(tmp_path / "out" / "model.safetensors", "np") as file:
        assert np.array_equal(file.get_tensor("x"), values) and file.metadata() == {"format": "pt"}


def test_a_head_of_its_own_is_no_longer_tied(tmp_path: Path, gemma3: Path):
    adapter = make_adapter(tmp_path / "adapter", gemma3, modules_to_save=["lm_head"], target_modules=["q_proj"])
    model = MergedModel(gemma3, [adapter], "x")
    assert "lm_head.weight" in model.source_names()
    safetensors.write(model, gemma3, tmp_path / "out", silent)
    assert runs.read_json(tmp_path / "out" / "config.json")["tie_word_embeddings"] is False
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32).state_dict()
    wanted = merged_by_peft(gemma3, adapter)
    assert torch.equal(loaded["lm_head.weight"], wanted["lm_head.weight"])
    assert torch.equal(loaded["model.embed_tokens.weight"], wanted["model.embed_tokens.weight"])


def test_a_base_in_64_bits_is_written_in_32(tmp_path: Path, gemma3: Path):
    base = Path(shutil.copytree(gemma3, tmp_path / "base"))
    weights = load_file(base / "model.safetensors")
    save_file({name: tensor.double() for name, tensor in weights.items()}, base / "model.safetensors",
              metadata={"format": "pt"})
    safetensors.write(MergedModel(base, [], "x"), base, tmp_path / "out", silent)
    again = load_file(tmp_path / "out" / "model.safetensors")
    assert all(torch.equal(again[name], weights[name]) for name in weights) and again.keys() == weights.keys()


def test_what_goes_wrong_leaves_nothing(tmp_path: Path, gemma3: Path):
    model = MergedModel(gemma3, [], "x")

    class Stopped(Exception):
        pass

    def stop(done: int, of: int) -> None:
        if done > of // 2:
            raise Stopped

    with pytest.raises(Stopped):
        safetensors.write(model, gemma3, tmp_path / "out", stop)
    assert not list(tmp_path.iterdir())
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError, match="out exists already; delete or rename it"):
        safetensors.write(model, gemma3, tmp_path / "out", silent)


def test_a_disk_that_is_too_small_or_fills_up(small_disk: Path, gemma3: Path):
    model = MergedModel(gemma3, [], "x")
    with pytest.raises(UserError, match=r"The export needs .* and the disk has"):
        big = type("Big", (Numbers,), {"source_shape": lambda self, name: (10_000_000, 1)})(np.zeros((1, 1)))
        safetensors.write(big, gemma3, small_disk / "out", silent, type_name="F32")
    with pytest.raises(UserError, match="The disk is full: out could not be written"):
        safetensors.write(model, gemma3, small_disk / "out", lambda done, of: fill(small_disk), shard_bytes=60_000)
    assert [path.name for path in small_disk.iterdir()] == ["filler"]


def test_the_index_of_the_base_does_not_travel(tmp_path: Path, gemma3: Path):
    """A base in shards becomes one file here: its index would name files that are not there."""
    weights = load_file(gemma3 / "model.safetensors")
    base = tmp_path / "base"
    safetensors.write(MergedModel(gemma3, [], "x"), gemma3, base, silent, shard_bytes=60_000)
    safetensors.write(MergedModel(base, [], "x"), base, tmp_path / "out", silent)
    assert not (tmp_path / "out" / "model.safetensors.index.json").exists()
    again = load_file(tmp_path / "out" / "model.safetensors")
    assert all(torch.equal(again[name], weights[name]) for name in weights)
    json.loads((tmp_path / "out" / "config.json").read_text())
