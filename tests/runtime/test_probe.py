"""llama.cpp on a real pretrained model: equal to transformers, cancellable, prefix reuse that changes nothing."""

import numpy as np
import pytest

from models.errors import UserError
from runtime.config import LoadConfig, SampleConfig
from runtime.llama import Model
from runtime.reference import Reference

STORY = "Once upon a time"


@pytest.fixture(scope="module")
def stories(shared_data):
    return shared_data / "models" / "stories260K"


@pytest.fixture(scope="module")
def model(stories):
    model = Model(stories / "stories260K-f32.gguf", LoadConfig(exact=True, threads=1))
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
    longer = ids + model.generate(ids, 200)[0]
    ours, theirs = model.logits(longer), reference.logits(longer)
    assert ours.shape == theirs.shape == (len(longer), model.n_vocab)
    assert np.abs(ours - theirs).max() < 2e-3
    assert (ours.argmax(-1) == theirs.argmax(-1)).all()
    assert np.allclose(model.logprobs(longer, 3), reference.logprobs(longer, 3), atol=1e-3)
    assert reference.generate(ids, 40, {2})[0] == model.generate(ids, 40)[0]


def test_a_reused_prefix_changes_nothing(model, ids):
    longer = ids + model.generate(ids, 100)[0]
    whole = model.logits(longer)[-1]
    for cached in (longer[:50], longer[:3] + [9, 9, 9], longer + [5, 6], longer):
        model.prefill(cached)
        reused = model.prefill(longer)
        assert 1 <= reused < len(longer)
        token = next(model.sample(longer, SampleConfig(temperature=0.0)))
        assert token == whole.argmax()


def test_the_same_seed_gives_the_same_text_and_another_does_not(model, ids):
    def drawn(seed):
        model.prefill(ids)
        return list(model.sample(ids, SampleConfig(temperature=1.0, seed=seed, max_tokens=30)))
    assert drawn(1) == drawn(1) != drawn(2)


def test_a_cancel_ends_before_the_next_token(model, ids):
    model.prefill(ids)
    made: list[int] = []
    tokens = model.sample(ids, SampleConfig(temperature=0.0, max_tokens=50), lambda: len(made) >= 3)
    with pytest.raises(StopIteration) as end:
        while True:
            made.append(next(tokens))
    assert len(made) == 3 and end.value.value == "cancelled"


def test_a_full_context_ends_the_answer_and_a_longer_prompt_is_refused(stories):
    small = Model(stories / "stories260K-f32.gguf", LoadConfig(ctx_tokens=256, threads=1))
    ids = [1] * 250
    made, reason = small.generate(ids, 100)
    assert reason == "length" and len(ids) + len(made) <= 257
    with pytest.raises(UserError, match="256"):
        small.prefill([1] * 256)
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
        Model(path)
