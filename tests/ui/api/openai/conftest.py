"""What these tests share: the endpoints over a model whose answers a test writes."""

import pytest
from starlette.testclient import TestClient

from tests.ui.api.openai.fakes import FakeBench


@pytest.fixture(scope="module")
def made() -> FakeBench:
    return FakeBench()


@pytest.fixture
def bench(made: FakeBench) -> FakeBench:
    made.session.begin()
    made.model.begin()
    return made


@pytest.fixture
def client(bench: FakeBench) -> TestClient:
    return TestClient(bench.app, raise_server_exceptions=False)
