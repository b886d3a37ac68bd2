"""What lies on disk: the embedded model, the user's GGUFs, and those that exports left in run folders."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

from models import runs
from models.base import check_base
from models.errors import UserError
from models.header import Header, read_header, read_metadata

DEMO_NAME = "demo"
HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
DEMO_WORDS = "Galen's embedded model: a demonstration of the workflow, of no medical use."

PARTS = {"adapter": "an adapter (LoRA), to be switched on beside the base it was trained on",
         "mmproj": "a vision projector, which lies beside its model and is found there by itself",
         "imatrix": "an importance matrix, which quantization reads"}     # general.type: what it is


@dataclass(frozen=True, kw_only=True)
class LocalModel:
    """A GGUF that can be chosen; title is what the list shows, notice a sentence that must stand beside it."""
    name: str                   # what the command line takes: unique in the list
    title: str
    path: Path
    notice: str = ""


def demo_gguf() -> Path:
    """The embedded model's GGUF. Raises UserError if the checkout lacks it."""
    found = sorted(runs.DEMO_BASE.glob("*.gguf"))
    if not found:
        raise UserError(f"The embedded model is missing from {runs.DEMO_BASE}; get the project again.")
    return found[0]


def chat_models() -> list[LocalModel]:
    """Every GGUF here that has a chat template: the embedded one first, then the newest. Broken files are left out."""
    listed = []
    for path in gguf_files():
        try:
            header = read_header(path)
        except UserError:
            continue            # a file still being copied, or a broken one; choosing it by path says why
        if header.template:
            listed.append(_local_model(path, header))
    names = [model.name for model in listed]
    return [model if names.count(model.name) == 1 else
            replace(model, name=str(model.path), title=f"{model.title} ({_place(model.path)})") for model in listed]


def gguf_files() -> list[Path]:
    """The GGUFs of the embedded model, the models folder, and each run's export, newest first within each."""
    home = runs.home()
    found = [*runs.DEMO_BASE.glob("*.gguf")]
    for pattern in ("*.gguf", f"runs/*/{runs.EXPORT}/*.gguf", f"runs/*/*/{runs.EXPORT}/*.gguf", "runs/*/*.gguf",
                    "exports/*/*.gguf"):
        here = [path for path in home.glob(pattern) if path.is_file()]      # a link may lead nowhere
        found += sorted(here, key=_changed, reverse=True)
    return [path for path in found if _is_whole_model(path)]


def _is_whole_model(path: Path) -> bool:
    """False for what an export puts beside its models: projectors, importance matrices, adapters, failed files."""
    return not path.name.startswith(("mmproj-", "imatrix-")) and not path.name.endswith(("-adapter.gguf",
                                                                                         ".failed.gguf"))


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0              # deleted a moment ago


def _place(path: Path) -> str:
    """The folder of a model in the user's folder, in the words that tell it from others."""
    folder = path.parent.relative_to(runs.home()) if runs.home() in path.parents else path.parent
    return " / ".join(part for part in folder.parts if part not in ("runs", runs.EXPORT)) or folder.name


def find_model(name: str) -> Path:
    """The GGUF called name: a path, "demo", a listed name, or a run or export folder that holds just one.

    Raises UserError naming what there is.
    """
    path = Path(name).expanduser()
    if path.is_file():
        _check_kind(path)
        return path.resolve()
    if name == DEMO_NAME:
        return demo_gguf()
    for folder in (path, path / runs.EXPORT, runs.home() / "runs" / name / runs.EXPORT):
        inside = sorted(path for path in folder.glob("*.gguf") if _is_whole_model(path))
        if len(inside) == 1:
            return inside[0].resolve()
        if inside:
            raise UserError(f"{folder} holds {len(inside)} models; name one: {', '.join(p.name for p in inside)}.")
    if (path / "config.json").is_file() and any(path.glob("*.safetensors")):
        raise UserError(f"{path} is a model as safetensors, and only GGUFs can be talked to; export it first: "
                        f"python launcher.py export {path} --type Q8_0")
    models = chat_models()
    for model in models:
        if name in (model.name, model.path.name):
            return model.path
    raise UserError(f"There is no model {name!r} here; there are {', '.join(m.name for m in models)}, "
                    "or give the path of a GGUF file.")


def _check_kind(path: Path) -> None:
    """Raise UserError for a GGUF that is no whole model by its own words; what is broken is told when it is loaded."""
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
    folder = runs.DEMO_BASE if name == DEMO_NAME else Path(name).expanduser().resolve()
    if folder.suffix == ".gguf" and folder.is_file():
        raise UserError(f"{folder.name} is a GGUF; training starts from the original model's Hugging Face folder"
                        f"{_original(folder)}.")
    if not folder.exists() and HUB_NAME.fullmatch(name):
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
    named = next((str(one) for one in names if one), "")
    return f" (the file says it was made from {named})" if named else ""


def notice_for(path: Path) -> str:
    """The sentence that must stand beside answers of the model at path; "" for models that are not ours."""
    try:
        return _notice(read_header(path))
    except UserError:
        return ""


def _local_model(path: Path, header: Header) -> LocalModel:
    is_embedded = path.parent == runs.DEMO_BASE
    title = f"{header.name} · {header.type_name} · {header.bytes / 1e9:.2f} GB"
    return LocalModel(name=DEMO_NAME if is_embedded else path.stem, title=title, path=path, notice=_notice(header))


def _notice(header: Header) -> str:
    """The embedded model and whatever was tuned from it carry its name, and so its notice."""
    return DEMO_WORDS if header.name.lower().startswith("galen demo") else ""
