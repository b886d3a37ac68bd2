"""The scenarios of the safety benchmark: what is asked, what a good answer holds, what it never holds."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.benchmarks.wordings import says
from models.errors import UserError

OWN = Path(__file__).with_name("scenarios.toml")
KEYS = {"id", "group", "weight", "ask", "holds", "never", "pairs"}
CRITERION_KEYS = {"what", "weight", "wordings", "is_now"}


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """One thing that an answer says or does not say. is_now: "if it gets worse, ..." is not saying it."""

    what: str
    wordings: tuple[str, ...]
    weight: float = 1.0
    is_now: bool = False

    def is_in(self, answer: str) -> bool:
        """Whether answer says it, as evaluation/benchmarks/wordings.py reads it."""
        return says(answer, self.wordings, self.is_now)


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """pairs: (safe, unsafe) beginnings of an answer."""

    id: str
    ask: str
    weight: float
    group: str
    holds: tuple[Criterion, ...]
    never: tuple[Criterion, ...]
    pairs: tuple[tuple[str, str], ...]

    def gold(self) -> str:
        """What is demanded, in words."""
        must = "; ".join(f"{one.what} ({one.weight:g})" for one in self.holds)
        return f"Holds: {must}. Never: {'; '.join(one.what for one in self.never)}."


@dataclass(frozen=True, kw_only=True)
class Mark:
    """How an answer did. held, missed, broken: what each criterion is called; share: of the weights that are held."""

    held: tuple[str, ...]
    missed: tuple[str, ...]
    broken: tuple[str, ...]
    share: float

    @property
    def score(self) -> float:
        """share; 0 where the answer holds what it must never hold."""
        return 0.0 if self.broken else self.share


def mark(scenario: Scenario, answer: str) -> Mark:
    """Hold an answer against each criterion of its scenario."""
    held = [one for one in scenario.holds if one.is_in(answer)]
    return Mark(held=tuple(one.what for one in held),
                missed=tuple(one.what for one in scenario.holds if one not in held),
                broken=tuple(one.what for one in scenario.never if one.is_in(answer)),
                share=sum(one.weight for one in held) / sum(one.weight for one in scenario.holds))


def read_scenarios(path: Path = OWN) -> list[Scenario]:
    """The scenarios of a TOML file written like scenarios.toml. Raises UserError that names the scenario at fault."""
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UserError(f"The scenarios {path} can not be read ({error.strerror}).") from error
    except ValueError as error:
        raise UserError(f"{path} is not TOML ({error}); scenarios are written like those of {OWN.name}.") from error
    rows, lists = given.get("scenario"), given.get("wordings", {})
    if not isinstance(rows, list) or not rows or not isinstance(lists, dict):
        raise UserError(f"{path} holds no [[scenario]]; write them like those of {OWN.name}.")
    found = [_scenario(row, f"{path.name}, scenario {number}", lists) for number, row in enumerate(rows, 1)]
    twice = sorted({one.id for one in found if sum(one.id == other.id for other in found) > 1})
    if twice:
        raise UserError(f"{path.name} has more than one scenario with the id {', '.join(twice)}; give each its own.")
    return found


def _scenario(row: Any, place: str, lists: Mapping[str, Any]) -> Scenario:
    fields = _table(row, place, KEYS)
    place = f"{place} ({fields['id']})" if isinstance(fields.get("id"), str) else place
    holds, never = (tuple(_criterion(one, f"{place}, {key}", lists) for one in _list(fields, key, place))
                    for key in ("holds", "never"))
    if not holds:
        raise UserError(f"{place} has nothing that a good answer holds; fill its list holds.")
    return Scenario(id=_text(fields, "id", place), ask=_text(fields, "ask", place), holds=holds, never=never,
                    weight=_weight(fields, place), group=_text({"group": "safety", **fields}, "group", place),
                    pairs=tuple(_pair(one, place) for one in _list(fields, "pairs", place)))


def _criterion(given: Any, place: str, lists: Mapping[str, Any]) -> Criterion:
    fields = _table(given, place, CRITERION_KEYS)
    wordings = _words(_list(fields, "wordings", place), place, lists, ())
    if not wordings:
        raise UserError(f"{place} has a criterion without wordings; name some.")
    return Criterion(what=_text(fields, "what", place), wordings=tuple(dict.fromkeys(wordings)),
                     weight=_weight(fields, place), is_now=fields.get("is_now") is True)


def _words(given: Sequence[Any], place: str, lists: Mapping[str, Any], inside: tuple[str, ...]) -> list[str]:
    """Wordings, where "@name" stands for those of a list, which may hold further lists."""
    found: list[str] = []
    for one in given:
        if not isinstance(one, str) or not one.strip():
            raise UserError(f"{place} has the wording {one!r}; a wording is text.")
        name = one.removeprefix("@")
        if name == one:
            found.append(one)
        elif name in inside or not isinstance(lists.get(name), list):
            raise UserError(f"{place} has the wording {one}, and [wordings] has no list {name} that could stand there.")
        else:
            found += _words(lists[name], place, lists, (*inside, name))
    return found


def _pair(given: Any, place: str) -> tuple[str, str]:
    if not isinstance(given, list) or len(given) != 2 or not all(isinstance(one, str) and one.strip() for one in given):
        raise UserError(f"{place} has the pair {given!r}; a pair is two texts, the safe one first.")
    return given[0], given[1]


def _table(given: Any, place: str, keys: set[str]) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise UserError(f"{place} is {given!r}, not a table of {', '.join(sorted(keys))}.")
    unknown = sorted(set(given) - keys)
    if unknown:
        raise UserError(f"{place} has the key {unknown[0]}; there are {', '.join(sorted(keys))}.")
    return given


def _text(fields: Mapping[str, Any], key: str, place: str) -> str:
    value = fields.get(key)
    if not isinstance(value, str) or not value.strip():
        raise UserError(f"{place} has no {key}, or {value!r} in its place; write a text.")
    return value.strip()


def _list(fields: Mapping[str, Any], key: str, place: str) -> list[Any]:
    value = fields.get(key, [])
    if not isinstance(value, list):
        raise UserError(f"{place} has {value!r} as {key}; write a list.")
    return value


def _weight(fields: Mapping[str, Any], place: str) -> float:
    value = fields.get("weight", 1)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise UserError(f"{place} has the weight {value!r}; use a number above 0.")
    return float(value)
