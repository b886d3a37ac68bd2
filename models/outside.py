"""Connections to other computers, as the process that makes them sees them: told with their reason, or refused.

watch() hangs an audit hook into Python's own sockets. What compiled code opens by itself it can not see; the hub's
xet is such code, and is switched off. This computer's loopback and unix sockets are not outside.
"""

import ipaddress
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from models import runs
from models.errors import UserError

# A child process finds in its environment: the file of events to append to, the settings file whose is_offline refuses
# (neither: nothing is told, nothing refused), and why it goes outside.
TOLD_TO, SWITCH, REASON = "GALEN_CONNECTIONS", "GALEN_SWITCH", "GALEN_REASON"
KIND = "connection"                             # of the event: {"t", "kind", "what", "address", "reason", "is_refused"}
UNKNOWN = "unknown"
CONNECTED, SENT, LOOKED_UP = "connected", "sent to", "looked up"
EVENTS = {"socket.connect": CONNECTED, "socket.sendto": SENT, "socket.sendmsg": SENT, "socket.getaddrinfo": LOOKED_UP,
          "socket.gethostbyname": LOOKED_UP, "socket.gethostbyaddr": LOOKED_UP, "socket.getnameinfo": LOOKED_UP}
REVERSE = ("socket.gethostbyaddr", "socket.getnameinfo")        # these ask whose an address is


class Offline(UserError, ConnectionError):
    """Galen is switched offline; libraries see a connection that failed."""


@contextmanager
def reason(words: str) -> Iterator[None]:
    """Say why this process, its threads and the children it starts go outside while the with block runs."""
    before = os.environ.get(REASON)
    os.environ[REASON] = words
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(REASON, None)
        else:
            os.environ[REASON] = before


def watch() -> None:
    """From now on tell of every connection of this process, and refuse it while the switch says so."""
    told: set[tuple[str, str]] = set()          # packets to one address are told once

    def hook(event: str, values: tuple[Any, ...]) -> None:
        what = EVENTS.get(event)
        if what is None:
            return
        address = _looked_up(values[0], event in REVERSE) if what == LOOKED_UP else _address(*values[:2])
        if not address:
            return
        is_refused = is_offline()
        if what != SENT or (what, address) not in told:
            told.add((what, address))
            _tell(what, address, is_refused)
        if is_refused:
            raise Offline(f"Galen is offline, so the connection to {address} was refused; "
                          "switch Offline off in Settings to allow it.")

    sys.addaudithook(hook)


def is_offline() -> bool:
    """True while the settings file that the environment names says so; without one nothing is refused."""
    path = os.environ.get(SWITCH)
    if not path:
        return False
    try:
        return bool(json.loads(Path(path).read_bytes()).get("is_offline", True))
    except FileNotFoundError:
        return True                             # nothing was set yet: as the settings begin


def is_here(host: str) -> bool:
    """True for a name or address of this computer's loopback, and for what needs no look-up to say nothing."""
    name = host.strip("[]").rstrip(".").lower()
    if name in ("", "localhost") or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return address.is_loopback or address.is_unspecified or bool(mapped and mapped.is_loopback)


def _address(sock: Any, address: Any) -> str:
    """HOST:PORT of an address outside this computer; "" for all others."""
    if sock.family not in (socket.AF_INET, socket.AF_INET6) or not isinstance(address, tuple):
        return ""
    host, port = _text(address[0]), address[1]
    return "" if is_here(host) else f"{f'[{host}]' if ':' in host else host}:{port}"


def _looked_up(host: Any, is_reverse: bool) -> str:
    """A name, or with is_reverse an address, that is asked of others; "" for all else and for this computer's own."""
    name = _text(host[0] if isinstance(host, tuple) else host)
    if is_here(name):
        return ""
    try:
        ipaddress.ip_address(name.partition("%")[0])
        return name if is_reverse else ""
    except ValueError:
        return name


def _text(host: Any) -> str:
    return host.decode("utf-8", "replace") if isinstance(host, bytes | bytearray) else str(host or "")


def _tell(what: str, address: str, is_refused: bool) -> None:
    path = os.environ.get(TOLD_TO)
    if not path:
        return
    line = runs.json_bytes({"t": round(time.time(), 3), "kind": KIND, "what": what, "address": address,
                            "reason": os.environ.get(REASON) or UNKNOWN, "is_refused": is_refused})
    with open(path, "ab", buffering=0) as file:         # one write: lines of several processes do not mix
        file.write(line + b"\n")
