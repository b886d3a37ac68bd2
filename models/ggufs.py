"""The names of files in one folder -> the models among them: parts put together, projectors set beside them."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from models.elsewhere.spot import Spot
from models.quant_name import ENDING
from models.split import missing, part_of

HIDDEN = "."                    # macOS puts a "._NAME" beside each file on a disk of another system
BESIDE = (HIDDEN, "imatrix-", "imatrix_", "mmproj")     # begin the names of what lies beside models and is none
NO_MODEL = ("-adapter.gguf", ".failed.gguf", "imatrix.gguf")    # end them


def is_model(name: str) -> bool:
    """False for what lies beside models: projectors, importance matrices, adapters, failed and hidden files."""
    low = name.lower()
    return low.endswith(ENDING) and not low.startswith(BESIDE) and not low.endswith(NO_MODEL) and not is_projector(low)


def is_projector(name: str) -> bool:
    """True for a file that calls itself the projector of a model that sees."""
    low = name.lower()
    return low.endswith(ENDING) and "mmproj" in low and not low.startswith(HIDDEN)


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
    beside = [(prefix_of(one.name), one) for one in projectors_in(folder, files)]
    for name, parts in _models_in(files).items():
        mine = [one for prefix, one in beside if prefix and name.startswith(prefix)]
        yield Spot(path=folder / name, program=program, repo=repo, parts=parts, rank=rank,
                   projectors=(*(mine or [one for _, one in beside]), *projectors),
                   is_own_projector=is_own_projector or bool(mine), problem=missing(name, parts))


def _models_in(files: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The first file of each model -> its parts that are there, () for a model in one file."""
    models: dict[tuple[str, int, str], list[str]] = {}
    for name in filter(is_model, files):
        stem, _, count = part_of(name) or (name, 0, 0)
        models.setdefault((stem, count, name[-len(ENDING):]), []).append(name)
    return {names[0]: tuple(names) if count else () for (_, count, _), names in models.items()}
