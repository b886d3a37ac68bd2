"""What can be had: each entry of the catalog with what its types take here, and what the hub says once it is asked."""

import functools
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
from models.quant_name import type_in
from ui.actions import token
from ui.outside import Outside

if TYPE_CHECKING:
    from ui.actions.fits import Fits, Machine
    from ui.actions.models import Found

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
    is_said: bool = False       # the hub has said what asked_repo holds
    free_bytes: int = 0
    token_from: str = ""        # where a token of the hub was found; "" = there is none
    held: tuple[str, ...] = ()  # types that are on this computer, whoever holds them; "": of one that names no type


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

    def __init__(self, outside: Outside, machine: "Machine", ask: Callable[[str], Listing] = listing.ask,
                 here: "Callable[[], Sequence[Found]]" = list):
        """here: the model files of this computer."""
        self._outside, self._machine, self._ask, self._here = outside, machine, ask, here
        self._lock = threading.Lock()
        self._said: dict[str, _Said] = {}
        self._known: tuple[object, dict[str, tuple[str, ...]]] = (None, {})

    def version(self) -> str:
        """Changes whenever listed() would, but for files that come and go."""
        with self._lock:
            said = tuple((repo, one.is_asking, one.problem) for repo, one in self._said.items())
        return str(hash((said, self._outside.is_offline, self._machine.version())))

    def listed(self, opened: str = "") -> list[Offer]:
        """Every entry, in the catalog's order; before them an opened one that the catalog does not know.

        opened: "ENTRY/KIND" of the one whose question to the hub is shown.
        """
        id, _, kind = opened.partition("/")
        source, held = token.state().source, self._held()
        free = shutil.disk_usage(_existing(hub_cache.root())).free
        entries = catalog.catalog()
        if id.startswith(catalog.ANY):
            entries = (catalog.find_any(id), *entries)
        return [replace(self._offer(one, kind if one.id == id else ""), free_bytes=free, token_from=source,
                        held=held.get(one.id, ())) for one in entries]

    def named(self, opened: str) -> str:
        """The same "ENTRY/KIND" with the catalog's id for a repository that the catalog knows by another name."""
        id, _, kind = opened.partition("/")
        if not id.startswith(catalog.ANY):
            return opened
        entry = catalog.find_any(id)
        return f"{entry.id}/{kind}" if entry.id == id or kind != FILES else entry.id

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
        offer = self._offer(catalog.find_any(entry_id), kind)
        is_known = kind == FILES and offer.is_said or _choice(offer, kind).is_exact
        if not self._outside.is_offline and not (is_known or offer.is_asking):
            with self._lock:
                self._said[offer.asked_repo] = _Said(is_asking=True)
            threading.Thread(target=self._learn, args=(offer.asked_repo,), name="ask", daemon=True).start()

    def config(self, entry_id: str, kind: str) -> tuple[DownloadConfig, str]:
        """What a download of a choice is asked with, and its title. UserError before the hub has said what it is."""
        entry = catalog.find_any(entry_id)
        offer = self._offer(entry, kind)
        choice = _choice(offer, kind)
        if not choice.is_exact or kind == FILES:
            raise UserError(f"The hub has not said yet what {entry.title} {kind} is; choose it again.")
        known = "" if entry.id.startswith(catalog.ANY) else entry.id
        return DownloadConfig(repo=offer.asked_repo, files=choice.files, entry=known), title_of(entry, kind)

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
        if entry.can(catalog.TUNE) and (entry.parameters or of_base.listing and listing.base_files(of_base.listing)):
            choices.append(_base(entry, of_base.listing))
        is_gated = said.listing.is_gated if said.listing else entry.is_gated and asked == entry.hub_id
        return Offer(entry=entry, choices=tuple(choices), repo=repo, asked_repo=asked, is_asking=said.is_asking,
                     problem=said.problem, is_gated=is_gated, is_said=said.listing is not None)

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
                                is_here=self._is_here(entry, kind, source.repo, tuple(file.name for file in files))))
        return found

    def _exact(self, entry: Entry, repo: str, kind: str, one: listing.Choice) -> Choice:
        files = files_of(one, entry)
        names = tuple(file.name for file in files)
        return Choice(type=kind, bytes=_sum(files), is_exact=True, files=names,
                      is_here=self._is_here(entry, kind, repo, names),
                      fits=self._machine.for_file(one.bytes, entry, kind, _sum(files) - one.bytes))

    def _is_here(self, entry: Entry, kind: str, repo: str, names: tuple[str, ...]) -> bool:
        return kind in self._held().get(entry.id, ()) or _are_here(repo, names)

    def _held(self) -> dict[str, tuple[str, ...]]:
        """Entry -> the types of it that are on this computer and can be talked to."""
        listed = self._here()
        if self._known[0] is not listed:        # asked each second, of perhaps 500 files
            found: dict[str, tuple[str, ...]] = {}
            for one in listed:
                entry = _entry_of(one.title, one.file, one.repo) if one.can_chat and not one.is_made else ""
                if entry:
                    found[entry] = tuple(dict.fromkeys((*found.get(entry, ()), type_in(one.file))))
            self._known = listed, found
        return self._known[1]


@functools.lru_cache(maxsize=4096)
def _entry_of(*names: str) -> str:
    entry = catalog.entry_for(name for name in names if name)
    return entry.id if entry else ""


def title_of(entry: Entry, kind: str) -> str:
    """What a download of it is called."""
    return f"{entry.title} {'for training' if kind == BASE else kind}"


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
