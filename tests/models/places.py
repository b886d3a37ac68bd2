"""Model files as other programs keep them, made of the embedded model."""

import hashlib
import json
import os
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np

TEMPLATE = "tokenizer.chat_template"
GO_TEMPLATE = ("{{- range .Messages }}{{ if eq .Role \"user\" }}<start_of_turn>user\n{{ .Content }}<end_of_turn>\n"
               "{{ else }}<start_of_turn>model\n{{ .Content }}<end_of_turn>\n{{ end }}{{ end }}<start_of_turn>model\n")


def rewritten(source: Path, to: Path, *, without: Collection[str] = (), text: Mapping[str, str] | None = None,
              tensors: Mapping[str, Any] | None = None, split: int = 0) -> list[Path]:
    """source without some keys, with texts and tensors changed or added, in parts of so many tensors (0: one file).

    Returns the files.
    """
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(to, "gemma3", split_max_tensors=split)
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name == "general.architecture" or name in without or name in (text or {}):
            continue
        writer.add_key_value(name, field.contents(), field.types[0], field.types[-1] if len(field.types) > 1 else None)
    for name, value in (text or {}).items():
        writer.add_string(name, value)
    for one in reader.tensors:
        writer.add_tensor(one.name, np.array(one.data), raw_dtype=one.tensor_type)
    for name, value in (tensors or {}).items():
        writer.add_tensor(name, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return sorted(to.parent.glob(f"{to.stem}-*-of-*.gguf")) if split else [to]


def in_ollama(store: Path, name: str, layers: Mapping[str, Path | str | list[Path]],
              host: str = "registry.ollama.ai/library") -> Path:
    """Put layers {kind: file or text} into a store of Ollama's as the model MODEL:TAG; the first blob's path."""
    listed, blobs = [], []
    for kind, content in layers.items():
        for one in content if isinstance(content, list) else [content]:
            data = one.read_bytes() if isinstance(one, Path) else one.encode()
            digest = hashlib.sha256(data).hexdigest()
            blob = store / "blobs" / f"sha256-{digest}"
            blob.parent.mkdir(parents=True, exist_ok=True)
            blob.write_bytes(data)
            listed.append({"mediaType": f"application/vnd.ollama.image.{kind}", "digest": f"sha256:{digest}",
                           "size": len(data)})
            blobs.append(blob)
    model, _, tag = name.partition(":")
    manifest = store / "manifests" / host / model / tag
    manifest.parent.mkdir(parents=True, exist_ok=True)
    config = {"mediaType": "application/vnd.docker.container.image.v1+json", "digest": "sha256:" + "0" * 64, "size": 2}
    manifest.write_text(json.dumps({"schemaVersion": 2, "config": config, "layers": listed,
                                    "mediaType": "application/vnd.docker.distribution.manifest.v2+json"}))
    return blobs[0]


def in_hub_cache(cache: Path, repo: str, files: Mapping[str, Path], revision: str = "a" * 40,
                 is_main: bool = True) -> Path:
    """Put files into the hub's cache as its library does: blobs, links, a reference; the snapshot's folder."""
    place = cache / f"models--{repo.replace('/', '--')}"
    snapshot = place / "snapshots" / revision
    for name, source in files.items():
        blob = place / "blobs" / hashlib.sha256(source.read_bytes()).hexdigest()
        blob.parent.mkdir(parents=True, exist_ok=True)
        if not blob.exists():
            shutil.copy(source, blob)
        link = snapshot / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blob, link.parent))
    if is_main:
        (place / "refs").mkdir(exist_ok=True)
        (place / "refs" / "main").write_text(revision)
    return snapshot
