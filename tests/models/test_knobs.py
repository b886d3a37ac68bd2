"""A config knows its own limits, and travels as JSON and as key=value."""

from dataclasses import dataclass, field

import pytest

from models import knobs
from models.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Small:
    rank: int = field(default=16, metadata=dict(label="LoRA rank", min=1, max=256))
    lr: float = field(default=2e-4, metadata=dict(label="Learning rate", min=0.0))
    wait_s: float = field(default=1.0, metadata=dict(label="Wait", max=9, unit="seconds"))
    kind: str = field(default="a", metadata=dict(label="Kind", choices=("a", "b")))
    names: tuple[str, ...] = field(default=(), metadata=dict(label="Names"))
    quick: bool = False

    def __post_init__(self):
        knobs.check(self)


@pytest.mark.parametrize(("values", "words"), [
    (dict(rank=0), r"LoRA rank is 0; use 1 to 256\."),
    (dict(rank=1.5), "LoRA rank is 1.5; use a whole number"),
    (dict(rank=True), "LoRA rank is True"),
    (dict(lr=float("nan")), "Learning rate is nan"),
    (dict(lr=-1.0), "use 0 or more"),
    (dict(wait_s=10.0), "use 9 or less seconds"),
    (dict(kind="c"), "use one of a, b"),
    (dict(names="abc"), "separated by commas"),
    (dict(quick=1), "on or off"),
])
def test_values_out_of_bounds_get_a_sentence(values, words):
    with pytest.raises(UserError, match=words):
        Small(**values)


def test_json_round_trip():
    config = Small(rank=8, names=("x", "y"), lr=1e-3, quick=True)
    assert knobs.from_json(Small, knobs.to_json(config)) == config
    assert knobs.from_json(Small, {"lr": 1}).lr == 1.0


def test_assignments():
    values = knobs.parse(Small, ["rank=8", "lr=1e-3", "quick=on", "names=a,b"])
    assert Small(**values) == Small(rank=8, lr=1e-3, quick=True, names=("a", "b"))


@pytest.mark.parametrize(("text", "words"), [("rnak=8", "did you mean 'rank'"), ("rank", "not of the form"),
                                             ("rank=x", "LoRA rank is 'x'; use a whole number"),
                                             ("quick=maybe", "on or off")])
def test_assignments_that_do_not_fit(text, words):
    with pytest.raises(UserError, match=words):
        knobs.parse(Small, [text])


def test_unknown_key_in_a_file():
    with pytest.raises(UserError, match="no setting 'ranks'; did you mean 'rank'"):
        knobs.from_json(Small, {"ranks": 1})
