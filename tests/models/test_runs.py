"""Run folders and files that appear whole or not at all."""

import json
import os
import subprocess
import sys

import pytest

from models import runs
from models.errors import UserError
from models.job import Job


def test_two_runs_of_one_second_get_two_folders(galen_home):
    first, second = runs.new_run("My run/1"), runs.new_run("My run/1")
    assert first != second and first.parent == galen_home / "runs" and "/" not in first.name[6:]


def test_a_used_folder_is_refused(tmp_path):
    (tmp_path / "x").write_text("mine")
    with pytest.raises(UserError, match="not an empty folder"):
        runs.new_run("r", str(tmp_path))


def test_a_folder_that_can_not_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="can not be made"):
        runs.new_run("r", str(tmp_path / "file" / "run"))


@pytest.mark.skipif(sys.platform != "linux", reason="needs a folder in which not even root can write")
def test_a_folder_in_which_nothing_can_be_written_is_named(galen_home):
    (galen_home / "runs").symlink_to("/proc/self")
    with pytest.raises(UserError, match="runs/r-.* can not be made .*choose another place"):
        runs.new_run("r")
    with pytest.raises(UserError, match="x.json could not be written to .*; choose another place"):
        runs.write_json(galen_home / "runs" / "x.json", 1)


def test_an_error_of_another_file_is_not_blamed_on_the_place(tmp_path):
    with pytest.raises(FileNotFoundError), runs.whole_file(tmp_path / "x") as part:
        part.write_bytes((tmp_path / "none").read_bytes())


def test_a_file_name_in_another_encoding_is_kept(tmp_path):
    value = {"file": os.fsdecode(b"caf\xe9.csv"), "text": "Größe 😀"}
    runs.write_json(tmp_path / "c.json", value)
    assert runs.read_json(tmp_path / "c.json") == value and "Größe 😀" in (tmp_path / "c.json").read_text("utf-8")
    Job(tmp_path).event("row", **value)
    event = json.loads((tmp_path / runs.EVENTS).read_text("utf-8"))
    assert event["kind"] == "row" and value.items() <= event.items()


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "x.bin"
    with pytest.raises(ValueError), runs.whole_file(target) as part:
        part.write_bytes(b"half")
        raise ValueError
    assert list(tmp_path.iterdir()) == []
    with runs.whole_file(target) as part:
        part.write_bytes(b"whole")
    assert [p.name for p in tmp_path.iterdir()] == ["x.bin"]


def test_a_full_disk_gets_a_sentence(tmp_path):
    with pytest.raises(UserError, match="disk is full"), runs.whole_file(tmp_path / "x") as part, \
            open("/dev/full", "w") as full:
        part.write_bytes(b"")
        full.write("x")
        full.flush()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("content", "words"), [(None, "is missing"), ("{", "can not be read as JSON")])
def test_unreadable_json(tmp_path, content, words):
    if content is not None:
        (tmp_path / "c.json").write_text(content)
    with pytest.raises(UserError, match=words):
        runs.read_json(tmp_path / "c.json")


@pytest.mark.parametrize("note", ["{}", "[]", '{"to": 3}', '{"to": ""}', "no json", "circle"])
def test_a_note_of_a_move_that_says_no_folder_is_told(galen_home, note):
    text = json.dumps({"to": str(galen_home)}) if note == "circle" else note
    (galen_home / runs.MOVED_TO).write_text(text)
    with pytest.raises(UserError, match=runs.MOVED_TO):
        runs.home()


def test_what_a_person_typed_as_a_path(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert runs.typed("~/a") == tmp_path / "a" and runs.typed(tmp_path) == tmp_path
    with pytest.raises(UserError, match="~nobody-here/a begins with a home folder that this computer does not have"):
        runs.typed("~nobody-here/a")


def test_no_path_is_opened_but_through_that():
    """pathlib's own ends in a RuntimeError where there is no such home."""
    others = [path for room in ("models", "corpus", "tasks", "runtime", "train", "convert", "evaluation", "ui")
              for path in (runs.ROOT / room).rglob("*.py") if ".expanduser()" in path.read_text(encoding="utf-8")]
    assert [path.relative_to(runs.ROOT).as_posix() for path in others] == ["models/runs.py"]


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs modes of POSIX")
def test_a_home_that_can_not_be_looked_into(tmp_path, monkeypatch):
    monkeypatch.setenv("GALEN_HOME", str(tmp_path / ("x" * 300)))
    with pytest.raises(UserError, match=r"can not be used \(File name too long\); set GALEN_HOME to another one"):
        runs.home()
    monkeypatch.setenv("GALEN_HOME", str(tmp_path / "shut" / "home"))
    (tmp_path / "shut").mkdir(mode=0)
    drops = ["setpriv", "--bounding-set=-dac_override,-dac_read_search",
             "--inh-caps=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    done = subprocess.run([*drops, sys.executable, "-m", "ui.commands", "models"], cwd=runs.ROOT, capture_output=True,
                          text=True, timeout=60)
    (tmp_path / "shut").chmod(0o700)
    assert done.returncode == 2 and "can not be used (Permission denied)" in done.stderr, done.stderr
    assert len(done.stderr.splitlines()) == 1
