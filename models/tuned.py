"""What a PEFT adapter folder says of itself: its base, the adapters before it, its fingerprint."""

import hashlib
import json
from pathlib import Path
from typing import Any

from models import runs
from models.base import family, fingerprint
from models.errors import UserError
from models.library import DEMO_NAME

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def base_of(adapter: Path) -> str:
    """The base that the adapter names: our own note first, then peft's, then the embedded one if it is that."""
    note = _settings(adapter / runs.BASE) if (adapter / runs.BASE).is_file() else {}
    named = [note.get("path"), _settings(adapter / CONFIG).get("base_model_name_or_path")]
    named = [name for name in named if isinstance(name, str)]
    for name in filter(None, named):
        if name == DEMO_NAME or runs.typed(name).is_dir():
            return str(name)
    if note and note.get("fingerprint") == demo_fingerprint():
        return DEMO_NAME                        # the program was moved since
    wanted = next(filter(None, named), None)
    if wanted is None:
        raise UserError(f"The adapter {adapter} does not say which base model it was trained on; name the base.")
    raise UserError(f"The adapter {adapter} was trained on {wanted!r}, which is no folder here; "
                    "name the base model's folder.")


def adapters_before(adapter: Path) -> list[Path]:
    """The adapters that were merged into the base when this one was trained on it, in order: the stages before it.

    Its base.json names them from where it lies. Raises UserError if one is not there.
    """
    note = _settings(adapter / runs.BASE) if (adapter / runs.BASE).is_file() else {}
    named = note.get("before", [])
    if not isinstance(named, list) or not all(isinstance(one, str) for one in named):
        raise UserError(f"{adapter / runs.BASE} does not name the stages before this one as a list; it is damaged.")
    found = [(adapter / one).resolve() for one in named]
    for path in found:
        if not (path / CONFIG).is_file():
            raise UserError(f"The adapter {adapter} was trained on its base with {path} merged into it, and there is "
                            "no adapter; keep the whole run folder together.")
    return found


def adapter_fingerprint(adapter: Path) -> str:
    """16 hex digits over an adapter's weights and settings, but for where its base lay."""
    settings = {key: value for key, value in _settings(adapter / CONFIG).items() if key != "base_model_name_or_path"}
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for path in sorted(adapter.glob(f"{Path(WEIGHTS).stem}.*")):
        digest.update(sha256(path).encode())
    return digest.hexdigest()[:16]


def check_fingerprint(adapter: Path, base: Path) -> None:
    """Raise UserError if the adapter was trained on another base than this one as it is now."""
    note = adapter / runs.BASE
    if not note.is_file():
        return
    values = _settings(note)
    if values.get("fingerprint") and values["fingerprint"] != fingerprint(base):
        raise UserError(f"The adapter {adapter} was trained on another base model ({values.get('path')}, "
                        f"{values.get('family')}), not on {base} ({family(base)}) as it is now; give the base it was "
                        "trained on.")


def demo_fingerprint() -> str:
    """Of the embedded base; "" where it is missing."""
    return fingerprint(runs.DEMO_BASE) if (runs.DEMO_BASE / "config.json").is_file() else ""


def _settings(path: Path) -> dict[str, Any]:
    values = runs.read_json(path)
    if not isinstance(values, dict):
        raise UserError(f"{path} holds no settings by name; it is damaged.")
    return values


def sha256(path: Path) -> str:
    """64 hex digits over the file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
