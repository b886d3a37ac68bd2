"""An error of the Hugging Face hub, of the way to it, or of the disk, as one sentence that says what to do next."""

import errno
import os
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib import request
from urllib.parse import SplitResult, urlsplit

from models import outside, runs, token
from models.errors import UserError
from models.token import KEEP

PAGE = "https://huggingface.co"
KEPT = " What was fetched is kept."             # ends the sentences about what may go better later
FINE_GRAINED = "fine-grained token settings"        # part of what the hub says to a token without the right
UNWRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS)
BROKEN = (errno.EIO, errno.ENXIO, errno.ENODEV, getattr(errno, "ESTALE", errno.EIO))    # a disk, or it was pulled out
PENDING = "awaiting a review"
DISABLED = "Access to this resource is disabled."


class Gone(UserError):
    """There is no such repository, it is closed, or whoever asks may not see it; another may have the same."""


@contextmanager
def words(repo: str, is_fetching: bool = True) -> Iterator[None]:
    """Raise what goes wrong with the hub inside as a UserError; what is no error of the hub stays as it is."""
    check_endpoint()
    try:
        yield
    except (OSError, ValueError, RuntimeError, ImportError, _hub_errors()) as error:
        told = explained(error, repo, is_fetching)
        if told is error:
            raise
        raise told from error


def explained(error: BaseException, repo: str, is_fetching: bool = True) -> BaseException:
    """A UserError for an error of the hub, of the network or of the disk; the error itself if it is none of these.

    repo: OWNER/NAME, what was asked for. is_fetching: there may be parts of files, which are kept.
    """
    if isinstance(error, UserError):
        return error
    chain = list(_chain(error))
    for one in chain:
        if text := _of_here(one, repo) or _of_answer(one, repo):
            return (Gone if _is_gone(one) else UserError)(text if is_fetching else text.removesuffix(KEPT))
    for one in chain:
        if text := _of_way(one, chain):
            return UserError(text if is_fetching else text.removesuffix(KEPT))
    return error


def status_of(error: BaseException) -> int:
    """The HTTP status that the error, or one that led to it, came with; 0 if none did."""
    answers = (getattr(one, "response", None) for one in _chain(error))
    return next((int(one.status_code) for one in answers if one is not None), 0)


def check_endpoint() -> None:
    """Raise UserError if HF_ENDPOINT is set to what is no address."""
    endpoint = os.environ.get("HF_ENDPOINT", "")
    if endpoint and not (_split(endpoint) and hub_host()):
        raise UserError(f"HF_ENDPOINT is {endpoint!r}, which is no address of a hub; set it to https://HOST, or unset "
                        "it.")


def _is_gone(error: BaseException) -> bool:
    """True for an answer that says of a repository that there is none for the asker."""
    from huggingface_hub.errors import DisabledRepoError, GatedRepoError, RepositoryNotFoundError
    return isinstance(error, RepositoryNotFoundError | DisabledRepoError) and not isinstance(error, GatedRepoError)


def _hub_errors() -> type[Exception]:
    import httpx2
    return httpx2.HTTPError


def _of_here(error: BaseException, repo: str) -> str:
    """The disk, the offline switch, a name that can be none."""
    from huggingface_hub.errors import HFValidationError, OfflineModeIsEnabled
    if isinstance(error, OSError) and runs.is_disk_full(error):
        return f"The disk is full: {repo} could not be fetched whole. Free some space and start it again.{KEPT}"
    if isinstance(error, OSError) and error.errno in UNWRITABLE and error.filename:
        return (f"{error.filename} can not be written ({error.strerror}); make its folder writable, or set HF_HOME to "
                "another one.")
    if isinstance(error, OSError) and error.errno == errno.EFBIG:
        return (f"The disk takes no file as large as one of {repo} (FAT32 takes 4 GB at the most); set GALEN_HOME and "
                "HF_HOME to folders of another disk, or choose a smaller type.")
    if isinstance(error, OSError) and error.errno in BROKEN:
        return (f"A disk failed while {repo} was fetched ({error.strerror}); check that it is connected, and start it "
                f"again.{KEPT}")
    if isinstance(error, outside.Offline | OfflineModeIsEnabled):
        return (f"Galen is offline, so the hub can not be asked for {repo}; switch Offline off in Settings, "
                "or use a file that is here.")
    if isinstance(error, HFValidationError):
        return f"{repo!r} is no name for a repository of the hub; write it as OWNER/NAME."
    return ""


def _of_answer(error: BaseException, repo: str) -> str:
    """What the hub answered with an error status."""
    from huggingface_hub.errors import HfHubHTTPError
    response = getattr(error, "response", None)
    if not isinstance(error, HfHubHTTPError) or response is None:
        return ""
    code, said = response.headers.get("X-Error-Code", ""), _said(response)
    sent_token = "authorization" in response.request.headers
    status = response.status_code
    if 400 <= status < 500 and status not in (408, 429) and not _is_hub(response):
        return (f"{response.url.host} refused to hand out a file of {repo} ({status}); a firewall or proxy may be in "
                f"the way. Try again, or on another network.{KEPT}")
    if status == 401:
        return _not_known(repo, code, sent_token)
    if status == 403:
        return _not_allowed(repo, code, said)
    if status == 404:
        return _not_there(repo, code, response)
    if status == 429:
        return _too_many(response, sent_token)
    if status >= 500 or status == 408:
        return f"The hub itself is in trouble (it answered {status}); try again in some minutes.{KEPT}"
    return f"The hub refused {repo} (status {status}{f': {said[:200]}' if said else ''}); look at {PAGE}/{repo}."


def _said(response: Any) -> str:
    """The words that an error came with; a proxy or a mirror may have put the token into them that was sent."""
    text = response.headers.get("X-Error-Message", "")
    sent = response.request.headers.get("authorization", "").removeprefix("Bearer ")
    return token.hidden(text.replace(sent, "...") if sent else text)


def _not_known(repo: str, code: str, sent_token: bool) -> str:
    if sent_token:
        found = token.find()
        place = f" in {found.source}" if found else ""
        return f"The hub does not accept your token{place}; make a new one at {token.NEW_PAGE} and {KEEP}."
    if code == "GatedRepo":
        return (f"{repo} is open only to people who accepted its licence: accept it at {PAGE}/{repo}, make a token at "
                f"{token.NEW_PAGE} and {KEEP}.")
    return (f"There is no {repo} on the hub, or it is private: look up its name at {PAGE}/models; for a private one "
            f"make a token at {token.NEW_PAGE} and {KEEP}.")


def _not_allowed(repo: str, code: str, said: str) -> str:
    if FINE_GRAINED in said:
        return ("Your token may not read models with a licence gate: tick \"Read access to contents of all public "
                f"gated repos you can access\" for it at {token.PAGE}, or make a new one at {token.NEW_PAGE} and "
                f"{KEEP}.")
    if PENDING in said:
        return (f"The owners of {repo} have not let you in yet; they read each request, which can take days. The "
                f"state of yours is shown at {PAGE}/{repo}.")
    if code == "GatedRepo":
        return (f"You have not accepted the licence of {repo} yet: open {PAGE}/{repo} with the account of your token, "
                "accept it there, and try again.")
    if said == DISABLED:
        return f"The hub has closed {repo} for everybody; choose another model."
    return f"Your token may not read {repo}; give it that right at {token.PAGE}."


def _not_there(repo: str, code: str, response: Any) -> str:
    if code == "EntryNotFound":
        name = response.request.url.path.rpartition("/resolve/")[2].partition("/")[2]
        return f"{repo} holds no {name or 'such file'}; its files are listed at {PAGE}/{repo}/tree/main."
    if code == "RevisionNotFound":
        return f"{repo} has no such version; its versions are listed at {PAGE}/{repo}/commits/main."
    return f"There is no {repo} on the hub, or your account may not see it; look up its name at {PAGE}/models."


def _too_many(response: Any, sent_token: bool) -> str:
    from huggingface_hub.utils import parse_ratelimit_headers
    limit = parse_ratelimit_headers(response.headers)
    wait = f" in {limit.reset_in_seconds} s" if limit and limit.remaining == 0 else " in some minutes"
    more = "" if sent_token else f"; with a token the limit is higher, make one at {token.NEW_PAGE}"
    return f"The hub had too many requests from here (429); try again{wait}{more}.{KEPT}"


def _of_way(error: BaseException, chain: list[BaseException]) -> str:
    """Why the hub was not reached, or why what answered is no hub."""
    import httpx2
    from huggingface_hub.errors import FileMetadataError
    host = hub_host()
    if isinstance(error, httpx2.ProxyError):
        return (f"The proxy {proxy_shown() or 'between here and the hub'} did not let the connection through "
                f"({_line(error)}); correct HTTPS_PROXY, or ask who runs it.")
    is_of_proxy = isinstance(error, ImportError | ValueError) and "proxy" in str(error).lower()
    if proxy_shown() and (is_of_proxy or isinstance(error, httpx2.UnsupportedProtocol)):
        return f"The proxy {proxy_shown()} is of a kind that can not be used; set HTTPS_PROXY to http://HOST:PORT."
    if any(isinstance(one, ssl.SSLError) or "CERTIFICATE_VERIFY_FAILED" in str(one) for one in chain):
        return (f"The certificate of {host} is not one that this computer trusts (a proxy of a company or clinic may "
                "read along); set SSL_CERT_FILE to that proxy's certificate, or ask who runs the network.")
    if isinstance(error, httpx2.RequestError):
        proxy = f" through the proxy {proxy_shown()}" if proxy_shown() else ""
        if any(isinstance(one, socket.gaierror) for one in chain) or "resolution" in str(error):
            return (f"{proxy_shown() or host} is not found: there is no network, or it has no name server. Connect and "
                    f"try again.{KEPT}")
        if isinstance(error, httpx2.TimeoutException):
            return f"{host} does not answer in time{proxy}; try again, or on a faster network.{KEPT}"
        why = _line(error) or "it was cut"
        return f"The connection to {host}{proxy} failed ({why}); connect and try again.{KEPT}"
    if isinstance(error, FileMetadataError) or _is_no_json(error):
        return (f"What answered for {host} is no hub: the log-in page of a network, or a wrong HF_ENDPOINT. Open a "
                "web page to log in, and try again.")
    return ""


def _is_no_json(error: BaseException) -> bool:
    return type(error).__name__ == "JSONDecodeError"


def hub_host() -> str:
    """The host that HF_ENDPOINT names, else the hub's own."""
    at = _split(os.environ.get("HF_ENDPOINT") or PAGE)
    return (at.hostname if at else "") or ""


def _split(endpoint: str) -> SplitResult | None:
    """None for what is no http address."""
    try:
        at = urlsplit(endpoint)
        return at if at.scheme in ("http", "https") and at.port != 0 else None
    except ValueError:
        return None


def proxy_shown() -> str:
    """HOST:PORT of the proxy on the way to the hub, without the name and password that may stand in it; "" if none."""
    at = _split(os.environ.get("HF_ENDPOINT") or PAGE)
    if at is None or request.proxy_bypass(at.hostname or ""):
        return ""
    proxies = request.getproxies()
    value = proxies.get(at.scheme) or proxies.get("all", "")
    return value.rpartition("//")[2].rpartition("@")[2].strip("/")


def _is_hub(response: Any) -> bool:
    return response.url.host == hub_host()


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and those that led to it, each once."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _line(error: BaseException) -> str:
    """What a connection's error says, in one line; no address of ours or key of a link is in it."""
    return "" if "//" in str(error) else " ".join(str(error).split())[:160].rstrip(".")
