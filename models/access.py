"""Whose a token of the hub is, and whether it may read a model: asked of the hub by a process of its own.

As a program (python -m models.access) it reads {"token": what the hub library is given, "repo": OWNER/NAME or ""} from
stdin, so that the token is in no command line and no environment, and says what it found as JSON on stdout.
"""

import json
import re
import subprocess
import sys
from dataclasses import asdict, dataclass
from typing import Any

from models import hub_words, online, outside, runs
from models.errors import UserError
from models.token import PAGE, hidden

HUB = "https://huggingface.co"
REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
LONGEST_S = 25                  # for both questions; the hub's client itself waits for ever
YES, LICENCE, WAITING, REJECTED, SCOPE, MISSING, BAD, UNTESTED = (
    "yes", "licence", "waiting", "rejected", "scope", "missing", "bad", "untested")
KINDS = {"fineGrained": "fine-grained", "oauth": "log-in"}
SAID = ((hub_words.FINE_GRAINED, SCOPE), (hub_words.PENDING, WAITING), ("has been rejected", REJECTED))     # with 403
WORDS = {
    YES: "The token belongs to {who} and may read {repo}.",
    LICENCE: "The token belongs to {who}, but the licence of {repo} is not accepted yet. Open {page} as {name} and "
             "accept it there, then test again.",
    WAITING: "The token belongs to {who}; the authors of {repo} have not answered the request for it yet. Test again "
             "later; {page} shows when they have.",
    REJECTED: "The token belongs to {who}; the authors of {repo} rejected the request for it. Choose another model.",
    SCOPE: "The token belongs to {who}, but lacks the right that {repo} needs. Tick \"Read access to contents of all "
           "public gated repos you can access\" for it at {page}, then test again.",
    MISSING: "The token belongs to {who}, to whom the hub shows no model {repo}. Check the name at {page}.",
    BAD: "The hub does not know this token: it was deleted, has run out, or was not copied whole. Make a new one at "
         "{page}.",
    "": "The token belongs to {who}.",
}


@dataclass(frozen=True, kw_only=True)
class Access:
    """What the hub said.

    verdict: one of those above, YES also where no model was asked about. name, kind ("read", "write", "fine-grained",
    ...): the token's, "" where the hub did not say. words: what that means and what to do. page: the address for it.
    """
    verdict: str
    words: str
    repo: str = ""
    name: str = ""
    kind: str = ""
    page: str = ""


def licence_page(repo: str) -> str:
    """Where the licence of a model is accepted."""
    return f"{HUB}/{repo}"


def ask(token: str | bool, repo: str = "", wait_s: float = LONGEST_S) -> Access:
    """Whom a token (as token.for_hub() gives it) belongs to, and whether it may read the model repo, if one is named.

    A hub that can not be reached, or not in wait_s, is a verdict, too. Raises UserError for what is no name of a model.
    """
    if repo and not REPO.fullmatch(repo):
        raise UserError(f"{repo!r} is no name of a model on the hub; write owner/name, as google/medgemma-4b-it.")
    if outside.is_offline():
        return _untested(repo, "The token was not tested: Galen is offline. Switch Offline off in Settings to test it.")
    try:
        done = subprocess.run(
            [sys.executable, "-m", "models.access"], input=json.dumps({"token": token, "repo": repo}),
            capture_output=True, text=True, encoding="utf-8", timeout=wait_s, cwd=runs.ROOT,
            env=online.environment())
    except subprocess.TimeoutExpired:
        return _untested(repo, f"The token was not tested: the hub gave no answer in {wait_s:g} s. Try again later.")
    if done.returncode:
        told = hidden(done.stderr.replace(token, "(the token)") if isinstance(token, str) else done.stderr)
        raise RuntimeError(f"Testing the token ended with status {done.returncode}:\n{told[-4000:]}")
    return Access(**json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """The child."""
    asked = json.load(sys.stdin)
    outside.watch()
    about = f", and whether it may read {asked['repo']}" if asked["repo"] else ""
    with outside.reason(f"the hub: whose the token is{about}"):
        print(json.dumps(asdict(_answer(asked["token"], asked["repo"]))))


def _answer(token: str | bool, repo: str) -> Access:
    import httpx2
    from huggingface_hub import HfApi
    api, name, kind = HfApi(), "", ""
    try:
        hub_words.check_endpoint()
        name, kind, reads_gated = _owner(api.whoami(token), repo)
        if repo:
            api.auth_check(repo, token=token)
        is_kept_out = bool(repo) and not reads_gated and bool(api.model_info(repo, token=token).gated)
        return _in_words(SCOPE if is_kept_out else YES, repo, name, kind)
    except (httpx2.HTTPError, OSError, ValueError, RuntimeError, ImportError, UserError) as error:
        verdict = _refusal(getattr(error, "response", None), is_known=bool(name))
        if verdict != UNTESTED:
            return _in_words(verdict, repo, name, kind)
        told = hub_words.explained(error, repo or "your account", is_fetching=False)
        if told is error and not isinstance(error, UserError):
            raise
        return _untested(repo, f"The token was not tested. {told}", name, kind)


def _owner(said: Any, repo: str) -> tuple[str, str, bool]:
    """(account, kind of token, whether it has the right to read that model if it is gated) of what whoami answers."""
    if not isinstance(said, dict) or not isinstance(said.get("auth"), dict) or "name" not in said:
        raise UserError(f"What answered for {hub_words.hub_host()} is no hub; check HF_ENDPOINT.")
    access = said["auth"].get("accessToken") or {}
    role = access.get("role") or said["auth"].get("type", "")
    rights = access.get("fineGrained") or {}
    named = {one.get("entity", {}).get("name") for one in rights.get("scoped", [])}
    reads_gated = role != "fineGrained" or rights.get("canReadGatedRepos", True) or bool(
        named & {repo, repo.partition("/")[0]})
    return said["name"], KINDS.get(role, role), reads_gated


def _refusal(response: Any, is_known: bool) -> str:
    """The verdict of an answer with an error status; UNTESTED if it says nothing about the token."""
    status = 0 if response is None else response.status_code
    if status == 401 and not is_known:
        return BAD
    if status in (401, 404) and is_known:
        return MISSING
    if status == 403 and is_known:
        said = response.headers.get("X-Error-Message", "")
        other = LICENCE if response.headers.get("X-Error-Code") == "GatedRepo" else UNTESTED
        return next((verdict for part, verdict in SAID if part in said), other)
    return UNTESTED


def _in_words(verdict: str, repo: str, name: str, kind: str) -> Access:
    page = {LICENCE: licence_page(repo), WAITING: licence_page(repo), MISSING: HUB + "/models"}.get(verdict, PAGE)
    who = f"{name} (a {kind} token)" if kind else name
    words = WORDS[verdict if repo or verdict == BAD else ""].format(who=who, repo=repo, name=name, page=page)
    return Access(verdict=verdict, words=words, repo=repo, name=name, kind=kind,
                  page="" if verdict in (YES, REJECTED) else page)


def _untested(repo: str, words: str, name: str = "", kind: str = "") -> Access:
    return Access(verdict=UNTESTED, words=words, repo=repo, name=name, kind=kind)


if __name__ == "__main__":
    main()
