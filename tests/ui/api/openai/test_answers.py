"""What answers look like, whole and in pieces, and that nobody writes on for a client that has gone."""

import asyncio
import base64
import dataclasses
import json
import struct
import threading
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.ui.api.openai.fakes import HELLO, FakeBench
from tests.ui.fakes import wait_for
from ui.api.openai.answering import Text
from ui.api.openai.completions import TextRequest, TextShape

CHAT, TEXT = "/v1/chat/completions", "/v1/completions"


def token(text: str, logprob: float = -0.5) -> dict[str, Any]:
    return {"token": 7, "text": text, "logprob": logprob, "top": [(7, text, logprob), (8, "x", -2.0)]}


def events(client: TestClient, path: str = CHAT, **fields) -> list[dict[str, Any]]:
    body = {"model": "demo", "stream": True, **({"messages": HELLO} if path == CHAT else {"prompt": "x"}), **fields}
    answer = client.post(path, json=body)
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    parts = answer.text.split("\n\n")
    assert parts.pop() == "" and parts.pop() == "data: [DONE]"
    return [json.loads(part.removeprefix("data: ")) for part in parts]


def test_a_whole_answer(client, bench):
    answer = client.post(CHAT, json={"model": "demo", "messages": HELLO}).json()
    assert answer["object"] == "chat.completion" and answer["id"].startswith("chatcmpl-")
    assert answer["model"] == "demo" and answer["system_fingerprint"] == "fp_7f3a9c21d0b1e2f3"
    [choice] = answer["choices"]
    assert choice["message"] == {"role": "assistant", "content": "Hello", "refusal": None}
    assert choice["finish_reason"] == "stop" and choice["logprobs"] is None
    assert answer["usage"] == {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11,
                               "prompt_tokens_details": {"cached_tokens": 4}}
    bench.session.end = {"finish_reason": "length"}
    cut = client.post(CHAT, json={"model": "demo", "messages": HELLO}).json()
    assert cut["choices"][0]["finish_reason"] == "length"
    assert bench.model.users == 0


def test_an_answer_in_pieces(client):
    chunks = events(client)
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"} and len({c["id"] for c in chunks}) == 1
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas[0] == {"role": "assistant", "content": ""} and deltas[-1] == {}
    assert "".join(delta.get("content", "") for delta in deltas) == "Hello"
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks[-2:]] == [None, "stop"]
    assert not any("usage" in chunk for chunk in chunks)


def test_usage_comes_last_where_it_is_asked_for(client):
    for path in (CHAT, TEXT):
        chunks = events(client, path, stream_options={"include_usage": True})
        assert [chunk["usage"] for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
        assert chunks[-1]["choices"] == [] and chunks[-1]["usage"]["total_tokens"] == 11


def test_logprobs_of_every_token_once_whole_and_in_pieces(client, bench):
    bench.session.script = [("", [token("Hé")]), ("Hé l", [token(" l")]), ("ung", [token("ung"), token("\ufffd")])]
    asked = {"logprobs": True, "top_logprobs": 2}
    [choice] = client.post(CHAT, json={"model": "demo", "messages": HELLO, **asked}).json()["choices"]
    assert [one["token"] for one in choice["logprobs"]["content"]] == ["Hé", " l", "ung", "\ufffd"]
    assert choice["logprobs"]["content"][0] == {
        "token": "Hé", "logprob": -0.5, "bytes": list("Hé".encode()), "top_logprobs": [
            {"token": "Hé", "logprob": -0.5, "bytes": list("Hé".encode())},
            {"token": "x", "logprob": -2.0, "bytes": [120]}]}
    assert choice["logprobs"]["content"][3]["bytes"] is None
    streamed = [one for chunk in events(client, **asked) if (found := chunk["choices"][0]["logprobs"])
                for one in found["content"]]
    assert streamed == choice["logprobs"]["content"]


def test_tokens_that_a_stop_string_cut_off_have_no_logprobs(client, bench):
    bench.session.script = [("a", [token("a")]), ("", [token("E")]), ("Eb", [token("b")]),
                            ("", [token("E"), token("ND")])]
    asked = {"logprobs": True, "stop": ["END"]}
    [choice] = client.post(CHAT, json={"model": "demo", "messages": HELLO, **asked}).json()["choices"]
    assert [one["token"] for one in choice["logprobs"]["content"]] == ["a", "E", "b"]
    pieces = [chunk["choices"][0] for chunk in events(client, **asked)]
    told = [(one["delta"]["content"], [token["token"] for token in one["logprobs"]["content"]])
            for one in pieces if one["logprobs"]]
    assert sum((tokens for _, tokens in told), []) == ["a", "E", "b"]
    assert all("".join(tokens) == text for text, tokens in told)


def test_a_text_completion(client, bench):
    bench.session.script = [("Hé", [token("Hé")]), (" l", [token(" l")])]
    answer = client.post(TEXT, json={"model": "demo", "prompt": ["a", "b"], "logprobs": 2}).json()
    assert answer["object"] == "text_completion" and [one["text"] for one in answer["choices"]] == ["Hé l"] * 2
    assert answer["choices"][1]["logprobs"] == {
        "tokens": ["Hé", " l"], "token_logprobs": [-0.5, -0.5], "text_offset": [0, 2],
        "top_logprobs": [{"x": -2.0, "Hé": -0.5}, {"x": -2.0, " l": -0.5}]}
    assert answer["usage"]["total_tokens"] == 22
    chunks = events(client, TEXT, prompt=["a", "b"], logprobs=2)
    for index in (0, 1):
        own = [chunk["choices"][0] for chunk in chunks if chunk["choices"][0]["index"] == index]
        assert "".join(one["text"] for one in own) == "Hé l" and own[-1]["finish_reason"] == "stop"
        assert sum((one["logprobs"]["text_offset"] for one in own), []) == [0, 2]


def test_each_piece_of_a_text_says_where_its_tokens_begin():
    shape = TextShape(TextRequest(model="demo", prompt=["a", "b"], logprobs=0))
    told = [shape.piece(Text(index, text, [token(text)]))[0]["choices"][0] for index, text in
            ((0, "Hé"), (1, "abc"), (0, " l"), (1, "d"))]
    assert [one["logprobs"]["text_offset"] for one in told] == [[0], [0], [2], [3]]


def test_embeddings_as_numbers_and_as_bytes(client, bench):
    bench.session.info = dataclasses.replace(bench.session.info, can_embed=True)
    bench.session.prompt_tokens = 3
    texts = [f"text {k}" for k in range(20)]
    answer = client.post("/v1/embeddings", json={"model": "demo", "input": texts}).json()
    assert [one["index"] for one in answer["data"]] == list(range(20)) and answer["object"] == "list"
    assert answer["data"][0] == {"object": "embedding", "index": 0, "embedding": [0.6, 0.8]}
    assert answer["usage"] == {"prompt_tokens": 60, "total_tokens": 60}
    assert max(map(len, bench.session.asked)) <= 8 and sum(bench.session.asked, []) == texts
    one = client.post("/v1/embeddings", json={"model": "demo", "input": "x", "encoding_format": "base64",
                                              "dimensions": 2}).json()
    assert struct.unpack("<2f", base64.b64decode(one["data"][0]["embedding"])) == pytest.approx((0.6, 0.8))
    assert client.post("/v1/embeddings", json={"model": "demo", "input": "x", "dimensions": 3}).status_code == 400


class Request:
    """One POST as an ASGI server passes it on; gone is set when the client has left."""

    def __init__(self, bench: FakeBench, body: dict[str, Any]):
        self._bench, self._body = bench, json.dumps(body).encode()
        self.gone, self.sent = asyncio.Event(), []
        self._is_read = self.is_deaf = False

    async def _receive(self) -> dict[str, Any]:
        if not self._is_read:
            self._is_read = True
            return {"type": "http.request", "body": self._body, "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)
        if self.is_deaf:
            await asyncio.sleep(20)

    async def run(self) -> None:
        scope = {"type": "http", "http_version": "1.1", "method": "POST", "path": CHAT, "raw_path": CHAT.encode(),
                 "root_path": "", "scheme": "http", "query_string": b"", "client": ("127.0.0.1", 5), "server": None,
                 "headers": [(b"content-type", b"application/json")], "asgi": {"version": "3.0"}}
        await self._bench.app(scope, self._receive, self._send)


@pytest.mark.parametrize("is_stream", [True, False])
def test_a_client_that_goes_away_ends_the_work_and_frees_its_place(bench, is_stream):
    bench.session.script = ["Hel", None, "lo"]

    async def test() -> None:
        request = Request(bench, {"model": "demo", "messages": HELLO, "stream": is_stream})
        running = asyncio.ensure_future(request.run())
        while not bench.session.streams or (is_stream and not request.sent):
            await asyncio.sleep(0.001)
        request.gone.set()
        await running
        assert bench.session.streams[0].is_cancelled and bench.model.users == 0
        assert [one["type"] for one in request.sent] == ["http.response.start", "http.response.body"] * is_stream

    asyncio.run(asyncio.wait_for(test(), 60))
    bench.session.script = ["Hel", "lo"]
    for _ in range(3):                          # more than the model has slots
        assert TestClient(bench.app).post(CHAT, json={"model": "demo", "messages": HELLO}).status_code == 200


@pytest.mark.parametrize("is_stream", [True, False])
def test_a_client_that_takes_nothing_loses_its_place(is_stream):
    bench = FakeBench(read_s=0.05)
    bench.session.script = ["Hel", *([None] if is_stream else []), "lo"]

    async def test() -> None:
        request = Request(bench, {"model": "demo", "messages": HELLO, "stream": is_stream})
        request.is_deaf = True
        await request.run()
        assert bench.model.users == 0 and bench.session.streams[0].is_cancelled == is_stream

    asyncio.run(asyncio.wait_for(test(), 60))


def test_when_the_queue_is_full_a_client_is_told_when_to_ask_again():
    bench = FakeBench(max_waiting=1)            # beside the two that the model has slots for
    bench.session.script = ["Hel", None, "lo"]

    async def test() -> None:
        requests = [Request(bench, {"model": "demo", "messages": HELLO}) for _ in range(4)]
        running = [asyncio.ensure_future(one.run()) for one in requests]
        while not any(one.done() for one in running):
            await asyncio.sleep(0.001)
        [refused] = [one for one in requests if one.sent]
        start = refused.sent[0]
        assert start["status"] == 503 and int(dict(start["headers"])[b"retry-after"]) >= 1
        assert json.loads(refused.sent[1]["body"])["error"]["code"] == "busy"
        for one in requests:
            one.gone.set()
        await asyncio.gather(*running)
        assert [one for one in requests if one.sent] == [refused]

    asyncio.run(asyncio.wait_for(test(), 60))
    assert bench.model.users == 0


def test_each_piece_is_sent_as_it_comes(bench):
    bench.session.script = ["Hel", None, "lo"]

    async def test() -> None:
        request = Request(bench, {"model": "demo", "messages": HELLO, "stream": True})
        running = asyncio.ensure_future(request.run())
        while len(request.sent) < 2:
            await asyncio.sleep(0.001)
        assert b'"content": "Hel"' in b"".join(one["body"] for one in request.sent[1:])
        request.gone.set()
        await running

    asyncio.run(asyncio.wait_for(test(), 60))
    wait_for(lambda: not [one for one in threading.enumerate() if one.name == "request"])
