"""A small HTTP server that answers as the hub does when a folder is uploaded: large files first, then one commit."""

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.convert.fake_ollama import running

LARGE = (".gguf", ".safetensors")
TOKEN = "hf_good"


class FakeHub:
    """What the server holds: repositories (is it private?), their committed files, large files by sha256."""

    def __init__(self) -> None:
        self.private: dict[str, bool] = {}
        self.files: dict[str, bytes] = {}
        self.large: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.status = 0                     # answered to everything that writes to a repository, unless 0
        self.address = ""


class Handler(BaseHTTPRequestHandler):
    """One request."""
    protocol_version = "HTTP/1.1"
    state: FakeHub

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """What is the repository?"""
        self._note()
        repo = self.path.removeprefix("/api/models/").split("/revision")[0]
        if repo not in self.state.private:
            return self._json(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
        self._json(200, {"id": repo, "private": self.state.private[repo], "sha": "0" * 40, "tags": [], "siblings": []})

    def do_PUT(self) -> None:
        """A large file."""
        self._note()
        body = self._body()
        wanted = self.path.removeprefix("/upload/")
        if hashlib.sha256(body).hexdigest() != wanted:
            return self._json(400, {"error": "checksum"})
        self.state.large[wanted] = body
        self._json(200, {})

    def do_POST(self) -> None:
        """Everything else."""
        self._note()
        body = self._body()
        if self.path == "/api/validate-yaml":
            return self._json(200, {"warnings": [], "errors": []})
        if self.headers.get("authorization") != f"Bearer {TOKEN}":
            return self._json(401, {"error": "Invalid credentials"})
        if self.state.status:
            return self._json(self.state.status, {"error": "no"})
        if self.path == "/api/repos/create":
            return self._create(json.loads(body))
        if "/preupload/" in self.path:
            return self._json(200, {"files": [
                {"path": one["path"], "uploadMode": "lfs" if one["path"].endswith(LARGE) else "regular",
                 "shouldIgnore": False} for one in json.loads(body)["files"]]})
        if self.path.endswith(".git/info/lfs/objects/batch"):
            return self._json(200, {"transfer": "basic", "objects": [
                {**one, "actions": {"upload": {"href": f"{self.state.address}/upload/{one['oid']}", "header": {}}}}
                for one in json.loads(body)["objects"]]})
        assert "/commit/" in self.path, self.path
        self._commit([json.loads(line) for line in body.splitlines()])

    def _create(self, asked: dict[str, Any]) -> None:
        repo = f"{asked.get('organization') or 'me'}/{asked['name']}"
        is_new = repo not in self.state.private
        if is_new:
            self.state.private[repo] = asked.get("visibility") == "private" or bool(asked.get("private"))
        self._json(200 if is_new else 409, {"url": f"{self.state.address}/{repo}"})

    def _commit(self, lines: list[dict[str, Any]]) -> None:
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                self.state.files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                self.state.files[value["path"]] = self.state.large[value["oid"]]
        repo = self.path.removeprefix("/api/models/").split("/commit/")[0]
        self._json(200, {"commitUrl": f"{self.state.address}/{repo}/commit/{'1' * 40}", "commitOid": "1" * 40})

    def _note(self) -> None:
        self.state.requests.append(f"{self.command} {self.path}")

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _json(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        for name, text in {"Content-Type": "application/json", "Content-Length": str(len(body)),
                           **(headers or {})}.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def fake_hub() -> Iterator[FakeHub]:
    """A running server."""
    state = FakeHub()
    with running(type("Bound", (Handler,), {"state": state})) as state.address:
        yield state
