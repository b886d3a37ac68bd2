"""Are many conversations listed, searched and opened at once, with and without a passphrase? One JSON object last.

    .venv/bin/python bench/history.py                        1,000 conversations of 50 messages
    .venv/bin/python bench/history.py --conversations 100    fewer

list_of_bar and search_of_bar are the slowest of their kind against 0.3 s and 0.2 s (1.0 = as slow as may be);
raw holds the seconds, plain and under a passphrase. Each is the median of 5 in a process that has just opened the file;
search is one word of 1 in 5,000 messages, one of nearly all, two together, a part of a word, two letters, and nothing.
"""

import argparse
import json
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from ui.history import History, Message, new_id

LIST_S, SEARCH_S = 0.3, 0.2
PASSPHRASE = "correct horse"
SHOWN = 50                      # lines of the list that the page asks for at once
SYLLABLES = ("ba", "cor", "di", "en", "fal", "gra", "hep", "in", "jo", "ka", "lim", "mor", "neu", "op", "pre", "qui",
             "ros", "sta", "tri", "ul", "ven", "xy", "zol", "ine", "ol")
ROUNDS = 5


class Words:
    """Made-up words, the first ones often and the last ones seldom, as in a language."""

    def __init__(self, count: int = 20_000):
        self._chance = random.Random(7)
        self.all = ["".join(self._chance.choices(SYLLABLES, k=self._chance.randint(2, 4))) for _ in range(count)]
        self._weights = [1 / (k + 5) for k in range(count)]

    def text(self, length: int) -> str:
        """So many words."""
        return " ".join(self._chance.choices(self.all, self._weights, k=length))


def filled(folder: Path, conversations: int, words: Words) -> float:
    """Ask and answer as the chat does; 12 words a question, 150 an answer. Returns seconds for one of both."""
    history = History(folder)
    began = time.perf_counter()
    for _ in range(conversations):
        one = new_id()
        for _ in range(25):
            number, = history.ask(one, words.text(12))
            history.finish(one, Message(id=number, role="assistant", text=words.text(150), tokens=200))
    took = (time.perf_counter() - began) / conversations / 25
    history.close()
    return took


def median_s(call: Callable[[], Any]) -> float:
    """Seconds of one call."""
    taken = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        call()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def measured(folder: Path, words: Words, passphrase: str) -> dict[str, float]:
    """Seconds of everything that a page waits for."""
    began = time.perf_counter()
    history = History(folder)
    history.unlock(passphrase)
    seconds = {"open": time.perf_counter() - began}
    lines = history.conversations()
    rare, often = words.all[-1], words.all[0]
    queries = {"rare": rare, "often": often, "two": f"{often} {words.all[5000]}", "part": often[1:4],
               "letters": "ul", "nothing": "zzzz", "nothing_letters": "zz"}
    seconds["list"] = median_s(lambda: history.conversations("", SHOWN))
    seconds["list_all"] = median_s(history.conversations)
    seconds["list_version"] = median_s(history.list_version)
    for name, query in queries.items():
        seconds[f"search_{name}"] = median_s(lambda query=query: history.conversations(query, SHOWN))
    seconds["count"] = median_s(lambda: history.count(often))
    seconds["thread"] = median_s(lambda: history.thread(lines[0].id))
    number, = history.ask(lines[0].id, "more")
    seconds["write"] = median_s(lambda: history.write(number, words.text(150)))
    seconds["finish"] = median_s(lambda: history.finish(
        lines[0].id, Message(id=number, role="assistant", text=words.text(150))))
    history.delete(lines[-1].id)
    began = time.perf_counter()
    history.close()
    seconds["purge"] = time.perf_counter() - began
    return seconds


def main() -> None:
    """Fill a folder, measure it, give it a passphrase, measure it again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--conversations", type=int, default=1000)
    count = parser.parse_args().conversations
    folder, words = Path(tempfile.mkdtemp(prefix="history-")), Words()
    try:
        turn_s = filled(folder, count, words)
        plain = measured(folder, words, "")
        history = History(folder)
        began = time.perf_counter()
        history.set_passphrase("", PASSPHRASE)
        set_s = time.perf_counter() - began
        history.close()
        encrypted = measured(folder, words, PASSPHRASE)
        size_mb = (folder / "history.sqlite").stat().st_size / 1e6
    finally:
        shutil.rmtree(folder)
    both = (plain, encrypted)
    told = {
        "conversations": count, "size_mb": round(size_mb, 1),
        "list_of_bar": max(side[name] for side in both for name in side if name.startswith("list")) / LIST_S,
        "search_of_bar": max(side[name] for side in both for name in side if name.startswith("search")) / SEARCH_S,
        "search_encrypted_vs_plain": encrypted["search_rare"] / plain["search_rare"],
        "raw": {"turn_s": turn_s, "set_passphrase_s": set_s, "plain_s": plain, "encrypted_s": encrypted},
    }
    print(json.dumps(json.loads(json.dumps(told), parse_float=lambda text: round(float(text), 5))))


if __name__ == "__main__":
    main()
