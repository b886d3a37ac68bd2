"""A real Galen that other computers can reach: the token, and attacks on Gradio's routes through its own door."""

import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from axe_playwright_python.sync_playwright import Axe

from models import runs
from tests.ui.running import RunningApp

META = {"_type": "gradio.FileData"}


@pytest.fixture(scope="module")
def opened(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningApp]:
    model = shared_data / "models" / "stories260K" / "stories260K-f32.gguf"
    started = RunningApp(tmp_path_factory.mktemp("home"), model, host="127.0.0.2")
    yield started
    started.end()
    assert started.outside_connections_but("127.0.0.2") == []
    assert not [line for line in started.said if "Traceback" in line], started.said


@pytest.fixture(scope="module")
def token(opened: RunningApp) -> str:
    told = [found[1] for line in opened.said if (found := re.search(r"Token.*: (galen-\S+)$", line.strip()))]
    assert len(told) == 1
    return told[0]


@pytest.fixture
def stranger(opened: RunningApp) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=opened.url, timeout=20) as client:
        yield client


@pytest.fixture
def known(opened: RunningApp, token: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=opened.url, timeout=20, headers={"Authorization": f"Bearer {token}"}) as client:
        yield client


def test_the_token_is_shown_once_and_kept_hashed(opened: RunningApp, token: str):
    assert opened.url.startswith("http://127.0.0.2:")
    for path in opened.home.rglob("*"):
        assert not path.is_file() or token.encode() not in path.read_bytes(), path
    kept = runs.read_json(opened.home / "settings.json")["token"]
    assert re.fullmatch(r"[0-9a-f]{64}", kept)


@pytest.mark.parametrize("path", ["/", "/train", "/config", "/v1/models", "/api/models/", "/openapi.json", "/docs",
                                  "/model_info", "/gradio_api/info", "/assets/x.js", "/icon.svg", "/theme.css",
                                  "/gradio_api/file=/etc/passwd", "/gradio_api/heartbeat/x", "/nothing"])
def test_nothing_is_told_without_it(stranger: httpx.Client, known: httpx.Client, path: str):
    for accept in ("*/*", "text/html"):
        refused = stranger.get(path, headers={"Accept": accept})
        assert refused.status_code == 401 and "content-security-policy" in refused.headers
        assert "demo" not in refused.text.lower() and "root:" not in refused.text
    if not path.startswith(("/gradio_api/file", "/nothing", "/assets", "/gradio_api/heartbeat")):
        assert known.get(path).status_code == 200


@pytest.mark.parametrize("path", [
    "/gradio_api/queue/join", "/gradio_api/run/predict", "/gradio_api/upload", "/medgemma", "/v1/chat/completions",
    "/answer", "/api/datasets/", "/api/classify/", "/files/model"])
def test_nothing_is_done_without_it(stranger: httpx.Client, opened: RunningApp, path: str):
    for method in ("POST", "PUT"):
        assert stranger.request(method, path, files={"files": ("x.csv", b"a")}).status_code == 401
    assert not list((opened.home / "cache" / "page").rglob("x.csv"))


def test_a_browser_logs_in_and_has_the_page(stranger: httpx.Client, token: str):
    assert stranger.get("/", headers={"Accept": "text/html"}).status_code == 401
    assert stranger.post("/login", data={"token": "wrong", "to": "/"}).status_code == 401
    assert stranger.post("/login", data={"token": token, "to": "/"}).status_code == 303
    page = stranger.get("/", headers={"Accept": "text/html"})
    assert page.status_code == 200 and "gradio" in page.text
    assert stranger.get("/config").status_code == 200


@pytest.mark.browser
def test_the_form_in_a_real_browser(opened: RunningApp, token: str, browser: Any):
    page = browser.new_context().new_page()
    page.set_default_timeout(30_000)
    page.goto(opened.url + "/settings")
    assert Axe().run(page).response["violations"] == []
    page.fill("#token", "wrong")
    page.click("button")
    assert "not the token" in page.inner_text("[role=alert]")
    page.fill("#token", token)
    page.click("button")
    page.wait_for_selector("#rail a[aria-current]")
    assert page.url == opened.url + "/settings"
    page.goto(opened.url + "/docs")
    page.click("summary >> nth=1")
    assert Axe().run(page).response["violations"] == []
    page.context.close()


def test_names_of_other_machines_are_refused_with_the_token_too(known: httpx.Client, opened: RunningApp):
    for name in ("evil.example", "127.0.0.1", "localhost", "0.0.0.0"):
        assert known.get("/health", headers={"Host": name}).status_code == 403
    assert known.get("/health", headers={"Origin": "http://evil.example"}).status_code == 403
    assert known.get("/health", headers={"Origin": opened.url}).status_code == 200


def test_other_addresses_of_this_computer_are_not_bound(opened: RunningApp):
    listening = [one.laddr.ip for one in psutil.Process(opened.process.pid).net_connections("inet")
                 if one.status == psutil.CONN_LISTEN]
    assert listening == ["127.0.0.2"]


def test_a_second_start_finds_it(opened: RunningApp):
    assert json.loads((opened.home / "app.json").read_text())["url"] == opened.url
    assert httpx.get(opened.url + "/health").json() == {"status": "ok"}


def upload(client: httpx.Client, name: str, content: bytes) -> httpx.Response:
    return client.post("/gradio_api/upload", files={"files": (name, content)})


@pytest.mark.parametrize("name", ["../../../evil.csv", "/etc/evil.csv", "..\\..\\evil.csv", "a/../../evil.csv",
                                  "evil.csv\0.png", "." * 300 + "evil.csv", "evil\r\n.csv"])
def test_an_upload_stays_in_its_folder_whatever_it_is_called(known: httpx.Client, opened: RunningApp, name: str):
    before = {path for path in opened.home.rglob("*") if "cache" not in path.parts}
    answer = upload(known, name, b"a,b\n1,2\n")
    assert answer.status_code < 500
    inside = (opened.home / "cache" / "page").resolve()
    for place in answer.json() if answer.status_code == 200 else []:
        assert Path(place).resolve().is_relative_to(inside)
    assert {path for path in opened.home.rglob("*") if "cache" not in path.parts} == before


def test_files_are_served_from_that_folder_only(known: httpx.Client, opened: RunningApp):
    mine = upload(known, "table.csv", b"a,b\n").json()[0]
    assert known.get(f"/gradio_api/file={mine}").text == "a,b\n"
    inside = opened.home / "cache" / "page"
    (inside / "link.csv").symlink_to(opened.home / "settings.json")
    for place in ("/etc/passwd", opened.home / "settings.json", inside / "link.csv", f"{inside}/../../settings.json",
                  f"{inside}/..%2f..%2fsettings.json", "http://127.0.0.1:9/x", "https://evil.example/", runs.ROOT,
                  runs.ROOT / "README.md", "README.md", "file:///etc/passwd", "//evil.example/x", inside, ""):
        answer = known.get(f"/gradio_api/file={place}", follow_redirects=False)
        assert answer.status_code == 403, place
        assert "token" not in answer.text


@pytest.mark.parametrize("address", ["/gradio_api/queue/join", "/gradio_api/run/predict"])
@pytest.mark.parametrize("path", ["/etc/hostname", "http://127.0.0.1:9/x", "{}/settings.json", "{}/cache/page/../../s"])
def test_an_event_names_no_file_of_somebody_else(known: httpx.Client, opened: RunningApp, address: str, path: str):
    before = sorted((opened.home / "cache").rglob("*"))
    config = known.get("/config").json()
    for event in config["dependencies"][:5]:
        for meta in ({"meta": META}, {}):
            body = {"data": [{"path": path.format(opened.home), **meta}] * 3, "fn_index": event["id"],
                    "session_hash": "attack"}
            assert known.post(address, json=body).status_code == 403
    assert sorted((opened.home / "cache").rglob("*")) == before


def test_routes_that_fetch_or_run_things_are_closed(known: httpx.Client):
    for path in ("/gradio_api/proxy=http://127.0.0.1:9/", "/gradio_api/process_recording", "/gradio_api/vibe-edit/",
                 "/gradio_api/call/send", "/gradio_api/openapi.json", "/gradio_api/dev/reload"):
        assert known.post(path, json={"data": []}).status_code == 404
        assert known.get(path).status_code == 404


def test_what_was_uploaded_is_gone_with_galen(opened: RunningApp, known: httpx.Client):
    assert upload(known, "left.csv", b"quartz-lung").status_code == 200
    opened.end(signal.SIGTERM)
    assert not [path for path in opened.home.rglob("*") if path.is_file() and b"quartz-lung" in path.read_bytes()]
