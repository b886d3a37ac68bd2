"""What tests share: where real data and the embedded model lie."""

import os
import signal
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("GALEN_ELSEWHERE", "no")          # models of other programs on this machine are no part of a test

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:   # as a shell starts what runs in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)

from models import library, runs  # after the environment is set

SHARED = runs.ROOT.parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real public data beside the checkout; the test is skipped, visibly, where it is missing."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the real data in {SHARED}")
    return SHARED


@pytest.fixture(scope="session")
def demo_base() -> Path:
    """The embedded base model's folder."""
    return runs.DEMO_BASE


@pytest.fixture(scope="session")
def demo_gguf() -> Path:
    """The embedded base model as GGUF."""
    return library.demo_gguf()


@pytest.fixture
def galen_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty GALEN_HOME for this test and the processes it starts, and here an empty cache of the hub."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("GALEN_HOME", str(home))
    return home
