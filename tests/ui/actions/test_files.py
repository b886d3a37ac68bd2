from pathlib import Path

import pytest

from models import runs
from models.errors import UserError
from tests.runtime.test_picture import png
from ui.actions import files
from ui.actions.files import Pending
from ui.actions.model import ModelState
from ui.actions.uploads import upload_folder
from ui.history import Locked, Message


def words(text: str) -> int:
    return len(text.split())


@pytest.fixture
def uploaded(galen_home: Path):
    def write(name: str, data: str | bytes) -> str:
        path = upload_folder() / "0123" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return str(path)
    return write


def test_a_text_that_fits_is_read_whole_and_leaves_no_file(uploaded):
    read = files.read(uploaded("my notes.txt", "one two three"), 100, words)
    assert (read.name, read.kind, read.text, read.note) == ("my notes.txt", "text", "one two three", "13 characters")
    assert [one for one in runs.home().rglob("*") if one.is_file()] == []


def test_a_text_that_does_not_fit_is_cut_visibly_at_a_word(uploaded):
    read = files.read(uploaded("a.txt", "word " * 1000), 100, words)
    assert 90 <= words(read.text) <= 100 and read.text.endswith("word")
    assert read.note == f"the first {len(read.text):,} of 4,999 characters; the rest does not fit the context"
    unknown = files.read(uploaded("a.txt", "word " * 1000), 100, None)      # no model that could count
    assert len(unknown.text) <= 300
    with pytest.raises(UserError, match="no room for a.txt in this conversation's context"):
        files.read(uploaded("a.txt", "word " * 1000), 10, words)


def test_a_text_of_one_word_is_cut_too():
    assert 0 < len(files.cut("x" * 10_000, 100, lambda text: len(text))) <= 100


def test_pictures_are_checked_and_kept_as_they_are(uploaded):
    data = png(6, 4)
    read = files.read(uploaded("scan.png", data), 100, words)
    assert (read.kind, read.data, read.note) == ("picture", data, "6 x 4 pixels")
    with pytest.raises(UserError, match="neither PNG nor JPEG"):
        files.read(uploaded("scan.png", b"nothing of the kind"), 100, words)


def test_a_file_that_is_refused_leaves_nothing(uploaded, monkeypatch: pytest.MonkeyPatch):
    pending = Pending(Unloaded())
    with pytest.raises(UserError, match="can not be read here"):
        pending.add("c", uploaded("a.exe", "typed"), [], 100)
    monkeypatch.setattr(files, "MOST_FILES", 0)
    with pytest.raises(UserError, match="send these first"):
        pending.add("c", uploaded("a.txt", "typed"), [], 100)
    assert [one for one in runs.home().rglob("*") if one.is_file()] == []


def test_a_file_that_is_read_while_they_are_locked_is_forgotten(uploaded, monkeypatch: pytest.MonkeyPatch):
    pending, read = Pending(Unloaded()), files.read

    def slowly(*given):
        pending.forget()
        return read(*given)

    monkeypatch.setattr(files, "read", slowly)
    with pytest.raises(Locked):
        pending.add("c", uploaded("a.txt", "typed " * 9), [], 100)
    assert pending.of("c") == ()


@pytest.mark.parametrize("name", ["a.exe", "a.html", "a"])
def test_other_files_are_refused(uploaded, name: str):
    with pytest.raises(UserError, match="can not be read here"):
        files.read(uploaded(name, "x"), 100, words)


def test_only_uploads_are_opened(tmp_path: Path, galen_home: Path):
    (tmp_path / "a.txt").write_text("secret")
    with pytest.raises(UserError, match="not here any more"):
        files.read(str(tmp_path / "a.txt"), 100, words)


class Unloaded:
    """A model that is not there yet."""
    state = ModelState()


def test_a_long_file_leaves_room_for_its_question_and_a_system_prompt(uploaded):
    pending = Pending(Unloaded())
    pending.add("c", uploaded("a.txt", "word " * 10_000), [], 1024)
    file, = pending.of("c")
    left = 4096 - 1024 - len(file.text) // files.CHARS_PER_TOKEN        # Unloaded: 4,096 tokens are supposed
    assert 500 <= left <= 700


def test_files_wait_for_their_question(uploaded):
    pending = Pending(Unloaded())
    before = pending.version("c")
    pending.add("c", uploaded("a.txt", "first file"), [], 1024)
    pending.add("c", uploaded("b.txt", "second file"), [Message(id=1, role="assistant", text="", tokens=9)], 1024)
    assert [one.name for one in pending.of("c")] == ["a.txt", "b.txt"] and pending.of("d") == ()
    assert pending.version("c") != before
    pending.remove("c", 0)
    sent = pending.of("c")
    assert [one.name for one in sent] == ["b.txt"]
    for k in range(files.MOST_FILES - 1):
        pending.add("c", uploaded(f"{k}.txt", "x"), [], 1024)
    with pytest.raises(UserError, match="A message can hold 8 files"):
        pending.add("c", uploaded("more.txt", "x"), [], 1024)
    pending.sent("c", sent)                             # what was added meanwhile stays
    assert len(pending.of("c")) == files.MOST_FILES - 1
    pending.forget()
    assert pending.of("c") == ()
