"""Embeddings from a model that was made for them: equal to transformers; others refuse."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers

from convert.model import MergedModel
from convert.stream import write_all
from models.errors import UserError
from runtime.config import LoadConfig
from runtime.session import Session
from tests.runtime.odd_models import CLS, SEP, write_bert

MEAN_POOLING = 1
TEXTS = ["Asthma makes breathing hard.", "lungs", "What are the symptoms of a cold? " * 12, "é 🫁\n\tDose: 5 mg"]


@pytest.fixture(scope="module")
def embedding_gguf(window_base, tmp_path_factory):
    """The random Gemma 3 as llama.cpp's bidirectional embedding architecture."""
    model = MergedModel(window_base, [], "embedder")
    keys = {key.replace("gemma3.", "gemma-embedding."): value for key, value in model.plan.metadata.items()}
    plan = dataclasses.replace(model.plan, architecture="gemma-embedding",
                               metadata={**keys, "gemma-embedding.pooling_type": MEAN_POOLING})
    path = tmp_path_factory.mktemp("embedding") / "embedder.gguf"
    write_all(SimpleNamespace(plan=plan, rows=model.rows), {"F32": path}, threads=1)
    return path


@pytest.fixture(scope="module")
def session(embedding_gguf):
    session = Session()
    session.load(embedding_gguf, LoadConfig(exact=True, threads=1))
    yield session
    session.close()


def test_vectors_equal_transformers_and_have_length_one(session, window_base):
    config = transformers.AutoConfig.from_pretrained(window_base)
    config.use_bidirectional_attention = True
    config.sliding_window = config.sliding_window // 2 + 1      # as that setting does when a config is made
    model = transformers.AutoModel.from_pretrained(window_base, config=config, dtype=torch.float32,
                                                   attn_implementation="eager").eval()
    for text, found in zip(TEXTS, session.embed(TEXTS), strict=True):
        with torch.inference_mode():
            hidden = model(input_ids=torch.tensor([[2, *session.encode(text)]])).last_hidden_state[0]
        wanted = hidden.mean(0).numpy()
        assert np.allclose(found, wanted / np.linalg.norm(wanted), atol=1e-3), text
        assert abs(np.linalg.norm(found) - 1) < 1e-5
    assert len(session.encode(TEXTS[2])) > 64                   # past the window


def test_the_same_text_gives_the_same_vector_in_any_company(session):
    assert session.embed([TEXTS[0]])[0] == session.embed(TEXTS)[0] == session.embed(TEXTS[::-1])[3]


def test_it_says_what_it_can(session):
    assert session.info.can_embed and not session.info.can_chat
    with pytest.raises(UserError, match="no chat template"):
        session.chat([{"role": "user", "content": "Hi"}])


def test_bad_texts_get_a_sentence_and_the_worker_lives(session):
    pid = session.pid
    for texts, words in (([""], "a text is empty"), (["word " * 5000], "tokens long and 1,024 can be embedded")):
        with pytest.raises(UserError, match=words):
            session.embed(texts)
    with pytest.raises(UserError, match="made for embeddings; it writes no text"):
        list(session.complete([2, 5]))
    assert session.embed(["lungs"]) and session.pid == pid
    assert session.embed([]) == []


def test_a_generative_model_offers_none(demo_gguf):
    session = Session()
    session.load(demo_gguf, LoadConfig(threads=1))
    with pytest.raises(UserError, match="offers no embeddings"):
        session.embed(["lungs"])
    session.close()


def test_a_bert_reads_its_texts_between_cls_and_sep(tmp_path):
    model, session = write_bert(tmp_path / "bert.gguf"), Session()
    session.load(tmp_path / "bert.gguf", LoadConfig(exact=True, threads=1))
    for text in ("lung", "a lung.", "asthma"):
        with torch.inference_mode():
            hidden = model(input_ids=torch.tensor([[CLS, *session.encode(text), SEP]])).last_hidden_state[0]
        wanted = hidden.mean(0).numpy()
        assert np.allclose(session.embed([text])[0], wanted / np.linalg.norm(wanted), atol=1e-3), text
    session.close()
