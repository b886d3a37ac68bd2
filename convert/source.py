"""What an export starts from: base, adapter, held-out rows, and the names of what comes out."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convert.config import ExportConfig
from models import runs
from models.base import family, fingerprint
from models.errors import UserError
from models.library import DEMO_NAME, find_base

ADAPTER_CONFIG = "adapter_config.json"
BASE_FILE = "base.json"          # beside it, where the adapter is ours: path, fingerprint and family of its base


@dataclass(frozen=True, kw_only=True)
class Source:
    """adapter and heldout are None where there are none. stem begins the file names, title is general.name."""
    base: Path
    adapter: Path | None
    heldout: Path | None
    out: Path
    stem: str
    title: str


def resolve(config: ExportConfig, run_folder: Path) -> Source:
    """Find what config.source means. Raises UserError if it is nothing that can be exported, or the base is another.

    run_folder: the export's own run folder, where the result goes when neither config nor source says where.
    """
    folder = _existing(config.source)
    adapter = next((f for f in (folder / runs.ADAPTER, folder) if (f / ADAPTER_CONFIG).is_file()), None)
    if adapter is None and (folder / runs.EVENTS).exists():
        raise UserError(f"The run {folder} holds no trained adapter; did the training finish?")
    base = find_base(config.base or _base_of(adapter)) if adapter else find_base(str(folder))
    if adapter:
        _check_fingerprint(adapter, base)
    is_run = adapter is not None and adapter != folder
    heldout = folder / runs.HELDOUT
    name = config.name or (folder.parent.name if folder.name == runs.ADAPTER else folder.name)
    stem = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.")
    if not stem:
        raise UserError(f"The name {name!r} gives no file name; use letters and digits.")
    out = Path(config.out).expanduser().resolve() if config.out else (folder if is_run else run_folder) / runs.EXPORT
    return Source(base=base, adapter=adapter, heldout=heldout if is_run and heldout.is_file() else None,
                  out=out, stem=stem, title=_title(base, name))


def _existing(source: str) -> Path:
    if source == DEMO_NAME:
        return runs.DEMO_BASE
    for folder in (Path(source).expanduser().resolve(), runs.home() / "runs" / source):
        if folder.is_dir():
            return folder
    raise UserError(f"There is no folder {source!r}; give a training run, an adapter or a model folder.")


def _base_of(adapter: Path) -> str:
    """The base that the adapter names: our own note first, then peft's, then the embedded one if it is that."""
    note = _settings(adapter / BASE_FILE) if (adapter / BASE_FILE).is_file() else {}
    named = [note.get("path"), _settings(adapter / ADAPTER_CONFIG).get("base_model_name_or_path")]
    named = [name for name in named if isinstance(name, str)]
    for name in filter(None, named):
        if name == DEMO_NAME or Path(name).expanduser().is_dir():
            return str(name)
    if note and note.get("fingerprint") == _demo_fingerprint():
        return DEMO_NAME                        # the program was moved since
    wanted = next(filter(None, named), None)
    if wanted is None:
        raise UserError(f"The adapter {adapter} does not say which base model it was trained on; name the base.")
    raise UserError(f"The adapter {adapter} was trained on {wanted!r}, which is no folder here; "
                    "name the base model's folder.")


def _settings(path: Path) -> dict[str, Any]:
    values = runs.read_json(path)
    if not isinstance(values, dict):
        raise UserError(f"{path} holds no settings by name; it is damaged.")
    return values


def _demo_fingerprint() -> str:
    return fingerprint(runs.DEMO_BASE) if (runs.DEMO_BASE / "config.json").is_file() else ""


def _check_fingerprint(adapter: Path, base: Path) -> None:
    note = adapter / BASE_FILE
    if not note.is_file():
        return
    values = _settings(note)
    if values.get("fingerprint") and values["fingerprint"] != fingerprint(base):
        raise UserError(f"The adapter {adapter} was trained on another base model ({values.get('path')}, "
                        f"{values.get('family')}), not on {base} ({family(base)}) as it is now; give the base it was "
                        "trained on.")


def _title(base: Path, name: str) -> str:
    """The embedded model and what is tuned from it keep its name, by which the app says what it is."""
    is_demo = fingerprint(base) == _demo_fingerprint()
    if not is_demo or name.lower().startswith("galen demo"):
        return name
    return "Galen demo" if name == DEMO_NAME else f"Galen demo {name}"
