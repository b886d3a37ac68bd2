"""What a step found in a person's data: a count, a sentence, the rows to review."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from corpus.layouts import Example
from corpus.table import Unusable

SHOWN_ROWS = 1000           # of one step; what was dropped stands in full among the rows left out
SHOWN_CHARS = 200


@dataclass(frozen=True, kw_only=True)
class Finding:
    """step: its name in a table. count: rows it concerns. text: one or two sentences. rows: small JSON values each."""

    step: str
    count: int
    text: str
    rows: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Step:
    """What a step of cleaning leaves: kept rows in order, those taken out with the reason, and its Finding."""

    kept: tuple[Example, ...]
    dropped: tuple[tuple[Example, str], ...]
    finding: Finding

    @property
    def left_out(self) -> list[Unusable]:
        """The rows taken out, as every step lists them."""
        return [Unusable(file=row.file, line=row.line, reason=reason) for row, reason in self.dropped]


def finding(step: str, count: int, text: str, rows: Iterable[Mapping[str, Any]] = ()) -> Finding:
    """A Finding with as many rows as a person reviews; a last one then says how many more there are."""
    shown_rows = [dict(row) for row in rows]
    if len(shown_rows) > SHOWN_ROWS:
        more = len(shown_rows) - SHOWN_ROWS
        shown_rows[SHOWN_ROWS:] = [{"file": "", "line": 0, "why": f"and {more:,} more rows"}]
    return Finding(step=step, count=count, text=text, rows=tuple(shown_rows))


def shown(example: Example, prefix: str = "") -> dict[str, Any]:
    """{file, line, input, answer} of an example, shortened; prefix + each name."""
    values = {"file": example.file, "line": example.line, "input": excerpt(prompt_text(example)),
              "answer": excerpt(answer_text(example))}
    if example.section:
        values["section"] = example.section
    return {prefix + name: value for name, value in values.items()}


def prompt_text(example: Example) -> str:
    """What is asked: the input, else all that the user says."""
    return example.input or "\n".join(m["content"] for m in example.messages if m["role"] == "user")


def answer_text(example: Example) -> str:
    """What is to be learned: all that the assistant says."""
    return "\n".join(m["content"] for m in example.messages if m["role"] == "assistant")


def excerpt(text: str) -> str:
    """The text on one line, its end cut."""
    line = " ".join(text[:SHOWN_CHARS * 4].split())
    return line if len(line) <= SHOWN_CHARS else line[:SHOWN_CHARS - 1] + "…"


def rows_word(count: int, verb: str = "") -> str:
    """"1 row", "1,201 rows"; with a verb in its plural, "1 row repeats", "2 rows repeat"."""
    noun = f"{count:,} row" if count == 1 else f"{count:,} rows"
    singular = {"have": "has", "hold": "holds", "stand": "stands", "repeat": "repeats", "share": "shares"}
    return f"{noun} {singular[verb] if count == 1 else verb}" if verb else noun


def place(example: Example) -> str:
    """"notes.csv, line 12"."""
    return f"{example.file}, line {example.line}"
