"""The log files in the folder: what Galen did and which line of code failed, and never anything a person wrote.

Records of our own loggers ("galen", "galen.model", ...) are kept whole: whoever calls them passes no name, path or
text of a person. Of all other libraries only level, place and the kinds of exceptions are kept, no message.
"""

import logging
import logging.handlers
import platform
import sys
import traceback
from pathlib import Path

from models import runs
from models.errors import UserError

FOLDER, FILE = "logs", "galen.log"
MOST_BYTES, OLDER_FILES = 256_000, 3
OURS = "galen"
SHOWN_LINES = 40
TAIL_BYTES = 32_000

log = logging.getLogger(OURS)


class Impersonal(logging.Formatter):
    """Formats a record without what an exception or another library says in words."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, and the places of the traceback, if there is one."""
        is_ours = record.name == OURS or record.name.startswith(OURS + ".")
        words = record.getMessage() if is_ours else f"(its words are left out, line {record.lineno} of {record.module})"
        lines = [f"{self.formatTime(record, '%Y-%m-%d %H:%M:%S')} {record.levelname.lower()} {record.name}: {words}"]
        if record.exc_info and record.exc_info[1]:
            lines += _places(record.exc_info[1])
        return "\n".join(lines)


def _places(error: BaseException) -> list[str]:
    """The kinds of the exceptions, the first cause first, and the lines of code they passed; no messages."""
    lines: list[str] = []
    chain: list[BaseException] = []
    one: BaseException | None = error
    while one is not None and one not in chain:
        chain.append(one)
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
    for link in reversed(chain):
        for frame in traceback.extract_tb(link.__traceback__):
            path = Path(frame.filename)
            name = path.relative_to(runs.ROOT) if path.is_relative_to(runs.ROOT) else Path(*path.parts[-2:])
            lines.append(f"    {name.as_posix()}:{frame.lineno} in {frame.name}")
        lines.append(f"  {type(link).__module__}.{type(link).__qualname__}")
    return lines


def begin(home: Path, is_debug: bool = False) -> None:
    """Write to home/logs from now on, with is_debug everything; warnings go to the terminal as before.

    Raises UserError if nothing can be written there.
    """
    folder = home / FOLDER
    runs.make_folder(folder)
    try:
        file = logging.handlers.RotatingFileHandler(folder / FILE, maxBytes=MOST_BYTES, backupCount=OLDER_FILES,
                                                    encoding="utf-8")
    except OSError as error:
        raise UserError(f"The log {folder / FILE} can not be written ({error.strerror}); make it writable.") from error
    file.setFormatter(Impersonal())
    file.setLevel(logging.DEBUG if is_debug else logging.INFO)
    terminal = logging.StreamHandler(sys.stderr)
    terminal.setLevel(logging.WARNING)
    root = logging.getLogger()
    for handler in (file, terminal):
        handler.set_name(OURS)
        root.addHandler(handler)
    logging.getLogger(OURS).setLevel(logging.DEBUG if is_debug else logging.INFO)
    log.info("started on %s %s, Python %s", platform.system(), platform.machine(), platform.python_version())


def end() -> None:
    """Close the log of begin()."""
    log.info("ended")
    root = logging.getLogger()
    for handler in [one for one in root.handlers if one.get_name() == OURS]:
        root.removeHandler(handler)
        handler.close()


def last_lines(home: Path) -> list[str]:
    """The newest lines of the log, the oldest of them first."""
    path = home / FOLDER / FILE
    if not path.is_file():
        return []
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL_BYTES))
        return file.read().decode("utf-8", "replace").splitlines()[-SHOWN_LINES:]
