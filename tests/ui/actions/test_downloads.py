"""Downloads as jobs, over the real worker, the real client and a local hub: paused, resumed, cancelled, used."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import psutil
import pytest

from models import download, runs
from models.download import DownloadConfig
from models.errors import UserError
from tests.models.hub import Hub
from tests.processes import command
from tests.small_disk import mounted
from tests.ui.fakes import FakeSession, wait_for
from ui import job_folder
from ui.actions.downloads import CANCELLED, KIND, MODULE, Downloads
from ui.actions.model import CurrentModel
from ui.actions.models import Models
from ui.job_folder import Asked
from ui.job_list import JobList
from ui.outside import Outside
from ui.settings import SettingsFile

REPO, FILE = "galen/demo-GGUF", "galen-demo-Q8_0.gguf"
LONG_S = 60.0
CONFIG = DownloadConfig(repo=REPO, files=(FILE,))


class Bench:
    """What downloads are made of, over a home that may be opened again."""

    def __init__(self, home: Path):
        settings = SettingsFile(home)
        self.model = CurrentModel(FakeSession(), settings)
        self.outside = Outside(home, settings)
        self.jobs = JobList(home, self.model)
        self.downloads = Downloads(self.jobs, self.outside, Models(home, settings, self.model, self.jobs))

    def state(self) -> str:
        return next((one.state for one in self.downloads.listed()), "")

    def wait_until(self, state: str) -> None:
        wait_for(lambda: self.state() == state, LONG_S)


@pytest.fixture
def hub(demo_gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with Hub() as made:
        made.add(REPO, {FILE: demo_gguf, "README.md": b"A card."})
        for name, value in made.environment(tmp_path).items():
            monkeypatch.setenv(name, value)
        yield made


@pytest.fixture
def bench(galen_home: Path, hub: Hub):
    made = Bench(galen_home)
    made.outside.switch(False)
    yield made
    made.jobs.close()


def parts(home: Path) -> list[Path]:
    return [one for one in (home / "cache").rglob("*.part") if one.stat().st_size > 0]


def test_paused_resumed_by_the_next_galen_and_used(bench: Bench, hub: Hub, galen_home: Path, demo_gguf: Path):
    hub.faults.bytes_s = 2e6
    run = bench.downloads.start(CONFIG, "Demo Q8_0")
    assert not job_folder.asked_of(galen_home / "runs" / run).is_heavy          # it waits for no training
    one = wait_for(lambda: next((one for one in bench.downloads.listed() if one.share), None), LONG_S)
    assert one.state == "running" and "10.8 MB" not in one.title and " MB of 11 MB" in one.words and one.repo == REPO
    assert bench.downloads.start(CONFIG, "Demo Q8_0") == run            # asked for twice: one download
    bench.downloads.pause(run)
    bench.wait_until("paused")
    assert parts(galen_home) and " of 11 MB" in bench.downloads.listed()[0].words
    bench.jobs.close()
    again = Bench(galen_home)                                           # Galen was started anew
    assert again.state() == "paused"
    hub.faults.bytes_s = 0
    again.downloads.resume(run)
    again.wait_until("done")
    assert hub.sent() < demo_gguf.stat().st_size * 1.3
    done = again.downloads.listed()[0]
    assert done.path and done.path.read_bytes() == demo_gguf.read_bytes() and done.path.name == FILE
    assert not done.is_base and not parts(galen_home)
    again.downloads.forget(run)
    assert again.downloads.listed() == [] and done.path.exists()
    again.jobs.close()


def test_cancel_leaves_nothing(bench: Bench, hub: Hub, galen_home: Path):
    hub.faults.bytes_s = 1e6
    run = bench.downloads.start(CONFIG, "Demo Q8_0")
    wait_for(lambda: parts(galen_home), LONG_S)
    worker = next(one for one in psutil.Process().children(recursive=True) if "models.worker" in command(one))
    worker.suspend()
    bench.downloads.cancel(run)
    with pytest.raises(UserError, match="Demo Q8_0 is still ending"):       # it would go with the cancelled one
        bench.downloads.start(CONFIG, "Demo Q8_0")
    worker.resume()
    wait_for(lambda: not bench.downloads.listed(), LONG_S)
    assert not parts(galen_home) and not (galen_home / "runs" / run).exists()
    assert not list(Path(os.environ["HF_HUB_CACHE"]).rglob("*.gguf"))
    again = bench.downloads.start(CONFIG, "Demo Q8_0")
    bench.downloads.pause(again)
    bench.wait_until("paused")
    bench.downloads.cancel(again)                       # of a paused one: at once
    assert bench.downloads.listed() == []


def test_what_went_wrong_is_told_and_tried_again(bench: Bench, hub: Hub):
    bench.downloads.start(DownloadConfig(repo=REPO, files=("none.gguf",)), "None")
    bench.wait_until("failed")
    one = bench.downloads.listed()[0]
    assert "holds no none.gguf" in one.words and one.path is None
    with pytest.raises(UserError, match="not here any more"):
        bench.downloads.use(one.run)
    hub.repos[REPO].put({"none.gguf": b"GGUF"})
    bench.downloads.resume(one.run)
    bench.wait_until("done")


def test_nothing_is_fetched_while_offline_and_nothing_else_is_a_download(bench: Bench, hub: Hub):
    bench.outside.switch(True)
    with pytest.raises(UserError, match="Galen is offline, so it can not download a model"):
        bench.downloads.start(CONFIG, "Demo")
    assert bench.downloads.listed() == [] and hub.seen == []
    folder = runs.new_run("train")
    runs.write_json(folder / runs.CONFIG, {"rank": 8})
    for act in (bench.downloads.pause, bench.downloads.cancel, bench.downloads.forget):
        with pytest.raises(UserError, match="is no download"):
            act(folder.name)


@pytest.mark.parametrize("file", [download.CONTENTS, runs.CONFIG])
@pytest.mark.parametrize("left", [b"", b"\0\0", b"[]", b'{"repo": 7, "a": "../../x"}'])
def test_what_a_power_cut_left_of_a_download_can_be_cancelled(
        bench: Bench, galen_home: Path, file: str, left: bytes):
    folder = galen_home / "runs" / "download-x"
    folder.mkdir(parents=True)
    runs.write_json(folder / runs.CONFIG, {"repo": REPO})
    runs.write_json(folder / job_folder.JOB, asdict(Asked(module=MODULE, kind=KIND, title="X", asked=1.0,
                                                          is_heavy=False)))
    runs.write_json(folder / download.CONTENTS, {"a": "a" * 64})
    (folder / runs.PID).write_text('{"pid": 4000000, "started": 1}')
    os.utime(folder / runs.PID, (1, 1))
    (folder / file).write_bytes(left)
    assert len(bench.downloads.listed()) == 1
    (folder / CANCELLED).touch()                # as a Galen leaves it that is ended while a download pauses
    assert bench.downloads.listed() == [] and not folder.exists()


def test_two_who_press_at_once_start_one(bench: Bench, hub: Hub):
    hub.faults.bytes_s = 1e6
    both = threading.Barrier(4)

    def press() -> str:
        both.wait()
        return bench.downloads.start(CONFIG, "Demo Q8_0")
    with ThreadPoolExecutor(4) as pool:
        found = {one.result() for one in [pool.submit(press) for _ in range(4)]}
    assert len(found) == 1
    run = found.pop()
    bench.downloads.cancel(run)
    wait_for(lambda: not bench.downloads.listed(), LONG_S)


def test_what_can_not_be_deleted_yet_keeps_no_page_from_its_list(bench: Bench, galen_home: Path):
    folder = galen_home / "runs" / "download-x"
    folder.mkdir(parents=True)
    runs.write_json(folder / runs.CONFIG, {"repo": REPO})
    (folder / runs.PID).write_text('{"pid": 4000000, "started": 1}')
    os.utime(folder / runs.PID, (1, 1))
    (folder / CANCELLED).touch()
    with mounted(folder / "busy", 1):           # as a program that has a file of it open does on Windows
        bench.downloads.listed()
        assert folder.exists()
