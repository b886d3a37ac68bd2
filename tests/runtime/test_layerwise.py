"""Layer by layer equals the whole model: every family, every kind of adapter, past the window, in less memory."""

import json
import os
import shutil
import subprocess
import sys
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    Gemma2Config,
    Gemma3Config,
    Gemma3TextConfig,
    GemmaConfig,
    LlamaConfig,
    Qwen3Config,
    SiglipVisionConfig,
)

from models import runs
from models.errors import UserError
from runtime.reference import Reference
from tests.convert.tiny import MATRICES, SIZES, TOKENIZER_FILES, make_adapter, random_model

PIECES = 300
WINDOW = 16
TEXT = {**SIZES, "vocab_size": PIECES, "pad_token_id": 290}
GEMMA3_TEXT = {**TEXT, "query_pre_attn_scalar": 16, "sliding_window": WINDOW, "sliding_window_pattern": 3}
CONFIGS: dict[str, Any] = {
    "gemma": lambda: GemmaConfig(**TEXT),
    "gemma2": lambda: Gemma2Config(**TEXT, query_pre_attn_scalar=16, sliding_window=WINDOW),
    "gemma3_text": lambda: Gemma3TextConfig(**GEMMA3_TEXT),
    "gemma3": lambda: Gemma3Config(
        text_config=GEMMA3_TEXT, mm_tokens_per_image=4, image_token_index=299, boi_token_index=298, eoi_token_index=297,
        vision_config=SiglipVisionConfig(hidden_size=32, intermediate_size=32, num_hidden_layers=1,
                                         num_attention_heads=2, image_size=32, patch_size=8)),
    "llama": lambda: LlamaConfig(**TEXT, attention_bias=True, tie_word_embeddings=False, rope_parameters={
        "rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64}),
    "qwen3": lambda: Qwen3Config(**TEXT, use_sliding_window=True, sliding_window=WINDOW, max_window_layers=1),
}
ADAPTERS: dict[str, dict[str, Any]] = {
    "plain": {},
    "patterns": {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"layers.1.mlp.up_proj": 64}, "use_rslora": True},
    "dora": {"use_dora": True, "target_modules": ["q_proj", "down_proj"]},
    "one layer": {"layers_to_transform": [1]},
    "embedding": {"target_modules": ["embed_tokens", "v_proj"]},
    "head": {"target_modules": ["lm_head", "v_proj"]},
    "head in full": {"modules_to_save": ["lm_head"]},
    "embedding in full": {"modules_to_save": ["embed_tokens"]},
    "norms in full": {"modules_to_save": ["norm", "input_layernorm"]},
}
ROWS = [list(range(3, 43)), [2, 7, 7, 200, 9], list(range(250, 210, -1))]       # two of them twice as long as a window


def make_base(folder: Path, family: str, tokenizer: Path, **saving: Any) -> Path:
    """Save a random model of the family in 16-bit floats, with the embedded model's tokenizer."""
    random_model(CONFIGS[family]()).to(torch.bfloat16).save_pretrained(folder, **saving)
    for name in TOKENIZER_FILES:
        if (tokenizer / name).is_file():
            shutil.copyfile(tokenizer / name, folder / name)
    return folder


def tensors_of(base: Path) -> dict[str, torch.Tensor]:
    """Copies: load_file's own tensors lie in the mapped file, which a test may write to."""
    return {name: tensor.clone() for name, tensor in load_file(base / "model.safetensors").items()}


def rewrite(base: Path, change: Any) -> None:
    """Put {name: tensor} through change and save it again."""
    save_file(change(tensors_of(base)), base / "model.safetensors", metadata={"format": "pt"})


def both(base: Path, adapter: Path | None = None) -> list[Reference]:
    return [Reference(base, adapter, threads=1, is_layerwise=is_layerwise) for is_layerwise in (False, True)]


def assert_equal(whole: Reference, layers: Reference) -> None:
    wanted, got = list(whole.each_logits(ROWS)), list(layers.each_logits(ROWS))
    assert np.ptp(wanted[0]) > 0.5 and [w.shape for w in wanted] == [g.shape for g in got]
    assert max(np.abs(w - g).max() for w, g in zip(wanted, got, strict=True)) < 1e-5


@pytest.fixture(scope="module")
def bases(tmp_path_factory, demo_base):
    return {family: make_base(tmp_path_factory.mktemp(family), family, demo_base) for family in CONFIGS}


@pytest.mark.parametrize("family", CONFIGS)
def test_every_call_equals_the_whole_model(family, bases):
    whole, layers = both(bases[family])
    assert layers.is_layerwise and not whole.is_layerwise
    assert_equal(whole, layers)
    items = [(row, start) for row, start in zip(ROWS, (1, 3, 30), strict=True)]
    for wanted, got in zip(whole.each_logprobs(items), layers.each_logprobs(items), strict=True):
        assert np.allclose(wanted, got, atol=1e-5)
    made = whole.generate_all(ROWS, 30, {44, 66})
    assert layers.generate_all(ROWS, 30, {44, 66}) == made == [whole.generate(row, 30, {44, 66}) for row in ROWS]


@pytest.mark.parametrize("family", CONFIGS)
def test_activation_sums_are_the_same(family, bases):
    whole, layers = both(bases[family])
    wanted, got = whole.activation_sums(ROWS), layers.activation_sums(ROWS)
    assert wanted.tokens == got.tokens and set(wanted.tokens.values()) == {sum(map(len, ROWS))}
    assert len(wanted.tokens) == 3 * len(MATRICES) + 1
    for name, sums in wanted.in_sum2.items():
        assert np.allclose(sums, got.in_sum2[name], rtol=1e-6), name


@pytest.mark.parametrize("kind", ADAPTERS)
@pytest.mark.parametrize("family", ["gemma3_text", "llama"])          # a tied head, and one of its own with biases
def test_adapters(family, kind, bases, tmp_path):
    adapter = make_adapter(tmp_path / "adapter", bases[family], **ADAPTERS[kind])
    whole, layers = both(bases[family], adapter)
    assert_equal(whole, layers)
    assert np.abs(whole.logits(ROWS[0]) - Reference(bases[family]).logits(ROWS[0])).max() > 1e-2
    wanted, got = whole.activation_sums(ROWS), layers.activation_sums(ROWS)
    assert wanted.tokens == got.tokens and len(wanted.tokens) == 3 * len(MATRICES) + 1
    assert all(np.allclose(sums, got.in_sum2[name], rtol=1e-6) for name, sums in wanted.in_sum2.items())


def test_an_adapter_with_trained_biases(bases, tmp_path):
    adapter = make_adapter(tmp_path / "adapter", bases["llama"], bias="all")
    path = adapter / "adapter_model.safetensors"
    save_file({name: value + 0.3 if name.endswith(".bias") else value.clone()
               for name, value in load_file(path).items()}, path)
    whole, layers = both(bases["llama"], adapter)
    assert_equal(whole, layers)
    plain = make_adapter(tmp_path / "plain", bases["llama"])
    assert np.abs(Reference(bases["llama"], plain).logits(ROWS[0]) - layers.logits(ROWS[0])).max() > 1e-2


def test_names_of_other_versions_and_shards(bases, demo_base, tmp_path):
    wanted = Reference(bases["gemma3"]).logits(ROWS[0])
    names = set(load_file(bases["gemma3"] / "model.safetensors"))
    assert any(name.startswith("language_model.model.layers") for name in names)
    newer = Path(shutil.copytree(bases["gemma3"], tmp_path / "newer"))
    rewrite(newer, lambda tensors: {name.replace("language_model.model.", "model.language_model."): tensor
                                    for name, tensor in tensors.items()})
    assert np.abs(Reference(newer, is_layerwise=True).logits(ROWS[0]) - wanted).max() < 1e-5
    headless = Path(shutil.copytree(bases["gemma"], tmp_path / "headless"))
    rewrite(headless, lambda tensors: {name.removeprefix("model."): tensor for name, tensor in tensors.items()})
    shards = make_base(tmp_path / "shards", "gemma", demo_base, max_shard_size="50KB")
    assert len(list(shards.glob("*.safetensors"))) > 3
    for folder in (headless, shards):
        assert_equal(Reference(bases["gemma"]), Reference(folder, is_layerwise=True))


def test_a_tied_head_that_is_saved_under_its_own_name_only(bases, tmp_path):
    base = Path(shutil.copytree(bases["gemma"], tmp_path / "base"))
    rewrite(base, lambda tensors: {name.replace("model.embed_tokens", "lm_head"): tensor
                                   for name, tensor in tensors.items()})
    whole, layers = both(base)
    assert_equal(whole, layers)
    assert_equal(layers, Reference(bases["gemma"]))


def test_the_real_pretrained_model(shared_data):
    whole, layers = both(shared_data / "models" / "stories260K" / "hf")
    ids = [1, *whole.tokenizer.encode("Once upon a time", control=False)]
    made = layers.generate(ids, 28, set())
    assert made == whole.generate(ids, 28, set())
    text = whole.tokenizer.hf.decode(ids + made[0])
    assert "there was a little girl named Lily. She loved to play outside in the park." in text


def test_rows_in_several_groups(bases, monkeypatch):
    """What is kept between layers is bounded: more rows read the layers again, and change nothing."""
    whole, layers = both(bases["gemma3_text"])
    monkeypatch.setattr("runtime.layerwise.GROUP_BYTES", 1)
    monkeypatch.setattr("runtime.layerwise.HEAD_NUMBERS", 1000)        # the head in parts of 15 rows
    monkeypatch.setattr("runtime.reference.LOGITS_AT_ONCE", 30 * PIECES)
    assert_equal(whole, layers)
    assert layers.generate_all(ROWS, 5, ()) == whole.generate_all(ROWS, 5, ())


def test_one_layer_is_there_at_a_time_and_a_stop_leaves_none(bases):
    seen: list[tuple[int, int]] = []

    def weigh() -> int:
        return sum(p.numel() for p in layers._model.parameters() if not p.is_meta)

    def stop(done: int, of: int) -> None:
        seen.append((done, weigh()))
        if stop_at == done:
            raise InterruptedError

    layers, stop_at = Reference(bases["gemma3_text"], is_layerwise=True, progress=stop), 0
    layers.logits(ROWS[0])
    # the last layer is emptied before progress is told; only the final norm stays
    assert seen == [(done, SIZES["hidden_size"]) for done in (1, 2, 3)]
    stop_at = 2
    with pytest.raises(InterruptedError):
        layers.logits(ROWS[0])
    stop_at = 0
    assert np.isfinite(layers.logits(ROWS[0])).all()


def cut(base: Path) -> None:
    path = base / "model.safetensors"
    os.truncate(path, path.stat().st_size - 100)


BROKEN = {
    "lacks the tensor model.layers.1.mlp.up_proj.weight": lambda base: rewrite(
        base, lambda t: {k: v for k, v in t.items() if k != "model.layers.1.mlp.up_proj.weight"}),
    "lacks the tensor model.embed_tokens.weight": lambda base: rewrite(
        base, lambda t: {k: v for k, v in t.items() if k != "model.embed_tokens.weight"}),
    r"has the shape \[7, 64\], and config.json makes it \[96, 64\]": lambda base: rewrite(
        base, lambda t: {**t, "model.layers.1.mlp.up_proj.weight": torch.zeros(7, 64)}),
    "is of type I8; weights must be 32-bit or 16-bit floats": lambda base: rewrite(
        base, lambda t: {**t, "model.layers.1.mlp.up_proj.weight": torch.zeros(96, 64, dtype=torch.int8)}),
    "is no whole safetensors file": cut,
}


@pytest.mark.parametrize("message", BROKEN)
def test_broken_bases(message, bases, tmp_path):
    base = Path(shutil.copytree(bases["gemma3_text"], tmp_path / "base"))
    BROKEN[message](base)
    with pytest.raises(UserError, match=message):
        Reference(base, is_layerwise=True)


def test_what_can_not_be_done_layer_by_layer(bases, tmp_path, demo_base):
    def saved(**settings: Any) -> Path:
        return make_adapter(tmp_path / str(len(list(tmp_path.iterdir()))), bases["llama"], **settings)

    rewriting = saved()
    config = json.loads((rewriting / "adapter_config.json").read_text(encoding="utf-8"))
    (rewriting / "adapter_config.json").write_text(json.dumps({**config, "init_lora_weights": "pissa"}),
                                                   encoding="utf-8")
    for adapter, message in ((rewriting, "'pissa', which rewrites the base"),
                             (saved(use_dora=True, target_modules=["lm_head"]), "DoRA on lm_head")):
        with pytest.raises(UserError, match=message):
            Reference(bases["llama"], adapter, is_layerwise=True)
    other = Path(shutil.copytree(bases["llama"], tmp_path / "other"))
    config = json.loads((other / "config.json").read_text(encoding="utf-8"))
    (other / "config.json").write_text(json.dumps({**config, "model_type": "falcon"}), encoding="utf-8")
    with pytest.raises(UserError, match="family falcon, which can not be computed layer by layer; .*gemma2"):
        Reference(other, is_layerwise=True)


@pytest.mark.skipif(sys.platform == "win32", reason="needs files with holes")
def test_a_model_larger_than_this_machine_is_done_layer_by_layer(bases, tmp_path):
    """The tiny model with an embedding of so many rows, nearly all of them holes in the file, on its own choice."""
    small = Reference(bases["gemma3_text"])
    assert not small.is_layerwise
    base = Path(shutil.copytree(bases["gemma3_text"], tmp_path / "base"))
    rows = psutil.virtual_memory().total // (4 * SIZES["hidden_size"]) + 1
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    (base / "config.json").write_text(json.dumps({**config, "vocab_size": rows}), encoding="utf-8")
    tensors = tensors_of(base)
    embedding = tensors.pop("model.embed_tokens.weight")
    header, at = {}, 0
    for name, shape in [*((k, tuple(v.shape)) for k, v in tensors.items()),
                        ("model.embed_tokens.weight", (rows, embedding.shape[1]))]:
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at := at + 4 * prod(shape)]}
    text = json.dumps(header).encode()
    with (base / "model.safetensors").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for tensor in [*tensors.values(), embedding]:
            file.write(tensor.float().numpy().tobytes())
        file.truncate(8 + len(text) + at)
    large = Reference(base, threads=1)
    assert large.is_layerwise
    wanted, got = small.activation_sums(ROWS), large.activation_sums(ROWS)
    assert all(np.allclose(sums, got.in_sum2[name], rtol=1e-5) for name, sums in wanted.in_sum2.items())


CHILD = """
import re, resource, sys
from pathlib import Path
from runtime.reference import Reference
reference = Reference(Path(sys.argv[1]), threads=1, is_layerwise=sys.argv[2] == "layers")
print(reference.logits(list(range(3, 43)))[-1].argmax())
if sys.platform == "linux":         # ru_maxrss would be that of the parent
    print(int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024)
else:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs the resource module")
def test_its_peak_is_far_below_the_weights(tmp_path, demo_base):
    """Two processes that differ only in how they hold 200 MB of weights (as 32-bit floats)."""
    sizes = {**GEMMA3_TEXT, "hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 14}
    torch.manual_seed(3)
    from transformers import AutoModelForCausalLM
    model = AutoModelForCausalLM.from_config(Gemma3TextConfig(**sizes), dtype=torch.bfloat16)
    weights_mb = 4 * model.num_parameters() / 1e6
    assert weights_mb > 180
    model.save_pretrained(tmp_path)
    for name in TOKENIZER_FILES:
        if (demo_base / name).is_file():
            shutil.copyfile(demo_base / name, tmp_path / name)
    token, peak_mb = {}, {}
    for mode in ("whole", "layers"):
        out = subprocess.run([sys.executable, "-c", CHILD, str(tmp_path), mode], cwd=runs.ROOT, check=True,
                             capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}).stdout
        token[mode], peak_mb[mode] = out.split()[0], int(out.split()[1]) / 1e6
    assert token["whole"] == token["layers"]
    assert peak_mb["layers"] < peak_mb["whole"] - 0.5 * weights_mb, peak_mb
