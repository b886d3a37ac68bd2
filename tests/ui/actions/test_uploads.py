"""Uploaded files: only from the one folder, under names of ours, and gone from there."""

import os
from pathlib import Path

import pytest

from models.errors import UserError
from ui.actions import uploads


@pytest.fixture
def folder(galen_home) -> Path:
    uploads.upload_folder().mkdir(parents=True)
    return uploads.upload_folder()


def uploaded(folder: Path, name: str, text: str = "a,b\n1,2\n") -> Path:
    path = folder / "3f9a" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def test_a_file_is_moved_under_a_name_of_ours(folder, tmp_path):
    path = uploaded(folder, "My visits (Mrs. Grey).CSV")
    into = tmp_path / "run"
    first = uploads.taken(str(path), into, "rows")
    assert first == into / "rows.csv" and first.read_text() == "a,b\n1,2\n"
    assert list(folder.iterdir()) == []                         # nothing stays behind
    assert uploads.taken(uploaded(folder, "other.csv"), into, "rows") == into / "rows-2.csv"
    assert first.read_text() == "a,b\n1,2\n"


def test_two_files_of_one_upload_leave_each_other_alone(folder, tmp_path):
    one, other = uploaded(folder, "one.csv"), uploaded(folder, "other.csv")
    uploads.taken(one, tmp_path)
    assert other.is_file()


def outside(folder: Path, tmp_path: Path) -> str:
    path = tmp_path / "passwords.csv"
    path.write_text("secret")
    return str(path)


def climbing(folder: Path, tmp_path: Path) -> str:
    return str(folder / ".." / ".." / ".." / Path(outside(folder, tmp_path)).name)


def linked(folder: Path, tmp_path: Path) -> str:
    (folder / "link.csv").symlink_to(outside(folder, tmp_path))
    return str(folder / "link.csv")


def in_linked_folder(folder: Path, tmp_path: Path) -> str:
    outside(folder, tmp_path)
    (folder / "sub").symlink_to(tmp_path, target_is_directory=True)
    return str(folder / "sub" / "passwords.csv")


def circle(folder: Path, tmp_path: Path) -> str:
    (folder / "a.csv").symlink_to(folder / "b.csv")
    (folder / "b.csv").symlink_to(folder / "a.csv")
    return str(folder / "a.csv")


def beside(folder: Path, tmp_path: Path) -> str:
    near = folder.with_name(folder.name + "2")                  # begins with the folder's name, and is another
    near.mkdir()
    (near / "x.csv").write_text("secret")
    return str(near / "x.csv")


@pytest.mark.parametrize("make", [outside, climbing, linked, in_linked_folder, circle, beside])
def test_nothing_outside_the_folder_is_opened(folder, tmp_path, make):
    path = make(folder, tmp_path)
    with pytest.raises(UserError, match="choose it once more"):
        uploads.taken(path, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", [
    "", ".", "no-such.csv", "x" * 5000 + ".csv", "nul\0.csv", "/etc/passwd", "\ud800.csv"])
def test_what_is_no_file_there_is_refused(folder, tmp_path, name):
    with pytest.raises(UserError, match="choose it once more"):
        uploads.taken(os.path.join(folder, name), tmp_path)


def test_what_is_offered_for_download_is_not_taken(folder, tmp_path):
    made = tmp_path / "result.csv"
    made.write_text("x")
    offer = uploads.offered(made, "visits-summarised.csv")
    assert offer.name == "visits-summarised.csv" and offer.is_relative_to(folder) and offer.read_text() == "x"
    with pytest.raises(UserError, match="choose it once more"):
        uploads.taken(offer, tmp_path / "run")
    assert uploads.offered(made, "visits-summarised.csv") == offer
    made.write_text("longer")
    assert uploads.offered(made, "visits-summarised.csv").read_text() == "longer" and offer.read_text() == "x"


@pytest.mark.parametrize(("name", "told"), [
    ("rows.exe", "rows.exe ends in .exe"), ("rows", "rows ends in nothing"), ("rows.csv.html", "ends in .html")])
def test_other_endings_are_refused(folder, tmp_path, name, told):
    path = uploaded(folder, name)
    with pytest.raises(UserError, match=told):
        uploads.taken(path, tmp_path)
    assert path.is_file()


@pytest.mark.parametrize(("name", "told"), [
    ("visits.csv", "visits.csv"), ("/a/b/visits.csv", "visits.csv"), ("C:\\a\\visits.csv", "visits.csv"),
    ("../../x.csv", "x.csv"), ("a\nb\x1b[31m<b>.csv", "a b 31m b.csv"), ("Grüße 你好.xlsx", "Grüße 你好.xlsx"),
    ("x" * 300 + ".csv", "x" * 60 + ".csv"), ("...", "file"), ("", "file"), (".csv", "csv"),
    ("a..b.csv", "a b.csv"), ("a.<script>", "a.script")])
def test_names_for_people_are_short_and_plain(name, told):
    assert uploads.told_name(name) == told
