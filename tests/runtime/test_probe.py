"""llama.cpp on a real pretrained model: equal to transformers, the known text, clear refusals."""

import numpy as np
import pytest

from models.errors import UserError
from runtime.config import LoadConfig
from runtime.probe import Probe
from runtime.reference import Reference
from tests.runtime.odd_models import write_mamba

STORY = "Once upon a time"


@pytest.fixture(scope="module")
def stories(shared_data):
    return shared_data / "models" / "stories260K"


@pytest.fixture(scope="module")
def model(stories):
    model = Probe(stories / "stories260K-f32.gguf", LoadConfig(exact=True, threads=1))
    yield model
    model.close()


@pytest.fixture(scope="module")
def ids(model):
    return [1, *model.encode(STORY, control=False)]


def test_the_known_text(model, ids):
    made, reason = model.generate(ids, 28)
    text = b"".join(map(model.piece, made)).decode()
    assert text.startswith(", there was a little girl named Lily. She loved to play outside in the park.")
    assert reason == "length" and len(made) == 28


def test_logits_and_scores_equal_transformers(stories, model, ids):
    reference = Reference(stories / "hf")
    longer = ids + model.generate(ids, 400)[0]          # more rows than one batch may ask for
    ours, theirs = model.logits(longer), reference.logits(longer)
    assert ours.shape == theirs.shape == (len(longer), model.n_vocab)
    assert np.abs(ours - theirs).max() < 2e-3
    assert (ours.argmax(-1) == theirs.argmax(-1)).all()
    assert np.allclose(model.logprobs(longer, 3), reference.logprobs(longer, 3), atol=1e-3)
    assert reference.generate(ids, 40, {2})[0] == model.generate(ids, 40)[0]


def test_a_full_context_ends_the_answer_and_a_longer_prompt_is_refused(stories):
    small = Probe(stories / "stories260K-f32.gguf", LoadConfig(ctx_tokens=256, threads=1))
    ids = [1] * 250
    made, reason = small.generate(ids, 100)
    assert reason == "length" and len(ids) + len(made) == 257           # the last one needs no room
    with pytest.raises(UserError, match="256"):
        small.logits([1] * 257)
    small.close()


def test_an_unknown_architecture_gets_a_sentence(tmp_path):
    import gguf
    path = tmp_path / "odd.gguf"
    writer = gguf.GGUFWriter(path, "no-such-architecture")
    writer.add_tensor("token_embd.weight", np.ones((8, 32), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(UserError, match=r"can not load odd\.gguf.*no-such-architecture"):
        Probe(path)


def test_a_device_that_is_not_here_gets_a_sentence(stories):
    with pytest.raises(UserError, match="no device 'CUDA7'"):
        Probe(stories / "stories260K-f32.gguf", LoadConfig(device="CUDA7"))
    forced = Probe(stories / "stories260K-f32.gguf", LoadConfig(device="cpu", threads=1))
    assert forced.generate([1], 3)[0]
    forced.close()


def test_a_model_whose_state_can_not_be_cut_back_is_refused(tmp_path, demo_gguf):
    write_mamba(tmp_path / "state.gguf", demo_gguf)
    with pytest.raises(UserError, match="is a mamba model.*attention only"):
        Probe(tmp_path / "state.gguf")
