"""Deleting takes what belongs to a file, and nothing else."""

import os
import shutil

from models import fetched, runs
from models.removal import KEPT, frees, remove, told
from tests.models.places import in_hub_cache


def test_a_file_of_the_users_folder(galen_home, demo_gguf):
    path = galen_home / "a.gguf"
    shutil.copy(demo_gguf, path)
    assert remove(path) == demo_gguf.stat().st_size and not path.exists()
    assert remove(path) == 0


def test_a_link_of_the_users_goes_and_what_it_leads_to_stays(galen_home, demo_gguf, tmp_path):
    shutil.copy(demo_gguf, tmp_path / "far.gguf")
    (galen_home / "a.gguf").symlink_to(tmp_path / "far.gguf")
    assert frees(galen_home / "a.gguf") == remove(galen_home / "a.gguf") == 0
    assert (tmp_path / "far.gguf").exists() and not (galen_home / "a.gguf").is_symlink()


def test_a_file_that_has_another_name_frees_nothing_and_that_is_told(galen_home, demo_gguf, tmp_path):
    shutil.copy(demo_gguf, tmp_path / "theirs.gguf")
    for name in ("a.gguf", "b.gguf"):
        os.link(tmp_path / "theirs.gguf", galen_home / name)
    assert frees(galen_home / "a.gguf") == remove(galen_home / "a.gguf") == 0 and KEPT in told(0, "0 MB")
    (tmp_path / "theirs.gguf").unlink()
    assert frees(galen_home / "b.gguf") == remove(galen_home / "b.gguf") == demo_gguf.stat().st_size
    assert told(10, "10 MB") == "10 MB freed." and frees(galen_home / "b.gguf") == 0


def test_a_file_of_the_hubs_cache_goes_with_its_blob_its_names_and_its_note(galen_home, demo_gguf, tmp_path):
    cache = tmp_path / "hub"
    other = tmp_path / "config.json"
    other.write_text("{}")
    first = in_hub_cache(cache, "jane/tiny", {"Q8/tiny.gguf": demo_gguf, "config.json": other})
    second = in_hub_cache(cache, "jane/tiny", {"Q8/tiny.gguf": demo_gguf}, "b" * 40)
    fetched.add("jane/tiny", first.name, "Q8/tiny.gguf")
    fetched.add("jane/tiny", second.name, "Q8/tiny.gguf")
    fetched.add("jane/tiny", first.name, "config.json")
    blob = (first / "Q8/tiny.gguf").resolve()
    assert remove(first / "Q8/tiny.gguf") == demo_gguf.stat().st_size
    assert not blob.exists() and not second.exists() and not (first / "Q8").exists()
    assert (first / "config.json").read_text() == "{}" and len(list((runs.home() / fetched.FOLDER).iterdir())) == 1


def test_a_name_under_which_another_program_has_the_file_keeps_it(galen_home, demo_gguf, tmp_path):
    first = in_hub_cache(tmp_path / "hub", "jane/tiny", {"tiny.gguf": demo_gguf})
    theirs = in_hub_cache(tmp_path / "hub", "jane/tiny", {"tiny.gguf": demo_gguf}, "b" * 40)
    fetched.add("jane/tiny", first.name, "tiny.gguf")
    assert frees(first / "tiny.gguf") == remove(first / "tiny.gguf") == 0 and not first.exists()
    assert (theirs / "tiny.gguf").read_bytes() == demo_gguf.read_bytes()
    assert remove(theirs / "tiny.gguf") == 0 and (theirs / "tiny.gguf").exists() and not fetched.notes()
