"""The one server: a FastAPI app with the page mounted on it, and how it starts and ends."""

import contextlib
import gc
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
import warnings
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Literal

from models import proxy, runs
from models.errors import UserError
from runtime.session import Session
from ui import instance, log
from ui.actions import moved
from ui.actions.uploads import upload_folder
from ui.ending import Ending
from ui.workbench import Workbench

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.types import ASGIApp

    from ui.api.addresses import Place
    from ui.api.guard import Door
    from ui.window import Window

Opens = Literal["", "browser", "window"]

WARM_AFTER_S = 3.0              # the page is drawn by then
CLOSE_S = 2                     # how long open requests may take to end when the app does
QUEUE_LOOK_S = 0.05
FORGOTTEN = (600, 6 * 3600)     # how often the upload folder is looked through, and when a file left there goes, in s
MAX_UPLOAD = "50mb"
HERE = Path(__file__).parent
ENVIRONMENT = {                 # gradio and huggingface_hub read these while they are imported
    "GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_RUN_HISTORY": "False", "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_XET": "1", "DO_NOT_TRACK": "1",
}


def create_app(bench: Workbench, door: "Door | None" = None) -> "ASGIApp":
    """The server over the workbench: the API, and the pages from / on, behind the door (None: for this computer).

    Sets the process's environment for gradio.
    """
    os.environ.update(ENVIRONMENT, GRADIO_TEMP_DIR=str(upload_folder()))
    proxy.hide()
    # only now: these imports read the environment
    from ui.api import server
    from ui.api.guard import Door, Guard

    return Guard(_with_pages(server.create_api(bench), bench), door or Door(folder=upload_folder()))


def _with_pages(api: "FastAPI", bench: Workbench) -> "FastAPI":
    """The API with the pages mounted on it."""
    import gradio as gr
    from fastapi.responses import FileResponse

    from ui import pages
    from ui.api import growth, problems, stop
    from ui.api.themed import Themed
    from ui.theme import calm_theme

    @api.get("/icon.svg", include_in_schema=False)
    def icon() -> FileResponse:
        return FileResponse(HERE / "icon.svg", media_type="image/svg+xml")

    api.include_router(growth.router(bench.chat))
    api.include_router(stop.router(bench.ending))
    api.add_middleware(Themed, settings=bench.settings)
    demo = gr.Blocks(title="Galen", fill_width=True, analytics_enabled=False, delete_cache=FORGOTTEN)
    pages.build_pages(demo, bench)
    demo._queue.sleep_when_free = QUEUE_LOOK_S          # gradio would wake up a thousand times a second, all day
    demo._queue.progress_update_sleep_when_free = 1.0   # and a hundred times for gr.Progress, which nothing here uses
    demo.has_launched = True            # else gradio, mounted, takes any file of this computer that a request names
    script = "".join(path.read_text(encoding="utf-8") for path in pages.scripts())
    head = f'<link rel="icon" href="/icon.svg" type="image/svg+xml"><script>{script}</script>'
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "SSR mode is not supported")      # said though it is not asked for
        return gr.mount_gradio_app(
            api, demo, path="/", run_history=False, footer_links=[], ssr_mode=False, theme=calm_theme(),
            css_paths=pages.styles(), head=head, show_error=False,
            max_file_size=MAX_UPLOAD, enable_monitoring=False, pwa=False, mcp_server=False,
            app_kwargs={"openapi_url": None, "exception_handlers": {OSError: problems.on_disk_full}})


def serve(session: Session, host: str = "127.0.0.1", port: int | None = None, opens: Opens = "",
          model: Path | None = None, is_token_new: bool = False, is_debug: bool = False) -> None:
    """Serve until somebody ends it; model (the embedded one if None) is loaded meanwhile.

    The page's Stop button ends it, Ctrl-C, SIGTERM, the end of the terminal, and the closing of a window of its own.
    host: another address than 127.0.0.1 lets other computers in, with the token that is then asked for. port None or
    0: the first free one from 7860 up. opens: the page in the browser, or in a window of its own. is_token_new: make
    another token. is_debug: more in the log files. If this folder's app already runs, says so, opens its page, and
    returns. UserError for an address that is not this machine's, or a port that is in use.
    """
    from ui.api import addresses
    where = addresses.place(host)
    home = runs.home()
    runs.make_folder(home)
    try:
        held = instance.claim(home)
    except OSError as error:
        raise UserError(f"Galen can not write to its folder {home} ({error.strerror}); make it writable, or set "
                        "GALEN_HOME to another folder.") from error
    if held is None:
        _show_running(home, opens)
        return
    try:
        home, held = _settled(home, held)
        moved.settle(home)
        log.begin(home, is_debug)
        listener = addresses.listen(port or 0, where.host)
        bench = Workbench(home, session)
        bench.outside.watch()
        with _ended_by_signals(bench.ending):           # to the last: Ctrl-C pressed twice must not leave it half done
            try:
                bench.model.preload(model)
                _run(bench, listener, held, where, opens, is_token_new)
            finally:
                bench.close()
                listener.close()
                shutil.rmtree(upload_folder(), ignore_errors=True)
    finally:
        log.end()
        held.release()


def _settled(home: Path, held: instance.Instance) -> tuple[Path, instance.Instance]:
    """The folder to use, and the right to it, once a restore or a move that waited for this start is finished."""
    from ui.actions import relocate
    there = relocate.settle(home)
    if there == home:
        return home, held
    right = instance.claim(there)
    if right is None:
        raise UserError(f"Another Galen holds the folder {there}, to which this one was moved; end it first.")
    held.release()
    return there, right


def _show_running(home: Path, opens: Opens) -> None:
    url = instance.running_url(home)
    if url is None:
        raise UserError(f"Another Galen holds the folder {home} but does not answer; end it, or set GALEN_HOME "
                        "to another folder.")
    print(f"Galen already runs at {url}", flush=True)
    window = _open(url, home, opens)
    while window and not window.is_closed:
        time.sleep(0.2)
    if opens == "browser" or (window and window.problem):
        opening = _open_browser(url)
        while opening.is_alive():       # a browser in this terminal is used until it ends
            opening.join(0.2)


def _open_browser(url: str) -> threading.Thread:
    """Open url without waiting: some browsers come back only when they are closed."""
    def open_it() -> None:
        with contextlib.suppress(webbrowser.Error, ValueError, OSError):        # BROWSER may name what is none
            webbrowser.open(url)
    thread = threading.Thread(target=open_it, name="browser", daemon=True)
    thread.start()
    return thread


def _open(url: str, home: Path, opens: Opens) -> "Window | None":
    """The window of its own, if that is asked for."""
    if opens != "window":
        return None
    from ui.window import Window
    return Window(url, home)


def _run(bench: Workbench, listener: socket.socket, held: instance.Instance, where: "Place", opens: Opens,
         is_token_new: bool) -> None:
    from ui.api import token
    from ui.api.addresses import url as url_of
    from ui.api.connection import Connection
    from ui.api.guard import Door
    shutil.rmtree(upload_folder(), ignore_errors=True)
    runs.make_folder(upload_folder())
    tempfile.tempdir = str(upload_folder())     # what a request brings is spooled there as well
    keys = token.Keys(bench.settings, where.is_open)
    gc.disable()                # what the imports make stays: looking through it again and again took 0.5 s of 2.3
    try:
        app = create_app(bench, Door(names=where.names, keys=keys, folder=upload_folder()))
    finally:
        gc.freeze()
        gc.enable()
    bench.outside.follow()              # not before: what create_app imports stays offline
    import uvicorn
    server = uvicorn.Server(uvicorn.Config(
        app, http=Connection, log_config=None, log_level="warning", access_log=False, server_header=False,
        timeout_graceful_shutdown=CLOSE_S, proxy_headers=False))        # who asks is who connects, by no header
    # In the main thread uvicorn would take the signals and end the process by them, before the model's is closed.
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="server")
    try:
        thread.start()
        while thread.is_alive() and not (server.started or bench.ending.is_asked):
            time.sleep(0.02)
        if server.started:
            port = listener.getsockname()[1]
            url = url_of(where.shown, port)
            held.publish(url)
            if keys.are_needed:
                _tell_token(bench, is_token_new)
            others = "".join(f", {url_of(one, port)}" for one in where.elsewhere)
            print(f"Galen runs at {url}{others} (Ctrl-C ends it)", flush=True)
            _stay(bench, thread, url, opens)
    finally:
        server.should_exit = True
        thread.join(CLOSE_S + 1)


def _stay(bench: Workbench, server: threading.Thread, url: str, opens: Opens) -> None:
    """Show the page, and wait until Galen is to end; a window of its own ends with it, and ends it."""
    warming = threading.Timer(WARM_AFTER_S, bench.chat.warm)
    warming.daemon = True
    warming.start()
    if opens == "browser":
        _open_browser(url)
    window = _open(url, bench.home, opens)
    try:
        while server.is_alive() and not bench.ending.is_asked:
            server.join(0.2)                    # short, so that Windows sees Ctrl-C
            if window and window.is_closed:
                if window.problem:
                    print(f"{window.problem} The page opens in the browser.", flush=True)
                    window = None
                    _open_browser(url)
                elif views := bench.ending.window_is_closed():
                    print(f"The window is closed. Galen goes on at {url} until this is over: "
                          f"{', '.join(view.title for view in views)}.", flush=True)
    finally:
        warming.cancel()
        if window:
            window.close()


@contextmanager
def _ended_by_signals(ending: Ending) -> Iterator[None]:
    """Ctrl-C, SIGTERM, and the end of the terminal end Galen while the with block runs; its jobs go on."""
    def end(number: int, frame: FrameType | None) -> None:
        if sys.platform != "win32" and number == signal.SIGHUP:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            for stream in (1, 2):               # the terminal is gone; what is said from now on is for nobody
                os.dup2(nowhere, stream)
        ending.ask()

    numbers = [signal.SIGINT, signal.SIGTERM]
    if sys.platform == "win32":
        numbers.append(signal.SIGBREAK)
    elif signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:         # nohup asks for that
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, end) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _tell_token(bench: Workbench, is_new: bool) -> None:
    """Make the token, if there is none or another is wanted, and show it: this once."""
    from ui.api import token
    if is_new or not bench.settings.value.token:
        print(f"Token, shown this once; page and API ask for it: {token.make(bench.settings)}", flush=True)
    else:
        print("Page and API ask for the token that was shown when it was made; --new-token makes another.", flush=True)
