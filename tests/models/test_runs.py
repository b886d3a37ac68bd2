"""Run folders and files that appear whole or not at all."""

import pytest

from models import runs
from models.errors import UserError


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
