"""Who may talk to the server, and what its pages may load: Host, Origin and the security headers."""

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOCAL_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})

# KaTeX carries small fonts as data:. Gradio 6.31 does not start without 'unsafe-inline' and 'unsafe-eval', so an
# answer's safety is show.harmless, Gradio's sanitizing, and img-src.
CONTENT_POLICY = "; ".join((
    "default-src 'self'", "script-src 'self' 'unsafe-inline' 'unsafe-eval'", "style-src 'self' 'unsafe-inline'",
    "img-src 'self' data: blob:", "media-src 'self' data: blob:", "font-src 'self' data:", "connect-src 'self'",
    "frame-src 'self'", "worker-src 'self' blob:", "form-action 'self'", "base-uri 'self'", "object-src 'none'",
    "frame-ancestors 'none'"))
HEADERS = {
    "Content-Security-Policy": CONTENT_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


class Guard:
    """ASGI middleware: 403 for a Host or Origin that is not this machine (DNS rebinding, other web pages)."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        if not is_local(f"//{headers.get('host', '')}") or (origin is not None and not is_local(origin)):
            refusal = PlainTextResponse("Galen answers pages of this computer only.", status_code=403)
            await refusal(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self._app(scope, receive, send_with_headers)


def is_local(url: str) -> bool:
    """True if the host of url (or of "//host:port") is this machine by name."""
    try:
        return urlsplit(url).hostname in LOCAL_NAMES
    except ValueError:
        return False
