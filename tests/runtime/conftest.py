"""Small models shared by the tests of runtime/: float32 GGUFs on which nothing may differ."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from convert import gguf
from convert.model import MergedModel
from runtime.config import LoadConfig
from runtime.context import Context
from runtime.llama import Model
from tests.convert.tiny import make_base

EXACT = LoadConfig(exact=True, threads=1)


@pytest.fixture(scope="session")
def window_base(tmp_path_factory: pytest.TempPathFactory, demo_base: Path) -> Path:
    """A random Gemma 3 in float32 whose windows hold 32 tokens. Not to be changed."""
    return make_base(tmp_path_factory.mktemp("window"), "gemma3_text", demo_base, max_position_embeddings=1024)


@pytest.fixture(scope="session")
def window_gguf(tmp_path_factory: pytest.TempPathFactory, window_base: Path) -> Path:
    """The same as a float32 GGUF."""
    path = tmp_path_factory.mktemp("gguf") / "window.gguf"
    model = MergedModel(window_base, None, "window")
    gguf.write(path, model.plan, model.read)
    return path


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
