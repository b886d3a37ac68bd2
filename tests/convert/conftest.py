"""Small models shared by the tests of convert/."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from models import runs
from models.job import Job
from tests.convert.tiny import make_adapter, make_base
from tests.small_disk import mounted


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Models this small are slower on many threads, and much slower on busy cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tokenizer_folder(demo_base: Path) -> Path:
    """A folder with the embedded model's tokenizer."""
    return demo_base


@pytest.fixture(scope="session")
def gemma3(tmp_path_factory: pytest.TempPathFactory, tokenizer_folder: Path) -> Path:
    """A small random Gemma 3 in float32. Not to be changed: copy it."""
    return make_base(tmp_path_factory.mktemp("gemma3"), "gemma3_text", tokenizer_folder)


@pytest.fixture(scope="session")
def adapter(tmp_path_factory: pytest.TempPathFactory, gemma3: Path) -> Path:
    """A random adapter on it. Not to be changed: copy it."""
    return make_adapter(tmp_path_factory.mktemp("adapter"), gemma3)


@pytest.fixture(scope="session")
def terse(tmp_path_factory: pytest.TempPathFactory, tokenizer_folder: Path) -> Path:
    """A small random Gemma 3 that ends its answers at once. Not to be changed: copy it."""
    return make_base(tmp_path_factory.mktemp("terse"), "gemma3_text", tokenizer_folder, terse=True)


@pytest.fixture
def tuned(tmp_path: Path, terse: Path) -> Callable[[str], Path]:
    """Makes a run with an adapter and held-out rows."""
    def make(name: str, seed: int = 7) -> Path:
        folder = tmp_path / name
        make_adapter(folder / runs.ADAPTER, terse, r=2, target_modules=["q_proj", "v_proj"], lora_alpha=seed)
        rows = [[{"role": "user", "content": f"Question {k}?"}, {"role": "assistant", "content": f"Answer {k}."}]
                for k in range(6)]
        (folder / runs.HELDOUT).write_text("".join(json.dumps({"messages": row}) + "\n" for row in rows))
        return folder
    return make


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """A job in an empty run folder."""
    folder = tmp_path / "export-run"
    folder.mkdir()
    (folder / runs.PID).write_text(json.dumps({}), encoding="utf-8")
    return Job(folder)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real disk of 6 MB."""
    with mounted(tmp_path / "disk", 6) as folder:
        yield folder
