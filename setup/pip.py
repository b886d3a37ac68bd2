"""One run of pip: what it says on the screen, all of it in a log, why it failed. Standard library only."""

import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

OFFLINE = "no connection to the package index"
MEANINGS = {"No space left on device|Errno 28|not enough space on the disk|quota exceeded": "the disk is full",
            "Failed building wheel": "it did not compile",  # what pip says -> what it means
            "after connection broken|Max retries exceeded|Connection ?(Error|aborted|reset)|TimeoutError": OFFLINE}
# settings that put packages elsewhere, or none, or change what is read below; a user's others count
ASTRAY = ("TARGET", "PREFIX", "ROOT", "PYTHON", "DRY_RUN", "REPORT", "IGNORE_INSTALLED", "NO_DEPS", "REQUIREMENT",
          "EDITABLE", "PLATFORM", "PYTHON_VERSION", "IMPLEMENTATION", "ABI", "PROGRESS_BAR", "QUIET", "VERBOSE")
QUIET = ("--disable-pip-version-check", "--no-input", "--progress-bar=off")


class Progress(threading.Thread):
    """One run of pip on the screen: what, n of m, seconds. One line drawn anew; plain lines where it is no terminal."""
    SAYS = {r"(?:Downloading|Using cached) (?:\S*/)?([^-\s]+)-([^-\s]+?)(?:-\S*|\.tar.gz)(?<!data) (\(.+)": "{} {} {}",
            r"Building wheel for (\S+).*started": "compiling {}", "Installing collected packages": "unpacking"}

    def __init__(self, label: str, total: int = 0):
        super().__init__(daemon=True)
        self.label, self.total, self.seen, self.lines, self.what = label, total, set[str](), list[str](), "starting"
        self.began, self.said, self.ended = time.monotonic(), time.monotonic(), threading.Event()

    def read(self, line: str) -> None:
        """Take in one line of pip's."""
        self.lines.append(line.strip())
        if found := re.match(r"(?:Collecting|Processing|Ignoring|Requirement already \w+:) ([^\s=<>!~:;[]+)", line):
            self.seen.add(found[1])
        for pattern, text in self.SAYS.items():
            if found := re.match(r"\s*" + pattern, line):
                self.show(text.format(*found.groups()))

    def show(self, news: str = "") -> None:
        """Draw: on a terminal always, else when there is news, or once in half a minute."""
        now, self.what = time.monotonic(), news or self.what
        count = f" {min(len(self.seen), self.total)}/{self.total}" if self.total else ""
        text = f"  {self.label}{count}: {self.what}, {now - self.began:.0f} s"
        if sys.stdout.isatty():
            width = shutil.get_terminal_size().columns - 1
            print("\r" + text[:width].ljust(width), end="", flush=True)
        elif news or now - self.said > 30:
            print(text, flush=True)
            self.said = now

    def run(self) -> None:
        while not self.ended.wait(1):
            self.show()


def run(progress: Progress, command: list[str | Path], environment: dict[str, str], log_file: Path) -> str:
    """Run a command of pip's: '' when it succeeded, else why not in a few words. All it says goes to the log."""
    with log_file.open("a", encoding="utf-8", errors="backslashreplace") as log:
        print(time.strftime("\n%Y-%m-%d %H:%M:%S"), *command, file=log, flush=True)
        # close_fds=False: pip inherits the lock, so that a start after a killed one waits for its pip as well
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   text=True, encoding="utf-8", errors="replace", env=environment, close_fds=False)
        progress.start()
        try:
            for line in process.stdout or ():
                log.write(line)
                progress.read(line)
            return "" if process.wait() == 0 else reason(progress.lines)
        finally:
            process.terminate()  # nothing, unless we are here after Ctrl-C or a full disk
            process.wait()
            progress.ended.set()
            print(end="\n" if sys.stdout.isatty() else "")


def reason(lines: list[str]) -> str:
    """Why pip failed, from what it said."""
    for pattern, meaning in MEANINGS.items():
        if re.search(pattern, "\n".join(lines)):
            return meaning
    said = [line for line in lines if line] or ["it said nothing"]
    return ([line for line in said if line.startswith("ERROR:")] or said)[-1].removeprefix("ERROR: ")
