"""A file of the hub, or a whole base, brought into the shared cache: size first, then the bytes, then its names."""

import os
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from pathlib import Path

from models import fetched, hub_cache, hub_words, knobs, listing, outside, parts, runs, token
from models.errors import UserError
from models.fetch import PATIENCE_S, Paused, Way, asked, fetch, patiently
from models.hub_cache import Wanted
from models.listing import Listing
from models.parts import Part, Wrong

AT_ONCE = 4                     # files
LOOK_S, TELL_S, SPEED_S = 0.1, 1.0, 10.0        # stop file; progress; over how long the speed is taken
SPARE_BYTES = 256 << 20         # left free on the disk
LARGE_BYTES = 1 << 30           # reading so much takes a while that is worth a word
CONTENTS = "contents.json"      # in the run folder: what the hub calls the content of each file that is fetched


@dataclass(frozen=True, kw_only=True)
class DownloadConfig:
    """What is to be fetched."""
    repo: str = field(default="", metadata={"label": "Repository of the hub"})
    files: tuple[str, ...] = field(default=(), metadata={"label": "Files (none: the whole base model)"})
    revision: str = field(default="main", metadata={"label": "Version"})
    entry: str = field(default="", metadata={"label": "Entry of the catalog"})

    def __post_init__(self) -> None:
        knobs.check(self)


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far it is. left_s: None while that is not known; notes: what was said since the last time."""
    done_bytes: int
    total_bytes: int
    bytes_s: float
    left_s: float | None
    file: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Size:
    """What a download is, exactly: its files, and how many bytes of them are still to come."""
    commit: str
    files: tuple[Wanted, ...]
    bytes: int
    missing_bytes: int


@dataclass(frozen=True, kw_only=True)
class Done:
    """What is here now."""
    folder: Path                # of the version, in the shared cache
    files: tuple[Path, ...]
    commit: str
    bytes: int
    fetched_bytes: int          # over the network, this time


def size(config: DownloadConfig, way: Way | None = None) -> Size:
    """Ask the hub once, in a process that is online (models/worker.py).

    Raises UserError if it can not be asked, or does not hold what is wanted.
    """
    way = way or Way(config.repo, token.for_hub(), 0.0)
    with hub_words.words(config.repo):
        found = patiently(way, lambda: listing.asked_here(config.repo, config.revision))
    way.came(0)
    files = tuple(Wanted(repo=config.repo, commit=found.revision, name=one.name, bytes=one.bytes,
                         etag=one.sha256 or (one.git_id if parts.GIT.fullmatch(one.git_id) else ""))
                  for one in _chosen(found, config))
    missing = sum(one.bytes - (parts.kept_bytes(one.etag) if one.etag else 0) for one in files
                  if not hub_cache.is_here(one))
    return Size(commit=found.revision, files=files, bytes=sum(one.bytes for one in files), missing_bytes=missing)


def download(config: DownloadConfig, told: Callable[[Progress], None], is_stopped: Callable[[], bool],
             run: Path | None = None, patience_s: float = PATIENCE_S) -> Done:
    """Bring it here; goes on with what is here of it. run: the job's folder, which is told what is being fetched.

    Raises UserError, with what came kept for the next time, or Paused once is_stopped.
    """
    way = Way(config.repo, token.for_hub(), patience_s)
    look = _Look(way, told, is_stopped)
    with outside.reason(f"the hub: {config.repo}"), hub_words.words(config.repo):
        with ThreadPoolExecutor(AT_ONCE, "download") as pool:
            [found] = look.at([pool.submit(size, config, way)])
            look.total_bytes = found.bytes
            files = look.at([pool.submit(_named, one, way) for one in found.files])
            look.total_bytes = sum(one.bytes for one in files)
            are_here = look.at([pool.submit(_is_here, one, way) for one in files])
            missing = [one for one, is_here in zip(files, are_here, strict=True) if not is_here]
            look.here_bytes = look.total_bytes - sum(one.bytes for one in missing)
            ours = _note_contents(run, missing, way)
            _check_disk(missing)
            while missing:                      # again if one has gone, with another download's cancelling
                look.at([pool.submit(_fetched, one, way, look.parts) for one in missing])
                missing = [one for one in missing if not hub_cache.is_here(one)]
            paths = look.at([pool.submit(_linked, one, way, look.parts, one.name in ours) for one in files])
        hub_cache.remember(config.repo, config.revision, found.commit)
    look.tell_all()
    return Done(folder=hub_cache.snapshot(config.repo, found.commit), files=tuple(paths), commit=found.commit,
                bytes=look.total_bytes, fetched_bytes=way.fetched_bytes)


def discard(run: Path) -> None:
    """Delete what the download of that run folder has fetched so far, but for files that have their name already.

    What another download is fetching at this moment is left to it. Raises UserError if something keeps a file.
    """
    contents = _contents(run)
    if not contents:
        return
    repo = _repo(run)
    try:
        for etag in contents.values():
            if parts.discard(etag) and repo:
                hub_cache.drop_nameless(repo, etag)
    except OSError as error:
        raise UserError(f"{error.filename} could not be deleted ({error.strerror}); close what has it open, and cancel "
                        "the download again.") from error


def _repo(run: Path) -> str:
    """Of its config; "" if a power cut damaged that."""
    try:
        return knobs.from_json(DownloadConfig, runs.read_json(run / runs.CONFIG)).repo
    except (UserError, TypeError, AttributeError):
        return ""


def _contents(run: Path) -> dict[str, str]:
    """What the run noted that it fetches: {name: what the hub calls its content}; {} if a power cut damaged that."""
    try:
        said = runs.read_json(run / CONTENTS)
        for etag in said.values():
            parts.check_etag(etag)
    except (UserError, AttributeError, TypeError):
        return {}
    return dict(said)


def _chosen(found: Listing, config: DownloadConfig) -> list[listing.HubFile]:
    """The files that are wanted. Raises UserError for one that is not there, and for a base without weights."""
    names = {one.name: one for one in found.files}
    if config.files:
        for name in config.files:
            if name not in names:
                raise UserError(f"{config.repo} holds no {name}; its files are listed at "
                                f"{hub_words.PAGE}/{config.repo}/tree/{config.revision}.")
        return [names[name] for name in dict.fromkeys(config.files)]
    base = listing.base_files(found)
    if not base:
        raise UserError(f"{config.repo} is no base model with weights as .safetensors; name one of its files.")
    return list(base)


def _named(wanted: Wanted, way: Way) -> Wanted:
    """With what the hub calls its content, and its exact bytes. A mirror may list small files under other ids."""
    is_told = bool(parts.SHA256.fullmatch(wanted.etag)) or (bool(wanted.etag) and hub_cache.is_sound(wanted, way.check))
    if is_told and hub_cache.is_here(wanted):
        return wanted
    etag, count = patiently(way, lambda: asked(wanted, way))
    parts.check_etag(etag)
    return replace(wanted, etag=etag, bytes=count)


def _note_contents(run: Path | None, missing: Sequence[Wanted], way: Way) -> set[str]:
    """The names of the files that this download brings here, those included that it brought before it was stopped.

    They are written down with what the hub calls their content. What is kept of an older version is deleted.
    """
    now = {one.name: one.etag for one in missing}
    if run is None:
        return set(now)
    before = _contents(run)
    for name, etag in before.items():
        if etag not in now.values() and parts.kept_bytes(etag) and parts.discard(etag) and name in now:
            way.note(f"{name} was changed on the hub since; it is fetched anew.")
    runs.write_json(run / CONTENTS, before | now)
    return set(before | now)


def _check_disk(missing: Sequence[Wanted]) -> None:
    """Raise UserError unless the disk holds what is to come; what is here of it is not asked for twice."""
    whole = sum(one.bytes for one in missing)
    still = sum(max(0, one.bytes - parts.kept_bytes(one.etag)) for one in missing)
    runs.make_folder(hub_cache.root())
    ours = parts.folder()
    places = {ours: still}
    cache = hub_cache.disk_of(missing[0]) if missing else ours
    if ours.stat().st_dev != cache.stat().st_dev:
        places[cache] = whole
    for place, needed in places.items():
        free = shutil.disk_usage(place).free
        if needed and free < needed + SPARE_BYTES:
            raise UserError(f"The download needs {_gb(needed)} more on the disk of {place}, and {_gb(free)} are free; "
                            f"free {_gb(needed + SPARE_BYTES - free)}, or choose a smaller type.")


def _gb(count: int) -> str:
    return f"{count / 1e9:.2f} GB"


def _is_here(wanted: Wanted, way: Way) -> bool:
    """True if it is here, and is what the hub says it is; another program may have left a damaged one."""
    if not hub_cache.is_here(wanted):
        return False
    if wanted.bytes >= LARGE_BYTES and not hub_cache.is_known(wanted):
        way.note(f"{wanted.name} is here already; its checksum is compared.")
    is_sound = hub_cache.is_sound(wanted, way.check)
    if not is_sound:
        way.note(f"The {wanted.name} that is here was damaged; it is fetched anew.")
    return is_sound


def _fetched(wanted: Wanted, way: Way, open_parts: dict[str, Part]) -> None:
    """Bring one file here, verify it and place it in the shared cache, where it gets its name later, with the others.

    Raises Wrong if it is not what the hub says it is.
    """
    waited: list[str] = []

    def is_given_up() -> bool:
        if not waited:
            waited.append(wanted.name)
            way.note(f"Another program is fetching {wanted.name}; this download waits for it.")
        return way.stop.is_set()

    with parts.locked(wanted.etag, is_given_up) as is_ours, \
            parts.held(hub_cache.lock(wanted), is_given_up) as is_free:
        if not (is_ours and is_free):
            raise Paused
        if hub_cache.is_sound(wanted, way.check) or hub_cache.place_twin(wanted, way.check):
            parts.path_of(wanted.etag).unlink(missing_ok=True)          # somebody else fetched it meanwhile
        else:
            hub_cache.place(_verified(wanted, way, open_parts), wanted, way.check)


def _linked(wanted: Wanted, way: Way, open_parts: dict[str, Part], is_brought: bool) -> Path:
    """Give the file its name; returns that path. A name that is made here, of a content that is ours, is ours."""
    if not hub_cache.is_linked(wanted):
        noted = fetched.notes()
        if is_brought or any(fetched.is_ours(path, noted) for path in hub_cache.names(wanted)):
            fetched.add(wanted.repo, wanted.commit, wanted.name)    # first: after a kill it can still be deleted
    try:
        while True:
            try:
                return hub_cache.link(wanted, way.check)
            except hub_cache.Lost:
                _fetched(wanted, way, open_parts)
    except BaseException:
        if not os.path.lexists(hub_cache.pointer(wanted)):          # what another program puts there is its own
            fetched.forget(hub_cache.pointer(wanted))
        raise


def _verified(wanted: Wanted, way: Way, open_parts: dict[str, Part]) -> Path:
    """The whole file as a part; nothing is asked of the hub if all of it is there already."""
    for is_again in (False, True):
        with Part(wanted.etag, wanted.bytes) as part:
            open_parts[wanted.name] = part
            fetch(wanted, part, way)
            if part.is_right(way.check):
                return part.path
            is_fresh = part.kept == 0
        if is_fresh or is_again:
            break
        way.note(f"What was kept of {wanted.name} was damaged; it is fetched anew.")
    raise Wrong(f"What was sent for {wanted.name} of {wanted.repo} is not what the hub says it is (its checksum "
                "differs), so nothing of it was kept; try again later, or on another network.")


class _Look:
    """Follows the threads of a download: tells how far they are, passes on the wish to stop and the offline switch."""

    def __init__(self, way: Way, told: Callable[[Progress], None], is_stopped: Callable[[], bool]):
        self.total_bytes = self.here_bytes = 0
        self.parts: dict[str, Part] = {}
        self._way, self._told, self._is_stopped = way, told, is_stopped
        self._told_at = 0.0
        self._seen: deque[tuple[float, int]] = deque()

    def at(self, futures: Sequence[Future]) -> list:
        """What the futures bring, in order; the first error ends the others."""
        try:
            for _ in self._until_done(futures):
                if self._is_stopped():
                    raise Paused
                if outside.is_offline() and not outside.is_here(hub_words.hub_host()):
                    raise outside.Offline("Galen is offline, so nothing more is fetched; switch Offline off in "
                                          "Settings and start the download again. What was fetched is kept.")
                if time.monotonic() - self._told_at >= TELL_S:
                    self.tell()
        except BaseException:
            self._way.stop.set()
            wait(futures)
            raise
        return [future.result() for future in futures]

    def tell_all(self) -> None:
        """Say that everything is here, by whatever way it came."""
        self.parts.clear()
        self.here_bytes = self.total_bytes
        self.tell()

    def tell(self) -> None:
        """Say how far it is."""
        now, came = time.monotonic(), self._way.fetched_bytes
        self._told_at = now
        self._seen.append((now, came))
        while now - self._seen[0][0] > SPEED_S:
            self._seen.popleft()
        since, before = self._seen[0]
        speed = (came - before) / (now - since) if now > since else 0.0
        current = list(self.parts.values())
        done = min(self.total_bytes, self.here_bytes + sum(part.bytes for part in current))
        names = [name for name, part in list(self.parts.items()) if part.bytes < part.total_bytes]
        self._told(Progress(done_bytes=done, total_bytes=self.total_bytes, bytes_s=speed, file=next(iter(names), ""),
                            left_s=(self.total_bytes - done) / speed if speed else None,
                            notes=tuple(self._way.notes())))

    def _until_done(self, futures: Sequence[Future]) -> Iterator[None]:
        """Once a moment until all are done. Raises the first error of any."""
        left = set(futures)
        while left:
            done, left = wait(left, LOOK_S, FIRST_COMPLETED)
            for future in done:
                future.result()
            yield
