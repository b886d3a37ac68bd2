"""A whole note in named sections, each of which a grammar guarantees."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from models.errors import UserError
from tasks.engine import Engine, Ids

NOTE = ("CHIEF COMPLAINT", "HISTORY OF PRESENT ILLNESS", "REVIEW OF SYSTEMS", "PHYSICAL EXAMINATION", "RESULTS",
        "ASSESSMENT AND PLAN")
BETWEEN = "\n\n"
MAX_NAME, MAX_SECTIONS = 80, 40
LEAST_SHARE = 16                                # tokens of a section, heading and all


class Written(NamedTuple):
    """The body of every section of a note, in order, and the names of those that were cut."""

    bodies: tuple[str, ...]
    cut: frozenset[str]


def checked(sections: Sequence[str]) -> tuple[str, ...]:
    """The names of sections without stray blanks. Raises UserError for none, too many, long ones, or one twice."""
    names = tuple(" ".join(name.split()) for name in sections)
    if not 0 < len(names) <= MAX_SECTIONS:
        raise UserError(f"A note has {len(names)} sections; name 1 to {MAX_SECTIONS}.")
    for name in names:
        if not name or len(name) > MAX_NAME or not name.isprintable():
            raise UserError(f"The section {name[:MAX_NAME]!r} has no usable name; use 1 to {MAX_NAME} characters.")
        if [one.casefold() for one in names].count(name.casefold()) > 1:
            raise UserError(f"The section {name!r} is named twice; name it once.")
    return names


def request(dialogue: str, sections: Sequence[str]) -> str:
    """The user message that asks for a note in these sections."""
    listed = ", ".join(f'"{name}"' for name in sections)
    return f"Write a clinical note with the sections {listed} for this conversation.\n\n{dialogue.strip()}"


def grammar(sections: Sequence[str]) -> str:
    """GBNF of the bodies under these headings, in order: each at least one line, none of them empty.

    A heading is followed by a line break, a body by an empty line, and a body holds none.
    """
    parts = [f'{_literal(name + chr(10))} body' for name in sections]
    root = f" {_literal(BETWEEN)} ".join(parts)
    return (f"root ::= {root}\n"
            'body ::= line ("\\n" line)*\n'
            "line ::= [^\\n\\r\\t ] [^\\n\\r]*\n")


def joined(bodies: Sequence[str], sections: Sequence[str]) -> str:
    """The note of these bodies, as the grammar would write it."""
    return BETWEEN.join(f"{name}\n{body}" for name, body in zip(sections, bodies, strict=False))


def read(text: str, sections: Sequence[str]) -> list[str]:
    """The bodies of a note that the grammar wrote, in order; fewer than sections where it was cut."""
    bodies = []
    for part, name in zip(text.split(BETWEEN), sections, strict=False):
        head, _, body = part.partition("\n")
        if head != name or not body.strip():
            break
        bodies.append(body.strip())
    return bodies


def write(engine: Engine, prompts: Sequence[Ids], sections: Sequence[str], max_tokens: int) -> list[Written]:
    """The note behind each prompt, in order, with every section; max_tokens: of a whole note.

    A note that runs out of tokens in a section is closed there: its bodies are cut to the same share of max_tokens,
    and the other sections are written behind it.
    """
    share = max_tokens // len(sections)
    if share < LEAST_SHARE:
        raise UserError(f"A note of {len(sections)} sections in {max_tokens} tokens has no room for them; allow "
                        f"{LEAST_SHARE * len(sections)} tokens or more.")
    bodies: list[list[str]] = [[] for _ in prompts]
    cut: list[set[str]] = [set() for _ in prompts]
    for at in range(len(sections)):             # each round ends one more section of every note
        open_ones = [k for k, some in enumerate(bodies) if len(some) == at]
        if not open_ones:
            continue
        left = sections[at:]
        begun = [joined(bodies[k], sections) + BETWEEN if at else "" for k in open_ones]
        ids = [[*prompts[k], *(engine.encode(text) if text else [])]
               for k, text in zip(open_ones, begun, strict=True)]
        for k, answer in zip(open_ones, engine.answers(ids, share * len(left), grammar(left)), strict=True):
            more = read(answer.text, left)
            if len(more) < len(left) or answer.reason == "length":
                more = _closed(engine, more or ["-"], left, share, cut[k])
            bodies[k] += more
    return [Written(tuple(some), frozenset(names)) for some, names in zip(bodies, cut, strict=True)]


def _closed(engine: Engine, bodies: Sequence[str], sections: Sequence[str], share: int, cut: set[str]) -> list[str]:
    """The bodies of a note that ran out of tokens, each within its share. cut: gets the names of the shortened ones."""
    cut.add(sections[len(bodies) - 1])
    closed = []
    for name, body in zip(sections, bodies, strict=False):
        short = _shortened(engine, body, share - len(engine.encode(name + BETWEEN)) - 1)
        if short != body:
            cut.add(name)
        closed.append(short)
    return closed


def _shortened(engine: Engine, body: str, most: int) -> str:
    """A body of that many tokens at most, up to the end of a sentence if there is one."""
    while len(ids := engine.encode(body)) > most and len(body) > 1:
        body = body[:max(1, min(len(body) - 1, len(body) * most // len(ids)))].rstrip()
        ends = [found.end() for found in re.finditer(r"[.!?](?=\s)|.(?=\n)", body)]
        body = body[:ends[-1]] if ends else body
    return body


def _literal(text: str) -> str:
    """A GBNF string."""
    for plain, escaped in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n")):
        text = text.replace(plain, escaped)
    return f'"{text}"'
