"""The folder backed up, restored and moved; killed in the middle at every step on the disk."""

import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import pytest

from models import runs
from models.errors import UserError
from ui.actions import backup, relocate, space
from ui.chore import Cancelled, Progress
from ui.history import History, new_id
from ui.settings import SettingsFile

QUIET = Progress(lambda words, share: None, threading.Event())
FILES = {"small.gguf": b"GGUF" * 500, "runs/a/config.json": b"{}", "runs/a/checkpoints/step-1/w.bin": b"w" * 900,
         "runs/b/events.jsonl": b'{"kind": "done"}\n', "exports/x/card.md": b"card", "cache/page/up.txt": b"typed",
         "logs/galen.log": b"line"}


def make_home(home: Path, words: str) -> Path:
    """A folder with models, runs and one conversation that holds words."""
    for name, data in FILES.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_bytes(data)
    history = History(home)
    history.ask(new_id(), words)
    history.close()
    SettingsFile(home).change(theme="dark")
    return home


def questions(home: Path) -> list[str]:
    history = History(home)
    found = [turn.text for one in history.conversations() for turn in history.thread(one.id) if turn.role == "user"]
    history.close()
    return found


def backed_up(home: Path, **wishes: bool) -> Path:
    history = History(home)
    try:
        return backup.write(home, history, QUIET, **{"with_models": True, "with_checkpoints": True, **wishes})
    finally:
        history.close()


def test_a_backup_restores_everything_and_keeps_what_it_replaced(tmp_path: Path):
    home = make_home(tmp_path / "home", "the first question")
    archive = backed_up(home)
    assert [one.name for one in backup.listed(home)] == [archive.name]
    make_home(home, "a later question")                         # a second conversation; other contents
    (home / "small.gguf").write_bytes(b"other")
    (home / "runs" / "new").mkdir()
    (home / "runs" / "new" / "config.json").write_text("{}")
    SettingsFile(home).change(theme="light")
    assert backup.check(home, archive, QUIET) == 7
    assert sorted(questions(home)) == ["a later question", "the first question"]        # nothing has changed yet
    assert backup.waiting(home)
    backup.finish(home)
    assert not backup.waiting(home) and questions(home) == ["the first question"]
    assert SettingsFile(home).value.theme == "dark" and (home / "small.gguf").read_bytes() == FILES["small.gguf"]
    assert (home / "runs/a/checkpoints/step-1/w.bin").exists() and (home / "runs/new/config.json").exists()
    replaced = next((home / space.REPLACED).iterdir())
    assert (replaced / "small.gguf").read_bytes() == b"other"
    assert sorted(questions(replaced)) == ["a later question", "the first question"]
    assert not list(home.glob(".galen-*"))


def test_a_backup_holds_no_token_and_a_restored_one_sets_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    home = make_home(tmp_path / "home", "a question")
    monkeypatch.setenv("HF_TOKEN_PATH", str(home / "hf" / "token"))
    (home / "hf").mkdir()
    for name in (".env", "hf/token", "hf/other"):
        (home / name).write_text("HF_TOKEN=hf_quartz")
    archive = backed_up(home)
    with zipfile.ZipFile(archive) as written:
        assert "hf/other" in written.namelist() and not {".env", "hf/token"} & set(written.namelist())
    assert home / ".env" in backup.kept_files(home)             # a move takes it along
    backup.check(home, archive, QUIET)
    backup.finish(home)
    assert (home / ".env").read_text() == "HF_TOKEN=hf_quartz"
    data = b"HF_TOKEN=hf_theirs"
    with zipfile.ZipFile(home / "theirs.zip", "w") as made:
        made.writestr(".env", data)
        made.writestr(backup.MANIFEST, json.dumps({"format": backup.FORMAT, "made": 1.0, "files": {
            ".env": [len(data), hashlib.sha256(data).hexdigest()]}}))
    with pytest.raises(UserError, match="holds a file '.env', which no backup of Galen does"):
        backup.check(home, home / "theirs.zip", QUIET)


def test_a_backup_leaves_out_what_is_asked_and_what_is_nobodys(tmp_path: Path):
    home = make_home(tmp_path, "q")
    names = set(zipfile.ZipFile(backed_up(home, with_models=False, with_checkpoints=False)).namelist())
    assert names == {"history.sqlite", "settings.json", "runs/a/config.json", "runs/b/events.jsonl",
                     "exports/x/card.md", backup.MANIFEST}


def test_an_encrypted_history_stays_encrypted_in_its_backup(tmp_path: Path):
    home = make_home(tmp_path, "a quartz-lung question")
    history = History(home)
    history.set_passphrase("", "open sesame")
    archive = backup.write(home, history, QUIET, with_models=False, with_checkpoints=False)
    history.close()
    data = zipfile.ZipFile(archive).read("history.sqlite")
    assert b"quartz" not in data and not data.startswith(b"SQLite format")
    backup.check(home, archive, QUIET)
    backup.finish(home)
    again = History(home)
    assert again.is_locked
    again.unlock("open sesame")
    assert len(again.conversations()) == 1
    again.close()


def test_a_cancelled_backup_leaves_nothing(tmp_path: Path):
    home = make_home(tmp_path, "q")
    cancelled = threading.Event()
    cancelled.set()
    history = History(home)
    with pytest.raises(Cancelled, match="everything is as it was"):
        backup.write(home, history, Progress(lambda words, share: None, cancelled), with_models=True,
                     with_checkpoints=True)
    history.close()
    assert not list((home / "backups").iterdir()) and not list(home.glob(".galen-*"))


def test_a_start_sweeps_up_after_a_killed_backup(tmp_path: Path):
    home = make_home(tmp_path / "home", "q")
    archive = backed_up(home)
    folder = home / backup.BACKUPS
    (folder / "galen-20260101-000000.zip.part").write_bytes(b"half")
    (folder / f"{runs.SCRATCH}abc").mkdir()
    (folder / f"{runs.SCRATCH}abc" / "history.sqlite").write_bytes(b"the conversations")
    assert relocate.settle(home) == home
    assert list(folder.iterdir()) == [archive]


def test_the_copy_that_a_backup_is_made_of_lies_where_a_start_sweeps(tmp_path: Path, monkeypatch):
    home, copies = make_home(tmp_path / "home", "q"), []
    monkeypatch.setattr(History, "copy", lambda self, to: (copies.append(to), to.write_bytes(b""))[0])
    backed_up(home)
    assert [to.parent.parent for to in copies] == [home / backup.BACKUPS]


def spoil_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[data.index(b"GGUFGGUF") + 40] ^= 1
    path.write_bytes(data)


def rewrite(path: Path, change) -> None:
    with zipfile.ZipFile(path) as old:
        held = {name: old.read(name) for name in old.namelist()}
    change(held)
    with zipfile.ZipFile(path, "w") as new:
        for name, data in held.items():
            new.writestr(name, data)


def with_name(name: str):
    def change(held) -> None:
        manifest = json.loads(held[backup.MANIFEST])
        manifest["files"][name] = manifest["files"].pop("exports/x/card.md")
        held[name] = held.pop("exports/x/card.md")
        held[backup.MANIFEST] = json.dumps(manifest).encode()
    return lambda path: rewrite(path, change)


def with_manifest(**values):
    return lambda path: rewrite(path, lambda held: held.update({backup.MANIFEST: json.dumps(
        {**json.loads(held[backup.MANIFEST]), **values}).encode()}))


@pytest.mark.parametrize("spoil, words", [
    (spoil_byte, "damaged"),
    (lambda path: path.write_bytes(path.read_bytes()[:-900]), "damaged"),
    (lambda path: path.write_bytes(b"no archive at all"), "damaged"),
    (lambda path: rewrite(path, lambda held: held.pop("small.gguf")), "lacks small.gguf"),
    (lambda path: rewrite(path, lambda held: held.update({"small.gguf": b"another"})), "not what was put there"),
    (lambda path: rewrite(path, lambda held: held.pop(backup.MANIFEST)), "no backup of Galen"),
    (with_manifest(format=99), "newer version"), (with_manifest(files=[1, 2]), "damaged"),
    (with_name("../outside.txt"), "no backup of Galen does"), (with_name("/etc/x"), "no backup of Galen does"),
    (with_name("runs/../../x"), "no backup of Galen does"), (with_name("c:\\x"), "no backup of Galen does"),
    (with_name("moved-to.json"), "no backup of Galen does"),
    (lambda path: rewrite(path, lambda held: held.update({"history.sqlite": b"x" * 4096})), "not what was put there"),
    (with_name("small.gguf/card.md"), "can not be made"), (with_name("./settings.json"), "could not be unpacked"),
    (with_name("runs/a/" + "n" * 300), "could not be unpacked"),
    (lambda path: rewrite(path, lambda held: held.update({backup.MANIFEST: b" " * (backup.MOST_LIST_BYTES + 1)})),
     "damaged"),
])
def test_a_bad_archive_changes_nothing(tmp_path: Path, spoil, words: str):
    home = make_home(tmp_path / "home", "kept")
    archive = backed_up(home)
    spoil(archive)
    before = {path: path.read_bytes() for path in backup.kept_files(home)}
    with pytest.raises(UserError, match=words):
        backup.check(home, archive, QUIET)
    assert not backup.waiting(home) and not list(home.glob(".galen-*"))
    assert {path: path.read_bytes() for path in backup.kept_files(home)} == before and questions(home) == ["kept"]
    assert not (tmp_path / "outside.txt").exists()


def test_a_move_is_used_from_the_next_start_on_with_what_came_meanwhile(tmp_path: Path, monkeypatch):
    home, to = make_home(tmp_path / "home", "before"), tmp_path / "disk" / "Galen"
    to.parent.mkdir()
    (home / "linked.gguf").symlink_to(tmp_path / "elsewhere.gguf")
    monkeypatch.setenv("GALEN_HOME", str(home))
    history = History(home)
    relocate.copy(home, history, to, QUIET)
    history.ask(new_id(), "meanwhile")
    history.close()
    (home / "runs/b/events.jsonl").write_bytes(b"more\n")
    (home / "exports/x/card.md").unlink()
    assert runs.home() == home and not to.exists()
    assert relocate.settle(home) == to == runs.home()
    assert sorted(questions(to)) == ["before", "meanwhile"]
    assert (to / "runs/b/events.jsonl").read_bytes() == b"more\n" and not (to / "exports/x/card.md").exists()
    assert (to / "linked.gguf").is_symlink() and SettingsFile(to).value.theme == "dark"
    assert relocate.settle(to) == to and relocate.old_folder(to) == home and relocate.waits_for(home) is None
    assert relocate.delete_old(to) > 0
    assert [one.name for one in home.iterdir()] == [runs.MOVED_TO] and runs.home() == to
    assert relocate.old_folder(to) is None
    with pytest.raises(UserError, match="no old folder"):
        relocate.delete_old(to)


def test_a_moved_folder_that_is_away_is_said(tmp_path: Path, monkeypatch):
    home = make_home(tmp_path / "home", "q")
    runs.write_json(home / runs.MOVED_TO, {"to": str(tmp_path / "unplugged" / "Galen")})
    monkeypatch.setenv("GALEN_HOME", str(home))
    with pytest.raises(UserError, match="which is not there now; connect that disk"):
        runs.home()


def test_a_move_waits_for_its_disk_and_can_be_forgotten(tmp_path: Path):
    home, to = make_home(tmp_path / "home", "q"), tmp_path / "disk" / "Galen"
    to.parent.mkdir()
    history = History(home)
    relocate.copy(home, history, to, QUIET)
    history.close()
    to.parent.rename(tmp_path / "away")
    assert relocate.settle(home) == home and relocate.waits_for(home) == to
    (tmp_path / "away").rename(to.parent)
    relocate.forget(home)
    assert relocate.settle(home) == home and not list(to.parent.iterdir())


def test_only_offered_places_are_taken(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    home = make_home(tmp_path / "home", "q")
    offered = [place.folder for place in relocate.places(home)]
    assert tmp_path / "Galen" in offered
    assert relocate.find(home, str(tmp_path / "Galen")) == tmp_path / "Galen"
    for name in ("/etc", "", str(tmp_path), "../x"):
        with pytest.raises(UserError, match="not there any more"):
            relocate.find(home, name)


# Runs sys.argv[1] on the home sys.argv[2] and kills itself at the step number sys.argv[3]: a step is a file that is
# opened for writing, renamed or removed. A forked child for each step shares the imports.
KILLED = """
import json, os, shutil, signal, sys, threading
from pathlib import Path
from ui.actions import backup, relocate
from ui.chore import Progress
from ui.history import History
what, template, work, to = sys.argv[1], *map(Path, sys.argv[2:5])
quiet = Progress(lambda words, share: None, threading.Event())
STEPS = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "open")

def run(home):
    if what == "restore":
        backup.finish(home)
    elif what == "move":
        relocate.settle(home)
    elif what == "copy":
        history = History(home)
        relocate.copy(home, history, to, quiet)
    elif what == "write":
        history = History(home)
        backup.write(home, history, quiet, with_models=True, with_checkpoints=True)
    elif what == "check":
        backup.check(home, next((home / "backups").glob("*.zip")), quiet)

def die_at(step):
    seen = 0
    def hook(event, values):
        nonlocal seen
        if event in STEPS and not (event == "open" and not (values[2] & (os.O_WRONLY | os.O_RDWR))):
            seen += 1
            if seen == step:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)

first, stride = int(sys.argv[5]), int(sys.argv[6])
outcomes, step = [], first
while True:
    for place in (work, to.parent):
        shutil.rmtree(place, ignore_errors=True)
    to.parent.mkdir(parents=True)
    shutil.copytree(template / "home", work, symlinks=True)
    if (template / "disk").exists():
        shutil.copytree(template / "disk", to.parent, dirs_exist_ok=True)
        plan = work / "move.json"
    pid = os.fork()
    if not pid:
        die_at(step)
        run(work)
        os._exit(0)
    status = os.waitpid(pid, 0)[1]
    print(json.dumps([step, os.WIFSIGNALED(status)]), flush=True)
    sys.stdin.readline()
    if not os.WIFSIGNALED(status):
        break
    step += stride
"""


def killed_at_every_step(tmp_path: Path, what: str, look, stride: int = 1) -> int:
    """Prepare a home, run what until it is killed at step 1, 2, ...; look(home, is_killed) after each. The steps."""
    template, work, to = tmp_path / "template", tmp_path / "work", tmp_path / "disk" / "Galen"
    home = make_home(template / "home", "the first question")
    if what in ("restore", "check"):
        archive = backed_up(home)
        make_home(home, "a later question")
        (home / "small.gguf").write_bytes(b"other")
        if what == "restore":
            backup.check(home, archive, QUIET)
    if what == "move":
        to.parent.mkdir()
        history = History(home)
        relocate.copy(home, history, to, QUIET)
        history.close()
        (home / "runs/b/events.jsonl").write_bytes(b"more\n")
        shutil.copytree(to.parent, template / "disk")
    arguments = [what, str(template), str(work), str(to), "1", str(stride)]
    process = subprocess.Popen([sys.executable, "-c", KILLED, *arguments],
                               env={**os.environ, "PYTHONPATH": str(runs.ROOT)}, text=True, stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE)
    assert process.stdin and process.stdout
    steps = 0
    for line in process.stdout:
        steps, is_killed = json.loads(line)
        look(work, is_killed)
        process.stdin.write("\n")
        process.stdin.flush()
    assert process.wait() == 0
    return steps


def test_a_restore_killed_at_any_step_goes_on_at_the_next_start(tmp_path: Path):
    def look(home: Path, is_killed: bool) -> None:
        backup.finish(home)
        assert questions(home) == ["the first question"]
        assert (home / "small.gguf").read_bytes() == FILES["small.gguf"]
        assert SettingsFile(home).value.theme == "dark" and (home / "runs/a/config.json").exists()
        replaced = next((home / space.REPLACED).iterdir())
        assert (replaced / "small.gguf").read_bytes() == b"other"
        assert sorted(questions(replaced)) == ["a later question", "the first question"]

    assert killed_at_every_step(tmp_path, "restore", look) > 8


def test_a_move_killed_at_any_step_goes_on_at_the_next_start(tmp_path: Path):
    to = tmp_path / "disk" / "Galen"

    def look(home: Path, is_killed: bool) -> None:
        assert questions(home) == ["the first question"]        # the old folder is whole throughout
        runs.home()
        assert relocate.settle(home) == to or json.loads((home / runs.MOVED_TO).read_text())["to"] == str(to)
        assert questions(to) == ["the first question"] and (to / "runs/b/events.jsonl").read_bytes() == b"more\n"
        assert (to / "small.gguf").read_bytes() == FILES["small.gguf"]

    assert killed_at_every_step(tmp_path, "move", look) > 5


@pytest.mark.parametrize("what", ["write", "check", "copy"])
def test_what_is_killed_before_its_end_has_changed_nothing(tmp_path: Path, what: str):
    def look(home: Path, is_killed: bool) -> None:
        assert "the first question" in questions(home) and (home / "runs/a/config.json").read_bytes() == b"{}"
        for archive in (home / "backups").glob("*.zip"):
            assert zipfile.ZipFile(archive).testzip() is None
        backup.drop_unfinished(home)
        if not backup.waiting(home):
            assert not list(home.glob(backup.CHECKED + "*"))
        if is_killed and what == "copy" and relocate.waits_for(home) is None:
            assert relocate.settle(home) == home

    assert killed_at_every_step(tmp_path, what, look, stride=3) > 8


def test_numbers_of_the_folder(tmp_path: Path):
    class Jobs:
        def all(self):
            return []

    home = make_home(tmp_path, "q")
    backed_up(home, with_models=False)
    used = space.used(home, Jobs())
    assert used.models == 2000 + 4 and used.runs == 2 + 900 + 17 and used.checkpoints == 0
    assert used.conversations >= 4096 and used.backups > 500 and used.replaced == 0
    assert sqlite3.connect(home / "history.sqlite").execute("SELECT count(*) FROM conversation").fetchone() == (1,)
