import http.server
import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from models import runs
from ui import instance

HOLDER = "import sys, time; from pathlib import Path; from ui import instance\n" \
         "held = instance.claim(Path(sys.argv[1])); print(held is not None, flush=True); time.sleep(60)"


class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"status": "ok" if self.path == "/health" else "?"}).encode())

    def log_message(self, *args):
        pass


@pytest.fixture
def health_url():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Health)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_one_at_a_time_and_again_after_release(tmp_path: Path):
    first = instance.claim(tmp_path)
    assert first is not None and instance.claim(tmp_path) is None
    first.release()
    second = instance.claim(tmp_path)
    assert second is not None
    second.release()


def test_killed_holder_leaves_the_folder_free(tmp_path: Path):
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], cwd=runs.ROOT, text=True,
                               stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline().strip() == "True"
    assert instance.claim(tmp_path) is None
    process.kill()
    process.wait()
    held = instance.claim(tmp_path)
    assert held is not None
    held.release()


def test_second_start_finds_the_page_of_the_first(tmp_path: Path, health_url: str):
    held = instance.claim(tmp_path)
    assert held is not None
    threading.Timer(0.3, held.publish, [health_url]).start()        # it is still starting when the second one asks
    assert instance.running_url(tmp_path, wait_s=60.0) == health_url
    held.release()
    assert not (tmp_path / instance.ADDRESS_FILE).exists()


def test_stale_address_is_not_believed(tmp_path: Path):
    (tmp_path / instance.ADDRESS_FILE).write_text('{"url": "http://127.0.0.1:9"}')
    assert instance.running_url(tmp_path, wait_s=0.2) is None
    for written in ("half a fi", "[]", '{"url": 5}'):
        (tmp_path / instance.ADDRESS_FILE).write_text(written)
        assert instance.running_url(tmp_path, wait_s=0.0) is None


@pytest.mark.parametrize("url", ["http://192.0.2.1:7860", "http://galen.example:7860", "http://127.0.0.1.example",
                                 "https://127.0.0.1:9", "nothing"])
def test_no_other_machine_is_asked(url: str):
    """A folder that was copied, or that two machines share, may name the Galen of another one."""
    code = ("import sys; seen = []; sys.addaudithook(lambda name, values: name in ('socket.connect', "
            "'socket.getaddrinfo') and seen.append(str(values)))\n"
            "from ui import instance; from ui.api import addresses; seen.clear()\n"
            "print(instance.is_answering(sys.argv[1]), [one for one in seen if 'example' in one or '192.0' in one "
            "or ', 9)' in one])")
    said = subprocess.run([sys.executable, "-c", code, url], cwd=runs.ROOT, capture_output=True, text=True)
    assert said.stdout.strip() == "False []", said.stderr


def test_needs_the_standard_library_only():
    code = "import sys, ui.instance; print([m for m in ('gradio', 'fastapi', 'models.runs') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], cwd=runs.ROOT, text=True).strip() == "[]"
