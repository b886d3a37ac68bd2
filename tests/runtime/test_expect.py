"""What is said of a model beforehand: held against llama.cpp's own figures, in the shapes of real Gemmas."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from bench.random_gemma import TOKENIZER, shape
from convert.blank import Blank
from convert.quantize import layouts
from models.catalog import find
from models.header import Tensor, read_header
from runtime.bandwidth import MEASURED, Bandwidth
from runtime.config import LoadConfig
from runtime.estimate import HOST, survey
from runtime.expect import READING_SHARE, of_entry, of_header
from runtime.pool import cache_bytes_per_token

BANDWIDTH = Bandwidth(gb_s=30.0, by_type=dict.fromkeys(MEASURED, 20.0), step_us=1.0, one_gb_s=10.0,
                      one_step_us=0.3, threads=2, machine=(), measured_at=1.0)
GB = 10**9


@pytest.fixture(scope="module")
def four_billion(shared_data, tmp_path_factory):
    """A file as large as Gemma 3 4B in Q4_K_M, all of its weights a hole that takes no room."""
    folder = tmp_path_factory.mktemp("hole")
    file = layouts(shape(TOKENIZER, "4b"), ["Q4_K_M"], folder)["Q4_K_M"]
    path = folder / "random-4b-Q4_K_M.gguf"
    with Blank(path, file.bytes, is_hole=True) as hole:
        hole.write(0, file.header)
    yield path
    path.unlink()


@pytest.mark.parametrize(("name", "tokens"), [("demo_gguf", 2048), ("four_billion", 8192), ("four_billion", 512)])
def test_the_memory_is_what_llama_cpp_says_of_the_file(request, name, tokens):
    path = request.getfixturevalue(name)
    said = survey(path, LoadConfig(threads=1), [tokens]).estimates[0].bytes_on(HOST)
    assert of_header(read_header(path)).memory_bytes(tokens) == pytest.approx(said, rel=0.03)


def test_a_file_that_is_not_here_is_reckoned_as_the_same_one_that_is(four_billion):
    header = read_header(four_billion)
    here = of_header(header)
    before = replace(of_entry(find("gemma-3-4b-it"), header.bytes, "Q4_K_M"), projector_bytes=0)
    assert before.memory_bytes(8192) == pytest.approx(here.memory_bytes(8192), rel=0.01)
    assert before.tokens_per_s(BANDWIDTH) == pytest.approx(here.tokens_per_s(BANDWIDTH), rel=0.02)
    assert before.cache_bytes == here.cache_bytes == 34 * 4 * 512 * 2


def test_the_eyes_of_a_model_take_memory_and_no_time():
    entry = find("gemma-3-4b-it")
    usual, given = of_entry(entry, 2 * GB, "Q4_K_M"), of_entry(entry, 2 * GB, "Q4_K_M", projector_bytes=GB)
    assert 0.8 * GB < usual.projector_bytes < 0.9 * GB and given.projector_bytes == GB
    assert given.memory_bytes(4096) - usual.memory_bytes(4096) == GB - usual.projector_bytes
    assert given.tokens_per_s(BANDWIDTH) == usual.tokens_per_s(BANDWIDTH)
    assert of_entry(find("gemma-3-1b-it"), GB, "Q8_0").projector_bytes == 0


def test_the_speed_follows_from_what_is_read_and_how_fast():
    one = of_entry(find("gemma-3-1b-it"), GB, "Q8_0")
    seconds = 1 / one.tokens_per_s(BANDWIDTH)
    assert 1 / 20 / READING_SHARE < seconds < 1.1 / 20 / READING_SHARE
    faster = replace(BANDWIDTH, by_type={**BANDWIDTH.by_type, "Q8_0": 40.0})
    assert seconds - 1 / one.tokens_per_s(faster) == pytest.approx(1 / 40 / READING_SHARE)
    assert of_entry(find("gemma-3-1b-it"), GB, "Q4_K_M").tokens_per_s(faster) < one.tokens_per_s(faster)


def test_a_small_model_is_bound_by_its_steps(demo_gguf):
    small = of_header(read_header(demo_gguf))
    slow = replace(BANDWIDTH, step_us=10.0, one_step_us=10.0)
    assert small.tokens_per_s(slow) < 0.5 * small.tokens_per_s(BANDWIDTH)
    assert small.tokens_per_s(replace(BANDWIDTH, step_us=10.0)) == small.tokens_per_s(BANDWIDTH)     # one thread
    large = of_entry(find("gemma-3-4b-it"), 2 * GB, "Q4_K_M")
    assert large.tokens_per_s(slow) > 0.8 * large.tokens_per_s(BANDWIDTH)


def test_embeddings_of_single_layers_are_not_read():
    entry = find("gemma-3n-e2b-it")
    read = sum(of_entry(entry, 3 * GB, "Q4_K_M").read_bytes.values())
    assert read == pytest.approx(entry.parameters_active * 5 / 8)
    assert sum(of_entry(find("gemma-3-4b-it"), 3 * GB, "Q4_K_M").read_bytes.values()) == 3 * GB


def test_an_unknown_type_and_an_unknown_cache_are_taken_on_the_safe_side():
    entry = find("gemma-3-4b-it")
    unknown = of_entry(replace(entry, cache_bytes=0), 2 * GB, "")
    assert unknown.cache_bytes >= entry.cache_bytes and unknown.tokens_per_s(BANDWIDTH) > 0
    for kind in ("IQ4_XS", "Q2_K", "BF16", "UD-Q4_K_XL", "MXFP4"):
        assert of_entry(entry, 2 * GB, kind).tokens_per_s(BANDWIDTH) > 0


def tensor(name, count, kind="Q8_0"):
    return Tensor(name=name, shape=(256, 1000), type_name=kind, offset=0, bytes=count)


def header_of(*tensors, architecture="gemma3", **keys):
    metadata = {f"{architecture}.{key.replace('__', '.')}": value for key, value in keys.items()}
    return SimpleNamespace(architecture=architecture, metadata=metadata, tensors=tensors, parameters=10**9)


def test_only_what_a_token_needs_is_counted():
    embedding, other = tensor("token_embd.weight", 500), tensor("blk.0.ffn_up.weight", 100, "Q4_K")
    assert of_header(header_of(embedding, other)).read_bytes == {"Q8_0": 500, "Q4_K": 100}       # it is the output too
    assert of_header(header_of(embedding, other, tensor("output.weight", 70))).read_bytes == {"Q8_0": 70, "Q4_K": 100}
    rows = tensor("per_layer_token_embd.weight", 9000)
    assert of_header(header_of(embedding, rows)).read_bytes == {"Q8_0": 500}
    experts = header_of(tensor("blk.0.ffn_up_exps.weight", 800), other, expert_count=8, expert_used_count=2)
    assert of_header(experts).read_bytes == {"Q8_0": 200, "Q4_K": 100}


@pytest.mark.parametrize(("layers", "shared", "heads", "every", "bytes_a_token"), [
    (35, 20, 1, 5, 18_432),     # Gemma 4 E2B
    (42, 18, 2, 6, 57_344),     # Gemma 4 E4B
])
def test_shared_layers_and_narrow_heads_of_gemma_4_keep_less(layers, shared, heads, every, bytes_a_token):
    window = [bool((k + 1) % every) for k in range(layers)]
    keys = dict(block_count=layers, attention__head_count=8, attention__head_count_kv=heads, embedding_length=2048,
                attention__key_length=512, attention__value_length=512, attention__key_length_swa=256,
                attention__value_length_swa=256, attention__shared_kv_layers=shared,
                attention__sliding_window_pattern=window)
    assert cache_bytes_per_token(header_of(architecture="gemma4", **keys)) == bytes_a_token


@pytest.mark.parametrize("keys", [
    {}, {"block_count": "many"}, {"block_count": 3}, {"block_count": 3, "attention__head_count": 0},
    {"block_count": 3, "attention__head_count": "x", "embedding_length": 64},
])
def test_a_header_that_does_not_say_has_no_cache_to_reckon(keys):
    assert cache_bytes_per_token(header_of(**keys)) == 0
