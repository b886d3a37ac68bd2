"""The folder that is handed over: Modelfile, model card and checksums, written beside the checked files."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from convert import modelfile, ollama
from convert.card import Facts, write_card
from convert.licence import read_licence
from convert.modelfile import Modelfile
from models import runs
from models.errors import UserError
from models.library import DEMO_NAME
from tasks.prompt import Tokenizer

CARD, SUMS = "README.md", "SHA256SUMS"
OURS = "exported and checked by Galen"          # in every card that write_card made
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
    evaluation: Path | None = None


@dataclass(frozen=True, kw_only=True)
class HandedOver:
    """described: None where there is no Modelfile, and why stands in note. digests: hex sha256 by file name."""
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


def complete(wanted: HandOver, files: Sequence[str], progress: Progress) -> HandedOver:
    """Write Modelfile, licence, card and checksums into wanted.out; each appears whole.

    files: what this export put there, by name (merged weights as "folder/file"), without the check's report, which
    is found; what earlier exports put there and is still there stays in the checksums. progress may raise to stop.
    """
    licence = read_licence(wanted.base)
    found = [*_summed(wanted.out), *files, runs.REPORT, Path(runs.REPORT).with_suffix(".html").name]
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
    report = runs.read_json(wanted.out / runs.REPORT) if (wanted.out / runs.REPORT).is_file() else {}
    ours = list(dict.fromkeys(ours))
    ggufs = [name for name in ours if name.endswith(".gguf") and not name.startswith(("mmproj", "imatrix"))]
    facts = Facts(title=wanted.title, base=wanted.base, licence=licence, adapters=wanted.adapters, ggufs=ggufs,
                  others=[name for name in ours if name not in ggufs], evaluation=wanted.evaluation,
                  is_embedded=wanted.title.lower().startswith(f"galen {DEMO_NAME}"))
    _write(wanted.out / CARD, write_card(facts, report))
    digests = {name: ollama.sha256(wanted.out / name, f"Checksum of {name}", progress) for name in [*ours, CARD]}
    _write(wanted.out / SUMS, "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items())))
    return HandedOver(described=described, note=note, digests=digests)


def handed_over(out: Path) -> list[str]:
    """The files that belong to the hand-over, by name: what the checksums list, and the list. UserError if none."""
    names = _summed(out)
    if not names:
        raise UserError(f"{out} holds no {SUMS}, so it is not known what belongs to the export; export again.")
    missing = [name for name in names if not (out / name).is_file()]
    if missing:
        raise UserError(f"{missing[0]} is no longer in {out}, though {SUMS} lists it; export again.")
    return [*names, SUMS]


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
    return made, ""


def _summed(out: Path) -> list[str]:
    """The names in the checksums, in order; [] where there are none."""
    path = out / SUMS
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return [found[2] for found in map(SUM_LINE.fullmatch, lines) if found]


def _write(path: Path, text: str) -> None:
    with runs.whole_file(path) as part:
        part.write_bytes(text.encode("utf-8"))
