"""The GBNF rule of a regular expression inside a JSON string: each of its texts matches, and is whole JSON."""

import re
from typing import Any

from models.errors import UserError

LAST = 0x10FFFF
NO_JSON = [(0, 0x1F), (0x22, 0x22), (0x5C, 0x5C), (0xD800, 0xDFFF)]      # what a JSON string holds only escaped
CLASSES = {"d": [(0x30, 0x39)], "w": [(0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A)], "s": [(0x20, 0x20)]}
LITERAL = set("\\^$.|?*+()[]{}-/") | set(" !#%&,:;<=>@_`~'")              # that mean themselves behind a backslash
QUANTIFIER = re.compile(r"(?:[*+?]|\{\d+(?:,\d*)?\})\??")
Ranges = list[tuple[int, int]]                  # of code points, both ends in


def pattern_rule(pattern: Any) -> str:
    """The rule's right side. Raises UserError for what it can not follow: look-around, references, a part match."""
    if not isinstance(pattern, str) or not pattern.startswith("^") or not pattern.endswith("$"):
        raise _refused(pattern, "it has to be a text that begins with ^ and ends with $")
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise _refused(pattern, f"it is no regular expression ({error})") from error
    body = pattern[1:-1]
    parts: list[str] = []
    at = 0
    while at < len(body):
        quantifier = QUANTIFIER.match(body, at)
        if quantifier:
            lazy = quantifier.group().endswith("?") and len(quantifier.group()) > 1
            parts.append(quantifier.group()[:-1] if lazy else quantifier.group())
            at = quantifier.end()
        elif body[at] == "(":
            at = _after_opening(pattern, body, at)
            parts.append(" (")
        elif body[at] in ")|":
            parts.append(f" {body[at]}" if body[at] == "|" else ")")
            at += 1
        else:
            ranges, at = _one(pattern, body, at)
            parts.append(f" {_class(pattern, ranges)}")
    return "".join(parts)


def _after_opening(pattern: str, body: str, at: int) -> int:
    if body.startswith("(?:", at):
        return at + 3
    if body.startswith("(?", at):
        raise _refused(pattern, "groups that begin with (? are not supported")
    return at + 1


def _one(pattern: str, body: str, at: int) -> tuple[Ranges, int]:
    """(the characters that may stand where body[at:] begins, the position behind what says so)"""
    sign = body[at]
    if sign == ".":
        return [(0, LAST)], at + 1
    if sign == "[":
        return _bracket(pattern, body, at + 1)
    if sign == "\\":
        return _escape(pattern, body, at), at + 2
    if sign in "^$":
        raise _refused(pattern, f"a {sign} in its middle is not supported")
    return [(ord(sign), ord(sign))], at + 1


def _escape(pattern: str, body: str, at: int) -> Ranges:
    sign = body[at + 1:at + 2]
    if sign.lower() in CLASSES:
        return CLASSES[sign] if sign in CLASSES else _other_than(CLASSES[sign.lower()])
    if sign not in LITERAL:
        raise _refused(pattern, f"\\{sign} is not supported")
    return [(ord(sign), ord(sign))]


def _bracket(pattern: str, body: str, at: int) -> tuple[Ranges, int]:
    """The same for a character class whose inside begins at body[at]."""
    is_negated = body.startswith("^", at)
    at = start = at + is_negated
    found: Ranges = []
    while body[at:at + 1] != "]" or at == start:
        if at >= len(body):
            raise _refused(pattern, "a [ is not closed")
        first, at = _member(pattern, body, at)
        if body[at:at + 1] == "-" and body[at + 1:at + 2] not in ("]", ""):
            last, at = _member(pattern, body, at + 1)
            if len(first) != 1 or len(last) != 1 or first[0][0] > last[0][1]:
                raise _refused(pattern, "it holds a range without two ends")
            first = [(first[0][0], last[0][1])]
        found += first
    return (_other_than(found) if is_negated else found), at + 1


def _member(pattern: str, body: str, at: int) -> tuple[Ranges, int]:
    if body[at] == "\\":
        return _escape(pattern, body, at), at + 2
    return [(ord(body[at]), ord(body[at]))], at + 1


def _other_than(ranges: Ranges) -> Ranges:
    found, at = [], 0
    for first, last in sorted(ranges):
        if first > at:
            found.append((at, first - 1))
        at = max(at, last + 1)
    return [*found, (at, LAST)] if at <= LAST else found


def _class(pattern: str, ranges: Ranges) -> str:
    """The class of GBNF for ranges, less what would not be JSON."""
    found = _other_than(_other_than(ranges) + NO_JSON)
    if not found:
        raise _refused(pattern, "quote marks, backslashes and control characters are not supported in it")
    return "[" + "".join(f"\\U{a:08X}" if a == b else f"\\U{a:08X}-\\U{b:08X}" for a, b in found) + "]"


def _refused(pattern: Any, why: str) -> UserError:
    return UserError(f"The JSON schema's pattern {str(pattern)[:60]!r} can not be followed: {why}.")
