"""Changes of a passphrase that are killed on their way: `python -m tests.ui.history.killed FOLDER OLD NEW FROM STEP`.

Each child of it is killed before another line of our code, FROM and every STEP lines on, until one comes to its end;
then half as many more at moments that nobody chose. What is left must open with one of the two, with every row.
"""

import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

from tests.ui.history.asked import answered, files_holding, whole
from ui.history import File, History, passphrase, store

TYPED = "a question nobody else may read"
OURS = (passphrase.__file__, store.__file__)


def filled(folder: Path) -> None:
    """A history of some 2 MB."""
    history = History(folder)
    for k in range(20):
        answered(history, f"{k:016x}", f"{TYPED} {k}", f"{TYPED}, and its answer {k} " * 40)
    picture = File(name="a.png", kind="picture", data=random.Random(1).randbytes(10**6))
    whole(history, "0" * 16, *history.ask("0" * 16, "look", files=(picture,)), "seen")
    history.close()


def rows(history: History) -> list[Any]:
    """Everything that is in it."""
    return [json.loads(history.export_json(one.id)) for one in history.conversations()]


def change(folder: Path, old: str, new: str, lines: int, ready: int) -> None:
    """In a child: change the passphrase, but be killed before that many lines; 0: at its end."""
    history = History(folder)
    history.unlock(old)
    left = lines

    def count(frame: Any, event: str, _: Any) -> Any:
        nonlocal left
        if frame.f_code.co_filename not in OURS:
            return None
        left -= event == "line"
        if left == 0 and event == "line":
            os.kill(os.getpid(), signal.SIGKILL)
        return count

    os.write(ready, b".")
    if lines:
        sys.settrace(count)
    history.set_passphrase(old, new)
    os._exit(0)


def trial(base: Path, old: str, new: str, lines: int, after_s: float = 0.0) -> tuple[str, float]:
    """Kill one child. Returns which passphrase opens what it left ("old", "new"), "end" if it came to its end; and
    how long the change had taken."""
    folder = base.with_name("trial")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(base, folder)
    heard, ready = os.pipe()
    child = os.fork()
    if not child:
        change(folder, old, new, lines, ready)
    os.close(ready)
    os.read(heard, 1)
    os.close(heard)
    began = time.monotonic()
    if after_s:
        time.sleep(after_s)
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    took = time.monotonic() - began
    found = opened(folder, old, new)
    return ("end" if status == 0 else found), took


def opened(folder: Path, old: str, new: str) -> str:
    """Which of the two opens the file. AssertionError if neither does, or if anything is missing or left behind."""
    history = History(folder)
    key = new if history.is_encrypted == bool(new) and passphrase.fits(history.path, new) else old
    history.unlock(key)
    assert rows(history) == EXPECTED
    assert not [path.name for path in folder.iterdir() if ".part" in path.name or "journal" in path.name]
    assert history.is_encrypted == bool(key)
    if key:
        assert files_holding(folder, TYPED) == []
    history.close()
    return "new" if key == new else "old"


if __name__ == "__main__":
    home, was, then, first, step = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
    start = home / "start"
    filled(start)
    made = History(start)
    EXPECTED = rows(made)
    if was:
        made.set_passphrase("", was)
    made.close()
    outcomes, longest = [], 0.0
    while not outcomes or outcomes[-1] != "end":
        outcome, longest = trial(start, was, then, first + step * len(outcomes))
        outcomes.append(outcome)
    chance = random.Random(first)
    outcomes += [trial(start, was, then, 0, chance.uniform(0.01, longest))[0] for _ in outcomes[::2]]
    print(json.dumps(outcomes))
