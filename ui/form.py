"""A config dataclass as components, one a field, and back: labels, limits and choices stand in the class alone."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any, Generic, TypeVar

import gradio as gr
from gradio.components import Component

from models import knobs
from models.errors import UserError

Config = TypeVar("Config")
LINES, TEXT_LINES = 2, 4        # of a box that takes a list, one a line; of one that takes a text, at most


class Form(Generic[Config]):
    """The fields of cls that a page shows, in the order in which it adds them."""

    def __init__(self, cls: type[Config]):
        self._cls = cls
        fields: Iterable[dataclasses.Field] = dataclasses.fields(cls)  # type: ignore[arg-type]
        self._known = {field.name: field for field in fields}
        self._shown: dict[str, Component] = {}

    def add(self, *names: str) -> None:
        """Make the components of these fields here."""
        for name in names:
            self._shown[name] = _component(self._known[name], f"{self._cls.__name__}-{name}")

    def rest(self, leave_out: Iterable[str] = ()) -> list[str]:
        """The names of the fields that were not added yet, in the order of the class, but those to leave out."""
        skipped = {*self._shown, *leave_out}
        return [name for name, field in self._known.items() if name not in skipped and knobs.kind(field) is not dict]

    @property
    def inputs(self) -> list[Component]:
        """The components, for a handler that gives their values to read()."""
        return list(self._shown.values())

    def values(self, given: Sequence[Any]) -> dict[str, Any]:
        """{field: value} of what the components hold, in their order. Raises UserError naming what is no number."""
        return {name: _read(self._known[name], value) for name, value in zip(self._shown, given, strict=True)}

    def read(self, given: Sequence[Any], into: Config) -> Config:
        """into with what the components hold. Raises UserError with the one sentence about the first wrong value."""
        return dataclasses.replace(into, **self.values(given))      # type: ignore[type-var]

    def values_of(self, config: Config) -> dict[str, Any]:
        """{field: value} of what is shown, as config has it."""
        return {name: getattr(config, name) for name in self._shown}

    def show(self, config: Config) -> dict[Component, Any]:
        """What brings each component to config's value."""
        return {component: gr.update(value=written(self._known[name], getattr(config, name)))
                for name, component in self._shown.items()}


def written(field: dataclasses.Field, value: Any) -> Any:
    """A field's value as its component holds it."""
    if isinstance(value, tuple):
        return list(value) if field.metadata.get("choices") else "\n".join(value)
    if isinstance(value, bool) or field.metadata.get("choices"):
        return value
    short = f"{value:g}" if isinstance(value, float) else str(value)
    return short if short == str(value) or float(short) == value else str(value)


def _read(field: dataclasses.Field, given: Any) -> Any:
    """What a component holds as the field's value; limits are for the class to check. UserError if it is no number."""
    kind, value = knobs.kind(field), given
    if kind is tuple:
        lines = (given or "").split("\n") if isinstance(given, str) or given is None else given
        value = tuple(line.strip() for line in lines if line.strip())
    elif kind in (int, float) and not field.metadata.get("choices"):
        text = str("" if given is None else given).strip()
        if not text:
            raise UserError(f"{field.metadata.get('label', field.name)} is empty; use "
                            f"{knobs.limits(field) or 'a number'}.")
        value = knobs.parse_value(field, text)
    return value


def _component(field: dataclasses.Field, key: str) -> Component:
    """The component of one field; what it may hold is checked when it is read, and nowhere else."""
    kind, choices = knobs.kind(field), field.metadata.get("choices")
    default = None if field.default is dataclasses.MISSING else written(field, field.default)
    common: dict[str, Any] = dict(value=default, label=field.metadata.get("label", field.name), elem_id=key,
                                  min_width=160)
    if kind is bool:
        return gr.Checkbox(**common)
    if kind is tuple and choices:
        return gr.CheckboxGroup(choices=list(choices), **common)
    if choices:
        return gr.Dropdown(choices=list(choices), filterable=False, **common)
    if kind is tuple:
        return gr.Textbox(lines=LINES, info="one a line", **common)
    return gr.Textbox(info=knobs.limits(field) or None, max_lines=TEXT_LINES if kind is str else 1, **common)
