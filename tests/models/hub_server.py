"""How the local hub answers: the paths, headers and error codes of the real one."""

import json
import re
import secrets
import socket
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.models.hub import CHUNK, Account, Content, Hub, Repo, Seen

RESOLVE = re.compile(r"^/([^/]+/[^/]+)/resolve/([^/]+)/(.+)$")
CACHED = re.compile(r"^/api/resolve-cache/models/([^/]+/[^/]+)/([^/]+)/(.+)$")
API = re.compile(r"^/api/models/([^/]+/[^/]+?)(?:/(revision|tree|paths-info|auth-check|xet-read-token)(?:/([^/]+))?)?$")
RANGE = re.compile(r"^bytes=(\d+)-(\d*)$")
TRICKLE, TRICKLE_S = 1 << 10, 0.05
PORTAL = b"<html><body>Welcome to the hotel. Please log in.</body></html>"
BAD_TOKEN = "Invalid username or password."
PENDING = "Your request to access model {} is awaiting a review from the repo authors."


class Refusal(Exception):
    """An answer with an error, as the hub gives it."""

    def __init__(self, status: int, code: str, message: str):
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    name = ""

    @property
    def hub(self) -> Hub:
        return self.server.hub          # type: ignore[attr-defined]

    def do_GET(self) -> None:
        self._one()

    do_HEAD = do_POST = do_GET

    def _one(self) -> None:
        """Answer one request: what is wrong with every server first."""
        self._status, self._sent, self._is_cut = 0, 0, False
        length = int(self.headers.get("Content-Length") or 0)
        self._body = self.rfile.read(length) if length else b""
        self._path = unquote(urlsplit(self.path).path)
        faults = self.hub.faults
        status = next((number for part, number in faults.status.items() if part in self._path), 0)
        try:
            if faults.is_portal:
                self._bytes(200, PORTAL, {"Content-Type": "text/html"})
            elif status == 429 or self.hub.is_refused():
                self._too_many()
            elif status:
                raise Refusal(status, "", "Internal Error - We're working hard to fix this as soon as possible!")
            else:
                self.answer()
        except Refusal as refusal:
            self._refuse(refusal)
        finally:
            with self.hub.lock:
                self.hub.seen.append(Seen(self.name, self.command, self.path, self.headers.get("Range", ""),
                                          self.headers.get("Authorization", ""), self._status, self._sent,
                                          dict(self.headers)))

    def answer(self) -> None:
        raise NotImplementedError

    def log_message(self, *_: object) -> None:
        """The tests read hub.seen."""

    def _bytes(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self._head(status, {"Content-Length": str(len(body)), **headers})
        if self.command != "HEAD":
            self.wfile.write(body)
            self._sent += len(body)

    def _json(self, value: Any) -> None:
        self._bytes(200, json.dumps(value).encode(), {"Content-Type": "application/json; charset=utf-8"})

    def _head(self, status: int, headers: Mapping[str, str]) -> None:
        self._status = status
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()

    def _refuse(self, refusal: Refusal) -> None:
        headers = {"Content-Type": "application/json; charset=utf-8", "X-Error-Message": refusal.message}
        if refusal.code:
            headers["X-Error-Code"] = refusal.code
        if refusal.status == 401:
            headers["WWW-Authenticate"] = 'Bearer realm="Authentication required", charset="UTF-8"'
        self._bytes(refusal.status, json.dumps({"error": refusal.message}).encode(), headers)

    def _too_many(self) -> None:
        wait = self.hub.faults.retry_after_s
        body = json.dumps({"error": "We had to rate limit you, you hit the quota of 500 api requests per 5 minutes "
                                    "period."}).encode()
        self._bytes(429, body, {"RateLimit": f'"api";r=0;t={wait}', "Retry-After": str(wait),
                                "RateLimit-Policy": '"fixed window";"api";q=500;w=300',
                                "Content-Type": "application/json; charset=utf-8"})

    def send_file(self, name: str, one: Content, headers: Mapping[str, str]) -> None:
        """The file's body or the range asked for, at the speed and with the faults of the moment."""
        faults = self.hub.faults
        size = one.bytes // 2 if name in faults.short else one.bytes
        asked = None if faults.ignores_range else RANGE.match(self.headers.get("Range", ""))
        begin, end = (int(asked[1]), int(asked[2] or size - 1) + 1) if asked else (0, size)
        if self.name == "store" and faults.shift:
            asked, begin = asked or RANGE.match("bytes=0-"), begin + faults.shift
        if asked and begin >= size:
            self._head(416, {"Content-Range": f"bytes */{size}", "Content-Length": "0"})
            return
        end = min(end, size)
        shown = {"Content-Range": f"bytes {begin}-{end - 1}/{size}"} if asked else {}
        self._head(206 if asked else 200, {"Content-Length": str(end - begin), "Accept-Ranges": "bytes",
                                           "ETag": f'"{one.etag}"', **shown, **headers})
        if self.command == "HEAD":
            return
        time.sleep(faults.stall_s)
        self._send_body(one, begin, end, one.bytes // 2 if name in faults.wrong else -1)

    def _send_body(self, one: Content, begin: int, end: int, changed: int) -> None:
        cut = self.hub.next_cut() if self.name == "store" else None
        until = end if cut is None else min(end, begin + cut)
        for at in range(begin, until, CHUNK):
            part = one.read(at, min(CHUNK, until - at))
            if at <= changed < at + len(part):
                k = changed - at
                part = part[:k] + bytes([part[k] ^ 1]) + part[k + 1:]
            self.hub.wait_for_turn(len(part))
            while part and self._trickles(at - begin + CHUNK):
                self._write(part[:TRICKLE])
                part = part[TRICKLE:]
                time.sleep(TRICKLE_S)
            if self.hub.faults.slow_after < 0 and self.name == "store":
                self.hub.faults.slow_after, until = 0, at
                break
            self._write(part)
        if until < end:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

    def _trickles(self, sent: int) -> bool:
        return self.name == "store" and 0 < self.hub.faults.slow_after < sent

    def _write(self, data: bytes) -> None:
        self.wfile.write(data)
        self._sent += len(data)


class HubHandler(_Handler):
    """The hub: its API, small files, and the way to the large ones."""
    name = "hub"

    def answer(self) -> None:
        account = self._account()
        if self._path == "/api/whoami-v2":
            return self._who(account)
        if found := RESOLVE.match(self._path) or CACHED.match(self._path):
            return self._resolve(*found.groups(), account)
        if found := API.match(self._path):
            return self._api(*found.groups(), account)
        if self._path == "/api/models":
            return self._search(account)
        raise Refusal(404, "", "Sorry, we can't find the page you are looking for.")

    def _account(self) -> Account | None:
        value = self.headers.get("Authorization", "")
        if not value:
            return None
        account = self.hub.accounts.get(value.removeprefix("Bearer "))
        if account is None:
            raise Refusal(401, "", BAD_TOKEN)
        return account

    def _who(self, account: Account | None) -> None:
        if account is None:
            raise Refusal(401, "", BAD_TOKEN)
        access = {"displayName": "laptop", "role": account.kind, "createdAt": "2026-01-01T00:00:00.000Z"}
        if account.kind == "fineGrained":
            access["fineGrained"] = {"canReadGatedRepos": account.reads_gated, "global": [], "scoped": []}
        self._json({"type": "user", "id": "0" * 24, "name": account.name, "fullname": account.name.title(),
                    "isPro": False, "orgs": [], "auth": {"type": "access_token", "accessToken": access}})

    def _repo(self, name: str, account: Account | None) -> Repo:
        repo = self.hub.repos.get(name)
        is_hidden = repo is not None and repo.private_to and (account is None or account.name != repo.private_to)
        if repo is None or is_hidden:
            raise Refusal(401 if account is None else 404, "RepoNotFound", "Repository not found")
        if repo.is_disabled:
            raise Refusal(403, "", "Access to this resource is disabled.")
        return repo

    def _check_gate(self, repo: Repo, account: Account | None) -> None:
        page = f"{self.hub.endpoint}/{repo.name}"
        if not repo.gated:
            return
        if account is None:
            raise Refusal(401, "GatedRepo", f"Access to model {repo.name} is restricted. You must have access to it "
                                            "and be authenticated to access it. Please log in.")
        if not account.reads_gated:
            raise Refusal(403, "", "Please enable access to public gated repositories in your fine-grained token "
                                   "settings to view this repository.")
        if repo.name in account.pending:
            raise Refusal(403, "GatedRepo", PENDING.format(repo.name))
        if repo.name not in account.accepted:
            raise Refusal(403, "GatedRepo", f"Access to model {repo.name} is restricted and you are not in the "
                                            f"authorized list. Visit {page} to ask for access.")

    def _commit(self, repo: Repo, revision: str | None) -> str:
        commit = repo.commit_of(revision or "main")
        if not commit:
            raise Refusal(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return commit

    def _resolve(self, name: str, revision: str, path: str, account: Account | None) -> None:
        repo = self._repo(name, account)
        if path != "README.md":         # everybody may read the card
            self._check_gate(repo, account)
        commit = self._commit(repo, revision)
        one = repo.commits[commit].get(path)
        if one is None:
            raise Refusal(404, "EntryNotFound", "Entry not found")
        linked = {"X-Repo-Commit": commit, "X-Linked-Size": str(one.bytes), "X-Linked-Etag": f'"{one.etag}"',
                  **self.hub.faults.headers}
        if self._path.startswith("/api/"):
            return self.send_file(path, one, {"X-Repo-Commit": commit})
        if one.is_lfs:
            return self._redirect_to_store(name, path, one, linked)
        self._head(307, {"Location": f"/api/resolve-cache/models/{name}/{commit}/{path}?etag=%22{one.etag}%22",
                         "Content-Length": "0", **linked})

    def _redirect_to_store(self, name: str, path: str, one: Content, linked: Mapping[str, str]) -> None:
        signature = secrets.token_hex(8)
        with self.hub.lock:
            self.hub.links[signature] = (path, one, 0)
        route = f"{self.hub.endpoint}/api/models/{name}/xet-read-token/{linked['X-Repo-Commit']}"
        self._head(302, {"Location": f"{self.hub.store}/repos/{one.sha256}?X-Amz-Signature={signature}",
                         "Content-Length": "0", "X-Xet-Hash": one.sha256,
                         "Link": f'<{route}>; rel="xet-auth"', **linked})

    def _api(self, name: str, what: str | None, revision: str | None, account: Account | None) -> None:
        repo = self._repo(name, account)
        if what == "auth-check":
            self._check_gate(repo, account)
            return self._bytes(200, b"OK", {"Content-Type": "text/plain"})
        commit = self._commit(repo, revision)
        files = repo.commits[commit]
        if what == "tree":
            return self._json([_entry(path, one) for path, one in sorted(files.items())])
        if what == "paths-info":
            wanted = set(parse_qs(self._body.decode()).get("paths", []))
            return self._json([_entry(path, one) for path, one in sorted(files.items()) if path in wanted])
        if what == "xet-read-token":
            raise Refusal(500, "", "There is no xet here.")
        query = parse_qs(urlsplit(self.path).query)
        said = self.hub.faults.api
        return self._json(self._info(repo, commit, "blobs" in query) if said is ... else said)

    def _info(self, repo: Repo, commit: str, has_blobs: bool) -> dict[str, Any]:
        shown = [_sibling(path, one) if has_blobs else {"rfilename": path}
                 for path, one in sorted(repo.commits[commit].items())]
        return {"_id": "0" * 24, "id": repo.name, "modelId": repo.name, "author": repo.name.split("/")[0],
                "sha": commit, "private": bool(repo.private_to), "gated": repo.gated, "disabled": repo.is_disabled,
                "downloads": 1, "likes": 1, "tags": ["gguf"], "pipeline_tag": "text-generation",
                "lastModified": "2026-01-01T00:00:00.000Z", "createdAt": "2026-01-01T00:00:00.000Z",
                "cardData": repo.card, "siblings": shown}

    def _search(self, account: Account | None) -> None:
        query = parse_qs(urlsplit(self.path).query)
        words = [word.lower() for key in ("search", "author") for word in query.get(key, [])]
        self._json([self._info(repo, repo.refs["main"], False) for repo in self.hub.repos.values()
                    if not repo.private_to and all(word in repo.name.lower() for word in words)])


class StoreHandler(_Handler):
    """The store of large files: it knows links, no accounts, and refuses what brings a token of the hub's."""
    name = "store"

    def answer(self) -> None:
        if self.headers.get("Authorization"):
            raise Refusal(400, "", "Only one auth mechanism allowed.")
        signature = parse_qs(urlsplit(self.path).query).get("X-Amz-Signature", [""])[0]
        with self.hub.lock:
            name, one, uses = self.hub.links.get(signature, ("", None, 0))
            most = self.hub.faults.link_uses
            if one is None or (most and uses >= most):
                raise Refusal(403, "", "Request has expired")
            self.hub.links[signature] = (name, one, uses + 1)
        if self.hub.faults.store_page:
            return self._page(self.hub.faults.store_page)
        self.send_file(name, one, {"Content-Type": "application/octet-stream"})

    def _page(self, kind: str) -> None:
        self._head(200, {"Content-Type": kind, "Transfer-Encoding": "chunked"})
        self._write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(PORTAL), PORTAL))


def _sibling(path: str, one: Content) -> dict[str, Any]:
    lfs = {"lfs": {"sha256": one.sha256, "size": one.bytes, "pointerSize": 134}} if one.is_lfs else {}
    return {"rfilename": path, "size": one.bytes, "blobId": one.git_id, **lfs}


def _entry(path: str, one: Content) -> dict[str, Any]:
    lfs = {"lfs": {"oid": one.sha256, "size": one.bytes, "pointerSize": 134}} if one.is_lfs else {}
    return {"type": "file", "oid": one.git_id, "size": one.bytes, "path": path, **lfs}
