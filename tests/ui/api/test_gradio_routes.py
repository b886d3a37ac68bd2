import json
import os
from pathlib import Path

import pytest

from ui.api import gradio_routes
from ui.api.gradio_routes import is_used, may_be_opened, names_foreign_files

META = {"_type": "gradio.FileData"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of uploads, with a file; beside it a file of somebody else."""
    made = tmp_path / "cache" / "page"
    (made / "abc").mkdir(parents=True)
    (made / "abc" / "table.csv").write_text("a,b\n")
    (tmp_path / "cache" / "page-other").mkdir()
    (tmp_path / "cache" / "page-other" / "x.csv").write_text("theirs")
    (tmp_path / "history.sqlite").write_text("private")
    os.symlink(tmp_path / "history.sqlite", made / "link")
    os.symlink(tmp_path, made / "up")
    return made


def test_an_upload_may_be_opened(folder: Path):
    assert may_be_opened(str(folder / "abc" / "table.csv"), folder)
    assert may_be_opened(f"{folder}/abc/../abc/table.csv", folder)


@pytest.mark.parametrize("name", [
    "/etc/passwd", "{0}/../../history.sqlite", "{0}/link", "{0}/up/history.sqlite", "{0}-other/x.csv", "{0}", "{0}/abc",
    "{0}/gone.csv", "", ".", "..", "http://evil.example/x", "file:///etc/passwd", "{0}/abc/table.csv\0.png",
    "table.csv", "~/.ssh/id_rsa", "{0}/" + "a/" * 3000])
def test_nothing_else_may(folder: Path, name: str):
    assert not may_be_opened(name.format(folder), folder)


def bodies(path: object) -> list[object]:
    file = {"path": path, "meta": META}
    return [{"data": [file]}, {"data": [[{"text": "x", "files": [file]}]]}, {"data": [{"path": path}]},
            {"data": [{"a": {"b": [{"path": path, "url": "x"}]}}]}, [file], file]


def test_bodies_that_name_uploads_pass(folder: Path):
    for one in bodies(str(folder / "abc" / "table.csv")):
        assert not names_foreign_files(json.dumps(one).encode(), folder)
    for plain in ({"data": ["/etc/passwd", 3, None]}, {"data": [{"path": 3}]}, {"data": []}, "text", 5, None):
        assert not names_foreign_files(json.dumps(plain).encode(), folder)
    assert not names_foreign_files(b"no json", folder)          # Gradio refuses that


@pytest.mark.parametrize("path", ["/etc/passwd", "http://127.0.0.1:9/x", "https://evil.example/x", "../x", ""])
def test_bodies_that_name_other_files_do_not(folder: Path, path: str):
    for one in bodies(path):
        assert names_foreign_files(json.dumps(one).encode(), folder), one
    assert names_foreign_files(json.dumps(bodies(path)[0]).encode("utf-16"), folder)
    assert names_foreign_files(json.dumps(bodies(path)[0]).replace("path", "p\\u0061th").encode(), folder)


def test_deep_bodies_do_not_either(folder: Path):
    assert names_foreign_files(b"[" * 200_000, folder)
    assert names_foreign_files(b"[" * 150 + b"]" * 150, folder)


@pytest.mark.parametrize("path", [
    "/gradio_api/proxy=http://evil.example/", "/gradio_api/process_recording", "/gradio_api/vibe-edit/",
    "/gradio_api/vibe-code/", "/gradio_api/runs", "/gradio_api/openapi.json", "/gradio_api/dev/reload",
    "/gradio_api/call/send", "/gradio_api/call/v2/send", "/gradio_api/api/predict", "/gradio_api/stream/1",
    "/gradio_api/file/etc/passwd", "/gradio_api/deep_link", "/gradio_api/token", "/gradio_api/mcp/",
    "/gradio_api/component_server", "/gradio_api/", "/gradio_api/queue/join/../../x", "/monitoring", "/login",
    "/proxy=http://evil.example/", "/custom_component/x", "/file=/etc/passwd", "/deep_link"])
def test_routes_that_no_page_needs_are_closed(path: str):
    assert not is_used(path)


@pytest.mark.parametrize("path", [
    "/", "/train", "/config", "/assets/x.js", "/theme.css", "/gradio_api/queue/join", "/gradio_api/queue/data",
    "/gradio_api/run/predict", "/gradio_api/upload", "/gradio_api/heartbeat/abc", "/gradio_api/file=/x/y.png",
    "/v1/models", "/gradio_api/info", "/static/img.svg"])
def test_routes_of_the_page_are_open(path: str):
    assert is_used(path)
    assert (gradio_routes.file_asked(path) is not None) == ("file=" in path)
