"""A full disk in the middle of an upload: one sentence, and no stack trace in the terminal."""

import errno
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.ui.fakes import FakeSession
from ui.api import problems
from ui.app import create_app
from ui.workbench import Workbench


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_an_upload_that_the_disk_does_not_take(galen_home: Path, monkeypatch: pytest.MonkeyPatch, number: int):
    async def parse(self):
        raise OSError(number, "no")

    monkeypatch.setattr("gradio.route_utils.GradioMultiPartParser.parse", parse)
    bench = Workbench(galen_home, FakeSession())
    client = TestClient(create_app(bench), "http://127.0.0.1", raise_server_exceptions=False)
    try:
        answer = client.post("/gradio_api/upload", files={"files": ("a.csv", b"a,b\n")})
        if number == errno.ENOSPC:
            assert (answer.status_code, answer.text) == (507, problems.DISK_FULL)
        else:
            assert answer.status_code == 500
    finally:
        bench.close()
