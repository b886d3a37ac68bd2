"""A download beside odd neighbours: pages in place of files, caches as others left them, disks of little room."""

import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from models import download, runs
from tests.models.fetching import Fetching
from tests.models.hub import CHUNK, Hub
from tests.small_disk import mounted

SIZE = 3_000_000
MODEL = random.Random(10).randbytes(SIZE)
STEP = 3 * CHUNK


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Fetching]:
    """A hub with one GGUF, and a computer with nothing on it."""
    with Hub() as hub:
        hub.add("google/x", {"model.gguf": MODEL, "config.json": b"{}"})
        yield Fetching(hub, tmp_path)


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


def placed_without_a_name(here: Fetching) -> tuple[Path, subprocess.Popen]:
    """The run folder and process of a download whose content lies in the cache, while the hub lets nobody name it."""
    here.hub.faults.slow_after = STEP
    run = here.run_folder("one", "model.gguf")
    process = here.start(run)
    here.wait_for_part(STEP, process)
    here.hub.faults.status = {"/resolve/": 503}
    here.hub.faults.slow_after = 0
    here.wait_until(lambda: here.placed() == [SIZE])
    return run, process


def test_a_lost_line_while_the_names_are_made_is_passed_over(here: Fetching):
    run, process = placed_without_a_name(here)
    here.wait_until(lambda: any(one.status == 503 for one in here.hub.asked("hub", "HEAD")))
    here.hub.faults.status = {}
    assert here.finish(run, process) == (0, "done")
    assert here.hub.sent() == SIZE


def test_killed_between_its_place_and_its_name_it_fetches_nothing_again(here: Fetching):
    run, process = placed_without_a_name(here)
    process.kill()
    process.wait()
    assert not here.models()
    here.hub.faults.status = {}
    assert here.finish(run) == (0, "done")
    assert here.hub.sent() == SIZE


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
        run = here.run_folder("one", "model.gguf")
        process = here.start(run)
        here.wait_until(lambda: sum(one.stat().st_size for one in disk.glob("home/cache/downloads/*.part")) >= STEP)
        with (disk / "other").open("wb") as file:
            file.write(b"\0" * (shutil.disk_usage(disk).free - 500_000))
        here.hub.faults.slow_after = 0
        assert here.finish(run, process)[0] == 2
        assert "The disk is full" in here.log(run)
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
