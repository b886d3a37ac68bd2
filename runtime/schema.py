"""The GBNF grammar of a JSON schema: everything that it allows satisfies the schema, or the schema is refused."""

import json
from collections.abc import Mapping
from typing import Any

from models.errors import UserError
from runtime.pattern import pattern_rule

MAX_DEPTH = 60
MAX_COUNT = 2000                                  # of characters, items: llama.cpp writes each out as a rule
MAX_DIGITS = 15
MAX_NAME = 200
MAX_RULES = 5000
ANNOTATIONS = {"title", "description", "default", "example", "examples", "deprecated", "readOnly", "writeOnly",
               "$schema", "$id", "$comment", "$defs", "definitions"}
KEYWORDS = {                                      # what is followed, by type
    "object": {"properties", "required", "additionalProperties"},
    "array": {"items", "prefixItems", "minItems", "maxItems"},
    "string": {"pattern", "format", "minLength", "maxLength"},
    "integer": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"},
    "number": set[str](), "boolean": set[str](), "null": set[str](),
}
TYPE_OF = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
PRIMITIVES = {
    "space": '" "?',
    "char": r'[^"\\\x00-\x1F] | "\\" (["\\/bfnrt] | "u" hex hex hex hex)',
    "hex": "[0-9a-fA-F]",
    "whole": f"[0-9] | [1-9] [0-9]{{1,{MAX_DIGITS}}}",
    "string": r'"\"" char* "\"" space',
    "integer": '"-"? whole space',
    "number": '"-"? whole ("." [0-9]{1,16})? ([eE] [-+]? [0-9]{1,2})? space',
    "boolean": '("true" | "false") space',
    "null": '"null" space',
    "value": "object | array | string | number | boolean | null",
    "object": '"{" space (member ("," space member)*)? "}" space',
    "member": 'string ":" space value',
    "array": '"[" space (value ("," space value)*)? "]" space',
    "date": '[0-9]{4} "-" (("0" [13578] | "1" [02]) "-" (day | "3" [01]) | ("0" [469] | "11") "-" (day | "30") | '
            '"02-" day)',
    "day": '"0" [1-9] | [12] [0-9]',
    "time": '([01] [0-9] | "2" [0-3]) ":" [0-5] [0-9] ":" [0-5] [0-9] ("." [0-9]{3})? '
            '("Z" | [-+] ([01] [0-9] | "2" [0-3]) ":" [0-5] [0-9])',
    "uuid": 'hex{8} "-" hex{4} "-" hex{4} "-" hex{4} "-" hex{12}',
}
FORMATS = {"date": "date", "time": "time", "date-time": 'date "T" time', "uuid": "uuid",
           **{f"uuid{k}": "uuid" for k in range(1, 6)}}


def schema_grammar(schema: str) -> str:
    """The GBNF grammar of a JSON schema. Raises UserError if it is no schema, can not be followed or satisfied."""
    try:
        read = json.loads(schema, parse_constant=_refuse_constant)
        json.dumps(read, allow_nan=False)
    except (ValueError, RecursionError) as error:
        raise UserError(f"The JSON schema is no JSON ({error}).") from error
    if not isinstance(read, dict):
        raise UserError(f"The JSON schema is {str(read)[:40]!r}; use an object.")
    _check_depth(read, 0)
    rules = Rules(read)
    try:
        root = rules.of(read)
    except RecursionError as error:
        raise _refused("it leads back to itself without an end") from error
    return "\n".join([f"root ::= {root}", *(f"{name} ::= {rule}" for name, rule in PRIMITIVES.items()),
                      *(f"{name} ::= {rule}" for name, rule in rules.made.items())])


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _check_depth(schema: Any, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise UserError(f"The JSON schema is nested more than {MAX_DEPTH} deep.")
    parts = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ()
    for part in parts:
        _check_depth(part, depth + 1)


class Rules:
    """The rules of one schema as they are made, each under a name of its own."""

    def __init__(self, whole: dict[str, Any]):
        self._whole = whole                     # what a $ref points into
        self._named: dict[str, str] = {}        # the rule of each $ref, also while it is being made
        self.made: dict[str, str] = {}

    def _add(self, rule: str, name: str = "") -> str:
        name = name or self._new()
        self.made[name] = rule
        return name

    def _new(self) -> str:
        name = f"r{len(self.made)}"
        if len(self.made) > MAX_RULES:
            raise _refused(f"it would take more than {MAX_RULES:,} rules")
        self.made[name] = ""                    # taken
        return name

    def of(self, schema: Any) -> str:
        """The name of the rule that writes what schema describes."""
        if schema is True:
            return "value"
        if not isinstance(schema, dict):
            raise _refused("it never allows a value" if schema is False else f"{str(schema)[:40]!r} is no schema")
        asked = {name: value for name, value in schema.items() if name not in ANNOTATIONS}
        if "$ref" in asked:
            _allow_only(asked, {"$ref"}, "beside $ref")
            return self._ref(asked["$ref"])
        if "allOf" in asked:
            return self.of(self._merged(asked))
        for name in ("anyOf", "oneOf"):
            if name in asked:
                _allow_only(asked, {name, "type"}, f"beside {name}")
                return self._add(self._alternatives(_filled(asked, name), asked.get("type")))
        if "const" in asked or "enum" in asked:
            _allow_only(asked, {"const", "enum", "type"}, "beside enum or const")
            return self._add(_constants(asked))
        return self._typed(asked)

    def _ref(self, ref: Any) -> str:
        last, target = self._followed(ref)
        if last not in self._named:
            self._named[last] = self._new()
            self._add(self.of(target), self._named[last])
        return self._named[last]

    def _followed(self, ref: Any) -> tuple[str, Any]:
        """(the last $ref of the chain that ref begins, the schema that it points at)"""
        seen: list[Any] = []
        while True:
            if ref in seen:
                raise _refused(f"the $ref {str(ref)[:80]!r} leads back to itself")
            seen.append(ref)
            target = self._target(ref)
            if not isinstance(target, dict) or "$ref" not in target:
                return ref, target
            _allow_only({k: v for k, v in target.items() if k not in ANNOTATIONS}, {"$ref"}, "beside $ref")
            ref = target["$ref"]

    def _target(self, ref: Any) -> Any:
        if not isinstance(ref, str) or not (ref == "#" or ref.startswith("#/")):
            raise _refused(f"the $ref {str(ref)[:80]!r} points outside of it; use one that begins with #/")
        target: Any = self._whole
        for part in ref.split("/")[1:]:
            name = part.replace("~1", "/").replace("~0", "~")
            if isinstance(target, list) and name.isdecimal() and int(name) < len(target):
                target = target[int(name)]
            elif isinstance(target, dict) and name in target:
                target = target[name]
            else:
                raise _refused(f"the $ref {ref[:80]!r} points at nothing")
        return target

    def _merged(self, asked: dict[str, Any]) -> dict[str, Any]:
        merged = {name: value for name, value in asked.items() if name != "allOf"}
        parts = _filled(asked, "allOf")
        if len(parts) == 1 and not merged and isinstance(parts[0], dict):
            return parts[0]
        for part in parts:
            if isinstance(part, dict) and "$ref" in part:
                part = self._followed(part["$ref"])[1]
            if not isinstance(part, dict) or "allOf" in part:
                raise _refused("an allOf inside an allOf, or a part of it that is no object")
            if "additionalProperties" in part or "additionalProperties" in merged:
                raise _refused("additionalProperties together with allOf")
            for name, value in part.items():
                if name in ANNOTATIONS or merged.get(name, value) == value:
                    merged[name] = value
                elif name == "required" and isinstance(value, list) and isinstance(merged[name], list):
                    merged[name] = [*merged[name], *value]
                elif name == "properties" and _are_apart(merged[name], value):
                    merged[name] = {**merged[name], **value}
                else:
                    raise _refused(f"the parts of its allOf say different things about {name!r}")
        return merged

    def _alternatives(self, parts: list[Any], kind: Any) -> str:
        if kind is not None:
            for part in parts:
                if not isinstance(part, dict) or part.get("type", kind) != kind or "$ref" in part:
                    raise _refused("a type beside anyOf or oneOf that is not that of each of its parts")
            parts = [{**part, "type": kind} for part in parts]
        return " | ".join(dict.fromkeys(self.of(part) for part in parts))

    def _typed(self, asked: dict[str, Any]) -> str:
        kinds = asked.get("type")
        if kinds is None:
            if not asked:
                return "value"
            kinds = [kind for kind, known in KEYWORDS.items() if known & asked.keys()]
            if len(kinds) != 1:
                _allow_only(asked, set().union(*KEYWORDS.values()), "")
                raise _refused(f"{', '.join(map(repr, asked))} without a type")
        kinds = kinds if isinstance(kinds, list) else [kinds]
        wrong = next((kind for kind in kinds if not isinstance(kind, str) or kind not in KEYWORDS), None)
        if wrong is not None or not kinds:
            raise _refused(f"the type {wrong!r} does not exist" if kinds else "its type is empty")
        _allow_only(asked, {"type"}.union(*(KEYWORDS[kind] for kind in kinds)), f"with the type {' or '.join(kinds)}")
        write = {"object": self._object, "array": self._array, "string": self._string, "integer": self._integer}
        return self._add(" | ".join(write[kind](asked) if kind in write else kind for kind in kinds))

    def _string(self, asked: Mapping[str, Any]) -> str:
        if len({"pattern", "format", "minLength"} & asked.keys()) > 1 or \
                ("maxLength" in asked and {"pattern", "format"} & asked.keys()):
            raise _refused("more than one of pattern, format and a length for the same string")
        if "pattern" in asked:
            return rf'"\"" ({pattern_rule(asked["pattern"])}) "\"" space'
        if "format" in asked:
            if str(asked["format"]) not in FORMATS:
                raise _refused(f"the format {str(asked['format'])[:40]!r}; {', '.join(FORMATS)} are known")
            return rf'"\"" {FORMATS[asked["format"]]} "\"" space'
        least, most = _counts(asked, "minLength", "maxLength")
        return r'"\"\"" space' if most == 0 else rf'"\"" char{_times(least, most)} "\"" space'

    def _array(self, asked: Mapping[str, Any]) -> str:
        least, most = _counts(asked, "minItems", "maxItems")
        items = asked.get("items", {})
        if "prefixItems" in asked or isinstance(items, list):
            parts = asked.get("prefixItems", items)
            if not isinstance(parts, list) or not least <= len(parts) <= (len(parts) if most is None else most):
                raise _refused("prefixItems that do not go with minItems and maxItems")
            return '"[" space ' + ' "," space '.join(self.of(part) for part in parts) + ' "]" space'
        if most == 0:
            return '"[" space "]" space'
        item = self.of(items)
        if most == 1:
            return f'"[" space {item}{"" if least else "?"} "]" space'
        more = self._add(f'"," space {item}')
        several = f"{item} {more}{_times(max(least - 1, 0), None if most is None else most - 1)}"
        return f'"[" space {several if least else f"({several})?"} "]" space'

    def _object(self, asked: Mapping[str, Any]) -> str:
        properties, required = asked.get("properties", {}), asked.get("required", [])
        if not isinstance(properties, dict) or not isinstance(required, list):
            raise _refused("properties that are no object, or a required that is no list")
        others = asked.get("additionalProperties", not properties)
        missing = next((name for name in required if name not in list(properties)), None)
        if missing is not None:
            raise _refused(f"{str(missing)[:40]!r} is required and not among its properties")
        members = {name: self._add(f'{literal(_json(name))} space ":" space {self.of(part)}')
                   for name, part in properties.items() if name in required or part is not False}
        end = ""
        if others is not False:
            other = self._add(rf'"\"" {self._other_than(list(properties))} "\"" space ":" space {self.of(others)}')
            end = f'("," space {other})*'
        first = [members[name] for name in properties if name in required]
        rest = [members[name] for name in members if name not in required]
        openings = [f"{other} {end}"] if end else []
        for member in reversed(rest):
            openings.append(f"{member} {end}")
            end = self._add(f'("," space {member})? {end}')
        if first:
            inner = ' "," space '.join(first) + f" {end}"
        else:
            inner = f"({' | '.join(reversed(openings))})?" if openings else ""
        return f'"{{" space {inner} "}}" space'

    def _other_than(self, names: list[str]) -> str:
        """The rule of a string's inside that is none of names."""
        if not names:
            return "char*"
        if max(map(len, names)) > MAX_NAME:
            raise _refused(f"a property name of more than {MAX_NAME} characters beside additionalProperties")
        heads: dict[str, list[str]] = {}
        for name in names:
            if name:
                heads.setdefault(name[0], []).append(name[1:])
        rules = [f"{literal(head)} {self._other_than(tails)}" for head, tails in heads.items() if head not in '"\\']
        other = "".join(f"\\U{ord(head):08X}" for head in heads if head not in '"\\')
        rules.append(rf'[^"\\\x00-\x1F{other}] char*')
        return self._add(" | ".join(rules if "" in names else [*rules, '""']))

    def _integer(self, asked: Mapping[str, Any]) -> str:
        if not KEYWORDS["integer"] & asked.keys():
            return "integer"
        most = 10 ** MAX_DIGITS - 1
        bounds = {name: _whole(asked, name) for name in KEYWORDS["integer"] & asked.keys()}
        low = max(bounds.get("minimum", -most), bounds.get("exclusiveMinimum", -most - 1) + 1)
        high = min(bounds.get("maximum", most), bounds.get("exclusiveMaximum", most + 1) - 1)
        if low > high:
            raise UserError(f"The JSON schema can not be satisfied: no integer is at least {low} and at most {high}.")
        signed = []
        if low < 0:
            signed.append(f'"-" ({_between(max(-high, 1), -low)})')
        if high >= 0:
            signed.append(_between(max(low, 0), high))
        return f"({' | '.join(signed)}) space"


def literal(text: str) -> str:
    """text as a literal of GBNF."""
    return '"' + "".join(f"\\x{ord(c):02X}" if c < " " else f"\\{c}" if c in '"\\' else c for c in text) + '"'


def _json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:                    # half a surrogate pair
        return json.dumps(value)
    return text


def _refused(why: str) -> UserError:
    return UserError(f"The JSON schema can not be followed: {why}.")


def _allow_only(asked: Mapping[str, Any], known: set[str], where: str) -> None:
    unknown = next((name for name in asked if name not in known), None)
    if unknown is not None:
        raise _refused(f"{unknown[:40]!r} {where} is not supported, leave it out".replace("  ", " "))


def _are_apart(some: Any, others: Any) -> bool:
    return isinstance(some, dict) and isinstance(others, dict) and not some.keys() & others.keys()


def _filled(asked: Mapping[str, Any], name: str) -> list[Any]:
    parts = asked[name]
    if not isinstance(parts, list):
        raise _refused(f"{name} is {str(parts)[:40]!r} and no list")
    if not parts:
        raise UserError(f"The JSON schema can not be satisfied: its {name} is empty.")
    return parts


def _constants(asked: Mapping[str, Any]) -> str:
    values = _filled(asked, "enum") if "enum" in asked else [asked["const"]]
    if "const" in asked:
        values = [value for value in values if _json(value) == _json(asked["const"])]
    if "type" in asked:
        kinds = asked["type"] if isinstance(asked["type"], list) else [asked["type"]]
        values = [value for value in values if TYPE_OF.get(type(value), "null") in kinds
                  or (type(value) is int and "number" in kinds)]
    if not values:
        raise UserError("The JSON schema can not be satisfied: no value of its enum has its type.")
    return f"({' | '.join(dict.fromkeys(literal(_json(value)) for value in values))}) space"


def _counts(asked: Mapping[str, Any], low: str, high: str) -> tuple[int, int | None]:
    for name in (low, high):
        if name in asked and not 0 <= _whole(asked, name) <= MAX_COUNT:
            raise _refused(f"{name} is {str(asked[name])[:40]}; use 0 to {MAX_COUNT:,}")
    least, most = _whole(asked, low) if low in asked else 0, _whole(asked, high) if high in asked else None
    if most is not None and least > most:
        raise UserError(f"The JSON schema can not be satisfied: {low} {least} is more than {high} {most}.")
    return least, most


def _whole(asked: Mapping[str, Any], name: str) -> int:
    """The whole number that asked has under name."""
    value = asked[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        raise _refused(f"{name} is {str(value)[:40]!r}; use a whole number")
    if abs(value) >= 10 ** MAX_DIGITS:
        raise _refused(f"{name} has more than {MAX_DIGITS} digits")
    return int(value)


def _times(least: int, most: int | None) -> str:
    if most is None:
        return "*" if least == 0 else f"{{{least},}}"
    return f"{{{least},{most}}}"


def _between(low: int, high: int) -> str:
    """The decimal numbers from low to high, 0 <= low <= high."""
    found = []
    for length in range(len(str(low)), len(str(high)) + 1):
        least = low if length == len(str(low)) else 10 ** (length - 1)
        most = high if length == len(str(high)) else 10 ** length - 1
        found.append(_same_length(str(least), str(most)))
    return " | ".join(found)


def _same_length(low: str, high: str) -> str:
    rest = len(low) - 1
    if low[1:] == "0" * rest and high[1:] == "9" * rest:
        return f"[{low[0]}-{high[0]}]" + (f" [0-9]{{{rest}}}" if rest else "")
    if low[0] == high[0]:
        return f'"{low[0]}" ({_same_length(low[1:], high[1:])})'
    first, last = int(low[0]), int(high[0])
    parts = [f'"{first}" ({_same_length(low[1:], "9" * rest)})', f'"{last}" ({_same_length("0" * rest, high[1:])})']
    if last - first > 1:
        parts.append(f"[{first + 1}-{last - 1}] [0-9]{{{rest}}}")
    return " | ".join(parts)
