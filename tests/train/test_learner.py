from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers

from models.errors import UserError
from train import adapter
from train.adapter import Machine
from train.attention import SEGMENTS, choose_attention, is_packed
from train.batches import Packed, Padded
from train.config import TrainConfig
from train.learner import Learner
from train.samples import IGNORED, Sample

CPU = Machine(device="cpu", is_bfloat16=False)
SMALL = dict(vocab_size=300, hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4,
             num_key_value_heads=2, head_dim=8, max_position_embeddings=256, pad_token_id=0, eos_token_id=1,
             bos_token_id=2)
FAMILIES = {
    "gemma": lambda: transformers.GemmaForCausalLM(transformers.GemmaConfig(**SMALL)),
    "gemma2": lambda: transformers.Gemma2ForCausalLM(transformers.Gemma2Config(
        **SMALL, sliding_window=8, query_pre_attn_scalar=8, attn_logit_softcapping=0.5, final_logit_softcapping=2.0)),
    "gemma3_text": lambda: transformers.Gemma3ForCausalLM(transformers.Gemma3TextConfig(
        **SMALL, sliding_window=8, layer_types=["sliding_attention", "full_attention", "sliding_attention"])),
    "gemma3": lambda: transformers.Gemma3ForConditionalGeneration(transformers.Gemma3Config(
        text_config=dict(SMALL, sliding_window=8), vision_config=dict(
            hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2, image_size=28,
            patch_size=14), mm_tokens_per_image=4, image_token_index=299)),
    "llama": lambda: transformers.LlamaForCausalLM(transformers.LlamaConfig(**SMALL)),
    "qwen3": lambda: transformers.Qwen3ForCausalLM(transformers.Qwen3Config(**SMALL)),
}
REFUSED = {
    "granite": lambda: transformers.GraniteForCausalLM(transformers.GraniteConfig(
        **{name: value for name, value in SMALL.items() if name != "head_dim"}, logits_scaling=8.0)),
    "cohere": lambda: transformers.CohereForCausalLM(transformers.CohereConfig(
        **{name: value for name, value in SMALL.items() if name != "head_dim"}, logit_scale=0.0625)),
}


def samples() -> list[Sample]:
    """Five of unequal length, three longer than the sliding windows; half of each is learned, all of the second."""
    made = []
    for k, length in enumerate((3, 7, 12, 30, 41)):
        ids = [2, *((7 * k + 11 * j) % 290 + 5 for j in range(length - 1))]
        start = 1 if k == 1 else length // 2
        made.append(Sample(ids=ids, labels=[IGNORED] * start + ids[start:]))
    return made


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """bases(family) -> a tiny random model of it, in a folder."""
    def folder(family: str) -> Path:
        path = tmp_path_factory.getbasetemp() / "bases" / family
        if not path.exists():
            torch.manual_seed(1)
            model = {**FAMILIES, **REFUSED}[family]()
            for parameter in model.parameters():
                if parameter.dim() > 1:                  # or attention is about even, and its mask hardly matters
                    parameter.data.mul_(6 if family in FAMILIES else 60)     # a sure model, as real ones are
            model.save_pretrained(path)
        return path
    return folder


def learner(base: Path, machine: Machine = CPU, **values: object) -> Learner:
    """With an adapter that changes something."""
    config = TrainConfig(**{"rank": 4, "dropout": 0.0, **values})
    model = adapter.add_lora(adapter.load_base(base, machine, config), config)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    return Learner(model)


def one_by_one(model: Learner) -> list[torch.Tensor]:
    """The losses of each sample's learned tokens, as transformers computes them from whole logits."""
    whole, found = model.model.get_base_model().eval(), []
    for sample in samples():
        ids, labels = torch.tensor([sample.ids]), torch.tensor(sample.labels[1:])
        with torch.no_grad():
            logits = whole(input_ids=ids, use_cache=False).logits[0, :-1]
        found.append(torch.nn.functional.cross_entropy(logits, labels, reduction="none")[labels != IGNORED])
    return found


@pytest.mark.parametrize("family", ["granite", "cohere"])
@pytest.mark.parametrize("is_bfloat16", [False, True])
def test_a_base_that_scales_its_logits_is_refused(bases, family: str, is_bfloat16: bool):
    """It would learn from a wrong loss in silence."""
    with pytest.raises(UserError, match=f"Models of the family {family} make their logits in a way"):
        learner(bases(family), Machine(device="cpu", is_bfloat16=is_bfloat16))


def test_the_comparison_with_the_models_own_loss_leaves_random_numbers_and_mode_alone(bases):
    model = learner(bases("gemma2"), dropout=0.5).train().model
    state = torch.get_rng_state()
    assert Learner(model).training and model.training and torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("packing", ["off", "on"])
def test_log_probabilities_are_those_of_each_sample_alone(bases, family: str, packing: str):
    model = learner(bases(family), packing=packing)
    expected = one_by_one(model)
    batch = (Packed if packing == "on" else Padded)(0)(samples())
    with torch.no_grad():
        found = model.eval()(**batch)
    assert torch.allclose(found["losses"], torch.cat(expected), atol=2e-5)
    assert found["loss"].item() == pytest.approx(torch.cat(expected).sum().item(), abs=1e-3)
    assert int(found["count"]) == sum(map(len, expected))
    assert found["rows"].tolist() == [k for k, losses in enumerate(expected) for _ in losses]


@pytest.mark.parametrize("family", FAMILIES)
def test_packed_gradients_are_those_of_the_padded_batch(bases, family: str):
    found = []
    for packing, collate in (("on", Packed(0)), ("off", Padded(0))):
        torch.manual_seed(3)
        model = learner(bases(family), packing=packing, gradient_checkpointing=packing == "on").train()
        model(**collate(samples()))["loss"].backward()
        found.append({name: p.grad for name, p in model.named_parameters() if p.requires_grad})
    assert found[0].keys() == found[1].keys()
    for name, gradient in found[0].items():
        assert torch.allclose(gradient, found[1][name], atol=1e-4, rtol=1e-3), name


def test_a_sample_does_not_see_its_neighbours_in_a_packed_row(bases):
    """The test that the others rest on: what stands before changes nothing."""
    model = learner(bases("gemma3_text"), packing="on").eval()
    first, *_, last = samples()
    other = Sample(ids=[2, *reversed(first.ids[1:])], labels=first.labels)
    with torch.no_grad():
        found = [model(**Packed(0)([one, last])) for one in (first, other)]
    of_last = [one["losses"][one["rows"] == 1] for one in found]
    assert torch.equal(*of_last) and not torch.equal(found[0]["losses"], found[1]["losses"])


def test_gemma_2_is_attended_to_with_its_soft_capping(bases):
    model = learner(bases("gemma2")).eval()
    assert model.config._attn_implementation == "eager"
    batch = Padded(0)(samples())
    with torch.no_grad():
        capped = model(**batch)["losses"]
        model.model.get_base_model().config.attn_logit_softcapping = None
        for module in model.modules():
            if hasattr(module, "attn_logit_softcapping"):
                module.attn_logit_softcapping = None
        assert not torch.allclose(capped, model(**batch)["losses"], atol=1e-3)


def test_a_vision_base_learns_from_text_on_its_language_model(bases):
    """transformers itself demands token_type_ids here; with zeros it gives the same losses."""
    model = learner(bases("gemma3")).train()
    assert not [name for name, p in model.named_parameters() if p.requires_grad and "language_model" not in name]
    batch = Padded(0)(samples())
    found = model(**batch)
    found["loss"].backward()
    whole = model.model(**batch, token_type_ids=torch.zeros_like(batch["input_ids"]))
    assert found["loss"].item() / int(found["count"]) == pytest.approx(whole.loss.item(), abs=1e-5)
    assert model.eval().generate(input_ids=torch.tensor([[2, 9, 8]]), max_new_tokens=3, do_sample=False).shape == (1, 6)


def test_nothing_learned_has_a_gradient_of_zero(bases):
    model = learner(bases("llama")).train()
    empty = [Sample(ids=sample.ids, labels=[IGNORED] * len(sample.ids)) for sample in samples()[:2]]
    found = model(**Padded(0)(empty))
    found["loss"].backward()
    assert found["loss"].item() == int(found["count"]) == 0
    assert all(not p.grad.any() for p in model.parameters() if p.requires_grad)


@pytest.mark.parametrize("packing", ["on", "off"])
def test_activations_computed_twice_change_no_bit(bases, packing: str):
    found = []
    for gradient_checkpointing in (False, True):
        torch.manual_seed(5)
        model = learner(bases("gemma3_text"), packing=packing, dropout=0.2,
                        gradient_checkpointing=gradient_checkpointing).train()
        torch.manual_seed(6)
        model(**(Packed if packing == "on" else Padded)(0)(samples()))["loss"].backward()
        found.append([p.grad for p in model.parameters() if p.requires_grad])
    assert all(map(torch.equal, *found)) and any(g.any() for g in found[0])


@pytest.mark.parametrize("packing", ["on", "off"])
def test_generation_is_the_same_whatever_attention_training_has(bases, packing: str):
    torch.manual_seed(4)
    model = learner(bases("gemma3_text"), packing=packing).eval()
    torch.manual_seed(4)
    other = learner(bases("gemma3_text")).eval()
    ids = torch.tensor([[0, 0, *range(5, 17)], list(range(20, 34))])
    options = dict(input_ids=ids, attention_mask=(ids != 0).long(), do_sample=False, max_new_tokens=6)
    assert torch.equal(model.generate(**options), other.model.generate(**options))


def test_in_bfloat16_the_losses_are_near_those_in_float32(bases):
    torch.manual_seed(4)
    half = learner(bases("llama"), Machine(device="cpu", is_bfloat16=True))
    torch.manual_seed(4)
    batch = Padded(0)(samples())
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        found = half.eval()(**batch)["loss"].item()
    with torch.no_grad():
        assert found == pytest.approx(learner(bases("llama")).eval()(**batch)["loss"].item(), rel=0.02)


def test_packing_is_for_gpus_unless_asked_for():
    auto, on, off = (TrainConfig(packing=packing) for packing in ("auto", "on", "off"))
    assert is_packed(auto, "cuda", "gemma3") and not is_packed(auto, "cpu", "gemma3")
    assert not is_packed(auto, "cuda", "gemma2") and is_packed(on, "cpu", "gemma2") and not is_packed(off, "cuda", "x")
    assert choose_attention(on, "cpu", "llama") == SEGMENTS and choose_attention(off, "cuda", "llama") == "sdpa"
    assert choose_attention(on, "cuda", "gemma2") == "eager"
