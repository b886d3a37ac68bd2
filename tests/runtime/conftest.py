"""Small models shared by the tests of runtime/: float32 GGUFs on which nothing may differ."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from convert.model import MergedModel
from convert.stream import write_all
from runtime.config import LoadConfig
from runtime.context import Context
from runtime.llama import Model
from tests.convert.tiny import make_base
from tests.runtime.seeing import export_seeing, make_seeing

EXACT = LoadConfig(exact=True, threads=1)


@pytest.fixture(scope="session")
def window_base(tmp_path_factory: pytest.TempPathFactory, demo_base: Path) -> Path:
    """A random Gemma 3 in float32 whose windows hold 32 tokens. Not to be changed."""
    return make_base(tmp_path_factory.mktemp("window"), "gemma3_text", demo_base, max_position_embeddings=1024)


@pytest.fixture(scope="session")
def window_gguf(tmp_path_factory: pytest.TempPathFactory, window_base: Path) -> Path:
    """The same as a float32 GGUF."""
    path = tmp_path_factory.mktemp("gguf") / "window.gguf"
    write_all(MergedModel(window_base, [], "window"), {"F32": path}, threads=1)
    return path


@pytest.fixture(scope="session")
def seeing_base(tmp_path_factory: pytest.TempPathFactory, demo_base: Path) -> Path:
    """A random Gemma 3 with vision tower in float32. Not to be changed."""
    return make_seeing(tmp_path_factory.mktemp("seeing"), demo_base)


@pytest.fixture(scope="session")
def seeing_gguf(tmp_path_factory: pytest.TempPathFactory, seeing_base: Path) -> Path:
    """The same as a float32 GGUF, alone with its mmproj in a folder. Not to be changed."""
    return export_seeing(seeing_base, tmp_path_factory.mktemp("seeing-gguf"))


@pytest.fixture(scope="module")
def window_model(window_gguf: Path) -> Iterator[Model]:
    """Its weights, opened."""
    model = Model(window_gguf, EXACT)
    yield model
    model.close()


@pytest.fixture
def open_context(window_model: Model) -> Iterator[Callable[..., Context]]:
    """Opens contexts on it and closes them."""
    opened: list[Context] = []

    def one(cells: int = 1024, config: LoadConfig = EXACT) -> Context:
        opened.append(Context(window_model, config, cells))
        return opened[-1]

    yield one
    for context in opened:
        context.close()
