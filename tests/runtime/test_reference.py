"""The reference equals plain transformers and peft, and says what is wrong with a folder."""

import json
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from models import runs
from models.checkpoint import read_header
from models.errors import UserError
from runtime.reference import ActivationSums, Reference
from tests.convert.tiny import make_adapter, make_base

FAMILIES = ["gemma", "gemma2", "gemma3_text"]
IDS = list(range(6, 86))            # windows are 32


@pytest.fixture(scope="module")
def bases(tmp_path_factory, demo_base):
    return {family: make_base(tmp_path_factory.mktemp(family), family, demo_base) for family in FAMILIES}


@pytest.fixture(scope="module")
def adapters(tmp_path_factory, bases):
    return {family: make_adapter(tmp_path_factory.mktemp(family), base) for family, base in bases.items()}


def plain(base: Path, adapter: Path) -> PeftModel:
    """The model as anyone would load it."""
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, attn_implementation="eager")
    return PeftModel.from_pretrained(model, str(adapter)).eval()


@pytest.mark.parametrize("is_layerwise", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_equal_to_transformers_and_peft(family, is_layerwise, bases, adapters):
    reference, model = Reference(bases[family], adapters[family], 1, is_layerwise), plain(bases[family],
                                                                                         adapters[family])
    with torch.inference_mode():
        wanted = model(input_ids=torch.tensor([IDS])).logits[0]
        assert np.abs(reference.logits(IDS) - wanted.numpy()).max() < 1e-5
        scores = wanted[:-1].double().log_softmax(-1).gather(1, torch.tensor(IDS[1:])[:, None])[:, 0].numpy()
        assert np.allclose(reference.logprobs(IDS, 1), scores, atol=1e-5)
        assert np.allclose(reference.logprobs(IDS, 70), scores[69:], atol=1e-5)
        made = model.generate(input_ids=torch.tensor([IDS]), attention_mask=torch.ones(1, len(IDS)), do_sample=False,
                              max_new_tokens=40, eos_token_id=None, pad_token_id=0)[0, len(IDS):].tolist()
    assert reference.generate(IDS, 40, ()) == (made, "length")
    assert reference.generate(IDS, 40, {made[7]}) == (made[:made.index(made[7])], "stop")
    assert reference.generate(IDS, 0, ()) == ([], "length")


def test_the_sums_are_those_of_the_inputs_of_each_matrix(bases, adapters):
    model, inputs = plain(bases["gemma3_text"], adapters["gemma3_text"]), {}
    for name, module in model.get_base_model().named_modules():
        if name.endswith(("o_proj.base_layer", "down_proj.base_layer")) or name == "lm_head":
            module.register_forward_hook(lambda _m, args, _o, name=name: inputs.setdefault(name, []).append(args[0]))
    rows = [IDS, IDS[:9]]
    with torch.inference_mode():
        logits = [model(input_ids=torch.tensor([row])).logits[0].numpy() for row in rows]
    reference, beside = Reference(bases["gemma3_text"], adapters["gemma3_text"], 1), ActivationSums()
    sums = reference.activation_sums(rows)
    assert len(inputs) == 7 and len(sums.in_sum2) == 22
    for name, seen in inputs.items():
        weight = name.removesuffix(".base_layer") + ".weight"
        wanted = sum(x[0].double().square().sum(0) for x in seen).numpy()
        assert sums.in_sum2[weight].dtype == np.float64 and sums.tokens[weight] == len(IDS) + 9
        assert np.allclose(sums.in_sum2[weight], wanted, rtol=1e-5)
    # the same pass gives logits too
    for wanted, got in zip(logits, reference.each_logits(rows, beside), strict=True):
        assert np.abs(wanted - got).max() < 1e-5
    assert beside.tokens == sums.tokens
    assert all(np.array_equal(beside.in_sum2[name], sums.in_sum2[name]) for name in sums.in_sum2)
    reference.logits(IDS)                               # hooks are gone
    assert beside.tokens == sums.tokens


def test_logits_may_be_taken_while_rows_are_being_handed_out(bases):
    reference = Reference(bases["gemma"], threads=1)
    rows = reference.each_logits([IDS, IDS[:20]])
    first, other, second = next(rows), reference.logits(IDS[:30]), next(rows)
    assert np.abs(first[:20] - second).max() < 1e-5 and np.abs(first[:30] - other).max() < 1e-5
    assert torch.is_inference_mode_enabled() is False


CHAINS = {
    "two": [{}, dict(r=2, target_modules=["q_proj", "up_proj"])],
    "DoRA on rsLoRA": [dict(use_rslora=True), dict(use_dora=True)],
    "three, with copies": [dict(modules_to_save=["norm", "mlp"], target_modules=["q_proj"]),
                           dict(target_modules=["up_proj"], use_dora=True), dict(modules_to_save=["q_proj", "norm"],
                                                                                 target_modules=["v_proj"])],
    "LoRA on copied ends": [dict(modules_to_save=["lm_head", "embed_tokens"]),
                            dict(target_modules=["lm_head", "embed_tokens", "q_proj"])],
    "ends, then others": [dict(target_modules=["embed_tokens", "lm_head"]), dict(target_modules=["v_proj"])],
    "a copied head, then the embedding": [dict(modules_to_save=["lm_head"]), dict(target_modules=["embed_tokens"])],
    "tokens, then ends": [dict(trainable_token_indices=[8, 9, 60], target_modules=["v_proj"]),
                          dict(target_modules=["embed_tokens", "v_proj"])],
    "one, on a tied embedding": [dict(target_modules=["embed_tokens", "v_proj"])],
    "one, on a tied head": [dict(target_modules=["lm_head", "v_proj"])],
    "one, on a tied pair": [dict(target_modules=["embed_tokens"], ensure_weight_tying=True)],
    "one with tokens": [dict(trainable_token_indices=[8, 9, 60], target_modules=["v_proj"])],
}


@pytest.mark.parametrize("kind", CHAINS)
def test_several_adapters_are_each_on_top_of_the_merge_of_those_before(kind, bases, tmp_path):
    base, adapters = bases["gemma3_text"], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, attn_implementation="eager")
        for number, settings in enumerate(CHAINS[kind]):
            adapters.append(make_adapter(tmp_path / str(number), base, **settings))
            path = adapters[-1] / "adapter_model.safetensors"
            save_file({name: tensor + 0.1 * torch.sign(tensor) if "delta" in name else tensor.clone()
                       for name, tensor in load_file(path).items()}, path)
            model = PeftModel.from_pretrained(model, str(adapters[-1])).merge_and_unload()
    with torch.inference_mode():
        wanted = model.eval()(input_ids=torch.tensor([IDS])).logits[0].numpy()
    plain_logits = Reference(base, threads=1).logits(IDS)
    assert np.abs(wanted - plain_logits).max() > 1e-2
    references = [Reference(base, adapters, 1, is_layerwise) for is_layerwise in (False, True)]
    for reference in references:
        for _ in range(2):                              # nothing is left of the first time
            assert np.abs(reference.logits(IDS) - wanted).max() < 3e-5 * max(1, np.abs(wanted).max())
    whole, layers = (reference.activation_sums([IDS, IDS[:9]]) for reference in references)
    assert whole.tokens == layers.tokens and len(whole.tokens) == 22
    assert all(np.allclose(sums, layers.in_sum2[name], rtol=1e-4) for name, sums in whole.in_sum2.items())


def damaged(adapter: Path, base: Path, into: Path) -> dict[str, tuple[Path, Path, str]]:
    """{what: (base, adapter, words of the error)}"""
    def copied(source: Path, name: str) -> Path:
        return Path(shutil.copytree(source, into / name))

    def saved(name: str, change) -> Path:
        folder = copied(adapter, name)
        path = folder / "adapter_model.safetensors"
        save_file(change({name: tensor.clone() for name, tensor in load_file(path).items()}), path)
        return folder

    cut = copied(adapter, "cut")
    (cut / "adapter_model.safetensors").write_bytes((adapter / "adapter_model.safetensors").read_bytes()[:-50])
    no_config, no_weights, other_kind = (copied(adapter, name) for name in ("no_config", "no_weights", "kind"))
    (no_config / "adapter_config.json").unlink()
    (no_weights / "adapter_model.safetensors").unlink()
    config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    (other_kind / "adapter_config.json").write_text(json.dumps({**config, "peft_type": "IA3"}), encoding="utf-8")
    lame = copied(base, "lame")
    path = lame / "model.safetensors"
    save_file({k: v.clone() for k, v in load_file(path).items() if "layers.1.mlp.up_proj" not in k}, path,
              metadata={"format": "pt"})
    return {
        "no config": (base, no_config, "holds no adapter_config.json, so it is no PEFT adapter"),
        "no weights": (base, no_weights, "holds no adapter_model.safetensors"),
        "another kind": (base, other_kind, "of the type IA3; only LoRA"),
        "cut short": (base, cut, "is no whole safetensors file"),
        "matrix missing": (base, saved("missing", lambda t: dict(list(t.items())[1:])), "Found missing adapter keys"),
        "other width": (base, saved("wide", lambda t: {k: torch.zeros(v.shape[0], v.shape[1] + 1)
                                                       for k, v in t.items()}), "does not fit this base model"),
        "more layers": (base, saved("deep", lambda t: t | {k.replace("layers.0", "layers.9"): v.clone()
                                                           for k, v in t.items()}), "was trained on another base"),
        "base lacks a tensor": (lame, adapter, "lacks the tensor model.layers.1.mlp.up_proj.weight"),
    }


@pytest.mark.parametrize("is_layerwise", [False, True])
def test_what_is_wrong_is_said(is_layerwise, bases, adapters, tmp_path):
    for base, adapter, words in damaged(adapters["gemma3_text"], bases["gemma3_text"], tmp_path).values():
        with pytest.raises(UserError, match=words):
            Reference(base, adapter, 1, is_layerwise)


def test_the_module_loads_nothing_heavy():
    """The parents of workers may import it."""
    code = "import sys, runtime.reference; print([m for m in ('torch', 'transformers', 'peft') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=runs.ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("is_layerwise", [False, True])
def test_an_id_beyond_the_embedding_is_one_line(is_layerwise, bases):
    reference = Reference(bases["gemma3_text"], None, 1, is_layerwise)
    for ask in (lambda: reference.logits([2, 100_000]), lambda: reference.generate([2, 100_000], 1, ())):
        with pytest.raises(UserError, match="gives the id 100,000 .* the model's embedding has 8,192 rows"):
            ask()


def configure(base: Path, **values: object) -> None:
    path = base / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | values), encoding="utf-8")


def in_shards(base: Path, index: dict) -> None:
    """The weights in a file that an index names, which says nothing else but what index says."""
    (base / "model.safetensors").rename(base / "model-00001-of-00001.safetensors")
    names = read_header(base / "model-00001-of-00001.safetensors")
    (base / "model.safetensors.index.json").write_text(
        json.dumps(index | {"weight_map": dict.fromkeys(names, "model-00001-of-00001.safetensors")}), encoding="utf-8")


UNLOADABLE = {
    "padding beyond the embedding": (lambda b: configure(b, pad_token_id=99_999), "AssertionError: Padding_idx must"),
    "a text as end": (lambda b: configure(b, eos_token_id="x"), "field 'eos_token_id': TypeError"),
    "no float": (lambda b: configure(b, rms_norm_eps=0), "field 'rms_norm_eps'"),
    "no such type": (lambda b: configure(b, dtype="floaty"), "has no attribute 'floaty'"),
    "an index without metadata": (lambda b: in_shards(b, {}), "KeyError: 'metadata'"),
    "a shape of no embedding": (lambda b: configure(b, intermediate_size=95),
                                r"down_proj.* \[64, 96\], and config.json makes it"),
    "two tensors in one place": (lambda b: share_bytes(b), "lie in the same place"),
}


def share_bytes(base: Path) -> None:
    raw = (base / "model.safetensors").read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:8 + length])
    first, second, *_ = (name for name in header if "q_norm" in name)
    header[second]["data_offsets"] = header[first]["data_offsets"]
    text = json.dumps(header).encode()
    (base / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + raw[8 + length:])


@pytest.mark.parametrize("kind", UNLOADABLE)
def test_what_transformers_can_not_load_is_one_line(kind, bases, tmp_path):
    base = Path(shutil.copytree(bases["gemma3_text"], tmp_path / "base"))
    spoil, words = UNLOADABLE[kind]
    spoil(base)
    with pytest.raises(UserError, match=words) as error:
        Reference(base, None, 1, is_layerwise=False)
    assert "\n" not in str(error.value) and str(base) in str(error.value)


def test_a_tokenizer_that_can_not_be_loaded_is_one_line(bases, tmp_path):
    base = Path(shutil.copytree(bases["gemma3_text"], tmp_path / "base"))
    (base / "tokenizer.json").write_text("{")
    (base / "tokenizer.model").unlink(missing_ok=True)
    for is_layerwise in (False, True):
        with pytest.raises(UserError, match="transformers can not load .*base") as error:
            Reference(base, None, 1, is_layerwise)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("has_head", [False, True])
@pytest.mark.parametrize("is_layerwise", [False, True])
def test_rows_beyond_the_vocabulary_change_nothing(is_layerwise, has_head, bases, tmp_path):
    base = Path(shutil.copytree(bases["gemma3_text"], tmp_path / "base"))
    tensors = {name: tensor.clone() for name, tensor in load_file(base / "model.safetensors").items()}
    longer = torch.cat([tensors["model.embed_tokens.weight"], torch.full((8, 64), 9.0)])
    head = {"lm_head.weight": longer.clone()} if has_head else {}
    save_file(tensors | {"model.embed_tokens.weight": longer} | head, base / "model.safetensors",
              metadata={"format": "pt"})
    got, wanted = (Reference(folder, None, 1, is_layerwise).logits(IDS) for folder in (base, bases["gemma3_text"]))
    assert np.array_equal(got, wanted)
