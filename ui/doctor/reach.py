"""What the doctor finds about how the page is reached, and what Galen reaches: port, browser, token, network."""

import http.client
import json
import os
import socket
import sys
import threading
import urllib.error
import urllib.request
import webbrowser
from collections.abc import Iterator
from pathlib import Path

from models import outside, runs
from models.errors import UserError
from ui.doctor.finding import BAD, CAUTION, GOOD, NOTHING_TO_DO, Finding, one_line, said

HUB = "https://huggingface.co"
ASK_S, HUB_S, INDEX_S = 10.0, 20.0, 30.0        # one answer; with the look-up of the name; pip and its questions
PROXY_ADVICE = "Check the network, or the proxy (HTTPS_PROXY), and try again; chatting needs no network."


def port() -> Iterator[Finding]:
    """Whether this folder's Galen runs, and whether the page's usual port is free."""
    from ui.api.addresses import FIRST_PORT, LAST_PORT
    running = running_app()
    if running:
        yield running
    yield listened(FIRST_PORT, LAST_PORT)


def listened(first: int, last: int) -> Finding:
    """Whether the first port can be had, else who has it, and whether another one up to last can."""
    if is_free(first):
        return Finding(name="Port", state=GOOD, found=f"{first} is free")
    holder = _holder(first)
    if _is_galen(first):
        return Finding(name="Port", state=GOOD, found=f"{first} is used by a running Galen", personal=holder)
    if any(is_free(one) for one in range(first + 1, last + 1)):
        return Finding(name="Port", state=CAUTION, found=f"{first} is used by another program", personal=holder,
                       advice="Galen takes the next free port and says which; the page's address then differs.")
    return Finding(name="Port", state=BAD, found=f"none from {first} to {last} is free", personal=holder,
                   advice="End other programs, or choose a port: python launcher.py start --port NUMBER")


def is_free(number: int) -> bool:
    """True if Galen could listen there, for this computer only."""
    from ui.api import addresses
    try:
        addresses.listen(number).close()
    except UserError:
        return False
    return True


def _is_galen(number: int) -> bool:
    from ui import instance
    return instance.is_answering(f"http://127.0.0.1:{number}")


def _holder(number: int) -> str:
    """The program that listens there, as far as the system tells it to this user."""
    import psutil
    try:
        pids = [one.pid for one in psutil.net_connections("tcp")
                if one.laddr and one.laddr.port == number and one.status == psutil.CONN_LISTEN and one.pid]
        return f"{psutil.Process(pids[0]).name()}, process {pids[0]}" if pids else "the system does not say which"
    except (psutil.Error, OSError):         # no /proc/net
        return "the system does not say which"


def running_app() -> Finding | None:
    """The app that holds this folder, if one says that it does."""
    import psutil

    from ui import instance
    try:
        told = json.loads((runs.home() / instance.ADDRESS_FILE).read_text(encoding="utf-8"))
        url, pid = str(told["url"]), int(told["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return None             # none runs
    if instance.is_answering(url):
        return Finding(name="Galen", state=GOOD, found="runs", personal=url)
    if not psutil.pid_exists(pid):
        return None             # it was killed; the next start knows
    return Finding(name="Galen", state=CAUTION, found="seems to run, and does not answer", personal=f"process {pid}",
                   advice="Wait a moment and look again; if it stays silent, end that process and start Galen again.")


def browser() -> Iterator[Finding]:
    """The browser that a start opens the page in."""
    has_screen = sys.platform != "linux" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    try:
        found = webbrowser.get()
    except ValueError:          # quotation marks in it that do not match
        yield Finding(name="Browser", state=CAUTION, found="what the variable BROWSER says is no command",
                      advice="Correct BROWSER, or leave it out; the address that Galen prints can be opened by hand.")
        return
    except webbrowser.Error:
        yield Finding(name="Browser", state=CAUTION, found="none found",
                      advice="Open the address that Galen prints in a browser, here or through an SSH tunnel.")
        return
    name = Path(str(getattr(found, "name", ""))).name
    yield Finding(name="Browser", state=GOOD if has_screen else CAUTION, personal=name,
                  found="found" if has_screen else "there is no screen here",
                  advice=NOTHING_TO_DO if has_screen else "Open the address that Galen prints through an SSH tunnel.")


def token() -> Iterator[Finding]:
    """Whether there is a token of the hub, and where it was found; never the token."""
    from models.token import find
    runs.home()                 # where it is looked for, too; what is wrong there is told in its own finding
    try:
        here = find()
    except UserError as error:
        yield Finding(name="Token", state=BAD, found="what is set can not be used", personal=one_line(str(error)),
                      advice="Correct it, or take it away: it is needed only for models with a licence to accept.")
        return
    yield Finding(name="Token", state=GOOD, found="there is one" if here else "none",
                  personal=f"from {here.source}" if here else "",
                  advice="python launcher.py token --test says whose it is and what it may read." if here else
                  "Needed only for models with a licence to accept: python launcher.py token")


def network() -> Iterator[Finding]:
    """Asks the hub and pip's package index for an answer. Only when the person asked for it."""
    yield proxy()
    with outside.reason("doctor --network"):
        yield hub(os.environ.get("HF_ENDPOINT") or HUB, HUB_S)
        yield index()


def proxy() -> Finding:
    """The proxies that are set for programs."""
    proxies = {kind: address for kind, address in sorted(urllib.request.getproxies().items()) if kind != "no"}
    addresses = ", ".join(f"{kind}: {_without_login(address)}" for kind, address in proxies.items())
    if any(address.startswith("socks") for address in proxies.values()):
        return Finding(name="Proxy", state=BAD, found="a SOCKS proxy, which downloads can not use", personal=addresses,
                       advice="Set HTTPS_PROXY to an HTTP proxy, and take ALL_PROXY away.")
    return Finding(name="Proxy", state=GOOD, found=f"set for {', '.join(proxies)}" if proxies else "none",
                   personal=addresses)


def hub(endpoint: str, within_s: float) -> Finding:
    """Whether the hub answers anything at all. A look-up of a name can hang, so a thread does it."""
    ended: list[Exception | None] = []
    work = threading.Thread(target=lambda: ended.append(_ask(endpoint)), name="hub", daemon=True)
    work.start()
    work.join(within_s)
    error = ended[0] if ended else TimeoutError("no answer")
    if error is None:
        return Finding(name="Hub", state=GOOD, found="answers", personal=_without_login(endpoint))
    words = f"{_without_login(endpoint)}: {error}"
    if isinstance(error, urllib.error.HTTPError):
        found, advice = "the proxy asks for a name and password", "Give them in HTTPS_PROXY: http://NAME:PASSWORD@HOST"
        words = _without_login(endpoint)
    elif isinstance(error, ValueError):
        found, advice = "HF_ENDPOINT is no address", "Correct HF_ENDPOINT, or leave it out."
    elif "CERTIFICATE" in str(error):
        found = "its certificate is not trusted"
        advice = "A proxy or security software opens connections here: set SSL_CERT_FILE to its certificate."
    elif isinstance(getattr(error, "reason", None), socket.gaierror):
        found, advice = "its name can not be looked up", PROXY_ADVICE
    else:
        found, advice = "gives no answer", PROXY_ADVICE
    return Finding(name="Hub", state=BAD, found=found, advice=advice, personal=one_line(words))


def _ask(endpoint: str) -> Exception | None:
    """None for any answer of the hub's."""
    try:
        opener = urllib.request.build_opener()          # with the proxies that are set now
        opener.open(urllib.request.Request(endpoint, method="HEAD"), timeout=ASK_S).close()
    except urllib.error.HTTPError as error:
        return error if error.code == 407 else None
    except (OSError, ValueError, http.client.HTTPException) as error:       # no connection, no address, no hub
        return error
    return None


def index() -> Finding:
    """Whether pip's package index answers, with all that pip is set to."""
    command = [sys.executable, "-m", "pip", "index", "versions", "pip", "--disable-pip-version-check", "--no-input",
               "--retries=0", f"--timeout={ASK_S:.0f}"]
    status, words = said(command, INDEX_S)
    if status == 0:
        return Finding(name="Package index", state=GOOD, found="answers")
    if "No module named pip" in words:
        return Finding(name="Package index", state=CAUTION, found="pip is missing, so it was not asked",
                       advice="Start Galen with: python launcher.py")
    lines = [line for line in words.splitlines() if line.startswith("ERROR")]
    return Finding(name="Package index", state=CAUTION, found="gives no answer", personal=one_line(" ".join(lines)),
                   advice="Only a set-up needs it: check the network, the proxy, and pip's own settings.")


def _without_login(url: str) -> str:
    """An address without the name and password in it."""
    before, scheme, rest = url.rpartition("://")
    return f"{before}{scheme}{rest.rpartition('@')[2]}"
