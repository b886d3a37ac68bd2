"""Whatever goes wrong under /v1 is told in the protocol's shape, with the right status and no traceback."""

import json

import pytest
from starlette.testclient import TestClient

from models.errors import UserError
from runtime.session import WorkerDied
from tests.ui.api.openai.fakes import HELLO, FakeBench
from ui.actions.model import Busy, ModelState
from ui.api.limits import Full, TooLong
from ui.api.openai.errors import BUG, error_response

CHAT = "/v1/chat/completions"
JSON = {"content-type": "application/json"}


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize(("problem", "status", "code"), [
    (UserError("This can not be."), 400, None), (Busy("Somebody else has it."), 503, "busy"),
    (Full("Full.", 7), 503, "busy"), (WorkerDied("It died."), 503, "model_ended"),
    (TooLong("Too long."), 504, "timeout"), (RuntimeError("secret detail"), 500, None),
])
def test_before_the_first_piece_it_is_a_status(client, bench, problem, status, code, is_stream):
    bench.session.script = [problem]
    answer = client.post(CHAT, json={"model": "demo", "messages": HELLO, "stream": is_stream})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code)
    assert error["type"] == ("server_error" if status >= 500 else "invalid_request_error")
    assert error["message"] == (BUG if status == 500 else str(problem))
    assert ("retry-after" in answer.headers) == (status == 503)


def test_in_the_middle_of_a_stream_it_is_the_last_event(client, bench):
    bench.session.script = ["Hel", WorkerDied("It died.")]
    answer = client.post(CHAT, json={"model": "demo", "messages": HELLO, "stream": True})
    events = [json.loads(line[6:]) for line in answer.text.split("\n\n") if line]
    assert answer.status_code == 200 and events[-2]["choices"][0]["delta"] == {"content": "Hel"}
    assert events[-1]["error"]["message"] == "It died." and "[DONE]" not in answer.text


def test_an_answer_that_was_ended_from_outside_is_an_error(client, bench):
    bench.session.end = {"finish_reason": "cancelled"}
    assert client.post(CHAT, json={"model": "demo", "messages": HELLO}).status_code == 503


@pytest.mark.parametrize("path", [CHAT, "/v1/completions", "/v1/embeddings"])
def test_an_unknown_model_is_not_found(client, path):
    body = {CHAT: {"messages": HELLO}, "/v1/completions": {"prompt": "x"}, "/v1/embeddings": {"input": "x"}}[path]
    answer = client.post(path, json={"model": "nix", **body})
    error = answer.json()["error"]
    assert answer.status_code == 404 and error["code"] == "model_not_found" and error["param"] == "model"


def test_a_model_that_can_not_be_loaded_or_is_lent(client, bench: FakeBench):
    for problem, status in ((UserError("demo.gguf is cut short."), 400), (Busy("The memory is in use."), 503)):
        bench.model.problem = problem
        answer = client.post(CHAT, json={"model": "demo", "messages": HELLO})
        assert answer.status_code == status and answer.json()["error"]["message"] == str(problem)
    bench.model.problem = None
    for bench.model.state, bench.model.waiting_job in (
            (ModelState(lent_to="a training"), ""), (ModelState(), "a training")):
        answer = client.post(CHAT, json={"model": "demo", "messages": HELLO})
        assert answer.status_code == 503 and "in use for a training" in answer.text and bench.session.asked == []


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"null", b"5", b'"x"', b"\xff", b"[" * 5000 + b"]" * 5000,
                                  b'{"model": "demo", "seed": ' + b"9" * 5000 + b"}"])
def test_a_body_that_is_no_request_is_told_so(client, body):
    answer = client.post(CHAT, content=body, headers=JSON)
    assert answer.status_code == 400 and answer.json()["error"]["type"] == "invalid_request_error"


def test_another_content_type_is_refused(client):
    answer = client.post(CHAT, content=json.dumps({"model": "demo", "messages": HELLO}))
    assert answer.status_code == 400 and "application/json" in answer.json()["error"]["message"]


@pytest.mark.parametrize("text", ['"\\ud800"', '"a\\udc00b"', "NaN", "Infinity", "1e999"])
def test_half_characters_and_no_numbers_are_no_bug(client, text):
    for body in (f'{{"model": {text}, "messages": [{{"role": "user", "content": "x"}}]}}',
                 f'{{"model": "demo", "messages": [{{"role": "user", "content": {text}}}]}}',
                 f'{{"model": "demo", "temperature": {text}, "messages": [{{"role": "user", "content": "x"}}]}}',
                 f'{{"model": "demo", {text}: 1, "messages": [{{"role": "user", "content": "x"}}]}}'):
        assert client.post(CHAT, content=body, headers=JSON).status_code in (200, 400, 404)


def test_unknown_addresses_and_methods(client: TestClient):
    for method, path, status in (("GET", "/v1/nix", 404), ("POST", "/v1/audio/speech", 404), ("GET", "/v1/", 404),
                                 ("GET", CHAT, 405), ("DELETE", "/v1/models/demo", 405), ("POST", "/v1/models", 405),
                                 ("QUERY", CHAT, 405),
                                 ("GET", "/v1/models/nix", 404)):
        answer = client.request(method, path)
        assert answer.status_code == status and answer.json()["error"]["message"], path
        assert (status == 405) == ("allow" in answer.headers)


def test_the_guard_can_refuse_in_the_same_shape():
    answer = error_response(401, "A token is needed.", code="invalid_api_key", headers={"WWW-Authenticate": "Bearer"})
    assert answer.status_code == 401 and json.loads(answer.body)["error"]["type"] == "authentication_error"
    assert json.loads(error_response(400, "half a character: \ud800").body)["error"]["message"].endswith("\ud800")


def test_models_are_listed_and_found(client):
    listed = client.get("/v1/models").json()
    assert listed["object"] == "list" and [one["id"] for one in listed["data"]] == ["demo"]
    assert client.get("/v1/models/demo").json() == listed["data"][0]
