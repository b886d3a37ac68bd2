"""A download beside odd neighbours: pages in place of files, caches as others left them, disks of little room."""

import contextlib
import errno
import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants, scan_cache_dir

from models import download, fetched, hub_cache, parts, removal, runs
from tests.models.fetching import Fetching
from tests.models.hub import CHUNK, Hub
from tests.small_disk import mounted

SIZE = 3_000_000
MODEL = random.Random(10).randbytes(SIZE)
STEP = 3 * CHUNK


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Fetching]:
    """A hub with one GGUF, and a computer with nothing on it."""
    with Hub() as hub, Fetching(hub, tmp_path) as computer:
        hub.add("google/x", {"model.gguf": MODEL, "config.json": b"{}"})
        yield computer


def commit(here: Fetching) -> str:
    return here.hub.repos["google/x"].refs["main"]


def etag(here: Fetching, name: str = "model.gguf") -> str:
    return here.hub.repos["google/x"].commits[commit(here)][name].etag


def snapshot(here: Fetching) -> Path:
    """Of the version that the hub has now."""
    return here.cache / "models--google--x" / "snapshots" / commit(here)


@pytest.mark.parametrize(("kind", "kept"), [("text/html", 1_000_000), ("text/plain", 0)])
def test_a_page_without_length_in_place_of_the_file_ends_it(here: Fetching, kept: int, kind: str):
    part = here.folder / "home/cache/downloads" / f"{etag(here)}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(MODEL[:kept])
    here.hub.faults.store_page = kind
    said = here.refused("one", "model.gguf")
    assert "log-in page" in said if kind == "text/html" else "ends before the file does" in said
    assert len(here.hub.asked("store")) <= 2
    here.hub.faults.store_page = ""
    assert Path(here.get("two", "model.gguf")["files"][0]).read_bytes() == MODEL


def test_what_the_store_does_not_have_is_not_said_of_the_repository(here: Fetching):
    here.hub.faults.status = {"/repos/": 404}
    assert "localhost refused to hand out a file of google/x (404)" in here.refused("one", "model.gguf")


def test_another_piece_than_was_asked_for_is_refused(here: Fetching):
    here.hub.faults.shift = 500
    assert "is another piece of it than was asked for" in here.refused("one", "model.gguf")
    here.hub.faults.shift = -500                # sent from before: what is here is passed over
    part = here.folder / "home/cache/downloads" / f"{etag(here)}.part"
    part.write_bytes(MODEL[:1000])
    assert Path(here.get("two", "model.gguf")["files"][0]).read_bytes() == MODEL


def test_once_all_has_come_the_hub_is_asked_no_more(here: Fetching):
    here.hub.faults.slow_after = STEP
    run = here.run_folder("one", "model.gguf")
    process = here.start(run)
    here.wait_for_part(STEP, process)
    asked = len(here.hub.asked("hub"))
    here.hub.faults.status = {"/": 503}
    here.hub.faults.slow_after = 0
    assert here.finish(run, process) == (0, "done")
    assert len(here.hub.asked("hub")) == asked
    here.hub.faults.status = {}
    found = scan_cache_dir(here.cache)
    assert not found.warnings and [one.file_name for repo in found.repos for version in repo.revisions
                                   for one in version.files] == ["model.gguf"]
    assert hub_cache.TAG in {path.name for path in here.cache.iterdir()}


def test_killed_between_its_place_and_its_name_it_fetches_nothing_again(here: Fetching):
    here.hub.add("google/two", {"a.gguf": MODEL[:500_000], "b.gguf": MODEL})
    here.hub.faults.slow_after = STEP
    run = here.run_folder("one", "a.gguf", "b.gguf", repo="google/two")
    process = here.start(run)
    here.wait_until(lambda: here.placed() == [500_000] and here.part_bytes() >= STEP)
    process.kill()
    process.wait()
    assert not here.models()
    here.hub.faults.slow_after = 0
    assert here.finish(run) == (0, "done")
    assert len([one for one in here.hub.asked("store") if one.sent == 500_000]) == 1


def test_the_version_that_was_listed_is_what_it_is_named_after(here: Fetching):
    for k, other in enumerate(("b" * 40, "../../../x")):
        here.hub.faults.headers = {"X-Repo-Commit": other}
        result = here.get(f"{k}", "model.gguf")
        assert Path(result["files"][0]).parent == snapshot(here) == Path(result["path"])


@pytest.mark.parametrize("said", [{}, {"id": "google/x", "siblings": ["model.gguf"]},
                                  {"id": "google/x", "siblings": [{"rfilename": "model.gguf", "size": "12"}]}])
def test_what_is_no_listing_is_no_hub(here: Fetching, said: Any):
    here.hub.faults.api = said
    assert "What answered for 127.0.0.1 is no hub: it says nothing of google/x" in here.refused("one", "model.gguf")


def test_a_length_that_can_be_none(here: Fetching):
    here.hub.faults.headers = {"X-Linked-Size": "-5"}
    assert "says that model.gguf has -5 bytes, so it is no hub" in here.refused("one", "model.gguf")


@pytest.mark.parametrize("more", [{}, {"HF_HUB_DISABLE_SYMLINKS": "1"}])
def test_a_damaged_file_of_the_right_length_is_fetched_anew(here: Fetching, more: dict[str, str]):
    here.more = more
    path = Path(here.get("one", "model.gguf")["files"][0])
    sent = here.hub.sent()
    assert here.get("two", "model.gguf")["fetched_bytes"] == 0
    path.resolve().write_bytes(b"\0" * SIZE)   # as a power cut may leave it
    with path.open("rb") as opened:
        run = here.run_folder("three", "model.gguf")
        assert here.finish(run) == (0, "done")
        assert opened.read() == b"\0" * SIZE   # who has it open is not disturbed
    assert path.read_bytes() == MODEL and here.hub.sent() == sent + SIZE
    assert "The model.gguf that is here was damaged; it is fetched anew." in here.notes(run)
    assert [size for size in here.files().values() if size >= SIZE] == [SIZE]


def test_a_damaged_file_of_another_program_is_mended_and_stays_its_own(
        here: Fetching, monkeypatch: pytest.MonkeyPatch):
    named = snapshot(here) / "model.gguf"
    blob = here.cache / "models--google--x" / "blobs" / etag(here)
    named.parent.mkdir(parents=True)
    blob.parent.mkdir(parents=True)
    blob.write_bytes(MODEL[:-1] + b"?")
    named.symlink_to(Path("../../blobs") / blob.name)
    here.get("one", "model.gguf")
    monkeypatch.setenv("GALEN_HOME", str(here.folder / "home"))
    assert named.read_bytes() == MODEL and not fetched.is_ours(named)


@pytest.mark.parametrize("git_id", ["abc123", "0" * 40])
def test_a_mirror_that_lists_small_files_under_other_ids(here: Fetching, git_id: str):
    here.hub.faults.api = {"id": "google/x", "sha": commit(here),
                           "siblings": [{"rfilename": "config.json", "size": 2, "blobId": git_id}]}
    for name in ("one", "two"):
        result = here.get(name, "config.json")
        assert Path(result["files"][0]).read_bytes() == b"{}"
    assert result["fetched_bytes"] == 0


def test_what_could_not_get_its_name_is_not_ours(here: Fetching, monkeypatch: pytest.MonkeyPatch):
    for name, value in here.environment.items():
        monkeypatch.setenv(name, value)
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "x")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(here.cache))
    monkeypatch.setattr(hub_cache, "_name", full)
    wanted = hub_cache.Wanted(repo="google/x", commit=commit(here), name="model.gguf", bytes=SIZE, etag=etag(here))
    place = here.cache / "models--google--x" / "blobs" / wanted.etag
    place.parent.mkdir(parents=True)
    place.write_bytes(MODEL)
    with pytest.raises(OSError, match="No space left"):
        download._linked(wanted, download.Way("google/x", False), {}, is_brought=True)
    assert not fetched.notes()


def test_a_noted_file_on_a_disk_that_is_away_is_passed_over(galen_home: Path, tmp_path: Path):
    path, content = tmp_path / "old" / "model.gguf", "a" * 64
    path.parent.mkdir()
    path.write_bytes(b"x")
    parts.remember(path, content)
    assert parts.known(content) == [path]
    path.unlink()
    path.parent.rmdir()
    path.parent.symlink_to("old")               # as a mount that went stale: neither there nor gone
    assert parts.known(content) == []


def test_an_unchanged_file_of_a_newer_version_is_ours_as_before(here: Fetching, monkeypatch: pytest.MonkeyPatch):
    old = Path(here.get("one", "model.gguf")["files"][0])
    here.hub.repos["google/x"].put({"config.json": b"{ }"})
    result = here.get("two", "model.gguf")
    new = Path(result["files"][0])
    assert new != old and result["fetched_bytes"] == 0
    monkeypatch.setenv("GALEN_HOME", str(here.folder / "home"))
    assert fetched.is_ours(new) and removal.remove(new) == SIZE
    assert not os.path.lexists(old) and not os.path.lexists(new) and here.placed() == []


def test_without_links_equal_contents_are_fetched_once(here: Fetching):
    here.more = {"HF_HUB_DISABLE_SYMLINKS": "1"}
    here.hub.add("google/x", {"a.gguf": MODEL, "b/a.gguf": MODEL})
    here.get("one", "a.gguf", "b/a.gguf")
    here.hub.repos["google/x"].put({"config.json": b"{ }"})
    result = here.get("two", "a.gguf")
    assert Path(result["files"][0]).read_bytes() == MODEL and here.hub.sent() == SIZE


def test_the_disk_is_asked_where_the_content_will_lie(here: Fetching):
    with mounted(here.folder / "disk", 100) as disk:
        here.cache.mkdir(parents=True)
        (here.cache / "models--google--x").symlink_to(disk)
        assert f"more on the disk of {disk}, and 0.10 GB are free" in here.refused("one", "model.gguf")
        assert not here.hub.asked("store", "GET")


def test_half_a_file_that_others_left_under_its_name_is_replaced(here: Fetching):
    named = snapshot(here) / "model.gguf"
    named.parent.mkdir(parents=True)
    named.write_bytes(MODEL[:SIZE // 2])
    assert Path(here.get("one", "model.gguf")["files"][0]).read_bytes() == MODEL


def test_a_link_that_leads_nowhere_and_a_short_blob_are_replaced(here: Fetching):
    named = snapshot(here) / "model.gguf"
    blob = here.cache / "models--google--x" / "blobs" / etag(here)
    named.parent.mkdir(parents=True)
    blob.parent.mkdir(parents=True)
    named.symlink_to(Path("../../blobs") / blob.name)
    assert Path(here.get("one", "model.gguf")["files"][0]).read_bytes() == MODEL
    blob.write_bytes(MODEL[:-1])
    assert Path(here.get("two", "model.gguf")["files"][0]).read_bytes() == MODEL


def test_what_lies_in_a_cache_that_can_not_be_written_is_used(here: Fetching):
    with mounted(here.folder / "disk", 300) as disk:
        here.more = {"HF_HUB_CACHE": str(disk / "hub")}
        before = here.get("one", "model.gguf")
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        after = here.get("two", "model.gguf")
        assert after["files"] == before["files"] and after["fetched_bytes"] == 0
        said = here.refused("three", "config.json")
        assert str(disk) in said and "can not be written" in said


def test_what_another_cancelled_download_took_along_is_verified_again(
        here: Fetching, monkeypatch: pytest.MonkeyPatch):
    here.hub.add("google/x", {"a.gguf": MODEL[:400_000], "b.gguf": MODEL})
    here.hub.faults.slow_after = STEP
    run, other = here.run_folder("one", "a.gguf", "b.gguf"), here.run_folder("other", "a.gguf")
    process = here.start(run)
    here.wait_until(lambda: here.placed() == [400_000] and here.part_bytes() >= STEP)
    runs.write_json(other / download.CONTENTS, {"a.gguf": etag(here, "a.gguf")})        # it waited for the same file
    monkeypatch.setenv("GALEN_HOME", str(here.folder / "home"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(here.cache))
    download.discard(other)
    assert here.placed() == []
    here.hub.faults.wrong = {"a.gguf"}
    here.hub.faults.slow_after = 0
    status, said = here.finish(run, process)
    assert status == 2 and "a.gguf of google/x is not what the hub says it is" in said
    assert not here.models()
    here.hub.faults.wrong = set()
    assert here.finish(run) == (0, "done")
    first, second = (Path(one).read_bytes() for one in runs.read_json(run / runs.RESULT)["files"])
    assert first == MODEL[:400_000] and second == MODEL


def test_a_cache_on_a_full_disk_keeps_no_half_copy(here: Fetching):
    with mounted(here.folder / "disk", 300) as disk:
        here.more = {"HF_HUB_CACHE": str(disk / "hub")}
        here.hub.faults.slow_after = STEP
        run = here.run_folder("one", "model.gguf")
        process = here.start(run)
        here.wait_for_part(STEP, process)
        with (disk / "other").open("wb") as file:
            file.write(b"\0" * (shutil.disk_usage(disk).free - 1_000_000))
        here.hub.faults.slow_after = 0
        assert here.finish(run, process) == (2, "The disk is full: google/x could not be fetched whole. Free some "
                                                "space and start it again. What was fetched is kept.")
        assert not [path for path in (disk / "hub").rglob("*") if path.is_file() and path.stat().st_size > 1000]
        (disk / "other").unlink()
        assert here.finish(run) == (0, "done")
        assert Path(runs.read_json(run / runs.RESULT)["files"][0]).read_bytes() == MODEL
        assert here.hub.sent() == SIZE


def test_a_disk_that_fills_in_the_middle(here: Fetching):
    with mounted(here.folder / "disk", 300) as disk:
        here.more = {"HF_HUB_CACHE": str(disk / "hub"), "GALEN_HOME": str(disk / "home")}
        here.hub.faults.slow_after = STEP
        run = disk / "home" / "runs" / "one"            # its events and log lie there, too
        run.mkdir(parents=True)
        runs.write_json(run / runs.CONFIG, {"repo": "google/x", "files": ["model.gguf"]})
        process = here.start(run)
        here.wait_until(lambda: sum(one.stat().st_size for one in disk.glob("home/cache/downloads/*.part")) >= STEP)
        with (disk / "other").open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"\0" * 4096)
        here.hub.faults.slow_after = 0
        status, said = here.finish(run, process)
        assert status == 2 and "The disk is full" in said and here.log(run).strip() == said
        (disk / "other").unlink()
        assert here.finish(run) == (0, "done")
        assert Path(runs.read_json(run / runs.RESULT)["files"][0]).read_bytes() == MODEL


def test_a_file_renamed_on_the_hub_goes_on_with_what_is_here(here: Fetching):
    here.hub.add("google/x", {"config.json": b"{}", "model-00001-of-00001.safetensors": MODEL})
    here.hub.faults.slow_after = STEP
    run = here.run_folder("one")
    process = here.start(run)
    here.wait_for_part(STEP, process)
    (run / runs.STOP).touch()
    assert here.finish(run, process) == (0, "stopped")
    kept = here.part_bytes()
    repo = here.hub.repos["google/x"]
    repo.put({"model.safetensors": MODEL})
    del repo.commits[repo.refs["main"]]["model-00001-of-00001.safetensors"]
    here.hub.faults.slow_after = 0
    assert here.finish(run) == (0, "done")
    assert here.hub.asked("store", "GET")[-1].range == f"bytes={kept}-"


def test_names_of_every_kind_and_empty_files(here: Fetching):
    files = {"Ärzte/Größe 100% #1?.gguf": MODEL[:9000], "deep/er/模型.gguf": MODEL[:9000], "leer.json": b"",
             "leer.gguf": b"", "a+b&c=d.json": b"[]"}
    here.hub.add("google/x", files)
    result = here.get("one", *files)
    for name, path in zip(files, result["files"], strict=True):
        assert path.endswith(name) and Path(path).read_bytes() == files[name]
    assert here.get("two", *files)["fetched_bytes"] == 0
