"""What a list of models says of a GGUF: the few facts of its header that are worth keeping."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from models.header import Header

LONGEST_TEXT, LONGEST_LIST = 200, 512           # of a key's value that is kept: one figure for each layer is
TOWER_PARTS = ("v.", "mm.", "a.")     # begin the names of tensors of a vision or audio tower


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Facts of a whole model, all its parts together."""
    architecture: str
    name: str
    kind: str                   # general.type: "model", "adapter", "mmproj", ...; "" where the file does not say
    ctx_tokens: int             # that the model was made for
    parameters: int
    weights_bytes: int
    types: Mapping[str, int]    # tensor type -> bytes
    has_template: bool
    holds_tower: bool           # a vision or audio tower in the same file, as Ollama writes it
    keys: Mapping[str, Any]     # short values of general.*, of the architecture's and of clip's own keys

    @property
    def type_name(self) -> str:
        """The tensor type that holds most bytes."""
        return max(self.types, key=lambda name: self.types[name], default="")

    @property
    def can_embed(self) -> bool:
        """It says how its vectors are pooled."""
        return f"{self.architecture}.pooling_type" in self.keys

    @property
    def licence(self) -> str:
        """As the file names it, or ""."""
        named = (self.keys.get("general.license.name"), self.keys.get("general.license"))
        return next((str(name)[:80] for name in named if name), "")

    @property
    def names(self) -> tuple[str, ...]:
        """What the file calls itself and the models it was made from."""
        said = [self.keys.get("general.name"), self.keys.get("general.basename")]
        said += [value for key, value in self.keys.items()
                 if key.startswith("general.base_model.") and key.endswith((".name", ".repo_url"))]
        return tuple(dict.fromkeys(str(one) for one in said if one))


def holds_tower(header: Header) -> bool:
    """True for a model with a vision or audio tower in the same file."""
    return header.architecture != "clip" and any(one.name.startswith(TOWER_PARTS) for one in header.tensors)


def facts_of(header: Header) -> Facts:
    """The facts of a header that was read."""
    held: Counter[str] = Counter()
    for tensor in header.tensors:
        held[tensor.type_name] += tensor.bytes
    own = ("general.", "clip.", f"{header.architecture}.")
    return Facts(
        architecture=header.architecture[:LONGEST_TEXT], name=_line(header.name),
        kind=str(header.metadata.get("general.type") or "")[:LONGEST_TEXT],
        ctx_tokens=header.ctx_tokens, parameters=header.parameters, weights_bytes=sum(held.values()),
        types=dict(held), has_template=bool(header.template),
        holds_tower=holds_tower(header),
        keys={key: value for key, value in header.metadata.items() if key.startswith(own) and _is_short(value)})


def to_json(facts: Facts) -> dict[str, Any]:
    """A Facts as plain values."""
    return asdict(facts)


def from_json(values: Any) -> Facts:
    """The reverse. Raises KeyError or TypeError for what another version of Galen wrote."""
    if not isinstance(values, dict) or not isinstance(values["types"], dict) or not isinstance(values["keys"], dict):
        raise TypeError("no facts of a model")
    for field in fields(Facts):
        if field.type in (str, int, bool) and type(values[field.name]) is not field.type:
            raise TypeError(f"no {field.name} of a model")
    if not all(type(count) is int for count in values["types"].values()):
        raise TypeError("no types of a model")
    return Facts(**{field.name: values[field.name] for field in fields(Facts)})


def _line(name: str) -> str:
    """A name that a list can show: in one line, without what steers a terminal or turns a text around."""
    return " ".join("".join(c if c.isprintable() else " " for c in name[:LONGEST_TEXT]).split())


def _is_short(value: Any) -> bool:
    if isinstance(value, range):
        return False
    if isinstance(value, list):
        return len(value) <= LONGEST_LIST and all(map(_is_short, value))
    return not isinstance(value, str) or len(value) <= LONGEST_TEXT
