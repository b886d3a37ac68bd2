"""What lies on this computer is seen at once, read once, in the background if it is much, and gone when it is gone."""

import json
import os
import shutil
import time
from pathlib import Path

import gguf
import pytest

from models import fetched, library, runs
from models.known import FILE, VERSION
from models.shelf import INLINE, Shelf
from tests.models.places import TEMPLATE, in_hub_cache, rewritten
from tests.runtime.seeing import export_seeing, make_seeing
from tests.ui.fakes import wait_for


def names(shelf: Shelf) -> list[str]:
    return [entry.path.name for entry in shelf.look()][1:]


def many(folder: Path, source: Path, count: int) -> None:
    """Small files of their own, each a model that can chat."""
    small = source.read_bytes()
    for number in range(count):
        (folder / f"m{number:03}.gguf").write_bytes(small)


def test_a_file_is_there_when_it_comes_and_gone_when_it_goes(galen_home, demo_gguf):
    shelf = Shelf()
    assert names(shelf) == []
    number = shelf.number
    shutil.copy(demo_gguf, galen_home / "new.gguf")
    assert names(shelf) == ["new.gguf"] and shelf.number == number + 1
    assert shelf.look() is shelf.look() and shelf.number == number + 1
    (galen_home / "new.gguf").unlink()
    assert names(shelf) == [] and shelf.number == number + 2


def test_a_file_that_grows_is_read_again(galen_home, demo_gguf):
    shelf, path = Shelf(), galen_home / "new.gguf"
    path.write_bytes(demo_gguf.read_bytes()[:9000])
    assert "cut short" in shelf.look()[1].problem
    path.write_bytes(demo_gguf.read_bytes())
    assert not shelf.look()[1].problem and shelf.look()[1].can_chat


def test_each_file_is_read_once_until_it_changes_even_by_the_next_start(galen_home, demo_gguf):
    shelf, path = Shelf(), galen_home / "one.gguf"
    shutil.copy(demo_gguf, path)
    first = library.models_of(shelf.look())
    then, size = path.stat().st_mtime_ns, path.stat().st_size
    with path.open("r+b") as file:                      # broken, but neither size nor time shows it
        file.write(bytes(1000))
    os.utime(path, ns=(then, then))
    assert path.stat().st_size == size and library.models_of(shelf.look()) == first
    assert library.models_of(Shelf().look()) == first   # known from home()/cache
    os.utime(path, ns=(then, then + 1))
    assert "no GGUF" in shelf.look()[1].problem and "no GGUF" in Shelf().look()[1].problem
    path.unlink()
    assert names(shelf) == []


@pytest.mark.parametrize("text", ["", "[]", "no", '{"version": NOW}', '{"version": 99, "files": {}}', "[" * 99_999,
                                  '{"version": NOW, "files": {"a": {"mark": [[1, 2]], "facts": {}}}}',
                                  '{"version": NOW, "files": {"a": 3}}', '{"version": NOW, "files": []}'])
def test_a_damaged_note_of_what_is_known_costs_a_reading_only(galen_home, demo_gguf, text):
    shutil.copy(demo_gguf, galen_home / "one.gguf")
    (galen_home / "cache").mkdir()
    (galen_home / "cache" / FILE).write_text(text.replace("NOW", str(VERSION)))
    assert names(Shelf()) == ["one.gguf"]
    assert len(json.loads((galen_home / "cache" / FILE).read_text())["files"]) == 2     # with the embedded one


def test_what_could_not_be_read_is_tried_again_when_only_its_state_changed(galen_home, demo_gguf):
    shelf, path, data = Shelf(), galen_home / "one.gguf", demo_gguf.read_bytes()
    path.write_bytes(bytes(len(data)))
    then = path.stat().st_mtime_ns
    assert "no GGUF" in shelf.look()[1].problem
    time.sleep(0.02)                                    # a tick of the disk's clock
    path.write_bytes(data)                              # as by chmod, the time of change stays the same
    os.utime(path, ns=(then, then))
    assert not shelf.look()[1].problem


def test_many_files_are_read_in_the_background(galen_home, demo_gguf):
    many(galen_home, demo_gguf, INLINE + 12)
    shelf = Shelf()
    first = shelf.look()
    assert len(first) == INLINE + 13                    # all of them are seen at once
    assert [entry.is_read for entry in first].count(False) >= 1 and first[0].is_read
    wait_for(lambda: all(entry.can_chat for entry in shelf.look()))
    wait_for(lambda: not shelf.is_reading)
    again = Shelf()
    assert all(entry.is_read for entry in again.look()) and not again.is_reading


def test_a_command_waits_for_all_of_them(galen_home, demo_gguf):
    many(galen_home, demo_gguf, INLINE + 12)
    assert len(library.chat_models()) == INLINE + 13


def test_what_is_no_file_is_left_out(galen_home, demo_gguf):
    (galen_home / "folder.gguf").mkdir()
    (galen_home / "gone.gguf").symlink_to(galen_home / "nowhere.gguf")
    if hasattr(os, "mkfifo"):
        os.mkfifo(galen_home / "pipe.gguf")             # opening it would wait for ever
    assert names(Shelf()) == []


def test_folders_of_the_user_are_looked_into_and_galens_own_are_not(galen_home, demo_gguf):
    for place in ("mine/a.gguf", "cache/downloads/b.gguf", "cache/c.gguf", ".hidden/d.gguf", "runs/r/export/e.gguf",
                  "runs/r/train/export/f.gguf", "exports/x/g.gguf", "downloads/h.gguf", "mine/deep/i.gguf"):
        path = galen_home / place
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(demo_gguf, path)
    assert set(names(Shelf())) == {"a.gguf", "e.gguf", "f.gguf", "g.gguf"}


def test_parts_are_one_model_and_a_missing_one_is_told(galen_home, demo_gguf):
    parts = rewritten(demo_gguf, galen_home / "big.gguf", split=40)
    shelf = Shelf()
    _, big = shelf.look()
    assert big.files == tuple(parts) and big.bytes == sum(path.stat().st_size for path in parts)
    assert big.facts and big.facts.parameters == shelf.look()[0].facts.parameters and big.can_chat
    assert library.name_of(big) == "big" and library.find_model("big") == parts[0]
    parts[0].unlink()
    _, big = shelf.look()
    assert "big-00001-of-00003.gguf is missing" in big.problem and big.files == tuple(parts[1:])
    assert [model.name for model in library.models_of(shelf.look())] == ["demo"]


def test_of_several_projectors_the_right_one_is_taken(galen_home, demo_base, tmp_path):
    model = export_seeing(make_seeing(tmp_path / "base", demo_base), tmp_path)
    eyes = tmp_path / "mmproj-seeing.gguf"
    shutil.copy(model, galen_home / "seeing.gguf")
    shelf = Shelf()
    assert shelf.look()[1].projector is None
    data = eyes.read_bytes()
    (galen_home / "mmproj-a-broken.gguf").write_bytes(data[:999])
    (galen_home / "mmproj-b-other.gguf").write_bytes(data.replace(b"Seeing", b"Others"))
    assert data.count(b"Seeing") == 1 and shelf.look()[1].projector is None
    (galen_home / "mmproj-c.gguf").write_bytes(data)
    assert shelf.look()[1].projector == galen_home / "mmproj-c.gguf"
    assert Shelf().look()[1].projector == galen_home / "mmproj-c.gguf"      # as it is remembered
    (galen_home / "mmproj-c.gguf").unlink()
    assert shelf.look()[1].projector is None


def test_a_projector_alone_is_told_and_can_go(galen_home, demo_base, tmp_path):
    model = export_seeing(make_seeing(tmp_path / "base", demo_base), tmp_path)
    shutil.copy(model.parent / "mmproj-seeing.gguf", galen_home)
    shelf = Shelf()
    assert "no model here goes with it" in shelf.look()[1].problem
    shutil.copy(model, galen_home / "seeing.gguf")
    assert [entry.path.name for entry in shelf.look()][1:] == ["seeing.gguf"]


def test_what_galen_fetched_into_the_hubs_cache_is_its_own(galen_home, demo_gguf, tmp_path):
    snapshot = in_hub_cache(tmp_path / "hub", "jane/tiny", {"tiny.gguf": demo_gguf})
    shelf = Shelf()
    assert not shelf.look()[1].is_ours
    fetched.add("jane/tiny", snapshot.name, "tiny.gguf")
    assert shelf.look()[1].is_ours
    fetched.forget(snapshot / "tiny.gguf")
    assert not shelf.look()[1].is_ours and not list((runs.home() / fetched.FOLDER).iterdir())


def test_several_threads_may_look(galen_home, demo_gguf):
    from concurrent.futures import ThreadPoolExecutor
    many(galen_home, demo_gguf, INLINE + 5)
    shelf = Shelf()
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: (time.sleep(0.001), shelf.look())[1], range(40)):
            assert len(found) == INLINE + 6
    wait_for(lambda: not shelf.is_reading)


def test_what_a_linked_folder_holds_is_never_galens(galen_home, demo_gguf, tmp_path):
    repo = tmp_path / "another program"
    repo.mkdir()
    shutil.copy(demo_gguf, repo / "theirs.gguf")
    (galen_home / "linked").symlink_to(repo)
    (galen_home / "mine").mkdir()
    shutil.copy(demo_gguf, galen_home / "mine" / "a.gguf")
    assert {entry.path.name: entry.is_ours for entry in Shelf().look()[1:]} == {"theirs.gguf": False, "a.gguf": True}


def test_a_name_that_is_no_text_is_told(galen_home, demo_gguf):
    path = os.fsdecode(os.fsencode(galen_home) + b"/caf\xe9.gguf")
    try:
        shutil.copy(demo_gguf, path)
    except OSError:
        pytest.skip("this system has no such names")
    entry = Shelf().look()[1]
    assert "is not in UTF-8" in entry.problem and [model.name for model in library.chat_models()] == ["demo"]


def test_what_lies_beside_models_is_no_broken_one(galen_home):
    for name in ("imatrix_unsloth.gguf", "gemma-3-4b-it-imatrix.gguf", "gemma.imatrix.gguf", "imatrix-a.gguf"):
        (galen_home / name).write_bytes(b"GGUF")
    assert names(Shelf()) == []


def test_a_text_of_any_length_in_a_header_is_cut(galen_home, demo_gguf):
    rewritten(demo_gguf, galen_home / "long.gguf", text={"general.name": "N" * 1_000_000, "general.type": "model" * 99})
    facts = Shelf().look()[1].facts
    assert facts and facts.name == "N" * 200 and len(facts.kind) == 200
    assert (galen_home / "cache" / FILE).stat().st_size < 20_000


@pytest.mark.parametrize(("key", "value"), [
    ("name", None), ("kind", []), ("ctx_tokens", "x"), ("parameters", 1.5), ("types", {"F32": "x"}),
    ("has_template", 3)])
def test_a_remembered_fact_of_a_wrong_kind_is_read_again(galen_home, demo_gguf, key, value):
    shutil.copy(demo_gguf, galen_home / "one.gguf")
    right = Shelf().look()[1].facts
    note = galen_home / "cache" / FILE
    said = json.loads(note.read_text())
    said["files"][str(galen_home / "one.gguf")]["facts"][key] = value
    note.write_text(json.dumps(said))
    assert Shelf().look()[1].facts == right


def test_a_name_in_a_header_can_not_steer_a_terminal(galen_home, demo_gguf):
    rewritten(demo_gguf, galen_home / "x.gguf", text={"general.name": "A\x1b[2J\nmodel \u202eB"})
    assert Shelf().look()[1].facts.name == "A [2J model B"


def test_what_a_system_hides_beside_a_file_is_none(galen_home, demo_gguf):
    for name in ("._m.gguf", "._mmproj-m.gguf", ".gguf"):
        (galen_home / name).write_bytes(b"\0\5\x16\7" + bytes(4092))
    shutil.copy(demo_gguf, galen_home / "m.gguf")
    assert names(Shelf()) == ["m.gguf"]


def test_what_a_link_among_runs_and_exports_leads_to_is_never_galens(galen_home, demo_gguf, tmp_path):
    for place in ("repo", "runs/mine/export"):
        (tmp_path / place).mkdir(parents=True)
        shutil.copy(demo_gguf, tmp_path / place / f"{Path(place).name}.gguf")
    (galen_home / "exports").mkdir()
    (galen_home / "exports" / "x").symlink_to(tmp_path / "repo")
    (galen_home / "runs").symlink_to(tmp_path / "runs")         # all of them on another disk: that is the user's doing
    assert {entry.path.name: entry.is_ours for entry in Shelf().look()[1:]} == {"repo.gguf": False, "export.gguf": True}


def test_one_odd_file_among_those_that_are_known_costs_none_of_the_others(galen_home, demo_gguf):
    for name in ("a", "b", "c"):
        shutil.copy(demo_gguf, galen_home / f"{name}.gguf")
    Shelf().look()
    note = galen_home / "cache" / FILE
    said = json.loads(note.read_text())
    odd, *others = said["files"].values()
    odd["facts"]["ctx_tokens"] = True
    for one in others:
        one["facts"]["name"] = "Remembered"
    note.write_text(json.dumps(said))
    assert sorted(entry.facts.name for entry in Shelf().look()) == ["Galen demo", *["Remembered"] * 3]


def test_a_file_without_weights_is_told(galen_home):
    writer = gguf.GGUFWriter(galen_home / "words.gguf", "gemma3")
    writer.add_string(TEMPLATE, "{{ messages }}")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    entry = Shelf().look()[1]
    assert "words.gguf holds words and figures of a model and no weights" in entry.problem and not entry.can_chat


def test_what_is_remembered_of_a_file_is_little(galen_home, demo_gguf):
    text = {f"general.x{number}": "x" * 200 for number in range(2000)}
    rewritten(demo_gguf, galen_home / "x.gguf", text={**text, "general.license": "A\x1b[2J\nB"})
    facts = Shelf().look()[1].facts
    assert (galen_home / "cache" / FILE).stat().st_size < 150_000 and facts.keys["gemma3.block_count"]
