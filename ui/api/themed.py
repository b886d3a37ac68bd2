"""The theme that was chosen, put first into the head of our pages: before anything is drawn, and kept in no browser.

Gradio follows the system's scheme through window.matchMedia and adds its own head too late; so one short script
answers that question in the system's place. setTheme() changes it on an open page.
"""

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ui.settings import SettingsFile

HEAD = b"<head>"
SCRIPT = """<style>
html[data-theme="dark"] body { background: #0F1514; } html[data-theme="light"] body { background: #FAFAF7; }
</style><script>(() => {
const query = "(prefers-color-scheme: dark)", ask = window.matchMedia.bind(window), system = ask(query);
const heard = new Set();
let theme = "THEME";
const scheme = {
    get matches() { return theme === "system" ? system.matches : theme === "dark"; },
    media: query, onchange: null,
    addEventListener(name, listener) { heard.add(listener); },
    removeEventListener(name, listener) { heard.delete(listener); },
    addListener(listener) { heard.add(listener); },
    removeListener(listener) { heard.delete(listener); },
    dispatchEvent() { return true; },
};
const show = () => {
    document.documentElement.dataset.theme = scheme.matches ? "dark" : "light";
    for (const listener of heard) listener({matches: scheme.matches, media: query});
};
system.addEventListener("change", show);
window.matchMedia = (text) => text === query ? scheme : ask(text);
window.setTheme = (chosen) => { theme = chosen; show(); };
show();
})();</script>"""


class Themed:
    """ASGI middleware: each page that is asked for begins with the script."""

    def __init__(self, app: ASGIApp, settings: SettingsFile):
        self._app, self._settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or "text/html" not in Headers(scope=scope).get("accept", ""):
            await self._app(scope, receive, send)
            return
        script = SCRIPT.replace("THEME", self._settings.value.theme).encode()
        plain = [(name, value) for name, value in scope["headers"] if name != b"accept-encoding"]
        starts: list[Message] = []              # held back until the body's beginning is there

        async def send_with_script(message: Message) -> None:
            if message["type"] == "http.response.start" and _is_page(message):
                starts.append(message)
                return
            if starts and message["type"] == "http.response.body":
                start = starts.pop()
                body = message.get("body", b"")
                if HEAD in body:
                    message = {**message, "body": body.replace(HEAD, HEAD + script, 1)}
                    headers = MutableHeaders(raw=start["headers"])
                    if "content-length" in headers:
                        headers["content-length"] = str(int(headers["content-length"]) + len(script))
                await send(start)
            await send(message)

        await self._app({**scope, "headers": plain}, receive, send_with_script)


def _is_page(start: Message) -> bool:
    return Headers(raw=start["headers"]).get("content-type", "").startswith("text/html")
