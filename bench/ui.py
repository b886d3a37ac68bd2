"""Is the page quick to be there, small in memory, and as fast as the model behind it? One JSON object last.

    .venv/bin/python bench/ui.py                  every key
    .venv/bin/python bench/ui.py --only ready     from the command to a page one can type in, beside a bare gr.Blocks
    .venv/bin/python bench/ui.py --only page      tokens/s of a 1B-shaped model in Chromium, beside the session alone

ready needs a checkout that is set up (python launcher.py), page the tokenizer in ../shared/data; both a Chromium.
Everything runs on the cores named by --cores, server, model and browser together (Linux).
"""

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from playwright.sync_api import Browser, sync_playwright

from bench.random_gemma import random_gemma
from models import runs
from runtime.config import LoadConfig, SampleConfig
from runtime.session import Session

BOX = "#box textarea"
SWITCHES = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
            "--disable-component-update", "--disable-sync"]
BARS = {"ready_vs_bare": 1.5, "main_mb": 350.0, "page_vs_session": 0.80}
QUESTION = "Tell a long story."
TOKENS = 1024                   # the longest answer, here and on the page
BARE = """
import gradio as gr, uvicorn
from fastapi import FastAPI
with gr.Blocks() as demo:
    gr.Textbox(elem_id="box")
app = gr.mount_gradio_app(FastAPI(), demo, path="/")
import socket
with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
class Told(uvicorn.Server):
    async def startup(self, sockets=None):
        await super().startup(sockets)
        print(f"Bare runs at http://127.0.0.1:{port} ", flush=True)
Told(uvicorn.Config(app, port=port, log_level="warning")).run()
"""
# notes from within the page when the answer's words came; looking at each frame would cost more than the page itself
WATCH = """() => {
    window.times = [];
    let before = 0;
    new MutationObserver(() => {
        const rows = document.querySelectorAll("#scroll .bot-row .prose");
        const length = rows.length ? rows[rows.length - 1].textContent.length : 0;
        if (length > before && !document.querySelector("#scroll p.waiting")) {
            window.times.push([performance.now(), length]);
        }
        before = length;
    }).observe(document.querySelector("#scroll"), {childList: true, subtree: true, characterData: true});
}"""


@contextmanager
def started(words: list[str], home: Path) -> Iterator[tuple[str, subprocess.Popen[str], float]]:
    """A server process: its address, the process, and when it was started."""
    began = time.monotonic()
    process = subprocess.Popen(words, cwd=runs.ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               env={**os.environ, "GALEN_HOME": str(home), "GRADIO_ANALYTICS_ENABLED": "False"})
    assert process.stdout is not None
    try:
        said = ""
        while not (found := re.search(r" at (http://\S+)", said)):
            said = process.stdout.readline()
            if not said:
                raise RuntimeError(f"{words} ended instead of starting")
        yield found[1], process, began
    finally:
        process.terminate()
        process.wait(20)


def usable_s(browser: Browser, url: str, began: float) -> float:
    """Seconds from the command until a person can type into the page's box."""
    context = browser.new_context()
    tab = context.new_page()
    tab.goto(url)
    tab.wait_for_selector(BOX, state="visible")
    tab.fill(BOX, "a")
    seconds = time.monotonic() - began
    context.close()
    return seconds


def ready(browser: Browser, rounds: int) -> dict[str, Any]:
    """ready_vs_bare: medians of several starts in turns; main_mb: the main process some seconds later (PSS)."""
    if not (runs.ROOT / ".venv").is_dir():
        sys.exit("This checkout is not set up; run python launcher.py setup first.")
    python = runs.ROOT / ".venv" / "bin" / "python"
    ours: list[float] = []
    bare: list[float] = []
    main_mb = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for k in range(rounds + 1):                     # the first one warms both up
            words = [sys.executable, "launcher.py", "start", "--no-browser"]
            with started(words, Path(folder)) as (url, process, began):
                seconds = usable_s(browser, url, began)
                time.sleep(2)
                main_mb = max(main_mb, psutil.Process(process.pid).memory_full_info().pss / 1e6)
            ours += [seconds] if k else []
            with started([str(python), "-c", BARE], Path(folder)) as (url, _, began):
                seconds = usable_s(browser, url, began)
            bare += [seconds] if k else []
    return {"ready_vs_bare": statistics.median(ours) / statistics.median(bare), "ready_s": statistics.median(ours),
            "bare_s": statistics.median(bare), "main_mb": main_mb}


def page(browser: Browser, rounds: int) -> dict[str, Any]:
    """page_vs_session: medians of tokens/s, in the page and of the session alone, in turns on the same file."""
    model = random_gemma()
    ours: list[float] = []
    alone: list[float] = []
    script = ("import sys; from pathlib import Path; from runtime.session import Session; from ui import app; "
              "app.serve(Session(), model=Path(sys.argv[1]))")
    for k in range(rounds + 1):
        with tempfile.TemporaryDirectory() as folder, started([sys.executable, "-c", script, str(model)],
                                                              Path(folder)) as (url, _, _began):
            speed = _page_speed(browser, url)
        ours += [speed] if k else []
        speed = _session_speed(model)
        alone += [speed] if k else []
    return {"page_vs_session": statistics.median(ours) / statistics.median(alone),
            "page_tokens_per_s": statistics.median(ours), "session_tokens_per_s": statistics.median(alone)}


def _page_speed(browser: Browser, url: str) -> float:
    """Tokens/s of one answer as the page shows it, from its first words to the line under it."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    tab = context.new_page()
    tab.goto(url)
    tab.wait_for_selector(BOX)
    tab.wait_for_function("document.querySelector('#facts').innerText.includes('tokens')", timeout=120_000)
    tab.evaluate(WATCH)
    tab.fill(BOX, QUESTION)
    tab.keyboard.press("Enter")
    tab.wait_for_selector("#line span", timeout=300_000)
    times = tab.evaluate("window.times")
    tokens = int(re.sub(r"\D", "", tab.inner_text("#line span:nth-child(2)")))
    context.close()
    return (tokens - 1) / ((times[-1][0] - times[0][0]) / 1000)


def _session_speed(model: Path) -> float:
    """Tokens/s of the same length from the session itself, clocked by its reader."""
    session = Session()
    try:
        session.load(model, LoadConfig())
        stream = session.chat([{"role": "user", "content": QUESTION}], SampleConfig(max_tokens=TOKENS))
        times = [time.monotonic() for _ in stream]
        assert stream.end is not None
        return (stream.end.generated_tokens - 1) / (times[-1] - times[0])
    finally:
        session.close()


MEASURES: dict[str, Callable[[Browser, int], dict[str, Any]]] = {"ready": ready, "page": page}


def main() -> None:
    """Measure what is asked for and print it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", choices=MEASURES)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cores", type=int, default=2)
    options = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:options.cores])
    found: dict[str, Any] = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium") or shutil.which("chromium-browser"), args=SWITCHES)
        for name, measure in MEASURES.items():
            if options.only in (None, name):
                found |= measure(browser, options.rounds)
        browser.close()
    for name, value in found.items():
        bar = f"   bar {BARS[name]}" if name in BARS else ""
        print(f"{name:24} {value:10.3f}{bar}")
    print(json.dumps({**found, "cores": options.cores, "rounds": options.rounds}))


if __name__ == "__main__":
    main()
