"""A base model folder: is it whole, which family is it, which fingerprint tells it from others."""

import hashlib
import os
from pathlib import Path
from typing import Any

from models import runs
from models.errors import UserError

SAMPLE_BYTES = 1 << 20
SINGLE = "model.safetensors"    # what all weights lie in, where they are not in parts


def check_base(folder: Path) -> None:
    """Raise UserError unless folder holds a config.json that names a family, weights as safetensors and a tokenizer."""
    if not os.path.isdir(folder):              # unlike Path.is_dir, it stands a name of any length
        raise UserError(f"The base model folder {folder} does not exist; give the folder of a Hugging Face model, "
                        "or \"demo\" for the embedded one.")
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder} holds no config.json, so it is no Hugging Face model folder.")
    family(folder)
    if not weight_files(folder):
        raise UserError(_lacks_weights(folder))
    if not any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer.model")):
        raise UserError(f"{folder} holds no tokenizer.model or tokenizer.json; copy them from the original model.")


def _lacks_weights(folder: Path) -> str:
    pickles = sorted(p.name for p in folder.glob("pytorch_model*.bin"))
    if not pickles:
        return f"{folder} holds no weights as .safetensors (none is there); download the safetensors files."
    return (f"{folder} holds no weights as .safetensors (it holds {pickles[0]}, which can run code when opened); "
            "download the safetensors files, or, if you trust the folder, convert it: "
            "python -c \"from transformers import AutoModelForCausalLM as M; "
            f"M.from_pretrained(r'{folder}', dtype='auto').save_pretrained(r'{folder}')\"")


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a model folder, in order.

    Raises UserError if its index is damaged or not what transformers would read, or a file is missing.
    """
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        values = runs.read_json(index)
        placed = values.get("weight_map") if isinstance(values, dict) else None
        if not isinstance(placed, dict) or not all(isinstance(name, str) for name in placed.values()):
            raise UserError(f"{index} does not say which file holds which tensor; download the model again.")
        names = sorted(set(placed.values()))
        for name in names:
            if not (folder / name).is_file():
                raise UserError(f"{folder} lacks {name}, which its index names; download the model again.")
        if (folder / SINGLE).exists() and SINGLE not in names:      # transformers would read that, and no shard
            raise UserError(f"{folder} holds both {SINGLE} and an index of other files, {names[0]} and more, so it is "
                            "two models; move away the files that are not the model's.")
        return [folder / name for name in names]
    files = sorted(p for p in folder.glob("*.safetensors") if not p.name.startswith("adapter_"))
    for path in files:
        if not path.is_file():
            kind = "a folder" if path.is_dir() else "a link to a file that is not there"
            raise UserError(f"{path} is {kind}; copy or download the weights again.")
    return files


def config(folder: Path) -> dict[str, Any]:
    """The folder's config.json. Raises UserError if it is missing or not JSON."""
    values = runs.read_json(folder / "config.json")
    if not isinstance(values, dict):
        raise UserError(f"{folder / 'config.json'} does not describe a model.")
    return values


def family(folder: Path) -> str:
    """transformers' model_type: "gemma", "gemma2", "gemma3_text", ..."""
    kind = config(folder).get("model_type")
    if not isinstance(kind, str):
        raise UserError(f"{folder / 'config.json'} names no model_type.")
    return kind


def fingerprint(folder: Path) -> str:
    """16 hex digits over config.json and, of each weight file, its size, header and a few sampled megabytes.

    Cheap on purpose (a 4B model in well under a second): it tells bases apart, it is no checksum.
    """
    digest = hashlib.sha256((folder / "config.json").read_bytes())
    for path in weight_files(folder):
        size = path.stat().st_size
        digest.update(f"{path.name} {size}".encode())
        with path.open("rb") as file:
            for at in sorted({0, size // 3, size * 2 // 3, max(0, size - SAMPLE_BYTES)}):
                file.seek(at)
                digest.update(file.read(SAMPLE_BYTES))
    return digest.hexdigest()[:16]
