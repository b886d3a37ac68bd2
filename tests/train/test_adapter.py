import errno
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3Config,
    Gemma3ForCausalLM,
    Gemma3ForConditionalGeneration,
    GPT2Config,
    GPT2LMHeadModel,
)

from models import runs
from models.base import fingerprint
from models.errors import UserError
from train import adapter
from train.adapter import Machine
from train.config import PROJECTIONS, TrainConfig
from train.loop import answer_losses
from train.samples import IGNORED, Collator, Sample

CPU = Machine(device="cpu", is_bfloat16=False)
IDS = torch.tensor([[2, 100, 200, 300, 400, 500], [2, 9, 8, 7, 6, 5]])


def with_lora(base: Path, **values: object):
    config = TrainConfig(rank=4, dropout=0.0, **values)
    return adapter.add_lora(adapter.load_base(base, CPU, config.load_4bit), config)


def gradients(model) -> list[torch.Tensor]:
    model.train()
    model.zero_grad()
    keep = torch.ones_like(IDS, dtype=torch.bool)
    keep[:, -1] = False
    answer_losses(model(input_ids=IDS, logits_to_keep=keep).logits, IDS).mean().backward()
    return [p.grad.clone() for p in model.parameters() if p.requires_grad]


def test_a_fresh_adapter_changes_nothing(tiny_base: Path):
    base = adapter.load_base(tiny_base, CPU, load_4bit=False).eval()
    before = base(input_ids=IDS).logits
    model = with_lora(tiny_base).eval()
    assert torch.equal(before, model(input_ids=IDS).logits)


def test_it_sits_on_the_projections_and_nothing_else_learns(tiny_base: Path):
    assert adapter.count(with_lora(tiny_base)) == (2 * len(PROJECTIONS), sum(
        4 * (rows + columns) for rows, columns in [(64, 64), (64, 32), (64, 32), (64, 64),
                                                   (64, 128), (64, 128), (128, 64)]) * 2)
    model = with_lora(tiny_base, targets=("q_proj",))
    assert adapter.count(model)[0] == 2
    assert all("lora_" in name for name, p in model.named_parameters() if p.requires_grad)


def test_with_a_vision_tower_only_the_language_model_gets_it():
    small = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2)
    torch.manual_seed(0)
    base = Gemma3ForConditionalGeneration(Gemma3Config(
        text_config=dict(small, vocab_size=600, num_key_value_heads=1, head_dim=16),
        vision_config=dict(small, image_size=28, patch_size=14), mm_tokens_per_image=4, image_token_index=500))
    model = adapter.add_lora(base, TrainConfig(rank=2))
    assert adapter.count(model)[0] == len(PROJECTIONS)
    assert not [name for name, p in model.named_parameters() if p.requires_grad and "language_model" not in name]
    assert adapter.takes_token_types(model)
    batch = Collator(0, True)([Sample(ids=[2, 5, 6, 7], labels=[IGNORED, 5, 6, 7])])
    labels = batch.pop("labels")
    answer_losses(model.train()(**batch).logits, labels).mean().backward()


def test_the_base_is_float32_on_a_cpu_whatever_its_file_holds(tiny_base: Path, tmp_path: Path):
    half = tmp_path / "half"
    shutil.copytree(tiny_base, half)
    Gemma3ForCausalLM.from_pretrained(tiny_base, dtype=torch.float16).save_pretrained(half)
    assert {p.dtype for p in adapter.load_base(half, CPU, load_4bit=False).parameters()} == {torch.float32}


def test_precision_is_what_was_asked_for():
    assert not adapter.choose_machine("float32").is_bfloat16
    assert adapter.choose_machine("bfloat16").is_bfloat16 or torch.cuda.is_available()


def test_gemma_2_keeps_its_soft_capping(tmp_path: Path):
    Gemma2ForCausalLM(Gemma2Config(
        vocab_size=600, hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, head_dim=16)).save_pretrained(tmp_path)
    assert adapter.load_base(tmp_path, CPU, load_4bit=False).config._attn_implementation == "eager"


def test_logits_are_computed_only_where_they_are_learned(tiny_base: Path):
    model = with_lora(tiny_base)
    labels = IDS.clone()
    labels[0, :3], labels[1, :5] = IGNORED, IGNORED
    keep = torch.zeros_like(IDS, dtype=torch.bool)
    keep[:, :-1] = labels[:, 1:] != IGNORED
    picked = model(input_ids=IDS, logits_to_keep=keep).logits
    assert picked.shape[0] == 4
    whole = model(input_ids=IDS, labels=labels)
    assert torch.allclose(answer_losses(picked, labels).mean(), whole.loss, atol=1e-6)


def test_an_evaluation_in_4_bit_does_not_spoil_the_gradients_after_it(tiny_base: Path):
    model = with_lora(tiny_base, load_4bit=True)
    for parameter in (p for name, p in model.named_parameters() if "lora_B" in name):
        torch.nn.init.normal_(parameter, std=0.02)      # or B = 0 hides what flows to A
    before = gradients(model)
    with torch.no_grad():
        model.eval()(input_ids=IDS)
    after = gradients(model)
    assert any(g.abs().max() > 0 for g in before)
    for one, other in zip(before, after, strict=True):
        assert torch.equal(one, other)


def test_a_saved_adapter_is_whole_sorted_and_names_its_base(tiny_base: Path, tmp_path: Path):
    adapter.save(with_lora(tiny_base), tmp_path / "adapter", tiny_base)
    assert sorted(p.name for p in (tmp_path / "adapter").iterdir()) == [
        "adapter_config.json", "adapter_model.safetensors", "base.json"]
    assert [p.name for p in tmp_path.iterdir()] == ["adapter"]
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert config["target_modules"] == sorted(PROJECTIONS)
    assert json.loads((tmp_path / "adapter" / "base.json").read_text()) == {
        "path": str(tiny_base), "fingerprint": fingerprint(tiny_base), "family": "gemma3_text"}


class FullDisk:
    """A model whose adapter no longer fits on the disk."""

    def __init__(self, error: Exception):
        self.error = error

    def save_pretrained(self, folder: str, **_: object) -> None:
        Path(folder).mkdir()
        (Path(folder) / "adapter_model.safetensors").write_bytes(b"half")
        raise self.error


@pytest.mark.parametrize("error", [
    OSError(errno.ENOSPC, "No space left on device"),
    SafetensorError('Error while serializing: I/O error: No space left on device (os error 28)')])
def test_a_full_disk_is_said_and_leaves_nothing(tiny_base: Path, tmp_path: Path, error: Exception):
    with pytest.raises(UserError, match="The disk is full: the adapter could not be written to"):
        adapter.save(FullDisk(error), tmp_path / "adapter", tiny_base)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OSError, match="odd"):
        adapter.save(FullDisk(OSError("odd")), tmp_path / "adapter", tiny_base)


def test_a_base_that_is_not_whole_is_refused(tiny_base: Path, tmp_path: Path):
    cut = tmp_path / "cut"
    shutil.copytree(tiny_base, cut)
    weights = cut / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(UserError, match=r"The base model in .*cut can not be loaded \("):
        adapter.load_base(cut, CPU, load_4bit=False)

    lacking = tmp_path / "lacking"
    shutil.copytree(tiny_base, lacking)
    model = Gemma3ForCausalLM.from_pretrained(tiny_base)
    state = {name: t for name, t in model.state_dict().items() if "layers.1" not in name and "lm_head" not in name}
    from safetensors.torch import save_file
    save_file(state, lacking / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"lacks 13 of its tensors \(model.layers.1"):
        adapter.load_base(lacking, CPU, load_4bit=False)


@pytest.mark.parametrize("change", [
    {"hidden_size": "x"}, {"num_attention_heads": 0}, {"layer_types": 5}, {"pad_token_id": 9000}, {"vocab_size": 0}])
def test_a_config_that_makes_no_sense_is_said(tiny_base: Path, tmp_path: Path, change: dict):
    shutil.copytree(tiny_base, tmp_path / "odd")
    config = runs.read_json(tiny_base / "config.json")
    runs.write_json(tmp_path / "odd" / "config.json", {**config, **change})
    with pytest.raises(UserError, match=r"The base model in .*odd can not be loaded \(.+\); get it again\.") as error:
        adapter.load_base(tmp_path / "odd", CPU, load_4bit=False)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize("text", ["[]", "null", "3", "[" * 100_000, "{"], ids=lambda text: text[:4])
def test_a_damaged_tokenizer_is_said(tiny_base: Path, tmp_path: Path, name: str, text: str):
    shutil.copytree(tiny_base, tmp_path / "odd")
    (tmp_path / "odd" / name).write_text(text)
    with pytest.raises(UserError, match=r"The tokenizer in .*odd can not be read \(.+\); get it again\."):
        adapter.load_tokenizer(tmp_path / "odd")


def test_a_model_without_the_projections_and_a_broken_tokenizer_are_refused(tiny_base: Path, tmp_path: Path):
    other = GPT2LMHeadModel(GPT2Config(vocab_size=50, n_embd=16, n_layer=1, n_head=2, n_positions=8))
    with pytest.raises(UserError, match="none of the projections q_proj, k_proj"):
        adapter.add_lora(other, TrainConfig())
    runs.write_json(tmp_path / "tokenizer.json", {})
    runs.write_json(tmp_path / "config.json", {"model_type": "gemma3_text"})
    with pytest.raises(UserError, match="The tokenizer in .* can not be read"):
        adapter.load_tokenizer(tmp_path)
