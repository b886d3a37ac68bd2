"""Under which terms a base model may be used, as its own folder says it."""

import re
from dataclasses import dataclass
from pathlib import Path

from models import runs
from models.base import family, fingerprint

FRONT_MATTER = re.compile(r"\A---\r?\n(.*?)\r?\n---\s", re.DOTALL)
GEMMA_TERMS = "https://ai.google.dev/gemma/terms"
GEMMA_NOTICE = "Gemma is provided under and subject to the Gemma Terms of Use found at ai.google.dev/gemma/terms"
GEMMA_FAMILIES = ("gemma", "gemma2", "gemma3", "gemma3_text")
LONGEST_TEXT = 200_000                      # characters; a licence is no book


@dataclass(frozen=True, kw_only=True)
class Licence:
    """name: the identifier a model card takes ("" where the base states none); text: what LICENSE holds."""
    name: str = ""
    title: str = ""                         # license_name, where name is "other"
    link: str = ""
    text: str = ""
    files: tuple[Path, ...] = ()


def read_licence(base: Path) -> Licence:
    """From the folder's LICENSE files and its README.md's front matter; for Gemma without either, its terms' address.

    Nothing is invented: a folder that says nothing gives an empty Licence. Google's terms are not claimed for the
    embedded model, which only has Gemma's architecture.
    """
    named = front_matter(base)
    files = tuple(path for path in sorted(base.iterdir())
                  if path.is_file() and re.match(r"(licen[cs]e|copying|notice|use_policy)\b", path.name, re.IGNORECASE))
    texts = [path.read_text(encoding="utf-8", errors="replace")[:LONGEST_TEXT] for path in files]
    name, title, link = (named.get(key, "") for key in ("license", "license_name", "license_link"))
    if not texts and not name and family(base) in GEMMA_FAMILIES and not _is_embedded(base):
        name = "gemma"
    if name == "gemma":
        link = link or GEMMA_TERMS
        texts = texts or [GEMMA_NOTICE]
    if not texts and name:
        texts = [": ".join(part for part in (title or name, link) if part)]
    return Licence(name=name, title=title, link=link, text="\n\n".join(texts), files=files)


def front_matter(folder: Path) -> dict[str, str]:
    """The plain `key: value` lines at the top of the folder's README.md; {} where there are none."""
    path = folder / "README.md"
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    found = FRONT_MATTER.match(text)
    lines = re.findall(r"(?m)^([a-z_]+):[ \t]+(\S.*?)[ \t\r]*$", found.group(1)) if found else []
    return {key: value.strip("'\"") for key, value in lines}


def _is_embedded(base: Path) -> bool:
    return (runs.DEMO_BASE / "config.json").is_file() and fingerprint(base) == fingerprint(runs.DEMO_BASE)
