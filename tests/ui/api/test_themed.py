from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, JSONResponse, StreamingResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from ui.api.themed import Themed
from ui.settings import SettingsFile

PAGE = "<!doctype html><html><head><title>x</title></head><body>ä</body></html>"


@pytest.fixture
def settings(tmp_path: Path) -> SettingsFile:
    return SettingsFile(tmp_path)


@pytest.fixture
def client(settings: SettingsFile) -> TestClient:
    routes = [Route("/", lambda request: HTMLResponse(PAGE)),
              Route("/data", lambda request: JSONResponse({"a": "<head>"})),
              Route("/parts", lambda request: StreamingResponse(iter([PAGE[:10], PAGE[10:]]), media_type="text/html"))]
    return TestClient(Themed(Starlette(routes=routes), settings))


@pytest.mark.parametrize("theme", ["system", "light", "dark"])
def test_a_page_begins_with_the_theme(client: TestClient, settings: SettingsFile, theme: str):
    settings.change(theme=theme)
    answer = client.get("/", headers={"accept": "text/html"})
    assert answer.text.startswith("<!doctype html><html><head><style>") and f'let theme = "{theme}"' in answer.text
    assert int(answer.headers["content-length"]) == len(answer.content) and answer.text.endswith("ä</body></html>")


def test_everything_else_stays_as_it_is(client: TestClient):
    assert client.get("/data", headers={"accept": "text/html"}).json() == {"a": "<head>"}
    assert client.get("/", headers={"accept": "application/json"}).text == PAGE
    assert client.head("/", headers={"accept": "text/html"}).status_code in (200, 405)
    assert client.get("/parts", headers={"accept": "text/html"}).text.endswith("</html>")
