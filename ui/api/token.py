"""The token that page and API ask for where others can reach them: made, kept hashed, compared, and guessing slowed."""

import hashlib
import hmac
import ipaddress
import math
import secrets
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable

from ui.settings import SettingsFile

FREE_TRIES, FIRST_WAIT_S, LONGEST_WAIT_S = 5, 2.0, 300.0        # of one address
FORGOTTEN_S = 900.0                     # without another wrong token
ALL_TRIES, ALL_WINDOW_S = 60, 60.0      # of all addresses together
MOST_ADDRESSES, MOST_LOGINS = 1024, 100


def make(settings: SettingsFile) -> str:
    """A new token, to be shown once: only its hash is kept. The one before it, and its logins, are of no use any more.

    Raises UserError if the settings can not be written.
    """
    token = f"galen-{secrets.token_urlsafe(32)}"        # 256 bits at random need no slow hash
    settings.change(token=_hashed(token))
    return token


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class Keys:
    """Who has shown the token. May be used from several threads."""

    def __init__(self, settings: SettingsFile, is_open: bool):
        """is_open: others than this computer can reach the server, so the token is asked for, whatever is set."""
        self._settings, self._is_open = settings, is_open
        self._lock = threading.Lock()
        self._logins: OrderedDict[str, str] = OrderedDict()     # hash of the cookie -> the token's hash it came by

    @property
    def are_needed(self) -> bool:
        """Whether page and API ask for the token."""
        return self._is_open or self._settings.value.needs_token

    def fits(self, token: str) -> bool:
        """Whether this is the token; as slow for a near miss as for any other."""
        kept = self._settings.value.token
        return bool(kept) and hmac.compare_digest(_hashed(token), kept)

    def log_in(self) -> str:
        """What a browser that showed the token keeps as its cookie, until Galen ends or the token changes."""
        cookie = secrets.token_urlsafe(32)
        with self._lock:
            self._logins[_hashed(cookie)] = self._settings.value.token
            while len(self._logins) > MOST_LOGINS:
                self._logins.popitem(last=False)
        return cookie

    def is_logged_in(self, cookie: str) -> bool:
        """Whether log_in gave this cookie, for the token as it is now."""
        with self._lock:
            came_by = self._logins.get(_hashed(cookie), "")
        return bool(came_by) and hmac.compare_digest(came_by, self._settings.value.token)


class Failures:
    """Wrong tokens, counted by address and in all: too many have to wait. An address that once was right does not
    wait for what others get wrong."""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._lock = threading.Lock()
        self._of: OrderedDict[str, tuple[int, float]] = OrderedDict()       # tries, and when the last one was
        self._right: OrderedDict[str, None] = OrderedDict()
        self._all: deque[float] = deque(maxlen=ALL_TRIES)

    def wait_s(self, address: str) -> int:
        """Whole seconds until this address may try again; 0: now."""
        address, now = _network(address), self._clock()
        with self._lock:
            tries, last = self._of.get(address, (0, 0.0))
            wait = 0.0
            if tries >= FREE_TRIES and now - last < FORGOTTEN_S:
                wait = last + min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** (tries - FREE_TRIES)) - now
            if address not in self._right and len(self._all) == ALL_TRIES:
                wait = max(wait, self._all[0] + ALL_WINDOW_S - now)
        return max(0, math.ceil(wait))

    def count(self, address: str) -> None:
        """One more wrong token from this address."""
        address, now = _network(address), self._clock()
        with self._lock:
            tries, last = self._of.pop(address, (0, now))
            self._of[address] = (min(tries, 64) + 1 if now - last < FORGOTTEN_S else 1, now)
            self._all.append(now)
            while len(self._of) > MOST_ADDRESSES:
                self._of.popitem(last=False)

    def forget(self, address: str) -> None:
        """It showed the right token."""
        address = _network(address)
        with self._lock:
            self._of.pop(address, None)
            self._right.pop(address, None)
            self._right[address] = None
            while len(self._right) > MOST_ADDRESSES:
                self._right.popitem(last=False)


def _network(address: str) -> str:
    """The address; of IPv6 the part that one machine can not choose freely."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address):
        return str(ip.ipv4_mapped or ipaddress.ip_network((ip, 64), strict=False))
    return str(ip)
