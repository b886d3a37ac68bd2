"""What fits: the longest context, the layers on the GPU and the batch that the free memory holds, and the sentence."""

import subprocess
import sys
from dataclasses import replace

import pytest

from models import runs
from models.errors import UserError
from runtime import fit
from runtime.config import LoadConfig
from runtime.device import Device
from runtime.estimate import Estimate, Survey
from runtime.fit import GPU_RESERVE_MB, HOST_RESERVE_MB, choose

LAYERS = 20                     # of which each takes 100 MB, 1 kB a token, and 1 MB for a prompt token while it works
GPU = Device(name="CUDA0", description="a GPU", kind="gpu", backend="CUDA", free_mb=0, total_mb=0)


class Library:
    """Surveys of a model of 2 GB: 100 MB a layer, 20 kB a token of cache, 1 MB for each token of a batch."""

    def __init__(self, gpu_mb=0, gpu=GPU):
        self.gpus = (replace(gpu, free_mb=gpu_mb + GPU_RESERVE_MB, total_mb=24_000),) if gpu_mb else ()
        self.asked = []

    def __call__(self, config, contexts):
        self.asked.append(config)
        on_gpu = min(LAYERS, config.gpu_layers if config.gpu_layers >= 0 else LAYERS) if self.gpus else 0
        share = {"CPU": LAYERS - on_gpu, "CUDA0": on_gpu}
        estimates = tuple(Estimate(
            ctx_tokens=tokens, cells=tokens, process_bytes=0, spare_bytes=10**12,
            weights={name: layers * 100 * 10**6 for name, layers in share.items()},
            cache={name: layers * 1000 * tokens for name, layers in share.items()},
            compute={"CUDA0" if on_gpu else "CPU": config.batch_tokens * 10**6}) for tokens in contexts)
        return Survey(version="1", backends=("CPU",), devices=self.gpus, layers=LAYERS, layers_on=share,
                      estimates=estimates)


def chosen(config=None, free_mb=0, gpu_mb=0, own=32_768, gpu=GPU):
    return choose(config or LoadConfig(), own, free_mb + HOST_RESERVE_MB, Library(gpu_mb, gpu))


# Everything on the machine: 2,000 MB + 512 MB for the batch + 0.02 MB a token.
@pytest.mark.parametrize(("free_mb", "ctx_tokens", "batch", "sentence"), [
    (2_676, 8192, 512, "fits"),
    (2_675, 6144, 512, "fits with 6,144 tokens of context"),
    (2_594, 4096, 512, "fits with 4,096 tokens of context"),
    (2_523, 512, 512, "fits with 512 tokens of context"),
    (2_522, 8192, 128, "fits"),
    (2_139, 512, 128, "fits with 512 tokens of context"),
    (2_138, 512, 128, "needs 1 MB more"),
    (1_600, 512, 512, "needs 923 MB more"),
    (0, 512, 512, "needs 2.5 GB more"),
])
def test_the_longest_context_that_fits_is_chosen(free_mb, ctx_tokens, batch, sentence):
    found = chosen(free_mb=free_mb)
    assert (found.config.ctx_tokens, found.config.batch_tokens, found.sentence) == (ctx_tokens, batch, sentence)
    assert found.is_fitting == sentence.startswith("fits")


def test_a_model_is_not_given_more_context_than_it_was_made_for():
    assert chosen(free_mb=9000, own=300).config.ctx_tokens == 300
    assert chosen(free_mb=9000, own=5000).config.ctx_tokens == 5000


def test_what_is_named_is_kept():
    asked = LoadConfig(ctx_tokens=16_384, batch_tokens=64, threads=3, exact=True)
    assert chosen(asked, free_mb=9000).config == asked
    short = chosen(asked, free_mb=2300)
    assert short.config == asked and short.sentence == "needs 92 MB more"
    assert chosen(LoadConfig(gpu_layers=5), free_mb=9000, gpu_mb=9000).gpu_layers == 5
    assert not chosen(LoadConfig(gpu_layers=20), free_mb=9000, gpu_mb=1000).is_fitting


# On the GPU: 100 MB a layer, 512 MB for the batch, 4.1 MB a layer for 4,096 tokens.
@pytest.mark.parametrize(("gpu_mb", "free_mb", "ctx_tokens", "layers", "words"), [
    (3000, 100, 8192, 20, "fits"),
    (2640, 100, 6144, 20, "fits with 6,144 tokens of context"),
    (2600, 9000, 4096, 20, "fits with 4,096 tokens of context"),
    (2590, 9000, 4096, 19, "fits with 4,096 tokens of context, 19 of 20 layers on the GPU"),
    (1200, 9000, 4096, 6, "fits with 4,096 tokens of context, 6 of 20 layers on the GPU"),
    (400, 9000, 4096, 0, "fits with 4,096 tokens of context"),
    (1200, 1450, 3072, 6, "fits with 3,072 tokens of context, 6 of 20 layers on the GPU"),
])
def test_as_many_layers_as_fit_lie_on_the_gpu(gpu_mb, free_mb, ctx_tokens, layers, words):
    found = chosen(free_mb=free_mb, gpu_mb=gpu_mb)
    assert (found.config.ctx_tokens, found.gpu_layers, found.sentence) == (ctx_tokens, layers, words)
    assert found.config.gpu_layers in (layers, -1)


def test_what_neither_gpu_nor_machine_hold_is_said():
    assert chosen(free_mb=500, gpu_mb=1200).sentence == "needs 908 MB more"
    assert chosen(free_mb=500, gpu_mb=100).sentence == "needs 2.0 GB more"
    assert chosen(free_mb=0).missing_bytes - chosen(free_mb=100).missing_bytes == 100 * 10**6


def test_few_questions_are_asked():
    library = Library(gpu_mb=1200)
    choose(LoadConfig(), 32_768, 9000, library)
    assert len(library.asked) == 2


@pytest.mark.parametrize("gpu", [replace(GPU, kind="igpu", backend="Vulkan"), replace(GPU, backend="MTL")])
def test_a_gpu_without_memory_of_its_own_takes_the_machines(gpu):
    assert chosen(free_mb=2800, gpu_mb=9000, gpu=gpu).sentence == "fits"
    assert chosen(free_mb=1000, gpu_mb=9000, gpu=gpu).sentence == "needs 1.5 GB more"


def test_the_embedded_model_fits_here_and_the_answer_is_kept(demo_gguf, galen_home):
    found = fit.fit(demo_gguf, LoadConfig())
    assert found.sentence == "fits" and found.config.threads == 1 and found.config.ctx_tokens == 2048
    kept = list((galen_home / "cache").glob("estimate-*.json"))
    assert len(kept) == 1
    kept[0].write_text(kept[0].read_text().replace('"layers": 9', '"layers": 123'))
    assert fit.fit(demo_gguf, LoadConfig(threads=2)).layers == 123                     # read, not asked again
    kept[0].write_text("{}")
    assert fit.fit(demo_gguf, LoadConfig()).layers == 9
    assert fit.fit(demo_gguf, LoadConfig(exact=True)).estimate.cache != found.estimate.cache


@pytest.mark.parametrize(("config", "free_mb", "words"), [
    (LoadConfig(ctx_tokens=1 << 20), 2000, r"with 1,048,576 tokens of context needs \d\.\d GB more memory than is "
                                           "free; ask for a shorter context, close other programs or choose a smaller"),
    (LoadConfig(), 260, r"with 512 tokens of context needs \d+ MB more memory than is free; close other programs"),
])
def test_what_does_not_fit_is_refused_before_loading(demo_gguf, galen_home, config, free_mb, words):
    with pytest.raises(UserError, match=words):
        fit.fitted(demo_gguf, config, free_mb)
    assert fit.fitted(demo_gguf, LoadConfig(), 2000).ctx_tokens == 2048


def test_the_process_that_asks_never_loads_the_library(galen_home):
    code = ("import sys; from models import library; from runtime import fit; from runtime.config import LoadConfig; "
            "print(fit.fit(library.demo_gguf(), LoadConfig()).sentence, 'llama_cpp' in sys.modules)")
    child = subprocess.run([sys.executable, "-c", code], cwd=runs.ROOT, capture_output=True, text=True, check=True)
    assert child.stdout.split() == ["fits", "False"]
