"""A small HTTP server that answers as the hub does when a dataset is fetched."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.convert.fake_ollama import running

SHA = "0" * 40
TOKEN = "hf_good"


class FakeHub:
    """What the server holds: {owner/name: {path: bytes}}; what it asks for; every request it got."""

    def __init__(self) -> None:
        self.datasets: dict[str, dict[str, bytes]] = {}
        self.closed: dict[str, tuple[int, str]] = {}        # {owner/name: (status, code)} for who has no right
        self.requests: list[str] = []
        self.is_deaf = False                # hangs up
        self.address = ""


class Handler(BaseHTTPRequestHandler):
    """One request."""
    protocol_version = "HTTP/1.1"
    state: FakeHub

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        """A file's size."""
        self._answer()

    def do_GET(self) -> None:
        """A file, or what a dataset holds."""
        self._answer()

    def do_POST(self) -> None:
        """What some of its paths are."""
        self.body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self._answer()

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.state.requests.append(f"{self.command} {self.path}")
        if self.state.is_deaf:
            self.close_connection = True
            return None
        name = "/".join(path.removeprefix("/api").removeprefix("/datasets/").split("/")[:2])
        if name in self.state.closed:
            status, code = self.state.closed[name]
            return self._send(status, b"{}", {"X-Error-Code": code} if code else
                              {"X-Error-Message": "Invalid credentials in Authorization header"})
        if name not in self.state.datasets:
            return self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"})
        files = self.state.datasets[name]
        if path.startswith("/datasets/"):
            return self._send_file(files, path.split("/", 5)[5].split("/", 1)[-1])
        entries = [{"type": "file", "path": one, "size": len(data), "oid": "1" * 40} for one, data in files.items()]
        rest = path.removeprefix(f"/api/datasets/{name}").strip("/")
        if rest.startswith("tree"):
            under = rest.split("/", 2)[2] if rest.count("/") > 1 else ""
            found = [one for one in entries if one["path"].startswith(under)]
            if not found:
                return self._send(404, b"{}", {"X-Error-Code": "EntryNotFound"})
            return self._send(200, json.dumps(found).encode())
        if rest.startswith("paths-info"):
            asked = self.body.decode()
            return self._send(200, json.dumps([one for one in entries if one["path"] in asked]).encode())
        self._send(200, json.dumps({"id": name, "sha": SHA, "private": False, "tags": [], "gated": False,
                                    "siblings": [{"rfilename": one} for one in files]}).encode())

    def _send_file(self, files: dict[str, bytes], path: str) -> None:
        if path not in files:
            return self._send(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": SHA})
        data, status, more = files[path], 200, {}
        wanted = self.headers.get("range", "")
        if wanted:
            first, last = wanted.removeprefix("bytes=").split("-")
            data, whole = data[int(first):int(last or len(data)) + 1], len(data)
            status, more = 206, {"Content-Range": f"bytes {first}-{int(first) + len(data) - 1}/{whole}"}
        self._send(status, data, {"X-Repo-Commit": SHA, "ETag": f'"{abs(hash(path))}"', "Accept-Ranges": "bytes",
                                  **more})

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(body)), "Content-Type": "application/json",
                           **(headers or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@contextmanager
def fake_hub() -> Iterator[FakeHub]:
    """A running server."""
    state = FakeHub()
    with running(type("Bound", (Handler,), {"state": state})) as state.address:
        yield state
