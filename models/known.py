"""What files said when their headers were read, known again by path, size and time: in memory, and in home()/cache."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from models import facts, runs
from models.errors import UserError
from models.facts import Facts, facts_of
from models.opened import TOWER
from models.projector import CLIP, Projector, projector_of
from models.reader import Memory
from models.split import read_whole

FILE = "known-models.json"
VERSION = 2                     # to be raised when more is asked of a header, or other things
NO_WEIGHTS = "{} holds words and figures of a model and no weights; get the whole model."
Mark = tuple[tuple[int, int, int], ...]     # of each file: bytes, time of change and of its state's change in ns


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What reading a file said: facts, or a problem in one sentence; of a projector, what it fits as well."""
    facts: Facts | None = None
    projector: Projector | None = None
    problem: str = ""


def read(path: Path, memory: Memory | None = None) -> Seen:
    """Read the header of the model or projector at path, of all its parts."""
    try:
        header = read_whole(path, memory)
    except UserError as error:
        return Seen(problem=str(error))
    found = facts_of(header)
    if found.architecture == CLIP:
        try:
            return Seen(facts=found, projector=projector_of(header))
        except UserError as error:
            return Seen(facts=found, problem=str(error))
    why = TOWER.format(found.name) if found.holds_tower else "" if header.tensors else NO_WEIGHTS.format(path.name)
    return Seen(facts=found, problem=why)


class Known:
    """One list of what was seen, for one thread at a time."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[Mark, Seen]] = {}
        self._is_changed = False

    def get(self, path: Path, mark: Mark) -> Seen | None:
        """What the file at path said, if it still is the same."""
        known = self._seen.get(str(path))
        if known is None:
            return None
        is_same = known[0] == mark if known[1].facts is None else _times(known[0]) == _times(mark)
        return known[1] if is_same else None

    def keep(self, path: Path, mark: Mark, seen: Seen) -> None:
        """Remember what a file said."""
        self._seen[str(path)] = (mark, seen)
        self._is_changed = self._is_changed or seen.facts is not None   # nothing else is written

    def load(self) -> None:
        """Take what an earlier start saw. What is not there, damaged or of another version is left alone."""
        with suppress(UserError, OSError, KeyError, TypeError, ValueError):
            said = runs.read_json(_file())
            for path, one in dict(said["files"]).items() if said["version"] == VERSION else ():
                with suppress(KeyError, TypeError, ValueError):         # one of them costs none of the others
                    self._seen[path] = (tuple((size, time, 0) for size, time in one["mark"]), _from_json(one, path))

    def save(self, paths: Iterable[Path]) -> None:
        """Write what is known of paths, if anything is new; without it the next start reads the files again."""
        if not self._is_changed:
            return
        self._is_changed = False
        wanted = {str(path) for path in paths}
        files = {path: {"mark": _times(mark), **_to_json(seen)} for path, (mark, seen) in self._seen.items()
                 if path in wanted and seen.facts}             # a file that could not be read is tried again
        with suppress(UserError, OSError):                      # a full disk must not keep anybody from a list
            runs.make_folder(_file().parent)
            runs.write_json(_file(), {"version": VERSION, "files": files})


def _file() -> Path:
    return runs.home() / "cache" / FILE


def _times(mark: Mark) -> list[tuple[int, int]]:
    """Bytes and time of change. The third figure counts for a file that could not be read: it may be allowed now."""
    return [(size, changed) for size, changed, _ in mark]


def _to_json(seen: Seen) -> dict[str, Any]:
    projector = {**asdict(seen.projector), "path": ""} if seen.projector else None
    return {"facts": facts.to_json(seen.facts) if seen.facts else None, "projector": projector,
            "problem": seen.problem}


def _from_json(values: dict[str, Any], path: str) -> Seen:
    projector = values["projector"] and replace(Projector(**values["projector"]), path=Path(path))
    return Seen(facts=facts.from_json(values["facts"]), projector=projector, problem=str(values["problem"]))
