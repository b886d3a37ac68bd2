"""The folder that is handed over: Modelfile, model card and checksums, written beside the checked files."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convert import modelfile, ollama
from convert.card import OURS, Facts, write_card
from convert.licence import read_licence
from convert.modelfile import Modelfile
from models import runs
from models.errors import UserError
from models.library import DEMO_NAME
from tasks.prompt import Tokenizer

CARD, SUMS = "README.md", "SHA256SUMS"
EDITED = (CARD, modelfile.NAME)                 # what people are expected to change by hand
WEIGHTS = (".gguf", ".safetensors")
SUM_LINE = re.compile(r"([0-9a-f]{64})  (\S.*)")
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class HandOver:
    """What the worker knows of an export. model: the GGUF that the Modelfile names ("": there is none)."""
    out: Path
    title: str
    base: Path
    adapters: Sequence[Path] = ()
    tokenizer: Tokenizer | None = None
    is_bos_added: bool = True
    model: str = ""
    projector: str = ""
    system: str = ""
    evaluations: Sequence[Path] = ()


@dataclass(frozen=True, kw_only=True)
class HandedOver:
    """described: None where there is no Modelfile. note: why not, or what it lacks. digests: hex sha256 by file name.
    """
    described: Modelfile | None
    note: str
    digests: dict[str, str]


def check_told(title: str, base: Path, adapters: Sequence[Path]) -> None:
    """Raise UserError if the model card could not be written: what base and adapters say of themselves is damaged."""
    write_card(Facts(title=title, base=base, licence=read_licence(base), adapters=adapters), {})


def check_free(out: Path, base: Path) -> None:
    """Raise UserError if out holds a README.md, Modelfile, licence or checksums that are not from an export of ours."""
    card = out / CARD
    if card.is_file() and OURS in card.read_text(encoding="utf-8", errors="replace"):
        return
    for name in (CARD, modelfile.NAME, SUMS, *(path.name for path in read_licence(base).files)):
        if (out / name).exists():
            raise UserError(f"{out / name} exists already and is not from an export; choose an empty folder for this "
                            "one.")


def check_same(out: Path, made_from: Mapping[str, Any]) -> None:
    """Raise UserError if model files lie in out that an export of another base or other adapters put there.

    One folder has one card and one report, which would say of those files what is true of the new ones only.
    made_from: as Source.made_from gives it.
    """
    report = _report(out)
    listed = [*(one.get("name", "") for one in report.get("files", ()) if isinstance(one, dict)), *_sums(out)]
    kept = [name for name in dict.fromkeys(listed) if name.endswith(WEIGHTS) and (out / name).is_file()]
    if not kept:
        return
    before = report.get("made_from")
    if not isinstance(before, dict):
        raise UserError(f"{out} holds {kept[0]}, and its {runs.REPORT} does not say what that was made from; choose "
                        "another folder for this export.")
    for key, what in (("base", "another base model"), ("adapters", "other adapters")):
        if _prints(before.get(key)) != _prints(made_from[key]):
            raise UserError(f"{out} holds {kept[0]}, which was made from {what} ({_named(before.get(key))}, now "
                            f"{_named(made_from[key])}); choose another folder for this export.")


def check_replaceable(path: Path, heldout: str = "") -> None:
    """Raise UserError if path is there and not from an export, or a file there was made with it from other rows.

    It is asked of what a later export makes again beside its own files: the vision tower, the importance matrix (for
    which heldout is the fingerprint of the rows).
    """
    if not path.exists():
        return
    if path.name not in _sums(path.parent):
        raise UserError(f"{path} exists already and is not from an export; delete or rename it, or give the export "
                        "another name or folder.")
    for one in _report(path.parent).get("files", ()) if heldout else ():
        made = one.get("made_from", {})
        if (made.get("importance") == path.name and made.get("heldout") != heldout
                and (path.parent / one["name"]).is_file()):
            raise UserError(f"{path} was made from other held-out rows, and {one['name']} with it; give the export "
                            "another name or folder.")


def _report(out: Path) -> dict[str, Any]:
    report = runs.read_json(out / runs.REPORT) if (out / runs.REPORT).is_file() else {}
    return report if isinstance(report, dict) else {}


def _named(said: Any) -> str:
    """Base or adapters of a made_from, for a person."""
    names = [one.get("name") for one in (said if isinstance(said, list) else [said]) if isinstance(one, dict)]
    return ", then ".join(f"{name} {kind}" for name, kind in zip(names, _prints(said), strict=True)) or "none"


def _prints(said: Any) -> list[Any]:
    """The fingerprints alone: a base may have been moved or renamed since."""
    return [one.get("fingerprint") for one in (said if isinstance(said, list) else [said]) if isinstance(one, dict)]


def complete(wanted: HandOver, files: Sequence[str], progress: Progress) -> HandedOver:
    """Write Modelfile, licence, card and checksums into wanted.out; each appears whole.

    files: what this export put there, by name (merged weights as "folder/file"), without the check's report, which
    is found; what earlier exports put there and is still there stays in the checksums, under its sum of then: a file
    that was damaged since must not look whole. progress may raise to stop.
    """
    licence, earlier = read_licence(wanted.base), _sums(wanted.out)
    found = [*earlier, *files, runs.REPORT, Path(runs.REPORT).with_suffix(".html").name]
    ours = [name for name in dict.fromkeys(found) if (wanted.out / name).is_file()
            and name not in (CARD, *([modelfile.NAME] if wanted.model else []))]
    described, note = _describe(wanted, licence.text)
    if described:
        _write(wanted.out / modelfile.NAME, described.text())
        ours.append(modelfile.NAME)
    elif wanted.model:
        (wanted.out / modelfile.NAME).unlink(missing_ok=True)       # an earlier one, of another base
    for path in licence.files:
        _write(wanted.out / path.name, path.read_text(encoding="utf-8", errors="replace"))
        ours.append(path.name)
    report = _report(wanted.out)
    ours = list(dict.fromkeys(ours))
    ggufs = [name for name in ours if name.endswith(".gguf") and not name.startswith(("mmproj", "imatrix"))]
    facts = Facts(title=wanted.title, base=wanted.base, licence=licence, adapters=wanted.adapters, ggufs=ggufs,
                  others=[name for name in ours if name not in ggufs], evaluations=wanted.evaluations,
                  is_embedded=wanted.title.lower().startswith(f"galen {DEMO_NAME}"))
    _write(wanted.out / CARD, write_card(facts, report))
    kept = {name: digest for name, digest in earlier.items() if name.endswith(WEIGHTS) and name not in files}
    digests = {name: kept.get(name) or ollama.sha256(wanted.out / name, f"Checksum of {name}", progress)
               for name in [*ours, CARD]}
    _write_sums(wanted.out, digests)
    return HandedOver(described=described, note=note, digests=digests)


def earlier(out: Path) -> list[str]:
    """The names of what earlier exports put into out, as far as it is still there."""
    listed = [one.get("name", "") for one in _report(out).get("files", ()) if isinstance(one, dict)]
    texts = [runs.REPORT, Path(runs.REPORT).with_suffix(".html").name, CARD, SUMS, modelfile.NAME]
    return [name for name in dict.fromkeys([*_sums(out), *listed, *texts]) if name and ".." not in name
            and (out / name).is_file() and not Path(name).is_absolute()]


def handed_over(out: Path) -> list[str]:
    """The files that belong to the hand-over, by name: what the checksums list, and the list. UserError if none."""
    names = list(_sums(out))
    if not names:
        raise UserError(f"{out} holds no {SUMS}, so it is not known what belongs to the export; export again.")
    missing = [name for name in names if not (out / name).is_file()]
    if missing:
        raise UserError(f"{missing[0]} is no longer in {out}, though {SUMS} lists it; export again.")
    return [*names, SUMS]


def verify(out: Path, progress: Progress) -> list[str]:
    """Hold every file of the hand-over against its checksum; returns those texts that were edited since.

    The sums of edited texts (model card, Modelfile) are written anew. Raises UserError if another file is not what it
    was, or something is missing. progress may raise to stop.
    """
    handed_over(out)
    sums = _sums(out)
    found = {name: ollama.sha256(out / name, f"Verifying {name}", progress) for name in sums}
    other = [name for name in sums if found[name] != sums[name]]
    spoilt = [name for name in other if name not in EDITED]
    if spoilt:
        raise UserError(f"{spoilt[0]} in {out} is not the file that {SUMS} lists: it was changed or damaged since the "
                        "export. Export again.")
    if other:
        _write_sums(out, found)
    return other


def _describe(wanted: HandOver, licence: str) -> tuple[Modelfile | None, str]:
    """The Modelfile, or None and why there is none."""
    if not wanted.model or wanted.tokenizer is None:
        return None, "There is no GGUF for a Modelfile."
    try:
        made = modelfile.make(wanted.base, wanted.tokenizer, wanted.model, projector=wanted.projector,
                              system=wanted.system, licence=licence, is_bos_added=wanted.is_bos_added)
        made.text()
    except UserError as error:
        return None, f"No Modelfile: {error}"
    return made, f"{modelfile.NAME}: {modelfile.NO_SYSTEM}" if modelfile.NO_SYSTEM in made.notes else ""


def _sums(out: Path) -> dict[str, str]:
    """{name: hex sha256} as the checksums list them, in order; {} where there are none."""
    path = out / SUMS
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return {found[2]: found[1] for found in map(SUM_LINE.fullmatch, lines) if found}


def _write_sums(out: Path, digests: Mapping[str, str]) -> None:
    _write(out / SUMS, "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items())))


def _write(path: Path, text: str) -> None:
    with runs.whole_file(path) as part:
        part.write_bytes(text.encode("utf-8"))
