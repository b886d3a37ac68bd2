"""Every model file of this computer and what it says: each is read once, in the background if they are many."""

import os
import stat
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from models import fetched, runs
from models.elsewhere import hf_cache, llama_cache, lm_studio
from models.elsewhere.ollama import Ollama
from models.elsewhere.spot import HF_CACHE, Spot
from models.facts import Facts
from models.folders import Folders, shown
from models.ggufs import ggufs_in, projectors_in
from models.known import Known, Mark, Seen, read
from models.projector import CLIP, choose
from models.reader import Memory

INLINE = 8                      # files that are read at once by whoever looks; more of them in the background
REST = 0.25                     # of the time that a processor read, left to the rest of the process
SAVE_S = 5.0
WALK_S = 1.5                    # between whole looks, which see what changes within a file of another program's too
NO_MODELS = ("runs", "exports", "cache", fetched.FOLDER)        # folders of the user's that hold other things
EMBEDDED, OWN, EXPORTED, OTHERS = range(4)                      # ranks in a list
NO_TEXT = "The name of this file or of a folder above it is not in UTF-8; rename it to use it."
ORPHAN = "This is the projector of a model that sees, and no model here goes with it."


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One model file. facts: None while it was not read, or could not be; then problem says why."""
    spot: Spot
    bytes: int                  # of all parts
    changed: float              # seconds since 1970
    is_ours: bool               # False: another program's
    is_read: bool
    facts: Facts | None = None
    projector: Path | None = None       # with which it sees
    problem: str = ""

    @property
    def path(self) -> Path:
        return self.spot.path

    @property
    def files(self) -> tuple[Path, ...]:
        """All parts that are there."""
        return _files(self.spot)

    @property
    def can_chat(self) -> bool:
        """It has a template, in the file or known from its place."""
        facts = self.facts
        return facts is not None and not self.problem and (facts.has_template or self.spot.is_known_template)


@dataclass(frozen=True)
class _File:
    size: int
    changed_ns: int
    state_ns: int
    place: tuple[int, int]      # device and number: the same for two links to one file


class Shelf:
    """What lies on this computer. May be used from several threads; who looks waits for a few files, never for many."""

    def __init__(self, is_patient: bool = False) -> None:
        """is_patient: look() reads everything before it answers, as a command does that lists once."""
        self._lock = threading.Lock()
        self._folders, self._known = Folders(), Known()
        self._ollama = Ollama(self._folders)
        self._inline = 1 << 30 if is_patient else INLINE
        self._is_loaded = False
        self._unread: list[tuple[Path, Mark]] = []
        self._wanted: tuple[Path, ...] = ()     # all that is to be remembered
        self._reader: threading.Thread | None = None
        self._walked = 0.0                      # when all folders were gone through, on the monotonic clock
        self._stated: dict[Path, _File | None] = {}     # the files as they were then
        self._state: object = None
        self._entries: tuple[Entry, ...] = ()
        self.number = 0                         # of the present entries: another one once anything changed

    def look(self) -> tuple[Entry, ...]:
        """Every model file there is now: the embedded one, the user's newest first, then those of other programs."""
        with self._lock:
            if not self._is_loaded:
                self._known.load()
                self._is_loaded = True
            if self._is_same():
                return self._entries
            found = self._there()
            self._read_new(found)
            known = [(self._known.get(spot.path, mark), [self._known.get(path, own) for path, own in beside])
                     for spot, _, mark, beside in found]
            ours = frozenset(self._folders.list(runs.home() / fetched.FOLDER).files)
            state = [(spot, mark, id(seen), list(map(id, others)))
                     for (spot, _, mark, _), (seen, others) in zip(found, known, strict=True)], ours
            if state != self._state:
                self._state, self.number = state, self.number + 1
                self._entries = tuple(_entries(found, known, ours))
            return self._entries

    @property
    def is_reading(self) -> bool:
        """True while headers are read in the background."""
        reader = self._reader
        return reader is not None and reader.is_alive()

    def _is_same(self) -> bool:
        """True if a quick look finds what the last whole one did; once in WALK_S it is a whole one again."""
        return (not self._unread and time.monotonic() - self._walked < WALK_S and self._folders.are_same()
                and all(_state(path) == before for path, before in self._stated.items()))

    def _there(self) -> "list[_Found]":
        """The files that are there, each one once, with the projectors beside them."""
        self._walked, self._stated = time.monotonic(), {}

        def state(path: Path) -> _File | None:
            if path not in self._stated:
                self._stated[path] = _state(path)
            return self._stated[path]

        named: dict[tuple[int, int], list[tuple[Spot, list[_File]]]] = {}
        for spot in self._spots():
            states = [one for path in _files(spot) if (one := state(path))]
            if states:
                named.setdefault(states[0].place, []).append((spot, states))
        found: list[_Found] = []
        for same in named.values():
            spot, states = min(same, key=lambda one: _use(one[0]))
            spot = _with_names(spot, [one for one, _ in same]) if len(same) > 1 else spot
            beside = [(path, _mark([one])) for path in spot.projectors
                      if (one := state(path)) and shown(str(path)) == str(path)]
            found.append((spot, states, _mark(states), beside))
        return sorted(found, key=lambda one: (one[0].rank, 0 if one[0].rank == OTHERS else -one[1][0].changed_ns))

    def _spots(self) -> Iterator[Spot]:
        yield from own_spots(self._folders)
        yield from hf_cache.spots(self._folders, hf_cache.store())
        yield from self._ollama.spots()
        yield from lm_studio.spots(self._folders)
        yield from llama_cache.spots(self._folders)

    def _read_new(self, found: "list[_Found]") -> None:
        """Read a few new files now, and begin to read many in the background."""
        wanted: dict[Path, Mark] = {}
        for spot, _, mark, beside in found:
            if not spot.problem:
                wanted[spot.path] = mark
            wanted.update(beside)
        self._wanted = tuple(wanted)
        unread = [(path, mark) for path, mark in wanted.items() if self._known.get(path, mark) is None]
        is_busy = self.is_reading
        now = unread if len(unread) <= self._inline and not is_busy else unread[:1] if not self.number else []
        memory = Memory()
        for path, mark in now:
            self._known.keep(path, mark, read(path, memory))
        self._unread = unread[len(now):]
        if now and not self._unread and not is_busy:
            self._known.save(self._wanted)
        if self._unread and not is_busy:
            self._reader = threading.Thread(target=self._read_all, name="shelf", daemon=True)
            self._reader.start()

    def _read_all(self) -> None:
        """Read what is unread, until nothing is; the page and everything else go on meanwhile."""
        memory, saved = Memory(), time.monotonic()
        while True:
            with self._lock:
                self._unread = [one for one in self._unread if self._known.get(*one) is None]
                if not self._unread:
                    self._known.save(self._wanted)
                    self._reader = None
                    return
                path, mark = self._unread[0]
            began = time.thread_time()
            seen = read(path, memory)
            took = time.thread_time() - began
            with self._lock:
                self._known.keep(path, mark, seen)
                self._walked = 0.0              # the next look is a whole one
                if time.monotonic() - saved > SAVE_S:
                    self._known.save(self._wanted)
                    saved = time.monotonic()
            time.sleep(took * REST)


_Found = tuple[Spot, list[_File], Mark, list[tuple[Path, Mark]]]


def own_spots(folders: Folders) -> Iterator[Spot]:
    """The models of the embedded folder, the user's folder and each folder in it, and each run's export."""
    home = runs.home()
    yield from ggufs_in(runs.DEMO_BASE, folders.list(runs.DEMO_BASE).files, rank=EMBEDDED)
    here = folders.list(home)
    for folder in (home, *(home / name for name in here.folders if name not in NO_MODELS and name[0] != ".")):
        files = folders.list(folder).files
        spots = list(ggufs_in(folder, files, rank=OWN))
        yield from spots
        if not spots:                           # a projector alone: nobody would know of it
            for path in projectors_in(folder, files):
                yield Spot(path=path, rank=OWN)
    for run in folders.list(home / "runs").folders:
        place = home / "runs" / run
        for folder in (place / runs.EXPORT, *(place / name / runs.EXPORT for name in folders.list(place).folders),
                       place):
            yield from ggufs_in(folder, folders.list(folder).files, rank=EXPORTED)
    for name in folders.list(home / "exports").folders:
        place = home / "exports" / name
        yield from ggufs_in(place, folders.list(place).files, rank=EXPORTED)


def _use(spot: Spot) -> tuple[bool, bool]:
    """Of several names of one file the least of these is listed, of equal ones the first."""
    return bool(spot.problem), spot.has_go_template and not spot.is_known_template


def _with_names(spot: Spot, same: list[Spot]) -> Spot:
    """The spot with the other names under which its program has this very file for the same use."""
    also = [one for one in same if one.name and (one.program, _use(one)) == (spot.program, _use(spot))]
    spot = min(also, key=lambda one: one.name.count("/"), default=spot)         # without registry and owner
    return replace(spot, also=tuple(sorted({one.name for one in also} - {spot.name})),
                   projectors=tuple(dict.fromkeys(path for one in [spot, *also] for path in one.projectors)))


def _files(spot: Spot) -> tuple[Path, ...]:
    return tuple(spot.path.with_name(name) for name in spot.parts) or (spot.path,)


def _state(path: Path) -> _File | None:
    """Size and times of a file; None for what is gone, leads nowhere or is no file."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return _File(found.st_size, found.st_mtime_ns, found.st_ctime_ns, (found.st_dev, found.st_ino))


def _mark(states: list[_File]) -> Mark:
    return tuple((one.size, one.changed_ns, one.state_ns) for one in states)


def _entries(found: list[_Found], known: list[tuple[Seen | None, list[Seen | None]]],
             ours: frozenset[str]) -> Iterator[Entry]:
    home, links = runs.home(), dict[Path, bool]()
    for (spot, states, _, _), (seen, others) in zip(found, known, strict=True):
        facts = seen.facts if seen else None
        called = f"{spot.path}{spot.name}"
        problem = NO_TEXT if shown(called) != called else spot.problem or (seen.problem if seen else "")
        projector = None
        if facts and facts.architecture == CLIP:
            problem = problem or ORPHAN
        elif facts:
            width = facts.keys.get(f"{facts.architecture}.embedding_length")
            projector = choose(width, facts.name, [one.projector for one in others if one and one.projector],
                               spot.is_own_projector)
        yield Entry(spot=spot, bytes=sum(one.size for one in states), changed=states[0].changed_ns / 1e9,
                    is_ours=_is_ours(spot, ours, home, links), is_read=seen is not None or bool(spot.problem),
                    facts=facts, projector=projector.path if projector else None, problem=problem)


def _is_linked(folder: Path, home: Path) -> bool:
    """True for a folder that a link put into the user's folder, or among the runs or exports there."""
    parts = folder.relative_to(home).parts
    above = home / parts[0] if parts[:1] in (("runs",), ("exports",)) else home
    return os.path.realpath(folder) != os.path.realpath(above) + str(folder)[len(str(above)):]


def _is_ours(spot: Spot, ours: frozenset[str], home: Path, links: dict[Path, bool]) -> bool:
    folder = spot.path.parent
    if spot.rank in (OWN, EXPORTED):
        if folder not in links:
            links[folder] = _is_linked(folder, home)
        return not links[folder]                # what a link leads to may be any program's
    return not spot.program or (bool(ours) and spot.program == HF_CACHE and fetched.is_ours(spot.path, ours))
