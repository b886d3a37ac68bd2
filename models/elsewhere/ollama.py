"""Ollama's store: manifests name a model and the blobs that it consists of.

Source: Ollama's manifest/paths.go, manifest/manifest.go, server/images.go, envconfig/config.go and docs/faq: the place
is OLLAMA_MODELS, else ~/.ollama/models; the Linux installer's service has /usr/share/ollama/.ollama/models. Its change
15735: manifests-v2, whose host is ollama.com, holds links to manifests among the blobs, and lists of manifests.
"""

import json
import os
import re
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.elsewhere.spot import Spot, user_home
from models.folders import Folders

PROGRAM = "Ollama"
HOSTS, NAMESPACE = ("registry.ollama.ai", "ollama.com"), "library"     # left out of a name, as Ollama does
MANIFESTS = ("manifests-v2", "manifests")               # of one name in both the first counts
SERVICE = Path("/usr/share/ollama/.ollama/models")
LAYER = "application/vnd.ollama.image."
DIGEST = re.compile(r"sha256[:-]([0-9a-fA-F]{64})")
BLOB = re.compile(r"sha256-[0-9a-f]{64}")
LONGEST_MANIFEST, LONGEST_TEMPLATE = 1 << 20, 1 << 16
TURNS = ("<start_of_turn>user", "<start_of_turn>model", "<end_of_turn>")        # of a Go template for Gemma 1, 2 and 3


@dataclass(frozen=True)
class Manifest:
    """The blobs of one model, by kind."""
    name: str                   # "gemma3:4b"
    models: tuple[Path, ...]
    projectors: tuple[Path, ...]
    adapters: tuple[Path, ...]
    templates: tuple[Path, ...]


def stores() -> list[Path]:
    """The folders in which Ollama may keep models on this machine."""
    home = user_home()
    if home is None:
        return []
    said = os.environ.get("OLLAMA_MODELS", "").strip().strip("\"'")
    found = [Path(os.path.expanduser(said))] if said else []
    found.append(home / ".ollama" / "models")
    return [*found, SERVICE] if sys.platform == "linux" else found


class Ollama:
    """Reads each manifest once for as long as it does not change."""

    def __init__(self, folders: Folders):
        self._folders = folders
        self._known: dict[Path, tuple[tuple[int, int], Manifest | None]] = {}

    def spots(self) -> Iterator[Spot]:
        """The models of every store."""
        for store in stores():
            for manifest in self._manifests(store):
                spot = _spot(manifest)
                if spot:
                    yield spot

    def _manifests(self, store: Path) -> Iterator[Manifest]:
        """Those under manifests/HOST/NAMESPACE/MODEL/TAG, each name once."""
        folders = [store / name for name in MANIFESTS]
        for _ in range(3):
            folders = [folder / inside for folder in folders for inside in self._folders.list(folder).folders]
        done = set[str]()
        for folder in folders:
            for tag in self._folders.list(folder).files:
                manifest = self._read(folder / tag, store)
                if manifest and manifest.name not in done:
                    done.add(manifest.name)
                    yield manifest

    def _read(self, path: Path, store: Path) -> Manifest | None:
        try:
            state = path.stat()
        except OSError:
            return None
        if not stat.S_ISREG(state.st_mode):     # a pipe would keep whoever opens it
            return None
        mark = (state.st_size, state.st_mtime_ns)
        known = self._known.get(path)
        if known is None or known[0] != mark:
            known = self._known[path] = (mark, read_manifest(path, store))
        return known[1]


def read_manifest(path: Path, store: Path) -> Manifest | None:
    """The manifest at path; None for what is none, or has no model in it (safetensors, remote ones)."""
    host, namespace, model, tag = path.parts[-4:]
    shown = [host, namespace] if host not in HOSTS else [namespace] if namespace != NAMESPACE else []
    for layers in _layers(_json(path), store):
        found = Manifest("/".join([*shown, f"{model}:{tag}"]), *(
            tuple(_blobs(layers, kind, store)) for kind in ("model", "projector", "adapter", "template")))
        if found.models:
            return found
    return None


def _json(path: Path) -> dict[str, Any]:
    """What a small file says; nothing for one that says nothing."""
    try:
        is_small = path.is_file() and path.stat().st_size <= LONGEST_MANIFEST
        said = json.loads(path.read_bytes()) if is_small else None
    except (OSError, ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _layers(said: dict[str, Any], store: Path) -> Iterator[list[Any]]:
    """The layers of a manifest, or of each in a list of manifests, where it stands there or among the blobs."""
    listed = said.get("manifests")
    for one in [said, *(listed if isinstance(listed, list) else [])]:
        digest = DIGEST.fullmatch(str(one.get("digest"))) if isinstance(one, dict) else None
        whole = _json(_blob(digest[1], store)) if digest else one
        if isinstance(whole, dict) and isinstance(layers := whole.get("layers"), list):
            yield layers


def _blob(digest: str, store: Path) -> Path:
    return store / "blobs" / f"sha256-{digest.lower()}"


def manifests_of(blob: Path) -> list[Manifest]:
    """The manifests of the store around a blob that have it as their model; none for any other file."""
    if blob.parent.name != "blobs" or not BLOB.fullmatch(blob.name):
        return []
    store = blob.parent.parent
    found = [read_manifest(path, store) for name in MANIFESTS for path in sorted(store.glob(f"{name}/*/*/*/*"))]
    return [one for one in found if one and blob in one.models]


def has_known_template(manifest: Manifest) -> bool:
    """True if the Go template writes the turns of Gemma 1, 2 and 3, which Galen's own template writes as well."""
    for path in manifest.templates[-1:]:
        try:
            with path.open("rb") as file:
                text = file.read(LONGEST_TEMPLATE).decode("utf-8", "replace")
        except OSError:
            return False
        return all(turn in text for turn in TURNS)
    return False


def _blobs(layers: list[Any], kind: str, store: Path) -> Iterator[Path]:
    """The blobs of one kind; a kind may carry parameters behind a semicolon, which say something of a part only."""
    for layer in layers:
        if isinstance(layer, dict) and layer.get("mediaType") == LAYER + kind:
            digest = DIGEST.fullmatch(str(layer.get("digest")))
            if digest:
                yield _blob(digest[1], store)


def _spot(manifest: Manifest) -> Spot | None:
    path = manifest.models[0]
    problem = ""
    if len(manifest.models) > 1:
        problem = (f"Ollama keeps {manifest.name} in {len(manifest.models)} parts under names by which llama.cpp can "
                   "not find them; get it as a GGUF instead.")
    elif manifest.adapters:
        problem = (f"{manifest.name} is a base with an adapter, which only Ollama joins; export the adapter as a whole "
                   "model instead.")
    return Spot(path=path, program=PROGRAM, name=manifest.name, projectors=manifest.projectors, is_own_projector=True,
                problem=problem, has_go_template=bool(manifest.templates),
                is_known_template=has_known_template(manifest))
