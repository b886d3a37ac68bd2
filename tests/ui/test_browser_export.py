"""The export page in a real Chromium: from a model to a chat with the checked file, over a reload and a kill."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from models import runs
from tests.ui.chatting import ask, wait_until_done
from tests.ui.conftest import CHROMIUM, reload
from tests.ui.fakes import wait_for
from tests.ui.running import RunningApp

pytestmark = [pytest.mark.browser, pytest.mark.skipif(not CHROMIUM, reason="needs Debian's chromium")]

TABLE, PROGRESS, RESULT = "#export-table", "#export-progress", "#export-result"
SLOW_MS = 120_000


def pid_of(folder: Path) -> int:
    return wait_for(lambda: (folder / runs.PID).exists() and runs.read_json(folder / runs.PID)["pid"])


def test_from_a_model_to_a_chat_with_its_checked_file(tmp_path: Path, open_page: Callable[..., Any]):
    app = RunningApp(tmp_path / "home", None).wait_until_loaded()
    try:
        page = open_page(app.url + "/export")
        page.wait_for_function(f"document.querySelector('{TABLE}').innerText.includes('10.8 MB')", timeout=SLOW_MS)
        assert "Nothing exported yet" in page.inner_text("#export-runs")
        page.uncheck(f"{TABLE} input[value=Q4_K_M]")
        page.click("#export-start")
        page.wait_for_selector(f"{PROGRESS} progress", timeout=SLOW_MS)
        page.wait_for_url("**/export?run=export-demo-*")
        folder = app.home / "runs" / page.url.partition("run=")[2]
        pid = pid_of(folder)
        psutil.Process(pid).send_signal(signal.SIGSTOP)             # it holds still while Galen goes and comes back
        reload(page)
        page.wait_for_selector(f"{PROGRESS} button", timeout=SLOW_MS)
        app.end(signal.SIGKILL)
        psutil.Process(pid).send_signal(signal.SIGCONT)
        app = RunningApp(tmp_path / "home", None).wait_until_loaded()
        page = open_page(f"{app.url}/export?run={folder.name}")
        page.wait_for_selector(f"{RESULT} .file button", timeout=SLOW_MS)
        page.wait_for_function(f"document.querySelector('{TABLE}').innerText.includes('10.8 MB')", timeout=SLOW_MS)
        assert pid_of(folder) == pid                                # the same process, not a second one
        row = page.locator(f"{TABLE} tr", has=page.locator("input[value=Q8_0]"))
        assert "✓ passed" in row.inner_text() and "tok/s" in row.inner_text() and "10.8 MB" in row.inner_text()
        assert page.is_checked(f"{TABLE} input[value=Q8_0]") and not page.is_checked(f"{TABLE} input[value=Q4_K_M]")
        tick = page.locator(f"{RESULT} details", has_text="mean KL divergence").first
        tick.locator("summary").click()
        assert "Found 0.00" in tick.inner_text() and "allowed 0.01" in tick.inner_text()
        picture = page.locator(f"{RESULT} svg")
        assert picture.locator("circle.dot").count() == 1 and "size, MB" in str(picture.text_content())
        page.click(f"{RESULT} .file button")
        wait_for(lambda: page.wait_for_timeout(50) or page.url.rstrip("/") == app.url)
        page.wait_for_selector("#box textarea", timeout=SLOW_MS)
        wait_for(lambda: app.health()["model"] and str(folder) in str(chosen(app)))
        ask(page)
        assert wait_until_done(page)
    finally:
        app.end()


def chosen(app: RunningApp) -> list[str]:
    """What the model's process has open: the file that answers."""
    return [one.path for worker in app.workers() for one in worker.memory_maps() if one.path.endswith(".gguf")]


def test_what_does_not_work_is_said_where_it_happened(app: RunningApp, open_page: Callable[..., Any]):
    out = app.home / "runs" / "export-old" / runs.EXPORT
    out.mkdir(parents=True)
    runs.write_json(out.parent / runs.CONFIG, {"source": str(runs.DEMO_BASE), "types": ["Q8_0"]})
    runs.write_json(out.parent / runs.RESULT, {"folder": str(out), "files": []})
    (out.parent / runs.EVENTS).write_text('{"t": 5, "kind": "done"}\n')
    (out.parent / runs.PID).write_text('{"pid": 4000000, "started": 4}')
    runs.write_json(out / runs.REPORT, {"files": [{"name": "<img src=x>.gguf", "type": "Q8_0", "status": "red",
                                                   "bytes": 5, "checks": [{"name": "a <b>", "is_ok": False}]}]})
    (out / "SHA256SUMS").write_text("")
    page = open_page(app.url + "/export?run=export-old")
    page.wait_for_selector(f"{RESULT} .file")
    assert "<img src=x>.gguf" in page.inner_text(RESULT) and page.locator(f"{RESULT} img").count() == 0
    assert page.locator(f"{RESULT} .file button").count() == 0      # nobody chats with a file that failed
    found = pytest.importorskip("axe_playwright_python.sync_playwright").Axe().run(page).response["violations"]
    assert not [one for one in found if one["impact"] in ("serious", "critical")]
    page.click("#export-ollama")
    page.wait_for_function("document.body.innerText.includes('has no name in Ollama yet')")
    for box in page.locator(f"{TABLE} input:checked").all():
        box.uncheck()
    page.click("#export-start")
    page.wait_for_function("document.body.innerText.includes('No type is ticked')")
    page.get_by_label("Name in Ollama").fill("notes:q8")
    page.click("#export-ollama")
    page.wait_for_selector(f"{PROGRESS} .problem", timeout=SLOW_MS)
    assert "holds no" in page.inner_text(f"{PROGRESS} .problem")
    page.click("text=Push to the hub >> nth=0")
    page.get_by_label("Repository").fill("owner/name")
    page.click("#export-push")
    page.wait_for_function("document.body.innerText.includes('Galen is offline, so it can not push to the hub')")
