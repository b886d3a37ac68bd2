"""What a list of models says of a GGUF: the few facts of its header that are worth keeping."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from models.header import LONGEST_NAME, Header, one_line

LONGEST_LIST = 512              # of a key's value that is kept: one figure for each layer is
MOST_KEPT = 1 << 16             # characters and figures of all keys together
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
        return next((one_line(str(name))[:80] for name in named if name), "")

    @property
    def names(self) -> tuple[str, ...]:
        """What the file calls itself and the models it was made from."""
        said = [self.keys.get("general.name"), self.keys.get("general.basename")]
        said += [value for key, value in self.keys.items()
                 if key.startswith("general.base_model.") and key.endswith((".name", ".repo_url"))]
        return tuple(dict.fromkeys(one_line(str(one)) for one in said if one))


def holds_tower(header: Header) -> bool:
    """True for a model with a vision or audio tower in the same file."""
    return header.architecture != "clip" and any(one.name.startswith(TOWER_PARTS) for one in header.tensors)


def facts_of(header: Header) -> Facts:
    """The facts of a header that was read."""
    held: Counter[str] = Counter()
    for tensor in header.tensors:
        held[tensor.type_name] += tensor.bytes
    return Facts(
        architecture=one_line(header.architecture), name=header.name,
        kind=one_line(str(header.metadata.get("general.type") or "")),
        ctx_tokens=header.ctx_tokens, parameters=header.parameters, weights_bytes=sum(held.values()),
        types=dict(held), has_template=bool(header.template),
        holds_tower=holds_tower(header),
        keys=_own_keys(header))


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


def _own_keys(header: Header) -> dict[str, Any]:
    """The short values, those of the architecture first, and not more than a list can remember of each file."""
    kept, left = dict[str, Any](), MOST_KEPT
    for own in dict.fromkeys((f"{header.architecture}.", "clip.", "general.")):
        for key, value in header.metadata.items():
            if key.startswith(own) and _is_short(value):
                left -= len(key) + _size(value)
                if left < 0:
                    return kept
                kept[key] = value
    return kept


def _size(value: Any) -> int:
    return sum(map(_size, value)) if isinstance(value, list) else len(value) if isinstance(value, str) else 1


def _is_short(value: Any) -> bool:
    if isinstance(value, range):
        return False
    if isinstance(value, list):
        return len(value) <= LONGEST_LIST and all(map(_is_short, value))
    return not isinstance(value, str) or len(value) <= LONGEST_NAME
