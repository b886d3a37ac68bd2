import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from ui.actions import backup
from ui.api import files
from ui.workbench import Workbench


@pytest.fixture
def client(bench: Workbench) -> TestClient:
    (bench.home / f"{files.SCRATCH}old.part").write_bytes(b"of a start that was killed")
    app = FastAPI()
    app.include_router(files.router(bench))
    return TestClient(app)


def left(bench: Workbench) -> list[str]:
    return [path.name for path in bench.home.iterdir() if path.name.startswith(".") or path.suffix == ".part"]


def test_a_model_comes_as_it_is_under_a_name_of_ours(client: TestClient, bench: Workbench, demo_gguf: Path):
    def sent() -> Iterator[bytes]:
        data = demo_gguf.read_bytes()
        yield from (data[k:k + 100_000] for k in range(0, len(data), 100_000))

    assert left(bench) == []
    answer = client.put("/files/model", params={"name": "../../My model.gguf"}, content=sent())
    assert answer.status_code == 200 and answer.json() == {"file": "My-model.gguf"}
    assert (bench.home / "My-model.gguf").read_bytes() == demo_gguf.read_bytes() and left(bench) == []


@pytest.mark.parametrize("name, data, words", [
    ("x.exe", b"GGUF", "Only GGUF files"), ("x.gguf", b"no model at all, but long enough", "does not begin with GGUF"),
    ("x.gguf", b"", "has only 0 bytes")])
def test_what_is_no_model_leaves_nothing(client: TestClient, bench: Workbench, name: str, data: bytes, words: str):
    answer = client.put("/files/model", params={"name": name}, content=data)
    assert answer.status_code == 422 and words in answer.json()["problem"]
    assert left(bench) == [] and not list(bench.home.glob("*.gguf"))


def test_a_backup_goes_out_and_comes_in(client: TestClient, bench: Workbench, tmp_path: Path):
    (bench.home / backup.BACKUPS).mkdir()
    one = bench.home / backup.BACKUPS / "galen-1.zip"
    with zipfile.ZipFile(one, "w") as archive:
        archive.writestr(backup.MANIFEST, "{}")
    got = client.get("/files/backup/galen-1.zip")
    assert got.content == one.read_bytes() and "attachment" in got.headers["content-disposition"]
    again = client.put("/files/backup", params={"name": "any.zip"}, content=got.content)
    assert again.status_code == 200 and len(backup.listed(bench.home)) == 2
    assert "no backup of Galen" in client.put("/files/backup", params={"name": "a.zip"}, content=b"x").json()["problem"]
    assert "is a .zip file" in client.put("/files/backup", params={"name": "a.exe"}, content=b"x").json()["problem"]
    for name in ("..%2f..%2fsettings.json", "history.sqlite", "%2fetc%2fpasswd"):
        assert client.get(f"/files/backup/{name}").status_code == 404


def test_no_backup_goes_out_while_the_conversations_are_locked(client: TestClient, bench: Workbench):
    (bench.home / backup.BACKUPS).mkdir()
    (bench.home / backup.BACKUPS / "galen-1.zip").write_bytes(b"made before there was a passphrase")
    bench.history.set_passphrase("", "open sesame")
    bench.lock()
    refused = client.get("/files/backup/galen-1.zip")
    assert refused.status_code == 404 and b"locked" in refused.content and b"made before" not in refused.content
    bench.history.unlock("open sesame")
    assert client.get("/files/backup/galen-1.zip").status_code == 200
