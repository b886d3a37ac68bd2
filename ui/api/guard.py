"""Who may talk to the server, how much, and what its pages may load: the one door in front of page and API."""

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ui.api import gradio_routes, login
from ui.api.addresses import LOCAL_NAMES
from ui.api.body import (
    RETRY_S,
    STALL_S,
    TO_DISK,
    TOO_LARGE,
    TOO_MANY,
    Body,
    Held,
    Unwelcome,
    has_too_many_values,
    read_whole,
)
from ui.api.openai.errors import error_response
from ui.api.token import Failures, Keys

# KaTeX carries small fonts as data:. Gradio 6.31 does not start without 'unsafe-inline' and 'unsafe-eval', so an
# answer's safety is how views/markdown.py renders it, and img-src.
CONTENT_POLICY = "; ".join((
    "default-src 'self'", "script-src 'self' 'unsafe-inline' 'unsafe-eval'", "style-src 'self' 'unsafe-inline'",
    "img-src 'self' data: blob:", "media-src 'self' data: blob:", "font-src 'self' data:", "connect-src 'self'",
    "frame-src 'self'", "worker-src 'self' blob:", "form-action 'self'", "base-uri 'self'", "object-src 'none'",
    "frame-ancestors 'none'"))
REFERRER = "Referrer-Policy"
HEADERS = {
    "Content-Security-Policy": CONTENT_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    REFERRER: "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
PUBLIC = ("text/javascript", "application/javascript", "text/css", "font/", "image/svg")     # may stay in a browser
HEALTH = "/health"
STRANGER = "Galen answers pages of this computer only."
FOREIGN = "Galen opens no files but those that its own page was given."
NOT_USED = "There is nothing here."
NO_TOKEN = "This Galen asks for its token: send it as the header Authorization: Bearer TOKEN."
WRONG_TOKEN = "This is not the token of this Galen; look at its terminal, or make a new one there."
WAIT = "Too many wrong tokens came from here; wait {} seconds."


@dataclass(frozen=True)
class Door:
    """names: of this machine, as they may stand in Host; keys: who has shown the token, None = nobody is asked;
    folder: of the uploads; stall_s: the longest pause in a body."""

    names: frozenset[str] = LOCAL_NAMES
    keys: Keys | None = None
    folder: Path = Path()
    failures: Failures = field(default_factory=Failures)
    stall_s: float = STALL_S


class Guard:
    """The ASGI application around the server: 403 for strangers, 401 without the token, 413, 429; headers on all."""

    def __init__(self, app: ASGIApp, door: Door | None = None):
        self._app, self._door, self._held = app, door or Door(), Held()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._serve(scope, receive, send)
        elif scope["type"] == "websocket":
            answer, receive = await self._refusal(scope, receive)
            await (answer or self._app)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        body: Body | None = None
        is_started = False

        async def send_on(message: Message) -> None:
            nonlocal is_started
            if message["type"] == "http.response.start":
                if body and body.problem and not is_started:
                    raise body.problem                  # instead of what the server made of half a body
                is_started = True
                _add_headers(message)
            await send(message)

        try:
            with Body(scope, receive, self._held, self._door.stall_s) as body:
                answer, again = await self._refusal(scope, body)
                await (answer or self._app)(scope, again, send_on)
        except Unwelcome as error:
            if not is_started:
                body = None
                headers = {"Retry-After": str(RETRY_S)} if error.status == 503 else None
                await refused(scope, error.text, error.status, headers)(scope, receive, send_on)

    async def _refusal(self, scope: Scope, receive: Receive) -> tuple[Response | None, Receive]:
        """What a request is answered with that does not come through, and the receive for one that does."""
        headers, path, folder = Headers(scope=scope), scope["path"], self._door.folder
        if not _is_of_ours(headers, scope.get("method", ""), self._door.names):
            return refused(scope, STRANGER, 403), receive
        if self._door.keys and self._door.keys.are_needed:
            answer = await self._asked_for_token(self._door.keys, scope, receive)
            if answer:
                return answer, receive
            if path == login.PATH:
                return RedirectResponse("/", 303), receive
        if not gradio_routes.is_used(path):
            return refused(scope, NOT_USED, 404), receive
        asked = gradio_routes.file_asked(path)
        if asked is not None and not gradio_routes.may_be_opened(asked, folder):
            return refused(scope, FOREIGN, 403), receive
        if scope["type"] == "http" and not path.startswith(TO_DISK):
            sent, receive = await read_whole(receive)
            if has_too_many_values(sent):
                raise Unwelcome(413, TOO_MANY)
            if gradio_routes.has_body(path) and gradio_routes.names_foreign_files(sent, folder):
                return refused(scope, FOREIGN, 403), receive
        return None, receive

    async def _asked_for_token(self, keys: Keys, scope: Scope, receive: Receive) -> Response | None:
        """What somebody gets who has not shown the token; None for all others."""
        headers, path, failures = Headers(scope=scope), scope["path"], self._door.failures
        if keys.is_logged_in(cookie_parser(headers.get("cookie", "")).get(login.cookie_name(scope), "")):
            return None
        if path == HEALTH and "authorization" not in headers:
            return JSONResponse({"status": "ok"})       # what a second start asks; nothing of what runs here
        address = scope["client"][0] if scope.get("client") else ""
        is_form = path == login.PATH and scope.get("method") == "POST"
        kind, _, token = headers.get("authorization", "").partition(" ")
        is_shown = kind.lower() == "bearer" and bool(token.strip())
        if is_form or is_shown:
            wait_s = failures.wait_s(address)
            if wait_s:
                return refused(scope, WAIT.format(wait_s), 429, {"Retry-After": str(wait_s)})
        to = "/"
        if is_form:
            if int(headers.get("content-length") or login.MOST_BYTES + 1) > login.MOST_BYTES:
                raise Unwelcome(413, TOO_LARGE)
            sent, _ = await read_whole(receive)
            token, to = login.read(sent)
        if not (is_form or is_shown):
            return login.page(_target(scope)) if _is_page(scope) else refused(
                scope, NO_TOKEN, 401, {"WWW-Authenticate": "Bearer"})
        if not keys.fits(token.strip()):
            failures.count(address)
            return login.page(to, login.WRONG) if is_form else refused(
                scope, WRONG_TOKEN, 401, {"WWW-Authenticate": 'Bearer error="invalid_token"'})
        failures.forget(address)
        return login.let_in(login.cookie_name(scope), keys.log_in(), to) if is_form else None


def _is_of_ours(headers: Headers, method: str, names: frozenset[str]) -> bool:
    """True if Host is this machine, and no other page asks: DNS rebinding, forms and scripts elsewhere.

    A link from elsewhere may be followed; what it opens is not changed by that.
    """
    host, origin = headers.get("host", ""), headers.get("origin")
    if _name(f"//{host}") not in names:
        return False
    if origin is not None and (not is_local(origin, names) or urlsplit(origin).netloc.lower() != host.lower()):
        return False
    if headers.get("sec-fetch-site", "none") in ("same-origin", "none"):        # a page of another port is same-site
        return True
    return headers.get("sec-fetch-mode") == "navigate" and method in ("GET", "HEAD")


def is_local(url: str, names: frozenset[str] = LOCAL_NAMES) -> bool:
    """True if the host of url (or of "//host:port") is this machine by one of its names."""
    return _name(url) in names


def _name(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _is_page(scope: Scope) -> bool:
    return scope.get("method") == "GET" and "text/html" in Headers(scope=scope).get("accept", "")


def _target(scope: Scope) -> str:
    query = scope.get("query_string", b"").decode("latin-1")
    return scope["path"] + (f"?{query}" if query else "")


def refused(scope: Scope, text: str, status: int, headers: dict[str, str] | None = None) -> Response:
    """The same refusal as a page, a program or a client of OpenAI's protocol reads it."""
    if _is_page(scope) or scope["type"] == "websocket":
        return PlainTextResponse(text, status, headers)
    if scope["path"].startswith("/v1/"):
        return error_response(status, text, headers=headers)
    return JSONResponse({"detail": text}, status, headers)


def _add_headers(message: Message) -> None:
    headers = MutableHeaders(scope=message)
    headers.update({name: value for name, value in HEADERS.items() if name != REFERRER})
    headers.setdefault(REFERRER, HEADERS[REFERRER])             # the form to log in has its own
    if not headers.get("content-type", "").startswith(PUBLIC):
        headers.setdefault("Cache-Control", "no-store")
