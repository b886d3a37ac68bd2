"""The official clients, and bare HTTP, against a running Galen with the embedded model."""

import json
import math
import socket
import time
from collections.abc import Iterator
from typing import Any

import langchain_openai
import openai
import psutil
import pydantic
import pytest

from tests.ui.fakes import wait_for
from tests.ui.running import RunningApp

ASTHMA = [{"role": "user", "content": "What is asthma?"}]
DOSES = {"type": "object", "required": ["drug", "mg"], "additionalProperties": False, "properties": {
    "drug": {"enum": ["aspirin", "ibuprofen"]}, "mg": {"type": "integer", "minimum": 1, "maximum": 999}}}
ENDLESS = {"type": "json_schema", "json_schema": {"name": "numbers", "schema": {
    "type": "array", "items": {"type": "integer", "minimum": 1000, "maximum": 9999}, "minItems": 400}}}


@pytest.fixture(scope="module")
def client(app: RunningApp) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{app.url}/v1", api_key="none", max_retries=0, timeout=60) as made:
        yield made


def chat(client: openai.OpenAI, **fields: Any) -> Any:
    return client.chat.completions.create(**{"model": "demo", "messages": ASTHMA, "max_tokens": 24, **fields})


def test_models(client: openai.OpenAI):
    assert client.models.list().data[0].id == "demo" == client.models.retrieve("demo").id
    with pytest.raises(openai.NotFoundError, match="There is no model 'nix'"):
        chat(client, model="nix")


def test_an_answer_and_the_same_again_with_a_seed(client: openai.OpenAI):
    first, second = (chat(client, seed=7, temperature=0.9) for _ in range(2))
    assert first.choices[0].message.content == second.choices[0].message.content != ""
    assert first.choices[0].finish_reason == "length" and first.usage.completion_tokens == 24
    assert first.usage.total_tokens == first.usage.prompt_tokens + 24
    assert first.system_fingerprint == second.system_fingerprint != ""
    greedy = [chat(client, temperature=0) for _ in range(2)]
    assert greedy[1].usage.prompt_tokens_details.cached_tokens > 0
    assert greedy[0].choices[0].message.content == greedy[1].choices[0].message.content


def test_a_stream_is_the_same_answer_in_pieces(client: openai.OpenAI):
    whole = chat(client, temperature=0)
    chunks = list(chat(client, temperature=0, stream=True, stream_options={"include_usage": True}))
    texts = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(texts) == whole.choices[0].message.content and len(texts) > 3
    assert chunks[-1].usage.completion_tokens == 24 and chunks[-2].choices[0].finish_reason == "length"


def test_stop_strings_end_the_answer(client: openai.OpenAI):
    whole = chat(client, temperature=0).choices[0].message.content
    word = whole.split()[3]
    cut = chat(client, temperature=0, stop=[word, "never"]).choices[0]
    assert cut.message.content == whole[:whole.index(word)] and cut.finish_reason == "stop"


def test_logprobs_are_of_the_tokens_of_the_text(client: openai.OpenAI):
    choice = chat(client, temperature=0, logprobs=True, top_logprobs=3).choices[0]
    tokens = choice.logprobs.content
    assert "".join(one.token for one in tokens) == choice.message.content
    for one in tokens:
        assert one.logprob == one.top_logprobs[0].logprob <= 0 and len(one.top_logprobs) == 3
        assert sum(math.exp(top.logprob) for top in one.top_logprobs) <= 1 + 1e-6
        assert bytes(one.bytes).decode() == one.token


def test_a_schema_is_kept_to(client: openai.OpenAI):
    for seed in range(3):
        answer = chat(client, seed=seed, temperature=2, max_tokens=99, response_format={
            "type": "json_schema", "json_schema": {"name": "dose", "strict": True, "schema": DOSES}})
        read = json.loads(answer.choices[0].message.content)
        assert read["drug"] in ("aspirin", "ibuprofen") and 1 <= read["mg"] <= 999
    answer = chat(client, response_format={"type": "json_object"}, max_tokens=300)
    assert answer.choices[0].message.content.startswith("{")


def test_refusals_are_the_clients_own_exceptions(client: openai.OpenAI):
    with pytest.raises(openai.BadRequestError) as refused:
        chat(client, n=2)
    assert refused.value.param == "n" and refused.value.code == "unsupported_parameter"
    with pytest.raises(openai.BadRequestError, match="context") as refused:
        chat(client, messages=[{"role": "user", "content": "asthma " * 5000}])
    assert refused.value.code == "context_length_exceeded"
    with pytest.raises(openai.BadRequestError, match="alternate"):
        chat(client, messages=ASTHMA * 2)
    with pytest.raises(openai.BadRequestError, match="offers no embeddings"):
        client.embeddings.create(model="demo", input="x")


def test_a_picture_for_a_model_that_reads_text_only_is_refused(client: openai.OpenAI):
    url = "data:image/png;base64,iVBORw0KGgo="
    with pytest.raises(openai.BadRequestError, match="reads text only"):
        chat(client, messages=[{"role": "user", "content": [
            {"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": url}}]}])


def test_text_completions(client: openai.OpenAI):
    answer = client.completions.create(model="demo", prompt=["Asthma is", "The heart"], temperature=0, logprobs=2)
    assert [choice.index for choice in answer.choices] == [0, 1] and answer.usage.completion_tokens == 32
    for choice in answer.choices:
        assert "".join(choice.logprobs.tokens) == choice.text != ""
    pieces = client.completions.create(model="demo", prompt="Asthma is", temperature=0, stream=True)
    assert "".join(piece.choices[0].text for piece in pieces) == answer.choices[0].text


def test_two_models_in_turn(client: openai.OpenAI):
    for name in ("second", "demo", "second", "demo"):
        assert chat(client, model=name, max_tokens=2).model == name


def test_langchain(app: RunningApp):
    class Dose(pydantic.BaseModel):
        """A dose."""
        drug: str = pydantic.Field(pattern="^(aspirin|ibuprofen)$")
        mg: int = pydantic.Field(ge=1, le=999)

    model = langchain_openai.ChatOpenAI(base_url=f"{app.url}/v1", api_key="none", model="demo", temperature=0,
                                        max_tokens=99, max_retries=0, timeout=60, stream_usage=True)
    said = model.invoke([("system", "Be brief."), ("user", "What is asthma?")])
    assert said.content and said.usage_metadata["output_tokens"] <= 99
    pieces = list(model.stream([("system", "Be brief."), ("user", "What is asthma?")]))
    assert "".join(piece.content for piece in pieces) == said.content and len(pieces) > 3
    dose = model.with_structured_output(Dose, method="json_schema").invoke("A dose of ibuprofen?")
    assert isinstance(dose, Dose)
    assert isinstance(model.bind(stop=["asthma"]).invoke("What is asthma?").content, str)


def post(app: RunningApp, body: dict[str, Any]) -> socket.socket:
    """A bare request, its answer yet to be read."""
    text = json.dumps(body).encode()
    port = int(app.url.rsplit(":", 1)[1])
    opened = socket.create_connection(("127.0.0.1", port), timeout=60)
    opened.sendall(f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
                   f"Connection: close\r\nContent-Length: {len(text)}\r\n\r\n".encode() + text)
    return opened


def test_events_are_sent_one_by_one_and_end_with_done(app: RunningApp):
    with app.slowed(), post(app, {"model": "demo", "messages": ASTHMA, "max_tokens": 40, "stream": True}) as opened:
        parts = []
        while part := opened.recv(1 << 16):
            parts.append(part)
    whole = b"".join(parts)
    head, _, body = whole.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200") and b"content-type: text/event-stream" in head.lower()
    assert b"data: [DONE]\n\n" in body and len(parts) > 3       # not kept back until the end


def computed_s(worker: psutil.Process) -> float:
    return sum(worker.cpu_times()[:2])


def idle_s(worker: psutil.Process) -> float:
    """What the worker has computed in all, once it computes no more."""
    for _ in range(60):
        before = computed_s(worker)
        time.sleep(1.0)
        if computed_s(worker) - before < 0.02:
            return before
    raise AssertionError("it computes on")


@pytest.mark.parametrize("is_stream", [True, False])
def test_the_model_stops_when_the_client_goes_away(app: RunningApp, client: openai.OpenAI, is_stream: bool):
    [worker] = app.workers()
    asked = {"max_tokens": 1500, "response_format": ENDLESS}
    before = idle_s(worker)
    assert chat(client, **asked).choices[0].finish_reason == "length"
    whole_s = computed_s(worker) - before
    before = idle_s(worker)
    with app.slowed():                          # a whole answer would take it a minute
        opened = post(app, {"model": "demo", "messages": ASTHMA, "stream": is_stream, **asked})
        wait_for(lambda: computed_s(worker) > before + 0.05)
        opened.close()
        assert chat(client, max_tokens=1).usage.completion_tokens == 1         # by now the server has seen it
    assert idle_s(worker) - before < whole_s / 2


def test_when_galen_ends_open_answers_end_without_a_traceback(app: RunningApp):
    with app.slowed():
        opened = [post(app, {"model": "demo", "messages": ASTHMA, "max_tokens": 1500, "stream": is_stream,
                             "response_format": ENDLESS}) for is_stream in (True, False)]
        assert opened[0].recv(100).startswith(b"HTTP/1.1 200")
    app.end()
    for one in opened:
        one.close()
    assert not [line for line in app.said if "Traceback" in line], app.said
