import errno
import os
import threading
from pathlib import Path

import pytest

from convert.blank import Blank
from tests.convert.tiny import fill


@pytest.mark.parametrize("lacks", ["nothing", "pwrite", "posix_fallocate"])
def test_threads_fill_it_in_any_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lacks: str):
    monkeypatch.delattr(os, lacks, raising=False)       # as on Windows and macOS
    path, pieces = tmp_path / "x", [bytes([k]) * 1000 for k in range(1, 41)]
    with Blank(path, 41_000) as file:
        assert path.stat().st_size == 41_000
        order = [threading.Thread(target=file.write, args=(1000 * k, pieces[k])) for k in reversed(range(40))]
        for thread in order:
            thread.start()
        for thread in order:
            thread.join()
    assert path.read_bytes() == b"".join(pieces) + bytes(1000)


def test_room_is_taken_at_once(tmp_path: Path):
    if not hasattr(os, "posix_fallocate"):
        pytest.skip("this system can not reserve room")
    with Blank(tmp_path / "x", 1 << 20):
        assert 512 * (tmp_path / "x").stat().st_blocks >= 1 << 20
    with Blank(tmp_path / "hole", 1 << 20, is_hole=True):
        assert 512 * (tmp_path / "hole").stat().st_blocks < 1 << 20
    assert (tmp_path / "hole").stat().st_size == 1 << 20


def test_an_error_removes_it(tmp_path: Path):
    with pytest.raises(KeyboardInterrupt), Blank(tmp_path / "x", 10) as file:
        file.write(0, b"x")
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_a_disk_too_small_is_said_before_anything_is_written(small_disk: Path):
    with pytest.raises(OSError) as caught:
        Blank(small_disk / "x", 50 << 20)
    assert caught.value.errno == errno.ENOSPC and not list(small_disk.iterdir())


def test_a_disk_that_fills_up_half_way(small_disk: Path):
    with pytest.raises(OSError) as caught, Blank(small_disk / "x", 1 << 20, is_hole=True) as file:
        file.write(0, bytes(1000))
        fill(small_disk)
        file.write(1 << 19, bytes(1 << 19))
    assert caught.value.errno == errno.ENOSPC and not (small_disk / "x").exists()
