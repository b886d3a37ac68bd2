"""Take the pictures of the README from the real app: `python -m tests.ui.take_pictures [FOLDER]`."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from models import library, runs
from tests.ui.running import RunningApp

SWITCHES = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
            "--disable-component-update", "--disable-sync"]
QUESTIONS = ("How is high blood pressure treated?", "What are the symptoms of asthma?")
TRIES = 30                                              # until an answer is short enough to be seen whole
FITS = """(() => { const thread = document.querySelector("#scroll");
                   return thread.scrollHeight <= thread.clientHeight; })()"""
SIZES = {"": (1440, 900), "-1024": (1024, 768), "-390": (390, 844)}


def take(browser: Browser, url: str, target: Path, scheme: str, size: tuple[int, int]) -> None:
    """One picture of the conversation at url."""
    context = browser.new_context(color_scheme=scheme, viewport={"width": size[0], "height": size[1]})
    page = context.new_page()
    page.goto(url)
    page.wait_for_selector("#line span")
    page.wait_for_function("document.querySelector('#facts').innerText.includes('tokens')")
    page.wait_for_timeout(800)                          # the thread has scrolled to its end
    page.screenshot(path=target)
    context.close()


def ask(page: Page, url: str, question: str) -> None:
    """Ask in a new conversation, and again until question and answer fit the window."""
    page.goto(url)
    page.wait_for_selector("#empty h1")
    page.fill("#box textarea", question)
    page.keyboard.press("Enter")
    page.wait_for_selector(".user-row")
    for _ in range(TRIES):
        page.wait_for_selector("#line span", timeout=60_000)
        page.wait_for_timeout(500)
        if page.evaluate(FITS):
            return
        page.click("#again")
        page.wait_for_selector("#line span", state="detached")


def trained(page: Page, url: str, home: Path) -> None:
    """The demonstration's training, as the Train page shows it when it has ended."""
    subprocess.run([sys.executable, "-m", "ui.commands", "train", "demo", "--run", str(home / "runs" / "demonstration"),
                    "--data", str(runs.ROOT / "corpus/demo/train.csv")], cwd=runs.ROOT, check=True,
                   env={**os.environ, "GALEN_HOME": str(home)})
    page.goto(url + "/train?run=demonstration")
    page.wait_for_selector("#train-run svg")
    page.locator("#train-run").scroll_into_view_if_needed()


def main() -> None:
    """Write the pictures of the chat, light and dark (a FOLDER gets the smaller sizes as well), Models and Train."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else runs.ROOT / "docs" / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as home, sync_playwright() as playwright:
        app = RunningApp(Path(home), library.demo_gguf()).wait_until_loaded()
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=SWITCHES)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        for question in QUESTIONS:
            ask(page, app.url, question)
        for scheme in ("light", "dark"):
            for name, size in SIZES.items():
                if not name or len(sys.argv) > 1:       # the README shows the wide ones only
                    take(browser, page.url, folder / f"chat-{scheme}{name}.png", scheme, size)
        page.goto(app.url + "/models")
        page.wait_for_selector("text=Recommended for this computer", timeout=120_000)     # the speed is measured
        page.screenshot(path=folder / "models-light.png")
        trained(page, app.url, Path(home))
        page.wait_for_timeout(800)
        page.screenshot(path=folder / "train-light.png")
        browser.close()
        app.end()


if __name__ == "__main__":
    main()
