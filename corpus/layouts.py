"""Which known layout a table has, and its rows as conversations that end with the answer to be learned."""

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corpus.read import Record, Table, Unusable, read_table, whole_text
from models import runs
from models.errors import UserError
from tasks.prompt import ROLES
from tasks.summarise import request

SHOWN_REASONS = 3


@dataclass(frozen=True, kw_only=True)
class Example:
    """A conversation to learn from.

    file, line: the row it came from. messages: {"role", "content"} each, roles system, user, assistant; the last
    is the assistant's and the target. section: the note section asked for, "" where there is none. input: the part
    of the messages that may be cut when the sample is too long; "" = the longest user message.
    """

    file: str
    line: int
    messages: tuple[dict[str, str], ...]
    section: str = ""
    input: str = ""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """needs: columns that must be there and filled; may_have: columns that are read when there."""

    needs: tuple[str, ...]
    may_have: tuple[str, ...]
    build: Callable[[Mapping[str, str]], dict[str, Any]]

    def describe(self) -> str:
        """"question + answer" and the like."""
        may = f" ({', '.join(self.may_have)} optional)" if self.may_have else ""
        return " + ".join(self.needs) + may


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """What some files gave; notes are lines for the person."""

    examples: tuple[Example, ...]
    unusable: tuple[Unusable, ...]
    notes: tuple[str, ...]


class _RowError(ValueError):
    """Why one row can not be used."""


def load(paths: Iterable[str]) -> Loaded:
    """The examples of all files. Raises UserError as read_table and recognise do, or if no row at all is usable."""
    examples: list[Example] = []
    unusable: list[Unusable] = []
    notes: list[str] = []
    for path in paths:
        table = read_table(Path(path).expanduser())
        found, left_out = recognise(table)
        examples += found
        unusable += left_out
        notes += table.notes
    if not examples:
        first = "; ".join(f"line {row.line}: {row.reason}" for row in unusable[:SHOWN_REASONS])
        files = ", ".join(sorted({row.file for row in unusable})) or "The data"
        raise UserError(f"{files}: none of the {len(unusable)} rows can be used ({first}).")
    return Loaded(examples=tuple(examples), unusable=tuple(unusable), notes=tuple(notes))


def recognise(table: Table) -> tuple[list[Example], list[Unusable]]:
    """The rows of a table as examples, and those that can not be used.

    Raises UserError if its columns fit no layout: which were found and which would do.
    """
    layout = _layout_of(table)
    examples, unusable = [], list(table.unusable)
    for record in table.records:
        try:
            examples.append(Example(file=table.file, line=record.line, **layout.build(_fields(record, layout))))
        except _RowError as error:
            unusable.append(Unusable(file=table.file, line=record.line, reason=str(error)))
    return examples, sorted(unusable, key=lambda row: row.line)


def _layout_of(table: Table) -> Layout:
    columns = {name.casefold() for name in table.columns}
    for layout in LAYOUTS:
        if columns.issuperset(layout.needs):
            return layout
    known = "; ".join(layout.describe() for layout in LAYOUTS)
    raise UserError(f"{table.file} has the columns {', '.join(table.columns) or '(none)'}; "
                    f"rename them to one of these layouts: {known}.")


def _fields(record: Record, layout: Layout) -> dict[str, Any]:
    """The record's fields that the layout knows: those it needs filled, text stripped."""
    given = {name.casefold(): value for name, value in record.fields.items()}
    fields = {name: _text(name, given.get(name)) for name in layout.needs + layout.may_have}
    for name in layout.needs:
        if not fields[name]:
            raise _RowError(f"{name} is empty" if name in given else f"{name} is missing")
    return fields


def _text(name: str, value: Any) -> Any:
    if value is None:
        return ""
    if name == "messages":
        return value
    if isinstance(value, (list, dict)):
        raise _RowError(f"{name} holds a {type(value).__name__}, not text")
    return whole_text(str(value)).replace("\r\n", "\n").strip()


def _turn(user: str, answer: str) -> tuple[dict[str, str], ...]:
    return {"role": "user", "content": user}, {"role": "assistant", "content": answer}


def _from_dialogue(row: Mapping[str, str]) -> dict[str, Any]:
    header = row["section_header"]
    return {"messages": _turn(request(row["dialogue"], header), row["section_text"]), "section": header,
            "input": row["dialogue"]}


def _from_instruction(row: Mapping[str, str]) -> dict[str, Any]:
    user = f"{row['instruction']}\n\n{row['input']}" if row["input"] else row["instruction"]
    return {"messages": _turn(user, row["output"]), "input": row["input"]}


def _from_messages(row: Mapping[str, Any]) -> dict[str, Any]:
    given = row["messages"]
    if isinstance(given, str):                       # a CSV cell
        try:
            given = json.loads(given)
        except (ValueError, RecursionError):
            raise _RowError("messages is not JSON") from None
    if not isinstance(given, list) or not all(isinstance(message, dict) for message in given):
        raise _RowError("messages is not a list of {role, content}")
    messages = tuple({"role": str(message.get("role")), "content": str(_text("content", message.get("content")))}
                     for message in given)
    for message in messages:
        if message["role"] not in ROLES:
            raise _RowError(f"a message has the role {message['role']!r}, not one of {', '.join(ROLES)}")
        if not message["content"]:
            raise _RowError(f"a message of the {message['role']} is empty")
    roles = [message["role"] for message in messages]
    if roles[-1] != "assistant" or "user" not in roles:
        raise _RowError("messages must hold a user's message and end with the assistant's answer")
    return {"messages": messages}


LAYOUTS = (
    Layout(needs=("messages",), may_have=(), build=_from_messages),
    Layout(needs=("dialogue", "section_text"), may_have=("section_header",), build=_from_dialogue),
    Layout(needs=("instruction", "output"), may_have=("input",), build=_from_instruction),
    Layout(needs=("question", "answer"), may_have=(),
           build=lambda row: {"messages": _turn(row["question"], row["answer"])}),
    Layout(needs=("prompt", "completion"), may_have=(),
           build=lambda row: {"messages": _turn(row["prompt"], row["completion"])}),
)


def write_examples(path: Path, examples: Sequence[Example]) -> None:
    """Write examples as JSON lines; the file appears whole or not at all."""
    _write_lines(path, examples)


def write_unusable(path: Path, rows: Sequence[Unusable]) -> None:
    """Write rows that were left out as JSON lines {"file", "line", "reason"}."""
    _write_lines(path, rows)


def _write_lines(path: Path, rows: Sequence[Example] | Sequence[Unusable]) -> None:
    # a file name that is not UTF-8 reaches us as half surrogates, for which JSON has the same \u as backslashreplace
    with runs.whole_file(path) as part, part.open("w", encoding="utf-8", errors="backslashreplace") as file:
        for row in rows:
            file.write(json.dumps(dataclasses.asdict(row), ensure_ascii=False) + "\n")


def read_examples(path: Path) -> list[Example]:
    """Read what write_examples wrote."""
    rows = (json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line)
    return [Example(**{**row, "messages": tuple(row["messages"])}) for row in rows]
