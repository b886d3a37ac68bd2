"""A window of its own for the page: the app mode of a browser that is here, or pywebview where that is installed.

`python -m ui.window URL PROFILE` is the child that holds it: it ends when the window is closed, and closes the window
when its stdin ends, so no window outlives its Galen, however that ends.
"""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from models import outside
from runtime import child

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "microsoft-edge",
         "microsoft-edge-stable", "brave-browser", "vivaldi")
MAC = ("Google Chrome", "Microsoft Edge", "Chromium", "Brave Browser", "Vivaldi")
WINDOWS = (r"Microsoft\Edge\Application\msedge.exe", r"Google\Chrome\Application\chrome.exe",
           r"Chromium\Application\chrome.exe", r"BraveSoftware\Brave-Browser\Application\brave.exe")
# a profile of its own, which tells nobody that it is there, fetches no updates, and keeps no login of other pages
SWITCHES = ("--no-first-run", "--no-default-browser-check", "--disable-background-networking", "--disable-sync",
            "--disable-component-update", "--disable-default-apps", "--disable-extensions", "--disable-breakpad",
            "--disable-domain-reliability", "--disable-client-side-phishing-detection", "--metrics-recording-only",
            "--disable-features=Translate,OptimizationHints,MediaRouter", "--class=Galen", "--window-size=1280,860")
PROFILE = "window"              # in the cache
NO_BROWSER, FAILED = 3, 4       # exit statuses
SHORT_S = 3.0                   # a browser that ends with an error so soon has shown nothing
END_WAIT_S = 5.0
PROBLEMS = {NO_BROWSER: "There is no Chromium, Chrome, Edge, Brave or Vivaldi here for a window of its own.",
            FAILED: "The browser did not open a window of its own."}


class Window:
    """The child that holds the window, as the server sees it."""

    def __init__(self, url: str, home: Path):
        """Open url in a window whose profile lies in the cache of home."""
        self._process = subprocess.Popen(child.command("ui.window", url, str(home / "cache" / PROFILE)),
                                         stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, **child.options())

    @property
    def is_closed(self) -> bool:
        """True once the person has closed it, or it could not be opened."""
        return self._process.poll() is not None

    @property
    def problem(self) -> str:
        """Why it could not be opened, one sentence; "" otherwise."""
        status = self._process.poll()
        return "" if not status else PROBLEMS.get(status, PROBLEMS[FAILED])

    def close(self) -> None:
        """Close it, and wait until it is gone."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(2 * END_WAIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def browsers() -> Iterator[str]:
    """The programs here that can show a page without tabs, in the order to try them."""
    if sys.platform == "win32":
        roots = [os.environ.get(name, "") for name in ("PROGRAMFILES(X86)", "PROGRAMFILES", "LOCALAPPDATA")]
        places = [Path(root, name) for name in WINDOWS for root in roots if root]
    elif sys.platform == "darwin":
        roots = ["/Applications", str(Path.home() / "Applications")]
        places = [Path(root, f"{name}.app/Contents/MacOS/{name}") for name in MAC for root in roots]
    else:
        places = [Path(found) for name in NAMES if (found := shutil.which(name))]
    yield from (str(place) for place in places if place.is_file())


def main(url: str, profile: str) -> int:
    """Hold the window until it is closed; the exit status."""
    browser = next(browsers(), "")
    if browser:
        return _app_mode(browser, url, profile)
    if find_spec("webview"):
        threading.Thread(target=_leave_with_parent, daemon=True).start()
        webview: Any = import_module("webview")         # none of our packages: whoever wants it installs it
        webview.create_window("Galen", url, width=1280, height=860)
        webview.start()
        return 0
    return NO_BROWSER


def _app_mode(browser: str, url: str, profile: str) -> int:
    ended = threading.Event()
    began = time.monotonic()
    process = subprocess.Popen([browser, f"--app={url}", f"--user-data-dir={profile}", *SWITCHES],
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               start_new_session=sys.platform != "win32")

    def close() -> None:
        _wait_for_parent()
        ended.set()
        _end(process)

    closing = threading.Thread(target=close, daemon=True)
    closing.start()
    status = process.wait()
    if ended.is_set():
        closing.join()
    return FAILED if status and not ended.is_set() and time.monotonic() - began < SHORT_S else 0


def _end(process: subprocess.Popen) -> None:
    """End a browser with all its processes: asked first, so that it closes its profile."""
    process.terminate()
    try:
        process.wait(END_WAIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
    if sys.platform != "win32":
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return                              # all of them ended by themselves


def _leave_with_parent() -> None:
    _wait_for_parent()
    os._exit(0)


def _wait_for_parent() -> None:
    """Until stdin ends; without its buffer, as a thread that holds that one's lock would abort Python's own end."""
    while os.read(0, 1):
        continue


if __name__ == "__main__":
    outside.watch()
    sys.exit(main(*sys.argv[1:]))
