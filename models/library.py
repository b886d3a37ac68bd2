"""Models by name: the embedded one, the user's GGUFs, those of runs and of other programs, and base model folders."""

import os
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from models import runs
from models.base import check_base
from models.errors import UserError
from models.facts import Facts
from models.folders import Folders
from models.ggufs import ggufs_in
from models.header import one_line, read_metadata
from models.opened import full_path
from models.shelf import EMBEDDED, Entry, Shelf
from models.split import part_names, part_of

DEMO_NAME = "demo"
DEMO_WORDS = "Galen's embedded model: a demonstration of the workflow, of no medical use."

PARTS = {"adapter": "an adapter (LoRA), to be switched on beside the base it was trained on",
         "mmproj": "a vision projector, which lies beside its model and is found there by itself",
         "imatrix": "an importance matrix, which quantization reads"}     # general.type: what it is
HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True, kw_only=True)
class LocalModel:
    """A GGUF that can be chosen; title is what the list shows, notice a sentence that must stand beside it."""
    name: str                   # what the command line takes: unique in the list
    title: str
    path: Path
    notice: str = ""
    can_chat: bool = True       # False: it has no chat template, and makes vectors of texts
    also: tuple[str, ...] = ()  # other names by which its program knows it
    place: str = ""             # the program that holds it; "" for Galen's own
    is_ours: bool = True        # False: Galen never deletes it


def demo_gguf() -> Path:
    """The embedded model's GGUF. Raises UserError if the checkout lacks it."""
    found = sorted(runs.DEMO_BASE.glob("*.gguf"))
    if not found:
        raise UserError(f"The embedded model is missing from {runs.DEMO_BASE}; get the project again.")
    return found[0]


def chat_models() -> list[LocalModel]:
    """Every GGUF here that has a chat template: the embedded one first, then the newest. Broken files are left out."""
    return [model for model in models_of(Shelf(is_patient=True).look()) if model.can_chat]


def models_of(entries: Iterable[Entry]) -> list[LocalModel]:
    """Every model file that can chat or embed, in the same order, no two of one name.

    Left out are broken files (one may still be being copied; choosing it by its path says what is wrong), and those
    that were not read yet.
    """
    listed = [_local_model(entry, entry.facts) for entry in entries if entry.facts and not entry.problem
              and (entry.can_chat or entry.facts.can_embed) and entry.facts.kind not in PARTS]
    count = Counter(model.name for model in listed)
    return [model if count[model.name] == 1 or model.path.parent == runs.DEMO_BASE else _told_apart(model)
            for model in listed]


def _told_apart(model: LocalModel) -> LocalModel:
    place = model.place or _place(model.path)
    title = model.title if model.place else f"{model.title} ({place})"
    return replace(model, name=str(model.path), title=title)


def _local_model(entry: Entry, facts: Facts) -> LocalModel:
    program = entry.spot.program
    title = f"{facts.name} · {facts.type_name} · {entry.bytes / 1e9:.2f} GB" + (f" ({program})" if program else "")
    return LocalModel(name=name_of(entry), title=title, path=entry.path, notice=notice_of(facts.name),
                      can_chat=entry.can_chat, also=entry.spot.also, place=program, is_ours=entry.is_ours)


def name_of(entry: Entry) -> str:
    """What the command line calls a model: its file's name without ending and part, or as its program calls it."""
    if entry.spot.rank == EMBEDDED:
        return DEMO_NAME
    if entry.spot.name:
        return entry.spot.name
    part = part_of(entry.path.name)
    return part[0] if part else entry.path.stem


def _place(path: Path) -> str:
    """The folder of a model in the user's folder, in the words that tell it from others."""
    folder = path.parent.relative_to(runs.home()) if runs.home() in path.parents else path.parent
    return " / ".join(part for part in folder.parts if part not in ("runs", runs.EXPORT)) or folder.name


def find_model(name: str) -> Path:
    """The GGUF called name: a path, "demo", a listed name, or a run or export folder that holds just one.

    Raises UserError naming what there is.
    """
    path = Path(os.path.expanduser(name))
    if os.path.isfile(path):               # unlike Path.is_file, it stands a name of any length
        _check_kind(path)
        return full_path(path)
    if name == DEMO_NAME:
        return demo_gguf()
    for folder in (path, path / runs.EXPORT, runs.home() / "runs" / name / runs.EXPORT):
        inside = [spot.path for spot in ggufs_in(folder, Folders().list(folder).files)]
        if len(inside) == 1:
            return full_path(inside[0])
        if inside:
            raise UserError(f"{folder} holds {len(inside)} models; name one: {', '.join(p.name for p in inside)}.")
    if os.path.isfile(path / "config.json") and any(path.glob("*.safetensors")):
        raise UserError(f"{path} is a model as safetensors, and only GGUFs can be talked to; export it first: "
                        f"python launcher.py export {path} --type Q8_0")
    models = chat_models()
    listed = (model for model in models if name in (model.name, model.path.name))
    if found := next(listed, None) or next((model for model in models if name in model.also), None):
        return found.path
    raise UserError(f"There is no model {name!r} here; there are {', '.join(m.name for m in models)}, "
                    "or give the path of a GGUF file.")


def _check_kind(path: Path) -> None:
    """Raise UserError for a GGUF that is no whole model by its own words; what is broken is told when it is loaded."""
    part = part_of(path.name)
    if part and part[1] != 1:
        raise UserError(f"{path.name} is part {part[1]} of {part[2]} of a model; name the first, "
                        f"{part_names(path.name)[0]}.")
    try:
        metadata = read_metadata(path)
    except UserError:
        return
    kind = "mmproj" if metadata.get("general.architecture") == "clip" else metadata.get("general.type")
    if isinstance(kind, str) and kind in PARTS:
        raise UserError(f"{path.name} is {PARTS[kind]}, no model that can be talked to; name the model's GGUF.")


def find_base(name: str) -> Path:
    """The base model folder called name. Raises UserError if there is none, or it is not whole.

    "demo" is the embedded one; else a path, or an OWNER/NAME of the hub that lies in Hugging Face's cache.
    """
    folder = runs.DEMO_BASE if name == DEMO_NAME else Path(os.path.realpath(os.path.expanduser(name)))
    if folder.suffix == ".gguf" and os.path.isfile(folder):
        raise UserError(f"{folder.name} is a GGUF; training starts from the original model's Hugging Face folder"
                        f"{_original(folder)}.")
    if not os.path.exists(folder) and HUB_NAME.fullmatch(name):
        folder = _cached(name)
    check_base(folder)
    return folder


def _cached(name: str) -> Path:
    """The newest snapshot of a hub's model in the local cache; nothing is asked of any network."""
    from huggingface_hub import try_to_load_from_cache
    config = try_to_load_from_cache(name, "config.json")
    if not isinstance(config, str):
        raise UserError(f"{name} is neither a folder nor in Hugging Face's cache on this machine; download it "
                        f"(hf download {name}), or give the folder that holds it.")
    return Path(config).parent


def _original(path: Path) -> str:
    """" (the file says ...)", or "" where a GGUF's header does not say what it was made from, or can not be read."""
    try:
        said = read_metadata(path)
    except UserError:
        return ""
    base = "general.base_model.0."
    names = (said.get(base + "repo_url"), "/".join(str(said[base + key]) for key in ("organization", "name")
                                                   if said.get(base + key)), said.get("general.name"))
    known = next((one_line(str(one)) for one in names if one), "")
    return f" (the file says it was made from {known})" if known else ""


def notice_for(path: Path) -> str:
    """The sentence that must stand beside answers of the model at path; "" for models that are not ours."""
    try:
        return notice_of(str(read_metadata(path).get("general.name") or path.stem))
    except UserError:
        return ""


def notice_of(name: str) -> str:
    """The embedded model and whatever was tuned from it carry its name, and so its notice."""
    return DEMO_WORDS if name.lower().startswith("galen demo") else ""
