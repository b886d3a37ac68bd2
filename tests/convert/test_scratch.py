"""Folders that dead exports left are removed, and nobody else's."""

import json
import os
import time
from pathlib import Path

import psutil
import pytest

from convert.scratch import OWNER, OWNERLESS_S, remove_stale, scratch


def owner(pid: int = 0, started: float = 0) -> str:
    return json.dumps({"pid": pid or os.getpid(), "started": started or psutil.Process().create_time()})


@pytest.mark.parametrize(("text", "age_s", "is_kept"), [
    (owner(), 0, True), (owner(), 10 * OWNERLESS_S, True), (owner(started=5), 0, False), ("[]", 0, False),
    ("{", 0, False), ('{"pid": "x", "started": 1}', 0, False),
    (None, 0, True), (None, OWNERLESS_S - 60, True), (None, OWNERLESS_S + 60, False)])
def test_what_the_dead_left_is_removed(tmp_path: Path, text: str | None, age_s: float, is_kept: bool):
    folder = tmp_path / ".galen-x"
    folder.mkdir()
    (folder / "half.gguf").write_bytes(b"1")
    if text is not None:
        (folder / OWNER).write_text(text, encoding="utf-8")
    os.utime(folder, (time.time() - age_s,) * 2)
    (tmp_path / "mine").mkdir()
    remove_stale(tmp_path)
    assert folder.exists() is is_kept and (tmp_path / "mine").exists()


def test_an_export_removes_them_and_itself(tmp_path: Path):
    old = tmp_path / ".galen-old"
    old.mkdir()
    os.utime(old, (0, 0))
    with scratch(tmp_path) as folder:
        assert not old.exists() and (folder / OWNER).is_file()
        remove_stale(tmp_path)
        assert folder.exists()
    assert not list(tmp_path.iterdir())
