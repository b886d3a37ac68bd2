"""A download from a local hub: whole, in parts, killed, paused, twice at once, with and without links."""

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from models import download, fetched, runs
from tests.models.fetching import Fetching
from tests.models.hub import CHUNK, Hub

SIZE = 6_000_000
MODEL = random.Random(8).randbytes(SIZE)
STEP = 3 * CHUNK                # of the model: what each start brings before the body trickles


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Fetching]:
    """A hub with one GGUF, and a computer with nothing on it."""
    with Hub() as hub, Fetching(hub, tmp_path) as computer:
        hub.add("google/x", {"model.gguf": MODEL, "config.json": b"{}"})
        yield computer


def asked_ranges(here: Fetching) -> list[str]:
    return [one.range for one in here.hub.asked("store", "GET")]


def test_a_file_lies_in_the_cache_once_and_the_hubs_own_library_finds_it(here: Fetching):
    result = here.get("one", "model.gguf", entry="x")
    assert Path(result["files"][0]).read_bytes() == MODEL
    assert result["bytes"] == result["fetched_bytes"] == SIZE
    found = subprocess.run([sys.executable, "-c", "from huggingface_hub import hf_hub_download as get;"
                            "print(get('google/x', 'model.gguf', local_files_only=True))"],
                           env=here.environment, capture_output=True, text=True, check=True).stdout.strip()
    assert found == result["files"][0]
    assert [size for size in here.files().values() if size >= SIZE] == [SIZE]
    assert not [name for name in here.files() if name.endswith((".part", ".incomplete"))]
    os.environ["GALEN_HOME"], before = str(here.folder / "home"), os.environ.get("GALEN_HOME")
    try:
        assert fetched.is_ours(Path(found)) and not fetched.is_ours(Path(found).with_name("config.json"))
    finally:
        os.environ.pop("GALEN_HOME") if before is None else os.environ.update(GALEN_HOME=before)
    sent = here.hub.sent()
    assert here.get("two", "model.gguf")["fetched_bytes"] == 0
    assert here.hub.sent() == sent


def test_a_base_is_what_training_needs_and_nothing_twice(here: Fetching):
    base = {"config.json": b'{"model_type": "gemma3_text"}', "tokenizer.json": b"{}" * 20_000, "README.md": b"card",
            "model-00001-of-00002.safetensors": MODEL[:2_000_000], "model-00002-of-00002.safetensors": MODEL[:90_000],
            "model.safetensors.index.json": b'{"weight_map": {"a": "model-00001-of-00002.safetensors", '
                                            b'"b": "model-00002-of-00002.safetensors"}}'}
    here.hub.add("google/base", {**base, "pytorch_model.bin": b"x" * 9000, "model-Q8_0.gguf": b"y" * 9000,
                                 "original/consolidated.safetensors": b"z" * 9000})
    result = here.get("base", repo="google/base")
    assert {Path(one).name for one in result["files"]} == set(base)
    assert result["bytes"] == sum(map(len, base.values()))
    code = "from models import library; print(library.find_base('google/base'))"
    said = subprocess.run([sys.executable, "-c", code], env=here.environment, cwd=runs.ROOT, capture_output=True,
                          text=True)
    assert said.stdout.strip() == result["path"], said.stderr


def test_killed_at_any_moment_it_goes_on_where_it_was(here: Fetching):
    run, chance = here.run_folder("killed", "model.gguf"), random.Random(5)
    here.hub.faults.slow_after = STEP
    for kill in range(1, 5):
        process = here.start(run)
        here.wait_for_part(kill * STEP, process)
        time.sleep(chance.uniform(0, 0.2))
        assert not here.models()
        process.send_signal(signal.SIGKILL)
        process.wait()
    here.hub.faults.slow_after = 0
    assert here.finish(run) == (0, "done")
    assert Path(runs.read_json(run / runs.RESULT)["files"][0]).read_bytes() == MODEL
    begins = [int(one.removeprefix("bytes=").removesuffix("-") or 0) for one in asked_ranges(here)]
    assert len(begins) == 5 and all(begin >= k * STEP for k, begin in enumerate(begins))


def test_a_pause_keeps_what_came_and_another_start_goes_on(here: Fetching):
    here.hub.faults.slow_after = STEP
    run = here.run_folder("paused", "model.gguf")
    process = here.start(run)
    here.wait_for_part(STEP, process)
    (run / runs.STOP).touch()
    assert here.finish(run, process) == (0, "stopped")
    kept = here.part_bytes()
    assert STEP <= kept < SIZE and not here.models() and not (run / runs.RESULT).exists()
    here.hub.faults.slow_after = 0
    result = here.get("another", "model.gguf")
    assert result["fetched_bytes"] == SIZE - kept
    assert asked_ranges(here)[-1] == f"bytes={kept}-"


def test_cancelled_it_leaves_nothing(here: Fetching, monkeypatch: pytest.MonkeyPatch):
    here.hub.faults.slow_after = STEP
    here.hub.add("google/two", {"a.gguf": MODEL[:500_000], "b.gguf": MODEL})
    run = here.run_folder("cancelled", "a.gguf", "b.gguf", repo="google/two")
    process = here.start(run)
    here.wait_until(lambda: here.placed() == [500_000] and here.part_bytes() >= STEP)
    (run / runs.STOP).touch()
    assert here.finish(run, process) == (0, "stopped")
    monkeypatch.setenv("GALEN_HOME", str(here.folder / "home"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(here.cache))
    assert here.part_bytes() > 0 and not here.models()
    download.discard(run)
    shutil.rmtree(run)
    assert max(here.files().values()) < 2000, here.files()      # locks and the cache's own mark
    assert not here.models()


def test_what_is_being_fetched_is_not_discarded_by_another(here: Fetching, monkeypatch: pytest.MonkeyPatch):
    here.hub.faults.slow_after = STEP
    run, other = here.run_folder("one", "model.gguf"), here.run_folder("other", "model.gguf")
    process = here.start(run)
    here.wait_for_part(STEP, process)
    shutil.copy(run / download.CONTENTS, other)
    monkeypatch.setenv("GALEN_HOME", str(here.folder / "home"))
    download.discard(other)
    here.hub.faults.slow_after = 0
    assert here.finish(run, process) == (0, "done")
    assert here.hub.sent() == SIZE


def test_two_at_once_fetch_it_once(here: Fetching):
    here.hub.faults.slow_after = STEP
    folders = [here.run_folder(name, "model.gguf") for name in ("one", "two")]
    first = here.start(folders[0])
    here.wait_for_part(1, first)
    second = here.start(folders[1])
    here.wait_until(lambda: "Another program is fetching model.gguf" in here.notes(folders[1]))
    here.hub.faults.slow_after = 0
    assert here.finish(folders[0], first) == (0, "done")
    assert here.finish(folders[1], second) == (0, "done")
    assert here.hub.sent() == SIZE and len(here.hub.asked("store")) == 1
    assert here.events(folders[1])[-2]["done_bytes"] == SIZE


def test_the_hubs_own_library_waits_for_ours(here: Fetching):
    here.hub.faults.slow_after = STEP
    run = here.run_folder("one", "model.gguf")
    process = here.start(run)
    here.wait_for_part(1, process)
    asked = len(here.hub.asked("hub", "HEAD"))
    code = "from huggingface_hub import hf_hub_download as get; print(get('google/x', 'model.gguf'))"
    theirs = subprocess.Popen([sys.executable, "-c", code], env={**here.environment, "HF_HUB_OFFLINE": "0"},
                              stdout=subprocess.PIPE, text=True)
    here.wait_until(lambda: len(here.hub.asked("hub", "HEAD")) > asked)
    here.hub.faults.slow_after = 0
    assert here.finish(run, process) == (0, "done")
    assert Path(theirs.communicate(timeout=60)[0].strip()).read_bytes() == MODEL
    assert here.hub.sent() == SIZE


def test_without_links_there_is_still_one_copy(here: Fetching):
    here.more = {"HF_HUB_DISABLE_SYMLINKS": "1"}
    here.hub.faults.slow_after = STEP
    run = here.run_folder("killed", "model.gguf")
    process = here.start(run)
    here.wait_for_part(1, process)
    process.kill()
    process.wait()
    assert not here.models()
    here.hub.faults.slow_after = 0
    result = here.get("one", "model.gguf")
    assert Path(result["files"][0]).read_bytes() == MODEL and not Path(result["files"][0]).is_symlink()
    assert [size for size in here.files().values() if size >= SIZE] == [SIZE]
    sent = here.hub.sent()
    here.get("two", "model.gguf")
    assert here.hub.sent() == sent


def test_a_file_that_changed_on_the_hub_is_fetched_anew(here: Fetching):
    here.hub.faults.slow_after = STEP
    run = here.run_folder("one", "model.gguf")
    process = here.start(run)
    here.wait_for_part(STEP, process)
    (run / runs.STOP).touch()
    here.finish(run, process)
    new = MODEL[::-1]
    commit = here.hub.repos["google/x"].put({"model.gguf": new})
    here.hub.faults.slow_after = 0
    assert here.finish(run) == (0, "done")
    result = runs.read_json(run / runs.RESULT)
    assert Path(result["files"][0]).read_bytes() == new and result["revision"] == commit
    assert "model.gguf was changed on the hub" in here.notes(run)
    assert here.part_bytes() == 0


def test_progress_counts_what_is_here_and_knows_speed_and_time(here: Fetching):
    here.hub.faults.slow_after = STEP
    run = here.run_folder("one", "model.gguf")
    process = here.start(run)
    here.wait_until(lambda: any(0 < one["done_bytes"] < SIZE and one["left_s"] for one in here.progress(run)))
    here.hub.faults.slow_after = 0
    assert here.finish(run, process) == (0, "done")
    told = here.progress(run)
    assert {one["total_bytes"] for one in told} - {0} == {SIZE}
    assert [one["done_bytes"] for one in told] == sorted(one["done_bytes"] for one in told)
    middle = next(one for one in told if 0 < one["done_bytes"] < SIZE and one["left_s"])
    assert middle["file"] == "model.gguf" and middle["bytes_s"] > 0 and middle["left_s"] > 0
    assert told[-1]["done_bytes"] == SIZE


def test_a_wanted_name_or_version_that_is_not_there(here: Fetching):
    assert "google/x holds no other.gguf" in here.refused("name", "other.gguf")
    assert "google/x is no base model" in here.refused("base")
    assert "no such version" in here.refused("version", "model.gguf", revision="v9")


def test_the_sum_of_a_small_file_is_gits(here: Fetching):
    result = here.get("one", "config.json")
    blob = os.path.realpath(result["files"][0])
    assert os.path.basename(blob) == hashlib.sha1(b"blob 2\0{}", usedforsecurity=False).hexdigest()
