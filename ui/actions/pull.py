"""A model fetched from the command line: what ID[:TYPE] means, and its job, which goes on where one was paused."""

import subprocess
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from models import catalog, knobs, listing, runs
from models.catalog import Entry
from models.download import DownloadConfig
from models.errors import UserError
from models.hub_words import Gone
from models.listing import Choice, Listing, gguf_choices
from ui import job_folder, jobs
from ui.actions.downloads import CANCELLED, KIND, MODULE
from ui.actions.offers import files_of

if TYPE_CHECKING:
    from ui.actions.fits import Machine


def config_of(words: str, is_base: bool, machine: "Callable[[], AbstractContextManager[Machine]]",
              ask: Callable[[str], Listing] = listing.ask) -> DownloadConfig:
    """What "ID", "ID:TYPE", "OWNER/NAME" or "OWNER/NAME:TYPE" asks for. The hub is asked what there is.

    Without a type the largest one that fits this machine is taken. Raises UserError naming what there is.
    """
    name, _, kind = words.strip().partition(":")
    entry = _entry(name)
    if is_base:
        if kind:
            raise UserError(f"--base fetches the whole model folder of {name}, which has no type; leave out :{kind}.")
        return DownloadConfig(repo=entry.hub_id if entry else name, entry=entry.id if entry else "")
    said = _asked(_repositories(name, entry), ask)
    repo = said.repo
    choice = _chosen(repo, gguf_choices(said), kind, entry, machine)
    return DownloadConfig(repo=repo, entry=entry.id if entry else "",
                          files=tuple(file.name for file in files_of(choice, entry)))


def _entry(name: str) -> Entry | None:
    try:
        return catalog.find(name)
    except UserError:
        if "/" in name:         # a repository that the catalog does not know
            return None
        raise


def _repositories(name: str, entry: Entry | None) -> list[str]:
    """Where to ask: the repository that was named, else all that the entry has."""
    if entry is None:
        return [name]
    repos = [source.repo for source in entry.ggufs]
    named = [repo for repo in repos if repo.casefold() == name.casefold()]
    if not repos:
        raise UserError(f"Nobody offers {entry.title} as a GGUF that Galen knows of; fetch the original with --base "
                        "and export it, or name a repository as OWNER/NAME.")
    return named or repos


def _asked(repos: Sequence[str], ask: Callable[[str], Listing]) -> Listing:
    """What the first of them holds that is there. Raises what was said of the first one if none is."""
    gone: list[Gone] = []
    for repo in repos:
        try:
            return replace(ask(repo), repo=repo)        # as it was asked for: its folder is called so
        except Gone as error:
            gone.append(error)
    raise gone[0]


def _chosen(repo: str, choices: Sequence[Choice], kind: str, entry: Entry | None,
            machine_here: "Callable[[], AbstractContextManager[Machine]]") -> Choice:
    if not choices:
        raise UserError(f"{repo} holds no GGUF; name another repository, or fetch its model folder with --base.")
    listed = ", ".join(f"{one.type} ({one.bytes / 1e9:.1f} GB)" for one in choices)
    if kind:
        found = next((one for one in choices if one.type.casefold() == kind.casefold()), None)
        if found is None:
            raise UserError(f"{repo} holds no {kind}; there are {listed}.")
        return found
    if len(choices) == 1:
        return choices[0]
    if entry is None:
        raise UserError(f"{repo} holds several types; name one, as {repo}:{choices[0].type}. There are {listed}.")
    with machine_here() as machine:
        fitting = [one for one in choices
                   if machine.for_file(one.bytes, entry, one.type).kind in ("fits", "less context")]
    if not fitting:
        raise UserError(f"None of the types of {entry.title} fits this machine; to fetch one all the same, name it. "
                        f"There are {listed}.")
    return max(fitting, key=lambda one: one.bytes)


def start(config: DownloadConfig) -> tuple[Path, subprocess.Popen | None, int]:
    """Begin the job, or go on with the one that asked for the same: (its folder, process, old events' end).

    The process is None where another Galen fetches this already; its events can be followed all the same.
    """
    before = next((folder for folder in sorted((runs.home() / "runs").glob("*")) if _asks(folder, config)), None)
    if before is None:
        folder = runs.new_run(f"download-{config.entry or config.repo.rpartition('/')[2]}")
        return folder, jobs.start(MODULE, folder, config), 0
    events = before / runs.EVENTS
    seen = events.stat().st_size if events.is_file() else 0
    if job_folder.is_alive(before):
        return before, None, seen
    job_folder.claim(before)
    for name in (runs.STOP, CANCELLED):
        (before / name).unlink(missing_ok=True)
    return before, jobs.launch(MODULE, before), seen


def _asks(folder: Path, config: DownloadConfig) -> bool:
    """True for a run folder of an unfinished download of the same."""
    if (folder / runs.RESULT).exists() or job_folder.asked_of(folder).kind != KIND:
        return False
    try:
        return knobs.from_json(DownloadConfig, job_folder.config_of(folder)) == config
    except (UserError, TypeError):
        return False
