"""A local server that behaves like the Hugging Face hub: what it holds, who may read it, and what goes wrong.

Two addresses, as the real one: the hub itself (127.0.0.1), and the store of large files (localhost, another port) that
it redirects to with links of their own. The real huggingface_hub works against it:

    with Hub() as hub:
        hub.add("google/gemma-3-1b-it", {"config.json": b"{}", "model.safetensors": b"..."}, gated="manual")
        hub.accounts["hf_abc"] = Account("ada", accepted={"google/gemma-3-1b-it"})
        subprocess.run(..., env=os.environ | hub.environment(tmp_path))

As a program it serves a folder of OWNER/NAME/FILES until its input ends, for bench/models.py:
`python -m tests.models.hub FOLDER [MB_S]`; it says the endpoint, and for each line it is given the bytes it sent.
"""

import hashlib
import re
import socket
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

LFS = re.compile(r"\.(gguf|safetensors|bin|model|pt|onnx|zip)$|^tokenizer\.json$")
CHUNK = 1 << 18
CATCH_UP_S = 0.1                # who was kept from sending may be so much late, and catch up


@dataclass(frozen=True)
class Content:
    """One version of a file; large ones stay on disk."""
    source: bytes | Path
    bytes: int
    sha256: str
    git_id: str
    is_lfs: bool

    @property
    def etag(self) -> str:
        """What names its blob in the cache."""
        return self.sha256 if self.is_lfs else self.git_id

    def read(self, at: int, count: int) -> bytes:
        """count bytes from at on."""
        if isinstance(self.source, bytes):
            return self.source[at:at + count]
        with self.source.open("rb") as file:
            file.seek(at)
            return file.read(count)


def content(name: str, source: bytes | Path) -> Content:
    """The file with its sums."""
    size = len(source) if isinstance(source, bytes) else source.stat().st_size
    sha256, git = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % size)
    one = Content(source, size, "", "", False)
    for at in range(0, size, 1 << 22):
        part = one.read(at, 1 << 22)
        sha256.update(part)
        git.update(part)
    return Content(source, size, sha256.hexdigest(), git.hexdigest(), bool(LFS.search(name)))


@dataclass
class Repo:
    """A repository: each commit is a whole set of files, and "main" is the last one."""
    name: str
    gated: str | bool = False           # "auto" and "manual" are, as the hub says it
    private_to: str = ""                # an account's name
    is_disabled: bool = False
    card: dict[str, Any] = field(default_factory=dict)          # the model card's front matter
    commits: dict[str, dict[str, Content]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)

    def put(self, files: Mapping[str, bytes | Path]) -> str:
        """A new commit on main with these files changed; returns its name."""
        now = dict(self.commits.get(self.refs.get("main", ""), {}))
        now |= {name: content(name, source) for name, source in files.items()}
        text = f"{len(self.commits)}" + "".join(f"{name}{one.sha256}" for name, one in sorted(now.items()))
        commit = hashlib.sha1((self.name + text).encode()).hexdigest()
        self.commits[commit] = now
        self.refs["main"] = commit
        return commit

    def commit_of(self, revision: str) -> str:
        """The commit's name; "" if there is none of that name."""
        return self.refs.get(revision) or (revision if revision in self.commits else "")


@dataclass
class Account:
    """Whom a token belongs to."""
    name: str
    accepted: set[str] = field(default_factory=set)     # repositories whose licence it accepted, and was let in
    kind: str = "read"                                  # "read", "write" or "fineGrained"
    reads_gated: bool = True                            # a fine-grained token needs that right
    pending: set[str] = field(default_factory=set)      # repositories whose authors have not decided yet


@dataclass
class Faults:
    """What goes wrong from now on; everything off at first."""
    bytes_s: float = 0.0                # all bodies of files together; 0: as fast as can be
    ignores_range: bool = False         # the store sends the whole file, with 200
    cuts: list[int] = field(default_factory=list)       # each cuts the next body of the store after so many bytes
    slow_after: int = 0                 # a body of the store trickles after so many bytes for as long as this is set;
                                        # -1 cuts those that trickle, and is 0 then
    wrong: set[str] = field(default_factory=set)        # names of files with one byte in the middle changed
    short: set[str] = field(default_factory=set)        # names of files of which the store holds the first half
    refusals: int = 0                   # so many of the next requests get 429
    retry_after_s: int = 1
    status: dict[str, int] = field(default_factory=dict)        # "/resolve/" -> 503: paths that hold the key
    link_uses: int = 0                  # a link to the store serves so many requests; 0: ever
    stall_s: float = 0.0                # before each body of a file
    is_portal: bool = False             # a hotel's log-in page in place of every answer
    shift: int = 0                      # the store sends, with 206, a range that begins so much later
    store_page: str = ""                # the store sends a page of that type, without its length, in place of files
    headers: dict[str, str] = field(default_factory=dict)       # what the hub's answers about files say otherwise
    api: Any = ...                      # what the hub's API answers about repositories


@dataclass(frozen=True)
class Seen:
    """One request as it was answered."""
    server: str                         # "hub" or "store"
    method: str
    path: str
    range: str
    authorization: str
    status: int
    sent: int                           # bytes of body that went out
    headers: Mapping[str, str]


class Hub:
    """The two servers, in threads of this process. A context manager; its attributes may be changed at any time."""

    def __init__(self) -> None:
        from tests.models.hub_server import HubHandler, StoreHandler
        self.repos: dict[str, Repo] = {}
        self.accounts: dict[str, Account] = {}
        self.faults = Faults()
        self.seen: list[Seen] = []
        self.links: dict[str, tuple[str, Content, int]] = {}    # signature: name, file, uses so far
        self.lock = threading.Lock()
        self._free_at = 0.0
        self._servers = [_Server(("127.0.0.1", 0), handler, self) for handler in (HubHandler, StoreHandler)]
        self._threads = [threading.Thread(target=one.serve_forever, args=(0.05,), daemon=True)
                         for one in self._servers]

    def __enter__(self) -> "Hub":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()

    @property
    def endpoint(self) -> str:
        """What HF_ENDPOINT is to be."""
        return f"http://127.0.0.1:{self._servers[0].server_port}"

    @property
    def store(self) -> str:
        """The address of the large files."""
        return f"http://localhost:{self._servers[1].server_port}"

    def add(self, name: str, files: Mapping[str, bytes | Path], *, gated: str | bool = False,
            private_to: str = "") -> Repo:
        """A repository with one commit."""
        repo = Repo(name, gated, private_to)
        repo.put(files)
        self.repos[name] = repo
        return repo

    def environment(self, folder: Path) -> dict[str, str]:
        """For a child process: this hub, online, with a Hugging Face folder of its own and no token of yours."""
        return {"HF_ENDPOINT": self.endpoint, "HF_HUB_OFFLINE": "0", "TRANSFORMERS_OFFLINE": "0",
                "HF_HOME": str(folder / "hf"), "HF_HUB_CACHE": str(folder / "hf" / "hub"),
                "HF_TOKEN_PATH": str(folder / "hf" / "token"), "HF_TOKEN": "", "HUGGINGFACE_TOKEN": "",
                "HUGGING_FACE_HUB_TOKEN": "", "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1",
                "NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}

    def sent(self, server: str = "store") -> int:
        """Bytes of bodies that server sent so far."""
        with self.lock:
            return sum(one.sent for one in self.seen if one.server == server)

    def asked(self, server: str = "", method: str = "", path: str = "") -> list[Seen]:
        """The requests so far, those of one server, method and part of a path."""
        with self.lock:
            return [one for one in self.seen if server in ("", one.server) and method in ("", one.method)
                    and path in one.path]

    def wait_for_turn(self, count: int) -> None:
        """Sleep until count more bytes may go out at faults.bytes_s, all connections together."""
        if not self.faults.bytes_s:
            return
        with self.lock:
            now = time.monotonic()
            at = max(self._free_at, now - CATCH_UP_S)
            self._free_at = at + count / self.faults.bytes_s
        time.sleep(max(0.0, at - now))

    def next_cut(self) -> int | None:
        """After how many bytes the body that begins now is cut; None for not at all."""
        with self.lock:
            return self.faults.cuts.pop(0) if self.faults.cuts else None

    def is_refused(self) -> bool:
        """True for one of the requests that get 429."""
        with self.lock:
            is_refused = self.faults.refusals > 0
            self.faults.refusals -= is_refused
            return is_refused


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], handler: Any, hub: Hub):
        self.hub = hub
        super().__init__(address, handler)

    def get_request(self) -> tuple[Any, Any]:
        """A connection that holds little on its way: what was sent was nearly all received."""
        connection, address = super().get_request()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * CHUNK)
        return connection, address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def main(folder: str, mb_s: str = "0") -> None:
    """Serve a folder until the input ends."""
    with Hub() as hub:
        for place in sorted(Path(folder).glob("*/*")):
            hub.add(f"{place.parent.name}/{place.name}", {one.relative_to(place).as_posix(): one
                                                          for one in place.rglob("*") if one.is_file()})
        hub.faults.bytes_s = float(mb_s) * 1e6
        print(hub.endpoint, flush=True)
        for _ in sys.stdin:
            print(hub.sent(), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
