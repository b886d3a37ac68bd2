"""What can be had: each entry of the catalog with what its types take here, and what the hub says once it is asked."""

import shutil
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from models import catalog, hub_cache, listing
from models.catalog import Entry
from models.download import DownloadConfig
from models.errors import UserError
from models.library import find_base
from models.listing import HubFile, Listing
from ui.actions import token
from ui.outside import Outside

if TYPE_CHECKING:
    from ui.actions.fits import Fits, Machine

BASE = "base"                   # beside the types of GGUFs: the original folder, for training
BUG = "The hub could not be asked, through a fault inside Galen; the terminal shows the details."
FILES = "files"                 # of an entry whose files nobody has written down: the hub says which there are


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One of the things that an entry can be had as. bytes: 0 = not known."""
    type: str
    bytes: int = 0
    is_exact: bool = False      # the hub has said it
    fits: "Fits | None" = None
    is_here: bool = False
    files: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Offer:
    """An entry of the catalog as a card shows it. problem: what went wrong when the hub was asked last."""
    entry: Entry
    choices: tuple[Choice, ...]
    repo: str = ""              # where its GGUFs lie; "" if nobody knows one
    asked_repo: str = ""        # what is_asking, problem and is_gated speak of
    is_asking: bool = False
    problem: str = ""
    is_gated: bool = False
    free_bytes: int = 0
    token_from: str = ""        # where a token of the hub was found; "" = there is none


@dataclass(frozen=True, kw_only=True)
class Suggested:
    """The choice that suits this computer best."""
    entry: Entry
    type: str
    reason: str
    is_here: bool = False


@dataclass(frozen=True, kw_only=True)
class _Said:
    """What is known of a repository: it is being asked, or it answered, or something was wrong."""
    is_asking: bool = False
    listing: Listing | None = None
    problem: str = ""


class Offers:
    """The catalog as one Galen offers it. May be used from several threads."""

    def __init__(self, outside: Outside, machine: "Machine", ask: Callable[[str], Listing] = listing.ask):
        self._outside, self._machine, self._ask = outside, machine, ask
        self._lock = threading.Lock()
        self._said: dict[str, _Said] = {}

    def version(self) -> str:
        """Changes whenever listed() would, but for files that come and go."""
        with self._lock:
            said = tuple((repo, one.is_asking, one.problem) for repo, one in self._said.items())
        return str(hash((said, self._outside.is_offline, self._machine.version())))

    def listed(self, opened: str = "") -> list[Offer]:
        """Every entry, in the catalog's order. opened: "ENTRY/KIND" of the one whose question to the hub is shown."""
        entry, _, kind = opened.partition("/")
        source = token.state().source
        free = shutil.disk_usage(_existing(hub_cache.root())).free
        return [replace(self._offer(one, kind if one.id == entry else ""), free_bytes=free,
                        token_from=source) for one in catalog.catalog()]

    def suggested(self) -> Suggested | None:
        """The recommended choice; None as long as it is being found out, or where nothing fits."""
        found = self._machine.recommended()
        if found is None:
            return None
        entry, kind, reason = found
        offer = self._offer(entry, kind)
        choice = next((one for one in offer.choices if one.type == kind), None)
        return Suggested(entry=entry, type=kind, reason=reason, is_here=bool(choice and choice.is_here))

    def choose(self, entry_id: str, kind: str) -> None:
        """Ask the hub what a choice really is, unless it has said so or Galen is offline. UserError: no such choice."""
        offer = self._offer(catalog.find(entry_id), kind)
        choice = _choice(offer, kind)
        if not self._outside.is_offline and not (choice.is_exact or offer.is_asking):
            with self._lock:
                self._said[offer.asked_repo] = _Said(is_asking=True)
            threading.Thread(target=self._learn, args=(offer.asked_repo,), name="ask", daemon=True).start()

    def config(self, entry_id: str, kind: str) -> tuple[DownloadConfig, str]:
        """What a download of a choice is asked with, and its title. UserError before the hub has said what it is."""
        entry = catalog.find(entry_id)
        offer = self._offer(entry, kind)
        choice = _choice(offer, kind)
        if not choice.is_exact or kind == FILES:
            raise UserError(f"The hub has not said yet what {entry.title} {kind} is; choose it again.")
        words = "for training" if kind == BASE else kind
        return DownloadConfig(repo=offer.asked_repo, files=choice.files, entry=entry.id), f"{entry.title} {words}"

    def _learn(self, repo: str) -> None:
        said = _Said(problem=BUG)
        try:
            said = _Said(listing=self._ask(repo))
        except UserError as error:
            said = _Said(problem=str(error))
        finally:
            with self._lock:
                self._said[repo] = said

    def _offer(self, entry: Entry, kind: str) -> Offer:
        repo = entry.ggufs[0].repo if entry.ggufs else ""
        asked = entry.hub_id if kind == BASE or not repo else repo
        with self._lock:
            said, of_base, of_files = (self._said.get(name, _Said()) for name in (asked, entry.hub_id, repo))
        choices = self._types(entry, of_files.listing) if repo else []
        if entry.can(catalog.TUNE):
            choices.append(_base(entry, of_base.listing))
        is_gated = said.listing.is_gated if said.listing else entry.is_gated and asked == entry.hub_id
        return Offer(entry=entry, choices=tuple(choices), repo=repo, asked_repo=asked, is_asking=said.is_asking,
                     problem=said.problem, is_gated=is_gated)

    def _types(self, entry: Entry, known: Listing | None) -> list[Choice]:
        if known is not None:
            named = {one.type or one.files[0].name: one for one in reversed(listing.gguf_choices(known))}
            return [self._exact(entry, known.repo, kind, one) for kind, one in reversed(named.items())]
        source = entry.ggufs[0]
        if not source.files:
            return [Choice(type=FILES)]
        found = []
        for kind in dict.fromkeys(file.type for file in source.files):
            files = [file for file in source.files if file.type == kind]
            count = sum(file.bytes for file in files)
            found.append(Choice(type=kind, bytes=count, fits=self._machine.for_file(count, entry, kind),
                                is_here=_are_here(source.repo, tuple(file.name for file in files))))
        return found

    def _exact(self, entry: Entry, repo: str, kind: str, one: listing.Choice) -> Choice:
        files = files_of(one, entry)
        names = tuple(file.name for file in files)
        return Choice(type=kind, bytes=_sum(files), is_exact=True, files=names, is_here=_are_here(repo, names),
                      fits=self._machine.for_file(one.bytes, entry, kind, _sum(files) - one.bytes))


def files_of(one: listing.Choice, entry: Entry | None) -> tuple[HubFile, ...]:
    """What a type is fetched as: its parts, and the projector of a model that sees."""
    sees = entry is None or entry.can(catalog.IMAGE)
    return (*one.files, one.projector) if one.projector and sees else one.files


def _choice(offer: Offer, kind: str) -> Choice:
    found = next((one for one in offer.choices if one.type == kind), None)
    if found is None:
        raise UserError(f"{offer.entry.title} can not be had as {kind!r}; reload the page to see what there is.")
    return found


def _base(entry: Entry, known: Listing | None) -> Choice:
    """The original folder. Its files are chosen by the download itself."""
    return Choice(type=BASE, bytes=_sum(listing.base_files(known)) if known else 0, is_exact=known is not None,
                  is_here=_is_base_here(entry.hub_id))


def _sum(files: Sequence[HubFile]) -> int:
    return sum(file.bytes for file in files)


def _is_base_here(name: str) -> bool:
    try:
        find_base(name)
    except UserError:
        return False
    return True


def _are_here(repo: str, names: tuple[str, ...]) -> bool:
    """True if a snapshot of the hub's cache holds all of these files."""
    folder = hub_cache.root() / f"models--{repo.replace('/', '--')}" / "snapshots"
    return any(all((snapshot / name).is_file() for name in names) for snapshot in folder.glob("*"))


def _existing(folder: Path) -> Path:
    return next(one for one in (folder, *folder.parents) if one.is_dir())
