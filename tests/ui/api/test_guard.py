import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from ui.api.guard import Guard, is_local


@pytest.fixture(scope="module")
def client() -> TestClient:
    app = Starlette(routes=[Route("/", lambda request: PlainTextResponse("hello"), methods=["GET", "POST"])])
    return TestClient(Guard(app), base_url="http://127.0.0.1:7860")


@pytest.mark.parametrize("host", ["127.0.0.1:7860", "localhost:7860", "localhost", "[::1]:7860"])
def test_names_of_this_machine_are_answered(client: TestClient, host: str):
    assert client.get("/", headers={"host": host}).text == "hello"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "[::1", "10.0.0.5"])
def test_other_hosts_are_refused(client: TestClient, host: str):
    assert client.get("/", headers={"host": host}).status_code == 403


@pytest.mark.parametrize("origin", ["http://evil.example", "https://localhost.evil.example", "null"])
def test_pages_of_other_sites_are_refused(client: TestClient, origin: str):
    assert client.post("/", headers={"origin": origin}).status_code == 403
    assert client.post("/", headers={"origin": "http://127.0.0.1:7860"}).status_code == 200


def test_policy_lets_nothing_be_loaded_from_elsewhere(client: TestClient):
    headers = client.get("/").headers
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    for name in ("default-src", "img-src", "connect-src", "font-src", "frame-src", "form-action", "media-src"):
        assert not {"*", "http:", "https:"} & set(policy[name].split()) and "'self'" in policy[name]
    assert policy["object-src"] == policy["frame-ancestors"] == "'none'"
    assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"


def test_host_without_a_name_is_not_local():
    assert not is_local("//") and not is_local("") and not is_local("http://[bad")
