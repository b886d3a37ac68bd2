"""An adapter as GGUF: beside its base it is the tuned model, as peft has it; refused where it can not be one."""

import dataclasses
import shutil

import gguf
import numpy as np
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

from convert.families import FAMILIES
from convert.lora import LoraFile
from convert.loss import Loss
from convert.model import MergedModel
from convert.stream import write_all
from models.errors import UserError
from runtime.config import LoadConfig
from runtime.probe import Probe
from tests.convert import zoo
from tests.convert.tiny import MATRICES, make_adapter, make_base

EXACT = LoadConfig(exact=True, threads=1, ctx_tokens=256)
ROWS = [[2, *range(100 + k, 180 + k)] for k in range(3)]
ENDS = ["embed_tokens", "lm_head"]
SAME = 1e-5                     # mean KL divergence of a float32 file, convert/check.py
CASES = {
    "gemma": ("gemma", {}, {}),
    "gemma2": ("gemma2", {}, {}),
    "gemma3": ("gemma3_text", {}, {}),
    "gemma4": ("gemma4_text", {}, {}),
    "gemma4 with shared keys and values": ("gemma4_text", dict(num_kv_shared_layers=2, use_double_wide_mlp=True), {}),
    "llama": ("llama", {}, {}),
    "llama with a head of its own": ("llama", dict(tie_word_embeddings=False), dict(target_modules=[*MATRICES, *ENDS])),
    "qwen3": ("qwen3", {}, {}),
    "qwen3 with a head of its own": ("qwen3", dict(tie_word_embeddings=False), dict(target_modules=[*MATRICES, *ENDS])),
    "patterns": ("llama", {}, dict(rank_pattern={"q_proj": 2, r"layers\.1\..*up_proj": 7},
                                   alpha_pattern={"v_proj": 3, "k_proj": 0.5})),
    "rsLoRA": ("gemma3_text", {}, dict(use_rslora=True, r=8, lora_alpha=7)),
    "alpha of 0": ("gemma3_text", {}, dict(lora_alpha=0, alpha_pattern={"q_proj": 8})),
}


def quiet(done, of):
    """A progress that nobody reads."""


def write_base(base, path):
    model = MergedModel(base, [], "base")
    write_all(model, {"F32": path}, threads=1)
    return path


def write_lora(base, adapters, path, title="tuned"):
    LoraFile(MergedModel(base, [], "base"), base, adapters, title).write(path, quiet)
    return path


def of_peft(base, adapters, auto=AutoModelForCausalLM):
    """Logits (T, vocab) of each of ROWS: base + adapters, one merged after the other."""
    model = auto.from_pretrained(base, dtype=torch.float32, attn_implementation="eager")
    for adapter in adapters[:-1]:
        model = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
    model = PeftModel.from_pretrained(model, str(adapters[-1])).eval()
    with torch.no_grad():
        return [model(input_ids=torch.tensor([ids])).logits[0].numpy() for ids in ROWS]


def loss_of(base_gguf, adapter, wanted):
    model, loss = Probe(base_gguf, EXACT, adapter), Loss()
    for ids, logits in zip(ROWS, wanted, strict=True):
        loss.add(logits, model.logits(ids))
    model.close()
    return loss


@pytest.fixture(scope="module")
def tuned(tmp_path_factory, demo_base):
    """Makes base, adapter, and the base's GGUF of a case, once."""
    made = {}

    def make(case):
        if case not in made:
            family, settings, lora = CASES[case]
            folder = tmp_path_factory.mktemp(case.replace(" ", "-"))
            base = make_base(folder / "base", family, demo_base, **settings)
            made[case] = base, make_adapter(folder / "adapter", base, **lora), write_base(base, folder / "base.gguf")
        return made[case]
    return make


@pytest.mark.parametrize("case", CASES)
def test_beside_its_base_it_is_the_tuned_model(tuned, case, tmp_path):
    base, adapter, base_gguf = tuned(case)
    wanted = of_peft(base, [adapter])
    path = write_lora(base, [adapter], tmp_path / "a.gguf")
    loss = loss_of(base_gguf, path, wanted)
    assert loss.mean_kl < SAME and loss.agreement > 0.99 and not loss.non_finite
    assert loss_of(base_gguf, None, wanted).mean_kl > 100 * SAME, "the adapter changes nothing: this proves nothing"


def test_every_family_that_offers_adapters_has_passed_this_check():
    """A model with a vision tower is the same family as its language model, under other names (see the next test)."""
    checked = {FAMILIES[family].architecture for family, _, _ in CASES.values()}
    assert {family.architecture for family in FAMILIES.values() if family.has_lora} <= checked


def test_a_model_without_an_adapter_has_none_to_write(tuned, tmp_path):
    base, _, _ = tuned("gemma")
    with pytest.raises(UserError, match="is a model without an adapter, so there is none to write"):
        write_lora(base, [], tmp_path / "a.gguf")


def test_a_family_that_does_not_offer_them_is_refused(tuned, tmp_path, monkeypatch):
    base, adapter, _ = tuned("gemma")
    monkeypatch.setitem(FAMILIES, "gemma", dataclasses.replace(FAMILIES["gemma"], has_lora=False))
    with pytest.raises(UserError, match="Adapters for models of the family gemma can not be written as GGUF"):
        write_lora(base, [adapter], tmp_path / "a.gguf")


def test_with_a_vision_tower_the_language_model_is_adapted_and_the_tower_is_not(tmp_path, demo_base):
    base = zoo.make("gemma-3-seeing", tmp_path, demo_base)
    model = AutoModelForImageTextToText.from_pretrained(base, dtype=torch.float32)
    for name, modules in (("text", r".*language_model.*\.(q_proj|down_proj)"), ("tower", r".*vision_tower.*\.q_proj")):
        tuned = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules=modules))
        with torch.no_grad():
            for parameter in (value for key, value in tuned.named_parameters() if "lora_B" in key):
                parameter.normal_(0, 0.5)
        tuned.save_pretrained(tmp_path / name)
        model = tuned.unload()
    path = write_lora(base, [tmp_path / "text"], tmp_path / "a.gguf")
    wanted, base_gguf = of_peft(base, [tmp_path / "text"], AutoModelForImageTextToText), tmp_path / "base.gguf"
    write_base(base, base_gguf)
    assert loss_of(base_gguf, path, wanted).mean_kl < SAME < 0.01 < loss_of(base_gguf, None, wanted).mean_kl
    with pytest.raises(UserError, match="a part of the vision tower"):
        write_lora(base, [tmp_path / "tower"], tmp_path / "b.gguf")


def test_several_in_order_are_one_file_with_their_ranks_side_by_side(tuned, tmp_path):
    base, first, base_gguf = tuned("llama")
    second = make_adapter(tmp_path / "second", base, r=3, lora_alpha=5, target_modules=["q_proj", "down_proj"])
    weights = load_file(second / "adapter_model.safetensors")
    save_file({name: value * 1.7 for name, value in weights.items()}, second / "adapter_model.safetensors")
    path = write_lora(base, [first, second], tmp_path / "both.gguf")
    assert loss_of(base_gguf, path, of_peft(base, [first, second])).mean_kl < SAME
    ranks = {t.name: t.shape[1] for t in gguf.GGUFReader(path).tensors if t.name.endswith("lora_a")}
    assert ranks["blk.0.attn_q.weight.lora_a"] == 7 and ranks["blk.0.attn_k.weight.lora_a"] == 4


def test_the_file_is_what_the_upstream_converter_writes(tuned, tmp_path):
    """Keys and values, names, shapes and numbers of an adapter without patterns."""
    base, adapter, _ = tuned("llama with a head of its own")
    reader = gguf.GGUFReader(write_lora(base, [adapter], tmp_path / "a.gguf", "Title"))
    assert {key: field.contents() for key, field in reader.fields.items() if not key.startswith("GGUF.")} == {
        "general.architecture": "llama", "general.type": "adapter", "adapter.type": "lora", "general.name": "Title",
        "general.tags": ["lora", "transformers", "text-generation"],     # without the path of the base on this machine
        "adapter.lora.alpha": 8.0, "general.quantization_version": 2}
    assert reader.fields["adapter.lora.alpha"].types == [gguf.GGUFValueType.FLOAT32]
    found = {t.name: t.data for t in reader.tensors}
    weights = load_file(adapter / "adapter_model.safetensors")
    stem = "base_model.model.model.layers.2."
    for name, place in (("self_attn.v_proj", "attn_v"), ("mlp.down_proj", "ffn_down"), ("mlp.up_proj", "ffn_up")):
        for half in "AB":
            wanted = weights[f"{stem}{name}.lora_{half}.weight"].numpy()
            assert np.array_equal(found[f"blk.2.{place}.weight.lora_{half.lower()}"], wanted), name
    embedding = weights["base_model.model.model.embed_tokens.lora_embedding_A"].numpy()
    assert np.array_equal(found["token_embd.weight.lora_a"], embedding.T)
    assert np.array_equal(found["output.weight.lora_b"], weights["base_model.model.lm_head.lora_B.weight"].numpy())
    keys = weights[f"{stem}self_attn.k_proj.lora_B.weight"].numpy()     # 2 heads of 16 rows, neighbours turn together
    paired = [head * 16 + half * 8 + k for head in range(2) for k in range(8) for half in range(2)]
    assert np.array_equal(found["blk.2.attn_k.weight.lora_b"], keys[paired])
    assert len(found) == 2 * (3 * 7 + 2)


def test_a_card_that_names_a_base_on_the_hub_is_followed(tuned, tmp_path):
    base, adapter, _ = tuned("gemma3")
    published = shutil.copytree(adapter, tmp_path / "published")
    (published / "README.md").write_text("---\nbase_model: google/gemma-3-1b-it\nlicense: gemma\ntags:\n- lora\n"
                                         "- base_model:adapter:google/gemma-3-1b-it\n---\n", encoding="utf-8")
    fields = gguf.GGUFReader(write_lora(base, [published], tmp_path / "a.gguf")).fields
    assert fields["general.base_model.0.repo_url"].contents() == "https://huggingface.co/google/gemma-3-1b-it"
    assert fields["general.license"].contents() == "gemma"
    assert "base_model:adapter:google/gemma-3-1b-it" in fields["general.tags"].contents()


def test_writing_twice_gives_the_same_bytes_and_a_stop_leaves_nothing(tuned, tmp_path):
    base, adapter, _ = tuned("gemma3")
    first, second = (write_lora(base, [adapter], tmp_path / name).read_bytes() for name in ("1.gguf", "2.gguf"))
    assert first == second
    made = LoraFile(MergedModel(base, [], "base"), base, [adapter], "tuned")
    assert 0 <= made.bytes - len(first) <= 1 << 17

    def stop(done, of):
        if done:
            raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        made.write(tmp_path / "3.gguf", stop)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.gguf", "2.gguf"]


@pytest.mark.parametrize("settings, words", [
    (dict(use_dora=True), "uses DoRA"),
    (dict(modules_to_save=["lm_head"]), "modules_to_save"),
    (dict(target_modules=["q_proj", "embed_tokens"]), "one matrix for its embedding and its head"),
    (dict(target_modules=["q_proj", "lm_head"]), "one matrix for its embedding and its head"),
    (dict(trainable_token_indices={"embed_tokens": [5, 6]}), "trainable_token_indices"),
    (dict(lora_bias=True), "lora_bias"),
])
def test_what_pairs_of_matrices_can_not_hold_is_refused_by_name(tuned, tmp_path, settings, words):
    base, _, _ = tuned("gemma3")
    adapter = make_adapter(tmp_path / "adapter", base, **settings)
    with pytest.raises(UserError, match=rf"{words}.*Export the merged model instead\."):
        write_lora(base, [adapter], tmp_path / "a.gguf")
    assert not (tmp_path / "a.gguf").exists()


def test_trained_biases_are_refused_and_copies_of_the_base_are_not(tmp_path, demo_base):
    base = make_base(tmp_path / "base", "llama", demo_base, attention_bias=True, tie_word_embeddings=False)
    adapter = make_adapter(tmp_path / "bias", base, bias="lora_only")
    path, prefix = adapter / "adapter_model.safetensors", "base_model.model.model."
    weights = load_file(path)
    biases = [name for name in weights if name.endswith(".bias")]
    assert biases
    write_lora(base, [adapter], tmp_path / "same.gguf")         # they are saved, but nothing trained them
    save_file(weights | {biases[0]: weights[biases[0]] + 1e-3}, path)
    with pytest.raises(UserError, match=r"holds model\.layers\.\d\.self_attn\.\w_proj\.bias trained in full"):
        write_lora(base, [adapter], tmp_path / "a.gguf")
    copied = make_adapter(tmp_path / "copied", base, target_modules=["q_proj", "embed_tokens"])
    weights = load_file(copied / "adapter_model.safetensors")
    assert any("embed_tokens" in name and "lora" not in name for name in weights), "peft saves no copy any more"
    write_lora(base, [copied], tmp_path / "copied.gguf")
    changed = {name: value + (value.ndim == 2 and "lora" not in name) * 1e-3 for name, value in weights.items()}
    save_file(changed, copied / "adapter_model.safetensors")
    with pytest.raises(UserError, match=r"holds model\.embed_tokens\.weight trained in full"):
        write_lora(base, [copied], tmp_path / "b.gguf")
    assert prefix and not (tmp_path / "b.gguf").exists()


def test_an_adapter_for_another_base_is_refused_with_its_first_mismatch(tuned, tmp_path, demo_base):
    base, adapter, _ = tuned("gemma3")
    wide = make_base(tmp_path / "wide", "gemma3_text", demo_base, hidden_size=128)
    with pytest.raises(UserError, match=r"another base model: for model\.layers\.0\.\S+ it was made for \[.*\[.*\]"):
        write_lora(wide, [adapter], tmp_path / "a.gguf")
    deep = make_base(tmp_path / "deep", "gemma3_text", demo_base, num_hidden_layers=5)
    with pytest.raises(UserError, match=r"another base model: it changes model\.layers\.[34]\."):
        write_lora(base, [make_adapter(tmp_path / "d", deep)], tmp_path / "a.gguf")


def test_a_full_disk_is_said_and_leaves_nothing(tuned, small_disk, tmp_path):
    base, _, _ = tuned("gemma3")
    adapter = make_adapter(tmp_path / "large", base, r=2048)
    with pytest.raises(UserError, match="The disk is full"):
        write_lora(base, [adapter], small_disk / "a.gguf")
    assert not list(small_disk.iterdir())
