"""Every family: logits of our file equal those of transformers, and what llama.cpp can not compute is refused."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from convert.families import FAMILIES, find_family
from convert.families.gemma3 import canonical
from convert.families.llama import in_pairs
from convert.families.rope import llama3_factors, read_rope
from convert.model import MergedModel
from convert.stream import write_all
from models.errors import UserError
from runtime.config import LoadConfig
from runtime.probe import Probe
from runtime.reference import Reference
from tests.convert.tiny import make_adapter, make_base
from tests.runtime.seeing import make_seeing

LOOSE, TIGHT = 3e-3, 1e-5
EXACT = LoadConfig(ctx_tokens=512, threads=1, exact=True)
LLAMA3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=64, rope_theta=500_000.0)
YARN = dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=64, rope_theta=1e6)
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
    "Gemma 3, head of its own": ("gemma3_text", dict(tie_word_embeddings=False, final_logit_softcapping=2.0)),
    "Gemma 4, small": ("gemma4_text", dict(num_kv_shared_layers=2, use_double_wide_mlp=True)),
    "Gemma 4, large": ("gemma4_text", dict(
        hidden_size_per_layer_input=0, attention_k_eq_v=True, num_global_key_value_heads=1, final_logit_softcapping=1.0,
        rope_parameters=dict(sliding_attention=dict(rope_type="default", rope_theta=2e4), full_attention=dict(
            rope_type="proportional", rope_theta=5e5, partial_rotary_factor=0.5)))),
    "Gemma 4, head of its own": ("gemma4_text", dict(tie_word_embeddings=False)),
    "Llama": ("llama", dict(tie_word_embeddings=False)),
    "Llama, tied, small heads": ("llama", dict(tie_word_embeddings=True, head_dim=8, rms_norm_eps=1e-3)),
    "Llama 3": ("llama", dict(rope_parameters=LLAMA3)),
    "Llama, biases": ("llama", dict(attention_bias=True, mlp_bias=True, num_key_value_heads=4)),
    "Llama, linear scaling": ("llama", dict(rope_scaling={"rope_type": "linear", "factor": 4.0})),
    "Llama, YaRN": ("llama", dict(rope_parameters=YARN)),
    "Qwen 3": ("qwen3", dict(head_dim=32, tie_word_embeddings=True, rope_theta=1e6)),
    "Qwen 3, head of its own": ("qwen3", dict(head_dim=8, tie_word_embeddings=False, num_key_value_heads=1)),
    "Qwen 3, YaRN": ("qwen3", dict(rope_parameters=YARN | {"beta_fast": 32.0, "beta_slow": 1.0})),
}


def export_f32(folder: Path, adapter: Path | None = None, **changed: Any) -> Path:
    """Our GGUF of folder in F32; changed: keys of the file to set otherwise."""
    model = MergedModel(folder, [adapter] if adapter else [], "tiny")
    model.plan = dataclasses.replace(model.plan, metadata=model.plan.metadata | changed)
    path = folder / "tiny.gguf"
    write_all(model, {"F32": path}, threads=1)
    return path


def check_logits(name: str, reference: Reference, model: Probe, limit: float, lengths: tuple[int, ...]) -> None:
    """Print and compare the logits of random texts of so many tokens."""
    draw = np.random.default_rng(3)
    for length in lengths:
        ids = [2, *draw.integers(6, 4000, length).tolist()]
        wanted, got = reference.logits(ids), model.logits(ids)
        largest = float(np.abs(wanted - got).max())
        print(f"{name}, {length} tokens: largest difference {largest:.2e}, spread {wanted.std():.2f}")
        assert wanted.std() > 0.1 and largest < limit
        assert np.array_equal(wanted.argmax(1), got.argmax(1))
    model.close()


def silenced(folder: Path, base: Path) -> Path:
    """A copy of base without feed-forward: llama.cpp reads GELU from a float16 table, which alone moves logits."""
    shutil.copytree(base, folder)
    tensors = load_file(folder / "model.safetensors")
    still = {name: torch.zeros_like(values) for name, values in tensors.items()
             if "down_proj" in name or "per_layer_projection.weight" in name}
    save_file(tensors | still, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.mark.parametrize(("family", "settings"), VARIANTS.values(), ids=VARIANTS)
def test_logits_equal_transformers(tmp_path: Path, tokenizer_folder: Path, family: str, settings: dict[str, Any]):
    base = make_base(tmp_path / "base", family, tokenizer_folder, **settings)
    adapter = make_adapter(tmp_path / "adapter", base)
    long, name = (1, 20, 150), f"{family} {settings}"       # the last is nearly five windows long
    limit = LOOSE if "gemma" in family else TIGHT
    check_logits(name, Reference(base, [adapter]), Probe(export_f32(base, adapter), EXACT), limit, long)
    if "gemma" in family:
        still = silenced(tmp_path / "still", base)
        check_logits(f"still {name}", Reference(still), Probe(export_f32(still), EXACT), TIGHT, long[2:])


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory, tokenizer_folder: Path) -> Path:
    """A small random Gemma 3 with a vision tower, as transformers saves it. Not to be changed: copy it."""
    return make_seeing(tmp_path_factory.mktemp("seeing"), tokenizer_folder)


def test_the_text_of_a_model_that_sees_equals_transformers(tmp_path: Path, seeing: Path):
    base = shutil.copytree(seeing, tmp_path / "base")
    check_logits("seeing", Reference(base), Probe(export_f32(base), EXACT), LOOSE, (1, 20, 150))


def test_a_real_llama_tells_its_known_story(tmp_path: Path, shared_data: Path):
    """stories260K: the text that its makers give, and the same weights as the GGUF that lies beside it."""
    stories, base = shared_data / "models" / "stories260K", tmp_path / "hf"
    base.mkdir()
    for file in (stories / "hf").iterdir():
        shutil.copyfile(file, base / file.name)
    path = export_f32(base)
    model = Probe(path, EXACT)
    made, _ = model.generate([1, *model.encode("Once upon a time", control=False)], 28)
    text = b"".join(map(model.piece, made)).decode()
    assert text.startswith(", there was a little girl named Lily. She loved to play outside in the park.")
    model.close()
    given = gguf.GGUFReader(stories / "stories260K-f32.gguf")
    ours = {one.name: one.data for one in gguf.GGUFReader(path).tensors}
    assert ours.keys() == {one.name for one in given.tensors}
    assert all(np.array_equal(one.data, ours[one.name]) for one in given.tensors)


@pytest.mark.parametrize(("key", "value"), [
    ("gemma3.attention.sliding_window", 40), ("gemma3.rope.freq_base", 1e4), ("gemma3.rope.freq_base_swa", 1e6)])
def test_a_wrong_window_or_frequency_would_be_seen(tmp_path: Path, tokenizer_folder: Path, key: str, value: Any):
    """The parity test above can fail: each change of a key moves the logits far beyond its limit."""
    base = make_base(tmp_path, "gemma3_text", tokenizer_folder)
    ids = [2, *np.random.default_rng(3).integers(6, 4000, 100).tolist()]
    opened = Probe(export_f32(base, **{key: value}), EXACT)
    assert np.abs(opened.logits(ids) - Reference(base).logits(ids)).max() > 0.02
    opened.close()


@pytest.mark.parametrize(("family", "settings", "part"), [
    ("gemma", {}, "attn_norm"), ("llama", {}, "attn_q"), ("llama", dict(rope_parameters=LLAMA3), "rope_freqs"),
    ("qwen3", {}, "attn_k_norm")])
def test_a_tensor_left_as_it_was_would_be_seen(tmp_path: Path, tokenizer_folder: Path, family: str,
                                               settings: dict[str, Any], part: str):
    base = make_base(tmp_path, family, tokenizer_folder, **settings)
    model = MergedModel(base, [], "tiny")
    rows = model.rows

    def without(tensor: Any, start: int, stop: int) -> np.ndarray:
        if part not in tensor.name:
            return rows(tensor, start, stop)
        if tensor.values is not None or not tensor.transform:
            return np.ones((stop - start, *tensor.shape[1:]), np.float32)
        return rows(dataclasses.replace(tensor, transform=None), start, stop)

    wrong = type("Wrong", (), {"plan": model.plan, "rows": staticmethod(without)})
    write_all(wrong, {"F32": base / "wrong.gguf"}, threads=1)
    ids = [2, *np.random.default_rng(3).integers(6, 4000, 100).tolist()]
    opened = Probe(base / "wrong.gguf", EXACT)
    assert np.abs(opened.logits(ids) - Reference(base).logits(ids)).max() > 0.02
    opened.close()


def test_rows_beyond_the_vocabulary_are_trimmed_and_a_tied_head_dropped(tmp_path: Path, gemma3: Path):
    base = shutil.copytree(gemma3, tmp_path / "long")
    tensors = load_file(base / "model.safetensors")
    embedding = tensors["model.embed_tokens.weight"]
    tensors["model.embed_tokens.weight"] = torch.cat([embedding, torch.full((64, 64), 9.0)])
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
    save_file(tensors, base / "model.safetensors")
    long, short = MergedModel(base, [], "x"), MergedModel(gemma3, [], "x")
    assert [t.name for t in long.plan.tensors] == [t.name for t in short.plan.tensors]
    assert "output.weight" not in [t.name for t in long.plan.tensors]
    first = long.plan.tensors[0]
    assert first.shape == embedding.shape
    assert np.array_equal(long.rows(first, 0, first.shape[0]), short.rows(first, 0, first.shape[0]))


@pytest.mark.parametrize("kind", ["gemma", "gemma2", "gemma3_text", "llama", "qwen3"])
def test_who_has_a_head_of_its_own_where_config_json_says_nothing(kind: str):
    is_tied = kind.startswith("gemma")
    assert find_family(kind).text_config({"tie_word_embeddings": None})["tie_word_embeddings"] == is_tied
    names = [t.name for t in FAMILIES[kind].tensors(dict(num_hidden_layers=1), frozenset())]
    assert ("output.weight" in names) is not is_tied


@pytest.mark.parametrize("kind", ["gemma", "gemma2"])
def test_a_head_of_its_own_is_refused_where_llama_cpp_has_no_place_for_it(kind: str):
    with pytest.raises(UserError, match=r"of its own \(lm_head.weight\), and llama.cpp computes Gemma [12]"):
        FAMILIES[kind].tensors({}, frozenset({"lm_head.weight"}))
    names = [t.name for t in FAMILIES["gemma3_text"].tensors({}, frozenset({"lm_head.weight"}))]
    assert "output.weight" in names


@pytest.mark.parametrize(("name", "wanted"), [
    ("language_model.model.layers.0.mlp.up_proj.weight", "model.layers.0.mlp.up_proj.weight"),
    ("model.language_model.layers.0.mlp.up_proj", "model.layers.0.mlp.up_proj"),
    ("model.language_model.model.norm.weight", "model.norm.weight"),
    ("model.layers.0.mlp.up_proj.weight", "model.layers.0.mlp.up_proj.weight"),
    ("language_model.lm_head.weight", "lm_head.weight"),
    ("lm_head.weight", "lm_head.weight"),
    ("model.vision_tower.encoder.layers.0.mlp.fc1.bias", "vision_tower.vision_model.encoder.layers.0.mlp.fc1.bias"),
    ("vision_tower.vision_model.post_layernorm.bias", "vision_tower.vision_model.post_layernorm.bias"),
    ("vision_tower.head.probe", "vision_tower.vision_model.head.probe"),
    ("model.multi_modal_projector.mm_soft_emb_norm.weight", "multi_modal_projector.mm_soft_emb_norm.weight"),
])
def test_every_spelling_of_gemma_3_has_one_name(name: str, wanted: str):
    assert canonical(name) == wanted == canonical(wanted)


@pytest.mark.parametrize(("name", "wanted"), [
    ("model.language_model.layers.0.layer_scalar", "model.layers.0.layer_scalar"),
    ("model.layers.0.self_attn.q_proj", "model.layers.0.self_attn.q_proj"),
    ("lm_head.weight", "lm_head.weight"),
    ("model.audio_tower.layers.0.self_attn.per_dim_scale", "audio_tower.layers.0.self_attn.per_dim_scale"),
    ("model.embed_vision.embedding_projection.weight", "embed_vision.embedding_projection.weight")])
def test_every_spelling_of_gemma_4_has_one_name_and_the_towers_are_left_out(name: str, wanted: str):
    family = find_family("gemma4")
    assert family.canonical(name) == wanted == family.canonical(wanted)
    assert family.drops(wanted) is not wanted.startswith(("model.", "lm_head."))
    assert family.notes(dict(vision_config={"patch_size": 1})) and not family.notes(dict(vision_config=None))


@pytest.mark.parametrize(("settings", "head", "heads"), [
    (dict(global_head_dim=32), 32, 2),
    (dict(global_head_dim=32, num_global_key_value_heads=1), 32, 2),
    (dict(global_head_dim=32, num_global_key_value_heads=1, attention_k_eq_v=True), 32, [2, 1]),
    (dict(per_layer_config={"1": {"head_dim": 32}}), 32, 2),
    (dict(per_layer_config={"01": {"head_dim": 32, "num_key_value_heads": 1}}), 32, [2, 1]),
    ({}, 512, 2)])
def test_gemma_4_heads_in_old_and_new_files(settings: dict[str, Any], head: int, heads: Any):
    keys = FAMILIES["gemma4_text"].metadata(dict(
        num_hidden_layers=2, layer_types=["sliding_attention", "full_attention"], head_dim=16,
        num_key_value_heads=2, **settings))
    assert keys["gemma4.attention.key_length"] == head and keys["gemma4.attention.key_length_swa"] == 16
    assert keys["gemma4.attention.head_count_kv"] == heads


def test_pairs_of_a_head_stand_side_by_side():
    values = np.arange(12, dtype=np.float32)                # two heads of six
    assert in_pairs(2)(values).tolist() == [0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11]
    assert in_pairs(2)(values[:, None] * np.ones(3)).tolist() == [[v] * 3 for v in in_pairs(2)(values)]


@pytest.mark.parametrize(("head", "theta", "factor"), [(64, 5e5, 32.0), (128, 5e5, 8.0), (80, 1e6, 4.0)])
def test_llama_3_scaling_is_the_inverse_of_transformers(head: int, theta: float, factor: float):
    from transformers import LlamaConfig
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
    rope = LLAMA3 | dict(factor=factor, original_max_position_embeddings=8192, rope_theta=theta)
    config = LlamaConfig(head_dim=head, rope_parameters=rope, max_position_embeddings=131_072)
    wanted = ROPE_INIT_FUNCTIONS["llama3"](config, "cpu")[0].numpy()
    plain = theta ** (-np.arange(0, head, 2) / head)
    got = llama3_factors(read_rope(dict(rope_parameters=rope), "llama3"), head, 131_072)
    assert got.dtype == np.float32 and got.min() == 1 and got.max() == factor
    assert np.allclose(plain / got, wanted, rtol=2e-6)


@pytest.mark.parametrize("settings", [
    dict(rope_scaling=dict(type="linear", factor=2.0), rope_theta=3e4),
    dict(rope_parameters=dict(rope_type="linear", factor=2.0, rope_theta=3e4))], ids=["old", "new"])
def test_old_and_new_files_say_the_same(settings: dict[str, Any]):
    keys = FAMILIES["llama"].metadata(settings)
    assert keys["llama.rope.freq_base"] == 3e4 and keys["llama.rope.scaling.factor"] == 2.0


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
    ("gemma3_text", dict(rope_scaling={"rope_type": "linear"}), "'linear' and factor = None"),
    ("gemma3_text", dict(layer_types=["sliding_attention"]), "layer_types = .* for 26 layers; it must name"),
    ("gemma3", dict(text_config=dict(query_pre_attn_scalar=99)), "query_pre_attn_scalar = 99"),
    ("gemma4", dict(text_config=dict(enable_moe_block=True)), "only the dense sizes"),
    ("gemma4_text", dict(use_bidirectional_attention="all"), "use_bidirectional_attention = 'all'"),
    ("gemma4_text", dict(layer_types=["full_attention"] * 30), "llama.cpp computes Gemma 4 with both"),
    ("gemma4_text", dict(num_kv_shared_layers=30), "num_kv_shared_layers = 30"),
    ("gemma4_text", dict(vocab_size_per_layer_input=5), "vocab_size_per_layer_input = 5"),
    ("gemma4_text", dict(rope_parameters=dict(full_attention=dict(rope_type="yarn"))), "scales positions with .*yarn"),
    ("gemma4_text", dict(per_layer_config={"5": {"head_dim": 9}}), "per_layer_config that is not the same"),
    ("llama", dict(hidden_act="gelu"), "hidden_act = 'gelu'"),
    ("llama", dict(rope_scaling={"rope_type": "dynamic", "factor": 2.0}), "rope_type 'dynamic'"),
    ("llama", dict(rope_scaling={"rope_type": "linear"}), "'linear' and factor = None"),
    ("llama", dict(rope_theta=-1.0), "rope_theta = -1.0"),
    ("llama", dict(partial_rotary_factor=0.5), "partial_rotary_factor = 0.5"),
    ("llama", dict(rope_parameters=YARN | {"attention_factor": 2.0}), "attention_factor = 2.0"),
    ("llama", dict(rope_parameters=YARN | {"truncate": False}), "truncate = False"),
    ("qwen3", dict(rope_parameters=YARN | {"beta_fast": 16}), "beta_fast = 16"),
    ("qwen3", dict(attention_bias=True), "attention_bias = True"),
    ("qwen3", dict(use_sliding_window=True), "use_sliding_window = True"),
    ("qwen3", dict(layer_types=["sliding_attention"] * 32), "layer_types"),
    ("qwen3", dict(rope_parameters=LLAMA3), "rope_type 'llama3'"),
])
def test_settings_that_llama_cpp_does_not_compute_are_refused(family: str, change: dict[str, Any], text: str):
    with pytest.raises(UserError, match=text):
        FAMILIES[family].metadata(change)


@pytest.mark.parametrize(("settings", "text"), [
    (LLAMA3 | {"low_freq_factor": 4.0}, "low_freq_factor = 4.0 and high_freq_factor = 4.0"),
    (LLAMA3 | {"factor": "eight"}, "factor = 'eight'")])
def test_a_scaling_of_llama_3_that_makes_no_sense_is_refused(settings: dict[str, Any], text: str):
    with pytest.raises(UserError, match=text):
        FAMILIES["llama"].tensors(dict(rope_parameters=settings), frozenset())


# MedGemma 27B text and Gemma 3 27B, 12B, MedGemma 4B and Gemma 3 4B, 1B, 270M
@pytest.mark.parametrize(("layers", "heads", "hidden", "head", "scalar"), [
    (62, 32, 5376, 128, 168), (48, 16, 3840, 256, 256), (34, 8, 2560, 256, 256), (26, 4, 1152, 256, 256),
    (18, 4, 640, 256, 256)])
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


def test_what_the_published_gemma_3_4b_leaves_out_is_filled_in():
    """config.json of google/gemma-3-4b-it and google/medgemma-4b-it, without what the tests do not look at."""
    config = dict(model_type="gemma3", mm_tokens_per_image=256, text_config=dict(
        hidden_size=2560, intermediate_size=10_240, model_type="gemma3_text", num_hidden_layers=34,
        rope_scaling=dict(factor=8.0, rope_type="linear"), sliding_window=1024),
        vision_config=dict(hidden_size=1152, image_size=896, intermediate_size=4304, model_type="siglip_vision_model",
                           num_attention_heads=16, num_hidden_layers=27, patch_size=14, vision_use_head=False))
    family = find_family("gemma3")
    keys = family.metadata(config)
    assert keys["gemma3.attention.head_count"] == 8 and keys["gemma3.attention.key_length"] == 256
    assert keys["gemma3.rope.scaling.factor"] == 8.0 and keys["gemma3.attention.sliding_window"] == 1024
    tensors = family.tensors(config, frozenset())
    assert tensors[0].shape == (262_208, 2560) and len(tensors) == 2 + 34 * 13
    assert not any(t.name == "output.weight" for t in tensors)


@pytest.mark.parametrize(("layers", "hidden", "inner", "heads", "is_tied"), [
    (28, 1024, 3072, 16, True), (28, 2048, 6144, 16, True), (36, 2560, 9728, 32, True), (36, 4096, 12_288, 32, False),
    (40, 5120, 17_408, 40, False), (64, 5120, 25_600, 64, False)])
def test_published_qwen_3_sizes(layers: int, hidden: int, inner: int, heads: int, is_tied: bool):
    """Qwen 3 0.6B to 32B: heads of 128 that together are not as wide as the model."""
    config = dict(num_hidden_layers=layers, hidden_size=hidden, intermediate_size=inner, num_attention_heads=heads,
                  num_key_value_heads=8, head_dim=128, tie_word_embeddings=is_tied, rope_theta=1_000_000,
                  max_position_embeddings=40_960, rope_scaling=None, sliding_window=None, use_sliding_window=False)
    keys = FAMILIES["qwen3"].metadata(config)
    shapes = {t.name: t.shape for t in FAMILIES["qwen3"].tensors(config, frozenset())}
    assert keys["qwen3.attention.key_length"] == 128 and keys["qwen3.rope.freq_base"] == 1e6
    assert shapes["blk.0.attn_q.weight"] == (heads * 128, hidden) and shapes["blk.0.attn_k.weight"] == (1024, hidden)
    assert ("output.weight" in shapes) is not is_tied and len(shapes) == 2 + (not is_tied) + layers * 11


@pytest.mark.parametrize(("settings", "head", "kv_heads", "names"), [
    ({}, 128, 32, {"output.weight"}),                                                           # Llama 1 and 2
    (dict(head_dim=None, num_key_value_heads=None, rope_scaling=None), 128, 32, {"output.weight"}),
    (dict(num_key_value_heads=8, rope_scaling=LLAMA3), 128, 8, {"output.weight", "rope_freqs.weight"}),     # 3.1 8B
    (dict(hidden_size=2048, num_hidden_layers=16, num_key_value_heads=8, head_dim=64, rope_scaling=LLAMA3,
          tie_word_embeddings=True), 64, 8, {"rope_freqs.weight"}),                                         # 3.2 1B
])
def test_published_llama_sizes(settings: dict[str, Any], head: int, kv_heads: int, names: set[str]):
    keys = FAMILIES["llama"].metadata(settings)
    assert keys["llama.rope.dimension_count"] == keys["llama.attention.key_length"] == head
    assert keys["llama.attention.head_count_kv"] == kv_heads and keys["llama.vocab_size"] == 32_000
    found = {t.name for t in FAMILIES["llama"].tensors(settings, frozenset())}
    assert found & {"output.weight", "rope_freqs.weight"} == names


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
    (lambda b: configure(b, tie_word_embeddings=False), "lacks the tensor lm_head.weight"),
])
def test_a_base_that_can_not_be_exported_is_refused_before_work(tmp_path: Path, gemma3: Path, spoil: Any, text: str):
    base = shutil.copytree(gemma3, tmp_path / "base")
    spoil(base)
    with pytest.raises(UserError, match=text):
        MergedModel(base, [], "x")


@pytest.mark.parametrize(("spoil", "text"), [
    (lambda b: (b / "preprocessor_config.json").unlink(), "image_mean of preprocessor_config.json is None"),
    (lambda b: (b / "preprocessor_config.json").write_text('{"image_mean": [0.5, "x", 0]}'), "how pictures are prep"),
    (lambda b: configure(b, mm_tokens_per_image=9), r"9 tokens of a picture of 8 x 8 patches"),
    (lambda b: configure(b, vision_config=vision(b, hidden_act="relu")), "hidden_act = 'relu'"),
    (lambda b: configure(b, vision_config=vision(b, model_type="clip_vision_model")), "clip_vision_model"),
    (lambda b: configure(b, vision_config=vision(b, num_hidden_layers=3)), "lacks the tensor vision_tower"),
    (lambda b: configure(b, vision_config=vision(b, patch_size="x")), "patch_size = 'x'"),
])
def test_a_vision_tower_that_can_not_be_exported_is_refused_before_work(tmp_path: Path, seeing: Path, spoil: Any,
                                                                        text: str):
    base = shutil.copytree(seeing, tmp_path / "base")
    spoil(base)
    with pytest.raises(UserError, match=text):
        MergedModel(base, [], "x")


def vision(base: Path, **values: Any) -> dict[str, Any]:
    return json.loads((base / "config.json").read_text())["vision_config"] | values
