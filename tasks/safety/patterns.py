"""The little language of the sign files, compiled to regular expressions that can not run wild.

Words stand in order with one space between them. `pain*` begins so; `[the]` may be missing; `(arm|left leg)` is one of
these; `{pain}` is the group of that name; `~` lets up to three words in between, `~~` up to eight, commas included,
neither the end of a sentence; `/\\d+/` is a regular expression for one word. A group is a text with one alternative a
line, or several with `|` between them.
"""

import re

GAPS = {"~": r"(?:[a-z0-9]\S* ){0,3}?", "~~": r"(?:[a-z0-9,(][^\s]* ){0,8}?"}
ITEM = re.compile(r"/[^/ ]+/ ?|[^ ]+ ?")
WORD = re.compile(r"[a-z0-9*',_.?:%(\"-]+")


def compiled(pattern: str, groups: dict[str, str]) -> re.Pattern[str]:
    """pattern for a text of words in which each is followed by one space. ValueError says what is wrong with it."""
    return re.compile(r"(?<!\S)" + _alternatives(pattern, groups))


def _alternatives(pattern: str, groups: dict[str, str]) -> str:
    parts = [_sequence(part, groups) for line in pattern.split("\n") for part in split(line, "|") if part.strip()]
    if not parts:
        raise ValueError(f"empty pattern {pattern!r}")
    return f"(?:{'|'.join(parts)})"


def _sequence(pattern: str, groups: dict[str, str]) -> str:
    return "".join(_item(item, groups) for item in split(pattern, " ") if item)


def _item(item: str, groups: dict[str, str]) -> str:
    if item in GAPS:
        return GAPS[item]
    if item[0] == "(" and item[-1] == ")":
        return _alternatives(item[1:-1], groups)
    if item[0] == "[" and item[-1] == "]":
        return f"(?:{_alternatives(item[1:-1], groups)})?"
    if item[0] == "{" and item[-1] == "}":
        return _alternatives(groups[item[1:-1]], groups)
    if item[0] == "/" and item[-1] == "/":
        return f"(?:{item[1:-1]}) "
    if not WORD.fullmatch(item):
        raise ValueError(f"{item!r} is no item of a pattern")
    return re.escape(item).replace(r"\*", r"\S*") + " "


def split(text: str, at: str) -> list[str]:
    """text cut at each `at` that stands outside of brackets and of regular expressions."""
    parts, depth, start, is_in_regex = [], 0, 0, False
    for k, letter in enumerate(text):
        if letter == "/" :
            is_in_regex = not is_in_regex
        elif is_in_regex:
            continue
        elif letter in "([{":
            depth += 1
        elif letter in ")]}":
            depth -= 1
        elif letter == at and depth == 0:
            parts.append(text[start:k].strip())
            start = k + 1
    if depth or is_in_regex:
        raise ValueError(f"a bracket is left open in {text!r}")
    return [*parts, text[start:].strip()]
