"""One file of the hub over the network into its part: by ranges, going on where it was cut, with patience.

The hub library's own http_get takes ten megabytes at a time, which a kill loses, waits for minutes without hearing
that it is to stop, and starts again where the server ignores ranges; so its session, headers and errors are used here,
and the loop is ours.
"""

import re
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from models import hub_words
from models.hub_cache import Wanted
from models.parts import Part, Wrong

PATIENCE_S = 300.0              # since the last byte that came: how long a lost line is tried again
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 30.0
LONGEST_REFUSAL_S = 900.0       # what the hub may ask us to wait after too many requests
LONGEST_LOOK_S = 60.0           # between two looks at the clock; what is longer, the computer has slept
MOST_REFUSALS = 5               # in a row: too many requests, or a link that is refused
PASSING = (408, 500, 502, 503, 504)
Result = TypeVar("Result")


class Paused(Exception):
    """The download was asked to stop; what is here of it is kept."""


class Way:
    """The way to the hub for one download: the token, the wish to stop, patience, and what is said on the way.

    Used by all of its threads.
    """

    def __init__(self, repo: str, token: str | bool, patience_s: float = PATIENCE_S,
                 clock: Callable[[], float] = time.monotonic):
        self.repo, self.token, self.patience_s = repo, token, patience_s
        self.stop = threading.Event()
        self.fetched_bytes = 0                  # over the network, what was skipped included
        self._lock, self._notes, self._clock = threading.Lock(), list[str](), clock
        self._looked, self._waited_s, self._has_come = clock(), 0.0, False

    def check(self) -> None:
        """Raise Paused if the download is to stop."""
        if self.stop.is_set():
            raise Paused

    def wait(self, seconds: float) -> None:
        """Sleep; raises Paused as soon as the download is to stop."""
        self.stop.wait(seconds)
        self.check()

    def came(self, count: int, is_new: bool = True) -> None:
        """Bytes came: the hub is there. is_new: False for what is here already, which gets nobody on."""
        with self._lock:
            self.fetched_bytes += count
            self._look()
            if is_new:
                self._has_come, self._waited_s = True, 0.0

    def is_lost(self) -> bool:
        """True if nothing has come for longer than patience lasts, or nothing came at all yet.

        The time in which the computer slept, which some systems' clocks count, is no waiting.
        """
        with self._lock:
            self._look()
            return self._waited_s > self.patience_s or not self._has_come

    def _look(self) -> None:
        now = self._clock()
        self._waited_s, self._looked = self._waited_s + min(now - self._looked, LONGEST_LOOK_S), now

    def note(self, words: str) -> None:
        """Say it to whoever follows the download."""
        with self._lock:
            self._notes.append(words)

    def notes(self) -> list[str]:
        """What was said since the last time."""
        with self._lock:
            said, self._notes = self._notes, []
        return said


def patiently(way: Way, call: Callable[[], Result], progress: Callable[[], int] = lambda: 0) -> Result:
    """call's result; what passes by itself (a lost line, too many requests, a hub in trouble) is waited for.

    progress: a count that grows while call gets on. Raises the last error when patience is over, Paused to stop.
    """
    wait, refusals = FIRST_WAIT_S, 0
    while True:
        way.check()
        before = progress()
        try:
            return call()
        except _passing_errors() as error:
            if progress() > before:
                wait, refusals = FIRST_WAIT_S, 0
            refusals += hub_words.status_of(error) in (403, 429)
            pause = _pause(error, wait, way, refusals)
            if pause is None:
                raise
            way.note(f"{_why(error)}; going on in {pause:.0f} s.")
            way.wait(pause)
            wait = min(LONGEST_WAIT_S, wait * 2)


def _passing_errors() -> tuple[type[Exception], ...]:
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError
    return httpx2.TransportError, HfHubHTTPError


def _pause(error: Exception, wait: float, way: Way, refusals: int) -> float | None:
    """How long to wait before the next try; None if there is to be none."""
    import httpx2
    from huggingface_hub.utils import parse_ratelimit_headers
    response: Any = getattr(error, "response", None)
    status = hub_words.status_of(error)
    if status == 429:
        limit = parse_ratelimit_headers(response.headers)
        asked = number(response.headers.get("Retry-After", ""))
        wait = limit.reset_in_seconds + 1 if limit and limit.remaining == 0 else wait if asked < 0 else asked
        return wait if refusals <= MOST_REFUSALS and wait <= LONGEST_REFUSAL_S else None
    is_link = status == 403 and response.url.host != hub_words.hub_host()       # its time may be over: ask for another
    is_cut = isinstance(error, httpx2.TransportError) and not isinstance(error, httpx2.UnsupportedProtocol)
    is_passing = is_cut or status in PASSING or is_link
    return wait if is_passing and not way.is_lost() and refusals <= MOST_REFUSALS else None


def _why(error: Exception) -> str:
    status = hub_words.status_of(error)
    if status == 429:
        return "The hub had too many requests from here"
    return f"The hub is in trouble (it answered {status})" if status else "The connection was lost"


def asked(wanted: Wanted, way: Way) -> tuple[str, int]:
    """What the hub calls the file's content, and its bytes. Raises the hub library's errors."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    found = get_hf_file_metadata(hf_hub_url(wanted.repo, wanted.name, revision=wanted.commit), token=way.token)
    way.came(0)
    size = wanted.bytes if found.size is None else found.size
    if size < 0:
        raise Wrong(f"{hub_words.hub_host()} says that {wanted.name} has {size} bytes, so it is no hub; check "
                    "HF_ENDPOINT.")
    return found.etag or "", size


def fetch(wanted: Wanted, part: Part, way: Way) -> None:
    """Bring the part to its full length. Raises Paused, Wrong, the hub library's errors, OSError for a full disk."""
    while part.bytes < part.total_bytes:
        patiently(way, lambda: _stream(wanted, part, way), lambda: part.bytes)


def _stream(wanted: Wanted, part: Part, way: Way) -> None:
    """What one connection brings."""
    from huggingface_hub import constants, hf_hub_url
    from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status
    headers, before = build_hf_headers(token=way.token) | {"Accept-Encoding": "identity"}, part.bytes
    if before:
        headers["Range"] = f"bytes={before}-"
    # asked of the hub each time: its links to the store last an hour. The session drops the token on the way there.
    url = hf_hub_url(wanted.repo, wanted.name, revision=wanted.commit)
    with get_session().stream("GET", url, headers=headers, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT) as response:
        hf_raise_for_status(response)
        skip = before - _begin(response, part, wanted)
        if skip:
            way.note(f"The server sends {wanted.name} from its beginning; what is here of it is passed over.")
        for data in response.iter_bytes():
            way.check()
            way.came(len(data), len(data) > skip)
            if skip:
                passed = min(skip, len(data))
                skip, data = skip - passed, data[passed:]
            if data:
                part.write(data)
    if part.bytes == before:                    # ended in good order, and would again
        raise Wrong(f"What is sent for {wanted.name} ends before the file does; try again later, or on another "
                    "network.")


def _begin(response: Any, part: Part, wanted: Wanted) -> int:
    """With which byte of the file the answer begins. Raises if it is an answer of something else."""
    from huggingface_hub.errors import FileMetadataError
    begin, total = 0, number(response.headers.get("Content-Length", ""))
    if response.headers.get("Content-Type", "").startswith("text/html") and not wanted.name.endswith(".html"):
        raise FileMetadataError("a page was sent in place of the file")
    if response.status_code == 206:
        span, _, whole = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
        begin, total = number(span.partition("-")[0]), number(whole)
    is_plain = response.headers.get("Content-Encoding", "identity") == "identity"
    if not 0 <= begin <= part.bytes:
        raise Wrong(f"What is sent for {wanted.name} is another piece of it than was asked for; try again later, or on "
                    "another network.")
    if is_plain and 0 <= total != part.total_bytes:
        raise Wrong(f"{hub_words.hub_host()} says that {wanted.name} has {part.total_bytes:,} bytes, and what it sends "
                    f"has {total:,}; try again later, or on another network.")
    return begin


def number(text: str) -> int:
    """The number in a header; -1 for what is none, or longer than any that means something."""
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else -1
