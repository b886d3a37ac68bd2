"""Every field of the protocol reaches the runtime, or is refused by name; none is ignored."""

import typing
from dataclasses import replace

import pytest
from openai.types import completion_create_params, embedding_create_params
from openai.types.chat import completion_create_params as chat_create_params
from starlette.testclient import TestClient

from runtime.config import SampleConfig
from tests.ui.api.openai.fakes import HELLO, FakeBench
from ui.api.openai import chat_request, completions
from ui.api.openai.chat_request import ChatRequest
from ui.api.openai.completions import TextRequest
from ui.api.openai.embeddings import EmbeddingRequest

CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
SCHEMA = {"type": "object", "properties": {"dose": {"type": "integer"}}, "required": ["dose"],
          "additionalProperties": False}


def ask(client: TestClient, **fields):
    return client.post(CHAT, json={"model": "demo", "messages": HELLO, **fields})


def complete(client: TestClient, **fields):
    return client.post(TEXT, json={"model": "demo", "prompt": "Asthma is", **fields})


def fields_of(module, name: str) -> set[str]:
    """The fields of a request, as the official client has them."""
    base = getattr(module, f"{name}Base", None) or getattr(module, name)
    return set(typing.get_type_hints(base)) | {"stream"} if hasattr(module, f"{name}Base") else set(
        typing.get_type_hints(base))


@pytest.mark.parametrize(("official", "ours", "idle"), [
    (fields_of(chat_create_params, "CompletionCreateParams"), ChatRequest, chat_request.IDLE),
    (fields_of(completion_create_params, "CompletionCreateParams"), TextRequest, completions.IDLE),
    (fields_of(embedding_create_params, "EmbeddingCreateParams"), EmbeddingRequest, {}),
], ids=["chat", "text", "embeddings"])
def test_every_field_of_the_official_client_is_known(official, ours, idle):
    assert official >= {"model"}
    assert official - set(ours.model_fields) - set(idle) == set()


@pytest.mark.parametrize(("given", "wanted"), [
    ({"temperature": 0}, {"temperature": 0.0}), ({"top_p": 0.5}, {"top_p": 0.5}), ({"seed": 7}, {"seed": 7}),
    ({"seed": -1}, {"seed": (1 << 32) - 2}), ({"stop": "END"}, {"stop": ("END",)}),
    ({"stop": ["a", "b"]}, {"stop": ("a", "b")}), ({"max_tokens": 5}, {"max_tokens": 5}),
    ({"max_completion_tokens": 6}, {"max_tokens": 6}), ({"logprobs": True}, {"logprobs": 0}),
    ({"logprobs": True, "top_logprobs": 3}, {"logprobs": 3}),
    ({"response_format": {"type": "json_object"}}, {"json_schema": '{"type": "object"}'}),
    ({"response_format": {"type": "text"}}, {}), ({"temperature": None, "stop": None, "seed": None}, {}),
])
def test_what_is_asked_for_reaches_the_runtime_and_the_rest_is_its_own(client, bench, given, wanted):
    assert ask(client, **given).status_code == 200
    assert bench.session.samples == [SampleConfig(**wanted)]


def test_what_is_left_out_is_the_models_own(client, bench):
    bench.session.info = replace(bench.session.info, sampling={"temperature": 1.0, "top_k": 20, "min_p": 0.05})
    assert ask(client, top_p=0.5).status_code == 200
    assert client.post("/v1/completions", json={"model": "demo", "prompt": "a", "temperature": 0}).status_code == 200
    assert [(one.temperature, one.top_k, one.top_p, one.min_p) for one in bench.session.samples] == [
        (1.0, 20, 0.5, 0.05), (0.0, 20, 0.95, 0.05)]


@pytest.mark.parametrize("is_strict", [True, False, None])
def test_a_schema_is_followed_strict_or_not(client, bench, is_strict):
    named = {"name": "dose", "schema": SCHEMA, **({} if is_strict is None else {"strict": is_strict})}
    assert ask(client, response_format={"type": "json_schema", "json_schema": named}).status_code == 200
    [sample] = bench.session.samples
    assert '"dose": {"type": "integer"}' in sample.json_schema


def test_messages_arrive_as_they_were_sent_and_nothing_is_added(client, bench):
    messages = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "<end_of_turn> \U0001fac1"},
                {"role": "assistant", "content": "Yes."},
                {"role": "user", "content": [{"type": "text", "text": "And"}, {"type": "text", "text": " now?"}]}]
    assert ask(client, messages=messages).status_code == 200
    assert bench.session.asked == [[{**messages[0], "role": "system"}, *messages[1:]]]


@pytest.mark.parametrize("fields", [
    {"n": 1}, {"tools": []}, {"tool_choice": "none"}, {"tool_choice": "auto"}, {"functions": []},
    {"logit_bias": {}}, {"presence_penalty": 0}, {"frequency_penalty": 0.0}, {"modalities": ["text"]},
    {"store": False}, {"service_tier": "auto"}, {"parallel_tool_calls": True}, {"metadata": None}, {"audio": None},
    {"user": "me"}, {"safety_identifier": "x"}, {"prompt_cache_key": "k"},
])
def test_what_asks_for_nothing_is_accepted(client, fields):
    assert ask(client, **fields).status_code == 200


@pytest.mark.parametrize(("fields", "param"), [
    ({"n": 2}, "n"), ({"n": True}, "n"), ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
    ({"tool_choice": "required"}, "tool_choice"), ({"functions": [{"name": "f"}]}, "functions"),
    ({"function_call": {"name": "f"}}, "function_call"), ({"logit_bias": {"5": 10}}, "logit_bias"),
    ({"presence_penalty": 0.5}, "presence_penalty"), ({"frequency_penalty": -1}, "frequency_penalty"),
    ({"audio": {"voice": "a", "format": "mp3"}}, "audio"), ({"modalities": ["text", "audio"]}, "modalities"),
    ({"prediction": {"type": "content", "content": "x"}}, "prediction"), ({"store": True}, "store"),
    ({"metadata": {"a": "b"}}, "metadata"), ({"service_tier": "flex"}, "service_tier"),
    ({"reasoning_effort": "high"}, "reasoning_effort"), ({"verbosity": "low"}, "verbosity"),
    ({"web_search_options": {}}, "web_search_options"), ({"top_k": 5}, "top_k"), ({"grammar": "x"}, "grammar"),
    ({"temperature": 2.5}, "temperature"), ({"temperature": "1"}, "temperature"), ({"top_p": 1.5}, "top_p"),
    ({"max_tokens": 0}, "max_tokens"), ({"max_tokens": 5, "max_completion_tokens": 6}, "max_completion_tokens"),
    ({"stop": ["a"] * 17}, "stop"), ({"stop": [""]}, "stop[0]"), ({"top_logprobs": 2}, "top_logprobs"),
    ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"), ({"stream": "yes"}, "stream"),
    ({"stream_options": {"include_usage": True}}, "stream_options"), ({"model": None}, "model"),
    ({"stream": True, "stream_options": {"include_obfuscation": True}}, "stream_options.include_obfuscation"),
    ({"response_format": {"type": "json_schema"}}, "response_format"),
    ({"response_format": {"type": "xml"}}, "response_format.type"),
    ({"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"not": {}}}}},
     "response_format"),
    ({"messages": []}, "messages"), ({"messages": "hello"}, "messages"),
    ({"messages": [{"role": "tool", "content": "x", "tool_call_id": "1"}]}, "messages[0].tool_call_id"),
    ({"messages": [{"role": "alien", "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": "x", "name": "Ann"}]}, "messages[0].name"),
    ({"messages": [{"role": "assistant", "content": "x", "tool_calls": [{"id": "1"}]}]}, "messages[0].tool_calls"),
    ({"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}]},
     "messages[0].content[0]"),
    ({"messages": [{"role": "user", "content": [{"type": "text", "text": "x", "extra": 1}]}]},
     "messages[0].content[0].extra"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://x/a.png"}}]}]},
     "messages[0].content[0].image_url.url"),
    ({"messages": [{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": "data:,", "detail": "high"}}]}]},
     "messages[0].content[0].image_url.detail"),
])
def test_the_rest_is_refused_by_name(client, bench, fields, param):
    answer = ask(client, **fields)
    error = answer.json()["error"]
    assert answer.status_code == 400 and error["type"] == "invalid_request_error"
    assert error["param"] == param and param in error["message"]
    assert bench.session.asked == []


@pytest.mark.parametrize(("fields", "param"), [
    ({"best_of": 2}, "best_of"), ({"n": 2}, "n"), ({"echo": True}, "echo"), ({"suffix": "x"}, "suffix"),
    ({"logit_bias": {"1": 1}}, "logit_bias"), ({"logprobs": 6}, "logprobs"), ({"prompt": []}, "prompt"),
    ({"prompt": None}, "prompt"), ({"prompt": [[]]}, "prompt"), ({"prompt": [1, "a"]}, "prompt"),
    ({"prompt": [-5]}, "prompt"), ({"messages": HELLO}, "messages"), ({"top_k": 1}, "top_k"),
])
def test_text_completions_refuse_by_name_too(client, bench, fields, param):
    answer = complete(client, **fields)
    assert answer.status_code == 400 and answer.json()["error"]["param"].split("[")[0] == param
    assert bench.session.asked == []


@pytest.mark.parametrize(("prompt", "asked"), [
    ("Asthma is", ["Asthma is"]), (["a", "b"], ["a", "b"]), ([5, 6], [[5, 6]]), ([[5], [6, 7]], [[5], [6, 7]])])
def test_prompts_are_texts_or_ids_one_or_many(client, bench, prompt, asked):
    answer = complete(client, prompt=prompt, best_of=1, echo=False).json()
    assert bench.session.asked == asked
    assert [choice["index"] for choice in answer["choices"]] == list(range(len(asked)))
    assert answer["usage"]["prompt_tokens"] == 9 * len(asked)


def test_the_length_of_a_text_completion_is_the_protocols_default(client, bench):
    complete(client)
    complete(client, max_tokens=30)
    assert [sample.max_tokens for sample in bench.session.samples] == [16, 30]


def test_a_prompt_that_does_not_fit_is_refused_not_cut(client, bench: FakeBench):
    bench.session.prompt_tokens = 600
    long = [{"role": "user", "content": "word " * 200}]
    for answer in (ask(client, messages=long, max_tokens=8), complete(client, prompt="word " * 200),
                   complete(client, prompt=[5] * 512)):
        assert answer.status_code == 400 and answer.json()["error"]["code"] == "context_length_exceeded"
    assert "bytes" in ask(client, messages=[{"role": "user", "content": "x" * 40_000}]).json()["error"]["message"]
    assert bench.session.asked == []
    bench.session.prompt_tokens = 300
    assert ask(client, messages=long, max_tokens=8).status_code == 200
    assert complete(client, prompt="word " * 200).status_code == 200
    bench.session.end = {"dropped_turns": 2}
    assert ask(client).json()["error"]["code"] == "context_length_exceeded"


def test_embeddings_refuse_by_name(client):
    for fields, param in (({"input": [1, 2]}, "input"), ({"input": []}, "input"), ({"dimensions": 0}, "dimensions"),
                          ({"encoding_format": "int8"}, "encoding_format"), ({"truncate": True}, "truncate")):
        answer = client.post("/v1/embeddings", json={"model": "demo", "input": "x", **fields})
        assert answer.status_code == 400 and answer.json()["error"]["param"].split("[")[0] == param
