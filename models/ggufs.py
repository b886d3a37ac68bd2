"""The names of files in one folder -> the models among them: parts put together, projectors set beside them."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from models.elsewhere.spot import Spot
from models.split import missing, part_names, part_of

ENDING = ".gguf"
BESIDE = ("imatrix-", "imatrix_", "mmproj")     # begin the names of what lies beside models and is none
NO_MODEL = ("-adapter.gguf", ".failed.gguf", "imatrix.gguf")    # end them


def is_model(name: str) -> bool:
    """False for what lies beside models: projectors, importance matrices, adapters, failed files."""
    low = name.lower()
    return low.endswith(ENDING) and not low.startswith(BESIDE) and not low.endswith(NO_MODEL) and not is_projector(low)


def is_projector(name: str) -> bool:
    """True for a file that calls itself the projector of a model that sees."""
    low = name.lower()
    return low.endswith(ENDING) and "mmproj" in low


def projectors_in(folder: Path, files: Sequence[str]) -> list[Path]:
    """The files that call themselves projectors."""
    return [folder / name for name in files if is_projector(name)]


def prefix_of(projector: str) -> str:
    """What stands before "mmproj": llama.cpp's cache puts "owner_repository_" before each file of a repository."""
    return projector[:projector.lower().index("mmproj")]


def ggufs_in(folder: Path, files: Sequence[str], *, program: str = "", repo: str = "", is_own_projector: bool = False,
             rank: int = 3, projectors: tuple[Path, ...] = ()) -> Iterator[Spot]:
    """The models among files of folder, a model in several parts once, under its first one that is there.

    is_own_projector: whatever projector lies there belongs to them. projectors: further ones.
    """
    beside = projectors_in(folder, files)
    there, done = set(files), set[str]()
    for name in files:
        if not is_model(name) or name in done:
            continue
        parts = tuple(part_names(name)) if part_of(name) else ()
        done.update(parts)
        mine = [one for one in beside if prefix_of(one.name) and name.startswith(prefix_of(one.name))]
        yield Spot(path=folder / name, program=program, repo=repo, parts=parts, rank=rank,
                   projectors=(*(mine or beside), *projectors), is_own_projector=is_own_projector or bool(mine),
                   problem=missing(parts, there) if parts else "")
