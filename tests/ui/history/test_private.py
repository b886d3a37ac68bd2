import subprocess
import sys
from pathlib import Path

import pytest

from models import runs
from models.errors import UserError
from tests.ui.history.asked import answered, files_holding, whole
from ui.history import WHOLE, File, History, Locked, Message, new_id

TYPED = "leaves-no-trace"


def texts(history: History, conversation: str) -> list[str]:
    return [turn.text for turn in history.thread(conversation)]


def test_nothing_of_it_is_on_disk_at_any_time(tmp_path: Path):
    history, kept, one = History(tmp_path), new_id(), new_id()
    answered(history, kept, "stays", "here")
    history.save_preset("Ward", "{}")
    history.start_private()
    history.start_private()
    assert history.is_private and history.conversations() == [] and texts(history, kept) == []
    number, = history.ask(one, TYPED, settings='{"system": "leaves-no-trace"}',
                          files=(File(name=TYPED, kind="text", text=TYPED),))
    for k in range(50):
        history.write(number, TYPED * k * 100)
    assert files_holding(tmp_path, TYPED) == []
    whole(history, one, number, TYPED)
    history.save_preset(TYPED, TYPED)
    history.star(one)
    assert [found.id for found in history.conversations("trace")] == [one] and TYPED in history.export_json(one)
    assert [preset.name for preset in history.presets()] == [TYPED, "Ward"]
    assert history.file(one, history.thread(one)[0].files[0].id).text == TYPED
    assert files_holding(tmp_path, TYPED) == []
    history.end_private()
    assert not history.is_private and [found.id for found in history.conversations()] == [kept]
    assert texts(history, one) == [] and [preset.name for preset in history.presets()] == ["Ward"]
    history.close()
    assert files_holding(tmp_path, TYPED) == []


def test_answers_land_where_they_began(tmp_path: Path):
    history, disk, one, two = History(tmp_path), new_id(), new_id(), new_id()
    on_disk, = history.ask(disk, "on disk")
    history.start_private()
    assert [turn.text for turn in history.path_to(on_disk)] == ["on disk", ""]
    first, = history.ask(one, "private")
    history.write(on_disk, "for the disk")
    history.write(first, TYPED)
    assert texts(history, one) == ["private", TYPED]
    whole(history, disk, on_disk, "for the disk, whole")
    history.end_private()
    assert texts(history, disk) == ["on disk", "for the disk, whole"]
    history.write(first, TYPED)                                 # it ran on after its session
    history.start_private()
    second, = history.ask(two, "private again")
    history.write(first, TYPED)
    history.finish(two, Message(id=first, role="assistant", text=TYPED, state=WHOLE))
    assert texts(history, two) == ["private again", ""] and history.path_to(first) == []
    history.finish(disk, Message(id=second, role="assistant", text=TYPED, state=WHOLE))
    history.end_private()
    history.mark_interrupted()
    assert texts(history, disk) == ["on disk", "for the disk, whole"] and files_holding(tmp_path, TYPED) == []


def test_the_list_is_another_one(tmp_path: Path):
    history = History(tmp_path)
    versions = [history.list_version()]
    for change in (history.start_private, history.end_private, history.start_private):
        change()
        versions.append(history.list_version())
    assert len(set(versions)) == 4


def test_a_lock_ends_it(tmp_path: Path):
    history = History(tmp_path)
    history.set_passphrase("", "a")
    history.start_private()
    answered(history, new_id(), TYPED, TYPED)
    history.lock()
    with pytest.raises(Locked):
        history.start_private()
    history.unlock("a")
    assert not history.is_private and history.conversations() == []
    with pytest.raises(UserError, match="no longer there"):
        history.export_markdown(new_id())


PRIVATE = """
import sys
from pathlib import Path
from ui.history import History, new_id
history = History(Path(sys.argv[1]))
history.start_private()
one = new_id()
for k in range(40):
    number, = history.ask(one, "leaves-no-trace " * 10_000)
    history.write(number, "leaves-no-trace " * 10_000)
print(flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX open files")
def test_a_killed_process_leaves_nothing_either(tmp_path: Path):
    process = subprocess.Popen([sys.executable, "-c", PRIVATE, tmp_path], cwd=runs.ROOT, stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, env={"TMPDIR": str(tmp_path), "PATH": ""})
    assert process.stdout is not None
    process.stdout.readline()
    fds = Path(f"/proc/{process.pid}/fd")
    opened = [str(link.readlink()) for link in fds.iterdir() if int(link.name) > 2] if fds.is_dir() else []
    process.kill()
    process.wait()
    assert files_holding(tmp_path, TYPED) == []
    assert not [name for name in opened if "deleted" in name or "etilqs" in name]       # SQLite's temporary files
