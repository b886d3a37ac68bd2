"""What a config dataclass knows of itself: checked, written as JSON, read back, set from text.

A config is a frozen keyword-only dataclass whose fields carry metadata:
label (what the user reads), min, max (both inclusive), choices, unit. Field types: bool, int,
float, str, tuple[str, ...], and Tables: a list of tables of settings (the stages of a recipe).
"""

import dataclasses
import difflib
import math
from collections.abc import Mapping
from typing import Any, TypeVar

from models.errors import UserError

Config = TypeVar("Config")
Tables = tuple[dict[str, Any], ...]


def check(config: Any) -> None:
    """Hold every field against its own metadata. Raises UserError naming label, value and limits."""
    for field in dataclasses.fields(config):
        check_value(field, getattr(config, field.name))


def check_value(field: dataclasses.Field, value: Any) -> None:
    """Raise UserError if value has the wrong type for field, or lies outside its limits."""
    label = field.metadata.get("label", field.name)
    if not _has_type(field.type, value):
        raise UserError(f"{label} is {value!r}; use {_type_words(field.type)}.")
    choices = field.metadata.get("choices")
    for one in value if isinstance(value, tuple) else (value,):
        if choices and one not in choices:
            raise UserError(f"{label} is {one!r}; use one of {', '.join(map(str, choices))}.")
    low, high = field.metadata.get("min"), field.metadata.get("max")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        is_low = low is not None and value < low
        is_high = high is not None and value > high
        if is_low or is_high or not math.isfinite(value):
            unit = field.metadata.get("unit", "")
            raise UserError(f"{label} is {value:g}; use {_range_words(low, high)}{' ' + unit if unit else ''}.")


def to_json(config: Any) -> dict[str, Any]:
    """The config as a dict of JSON values; tuples become lists."""
    return {name: list(v) if isinstance(v, tuple) else v for name, v in dataclasses.asdict(config).items()}


def from_json(cls: type[Config], values: Mapping[str, Any]) -> Config:
    """Build cls from a dict as to_json writes it. Raises UserError for a key that cls does not have."""
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for name in values:
        if name not in fields:
            raise UserError(f"There is no setting {name!r}{_nearest(name, fields)}.")
    read = {}
    for name, value in values.items():
        if isinstance(value, list):
            value = tuple(value)
        elif _base_type(fields[name].type) is float and type(value) is int:
            value = float(value)
        read[name] = value
    return cls(**read)


def parse(cls: type[Config], assignments: list[str]) -> dict[str, Any]:
    """Turn ["lr=2e-4", "rank=8"] into values of cls's field types. Raises UserError naming what did not fit."""
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    values = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise UserError(f"{assignment!r} is not of the form key=value.")
        if name not in fields:
            raise UserError(f"There is no setting {name!r}{_nearest(name, fields)}.")
        values[name] = parse_value(fields[name], text)
    return values


def kind(field: dataclasses.Field) -> type:
    """What a field holds: bool, int, float, str, tuple (of texts) or dict (tables of settings)."""
    return _base_type(field.type)


def limits(field: dataclasses.Field) -> str:
    """A field's limits and unit in words: "8 to 131072 tokens"; "" where it has neither."""
    low, high = field.metadata.get("min"), field.metadata.get("max")
    words = "" if low is None and high is None else _range_words(low, high)
    return " ".join(filter(None, (words, field.metadata.get("unit", ""))))


def parse_value(field: dataclasses.Field, text: str) -> Any:
    """The value that text is for a field. Raises UserError if it is none of the field's type."""
    base = _base_type(field.type)
    try:
        if base is bool:
            return {"true": True, "on": True, "1": True, "yes": True,
                    "false": False, "off": False, "0": False, "no": False}[text.lower()]
        if base is tuple:
            return tuple(part for part in text.split(",") if part)
        if base is dict:
            raise ValueError
        return base(text)
    except (ValueError, KeyError):
        label = field.metadata.get("label", field.name)
        raise UserError(f"{label} is {text!r}; use {_type_words(field.type)}.") from None


def _base_type(declared: Any) -> type:
    names = {"bool": bool, "int": int, "float": float, "str": str}
    if isinstance(declared, str):
        return names.get(declared, tuple)
    if declared == Tables:
        return dict
    return declared if declared in names.values() else tuple


def _has_type(declared: Any, value: Any) -> bool:
    base = _base_type(declared)
    if base is float:
        return type(value) in (int, float)
    if base in (tuple, dict):
        return isinstance(value, tuple) and all(isinstance(one, str if base is tuple else dict) for one in value)
    return type(value) is base


def _type_words(declared: Any) -> str:
    return {bool: "on or off", int: "a whole number", float: "a number", str: "text",
            tuple: "a list of names, separated by commas", dict: "a list of tables"}[_base_type(declared)]


def _range_words(low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        return f"{_number_words(low)} to {_number_words(high)}"
    if low is None and high is None:
        return "a finite number"
    return f"{_number_words(low)} or more" if low is not None else f"{_number_words(high)} or less"


def _number_words(number: float | None) -> str:
    """Whole numbers in full: 1048576, not 1.04858e+06."""
    assert number is not None
    return f"{number:.0f}" if number == int(number) and abs(number) < 1e15 else f"{number:g}"


def _nearest(name: str, known: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(known)}"
