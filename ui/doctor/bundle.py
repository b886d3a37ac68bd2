"""The report for a bug: one zip with findings, versions, and the ends of logs and jobs, without personal text."""

import itertools
import json
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from models import runs
from models.errors import UserError
from ui.doctor.finding import FAILURES, Finding
from ui.doctor.impersonal import Impersonal, places
from ui.doctor.packages import SETS, VENV, versions

TAIL_BYTES, TAIL_LINES = 64_000, 300
NEWEST_JOBS, EVENTS = 10, 60
APP_LOGS = "logs/galen.log*"
LOGGED = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [a-z]+ [\w.]+:) (.*)")      # as ui/log.py writes
SETUP_LOG = "setup.log"
FACTS = {"galen.log": "what the app did, and where in the code something failed", "setup.log": "the end of pip's words",
         "doctor.json": "the findings", "versions.json": "Python's packages, and what is pinned where that differs",
         "settings.json": "numbers and switches of the settings", "jobs.json": "numbers of the newest jobs"}
# Numbers and switches under these names are a job's own; a name that is not here may be a label of somebody's data.
TOLD = frozenset({
    "t", "step", "steps", "done", "of", "left_s", "loss", "lr", "epoch", "tokens", "tokens_per_s", "memory_mb",
    "peak_mb", "peak_vram_mb", "grad_norm", "row", "rows", "items", "seconds", "bytes", "bytes_s", "done_bytes",
    "total_bytes", "is_users", "is_refused", "exit"})
KINDS = frozenset({"phase", "note", "step", "eval", "sample", "row", "stage", "resume", "checkpoint", "file",
                   "progress", "connection", "done", "stopped", "error", "result", "estimate", "preview"})
README = """A report about Galen on one computer, made by its doctor. Galen has sent it nowhere.

{facts}

Left out on purpose: conversations, rows of data, prompts and answers, names of files, models and runs, paths, the
names of the person and of the computer, addresses, tokens; [left-out] marks some of the places.
These files are plain text: look through them before you give them to somebody.
"""


def place(typed: str | Path) -> Path:
    """Where a report goes. Raises UserError if there is a file already."""
    to = runs.typed(typed).absolute()
    if to.exists():
        raise UserError(f"{to} is there already; give the report another name.")
    return to


def write(to: Path, findings: Sequence[Finding]) -> Path:
    """Write the report to a new file. It appears whole or not at all.

    Raises UserError if there is a file already, or it can not be written.
    """
    to = place(to)
    members = _members(findings)
    with runs.whole_file(to) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name, text.encode("utf-8", "replace"))
    return to


def _members(findings: Sequence[Finding]) -> dict[str, str]:
    """File name in the report -> its text."""
    clean = Impersonal()
    told = [{"name": one.name, "state": one.state, "found": clean.named(one.found), "advice": one.advice}
            for one in findings]
    makers: dict[str, Callable[[], str]] = {
        "doctor.json": lambda: _json(told),
        "versions.json": lambda: _json({name: _versions(name) for name in SETS}),
        SETUP_LOG: lambda: "\n".join(clean.line(line) for line in tail(VENV / SETUP_LOG)),
        "galen.log": lambda: "\n".join(_app_log(runs.home(), clean)),
        "settings.json": lambda: _json(_settings(runs.home())),
        "jobs.json": lambda: _json(_jobs(runs.home()))}
    members = {}
    for name, make in makers.items():
        try:
            members[name] = make()
        except FAILURES as error:           # its disk is not there, a package is broken: told in a finding
            members[name] = f"could not be gathered ({type(error).__name__})"
    facts = "\n".join(f"{name:14} {FACTS[name]}" for name in sorted(members))
    return {"README.txt": README.format(facts=facts), **members}


def _versions(name: str) -> dict[str, str]:
    """What is installed of a set."""
    return {package: here if here == pin else f"{here or 'missing'} (pinned: {pin})"
            for package, (pin, here) in versions(name).items()}


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False)


def tail(path: Path) -> list[str]:
    """The last lines of a text file; none where there is no such file, or it can not be read."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - TAIL_BYTES))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return []
    return lines[1 if size > TAIL_BYTES else 0:][-TAIL_LINES:]


def _app_log(home: Path, clean: Impersonal) -> Iterator[str]:
    """The app's log, the oldest line first: dates, places and kinds of errors as they are, other words cleaned."""
    files = sorted(home.glob(APP_LOGS), key=lambda path: (len(path.name), path.name), reverse=True)
    below: list[str] = []       # a line that says what happened
    for line in [*[line for path in files for line in tail(path)][-TAIL_LINES:], ""]:
        begins = LOGGED.fullmatch(line)
        if begins or not line:
            yield from places(below)
            below.clear()
        if begins:
            yield f"{begins[1]} {clean.line(begins[2])}"
        else:
            below.append(line)


def _settings(home: Path) -> dict[str, Any]:
    """Numbers, switches and choices as they are; of texts only whether something is set."""
    from ui.settings import FILE, Settings
    try:
        values = runs.read_json(home / FILE)
    except UserError:
        return {}
    if not isinstance(values, dict):
        return {}
    found = {}
    for field in fields(Settings):
        value = values.get(field.name)
        is_safe = isinstance(value, bool | int | float) or value in field.metadata.get("choices", ())
        found[field.name] = value if is_safe or value is None else f"a text of {len(str(value))} characters"
    return found


def _jobs(home: Path) -> list[dict[str, Any]]:
    """The newest jobs: what they were, by number, and how they went; nothing that a person named."""
    folders = [path for path in itertools.chain(home.glob("runs/*"), home.glob("runs/*/*"))
               if _is_job(path)]
    newest = sorted(folders, key=_changed, reverse=True)[:NEWEST_JOBS]
    return [_job(folder) for folder in newest]


def _is_job(path: Path) -> bool:
    try:
        return (path / runs.CONFIG).is_file()
    except OSError:
        return False            # another account's


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0              # deleted a moment ago


def _job(folder: Path) -> dict[str, Any]:
    events = list(_events(tail(folder / runs.EVENTS)))
    return {"module": _module(folder), "settings": _numbers(_read(folder / runs.CONFIG)),
            "has_result": (folder / runs.RESULT).exists(), "was_stopped": (folder / runs.STOP).exists(),
            "events": events[-EVENTS:], "log": places(tail(folder / runs.LOG))[-EVENTS:]}


def _module(folder: Path) -> str:
    """The program of ours that the job runs; "" where the folder does not say, or says something else."""
    name = str(_read(folder / "job.json").get("module", ""))
    is_ours = name.replace(".", "").isidentifier() and (runs.ROOT / f"{name.replace('.', '/')}.py").is_file()
    return name if is_ours else ""


def _events(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """What of each event holds no text: its kind, its numbers; of an error the kind and the places."""
    for line in lines:
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            continue            # the beginning of a line
        if isinstance(event, dict):
            kind = event["kind"] if str(event.get("kind")) in KINDS else "other"
            passed = places(str(event.get("traceback", "")).splitlines())
            yield {"kind": kind, **_numbers({name: event[name] for name in TOLD & event.keys()}),
                   **({"places": passed} if passed else {})}


def _numbers(values: dict[str, Any]) -> dict[str, bool | int | float]:
    return {str(name): value for name, value in values.items() if isinstance(value, bool | int | float)}


def _read(path: Path) -> dict[str, Any]:
    """A JSON object; empty where there is none."""
    try:
        values = runs.read_json(path)
    except UserError:
        return {}
    return values if isinstance(values, dict) else {}
