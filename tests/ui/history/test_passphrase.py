import json
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from models import runs
from models.errors import UserError
from tests.ui.history.asked import answered, files_holding, whole
from ui.history import BROKEN, FILE, File, History, Locked, Message, new_id

TYPED = "Grüße: my very private question"
PASSPHRASE = "it's a \"long\" Passwörtchen; --"


def everything(history: History) -> list[str]:
    return [history.export_json(one.id) for one in history.conversations()]


def filled(folder: Path) -> History:
    history = History(folder)
    for k in range(3):
        one = new_id()
        answered(history, one, f"{TYPED} {k}", f"{TYPED}, answer {k} " * 50)
        history.ask_again(one, '{"system": "' + TYPED + '"}')
    number, = history.ask(new_id(), TYPED, files=(File(name=TYPED, kind="picture", data=TYPED.encode()),))
    whole(history, history.conversations()[0].id, number, "seen")
    history.save_preset(TYPED[:20], "{}")
    history.mark_interrupted()
    return history


def test_no_row_is_lost_over_set_change_and_remove(tmp_path: Path):
    history = filled(tmp_path)
    before, presets = everything(history), history.presets()
    version = history.list_version()
    for old, new in (("", "a"), ("a", PASSPHRASE), (PASSPHRASE, PASSPHRASE), (PASSPHRASE, ""), ("", PASSPHRASE)):
        history.set_passphrase(old, new)
        assert history.is_encrypted == bool(new) and not history.is_locked
        assert everything(history) == before and history.presets() == presets
        assert len(history.conversations("private answer")) == 3
        answered(history, history.conversations()[-1].id, "goes on", "well")
        before = everything(history)
    assert history.list_version() != version
    history.close()
    history = History(tmp_path)
    assert history.is_locked
    history.unlock(PASSPHRASE)
    assert everything(history) == before
    with history._disk.reading() as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_nothing_can_be_read_with_a_passphrase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    history = filled(tmp_path)
    assert FILE in files_holding(tmp_path, TYPED) or FILE + "-wal" in files_holding(tmp_path, TYPED)
    history.set_passphrase("", PASSPHRASE)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == [
        "history.lock", FILE, FILE + "-shm", FILE + "-wal"]
    running, = history.ask(history.conversations()[0].id, TYPED)
    for k in range(200):
        history.write(running, f"{TYPED} " * k)
    history.rename(history.conversations()[0].id, TYPED)
    history.conversations(TYPED)
    history.thread(history.conversations()[0].id)
    history.delete(history.conversations()[0].id)
    assert (tmp_path / (FILE + "-wal")).stat().st_size > 100_000
    for word in (TYPED, "private", PASSPHRASE, "conversation", "CREATE TABLE"):
        assert files_holding(tmp_path, word) == [], word
    history.close()
    assert files_holding(tmp_path, "private") == [] and not (tmp_path / (FILE + "-wal")).exists()


def test_the_plain_file_is_overwritten_and_not_only_unlinked(tmp_path: Path):
    if sys.platform == "win32":
        pytest.skip("Windows replaces no open file")
    history = filled(tmp_path)
    history._disk.fold()
    (tmp_path / "second name").hardlink_to(tmp_path / FILE)
    assert files_holding(tmp_path, TYPED) == [FILE, "second name"]
    history.set_passphrase("", PASSPHRASE)
    assert files_holding(tmp_path, TYPED) == [] and not any((tmp_path / "second name").read_bytes())


def test_everything_is_refused_while_locked(tmp_path: Path):
    history = filled(tmp_path)
    one = history.conversations()[0].id
    running, = history.ask(one, "x")
    with pytest.raises(UserError, match="no passphrase yet"):
        history.lock()
    history.set_passphrase("", PASSPHRASE)
    history.lock()
    history.lock()
    assert history.is_locked and history.is_encrypted
    for call in (history.conversations, history.list_version, history.presets, history.start_private,
                 lambda: history.thread(one), lambda: history.ask(one, "y"), lambda: history.write(running, "late"),
                 lambda: history.finish(one, Message(id=running, role="assistant", text="late")),
                 lambda: history.copy(tmp_path / "copy"),
                 lambda: history.set_passphrase(PASSPHRASE, ""), lambda: history.export_json(one)):
        with pytest.raises(Locked, match="Unlock them with your passphrase"):
            call()
    assert history.mark_interrupted() == 0
    history.unlock(PASSPHRASE)
    history.unlock("ignored: it is open")
    assert history.thread(one)[-1].state == BROKEN              # nobody can have gone on writing it
    history.close()


TRY = """
import sys, time
from pathlib import Path
from models.errors import UserError
from ui.history import History
history = History(Path(sys.argv[1]))
began = time.monotonic()
try:
    history.unlock(sys.argv[2])
except UserError as error:
    print(error)
print(time.monotonic() - began)
print(history.is_locked)
"""


def test_a_wrong_passphrase_is_refused_and_each_costs_more(tmp_path: Path):
    history = filled(tmp_path)
    history.set_passphrase("", PASSPHRASE)
    history.lock()
    took = []
    for wrong in ("", PASSPHRASE + "e"):
        began = time.monotonic()
        with pytest.raises(UserError, match="not the passphrase of these conversations"):
            history.unlock(wrong)
        took.append(time.monotonic() - began)
    assert took[0] >= 1.0 and took[1] >= 2.0 and history.is_locked
    done = subprocess.run([sys.executable, "-c", TRY, tmp_path, "again"], cwd=runs.ROOT, capture_output=True, text=True)
    said, seconds, is_locked = done.stdout.splitlines()         # another process does not begin anew
    assert "not the passphrase" in said and float(seconds) >= 4.0 and is_locked == "True" and not done.stderr
    assert json.loads((tmp_path / "history.tries").read_text())["wrong"] == 3
    history.unlock(PASSPHRASE)
    assert not (tmp_path / "history.tries").exists()
    with pytest.raises(UserError, match="not the passphrase"):
        history.set_passphrase("wrong", "new")
    assert history.conversations() and history.is_encrypted and not history.is_locked
    history.close()
    history = History(tmp_path)
    history.unlock(PASSPHRASE)


def test_a_restart_does_not_cut_the_waiting_short(tmp_path: Path):
    history = filled(tmp_path)
    history.set_passphrase("", PASSPHRASE)
    history.close()
    began = time.monotonic()
    (tmp_path / "history.tries").write_text(json.dumps({"wrong": 2, "at": time.time()}))       # killed while it waited
    history = History(tmp_path)
    history.unlock(PASSPHRASE)
    assert time.monotonic() - began > 1.5 and not history.is_locked


def test_passphrases_that_can_not_be(tmp_path: Path):
    history = History(tmp_path)
    with pytest.raises(UserError, match="no passphrase yet"):
        history.set_passphrase("old", "new")
    with pytest.raises(UserError, match="null character"):
        history.set_passphrase("", "a\0b")
    history.set_passphrase("", "Gr\u00fc\u00dfe")
    history.lock()
    history.unlock("Gru\u0308\u00dfe")                          # the same letters from another keyboard
    assert not history.is_locked


def test_another_program_that_has_the_file_open_is_in_the_way(tmp_path: Path):
    history = filled(tmp_path)
    before = everything(history)
    other = subprocess.Popen([sys.executable, "-c", "import sys\nfrom pathlib import Path\nfrom ui.history import "
                              "History\nh = History(Path(sys.argv[1]))\nprint(flush=True)\ninput()\nh.close()",
                              tmp_path], cwd=runs.ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    other.stdout.readline()
    with pytest.raises(UserError, match="Another program holds the file; close it"):
        history.set_passphrase("", "new")
    assert not history.is_encrypted and everything(history) == before
    answered(history, new_id(), "goes", "on")
    other.communicate("\n")
    history.set_passphrase("", "new")
    assert len(everything(history)) == len(before) + 1 and not list(tmp_path.glob("*.part"))


def test_answers_that_run_meanwhile_lose_nothing(tmp_path: Path):
    history, one = filled(tmp_path), new_id()
    number, = history.ask(one, "tell")
    kept, is_over = [], threading.Event()

    def go_on() -> None:
        k = 0
        while not is_over.is_set():
            k += 1
            history.write(number, f"{k}")
            kept.append(f"{k}")
            time.sleep(0.001)

    writer = threading.Thread(target=go_on)
    writer.start()
    for old, new in (("", "a"), ("a", "b"), ("b", "")):
        history.set_passphrase(old, new)
    is_over.set()
    writer.join()
    assert history.thread(one)[-1].text == kept[-1] and len(kept) > 2


def test_a_copy_has_everything_under_the_same_passphrase(tmp_path: Path):
    history = filled(tmp_path / "home")
    history.set_passphrase("", PASSPHRASE)
    for place in ("first", "second"):
        (tmp_path / place).mkdir()
        history.copy(tmp_path / place / FILE)
        history.copy(tmp_path / place / FILE)                   # in place of an earlier one
        assert files_holding(tmp_path / place, "private") == []
        copy = History(tmp_path / place)
        copy.unlock(PASSPHRASE)
        assert everything(copy) == everything(history)
        answered(history, new_id(), "more", "text")


def test_damage_in_an_encrypted_file_is_told(tmp_path: Path):
    history = filled(tmp_path)
    history.set_passphrase("", "a")
    history.close()
    with (tmp_path / FILE).open("r+b") as file:
        file.seek(2 * 4096)
        file.write(b"\xa5" * 20 * 4096)
    history = History(tmp_path)
    with pytest.raises(UserError, match="can not be opened .*damaged. Move this file away"):
        history.unlock("a")
    assert history.is_locked
    with (tmp_path / FILE).open("r+b") as file:
        file.write(b"\0" * 4096)
    with pytest.raises(UserError, match="can not be opened .*damaged. Move this file away"):
        History(tmp_path)


def test_a_change_that_the_disk_does_not_take_changes_nothing(tmp_path: Path):
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode:
        pytest.skip("unshare -rm is not allowed here")
    done = subprocess.run(["unshare", "-rm", "sh", "-c", 'mount -t tmpfs -o size=5000k none "$1"; shift 1; exec "$@"',
                           "sh", tmp_path, sys.executable, "-m", "tests.ui.history.full", tmp_path],
                          cwd=runs.ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["The disk is full", "plain", "1", "[]"], done
