"""Where the server listens, and by which names this machine may then be called."""

import ipaddress
import socket
import sys
from dataclasses import dataclass

import psutil

from models.errors import UserError

LOCAL = "127.0.0.1"
LOCAL_NAMES = frozenset({LOCAL, "localhost", "::1"})
ANY = ("0.0.0.0", "::")
FIRST_PORT, LAST_PORT = 7860, 7959


@dataclass(frozen=True)
class Place:
    """host: what is bound. names: as they may stand in a request's Host. is_open: others can reach it.

    shown: the address for a person's browser; elsewhere: those for other computers, where every address is bound.
    """

    host: str
    names: frozenset[str]
    is_open: bool
    shown: str
    elsewhere: tuple[str, ...] = ()


def place(host: str) -> Place:
    """The place that --host names: an address or a name of this machine, 0.0.0.0 or :: for all of them.

    Nothing is asked of any network. Raises UserError for what is not this machine.
    """
    wanted = host.strip().lower().strip("[]")
    own, called = _addresses(), _called()
    if wanted in ("", LOCAL, "localhost"):
        return Place(LOCAL, LOCAL_NAMES, is_open=False, shown=LOCAL)
    if wanted in ANY:
        outer = tuple(one for one in own if not ipaddress.ip_address(one).is_loopback)
        return Place(wanted, LOCAL_NAMES | set(own) | called, True, LOCAL, outer)
    if wanted in called:
        outer = tuple(one for one in own if not ipaddress.ip_address(one).is_loopback)
        if not outer:
            raise UserError(f"{host} is this machine, but it has no address in any network; leave --host out.")
        return Place(outer[0], frozenset({outer[0], *called}), True, wanted, (outer[0],))
    if wanted == "::1":
        return Place(wanted, LOCAL_NAMES, is_open=False, shown=wanted)
    if _is_loopback(wanted) or wanted in own:
        return Place(wanted, frozenset({wanted, *called}), True, wanted)
    raise UserError(f"The address {host!r} is none of this machine; use {', '.join(own)}, or 0.0.0.0 for all of them.")


def listen(port: int, host: str = LOCAL) -> socket.socket:
    """A listening socket at host; port 0: the first free one from 7860 up. UserError if none can be had."""
    if not 0 <= port < 1 << 16:
        raise UserError(f"The port is {port}; use 1 to 65535, or leave it out.")
    for one in [port] if port else range(FIRST_PORT, LAST_PORT + 1):
        # named TCP, asyncio sends what it has at once; otherwise each answer in two parts waits 40 ms for the other end
        listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM,
                                 socket.IPPROTO_TCP)
        if sys.platform != "win32":             # there it would allow two listeners on one port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, one))
            listener.listen(128)
            return listener
        except OSError as error:
            listener.close()
            if port:
                raise UserError(f"Port {port} can not be used ({error.strerror}); choose another one with --port, "
                                "or leave it out.") from error
    raise UserError(f"No port from {FIRST_PORT} to {LAST_PORT} is free; choose another one with --port.")


def url(host: str, port: int) -> str:
    """The address of the page at host and port."""
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _addresses() -> list[str]:
    """The addresses of this machine, those of IPv4 first; link-local ones of IPv6 are no use in a browser."""
    found = {one.address.partition("%")[0] for some in psutil.net_if_addrs().values() for one in some
             if one.family in (socket.AF_INET, socket.AF_INET6)}
    return sorted((one for one in found if not one.startswith("fe80")), key=lambda one: (":" in one, one))


def _called() -> frozenset[str]:
    """What other computers may call this one: its name, alone and with what a local network puts behind it."""
    name = socket.gethostname().lower()
    if not name or name.startswith("localhost"):
        return frozenset()
    short = name.partition(".")[0]
    return frozenset({name, short, f"{short}.local"})


def _is_loopback(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).is_loopback
    except ValueError:
        return False
