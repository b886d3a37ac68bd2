import errno
import json
import shutil
import sys
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
from train.learner import Learner

CPU = Machine(device="cpu", is_bfloat16=False)
IDS = torch.tensor([[2, 100, 200, 300, 400, 500], [2, 9, 8, 7, 6, 5]])


def with_lora(base: Path, **values: object):
    config = TrainConfig(**{"rank": 4, "dropout": 0.0, **values})
    return adapter.add_lora(adapter.load_base(base, CPU, config), config)


def gradients(model) -> list[torch.Tensor]:
    model.train()
    model.zero_grad()
    Learner(model)(IDS, IDS)["loss"].backward()
    return [p.grad.clone() for p in model.parameters() if p.requires_grad]


def learn(model, steps: int = 3) -> None:
    """A few steps, so that the adapter changes something."""
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.01)
    for _ in range(steps):
        Learner(model.train())(IDS, IDS)["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()


def losses(model) -> torch.Tensor:
    with torch.no_grad():
        return Learner(model.eval())(IDS, IDS)["losses"]


def test_a_fresh_adapter_changes_nothing(tiny_base: Path):
    base = adapter.load_base(tiny_base, CPU, TrainConfig()).eval()
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


def test_the_base_is_float32_on_a_cpu_whatever_its_file_holds(tiny_base: Path, tmp_path: Path):
    half = tmp_path / "half"
    shutil.copytree(tiny_base, half)
    Gemma3ForCausalLM.from_pretrained(tiny_base, dtype=torch.float16).save_pretrained(half)
    assert {p.dtype for p in adapter.load_base(half, CPU, TrainConfig()).parameters()} == {torch.float32}


def test_precision_is_what_was_asked_for(tiny_base: Path):
    assert not adapter.choose_machine(TrainConfig(precision="float32")).is_bfloat16
    machine = adapter.choose_machine(TrainConfig(precision="bfloat16", device="cpu"))
    assert machine.is_bfloat16 and machine.describe() == "CPU, bfloat16 arithmetic"
    model = adapter.add_lora(adapter.load_base(tiny_base, machine, TrainConfig()), TrainConfig())
    assert {p.dtype for p in model.parameters() if not p.requires_grad} == {torch.bfloat16}
    assert {p.dtype for p in model.parameters() if p.requires_grad} == {torch.float32}


def test_gemma_2_keeps_its_soft_capping(tmp_path: Path):
    Gemma2ForCausalLM(Gemma2Config(
        vocab_size=600, hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, head_dim=16)).save_pretrained(tmp_path)
    assert adapter.load_base(tmp_path, CPU, TrainConfig()).config._attn_implementation == "eager"


@pytest.mark.parametrize("bits", ["load_4bit", "load_8bit"])
@pytest.mark.parametrize("is_bfloat16", [False, True])
def test_an_evaluation_does_not_spoil_the_gradients_of_a_quantized_base(tiny_base: Path, bits: str, is_bfloat16: bool):
    config = TrainConfig(rank=4, dropout=0.0, **{bits: True})
    machine = Machine(device="cpu", is_bfloat16=is_bfloat16)
    model = adapter.add_lora(adapter.load_base(tiny_base, machine, config), config)
    for parameter in (p for name, p in model.named_parameters() if "lora_B" in name):
        torch.nn.init.normal_(parameter, std=0.02)      # or B = 0 hides what flows to A
    before = gradients(model)
    with torch.no_grad():
        model.eval()(input_ids=IDS)
    after = gradients(model)
    assert any(g.abs().max() > 0 for g in before)
    for one, other in zip(before, after, strict=True):
        assert torch.equal(one, other)


def test_a_quantized_base_is_nf4_with_double_quantization_and_learns(tiny_base: Path):
    model = with_lora(tiny_base, load_4bit=True)
    quantized = [m for m in model.modules() if type(m).__module__.startswith("bitsandbytes")]
    assert len(quantized) == 2 * len(PROJECTIONS)
    assert all(m.weight.quant_type == "nf4" and m.weight.quant_state.nested for m in quantized)
    before = losses(model).mean()
    learn(model)
    assert losses(model).mean() < before
    eight = with_lora(tiny_base, load_8bit=True)
    assert sum(type(m).__module__.startswith("bitsandbytes") for m in eight.modules()) == 2 * len(PROJECTIONS)
    assert losses(eight).mean().item() == pytest.approx(before.item(), rel=0.02)


def test_rank_stabilized_lora_and_dora_are_switches(tiny_base: Path):
    layer = "model.layers.0.mlp.up_proj"
    plain, stable = with_lora(tiny_base, alpha=8), with_lora(tiny_base, alpha=8, use_rslora=True)
    assert plain.get_base_model().get_submodule(layer).scaling == {"default": 2.0}
    assert stable.get_base_model().get_submodule(layer).scaling == {"default": 4.0}
    dora = with_lora(tiny_base, use_dora=True, dropout=0.1)
    assert adapter.count(dora)[1] > adapter.count(plain)[1]
    assert torch.allclose(losses(dora), losses(plain), atol=1e-5)
    learn(dora)
    assert losses(dora).mean() < losses(plain).mean()


def test_on_a_cpu_dropout_is_drawn_fast(tiny_base: Path):
    kinds = {type(m).__module__ for m in with_lora(tiny_base, dropout=0.1).modules() if "Dropout" in type(m).__name__}
    assert kinds == {"train.dropout"}


@pytest.fixture(scope="module")
def stages(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path], list[torch.Tensor]]:
    """Two stages, the second trained on the first one merged: (base, their adapters, the losses after each)."""
    folder, adapters, found = tmp_path_factory.mktemp("stages"), [], []
    config = TrainConfig(rank=4, dropout=0.0, start="merged")
    for name in ("first", "second"):
        base = adapter.load_base(tiny_base, CPU, config)
        model = adapter.continue_from(base, adapters, config) if adapters else adapter.add_lora(base, config)
        learn(model)
        adapter.save(model, folder / name, tiny_base, before=[f"../{one.name}" for one in adapters])
        adapters.append(folder / name)
        found.append(losses(model))
    return tiny_base, adapters, found


def test_a_stage_goes_on_from_the_adapter_before_it(stages: tuple[Path, list[Path], list[torch.Tensor]]):
    base, adapters, found = stages
    config = TrainConfig(rank=4, dropout=0.2)
    model = adapter.continue_from(adapter.load_base(base, CPU, config), adapters[:1], config)
    assert torch.equal(losses(model), found[0])
    assert adapter.count(model) == adapter.count(with_lora(base))
    assert {m.p for m in model.modules() if type(m).__name__ == "Dropout"} == {0.2}
    learn(model, steps=20)
    assert losses(model).mean() < found[0].mean()


def test_a_stage_goes_on_from_all_adapters_before_it_merged(stages: tuple[Path, list[Path], list[torch.Tensor]]):
    base, adapters, found = stages
    config = TrainConfig(rank=8, targets=("q_proj",), start="merged")
    half = Machine(device="cpu", is_bfloat16=True)
    for machine, tolerance in ((CPU, 1e-5), (half, 0.05)):
        for count in (1, 2):
            model = adapter.continue_from(adapter.load_base(base, machine, config), adapters[:count], config)
            assert torch.allclose(losses(model), found[count - 1], atol=tolerance)
            assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert adapter.count(model)[0] == 2
    assert runs.read_json(adapters[1] / "base.json")["before"] == ["../first"]
    assert "before" not in runs.read_json(adapters[0] / "base.json")


def test_a_stage_that_can_not_go_on_says_why(stages: tuple[Path, list[Path], list[torch.Tensor]], tmp_path: Path):
    base, adapters, _ = stages
    model = adapter.load_base(base, CPU, TrainConfig())
    with pytest.raises(UserError, match="made an adapter with r = 4, and this one asks for 16; give both the same"):
        adapter.continue_from(model, adapters, TrainConfig())
    with pytest.raises(UserError, match=r"with target_modules = \[.*\], and this one asks for \['q_proj'\]"):
        adapter.continue_from(model, adapters, TrainConfig(rank=4, targets=("q_proj",)))
    with pytest.raises(UserError, match="merged adapter needs base weights in 16 bits"):
        adapter.continue_from(model, adapters, TrainConfig(load_4bit=True, start="merged"))
    shutil.copytree(adapters[0], tmp_path / "cut")
    weights = tmp_path / "cut" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:3000])
    for start in ("adapter", "merged"):
        with pytest.raises(UserError, match=r"The adapter in .*cut can not be put on this base \(.+\)"):
            adapter.continue_from(model, [tmp_path / "cut"], TrainConfig(rank=4, start=start))


def test_a_device_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(UserError, match="Device cuda is asked for, and the PyTorch installed here was built for the "
                                        "CPU only; set device to cpu or auto"):
        adapter.choose_machine(TrainConfig(device="cuda"))
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    with pytest.raises(UserError, match="CUDA 12.8.* finds no GPU here"):
        adapter.choose_machine(TrainConfig(device="cuda"))
    with pytest.raises(UserError, match="Device mps is asked for, and this is no Mac"):
        adapter.choose_machine(TrainConfig(device="mps"))
    assert adapter.choose_machine(TrainConfig()).device == "cpu"


@pytest.mark.parametrize("bits", ["load_4bit", "load_8bit"])
def test_without_bitsandbytes_a_quantized_base_is_refused(monkeypatch: pytest.MonkeyPatch, bits: str):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(UserError, match=f"{bits} is on, and it needs the package bitsandbytes, which is not installed"):
        adapter.choose_machine(TrainConfig(device="cpu", **{bits: True}))


def test_on_apples_mps_precision_is_chosen_and_quantized_bases_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    for has_bfloat16 in (True, False):
        monkeypatch.setattr(torch.backends.mps, "is_macos_or_newer", lambda *_, found=has_bfloat16: found)
        assert adapter.choose_machine(TrainConfig()) == Machine(device="mps", is_bfloat16=has_bfloat16)
    with pytest.raises(UserError, match="load_8bit is on, and on Apple's MPS bitsandbytes has neither"):
        adapter.choose_machine(TrainConfig(load_8bit=True))


def test_the_optimizer_is_paged_where_that_exists_and_plain_elsewhere():
    gpu, paged = Machine(device="cuda", is_bfloat16=True), TrainConfig(optimizer="paged_adamw_8bit")
    assert adapter.optimizer(paged, gpu) == ("paged_adamw_8bit", "")
    assert adapter.optimizer(TrainConfig(load_4bit=True), gpu) == ("paged_adamw_8bit", "")
    assert adapter.optimizer(TrainConfig(), gpu) == ("adamw_torch_fused", "")
    assert adapter.optimizer(TrainConfig(load_4bit=True), CPU) == ("adamw_torch_fused", "")
    name, note = adapter.optimizer(paged, CPU)
    assert name == "adamw_torch_fused" and note.startswith("Paged 8-bit AdamW needs an NVIDIA GPU")


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
    with pytest.raises(UserError, match="The disk is full: the adapter .* then go on with train --resume"):
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
        adapter.load_base(cut, CPU, TrainConfig())

    lacking = tmp_path / "lacking"
    shutil.copytree(tiny_base, lacking)
    model = Gemma3ForCausalLM.from_pretrained(tiny_base)
    state = {name: t for name, t in model.state_dict().items() if "layers.1" not in name and "lm_head" not in name}
    from safetensors.torch import save_file
    save_file(state, lacking / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"lacks 13 of its tensors \(model.layers.1"):
        adapter.load_base(lacking, CPU, TrainConfig())


@pytest.mark.parametrize("change", [
    {"hidden_size": "x"}, {"num_attention_heads": 0}, {"layer_types": 5}, {"pad_token_id": 9000}, {"vocab_size": 0}])
def test_a_config_that_makes_no_sense_is_said(tiny_base: Path, tmp_path: Path, change: dict):
    shutil.copytree(tiny_base, tmp_path / "odd")
    config = runs.read_json(tiny_base / "config.json")
    runs.write_json(tmp_path / "odd" / "config.json", {**config, **change})
    with pytest.raises(UserError, match=r"The base model in .*odd can not be loaded \(.+\); get it again\.") as error:
        adapter.load_base(tmp_path / "odd", CPU, TrainConfig())
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", ["no_such_model", "vit"])
def test_an_architecture_that_is_not_known_is_said(tiny_base: Path, tmp_path: Path, kind: str):
    shutil.copytree(tiny_base, tmp_path / "odd")
    config = runs.read_json(tiny_base / "config.json")
    runs.write_json(tmp_path / "odd" / "config.json", {**config, "model_type": kind})
    with pytest.raises(UserError, match=f"is of the architecture {kind}, which the transformers .* take a base of"):
        adapter.load_base(tmp_path / "odd", CPU, TrainConfig())


def test_too_little_memory_is_not_taken_for_a_damaged_base(tiny_base: Path):
    error = RuntimeError("unable to mmap 553726144 bytes from file <model.safetensors>: Cannot allocate memory (12)")
    told = adapter._not_loaded(tiny_base, CPU, TrainConfig(), error)
    assert str(told).startswith("Out of memory before the training began: ")


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
    one = with_lora(tiny_base)
    assert adapter.missing(one, TrainConfig()) == []
    assert adapter.missing(one, TrainConfig(targets=("q_proj", "v_proj"))) == []
    assert adapter.missing(with_lora(tiny_base, targets=("q_proj",)), TrainConfig(targets=("q_proj", "o_proj"))) == [
        "o_proj"]
    runs.write_json(tmp_path / "tokenizer.json", {})
    runs.write_json(tmp_path / "config.json", {"model_type": "gemma3_text"})
    with pytest.raises(UserError, match="The tokenizer in .* can not be read"):
        adapter.load_tokenizer(tmp_path)
