"""What an export starts from: base, adapters, held-out rows, and the names of what comes out."""

import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convert.adapter import CONFIG
from convert.config import ExportConfig
from models import runs
from models.base import family, fingerprint
from models.errors import UserError
from models.library import DEMO_NAME, find_base
from models.tuned import adapter_fingerprint, adapters_before, base_of, check_fingerprint, demo_fingerprint, sha256

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
                              "fingerprint": adapter_fingerprint(path)} for path in self.adapters],
                "heldout": sha256(self.heldout)[:16] if self.heldout else None}


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
    adapters = tuple(path for one in chain if one.adapter for path in (*adapters_before(one.adapter), one.adapter))
    twice = next((path for path in adapters if adapters.count(path) > 1), None)
    if twice:
        raise UserError(f"The adapter {twice} is named twice; name each once, in the order of the trainings.")
    first = chain[0]
    base = find_base(config.base or base_of(first.adapter)) if first.adapter else find_base(str(first.folder))
    if adapters:                    # the later ones saw a base that holds the earlier ones: no file to compare with
        check_fingerprint(adapters[0], base)
    last = chain[-1]
    name = config.name or last.name
    stem = _stem(name)
    out = (runs.typed(config.out).resolve() if config.out
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
    for folder in (runs.typed(source).resolve(), runs.home() / "runs" / source):
        if folder.is_dir():
            return folder
    raise UserError(f"There is no folder {source!r}; give a training run, an adapter or a model folder.")


def _title(base: Path, name: str) -> str:
    """The embedded model and what is tuned from it keep its name, by which the app says what it is."""
    is_demo = fingerprint(base) == demo_fingerprint()
    if not is_demo or name.lower().startswith("galen demo"):
        return name
    return "Galen demo" if name == DEMO_NAME else f"Galen demo {name}"
