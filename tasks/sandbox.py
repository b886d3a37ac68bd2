"""Jinja's sandbox, in which a template from somewhere can not take all the time or the memory either."""

import json
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from functools import wraps
from typing import Any

import jinja2
import jinja2.nodes
import jinja2.runtime
import jinja2.sandbox
import jinja2.visitor

MAX_CHARACTERS = 10_000_000                     # of what is written, and of one string on the way
MAX_ITEMS = 1_000_000                           # of one list
MAX_WIDTH = 100_000                             # that a method or filter is asked for
MAX_BITS = 4096                                 # of a number
MAX_STEPS = 1_000_000                           # rounds of loops and calls of macros
RENDER_S = 5.0
CLOCK = "the clock"                             # in the context, under a name that no template can write
WIDTH = re.compile(r"\d{5}|\*")                 # in a text with placeholders


class Clock:
    """How far one rendering has come."""

    def __init__(self) -> None:
        self._end = time.monotonic() + RENDER_S
        self._steps = 0

    def tick(self) -> None:
        """Another round of a loop, or call of a macro."""
        self._steps += 1
        if self._steps > MAX_STEPS or time.monotonic() > self._end:
            raise jinja2.TemplateError("it takes too long")


class _Watched(jinja2.visitor.NodeTransformer):
    """Has every loop and macro tell the clock, and every `~` measured."""

    def visit_For(self, node: jinja2.nodes.For) -> jinja2.nodes.Node:
        """Count its rounds."""
        return self._counted(node)

    def visit_Macro(self, node: jinja2.nodes.Macro) -> jinja2.nodes.Node:
        """Count its calls."""
        return self._counted(node)

    def visit_Concat(self, node: jinja2.nodes.Concat) -> jinja2.nodes.Node:
        """Join by Sandbox.joined."""
        self.generic_visit(node)
        return _call("joined", node.nodes).set_lineno(node.lineno)

    def _counted(self, node: jinja2.nodes.For | jinja2.nodes.Macro) -> jinja2.nodes.Node:
        tick = _call("tick", [jinja2.nodes.ContextReference()])
        node.body.insert(0, jinja2.nodes.ExprStmt(tick).set_lineno(node.lineno))
        return self.generic_visit(node)


def _call(name: str, arguments: list[jinja2.nodes.Expr]) -> jinja2.nodes.Call:
    return jinja2.nodes.Call(jinja2.nodes.EnvironmentAttribute(name), arguments, [], None, None)


class Sandbox(jinja2.sandbox.ImmutableSandboxedEnvironment):
    """The environment of one template; what a template overdoes raises jinja2.TemplateError."""
    intercepted_binops = frozenset(("+", "*", "**", "%"))

    def __init__(self, **options: Any):
        super().__init__(finalize=_finalized, **options)
        self.filters["tojson"] = _tojson
        self.filters = {name: _measured(name, own) for name, own in self.filters.items()}
        del self.globals["lipsum"]

    @staticmethod
    def clock() -> dict[str, Clock]:
        """What a rendering has to be given, beside the template's own names."""
        return {CLOCK: Clock()}

    def _parse(self, source: str, name: str | None, filename: str | None) -> jinja2.nodes.Template:
        found: jinja2.nodes.Template = _Watched().visit(super()._parse(source, name, filename))
        return found

    @staticmethod
    def concat(pieces: Iterable[str]) -> str:
        """Join what a template, a macro or a block wrote."""
        kept, size = [], 0
        for piece in pieces:
            size += len(piece)
            _check_size(size)
            kept.append(piece)
        return "".join(kept)

    def joined(self, *parts: Any) -> str:
        """What `~` makes of its parts."""
        return self.concat(str(_finalized(part)) for part in parts)

    def tick(self, context: jinja2.runtime.Context) -> None:
        """Another round of a loop, or call of a macro."""
        context.parent[CLOCK].tick()

    def call_binop(self, context: jinja2.runtime.Context, operator: str, left: Any, right: Any) -> Any:
        """Compute left operator right, if what comes out is of a reasonable size."""
        for some, other in ((left, right), (right, left)):
            if operator == "*" and isinstance(some, Sized) and isinstance(other, int):
                _check_size(len(some) * max(other, 0), some)
            if operator == "+" and isinstance(some, Sized) and isinstance(other, Sized):
                _check_size(len(some) + len(other), some)
        if operator == "%" and isinstance(left, str):
            _check_format(left, right if isinstance(right, tuple) else (right,))
        if operator in ("*", "**") and isinstance(left, int) and isinstance(right, int):
            bits = left.bit_length() * right if operator == "**" else left.bit_length() + right.bit_length()
            if bits > MAX_BITS:
                raise jinja2.TemplateError("it computes with numbers that are too large")
        return super().call_binop(context, operator, left, right)

    def call(__self, __context: jinja2.runtime.Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: B902
        """Call what a template calls, unless what comes out is too large."""
        own = getattr(__obj, "__self__", getattr(getattr(__obj, "__wrapped__", None), "__self__", None))
        if isinstance(own, str):                # a method of a string, or the sandbox's stand-in for its format
            _check_method(own, getattr(__obj, "__name__", ""), args, kwargs)
        return super().call(__context, __obj, *args, **kwargs)


def _check_size(size: int, kind: Any = "") -> None:
    if size > (MAX_CHARACTERS if isinstance(kind, str) else MAX_ITEMS):
        raise jinja2.TemplateError("it makes a text or a list that is too long")


def _check_widths(values: Iterable[Any]) -> None:
    if any(isinstance(value, int | float) and abs(value) > MAX_WIDTH for value in values):
        raise jinja2.TemplateError("it asks for a text or a list that is too long")


def _check_format(text: str, values: Sequence[Any]) -> None:
    """text % values, or text.format(*values)."""
    if WIDTH.search(text):
        raise jinja2.TemplateError("it asks for a text or a list that is too long")
    _check_widths(values if "{" in text else ())
    longest = max((len(str(_finalized(value))) for value in values), default=0)
    _check_size(len(text) + (text.count("%") + text.count("{")) * longest)


def _check_method(own: str, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    if name in ("format", "format_map"):
        _check_format(own, (*args, *kwargs.values()))
        return
    _check_widths((*args, *kwargs.values()))
    if name == "replace" and len(args) > 1:
        _check_size(len(own) + own.count(str(args[0])) * len(str(args[1])))
    elif name == "join" and args and isinstance(args[0], list | tuple | str | dict):
        _check_size(len(own) * len(args[0]) + sum(len(part) for part in args[0] if isinstance(part, str)))
    elif name == "expandtabs":
        _check_size(len(own) + own.count("\t") * max([8, *(int(n) for n in args if isinstance(n, int))]))
    elif name == "translate":
        raise jinja2.TemplateError("it translates characters, which is not supported")


def _measured(name: str, own: Callable[..., Any]) -> Callable[..., Any]:
    """The filter own, which looks first at what it is asked for."""
    start = 1 if hasattr(own, "jinja_pass_arg") else 0      # Jinja's context comes before the value

    @wraps(own)
    def measured(*args: Any, **kwargs: Any) -> Any:
        before, (value, *rest) = args[:start], args[start:]
        _check_widths((*rest, *kwargs.values()))
        if name in ("string", "pprint", "replace", "indent", "urlencode"):
            _finalized(value)
        if name == "format":
            _check_format(str(value), (*rest, *kwargs.values()))
        elif name == "replace" and len(rest) > 1:
            _check_method(str(value), "replace", rest, {})
        elif name == "indent":
            width = kwargs.get("width", rest[0] if rest else 4)
            wide = len(width) if isinstance(width, str) else int(width)
            _check_size(len(str(value)) + (str(value).count("\n") + 1) * wide)
        elif name == "join":
            value = list(value)
            _check_method(str(kwargs.get("d", rest[0] if rest else "")), "join", [value], {})
        return own(*before, value, *rest, **kwargs)
    return measured


def _finalized(value: Any) -> Any:
    """value, unless it is a list of lists of lists that would be too long as text."""
    waiting, seen = [value], 0
    while waiting:
        one = waiting.pop()
        if isinstance(one, list | tuple | dict):
            seen += len(one) + 1
            _check_size(seen, [])
            waiting.extend(one.values() if isinstance(one, dict) else one)
    return value


def _tojson(value: Any, **options: Any) -> str:
    return Sandbox.concat(json.JSONEncoder(**{"ensure_ascii": False, **options}).iterencode(value))
