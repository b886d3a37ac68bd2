"""What the doctor finds about the set-up: Galen's environment, and each package against its pin."""

import csv
import json
import os
import re
import sys
from collections.abc import Iterator
from importlib import metadata, util
from pathlib import Path
from typing import Any

from models import runs
from ui.doctor.finding import AGAIN, BAD, CAUTION, FAILURES, GOOD, NOTHING_TO_DO, Finding

VENV = runs.ROOT / ".venv"
SETS = ("chat", "train")
PIN = re.compile(r"^([\w.-]+)==([\w.+!-]+) *(?:; *([^#\n]+))?", re.M)
START = "Start Galen with: python launcher.py"
TRAINING = "python launcher.py setup --all installs what training, export and evaluation need."
SHOWN = 6                       # of the packages that differ


def environment() -> Iterator[Finding]:
    """Whether this runs in the environment that the launcher made, and with which llama.cpp it made it."""
    marks = {name: _mark(name) for name in ("venv", *SETS, "llama")}
    if not _is_own():
        is_set_up = all(marks[name] for name in ("venv", "chat", "llama"))
        yield Finding(
            name="Set-up", personal=sys.prefix, state=CAUTION,
            found="another Python than that of Galen's own environment runs this" if is_set_up else
            "Galen's own environment is not set up", advice=START)
        return
    missing = [name for name in ("chat", "llama") if not marks[name]]
    sets = ", ".join(name for name in SETS if marks[name])
    yield Finding(
        name="Set-up", state=BAD if missing else GOOD,
        found=f"unfinished: {' and '.join(missing)} missing" if missing else
        f"Galen's own environment (sets: {sets}; llama.cpp: {marks['llama'].get('backend', '?')})",
        advice="Run python launcher.py setup; it goes on where it was cut off." if missing else NOTHING_TO_DO)


def _is_own() -> bool:
    """True if the environment that the launcher made runs this."""
    return Path(sys.prefix).resolve() == VENV.resolve()


def _mark(name: str) -> dict[str, Any]:
    """The launcher's completion mark; empty where there is none."""
    try:
        values = json.loads((VENV / f"galen-{name}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def chat_set() -> Iterator[Finding]:
    """The packages that page, API and chat need."""
    yield compared("Packages for chat", versions("chat"))


def training_set() -> Iterator[Finding]:
    """The packages for training: all of them, or none."""
    found = versions("train")
    if util.find_spec("torch") is None:
        yield Finding(name="Packages for training", state=GOOD, found="not installed", advice=TRAINING)
    else:
        yield compared("Packages for training", found)


def compared(name: str, found: dict[str, tuple[str, str]]) -> Finding:
    """What versions() found, as a finding."""
    missing = [package for package, (_, here) in found.items() if not here]
    others = [f"{package} {here} (pinned: {pin})" for package, (pin, here) in found.items()
              if here and here.partition("+")[0] != pin]
    mend = AGAIN if _is_own() else START
    if missing:
        return Finding(name=name, state=BAD, found=f"missing: {_some(missing)}", advice=mend)
    damaged = [package for package in found if not is_whole(package)]
    if damaged:
        return Finding(name=name, state=BAD, advice=mend,
                       found=f"files are missing or cut short of: {_some(damaged)}")
    if others:
        return Finding(name=name, state=CAUTION, found=f"other versions than tested: {_some(others)}", advice=mend)
    return Finding(name=name, state=GOOD, found=f"all {len(found)} as pinned")


def _some(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def versions(name: str) -> dict[str, tuple[str, str]]:
    """Package -> (pinned version, installed version or ""), for the pins of a set that apply to this system."""
    text = (runs.ROOT / f"requirements/{name}.txt").read_text(encoding="utf-8")
    return {package: (pin, installed(package)) for package, pin, marker in PIN.findall(text) if _applies(marker)}


def _applies(marker: str) -> bool:
    if not marker.strip():
        return True
    try:
        from packaging.markers import Marker
    except FAILURES:            # packaging is a pin itself, named where it is missing; or it is not whole
        return False
    return bool(Marker(marker.strip()).evaluate())


def is_whole(package: str) -> bool:
    """False if a file of an installed package is missing or has another size, as security software or a full disk
    leave it. Scripts are not looked at: a moved environment has others."""
    try:
        there = metadata.distribution(package)
        folder = str(there.locate_file(""))
        rows = csv.reader((there.read_text("RECORD") or "").splitlines())
        sizes = {row[0]: int(row[2]) for row in rows if len(row) == 3 and row[2] and not row[0].startswith("..")}
    except FAILURES:            # it is not installed, or by a tool that keeps no such record
        return True
    try:
        return all(os.path.getsize(os.path.join(folder, name)) == size for name, size in sizes.items())
    except OSError:
        return False


def installed(package: str) -> str:
    """The version of a package that is installed; "" for none, or one that was not copied whole."""
    try:
        return metadata.version(package) or ""
    except FAILURES:
        return ""
