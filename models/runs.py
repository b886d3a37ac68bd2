"""Every file name of a run folder, and where run folders lie.

A run is one long job (training, export, evaluation) with a folder of its own. The job reads
config.json, appends to events.jsonl, obeys the stop file, and writes its results beside them.
"""

import json
import os
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from models.errors import UserError

ROOT = Path(__file__).resolve().parent.parent
DEMO_BASE = ROOT / "models" / "demo"

CONFIG = "config.json"          # the job's config dataclass, as models/knobs.py writes it
DRAFT = "draft.json"            # of a run made on the page: what was chosen for it, ui/actions/train_draft.py
DATA = "data"                   # of such a run: the files it was given
EVENTS = "events.jsonl"         # one JSON object a line: {"t": seconds since 1970, "kind": ..., ...}
PID = "pid.json"                # {"pid": ..., "started": seconds since 1970}
STOP = "stop"                   # its existence asks the job to stop
RESULT = "result.json"          # written once, when the job is done
LOG = "log.txt"                 # what the process printed
ADAPTER = "adapter"             # PEFT folder: adapter_config.json, adapter_model.safetensors
BASE = "base.json"              # in it: path, fingerprint and family of the base that it was trained on
CHECKPOINTS = "checkpoints"
STARTED = "started.json"        # what a resumed run must have again: threads, processes, base, data
SCRATCH = ".galen-"             # begins the names of folders that exist for a moment
COMPLETE = "complete.json"      # in a checkpoint, written last: without it the checkpoint does not count
STAGES = "stages"               # one run folder a stage, "1-NAME", "2-NAME", ...: what every run folder holds
TABLE = "table.json"           # of a staged run: each set's scores before training and after each finished stage
CURVE = "curve.png"
TENSORBOARD = "tensorboard"     # the run as TensorBoard reads it
HELDOUT = "heldout.jsonl"       # rows that training never saw, one Example a line: check and imatrix read them
TEST = "test.jsonl"             # rows set aside for the end: neither training nor validation reads them
UNUSABLE = "unusable.jsonl"     # rows left out: {"file", "line", "reason"}
FINDINGS = "findings.json"      # what reading, cleaning, the leak guard and the identifier scan counted, with rows
IDENTIFIERS = "identifiers.jsonl"       # the audit of the identifier scan, one hit a line
PREVIEW = "preview.html"        # samples token by token
PREVIEW_DATA = "preview.json"   # the same as records
ESTIMATE = "estimate.json"      # the promise: time, memory, disk
CARD = "README.md"              # in an adapter: its model card
EXPORT = "export"               # where an export of this run goes by default
REPORT = "report.json"          # the check's figures, beside the GGUFs; the figures of an evaluation
ITEMS = "items.jsonl"           # of an evaluation: what became of each item, evaluation.items.Scored
STATED = "stated.json"          # of an evaluation: what was asked, of whom and how, evaluation.items.Stated
CALIBRATION = "calibration-{}.json"     # of an evaluation: what was fitted on development rows, for each model
ROWS = "rows.jsonl"             # of a task over a file: what became of each group of rows
CLASSIFIER = "classifier"       # a folder: what a batch fitted before it began (tasks/classifier.py)
MOVED_TO = "moved-to.json"      # in a home that was moved: {"to"}, the folder that is used in its place
REPORT_PAGE = "report.html"
REPORT_TABLE = "report.md"      # for a model card


def home() -> Path:
    """The folder of the user's models and runs: GALEN_HOME, else models/files; or where that was moved to.

    Raises UserError for a GALEN_HOME that can not be looked into, while the disk that it was moved to is not there,
    and for a note of that which says no folder.
    """
    folder = typed(os.environ.get("GALEN_HOME") or ROOT / "models" / "files")
    try:
        folder = folder.resolve()
        with suppress(FileNotFoundError, NotADirectoryError):
            (folder / MOVED_TO).lstat()         # Python 3.14's is_file() keeps to itself what this raises
        return _moved(folder)
    except (OSError, RuntimeError) as error:        # RuntimeError: links in a circle, before Python 3.13
        raise UserError(f"The folder of models and runs, {folder}, can not be used "
                        f"({getattr(error, 'strerror', None) or error}); set GALEN_HOME to another one.") from error


def _moved(folder: Path) -> Path:
    """folder, or the one that it was moved to."""
    passed: list[Path] = []
    while (folder / MOVED_TO).is_file():
        note = folder / MOVED_TO
        said = read_json(note)
        to = said.get("to") if isinstance(said, dict) else None
        if not isinstance(to, str) or not to or folder in passed:
            raise UserError(f"{note} should say where the folder of models and runs was moved to, and does not; "
                            "delete it to go on here, or put the address of that folder back.")
        passed.append(folder)
        folder = Path(to)
        if not folder.is_dir():
            raise UserError(f"The folder of models and runs was moved to {folder}, which is not there now; connect "
                            f"that disk, or delete {note} to go on without it.")
    return folder


def typed(path: str | Path) -> Path:
    """What a person typed as a path, "~" and "~name" as their homes. Raises UserError where there is no such home."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise UserError(f"{path} begins with a home folder that this computer does not have; write the whole path."
                        ) from None


def new_run(name: str, at: str = "") -> Path:
    """Create and return a run folder: at if given, else home()/runs/NAME-YYYYMMDD-HHMMSS. UserError if at is in use."""
    if at:
        path = typed(at).resolve()
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise UserError(f"{path} exists and is not an empty folder; choose another place for this run.")
        make_folder(path)
        return path
    stem = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-") or "run"
    make_folder(home() / "runs")
    stamp = time.strftime("%Y%m%d-%H%M%S")
    for k in range(1, 1000):
        path = home() / "runs" / (f"{stem}-{stamp}" if k == 1 else f"{stem}-{stamp}-{k}")
        try:
            path.mkdir()
            return path
        except FileExistsError:
            continue
        except OSError as error:
            raise _not_made(path, error) from error
    raise UserError(f"There are a thousand runs named {stem}-{stamp}; delete some in {home() / 'runs'}.")


def make_folder(path: Path) -> None:
    """mkdir -p with a UserError that names the folder when it can not be made."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _not_made(path, error) from error


def _not_made(path: Path, error: OSError) -> UserError:
    return UserError(f"The folder {path} can not be made ({error.strerror}); choose another place.")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield path + ".part" to write to; rename it to path on success, remove it on any exception.

    Raises UserError when the disk is full, or nothing may be written there.
    """
    part = path.with_name(path.name + ".part")
    try:
        yield part
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        if is_disk_full(error):
            raise UserError(f"The disk is full: {path.name} could not be written to {path.parent}. "
                            "Free some space and try again.") from error
        if error.filename == str(part):         # not some file that was read meanwhile
            raise UserError(f"{path.name} could not be written to {path.parent} ({error.strerror}); choose another "
                            "place.") from error
        raise
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def is_disk_full(error: OSError) -> bool:
    """True for "no space left" and "quota exceeded" on POSIX and Windows."""
    import errno
    return error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", -1)) or getattr(error, "winerror", 0) in (39, 112)


def write_json(path: Path, value: Any) -> None:
    """Write value as indented JSON; the file appears whole or not at all."""
    with whole_file(path) as part:
        part.write_bytes(json_bytes(value, indent=1) + b"\n")


def json_bytes(value: Any, indent: int | None = None) -> bytes:
    """value as UTF-8 JSON. What is no Unicode (a file name in another encoding) is escaped, and read back the same."""
    return json.dumps(value, indent=indent, ensure_ascii=False).encode("utf-8", "backslashreplace")


def read_json(path: Path) -> Any:
    """Read a JSON file. Raises UserError if it is missing or not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is missing; is {path.parent} the right folder?") from None
    except (ValueError, OSError, RecursionError) as error:
        raise UserError(f"{path} can not be read as JSON ({error}).") from error


def scratch_folder(beside: Path) -> tempfile.TemporaryDirectory:
    """A temporary folder on the same disk as beside, so that a rename out of it is one step."""
    make_folder(beside)
    return tempfile.TemporaryDirectory(prefix=SCRATCH, dir=beside)
