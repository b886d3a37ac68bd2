"""The estimate of a model's memory: held against a real worker's after a prompt that fills its context."""

import contextlib
import json
import shutil
import subprocess
import sys
from dataclasses import replace

import gguf
import numpy as np
import psutil
import pytest

from bench.random_gemma import TOKENIZER, shape
from convert.blank import Blank
from convert.families.gemma3 import FAMILY
from convert.gguf import layout
from convert.vocab import read_vocab
from models import runs
from models.errors import UserError
from models.header import Tensor, read_header
from runtime import estimate
from runtime.config import LoadConfig, SampleConfig
from runtime.device import Device
from runtime.estimate import Survey, read_context, survey, weights_by_place
from runtime.session import Session

MB = 10**6
GPU = Device(name="CUDA0", description="a GPU", kind="gpu", backend="CUDA", free_mb=8000, total_mb=8000)
WITH_GPU = Survey(version="1", backends=("CUDA", "CPU"), devices=(GPU,))
SHAPE = dict(vocab_size=262_144, hidden_size=1152, intermediate_size=6912, num_hidden_layers=26,
             num_attention_heads=4, num_key_value_heads=1, head_dim=256, max_position_embeddings=32_768,
             rms_norm_eps=1e-6, sliding_window=512, query_pre_attn_scalar=256, rope_theta=1e6,
             rope_local_base_freq=1e4)                      # Gemma 3 1B


@pytest.fixture(scope="module")
def large_gguf(shared_data, tmp_path_factory):
    """A file of Gemma 3 1B's shape and vocabulary, with the types of a Q4_K_M and random bytes for weights."""
    folder = tmp_path_factory.mktemp("large")
    shutil.copyfile(shared_data / "models/gemma-vocab/gemma3-shaped.tokenizer.model", folder / "tokenizer.model")
    names = dict(bos_token="<bos>", eos_token="<eos>", unk_token="<unk>", pad_token="<pad>")
    (folder / "tokenizer_config.json").write_text(json.dumps(names))
    vocab = read_vocab(folder, SHAPE["vocab_size"])
    path = folder / "large.gguf"
    writer = gguf.GGUFWriter(path, FAMILY.architecture)
    for key, value in FAMILY.metadata(SHAPE).items():
        {int: writer.add_uint32, float: writer.add_float32, str: writer.add_string}[type(value)](key, value)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(vocab.tokens)
    writer.add_token_scores(vocab.scores)
    writer.add_token_types(vocab.types)
    tensors = [(tensor, random_weights(tensor)) for tensor in FAMILY.tensors(SHAPE)]
    for tensor, values in tensors:
        writer.add_tensor(tensor.name, values[0], raw_dtype=values[1])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    yield path
    path.unlink()


def random_weights(tensor):
    """Blocks with a small scale and random numbers: Q4_K where rows are divisible by 256, else Q8_0; norms are ones."""
    types = gguf.GGMLQuantizationType
    if len(tensor.shape) == 1:
        return np.ones(tensor.shape, np.float32), types.F32
    rows, width = tensor.shape
    kind, size, block, scales = (types.Q4_K, 144, 256, 2) if width % 256 == 0 else (types.Q8_0, 34, 32, 1)
    blocks = np.random.default_rng(0).integers(0, 256, (rows, width // block, size), np.uint8)
    blocks[:, :, :2 * scales] = np.frombuffer(np.full(scales, 1e-4, np.float16).tobytes(), np.uint8)
    return blocks.reshape(rows, -1), kind


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says which pages of a mapped file are resident")
@pytest.mark.parametrize(("name", "ctx_tokens", "allowed_mb"), [
    ("demo_gguf", 2048, 20), ("demo_gguf", 512, 20), ("large_gguf", 512, 60),
])
def test_the_estimate_is_what_a_worker_takes_after_a_full_context(request, name, ctx_tokens, allowed_mb):
    path = request.getfixturevalue(name)
    config = LoadConfig(ctx_tokens=ctx_tokens, threads=2, slots=1)
    session = Session()
    session.load(path, config)
    with contextlib.closing(session):
        prompt = [5 + k * 7 % 200 for k in range(ctx_tokens - 2)]
        list(session.complete(prompt, SampleConfig(max_tokens=1, temperature=0.0)))
        private, mapped = worker_bytes(session.pid, path)
    found = survey(path, config, [ctx_tokens]).estimates[0]
    assert found.worker_bytes == pytest.approx(private + mapped, abs=allowed_mb * MB)
    assert mapped > 0.9 * path.stat().st_size - 20 * MB


def worker_bytes(pid, path):
    """(private memory but for the file, resident pages of the mapped file)."""
    maps = psutil.Process(pid).memory_maps(grouped=False)
    others = [one for one in maps if one.path != str(path)]
    return sum(one.private_clean + one.private_dirty for one in others), sum(one.rss for one in maps) - sum(
        one.rss for one in others)


def test_the_cache_is_what_its_cells_hold_and_grows_with_them(demo_gguf):
    config = LoadConfig(slots=1)
    found = survey(demo_gguf, config, [512, 1024, 4096]).estimates
    header = read_header(demo_gguf)
    width = header.metadata["gemma3.attention.key_length"] + header.metadata["gemma3.attention.value_length"]
    cell = header.metadata["gemma3.block_count"] * header.metadata["gemma3.attention.head_count_kv"] * width * 2
    assert [one.cells for one in found] == [one.ctx_tokens for one in found] == [512, 1024, 4096]
    assert [one.cache["CPU"] for one in found] == pytest.approx([one.cells * cell for one in found], rel=0.002)
    assert found[0].weights["CPU"] == pytest.approx(sum(t.bytes for t in header.tensors), rel=0.002)
    assert found[0].compute["CPU"] < found[2].compute["CPU"] and found[0].process_bytes > 10 * MB
    exact = survey(demo_gguf, LoadConfig(slots=1, exact=True), [512]).estimates[0]
    assert exact.cache["CPU"] == pytest.approx(2 * found[0].cache["CPU"], rel=0.002)
    assert survey(demo_gguf, LoadConfig(slots=8), [512]).estimates[0].cells > 512
    small = survey(demo_gguf, LoadConfig(slots=1, batch_tokens=64), [4096]).estimates[0]
    assert small.compute["CPU"] < found[2].compute["CPU"]


def test_the_library_says_what_it_was_built_for():
    found = estimate.library()
    assert "CPU" in found.backends and found.version == "0.3.36" and found.layers == 0
    cpu = next(device for device in found.devices if device.kind == "cpu")
    assert cpu.name == "CPU" == cpu.backend and 0 < cpu.free_mb < cpu.total_mb and cpu.description


def test_a_survey_survives_being_written_down(demo_gguf):
    found = survey(demo_gguf, LoadConfig(), [512])
    assert found.layers == found.layers_on["CPU"] == 9
    assert estimate.from_json(json.loads(json.dumps(estimate.asdict(found)))) == found


@pytest.mark.parametrize(("name", "config", "words"), [
    ("missing.gguf", LoadConfig(), "There is no file"),
    ("notes.gguf", LoadConfig(), "notes.gguf is no GGUF model"),
    ("unknown.gguf", LoadConfig(), "llama.cpp can not load unknown.gguf: .*unknown model architecture: 'gemma9'"),
    ("whole.gguf", LoadConfig(device="CUDA7"), "no device 'CUDA7' here"),
])
def test_a_file_that_can_not_be_asked_about_is_refused(tmp_path, demo_gguf, name, config, words):
    whole = demo_gguf.read_bytes()
    (tmp_path / "whole.gguf").write_bytes(whole)
    (tmp_path / "notes.gguf").write_text("These are notes, and no model at all.")
    (tmp_path / "unknown.gguf").write_bytes(whole.replace(b"gemma3", b"gemma9"))
    with pytest.raises(UserError, match=words):
        survey(tmp_path / name, config, [512])


def test_a_bug_in_the_child_is_no_fault_of_the_file(demo_gguf):
    with pytest.raises(RuntimeError, match="Traceback"):
        survey(demo_gguf, LoadConfig(), ["many"])


def test_the_child_says_nothing_but_its_answer(demo_gguf):
    request = json.dumps(dict(path=str(demo_gguf), config={}, contexts=[512]))
    child = subprocess.run([sys.executable, "-m", "runtime.estimate"], input=request, cwd=runs.ROOT, text=True,
                           capture_output=True, check=True)
    assert json.loads(child.stdout)["layers"] == 9 and child.stderr == ""


SAID = """
llama_context:  CUDA_Host  output buffer size =    16.00 MiB
llama_kv_cache: layer   0: filtered
llama_kv_cache: layer   5: dev = CPU
llama_kv_cache: layer  11: dev = CUDA0
llama_kv_cache:        CPU KV buffer size =     0.00 MiB
llama_kv_cache:      CUDA0 KV buffer size =     0.00 MiB
llama_kv_cache: size =   32.00 MiB (  8192 cells,   2 layers, 16/1 seqs), K (f16):   16.00 MiB, V (f16):   16.00 MiB
llama_kv_cache: layer   0: dev = CPU
llama_kv_cache: layer   1: dev = CUDA0
llama_kv_cache: layer   2: dev = CUDA0
llama_kv_cache: layer   3: dev = CUDA0
llama_kv_cache: size =  176.00 MiB (  8192 cells,   4 layers, 16/1 seqs), K (f16):   88.00 MiB, V (f16):   88.00 MiB
llama_memory_recurrent:      CUDA0 RS buffer size =     2.00 MiB
sched_reserve:      CUDA0 compute buffer size =   514.00 MiB
sched_reserve:  CUDA_Host compute buffer size =    20.00 MiB
""".strip().splitlines()


def test_what_is_said_of_a_gpu_is_counted_there():
    found = read_context(SAID, WITH_GPU)
    assert found["cache"] == {"CPU": (16 + 44) << 20, "CUDA0": (16 + 132 + 2) << 20}
    assert found["compute"] == {"CPU": 36 << 20, "CUDA0": 514 << 20}


@pytest.mark.parametrize(("has_output", "places", "expected"), [
    (False, {0: "CPU", 1: "CPU", 2: "CPU"}, {"CPU": 1111}),
    (False, {0: "CUDA0", 1: "CUDA0", 2: "CUDA0"}, {"CPU": 1000, "CUDA0": 1111}),         # a tied output is copied
    (False, {0: "CPU", 1: "CUDA0", 2: "CUDA0"}, {"CPU": 1001, "CUDA0": 1110}),
    (True, {0: "CPU", 1: "CUDA0", 2: "CUDA0"}, {"CPU": 1001, "CUDA0": 2110}),
])
def test_weights_lie_where_their_layers_do(has_output, places, expected):
    sizes = {"token_embd.weight": 1000, "blk.0.attn_q.weight": 1, "blk.1.attn_q.weight": 10, "output_norm.weight": 100}
    if has_output:
        sizes["output.weight"] = 2000
    tensors = [Tensor(name=name, shape=(size,), type_name="F32", offset=0, bytes=size) for name, size in sizes.items()]
    assert weights_by_place(tensors, places) == expected


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a file of holes takes the room that it claims")
def test_a_model_that_the_system_would_never_give_memory_for_keeps_its_size(shared_data, tmp_path):
    """llama.cpp then prints no size of its weights: they must not count as nothing."""
    wide = {**SHAPE, "hidden_size": 8192, "intermediate_size": 1 << 21, "num_hidden_layers": 4}
    plan = replace(shape(TOKENIZER), metadata=FAMILY.metadata(wide), tensors=FAMILY.tensors(wide))
    file = layout(plan, "BF16")
    path = tmp_path / "huge.gguf"
    with Blank(path, file.bytes, is_hole=True) as hole:
        hole.write(0, file.header)
    found = survey(path, LoadConfig(threads=1), [512]).estimates[0]
    assert found.weights["CPU"] == pytest.approx(file.bytes, rel=0.01) and file.bytes > 400 * 10**9
