"""Hugging Face's cache: models--OWNER--NAME/snapshots/REVISION/FILE, links to blobs; newer llama.cpps share it.

Source: huggingface_hub's guide to its cache; llama.cpp's common/hf-cache.cpp. A path there is used as it is, not as
the blob behind it: llama.cpp finds the parts of a split model, and Galen a projector, by their names.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from models.elsewhere.spot import HF_CACHE, Spot
from models.folders import Folders
from models.ggufs import ggufs_in, projectors_in

DEPTH = 3                       # folders within a snapshot


def store() -> Path:
    """Where the cache lies, as huggingface_hub has it."""
    from huggingface_hub import constants
    return Path(os.path.realpath(os.path.expanduser(constants.HF_HUB_CACHE)))     # which stand links in a circle


def snapshot_of(path: Path) -> Path | None:
    """The folder of the snapshot in which a path lies; None for any other path."""
    found = [revision for revision in path.parents
             if revision.parent.name == "snapshots" and revision.parent.parent.name.startswith("models--")]
    return found[-1] if found else None


def spots(folders: Folders, cache: Path, program: str = HF_CACHE) -> Iterator[Spot]:
    """The GGUFs of every repository, each file once: of the newest snapshot that has it."""
    for name in folders.list(cache).folders:
        owner, _, repo = name.removeprefix("models--").partition("--")
        if not name.startswith("models--") or not owner:
            continue
        snapshots = cache / name / "snapshots"
        known: set[str] = set()
        for revision in _newest_first(folders, cache / name):
            seen = []
            for spot in _inside(folders, snapshots / revision, f"{owner}/{repo}" if repo else owner, program):
                file = spot.path.relative_to(snapshots / revision).as_posix()
                if not spot.problem:            # parts of a newer one may still be on their way
                    seen.append(file)
                if file not in known:
                    yield spot
            known |= set(seen)


def _inside(folders: Folders, snapshot: Path, repo: str, program: str) -> Iterator[Spot]:
    """The GGUFs of one snapshot; projectors often lie above the folder of a type."""
    above: list[Path] = []
    places = [snapshot]
    for _ in range(DEPTH):
        deeper = []
        for place in places:
            here = folders.list(place)
            yield from ggufs_in(place, here.files, program=program, repo=repo, is_own_projector=True,
                                projectors=tuple(above))
            deeper += [place / name for name in here.folders]
        above += [one for place in places for one in projectors_in(place, folders.list(place).files)]
        places = deeper


def _newest_first(folders: Folders, repo: Path) -> list[str]:
    """The revisions of a repository: that of main first, then by when they came."""
    revisions = list(folders.list(repo / "snapshots").folders)
    if len(revisions) < 2:
        return revisions
    try:
        main = (repo / "refs" / "main").read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        main = ""
    return sorted(revisions, key=lambda name: (name != main, -_changed(repo / "snapshots" / name)))


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
