import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from models import runs
from models.errors import UserError
from tests.ui.history.asked import answered
from ui.history import BROKEN, FILE, MIGRATIONS, WHOLE, WRITING, History, Message, new_id


def test_what_was_written_is_read_back(tmp_path: Path):
    history, one = History(tmp_path), new_id()
    answered(history, one, "Is it ‹safe›?", "Yes — 5 mg & less.")
    answered(history, one, "Sure?", "No.")
    history.close()
    turns = History(tmp_path).thread(one)
    assert [(turn.role, turn.text) for turn in turns] == [
        ("user", "Is it ‹safe›?"), ("assistant", "Yes — 5 mg & less."), ("user", "Sure?"), ("assistant", "No.")]
    assert turns[1].state == WHOLE and turns[1].tokens == 3


def test_list_is_ordered_by_last_use_and_titled_by_the_first_words(tmp_path: Path):
    history, one, two = History(tmp_path), new_id(), new_id()
    answered(history, one, "  Ibuprofen\nin the third   trimester " + "and later " * 20, "a")
    answered(history, two, "two", "b")
    answered(history, one, "more", "c")
    listed = history.conversations()
    assert [entry.id for entry in listed] == [one, two]
    assert listed[0].title.startswith("Ibuprofen in the third trimester and") and listed[0].title.endswith("…")
    assert len(listed[0].title) <= 60


def test_each_change_is_seen_in_the_versions(tmp_path: Path):
    history, one = History(tmp_path), new_id()
    seen = [(history.version(one), history.list_version())]
    number, = history.ask(one, "a")
    seen.append((history.version(one), history.list_version()))
    history.finish(one, Message(id=number, role="assistant", text="b"))
    seen.append((history.version(one), history.list_version()))
    history.delete(one)
    seen.append((history.version(one), history.list_version()))
    assert len({version for version, _ in seen}) == 3 and seen[0][0] == seen[3][0] == -1
    assert len({version for _, version in seen[:3]}) == 3


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX file modes")
def test_file_is_the_owners_only(tmp_path: Path):
    History(tmp_path)
    assert (tmp_path / FILE).stat().st_mode & 0o077 == 0


def test_two_writers_lose_nothing(tmp_path: Path):
    one = new_id()
    histories = [History(tmp_path), History(tmp_path)]

    def write(history: History, own: str) -> None:
        for k in range(40):
            answered(history, own, f"q{k}", f"a{k}")

    ids = [one, new_id()]
    threads = [threading.Thread(target=write, args=pair) for pair in zip(histories, ids, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for conversation in ids:
        turns = histories[0].thread(conversation)
        assert [turn.text for turn in turns] == [text for k in range(40) for text in (f"q{k}", f"a{k}")]


WRITER = """
import sys, time
from pathlib import Path
from tests.ui.fakes import FakeSession, chat_of
session = FakeSession()
chat = chat_of(session, Path(sys.argv[1]))
chat.history.unlock(sys.argv[3])
chat.send(sys.argv[2], "tell")
stream = session.streams.get()
for k in range(10_000):
    stream.pieces.put(f"{k} ")
    print(k, flush=True)
    time.sleep(0.005)
"""


@pytest.mark.parametrize("passphrase", ["", "Grüße an die Ärzte"])
def test_kill_loses_at_most_a_second(tmp_path: Path, passphrase: str):
    one = new_id()
    history = History(tmp_path)
    history.set_passphrase("", passphrase)
    history.close()
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), one, passphrase], cwd=runs.ROOT,
                               text=True, stdout=subprocess.PIPE)
    assert process.stdout is not None
    times = {int(process.stdout.readline()): time.monotonic()}          # it has started
    start = time.monotonic()
    while time.monotonic() - start < 2.5:
        times[int(process.stdout.readline())] = time.monotonic()
    process.kill()
    killed = time.monotonic()
    process.wait()
    history = History(tmp_path)
    if passphrase:
        with pytest.raises(UserError, match="not the passphrase"):          # takes nothing from the WAL that is left
            history.unlock("wrong")
    history.unlock(passphrase)
    kept = [int(word) for word in history.thread(one)[-1].text.split()]
    assert kept == list(range(len(kept)))
    assert killed - times.get(kept[-1] + 1, killed) < 2.0      # 1.0, and what a busy machine adds
    assert -process.returncode == signal.SIGKILL


def test_interrupted_answers_are_marked_at_the_next_start(tmp_path: Path):
    history, one = History(tmp_path), new_id()
    number, = history.ask(one, "a")
    history.write(number, "so far")
    assert history.thread(one)[-1].state == WRITING
    assert history.mark_interrupted() == 1
    last = history.thread(one)[-1]
    assert (last.text, last.state) == ("so far", BROKEN) and "closed" in last.problem


def test_bad_files_are_told(tmp_path: Path):
    damaged, newer = tmp_path / "damaged", tmp_path / "newer"
    damaged.mkdir()
    (damaged / FILE).write_bytes(b"not a database at all" * 100)
    with pytest.raises(UserError, match="can not be opened .*Move this file away"):
        History(damaged)
    History(newer).close()
    with sqlite3.connect(newer / FILE) as db:
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    with pytest.raises(UserError, match="newer version of Galen"):
        History(newer)


def test_a_file_damaged_within_is_told_at_the_start_and_later(tmp_path: Path):
    history, one = History(tmp_path), new_id()
    for k in range(40):
        answered(history, one, f"q{k}", "x" * 4000)
    history.close()
    open_already = History(tmp_path)
    open_already._disk._db.execute("PRAGMA shrink_memory")        # it reads from the disk, not from its cache
    size = os.path.getsize(tmp_path / FILE)
    with (tmp_path / FILE).open("r+b") as file:
        file.seek(2 * 4096)
        file.write(b"\xa5" * (size - 2 * 4096))
    with pytest.raises(UserError, match="can not be opened .*damaged. Move this file away"):
        History(tmp_path)
    with pytest.raises(UserError, match="can not be read .*damaged"):
        open_already.thread(one)
    with pytest.raises(UserError, match="can not be saved .*damaged"):
        open_already.mark_interrupted()


OPEN = """
import sys
from pathlib import Path
from models.errors import UserError
from ui.history import History
try:
    History(Path(sys.argv[1]))
except UserError as error:
    print(error)
"""
FILL = 'mount -t tmpfs -o size=64k none "$1" && head -c 1M /dev/zero > "$1/fill" 2>/dev/null; shift 1; exec "$@"'


READ_ONLY = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1"; shift 1; exec "$@"'


@pytest.mark.skipif(sys.platform != "linux", reason="needs a mount of its own")
def test_a_read_only_folder_is_told_as_one(tmp_path: Path):
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode:
        pytest.skip("unshare -rm is not allowed here")
    History(tmp_path).close()
    done = subprocess.run(["unshare", "-rm", "sh", "-c", READ_ONLY, "sh", tmp_path, sys.executable, "-c", OPEN,
                           tmp_path], cwd=runs.ROOT, capture_output=True, text=True)
    assert "can not be opened" in done.stdout and "Make the folder writable" in done.stdout, done


@pytest.mark.skipif(sys.platform != "linux", reason="needs a small disk of its own")
def test_a_full_disk_at_the_start_is_told_as_one(tmp_path: Path):
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode:
        pytest.skip("unshare -rm is not allowed here")
    done = subprocess.run(["unshare", "-rm", "sh", "-c", FILL, "sh", tmp_path, sys.executable, "-c", OPEN, tmp_path],
                          cwd=runs.ROOT, capture_output=True, text=True)
    assert "The disk is full. Free some space" in done.stdout and "away" not in done.stdout, done


def test_questions_that_can_not_be_asked(tmp_path: Path):
    history = History(tmp_path)
    with pytest.raises(UserError, match="not the address of a conversation"):
        history.ask("../../etc", "a")
    with pytest.raises(UserError, match="no question to answer yet"):
        history.ask_again(new_id())
    assert history.conversations() == []


def test_a_full_disk_is_told_and_the_file_stays_whole(tmp_path: Path):
    history, one = History(tmp_path), new_id()
    answered(history, one, "a", "b")
    pages = history._disk._db.execute("PRAGMA page_count").fetchone()[0]
    history._disk._db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(UserError, match="can not be saved .*disk is full. Free some space"):
        history.finish(one, replace(history.thread(one)[-1], text="x" * 100_000))
    assert [turn.text for turn in history.thread(one)] == ["a", "b"]
    assert os.path.getsize(history.path) > 0
