"""A download while something is wrong: with the way, with what is sent, with the disk, with the right to read it."""

import hashlib
import os
import random
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from models import download, hub_cache, outside, parts, runs
from models.errors import UserError
from models.fetch import Paused, Way, number, patiently
from models.hub_cache import Wanted
from models.parts import Part, Wrong
from tests.models.fetching import Fetching
from tests.models.hub import CHUNK, Account, Hub

SIZE = 3_000_000
MODEL = random.Random(9).randbytes(SIZE)
TOKEN = "hf_" + "k3Yz" * 8


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Fetching]:
    """A hub with one GGUF, and a computer with nothing on it."""
    with Hub() as hub, Fetching(hub, tmp_path) as computer:
        hub.add("google/x", {"model.gguf": MODEL, "config.json": b"{}"})
        yield computer


def kept(here: Fetching, count: int) -> str:
    """Make a part of the model's first bytes, as a killed download leaves it; its name."""
    folder = here.folder / "home" / "cache" / "downloads"
    folder.mkdir(parents=True)
    etag = here.hub.repos["google/x"].commits[here.hub.repos["google/x"].refs["main"]]["model.gguf"].sha256
    (folder / f"{etag}.part").write_bytes(MODEL[:count])
    return f"{etag}.part"


def test_cut_lines_links_that_ran_out_and_too_many_requests_are_passed_over(here: Fetching):
    here.hub.faults.slow_after, here.hub.faults.link_uses, here.hub.faults.retry_after_s = 4 * CHUNK, 1, 0
    run = here.run_folder("one", "model.gguf")
    process = here.start(run)
    here.wait_for_part(4 * CHUNK, process)
    here.hub.faults.refusals, here.hub.faults.slow_after = 1, -1
    assert here.finish(run, process) == (0, "done")
    result = runs.read_json(run / runs.RESULT)
    assert Path(result["files"][0]).read_bytes() == MODEL
    first, second = here.hub.asked("store")
    assert here.hub.sent() == SIZE and (first.range, second.range) == ("", f"bytes={first.sent}-")
    assert "The connection was lost" in here.notes(run) and "too many requests" in here.notes(run)


def test_a_server_that_ignores_ranges_is_read_from_its_beginning(here: Fetching):
    kept(here, 2_000_000)
    here.hub.faults.ignores_range = True
    here.hub.faults.cuts = [1_500_000]          # before it came to what is new: what is kept stays
    run = here.run_folder("one", "model.gguf")
    assert here.finish(run) == (0, "done")
    assert Path(runs.read_json(run / runs.RESULT)["files"][0]).read_bytes() == MODEL
    assert [one.range for one in here.hub.asked("store")] == ["bytes=2000000-"] * 2
    assert "from its beginning" in here.notes(run)


def test_wrong_content_is_said_and_nothing_of_it_stays(here: Fetching):
    here.hub.faults.wrong = {"model.gguf"}
    said = here.refused("one", "model.gguf")
    assert "model.gguf of google/x is not what the hub says it is" in said
    assert not here.models() and here.part_bytes() == 0 and max(here.files().values()) < SIZE // 2
    assert here.hub.sent() == SIZE


def test_a_kept_part_that_was_damaged_is_fetched_anew(here: Fetching):
    part = here.folder / "home/cache/downloads" / kept(here, 2_000_000)
    part.write_bytes(b"\0" * 2_000_000)         # as a power cut may leave it
    run = here.run_folder("one", "model.gguf")
    assert here.finish(run) == (0, "done")
    assert Path(runs.read_json(run / runs.RESULT)["files"][0]).read_bytes() == MODEL
    assert "was damaged" in here.notes(run)


def test_a_store_that_holds_less_than_the_hub_says(here: Fetching):
    kept(here, 1_000_000)
    here.hub.faults.short = {"model.gguf"}
    assert "model.gguf has 3,000,000 bytes, and what it sends has 1,500,000" in here.refused("one", "model.gguf")
    assert here.part_bytes() == 1_000_000       # it may be right, and another day the rest


def test_a_log_in_page_in_place_of_the_hub(here: Fetching):
    here.hub.faults.is_portal = True
    assert "is no hub: the log-in page of a network" in here.refused("one", "model.gguf")
    assert not here.models()


def test_a_disk_that_fills_up_keeps_what_came(here: Fetching):
    if not os.path.exists("/dev/full"):
        pytest.skip("there is no device here that is always full")
    part = here.folder / "home/cache/downloads" / kept(here, 0)
    part.unlink()
    part.symlink_to("/dev/full")
    assert "The disk is full: google/x could not be fetched whole" in here.refused("one", "model.gguf")


def test_a_file_larger_than_the_disk_is_not_begun(here: Fetching):
    repo = here.hub.repos["google/x"]
    files = repo.commits[repo.refs["main"]]
    files["model.gguf"] = replace(files["model.gguf"], bytes=10 ** 15)
    assert "needs 1000000.00 GB more on the disk" in here.refused("one", "model.gguf")
    assert not here.hub.asked("store", "GET")


def test_the_token_goes_to_the_hub_alone_and_stands_nowhere(here: Fetching):
    here.hub.repos["google/x"].gated = "manual"
    here.hub.accounts[TOKEN] = Account("ada", {"google/x"})
    here.more = {"HF_TOKEN": TOKEN}
    here.hub.faults.cuts = [1_000_000]
    here.get("one", "model.gguf", "config.json")
    assert {one.authorization for one in here.hub.asked("store")} == {""}
    assert {one.authorization for one in here.hub.asked("hub")} == {f"Bearer {TOKEN}"}
    here.hub.accounts.clear()
    here.hub.repos["google/x"].put({"model.gguf": MODEL[:-1]})
    assert "does not accept your token in HF_TOKEN" in here.refused("two", "model.gguf")
    here.hub.faults.status = {"/api/": 500}
    assert "in trouble (it answered 500)" in here.refused("three", "model.gguf")
    for path in here.folder.rglob("*"):
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes(), path


def test_offline_nothing_is_asked(here: Fetching):
    switch = here.folder / "settings.json"
    switch.write_text('{"is_offline": true}')
    here.more = {outside.SWITCH: str(switch), "HF_ENDPOINT": "http://192.0.2.1"}
    assert "Galen is offline" in here.refused("one", "model.gguf")


def test_switched_offline_a_download_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    switch = tmp_path / "settings.json"
    switch.write_text('{"is_offline": false}')
    monkeypatch.setenv(outside.SWITCH, str(switch))
    monkeypatch.setenv("HF_ENDPOINT", "https://huggingface.co")
    way = Way("google/x", False)
    told = threading.Event()
    look = download._Look(way, lambda progress: (told.set(), switch.write_text('{"is_offline": true}')), lambda: False)
    with ThreadPoolExecutor() as pool, pytest.raises(outside.Offline, match="Galen is offline"):
        look.at([pool.submit(way.stop.wait, 60)])
    assert told.is_set()


def test_through_a_proxy_whose_password_is_not_said(here: Fetching):
    here.more = {"NO_PROXY": "", "no_proxy": "", "HF_ENDPOINT": "http://hub.invalid",
                 "http_proxy": here.hub.endpoint.replace("//", "//ada:s3cret@")}
    result = here.get("one", "config.json")
    assert Path(result["files"][0]).read_bytes() == b"{}"
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    here.more |= {"http_proxy": f"http://ada:s3cret@127.0.0.1:{port}"}
    run = here.run_folder("two", "model.gguf")
    status, said = here.finish(run)
    assert status == 2 and f"127.0.0.1:{port}" in said and "s3cret" not in here.log(run)


def test_a_cache_on_another_disk(here: Fetching):
    shared = Path("/dev/shm")
    if not shared.is_dir() or shared.stat().st_dev == here.folder.stat().st_dev:
        pytest.skip("there is no second disk here")
    with tempfile.TemporaryDirectory(dir=shared) as home:
        here.more = {"GALEN_HOME": home}
        result = here.get("one", "model.gguf")
        assert Path(result["files"][0]).read_bytes() == MODEL
        assert [size for size in here.files().values() if size >= SIZE] == [SIZE]
        assert not list(Path(home).rglob("*.part"))


def failing(times: int, error: Exception, calls: list[int]) -> Callable[[], str]:
    """A call that fails so often, and then brings something."""
    def call() -> str:
        calls.append(len(calls))
        if len(calls) <= times:
            raise error
        return "here"
    return call


def test_patience_lasts_from_the_last_byte_and_a_wait_ends_at_once():
    import httpx2
    lost = httpx2.ReadError("cut")
    calls: list[int] = []
    way = Way("google/x", False, patience_s=60.0)
    with pytest.raises(httpx2.ReadError):
        patiently(way, failing(1, lost, calls))         # nothing ever came: told at once
    way.came(1)
    assert patiently(way, failing(2, lost, calls)) == "here" and len(calls) == 3
    assert "The connection was lost; going on in 1 s." in way.notes()
    behind = Way("google/x", False, patience_s=60.0)
    behind.came(9, is_new=False)                        # what is here already, sent once more, is no progress
    assert behind.is_lost() and behind.fetched_bytes == 9
    impatient = Way("google/x", False, patience_s=0.0)
    impatient.came(1)
    with pytest.raises(httpx2.ReadError):
        patiently(impatient, failing(1, lost, []))
    threading.Timer(0.2, way.stop.set).start()
    with pytest.raises(Paused):
        patiently(way, failing(99, lost, []))


def test_a_night_asleep_is_no_waiting():
    """Where the clock goes on while the lid is closed, the first error after it says nothing of the network."""
    now = [0.0]
    way = Way("google/x", False, patience_s=300.0, clock=lambda: now[0])
    way.came(1)
    now[0] += 8 * 3600
    assert not way.is_lost()
    looks = []
    for _ in range(10):
        now[0] += 30
        looks.append(way.is_lost())
    assert not looks[0] and looks[-1]


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("17", 17), ("", -1), ("\xb2", -1), ("-5", -1), ("9" * 5000, -1),
                                             (" 7", -1), ("1e3", -1)])
def test_numbers_in_headers(text: str, value: int):
    assert number(text) == value


@pytest.mark.parametrize(("status", "headers", "times", "is_waited_for"), [
    (429, {"Retry-After": "0"}, 3, True), (429, {"Retry-After": "0"}, 6, False),
    (429, {"Retry-After": "3600"}, 1, False), (429, {"RateLimit": '"api";r=0;t=0'}, 1, True),
    (503, {}, 1, True), (404, {}, 1, False), (401, {}, 1, False),
    (403, {}, 1, False)])
def test_what_passes_by_itself_is_waited_for(status: int, headers: dict[str, str], times: int, is_waited_for: bool):
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError
    request = httpx2.Request("GET", "https://huggingface.co/google/x/resolve/main/m.gguf")
    error = HfHubHTTPError("no", response=httpx2.Response(status, headers=headers, request=request))
    way = Way("google/x", False)
    way.came(1)
    if is_waited_for:
        assert patiently(way, failing(times, error, [])) == "here"
    else:
        with pytest.raises(HfHubHTTPError):
            patiently(way, failing(times, error, []))


@pytest.mark.parametrize("name", ["../a.gguf", "/etc/a.gguf", "a/../../b.gguf", "C:a.gguf", "a\\b.gguf", ""])
def test_a_name_that_leads_outside_is_refused(name: str):
    with pytest.raises(UserError, match="outside its folder"):
        Wanted(repo="google/x", commit="0" * 40, name=name, bytes=1)


def test_a_part_takes_no_more_than_the_file_has(galen_home: Path):
    with Part("a" * 64, 10) as part:
        part.write(b"12345")
        with pytest.raises(Wrong, match="more than the 10 bytes"):
            part.write(b"678901")
        assert part.bytes == 5


class Asked(Exception):
    """Somebody wants to pause."""


def ask() -> None:
    raise Asked


def test_a_pause_is_heard_while_a_sum_is_made(galen_home: Path):
    size = 1 << 36              # with holes: takes no room, and a minute to read
    path = parts.path_of("a" * 64)
    with path.open("wb") as file:
        file.truncate(size)
    with Part("a" * 64, size) as part, pytest.raises(Asked):
        part.is_right(ask)
    with pytest.raises(Asked):
        parts.is_sound(path, "a" * 64, ask)
    assert path.stat().st_size == size


def test_a_pause_is_heard_while_a_file_goes_to_another_disk(galen_home: Path):
    wanted = Wanted(repo="google/x", commit="0" * 40, name="m.gguf", bytes=9, etag="a" * 64)
    shared = Path("/dev/shm")
    if not shared.is_dir() or shared.stat().st_dev == galen_home.stat().st_dev:
        pytest.skip("there is no second disk here")
    with tempfile.NamedTemporaryFile(dir=shared) as part:
        part.write(b"123456789")
        part.flush()
        with pytest.raises(Asked):
            hub_cache.place(Path(part.name), wanted, ask)
        assert not [path for path in hub_cache.root().rglob("*") if path.is_file()] and os.path.exists(part.name)


def test_a_file_is_read_once_and_again_when_it_changed(galen_home: Path):
    path, other = galen_home / "m.gguf", galen_home / "other.gguf"
    path.write_bytes(MODEL)
    etag, asked = hashlib.sha256(MODEL).hexdigest(), list[int]()

    def is_sound() -> bool:
        return parts.is_sound(path, etag, lambda: asked.append(1))
    assert is_sound() and asked
    asked.clear()
    assert is_sound() and not asked and parts.known(etag) == [path]
    before = path.stat()
    other.write_bytes(b"\0" * SIZE)
    os.replace(other, path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))         # as a copying program would
    assert not is_sound() and asked and parts.known(etag) == []
    path.unlink()
    assert not is_sound()


def test_a_content_that_has_gone_gets_no_name(galen_home: Path):
    wanted = Wanted(repo="google/x", commit="0" * 40, name="m.gguf", bytes=9, etag="a" * 64)
    with pytest.raises(hub_cache.Lost):
        hub_cache.link(wanted, lambda: None)
    assert not os.path.lexists(hub_cache.pointer(wanted))


def test_a_part_longer_than_the_file_is_begun_anew(galen_home: Path):
    with Part("a" * 64, 10) as part:
        part.write(b"1234567890")
    with Part("a" * 64, 4) as part:
        assert part.bytes == 0


@pytest.mark.parametrize("etag", ["W/abc", "../" + "a" * 61, "A" * 64])
def test_a_server_without_checksums_is_refused(etag: str):
    with pytest.raises(UserError, match="names no checksum"):
        Wanted(repo="google/x", commit="0" * 40, name="m.gguf", bytes=1, etag=etag)
