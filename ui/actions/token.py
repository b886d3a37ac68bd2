"""What the token of the hub goes through: the pages that give it, kept once it is tested, tested again, forgotten."""

import contextlib
import os
import sys
import threading
import webbrowser
from collections.abc import Sequence
from dataclasses import dataclass

from models import access, catalog, token
from models.access import Access
from models.errors import UserError


@dataclass(frozen=True, kw_only=True)
class TokenState:
    """Where the token that counts was found ("" = there is none), without asking anybody; others: where further ones
    are, which it goes before; problem: why that is not known."""
    source: str = ""
    others: tuple[str, ...] = ()
    is_stored: bool = False     # by us or by the hub library: it can be forgotten
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class Gated:
    """A model whose licence has to be accepted on its page."""
    title: str
    repo: str
    page: str


def state() -> TokenState:
    """What there is; nothing goes outside."""
    try:
        found = token.find()
    except UserError as error:
        return TokenState(problem=str(error))
    if found is None:
        return TokenState()
    others: list[str] = []
    with contextlib.suppress(UserError):        # a file behind the one that counts can not be read
        others = token.behind()
    return TokenState(source=found.source, is_stored=found.is_stored, others=tuple(others))


def gated() -> list[Gated]:
    """The models of the catalog that need a token, those for medicine first."""
    entries = sorted((one for one in catalog.catalog() if one.is_gated), key=lambda one: not one.is_medical)
    return [Gated(title=one.title, repo=one.hub_id, page=access.licence_page(one.hub_id)) for one in entries]


def chosen(model: str) -> Gated:
    """The model that a person named as the catalog does, or as OWNER/NAME; the first gated one if none.

    Raises UserError for what is neither.
    """
    if not model.strip():
        return gated()[0]
    try:
        entry = catalog.find(model)
    except UserError:
        if not access.REPO.fullmatch(model.strip()):
            raise
        return Gated(title=model.strip(), repo=model.strip(), page=access.licence_page(model.strip()))
    return Gated(title=entry.title, repo=entry.hub_id, page=access.licence_page(entry.hub_id))


def keep(text: str, repo: str, is_tested: bool = True) -> tuple[Access | None, str]:
    """Test what a person gave, and keep it unless the hub does not know it: (what the hub said, what became of it).

    What can not be tested now is kept untested. Raises UserError, without the token in it, for one that is not kept,
    and for one that is not used because something else that is no token goes before it.
    """
    value = token.given(text)
    told = access.ask(value, repo) if is_tested else None
    if told and told.verdict == access.BAD:
        raise UserError(f"It was not kept. {told.words}")
    kept_at = token.store(value)
    words = f"The token is kept in {kept_at}, for this account of the computer alone."
    try:
        found = token.find()
    except UserError as error:
        raise UserError(f"{words} But it is not used: {error}") from error
    if found and not found.is_stored:
        which = "another one" if found.value != value else "the same"
        words += f" But {found.source} sets {which}, which goes first; take it away there."
    return told, words


def test(repo: str) -> Access:
    """Ask the hub about the token that counts. Raises UserError if there is none."""
    if token.find() is None:
        raise UserError(f"There is no token of the hub here. Make one at {token.NEW_PAGE}, and {token.KEEP}.")
    return access.ask(token.for_hub(), repo)


def forget() -> str:
    """Delete the stored token; returns what to tell. Raises UserError if none is stored."""
    at, was_there = token.path(), token.forget()
    left = state()
    if left.problem:
        raise UserError(f"The token in {at} is deleted. {left.problem}" if was_there else left.problem)
    if not was_there and left.source:
        raise UserError(f"No token is stored; the one in use comes from {left.source}. Take it away there.")
    if not was_there:
        raise UserError(f"There is no token to forget in {at}.")
    words = f"The token in {at} is deleted. It is still good on the hub until you delete it at {token.PAGE}."
    if at.with_name("stored_tokens").is_file():
        words += " What `hf auth login` keeps beside it goes with: hf auth logout."
    return f"{words} {left.source} sets one, too, which is used now." if left.source else words


def open_pages(pages: Sequence[str]) -> bool:
    """Open pages in the person's own browser, and do not wait for it; False where there is none, or no desktop."""
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return False            # a browser of the terminal would take the terminal
    try:
        webbrowser.get()        # finds the browsers: two threads at once would find none
    except (webbrowser.Error, ValueError):      # ValueError: quotation marks in the variable BROWSER that do not match
        return False
    for page in pages:
        threading.Thread(target=_open, args=(page,), name="browser", daemon=True).start()
    return True


def _open(page: str) -> None:
    """Some browsers come back only when they are closed."""
    with contextlib.suppress(webbrowser.Error, ValueError, OSError):    # the page was named in words, too
        webbrowser.open(page)
