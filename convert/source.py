"""What an export starts from: base, adapters, held-out rows, and the names of what comes out."""

import hashlib
import json
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convert.adapter import CONFIG, WEIGHTS
from convert.config import ExportConfig
from models import runs
from models.base import family, fingerprint
from models.errors import UserError
from models.library import DEMO_NAME, find_base

SNAPSHOTS, CACHED = "snapshots", "models--"     # models--OWNER--NAME/snapshots/COMMIT: Hugging Face's cache
STEM_BYTES = 150                # of the 255 that a file name may have; types, numbers and endings follow


@dataclass(frozen=True, kw_only=True)
class Source:
    """adapters: in the order in which they are applied, none for a plain model. heldout is None where there is none.

    stem begins the file names, title is general.name.
    """
    base: Path
    adapters: tuple[Path, ...]
    heldout: Path | None
    out: Path
    stem: str
    title: str

    def made_from(self) -> dict[str, Any]:
        """Names and fingerprints of base, adapters and held-out rows: what tells one model's files from another's."""
        return {"base": {"name": self.base.name, "fingerprint": fingerprint(self.base), "family": family(self.base)},
                "adapters": [{"name": path.parent.name if path.name == runs.ADAPTER else path.name,
                              "fingerprint": _adapter_fingerprint(path)} for path in self.adapters],
                "heldout": _sha256(self.heldout)[:16] if self.heldout else None}


@dataclass(frozen=True, kw_only=True)
class Named:
    """One folder that the person named; adapter is None for a plain model folder."""
    folder: Path
    adapter: Path | None

    @property
    def is_run(self) -> bool:
        return self.adapter is not None and self.adapter != self.folder

    @property
    def name(self) -> str:
        if self.folder.parent.name == SNAPSHOTS and self.folder.parent.parent.name.startswith(CACHED):
            return self.folder.parent.parent.name.rpartition("--")[2]
        return self.folder.parent.name if self.folder.name == runs.ADAPTER else self.folder.name


def resolve(config: ExportConfig, run_folder: Path) -> Source:
    """Find what config.source and config.more mean. Raises UserError if that is nothing that can be exported.

    The last of several gives the name, the folder of the result, and the held-out rows if it has any: its training is
    the one that made the model what it is. run_folder: the export's own run folder, where the result goes when
    neither config nor that last one says where.
    """
    chain = [_named(text) for text in (config.source, *config.more)]
    for one in chain[1:]:
        if one.adapter is None:
            raise UserError(f"{one.folder} holds no adapter; only trained runs and adapters can follow "
                            f"{config.source!r}.")
    adapters = tuple(path for one in chain if one.adapter for path in (*_before(one.adapter), one.adapter))
    twice = next((path for path in adapters if adapters.count(path) > 1), None)
    if twice:
        raise UserError(f"The adapter {twice} is named twice; name each once, in the order of the trainings.")
    first = chain[0]
    base = find_base(config.base or _base_of(first.adapter)) if first.adapter else find_base(str(first.folder))
    if adapters:                    # the later ones saw a base that holds the earlier ones: no file to compare with
        _check_fingerprint(adapters[0], base)
    last = chain[-1]
    name = config.name or last.name
    stem = _stem(name)
    out = (Path(config.out).expanduser().resolve() if config.out
           else (last.folder if last.is_run else run_folder) / runs.EXPORT)
    if out in (base.resolve(), *(path.resolve() for path in adapters)):
        raise UserError(f"The export would go into {out}, which it is made from; give another folder.")
    kept = [one.folder / runs.HELDOUT for one in chain if one.is_run and (one.folder / runs.HELDOUT).is_file()]
    return Source(base=base, adapters=adapters, heldout=kept[-1] if kept else None, out=out, stem=stem,
                  title=_title(base, name))


def _stem(name: str) -> str:
    """What the file names begin with: letters and digits of any script. Raises UserError if name has none."""
    kept = (one if one in "_.-" or unicodedata.category(one)[0] in "LMN" else " "       # letters, marks, numbers
            for one in unicodedata.normalize("NFC", name))
    stem = re.sub(" +", "-", "".join(kept)).encode()[:STEM_BYTES]
    text = stem.decode("utf-8", "ignore").strip("-.")
    if not text:
        raise UserError(f"The name {name!r} gives no file name; use letters and digits.")
    return text


def _named(text: str) -> Named:
    """Raises UserError if there is no such folder, or it is a run that has nothing to export yet."""
    folder = _existing(text)
    adapter = next((f for f in (folder / runs.ADAPTER, folder) if (f / CONFIG).is_file()), None)
    if adapter is None and (folder / runs.EVENTS).exists():
        raise UserError(f"The run {folder} holds no trained adapter; did the training finish?")
    return Named(folder=folder, adapter=adapter)


def _existing(source: str) -> Path:
    if source == DEMO_NAME:
        return runs.DEMO_BASE
    for folder in (Path(source).expanduser().resolve(), runs.home() / "runs" / source):
        if folder.is_dir():
            return folder
    raise UserError(f"There is no folder {source!r}; give a training run, an adapter or a model folder.")


def _base_of(adapter: Path) -> str:
    """The base that the adapter names: our own note first, then peft's, then the embedded one if it is that."""
    note = _settings(adapter / runs.BASE) if (adapter / runs.BASE).is_file() else {}
    named = [note.get("path"), _settings(adapter / CONFIG).get("base_model_name_or_path")]
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


def _before(adapter: Path) -> list[Path]:
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


def _adapter_fingerprint(adapter: Path) -> str:
    """16 hex digits over an adapter's weights and settings, but for where its base lay."""
    settings = {key: value for key, value in _settings(adapter / CONFIG).items() if key != "base_model_name_or_path"}
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for path in sorted(adapter.glob(f"{Path(WEIGHTS).stem}.*")):
        digest.update(_sha256(path).encode())
    return digest.hexdigest()[:16]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _settings(path: Path) -> dict[str, Any]:
    values = runs.read_json(path)
    if not isinstance(values, dict):
        raise UserError(f"{path} holds no settings by name; it is damaged.")
    return values


def _demo_fingerprint() -> str:
    return fingerprint(runs.DEMO_BASE) if (runs.DEMO_BASE / "config.json").is_file() else ""


def _check_fingerprint(adapter: Path, base: Path) -> None:
    note = adapter / runs.BASE
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
