import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.websockets import WebSocket

from ui.api import body
from ui.api.addresses import LOCAL_NAMES
from ui.api.guard import Door, Guard, is_local

HEADERS = ("content-security-policy", "x-content-type-options", "x-frame-options", "referrer-policy",
           "cross-origin-opener-policy", "cross-origin-resource-policy", "permissions-policy")


async def take(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(len(await request.body())))


async def careless(request: Request) -> PlainTextResponse:
    try:
        return await take(request)
    except body.Unwelcome:                          # as FastAPI reads a body: whatever goes wrong is a 400
        return PlainTextResponse("could not be read", 400)


async def fail(request: Request) -> PlainTextResponse:
    raise RuntimeError("a bug")


async def socket(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text("hello")
    await websocket.close()


ROUTES = [Route("/", lambda request: PlainTextResponse("hello"), methods=["GET", "POST"]),
          Route("/take", take, methods=["POST"]), Route("/careless", careless, methods=["POST"]),
          Route("/v1/take", take, methods=["POST"]), Route("/fail", fail), WebSocketRoute("/ws", socket)]


@pytest.fixture(scope="module")
def client() -> TestClient:
    return TestClient(Guard(Starlette(routes=ROUTES)), base_url="http://127.0.0.1:7860", raise_server_exceptions=False)


@pytest.mark.parametrize("host", ["127.0.0.1:7860", "localhost:7860", "localhost", "[::1]:7860", "LOCALHOST:1"])
def test_names_of_this_machine_are_answered(client: TestClient, host: str):
    assert client.get("/", headers={"host": host}).text == "hello"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "[::1", "10.0.0.5",
                                  "127.0.0.1@evil.example", "evil.example#127.0.0.1", "0.0.0.0", "127.0.0.2"])
def test_other_hosts_are_refused(client: TestClient, host: str):
    assert client.get("/", headers={"host": host}).status_code == 403


@pytest.mark.parametrize("origin", ["http://evil.example", "https://localhost.evil.example", "null", "",
                                    "http://127.0.0.1:3000", "http://localhost:7860", "file://", "http://127.0.0.1"])
def test_pages_of_other_sites_and_ports_are_refused(client: TestClient, origin: str):
    assert client.post("/", headers={"origin": origin}).status_code == 403
    assert client.get("/", headers={"origin": origin}).status_code == 403


def test_our_own_page_is_answered(client: TestClient):
    assert client.post("/", headers={"origin": "http://127.0.0.1:7860"}).status_code == 200
    local = {"host": "localhost:7860", "origin": "http://localhost:7860"}
    assert client.post("/", headers=local).status_code == 200


def test_what_another_site_loads_is_refused_and_a_link_from_there_is_followed(client: TestClient):
    for site in ("cross-site", "same-site"):            # the latter: a page of another port of this machine
        image, link = ({"sec-fetch-site": site, "sec-fetch-mode": mode} for mode in ("no-cors", "navigate"))
        assert client.get("/", headers=image).status_code == 403
        assert client.get("/", headers=link).status_code == client.head("/", headers=link).status_code == 200
        assert client.post("/", headers=link).status_code == 403        # a form that names no origin
    for site in ("same-origin", "none"):
        assert client.post("/", headers={"sec-fetch-site": site, "sec-fetch-mode": "cors"}).status_code == 200


def test_web_sockets_pass_the_same_door(client: TestClient):
    with client.websocket_connect("/ws", headers={"origin": "http://127.0.0.1:7860",
                                                  "host": "127.0.0.1:7860"}) as open_one:
        assert open_one.receive_text() == "hello"
    for headers in ({"host": "evil.example"}, {"host": "127.0.0.1:7860", "origin": "http://evil.example"}):
        with pytest.raises(WebSocketDenialResponse) as refused, client.websocket_connect("/ws", headers=headers):
            pass
        assert refused.value.status_code == 403


def test_policy_lets_nothing_be_loaded_from_elsewhere(client: TestClient):
    headers = client.get("/").headers
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    for name in ("default-src", "img-src", "connect-src", "font-src", "frame-src", "form-action", "media-src"):
        assert not {"*", "http:", "https:"} & set(policy[name].split()) and "'self'" in policy[name]
    assert policy["object-src"] == policy["frame-ancestors"] == "'none'"
    assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"


def test_every_answer_has_the_headers_refusals_and_bugs_too(client: TestClient):
    big = {"content-length": str(1 << 40)}
    found = {client.get("/").status_code: client.get("/")}
    for answer in (client.get("/nothing"), client.get("/fail"), client.get("/", headers={"host": "evil.example"}),
                   client.post("/take", headers=big), client.get("/gradio_api/proxy=http://evil.example/")):
        found[answer.status_code] = answer
    assert sorted(found) == [200, 403, 404, 413, 500]
    for status, answer in found.items():
        assert all(name in answer.headers for name in HEADERS), status


def test_personal_answers_are_kept_by_no_cache(client: TestClient):
    assert client.get("/").headers["cache-control"] == "no-store"


def chunks(size: int, of: int = 1 << 20) -> Iterator[bytes]:
    for _ in range(size // of):
        yield b"x" * of


@pytest.mark.parametrize("path", ["/take", "/careless"])
def test_a_body_that_is_too_long_is_413_told_or_not(client: TestClient, path: str):
    told = client.post(path, headers={"content-length": str(body.MOST_BYTES + 1)}, content=b"x")
    assert told.status_code == 413 and "too large" in told.json()["detail"]
    came = client.post(path, content=chunks(body.MOST_BYTES + (2 << 20)))
    assert came.status_code == 413 and "too large" in came.json()["detail"]
    assert client.post(path, content=chunks(3 << 20)).text == str(3 << 20)


@pytest.mark.parametrize("length", ["-1", "1e3", "٣", "9" * 30, "abc"])
def test_a_length_that_is_none_is_refused(length: str):
    statuses: list[int] = []

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {"type": "http", "method": "POST", "path": "/take", "query_string": b"",
             "headers": [(b"host", b"127.0.0.1"), (b"content-length", length.encode())]}
    asyncio.run(Guard(Starlette(routes=ROUTES))(scope, receive, send))      # type: ignore[arg-type]
    assert statuses == [413]


def test_all_bodies_together_are_bounded():
    guard = Guard(Starlette(routes=ROUTES))
    guard._held.bytes = body.HELD_BYTES - 10            # what other requests hold
    crowded = TestClient(guard, base_url="http://127.0.0.1")
    refused = crowded.post("/take", content=b"x" * 20)
    assert refused.status_code == 503 and refused.headers["retry-after"] == "1"
    assert crowded.post("/take", content=b"x" * 5).status_code == 200
    assert guard._held.bytes == body.HELD_BYTES - 10    # given back, also after a refusal


@pytest.mark.parametrize(("kind", "is_kept"), [
    ("text/csv", False), ("image/png", False), ("application/zip", False), ("application/octet-stream", False),
    ("text/event-stream", False), ("text/css; charset=utf-8", True), ("text/javascript", True), ("font/woff2", True)])
def test_no_browser_keeps_a_file_of_the_person(kind: str, is_kept: bool):
    app = Starlette(routes=[Route("/one", lambda request: PlainTextResponse("x", media_type=kind))])
    headers = TestClient(Guard(app), base_url="http://127.0.0.1:7860").get("/one").headers
    assert headers.get("cache-control") == (None if is_kept else "no-store")


@pytest.mark.parametrize(("content", "is_taken"), [
    (b"[" + b"0," * body.MOST_VALUES + b"0]", False),
    (b"{" + b",".join(b'"%d":0' % k for k in range(body.MOST_NAMES + 1)) + b"}", False),
    (b'["\\\\",' + b'"",' * body.MOST_VALUES + b"0]", False),
    (("[" + "0," * body.MOST_VALUES + "0]").encode("utf-16"), False),
    (b'["' + b"a\\\", b: c, " * body.MOST_VALUES + b'"]', True),
    (b"[" + b"0," * (body.MOST_VALUES - 1) + b"0]", True)])
def test_json_of_very_many_values_is_refused_before_it_is_read(client: TestClient, content: bytes, is_taken: bool):
    answer = client.post("/take", content=content)
    assert answer.status_code == (200 if is_taken else 413)
    assert is_taken or "150,000 values" in answer.json()["detail"]


def test_a_body_whose_rest_does_not_come_is_given_up():
    guard, statuses = Guard(Starlette(routes=ROUTES), Door(stall_s=0.05)), []
    parts = [{"type": "http.request", "body": b"half", "more_body": True}]

    async def send(message: Any) -> None:
        statuses.append(message.get("status"))

    async def receive() -> Any:
        return parts.pop() if parts else await asyncio.sleep(60)

    scope = {"type": "http", "method": "POST", "path": "/take", "query_string": b"",
             "headers": [(b"host", b"127.0.0.1"), (b"content-length", b"10")]}
    asyncio.run(asyncio.wait_for(guard(scope, receive, send), 30))
    assert statuses[0] == 408 and guard._held.bytes == 0


def test_only_a_body_has_to_come_in_time():
    parts = [{"type": "http.request", "body": b"abc", "more_body": False}]

    async def receive() -> Any:
        if not parts:
            await asyncio.sleep(0.3)                    # the client waits for its answer
            return {"type": "http.disconnect"}
        return parts.pop()

    async def read() -> list[str]:
        scope: Any = {"type": "http", "path": "/", "headers": []}
        with body.Body(scope, receive, body.Held(), stall_s=0.05) as made:
            return [(await made())["type"], (await made())["type"]]

    assert asyncio.run(read()) == ["http.request", "http.disconnect"]


def test_a_client_of_the_protocol_reads_refusals_in_its_shape(client: TestClient):
    refused = client.post("/v1/take", headers={"host": "evil.example"}).json()["error"]
    assert refused["type"] == "permission_error" and "this computer" in refused["message"]


def test_host_without_a_name_is_not_local():
    assert not is_local("//") and not is_local("") and not is_local("http://[bad")
    assert Door(folder=Path()).names == LOCAL_NAMES
