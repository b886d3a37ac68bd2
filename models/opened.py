"""The header of a model that is about to be used, with what its place adds: further parts, Ollama's template."""

from dataclasses import replace
from pathlib import Path

from models import runs
from models.elsewhere import ollama
from models.errors import UserError
from models.facts import holds_tower
from models.header import Header
from models.reader import Memory
from models.split import read_whole

TEMPLATE = "tokenizer.chat_template"
TOWER = ("{} holds its vision part in the same file, as Ollama writes it, and llama.cpp reads the two as two files; "
         "get the model as a GGUF with an mmproj file beside it.")


def open_header(path: Path, memory: Memory | None = None) -> Header:
    """The header of the model at path, its last link left as it is. Raises UserError if it can not be used."""
    header = read_whole(path, memory)
    if holds_tower(header):
        raise UserError(TOWER.format(header.name))
    if header.template or not any(map(ollama.has_known_template, ollama.manifests_of(path))):
        return header
    return replace(header, metadata={**header.metadata, TEMPLATE: gemma_template()})


def gemma_template() -> str:
    """The turns of Gemma 1, 2 and 3 as Jinja: the embedded model's own template."""
    return (runs.DEMO_BASE / "chat_template.jinja").read_text(encoding="utf-8")


def full_path(path: Path) -> Path:
    """path in full, its folder resolved and its own name kept: a file of the hub's cache is a link to a bare number."""
    whole = runs.typed(path).absolute()
    return whole.parent.resolve() / whole.name
