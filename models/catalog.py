"""The models that Galen offers to fetch: catalog.json, one entry each, and which of them a file on disk is.

What could not be verified from public documentation is not in an entry: without file names the hub is asked.
"""

import functools
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.errors import UserError
from models.quant_name import without_type

FILE = Path(__file__).with_name("catalog.json")
STREAM, IMAGE, INFERENCE, TUNE = "stream", "image", "inference", "tune"     # what Galen can do with a model
ANY = "hub:"                    # before OWNER:NAME: the id of a repository of the hub that the catalog does not know
GGUF = re.compile(r"[-_.]gguf$", re.IGNORECASE)
NO_PART = re.compile(r"qat|unquantized|gguf|google|latest|")     # words that quantizers and programs add to a name


@dataclass(frozen=True, kw_only=True)
class GgufFile:
    """One GGUF of a repository. bytes: as the hub shows them, to three digits at least; a listing has them exactly."""
    name: str
    type: str                   # "Q4_K_M"
    bytes: int


@dataclass(frozen=True, kw_only=True)
class GgufSource:
    """A repository of the hub with the model as GGUFs, which can be read without a token."""
    repo: str
    files: tuple[GgufFile, ...] = ()    # of the verified ones; none: the hub is asked
    projector: str = ""         # the file beside them with which the model sees, where Galen sees with it


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One model. The first of its sources is the one to offer."""
    id: str
    title: str
    family: str                 # llama.cpp's architecture
    hub_id: str                 # the original: what training starts from
    ggufs: tuple[GgufSource, ...]
    parameters: int             # as published, with towers for pictures and sound
    parameters_active: int      # of those, what is read for each token: no towers, no embeddings of single layers
    cache_bytes: int            # of one token in a 16-bit cache that keeps every layer; 0: not known
    ctx_tokens: int
    licence: str
    licence_url: str
    is_gated: bool              # hub_id wants its licence accepted, and a token; the GGUF sources do not
    capabilities: tuple[str, ...]
    is_medical: bool            # tuned on medical text
    controls: tuple[str, ...]   # that the page shows: fields of SampleConfig, "preset", "system" and "picture"
    good_for: str

    @property
    def page(self) -> str:
        """Where the model is described, and its licence accepted."""
        return f"https://huggingface.co/{self.hub_id}"

    def can(self, capability: str) -> bool:
        """True if Galen can do that with it."""
        return capability in self.capabilities


def catalog(file: Path = FILE) -> tuple[Entry, ...]:
    """Every entry of the file, in the order to show them."""
    return tuple(_entry(values) for values in json.loads(file.read_text(encoding="utf-8"))["models"])


def find(id: str) -> Entry:
    """The entry called id, or made from that repository of the hub. Raises UserError naming what there is."""
    entries = catalog()
    wanted = id.strip().casefold()
    for entry in entries:
        if wanted in (entry.id, entry.hub_id.casefold(), *(source.repo.casefold() for source in entry.ggufs)):
            return entry
    raise UserError(f"There is no model {id!r} in the catalog; there are {', '.join(entry.id for entry in entries)}.")


def find_any(id: str) -> Entry:
    """As find(), and for "hub:OWNER:NAME" the entry made from that repository, else one that knows its name alone.

    parameters 0: nobody knows them, nor the licence, nor the context.
    """
    if not id.startswith(ANY):
        return find(id)
    repo = id.removeprefix(ANY).replace(":", "/")
    for entry in catalog():
        if repo.casefold() in (entry.hub_id.casefold(), *(source.repo.casefold() for source in entry.ggufs[:1])):
            return entry
    title = GGUF.sub("", repo.rpartition("/")[2])
    return Entry(id=id, title=title, family="", hub_id=repo, ggufs=(GgufSource(repo=repo),), parameters=0,
                 parameters_active=0, cache_bytes=0, ctx_tokens=0, licence="", licence_url="",
                 is_gated=False, capabilities=(STREAM, IMAGE, INFERENCE, TUNE), is_medical=False, controls=(),
                 good_for="Not in Galen's catalog: its page says what it is good for, and under which licence.")


def entry_for(names: Iterable[str]) -> Entry | None:
    """The entry that a local GGUF is, by the names that it goes by; None if no name says so.

    names: its general.name, file name, the repository or the tag that another program keeps it under. What was tuned
    from a model has another name, and is not the model.
    """
    known = _known_names()
    return next((known[plain] for name in names if (plain := plain_name(name)) in known), None)


def plain_name(name: str) -> str:
    """A model's name as letters and digits alone, without its publisher, type, ending and what quantizers add.

    "google_gemma-3-4b-it-Q4_K_M.gguf", "unsloth/gemma-3-4b-it-GGUF", "Gemma 3 4b It" and Ollama's "gemma3:4b" are one.
    """
    model, _, tag = name.rpartition("/")[2].casefold().partition(":")
    words = re.split(r"[^a-z0-9.]+", without_type(f"{model}-{tag}" if tag else model))
    kept = ["it" if word == "instruct" else word for word in words if not NO_PART.fullmatch(word.strip("."))]
    if tag and "it" not in kept and name.count("/") < 2:
        kept.append("it")       # the tags of Ollama's library name the tuned model without saying so
    return "".join(c for c in "".join(kept) if c.isalnum())


@functools.lru_cache(maxsize=1)
def _known_names() -> dict[str, Entry]:
    return {plain: entry for entry in reversed(catalog()) for plain in _own_names(entry)}


def _own_names(entry: Entry) -> Iterator[str]:
    yield plain_name(entry.id)
    yield plain_name(entry.hub_id)
    for source in entry.ggufs:
        yield plain_name(source.repo)
        yield from (plain_name(file.name) for file in source.files)


def _entry(values: dict[str, Any]) -> Entry:
    ggufs = tuple(GgufSource(**{**source, "files": tuple(GgufFile(**file) for file in source.get("files", ()))})
                  for source in values["ggufs"])
    lists = {name: tuple(values[name]) for name in ("capabilities", "controls")}
    return Entry(**{**values, **lists, "ggufs": ggufs})
