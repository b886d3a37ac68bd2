"""The commands `models list`, `pull`, `add` and `rm`: what they read, and what they print."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from models import removal, runs
from models.errors import UserError
from tasks.visible import visible
from ui.terminal import quoted, size


def run(options: argparse.Namespace) -> int:
    """Do what is asked of the models; without a word, list them."""
    return {"list": _list, "pull": _pull, "add": _add, "rm": _remove}[options.what or "list"](options)


def _list(options: argparse.Namespace) -> int:
    """What is here, or with --available what the catalog offers."""
    from ui.actions import model_files
    found = model_files.available() if options.available else model_files.here()
    if options.json:
        print(json.dumps(found))
        return 0
    for one in found:
        print(visible("\t".join(_offered(one) if options.available else (one["name"], one["title"], one["path"]))))
    return 0


def _offered(one: dict[str, Any]) -> tuple[str, ...]:
    types = "; ".join(f"{kind['type']} {size(kind['bytes'] / 1e6)}, {kind['fits']}" for kind in one["types"])
    return one["id"], one["title"], types or "only for training (--base)", one["licence"]


def _pull(options: argparse.Namespace) -> int:
    """Fetch a model; Ctrl-C pauses it, and the same command goes on."""
    from ui import jobs, terminal
    from ui.actions import model_files, pull
    config = pull.config_of(options.id, options.base, model_files.machine_here)
    folder, process, seen = pull.start(config)
    progress = terminal.Progress()
    names = ", ".join(config.files) or f"the model folder of {config.repo}"
    progress.line(visible(f"From {config.repo}: {names}"))
    again = f"python launcher.py models pull {quoted(options.id)}{' --base' if options.base else ''}"
    try:
        progress.follow(jobs.follow(folder, process, seen))
    except KeyboardInterrupt:
        progress.line("Pausing ...")
        jobs.stop(folder)
        progress.follow(event for event in jobs.follow(folder, process, seen) if event["kind"] in ("done", "error"))
    except jobs.Interrupted as error:
        raise UserError(f"{error} It goes on where it was with: {again}") from error
    if not (folder / runs.RESULT).exists():
        print(f"Paused; what was fetched is kept. It goes on with: {again}", file=sys.stderr)
        return 130
    return _told(runs.read_json(folder / runs.RESULT), config.files == (), options.json)


def _told(result: dict[str, Any], is_base: bool, is_json: bool) -> int:
    from ui.actions import model_files
    name = "" if is_base else model_files.name_of(result["files"])
    if is_json:
        print(json.dumps({"name": name, **result}))
        return 0
    print(visible(f"{size(result['bytes'] / 1e6)} in {result['path']}"))
    if name:
        print(f"Talk to it: python launcher.py chat {quoted(name)}")
    elif is_base:
        print(f"Train it: python launcher.py train answer --base {quoted(result['path'])} --data FILE")
    return 0


def _add(options: argparse.Namespace) -> int:
    """Put a GGUF into the models folder."""
    from ui.actions import model_files
    to = model_files.add(Path(options.file))
    print(json.dumps({"name": to.stem, "path": str(to), "bytes": to.stat().st_size}) if options.json else
          visible(f"{to.name} is here. Talk to it: python launcher.py chat {quoted(to.stem)}"))
    return 0


def _remove(options: argparse.Namespace) -> int:
    """Delete a model's files, where that is ours to do."""
    from ui.actions import model_files
    freed, needed_by = model_files.remove(options.name)
    if options.json:
        print(json.dumps({"freed_bytes": freed, "named_by": needed_by}))
        return 0
    print(visible(removal.told(freed, size(freed / 1e6))))
    if needed_by:
        print(visible(f"These runs name it, and can not be repeated without it: {', '.join(needed_by)}."))
    return 0
