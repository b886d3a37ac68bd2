"""Models that do more than write text, through the official client: one that sees, one that makes vectors."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest

from tests.runtime.odd_models import write_bert
from tests.runtime.seeing import PICTURE_TOKENS, export_seeing, make_seeing, picture
from tests.ui.running import RunningApp


@pytest.fixture(scope="module")
def client(demo_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[openai.OpenAI]:
    home = tmp_path_factory.mktemp("home")
    export_seeing(make_seeing(tmp_path_factory.mktemp("base"), demo_base), home)
    write_bert(home / "vectors.gguf")
    app = RunningApp(home, None).wait_until_loaded()
    with openai.OpenAI(base_url=f"{app.url}/v1", api_key="none", max_retries=0, timeout=60) as made:
        yield made
    app.end()


def see(client: openai.OpenAI, *pictures: bytes) -> Any:
    parts = [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{base64.b64encode(one).decode()}"}}
             for one in pictures]
    return client.chat.completions.create(model="seeing", temperature=0, max_tokens=8, messages=[
        {"role": "user", "content": [{"type": "text", "text": "What is this?"}, *parts]}])


def test_a_picture_is_part_of_the_prompt(client: openai.OpenAI):
    first, other, both, none = (see(client, *shown) for shown in (
        [picture(1)], [picture(2)], [picture(1), picture(2)], []))
    assert first.choices[0].message.content != other.choices[0].message.content
    assert both.usage.prompt_tokens - first.usage.prompt_tokens >= PICTURE_TOKENS
    assert first.usage.prompt_tokens - none.usage.prompt_tokens >= PICTURE_TOKENS


@pytest.mark.parametrize("shown", [b"", b"no picture", picture(1)[:100]])
def test_what_is_no_picture_is_refused(client: openai.OpenAI, shown: bytes):
    with pytest.raises(openai.BadRequestError, match="picture"):
        see(client, shown)


def test_vectors_as_the_client_asks_for_them_and_as_numbers(client: openai.OpenAI):
    texts = ["lung", "a cold", "lung"] * 5
    packed = client.embeddings.create(model="vectors", input=texts)
    plain = client.embeddings.create(model="vectors", input=texts, encoding_format="float")
    found, wanted = (np.array([one.embedding for one in answer.data]) for answer in (packed, plain))
    assert found.shape == (15, 64) and np.allclose(found, wanted, atol=1e-6)
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert np.allclose(found[0], found[2]) and not np.allclose(found[0], found[1], atol=1e-2)
    assert packed.usage.prompt_tokens == packed.usage.total_tokens > 15


def test_a_text_that_can_not_be_embedded_is_refused(client: openai.OpenAI):
    for text, words in (("", "empty"), ("lung " * 500, "long")):
        with pytest.raises(openai.BadRequestError, match=words):
            client.embeddings.create(model="vectors", input=text)


def test_what_makes_vectors_does_not_write(client: openai.OpenAI):
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="vectors", messages=[{"role": "user", "content": "hello"}])
    with pytest.raises(openai.BadRequestError):
        client.completions.create(model="vectors", prompt="hello")
