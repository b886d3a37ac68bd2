"""Where one GGUF lies, whose it is, and what the program that put it there says of it."""

import os
from dataclasses import dataclass
from pathlib import Path

SWITCH = "GALEN_ELSEWHERE"      # "no": the folders of other programs are not looked into
HF_CACHE = "Hugging Face cache"


@dataclass(frozen=True, kw_only=True)
class Spot:
    """One model file, or the first part of one."""
    path: Path
    program: str = ""           # "Ollama", ...; "" for the embedded model and what lies in the user's own folder
    name: str = ""              # as that program calls it; "": its file name says enough
    also: tuple[str, ...] = ()  # what else that program calls this very file
    repo: str = ""              # of the hub, where the place says so
    parts: tuple[str, ...] = () # names of the files that are there, of a model in several
    projectors: tuple[Path, ...] = ()   # that may belong to it
    is_own_projector: bool = False      # they belong to it whatever they call themselves: of one repository or manifest
    rank: int = 3               # where it stands in a list: models/shelf.py
    problem: str = ""           # why it can not be used, as far as the place says
    has_go_template: bool = False       # Ollama keeps the template of this model outside of the file
    is_known_template: bool = False     # and it is one that Galen knows


def user_home() -> Path | None:
    """The user's home folder, in which programs keep their models; None if they are not to be looked for."""
    if os.environ.get(SWITCH, "").strip().lower() in ("no", "0", "off", "false"):
        return None
    try:
        return Path.home()
    except RuntimeError:
        return None             # a user without a home
