import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from models import runs
from models.errors import UserError
from tests.ui.fakes import wait_for
from tests.ui.running import START, RunningApp
from ui import app
from ui.api.addresses import FIRST_PORT, LAST_PORT, listen
from ui.settings import SettingsFile

CREATE = """
import json, sys
from pathlib import Path
from runtime.session import Session
from ui.app import create_app
from ui.workbench import Workbench
made = create_app(Workbench(Path(sys.argv[1]), Session()))
heavy = {"torch", "llama_cpp", "transformers", "peft", "trl", "bitsandbytes", "datasets", "matplotlib", "sklearn",
         "tasks.phi", "tasks.safety", "evaluation.report"}       # the last ones: a second that no start needs
print(json.dumps(sorted(heavy & set(sys.modules))))
"""


@pytest.fixture(scope="module")
def stories(shared_data: Path) -> Path:
    return shared_data / "models" / "stories260K" / "stories260K-f32.gguf"


@pytest.fixture(scope="module")
def running(stories: Path, tmp_path_factory: pytest.TempPathFactory):
    started = RunningApp(tmp_path_factory.mktemp("home"), stories).wait_until_loaded()
    yield started
    started.end()


def test_page_is_built_without_torch_or_llama_cpp(tmp_path: Path):
    made = subprocess.run([sys.executable, "-c", CREATE, str(tmp_path)], cwd=runs.ROOT, text=True, capture_output=True,
                          env={**os.environ, "GALEN_HOME": str(tmp_path)}, check=True)
    assert json.loads(made.stdout.splitlines()[-1]) == []


def test_a_proxy_in_the_environment_is_none_of_ours(tmp_path: Path):
    proxies = dict.fromkeys(("ALL_PROXY", "all_proxy", "HTTPS_PROXY", "http_proxy"), "socks5://127.0.0.1:9")
    subprocess.run([sys.executable, "-c", CREATE, str(tmp_path)], cwd=runs.ROOT, check=True, capture_output=True,
                   env={**os.environ, **proxies, "GALEN_HOME": str(tmp_path)})


def test_health_says_who_runs(running: RunningApp):
    assert running.health() == {"status": "ok", "model": "Hf F32", "pid": running.process.pid}


def get(running: RunningApp, path: str, **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", int(running.url.rsplit(":", 1)[1]), timeout=10)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    answer.body = answer.read()
    return answer


def test_guard_stands_before_everything(running: RunningApp):
    assert get(running, "/").status == 200
    for path in ("/", "/health", "/config"):
        assert get(running, path, Host="evil.example").status == 403
        assert get(running, path, Origin="http://evil.example").status == 403
        assert "img-src 'self'" in get(running, path).headers["content-security-policy"]


@pytest.mark.parametrize("path", ["/redoc", "/monitoring", "/gradio_api/mcp/", "/gradio_api/openapi.json"])
def test_what_nobody_asked_for_is_off(running: RunningApp, path: str):
    assert get(running, path).status in (403, 404, 405)


def test_page_asks_for_nothing_from_elsewhere(running: RunningApp):
    page = get(running, "/").body.decode()
    config = json.loads(get(running, "/config").body)
    assert "fonts.googleapis" not in page and "fonts.gstatic" not in page
    assert config["run_history"] is False and config["footer_links"] == [] and not config["analytics_enabled"]
    assert not config["stylesheets"]


def test_files_of_this_computer_are_not_served(running: RunningApp):
    for path in (running.home / "history.sqlite", runs.ROOT / "README.md", Path("/etc/passwd")):
        assert get(running, f"/gradio_api/file={path}").status in (403, 404)


@pytest.mark.skipif(sys.platform != "linux", reason="reads PSS")
def test_main_process_is_small_and_talks_to_this_machine_only(running: RunningApp):
    assert psutil.Process(running.process.pid).memory_full_info().pss < 350e6
    assert running.outside_connections() == []


def test_second_start_finds_the_first(running: RunningApp, stories: Path):
    second = subprocess.run([sys.executable, "-c", START, str(running.home), "0", str(stories)], cwd=runs.ROOT,
                            env={**os.environ, "GALEN_HOME": str(running.home)}, text=True, capture_output=True,
                            timeout=120)
    assert second.returncode == 0 and second.stdout.strip() == f"Galen already runs at {running.url}"
    assert running.health()["pid"] == running.process.pid


def test_port_in_use(running: RunningApp, tmp_path: Path, stories: Path):
    port = running.url.rsplit(":", 1)[1]
    refused = subprocess.run([sys.executable, "-c", START, str(tmp_path), port, str(stories)], cwd=runs.ROOT, text=True,
                             env={**os.environ, "GALEN_HOME": str(tmp_path)}, capture_output=True, timeout=120)
    assert refused.returncode == 1 and "told: Port " + port in refused.stderr and "choose another" in refused.stderr


def test_first_free_port_is_taken(running: RunningApp):
    with listen(0) as first, listen(0) as second:
        ports = [first.getsockname()[1], second.getsockname()[1]]
        assert FIRST_PORT <= ports[0] < ports[1] <= LAST_PORT
        with pytest.raises(UserError, match=f"Port {ports[0]} can not be used"):
            listen(ports[0])
    with listen(ports[0]) as again:
        assert again.family == socket.AF_INET and again.getsockname()[0] == "127.0.0.1"


@pytest.mark.parametrize("port", [99999, -5, 1 << 16])
def test_ports_that_are_none(port: int):
    with pytest.raises(UserError, match=f"The port is {port}; use 1 to 65535"):
        listen(port)


@pytest.mark.skipif(sys.platform != "linux", reason="needs a folder in which not even root can write")
def test_a_folder_that_can_not_be_written_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GALEN_HOME", "/proc")
    with pytest.raises(UserError, match="can not write to its folder /proc .* set GALEN_HOME"):
        app.serve(None)


def test_a_browser_that_stays_open_holds_nothing_up(stories: Path, tmp_path: Path):
    code = START.replace("model) if model else None)", "model) if model else None, opens='browser')")
    assert code != START
    browser, opened = tmp_path / "browser", tmp_path / "opened"
    browser.write_text(f"#!/bin/sh\necho $$ $1 > {opened}.part\nmv {opened}.part {opened}\nexec sleep 60\n")
    browser.chmod(0o755)
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path), "0", str(stories)], cwd=runs.ROOT, text=True,
                               env={**os.environ, "GALEN_HOME": str(tmp_path), "BROWSER": f"{browser} %s"},
                               stdout=subprocess.PIPE)
    assert process.stdout is not None
    url = process.stdout.readline().split(" at ")[1].split()[0]
    wait_for(opened.exists)
    process.send_signal(signal.SIGINT)
    number, address = opened.read_text().split()
    try:
        assert process.wait(60) == 0 and address == url
    finally:
        os.kill(int(number), signal.SIGKILL)


@pytest.mark.parametrize("host", ["192.0.2.7", "evil.example", "1.2.3", "::ffff:192.0.2.7"])
def test_addresses_of_other_machines_are_refused(galen_home: Path, host: str):
    with pytest.raises(UserError, match=f"'{host}' is none of this machine; use .*127.0.0.1"):
        app.serve(None, host=host)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_process_is_left_behind(how: signal.Signals, stories: Path, tmp_path: Path):
    started = RunningApp(tmp_path, stories).wait_until_loaded()
    workers = started.workers()
    assert len(workers) == 1
    assert started.end(how) < 30
    assert started.process.returncode == (0 if how != signal.SIGKILL else -how)
    wait_for(lambda: not workers[0].is_running() or workers[0].status() == psutil.STATUS_ZOMBIE)
    if how != signal.SIGKILL:
        assert not (tmp_path / "app.json").exists() and not (tmp_path / "cache" / "page").exists()


IN_EMPTY_NETWORK = """
import fcntl, socket, struct, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:        # bring lo up; there is nothing else
    flags = struct.unpack("16sh", fcntl.ioctl(handle, 0x8913, struct.pack("16sh", b"lo", 0)))[1]
    fcntl.ioctl(handle, 0x8914, struct.pack("16sh", b"lo", flags | 1))
import urllib.request
from pathlib import Path
from tests.ui.running import RunningApp
started = RunningApp(Path(sys.argv[1]), Path(sys.argv[2])).wait_until_loaded()
page = urllib.request.urlopen(started.url).read()
assert b"gradio_config" in page
print(started.health()["model"], started.outside_connections(), started.end() < 30)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux network namespaces")
def test_whole_app_runs_without_any_network(stories: Path, tmp_path: Path):
    if subprocess.run(["unshare", "-rn", "true"], capture_output=True).returncode:
        pytest.skip("unshare -rn is not allowed here; the connections are watched in the other tests")
    done = subprocess.run(["unshare", "-rn", sys.executable, "-c", IN_EMPTY_NETWORK, str(tmp_path), str(stories)],
                          cwd=runs.ROOT, capture_output=True, text=True, timeout=300)
    assert done.stdout.strip() == "Hf F32 [] True", done.stderr


def test_the_token_is_shown_when_it_is_made_and_never_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    bench = SimpleNamespace(settings=SettingsFile(tmp_path))
    for is_new, shows in ((False, True), (False, False), (True, True)):
        before = bench.settings.value.token
        app._tell_token(bench, is_new)
        said = capsys.readouterr().out
        assert ("galen-" in said) == shows and (bench.settings.value.token != before) == shows
        assert shows or "--new-token" in said
