"""Tables for tests of the layouts, written as files, and what becomes of them."""

import json
from pathlib import Path

from corpus.config import DataConfig
from corpus.layouts import Loaded, load


def loaded(folder: Path, *rows: dict, name: str = "rows.jsonl", **settings: object) -> Loaded:
    """The rows as a JSONL file in folder, loaded with these settings."""
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return load([str(path)], DataConfig(**settings))


def reasons(found: Loaded) -> list[tuple[int, str]]:
    """(line, reason) of the rows that can not be used."""
    return [(row.line, row.reason) for row in found.unusable]


def turns(*texts: str) -> tuple[dict, ...]:
    """Messages of a user and an assistant in turn."""
    roles = ("user", "assistant")
    return tuple({"role": roles[k % 2], "content": text} for k, text in enumerate(texts))
