"""The one server: a FastAPI app with the page mounted on it, and how it starts and ends."""

import os
import shutil
import signal
import socket
import sys
import threading
import time
import webbrowser
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from models import runs
from models.errors import UserError
from runtime.session import Session
from ui import instance
from ui.actions.chat import Chat
from ui.history import History

if TYPE_CHECKING:
    from fastapi import FastAPI

FIRST_PORT, LAST_PORT = 7860, 7959
CLOSE_S = 2                     # how long open requests may take to end when the app does
MAX_UPLOAD = "50mb"
HERE = Path(__file__).parent
ENVIRONMENT = {                 # gradio and huggingface_hub read these while they are imported
    "GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_RUN_HISTORY": "False", "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_XET": "1", "DO_NOT_TRACK": "1",
}


def create_app(chat: Chat) -> "FastAPI":
    """The server over the given actions: /health, and the page at /. Sets the process's environment for gradio."""
    os.environ.update(ENVIRONMENT, GRADIO_TEMP_DIR=str(upload_folder()))
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]            # this process asks this machine only; gradio would want a package for SOCKS
    # only now: these imports read the environment
    import gradio as gr
    from fastapi import FastAPI
    from fastapi.responses import FileResponse

    from ui.api.guard import Guard
    from ui.pages.chat import build_chat_page
    from ui.theme import calm_theme

    app = FastAPI(title="Galen", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(Guard)

    @app.get("/health")
    def health() -> dict[str, str | int | None]:
        return {"status": "ok", "model": chat.model.name or None, "pid": os.getpid()}

    @app.get("/icon.svg", include_in_schema=False)
    def icon() -> FileResponse:
        return FileResponse(HERE / "icon.svg", media_type="image/svg+xml")

    with gr.Blocks(title="Galen", fill_width=True, analytics_enabled=False) as demo:
        build_chat_page(demo, chat)
    script = (HERE / "page.js").read_text(encoding="utf-8")
    head = f'<link rel="icon" href="/icon.svg" type="image/svg+xml"><script>{script}</script>'
    return gr.mount_gradio_app(
        app, demo, path="/", run_history=False, footer_links=[], ssr_mode=False, theme=calm_theme(),
        css_paths=HERE / "style.css", head=head, show_error=False,
        max_file_size=MAX_UPLOAD, enable_monitoring=False, pwa=False, mcp_server=False,
        app_kwargs={"openapi_url": None})


def upload_folder() -> Path:
    """Where the page keeps files while it runs: inside the user's folder, emptied at start and end."""
    return runs.home() / "cache" / "page"


def serve(session: Session, host: str = "127.0.0.1", port: int | None = None, open_browser: bool = False,
          model: Path | None = None) -> None:
    """Serve until Ctrl-C or SIGTERM; model (the embedded one if None) is loaded meanwhile.

    port None or 0: the first free one from 7860 up. If this folder's app already runs, says so, opens its page
    if open_browser, and returns. UserError for another host than this machine, or a port that is in use.
    """
    if host not in ("127.0.0.1", "localhost"):
        raise UserError(f"The address is {host!r}; Galen serves this computer only, on 127.0.0.1.")
    home = runs.home()
    runs.make_folder(home)
    try:
        held = instance.claim(home)
    except OSError as error:
        raise UserError(f"Galen can not write to its folder {home} ({error.strerror}); make it writable, or set "
                        "GALEN_HOME to another folder.") from error
    if held is None:
        _show_running(home, open_browser)
        return
    try:
        listener = listen(port or 0)
        chat = Chat(session, History(home))
        try:
            chat.preload(model)
            _run(chat, listener, held, open_browser)
        finally:
            chat.close()
            listener.close()
            shutil.rmtree(upload_folder(), ignore_errors=True)
    finally:
        held.release()


def _show_running(home: Path, open_browser: bool) -> None:
    url = instance.running_url(home)
    if url is None:
        raise UserError(f"Another Galen holds the folder {home} but does not answer; end it, or set GALEN_HOME "
                        "to another folder.")
    print(f"Galen already runs at {url}", flush=True)
    if open_browser:
        opening = _open_browser(url)
        while opening.is_alive():       # a browser in this terminal is used until it ends
            opening.join(0.2)


def _open_browser(url: str) -> threading.Thread:
    """Open url without waiting: some browsers come back only when they are closed."""
    thread = threading.Thread(target=webbrowser.open, args=(url,), name="browser", daemon=True)
    thread.start()
    return thread


def _run(chat: Chat, listener: socket.socket, held: instance.Instance, open_browser: bool) -> None:
    shutil.rmtree(upload_folder(), ignore_errors=True)
    runs.make_folder(upload_folder())
    app = create_app(chat)
    import uvicorn
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, server_header=False,
                                           timeout_graceful_shutdown=CLOSE_S))

    def end(number: int, frame: FrameType | None) -> None:
        server.should_exit = True

    # In the main thread uvicorn would take the signals and end the process by them, before the model's is closed.
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="server")
    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        thread.start()
        while thread.is_alive() and not server.started:
            time.sleep(0.02)
        if server.started:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            held.publish(url)
            print(f"Galen runs at {url} (Ctrl-C ends it)", flush=True)
            if open_browser:
                _open_browser(url)
        while thread.is_alive():
            thread.join(0.2)                    # short, so that Windows sees Ctrl-C
    finally:
        server.should_exit = True
        thread.join(CLOSE_S + 1)
        for number, handler in before.items():
            signal.signal(number, handler)


def listen(port: int) -> socket.socket:
    """A listening socket on 127.0.0.1; port 0: the first free one from 7860 up. UserError if none can be had."""
    if not 0 <= port < 1 << 16:
        raise UserError(f"The port is {port}; use 1 to 65535, or leave it out.")
    for one in [port] if port else range(FIRST_PORT, LAST_PORT + 1):
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if sys.platform != "win32":             # there it would allow two listeners on one port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", one))
            listener.listen(128)
            return listener
        except OSError as error:
            listener.close()
            if port:
                raise UserError(f"Port {port} can not be used ({error.strerror}); choose another one with --port, "
                                "or leave it out.") from error
    raise UserError(f"No port from {FIRST_PORT} to {LAST_PORT} is free; choose another one with --port.")
