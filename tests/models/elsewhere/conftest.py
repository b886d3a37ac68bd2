"""A user whose home is empty, and in whose home other programs are looked for."""

from pathlib import Path

import pytest

NAMES = ("GALEN_ELSEWHERE", "OLLAMA_MODELS", "LLAMA_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA")


@pytest.fixture
def user(tmp_path: Path, galen_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's home folder."""
    home = tmp_path / "user"
    home.mkdir()
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    return home
