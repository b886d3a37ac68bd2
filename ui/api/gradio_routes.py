"""What of Gradio's own routes a client may use, and which files it may name to them: uploads of this page, no others.

Gradio 6.31 fetches addresses and copies files that a request names, checks nothing where it is mounted, and has
routes that no page of ours uses; so what goes in is looked at here, before it sees it.
"""

import json
from pathlib import Path
from typing import Any

PREFIX = "/gradio_api/"
FILE = PREFIX + "file="
USED = ("app_id", "cancel", "heartbeat/", "info", "queue/data", "queue/join", "reset", "run/predict", "startup-events",
        "theme.css", "upload", "upload_progress")
OWN = ("/login", "/logout", "/monitoring", "/proxy=", "/file=", "/file/", "/pwa_icon", "/manifest.json", "/dev/",
       "/custom_component/", "/deep_link")       # outside the prefix, or before Gradio had one
BODIES = ("queue/join", "run/predict", "cancel", "reset")
MOST_DEPTH = 100


def is_used(path: str) -> bool:
    """Whether the page needs this address of Gradio's; True for what is none of Gradio's."""
    if path.startswith(FILE):
        return True
    if path.startswith(PREFIX):
        return any(path[len(PREFIX):].rstrip("/") == one.rstrip("/") or (one.endswith("/") and path.startswith(
            PREFIX + one)) for one in USED)
    return not path.startswith(OWN)


def file_asked(path: str) -> str | None:
    """The file that a path of the server asks Gradio for; None for any other path."""
    return path[len(FILE):] if path.startswith(FILE) else None


def has_body(path: str) -> bool:
    """Whether what is sent there may name files."""
    return path.startswith(PREFIX) and path[len(PREFIX):].strip("/") in BODIES


def may_be_opened(name: str, folder: Path) -> bool:
    """Whether name is a file in the folder of uploads, behind every link."""
    try:
        place = Path(name).resolve(strict=True)
    except (OSError, ValueError, RuntimeError):
        return False
    return place.is_relative_to(folder.resolve()) and place.is_file()


def names_foreign_files(body: bytes, folder: Path) -> bool:
    """Whether a body names a file, in any of the ways that Gradio takes one, that is none of the uploads.

    True as well for JSON that is nested too deep to be looked through.
    """
    try:
        sent = json.loads(body)
    except RecursionError:
        return True
    except ValueError:
        return False                        # no JSON: Gradio refuses it
    waiting: list[tuple[Any, int]] = [(sent, 0)]
    while waiting:
        one, depth = waiting.pop()
        if depth > MOST_DEPTH:
            return True
        if isinstance(one, dict):
            named = one.get("path")
            if named is not None and not (isinstance(named, str) and may_be_opened(named, folder)) and (
                    isinstance(named, str) or "meta" in one):
                return True
            waiting += [(value, depth + 1) for value in one.values()]
        elif isinstance(one, list):
            waiting += [(value, depth + 1) for value in one]
    return False
