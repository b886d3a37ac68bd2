"""A small HTTP server that speaks Ollama's documented protocol and checks the digests it is given.

Source: docs/api.md of ollama/ollama: /api/version, HEAD and POST /api/blobs/:digest, /api/create, /api/generate,
/api/chat. It answers every chat with the same words.
"""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class FakeOllama:
    """What the server holds and was asked: blobs by digest, models by name, chats in order."""

    def __init__(self) -> None:
        self.version = "0.12.3"
        self.blobs: dict[str, bytes] = {}
        self.models: dict[str, dict[str, Any]] = {}
        self.chats: list[dict[str, Any]] = []
        self.unloaded: list[str] = []
        self.answer, self.prompt_tokens = "Two words.", 9
        self.refuses_blobs = self.breaks_off = False
        self.address = ""


class Handler(BaseHTTPRequestHandler):
    """One request."""
    protocol_version = "HTTP/1.1"
    state: FakeOllama

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        """Is the blob there?"""
        digest = self.path.removeprefix("/api/blobs/")
        self._send(200 if digest in self.state.blobs else 404, b"")

    def do_GET(self) -> None:
        """The version."""
        assert self.path == "/api/version"
        self._json(200, {"version": self.state.version})

    def do_POST(self) -> None:
        """Everything else."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path.startswith("/api/blobs/"):
            return self._blob(self.path.removeprefix("/api/blobs/"), body)
        asked = json.loads(body)
        if self.path == "/api/create":
            return self._create(asked)
        if asked["model"] not in self.state.models:
            return self._json(404, {"error": f"model '{asked['model']}' not found"})
        if self.path == "/api/generate":
            assert not asked.get("prompt") and asked["keep_alive"] == 0
            self.state.unloaded.append(asked["model"])
            return self._json(200, {"model": asked["model"], "response": "", "done": True, "done_reason": "unload"})
        assert self.path == "/api/chat"
        self.state.chats.append(asked)
        self._json(200, {"model": asked["model"], "message": {"role": "assistant", "content": self.state.answer},
                         "done": True, "done_reason": "stop", "prompt_eval_count": self.state.prompt_tokens,
                         "eval_count": 3})

    def _blob(self, digest: str, body: bytes) -> None:
        if self.state.refuses_blobs or digest != "sha256:" + hashlib.sha256(body).hexdigest():
            return self._json(400, {"error": "digest mismatch, expected \"x\", got \"y\""})
        self.state.blobs[digest] = body
        self._send(201, b"")

    def _create(self, asked: dict[str, Any]) -> None:
        if self.state.breaks_off:
            self.close_connection = True
            return
        missing = [name for name, digest in asked["files"].items() if digest not in self.state.blobs]
        if missing or any("/" in name for name in asked["files"]):
            return self._json(400, {"error": f"blob not found for {missing}"})
        self.state.models[asked["model"]] = asked
        steps = [{"status": "parsing GGUF"}, {"status": "writing manifest"}, {"status": "success"}]
        self._send(200, b"".join(json.dumps(step).encode() + b"\n" for step in steps), "application/x-ndjson")

    def _json(self, status: int, value: Any) -> None:
        self._send(status, json.dumps(value).encode(), "application/json")

    def _send(self, status: int, body: bytes, kind: str = "text/plain") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    """Quiet about clients that go away."""

    def handle_error(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def running(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """A server on a free port of this machine; gives its address."""
    server = Server(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@contextmanager
def fake_ollama() -> Iterator[FakeOllama]:
    """A running server."""
    state = FakeOllama()
    with running(type("Bound", (Handler,), {"state": state})) as state.address:
        yield state
