import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from convert import gguf
from convert.families import FAMILIES
from convert.model import MergedModel
from models.errors import UserError
from models.header import read_header
from runtime.config import LoadConfig
from runtime.probe import Probe
from runtime.reference import Reference
from tests.convert.tiny import make_adapter, make_base

EXACT = LoadConfig(ctx_tokens=512, threads=1, exact=True)
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "Gemma 1": ("gemma", {}),
    "Gemma 1, other frequency": ("gemma", dict(rope_theta=50_000.0)),
    "Gemma 2": ("gemma2", {}),
    "Gemma 2, tight caps": ("gemma2", dict(attn_logit_softcapping=2.0, final_logit_softcapping=1.5)),
    "Gemma 3": ("gemma3_text", {}),
    "Gemma 3, six layers, linear scaling": ("gemma3_text", dict(
        sliding_window_pattern=6, num_hidden_layers=7, rope_scaling={"rope_type": "linear", "factor": 8.0})),
    "Gemma 3, other frequencies": ("gemma3_text", dict(rope_theta=20_000.0, rope_local_base_freq=500.0)),
    "Gemma 3, no window": ("gemma3_text", dict(sliding_window_pattern=1)),
    "Gemma 3, odd layers": ("gemma3_text", dict(layer_types=["full_attention"] + ["sliding_attention"] * 2)),
}


def export_f32(folder: Path, adapter: Path | None = None) -> Path:
    """Our GGUF of folder, in F32."""
    model = MergedModel(folder, adapter, "tiny")
    assert model.plan.type_name == "F32"
    gguf.write(folder / "tiny.gguf", model.plan, model.read)
    return folder / "tiny.gguf"


@pytest.mark.parametrize(("family", "settings"), VARIANTS.values(), ids=VARIANTS)
def test_logits_equal_transformers(tmp_path: Path, tokenizer_folder: Path, family: str, settings: dict[str, Any]):
    base = make_base(tmp_path, family, tokenizer_folder, **settings)
    adapter = make_adapter(tmp_path / "adapter", base)
    reference, model = Reference(base, adapter), Probe(export_f32(base, adapter), EXACT)
    draw = np.random.default_rng(3)
    for length in (1, 20, 150):             # the last is nearly five windows long
        ids = [2, *draw.integers(6, 4000, length).tolist()]
        wanted, got = reference.logits(ids), model.logits(ids)
        largest = float(np.abs(wanted - got).max())
        print(f"{family} {settings}, {length} tokens: largest difference {largest:.2e}, spread {wanted.std():.2f}")
        assert wanted.std() > 0.3 and largest < 2e-3
        assert np.array_equal(wanted.argmax(1), got.argmax(1))
    model.close()


def test_a_wrong_window_frequency_or_norm_would_be_seen(tmp_path: Path, tokenizer_folder: Path):
    """The parity test above can fail: each change of the plan moves the logits far beyond its limit."""
    base = make_base(tmp_path, "gemma3_text", tokenizer_folder)
    ids = [2, *np.random.default_rng(3).integers(6, 4000, 100).tolist()]
    wanted = Reference(base).logits(ids)
    for key, value in {"gemma3.attention.sliding_window": 40, "gemma3.rope.freq_base": 1e4,
                       "gemma3.rope.freq_base_swa": 1e6, "norm": None}.items():
        model = MergedModel(base, None, "tiny")
        if key in model.plan.metadata:
            model.plan.metadata[key] = value
            gguf.write(base / "wrong.gguf", model.plan, model.read)
        else:
            gguf.write(base / "wrong.gguf", model.plan, lambda t, m=model: m._weights.read(t.source))
        opened = Probe(base / "wrong.gguf", EXACT)
        assert np.abs(opened.logits(ids) - wanted).max() > 0.02, key
        opened.close()


def test_metadata_is_upstreams(tmp_path: Path, tokenizer_folder: Path):
    """Keys and values as llama.cpp's own converter wrote them for the same folder; eot_token_id is ours in addition."""
    base = make_base(tmp_path, "gemma3_text", tokenizer_folder, sliding_window_pattern=6,
                     rope_scaling={"rope_type": "linear", "factor": 8.0})
    header = read_header(export_f32(base))
    plain = {k: v for k, v in header.metadata.items() if not isinstance(v, range) and "template" not in k}
    size = header.parameters
    assert plain.pop("general.size_label") == f"{round(size / 1e3)}K"
    assert plain == {
        "general.architecture": "gemma3", "general.type": "model", "general.name": "tiny",
        "general.file_type": 0, "general.quantization_version": 2,
        "gemma3.context_length": 512, "gemma3.embedding_length": 64, "gemma3.block_count": 3,
        "gemma3.feed_forward_length": 96, "gemma3.attention.head_count": 4, "gemma3.attention.head_count_kv": 2,
        "gemma3.attention.layer_norm_rms_epsilon": pytest.approx(1e-6), "gemma3.attention.key_length": 16,
        "gemma3.attention.value_length": 16, "gemma3.attention.sliding_window": 32,
        "gemma3.rope.freq_base": 1e6, "gemma3.rope.freq_base_swa": 1e4,
        "gemma3.rope.scaling.type": "linear", "gemma3.rope.scaling.factor": 8.0,
        "tokenizer.ggml.model": "llama", "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.bos_token_id": 2, "tokenizer.ggml.eos_token_id": 1, "tokenizer.ggml.unknown_token_id": 3,
        "tokenizer.ggml.padding_token_id": 0, "tokenizer.ggml.eot_token_id": 5,
        "tokenizer.ggml.add_bos_token": True, "tokenizer.ggml.add_eos_token": False,
        "tokenizer.ggml.add_space_prefix": False,
    }
    assert {t.name.split(".")[-2] for t in header.tensors} == {
        "token_embd", "output_norm", "attn_norm", "attn_q", "attn_q_norm", "attn_k", "attn_k_norm", "attn_v",
        "attn_output", "post_attention_norm", "ffn_norm", "ffn_gate", "ffn_up", "ffn_down", "post_ffw_norm"}
    assert {t.type_name for t in header.tensors} == {"F32"}


def test_rows_beyond_the_vocabulary_are_trimmed_and_a_tied_head_dropped(tmp_path: Path, gemma3: Path):
    base = shutil.copytree(gemma3, tmp_path / "long")
    tensors = load_file(base / "model.safetensors")
    embedding = tensors["model.embed_tokens.weight"]
    tensors["model.embed_tokens.weight"] = torch.cat([embedding, torch.full((64, 64), 9.0)])
    tensors["lm_head.weight"] = embedding.clone()
    save_file(tensors, base / "model.safetensors")
    long, short = MergedModel(base, None, "x"), MergedModel(gemma3, None, "x")
    first = long.plan.tensors[0]
    assert [t.name for t in long.plan.tensors] == [t.name for t in short.plan.tensors]
    assert np.array_equal(long.read(first), short.read(first))
    assert "output.weight" not in [t.name for t in long.plan.tensors]


@pytest.mark.parametrize(("family", "change", "text"), [
    ("gemma", dict(tie_word_embeddings=False), "tie_word_embeddings = False"),
    ("gemma", dict(hidden_activation="relu"), "hidden_activation = 'relu'"),
    ("gemma", dict(attention_bias=True), "attention_bias"),
    ("gemma", dict(rope_scaling={"type": "dynamic", "factor": 2.0}), "dynamic"),
    ("gemma", dict(hidden_size="big"), "hidden_size = 'big'"),
    ("gemma2", dict(attn_logit_softcapping=None), "attn_logit_softcapping = None"),
    ("gemma2", dict(query_pre_attn_scalar=99), "query_pre_attn_scalar = 99"),
    ("gemma2", dict(layer_types=["full_attention"] * 26), "layer_types"),
    ("gemma3_text", dict(query_pre_attn_scalar=99), "query_pre_attn_scalar = 99"),
    ("gemma3_text", dict(attn_logit_softcapping=50.0), "attn_logit_softcapping"),
    ("gemma3_text", dict(use_bidirectional_attention=True), "use_bidirectional_attention"),
    ("gemma3_text", dict(rope_scaling={"rope_type": "yarn", "factor": 2.0}), "yarn"),
    ("gemma3_text", dict(layer_types=["sliding_attention"]), "1 layer types for 26 layers"),
])
def test_settings_that_llama_cpp_does_not_compute_are_refused(family: str, change: dict[str, Any], text: str):
    with pytest.raises(UserError, match=text):
        FAMILIES[family].metadata(change)


@pytest.mark.parametrize(("layers", "heads", "hidden", "head", "scalar"), [
    (62, 32, 5376, 128, 168), (34, 8, 2560, 256, 256), (26, 4, 1152, 256, 256), (18, 4, 640, 256, 256)])
def test_published_gemma_3_sizes_are_accepted(layers: int, heads: int, hidden: int, head: int, scalar: int):
    keys = FAMILIES["gemma3_text"].metadata(dict(
        num_hidden_layers=layers, num_attention_heads=heads, hidden_size=hidden, head_dim=head,
        query_pre_attn_scalar=scalar, sliding_window=1024, sliding_window_pattern=6))
    assert "gemma3.attention.sliding_window_pattern" not in keys and keys["gemma3.attention.sliding_window"] == 1024


def test_published_gemma_2_sizes_are_accepted():
    for layers, heads, hidden, head, scalar in ((26, 8, 2304, 256, 256), (42, 16, 3584, 256, 256),
                                                (46, 32, 4608, 128, 144)):
        FAMILIES["gemma2"].metadata(dict(num_hidden_layers=layers, num_attention_heads=heads, hidden_size=hidden,
                                         head_dim=head, query_pre_attn_scalar=scalar))


def remove(base: Path, name: str) -> None:
    tensors = load_file(base / "model.safetensors")
    del tensors[name]
    save_file(tensors, base / "model.safetensors")


def add(base: Path, name: str, tensor: torch.Tensor) -> None:
    save_file(load_file(base / "model.safetensors") | {name: tensor}, base / "model.safetensors")


def configure(base: Path, **values: Any) -> None:
    path = base / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize(("spoil", "text"), [
    (lambda b: remove(b, "model.layers.1.mlp.up_proj.weight"), "lacks the tensor model.layers.1.mlp.up_proj.weight"),
    (lambda b: add(b, "model.norm.weight", torch.zeros(65)), r"model.norm.weight .* has the shape \[65\]"),
    (lambda b: add(b, "model.vision.weight", torch.zeros(2)), "model.vision.weight, which this architecture"),
    (lambda b: add(b, "model.layers.0.mlp.up_proj.weight.absmax", torch.zeros(2)), "up_proj.weight.absmax, a leftover"),
    (lambda b: add(b, "model.layers.0.mlp.up_proj.SCB", torch.zeros(2)), "up_proj.SCB, a leftover"),
    (lambda b: add(b, "model.layers.0.mlp.up_proj.weight_scale", torch.zeros(2)), "weight_scale, a leftover"),
    (lambda b: configure(b, quantization_config={"quant_method": "bitsandbytes"}), "quantized weights.*bitsandbytes"),
    (lambda b: configure(b, model_type="mistral"), "type 'mistral' can not be exported yet; known are gemma, gemma2"),
    (lambda b: configure(b, vocab_size=9000), r"embed_tokens.weight .* has the shape \[8192, 64\]"),
    (lambda b: (b / "tokenizer.model").unlink(), "no tokenizer.model.*copy it from the original"),
    (lambda b: (b / "tokenizer.model").write_bytes(b"\x0a\xff"), "no whole SentencePiece model"),
])
def test_a_base_that_can_not_be_exported_is_refused_before_work(tmp_path: Path, gemma3: Path, spoil: Any, text: str):
    base = shutil.copytree(gemma3, tmp_path / "base")
    spoil(base)
    with pytest.raises(UserError, match=text):
        MergedModel(base, None, "x")
