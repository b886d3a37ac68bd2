"""The rows of a JSON or JSONL file: objects a line, in a list, under keys, or as columns."""

import itertools
import json
from collections.abc import Iterator
from typing import Any

from corpus.config import DataConfig
from corpus.formats.encoding import Text
from corpus.formats.json_items import TOO_DEEP, JsonFault, JsonItems
from corpus.table import Rows, Table, split_named, whole_text
from models.errors import UserError

KEY = "key"                         # under which field an object's name in a keyed file stands
MESSAGES = "messages"               # and a row that is nothing but its turns
LINE_NAMES = (".jsonl", ".ndjson")  # in such a file every object is a row
TURN = {"role", "from", "speaker"}  # a field of a conversation's turns
SAMPLE_LINES, MAX_DIGITS = 20, 10
MOST_DRAWN_FROM = 20                # times its rows: of a larger table no part is taken for drawn
NO_OBJECT = "it is not a JSON object with named fields"
HOW = "Use a JSON list of objects, or one object a line."

Entry = tuple[int, str, Any]        # line, name, value
Item = tuple[int, Any]              # line, value


class _List(list[Item]):
    """The items of a list, each with its line."""


def read_json(text: Text, config: DataConfig) -> Table:
    """The table of a text that begins with a bracket or a brace.

    Raises UserError if it is no JSON, or holds no object at all.
    """
    rows, notes = Rows(str(text.path), config.limit_rows), text.notes
    head, is_named = text.head(), text.path.suffix.lower() in LINE_NAMES
    try:
        with text.open() as file:
            if head.lstrip()[0] == "[" and not (is_named and _are_conversations(head)):
                _take_list(rows, JsonItems(file))
            elif head.lstrip()[0] == "[" or _is_lines(head, is_named):
                _take_items(rows, _line_items(file))
            else:
                notes += _take_object(rows, JsonItems(file), is_named)
    except JsonFault as fault:
        read = f"; rows read before it: {len(rows.records):,}" if rows.records else ""
        raise UserError(f"{text.path} is not JSON: {fault}{read}.") from None
    if rows.unusable and not rows.records:
        raise UserError(f"{text.path} is not a table: line {rows.unusable[0].line}: {rows.unusable[0].reason}. {HOW}")
    return rows.table(notes=notes)


def _is_lines(head: str, is_named: bool) -> bool:
    """True if of several lines the first, or half of them, is an object: of one line in a file named so."""
    lines = [line for line in head.split("\n") if line.strip()][:SAMPLE_LINES]
    is_object = [isinstance(_parsed(line), dict) for line in lines]
    return len(lines) > 1 and (is_object[0] or sum(is_object) >= (1 if is_named else len(lines) / 2))


def _are_conversations(head: str) -> bool:
    """True if the first of several lines is a list of turns: each line is a row."""
    lines = [line for line in head.split("\n") if line.strip()][:2]
    return len(lines) > 1 and _is_conversation(_parsed(lines[0]))


def _parsed(line: str) -> Any:
    """The value on a line, or the ValueError that says why there is none."""
    try:
        return json.loads(line, strict=False, parse_constant=lambda _: None)
    except json.JSONDecodeError as error:
        return ValueError(f"it is not JSON ({error.msg}: column {error.colno})")
    except (ValueError, RecursionError) as error:
        return ValueError(f"it is not JSON ({TOO_DEEP if isinstance(error, RecursionError) else error})")


def _line_items(file: Iterator[str]) -> Iterator[Item]:
    for number, line in enumerate(file, 1):
        if line.strip():
            yield number, _parsed(line.strip())


def _take_list(rows: Rows, reader: JsonItems) -> None:
    _take_items(rows, reader.items())
    if not rows.is_cut and reader.peek():
        rows.leave_out(reader.line, "it stands after the end of the list, where reading ended")


def _take_items(rows: Rows, items: Iterator[Item], split: str = "") -> None:
    names: dict[str, str] = {}
    for line, item in items:
        if rows.is_full():
            return
        if _is_conversation(item):
            item = {MESSAGES: item}
        if isinstance(item, dict) and item:
            fields = {_name(name, names): value for name, value in item.items()}
            if len(fields) == len(item):
                rows.add(line, fields, split=split)
            else:
                rows.leave_out(line, f"two of its fields have the same name but for spaces ({', '.join(fields)})")
        else:
            rows.leave_out(line, str(item) if isinstance(item, ValueError) else NO_OBJECT)


def _name(name: str, known: dict[str, str]) -> str:
    """A field's name as the table has it; known: those met before."""
    if name not in known:
        known[name] = whole_text(name).strip()
    return known[name]


def _take_object(rows: Rows, reader: JsonItems, is_row: bool) -> tuple[str, ...]:
    """One object that holds all rows, or is one itself; or objects one after the other over several lines. Notes."""
    start = reader.line
    entries: list[Entry] = []
    for line, name in reader.names():
        entries.append((line, name, _List(reader.items()) if reader.peek() == "[" else reader.value()))
        if 0 < rows.limit < len(entries) and all(_is_row(value) for _, _, value in entries):
            break
    else:
        if reader.peek() or is_row:
            _take_items(rows, itertools.chain([(start, _plain(entries))], _following(reader)))
            return ()
    return _take_entries(rows, start, entries)


def _following(reader: JsonItems) -> Iterator[Item]:
    while reader.peek():
        yield reader.line, reader.value()


def _plain(entries: list[Entry]) -> dict[str, Any]:
    """The object that the entries are of."""
    return {name: [item for _, item in value] if isinstance(value, _List) else value for _, name, value in entries}


def _take_entries(rows: Rows, start: int, entries: list[Entry]) -> tuple[str, ...]:
    """The rows of an object's entries: under keys, as columns, in a list of objects; or the object as one. Notes."""
    objects = [value for _, _, value in entries if isinstance(value, dict) and value]
    lists = {name: value for _, name, value in entries if isinstance(value, _List) and value}
    tables = {name: value for name, value in lists.items() if all(_is_row(item) for _, item in value)}
    are_even = len({len(value) for value in lists.values()}) == 1
    has_turns = any(isinstance(item, dict) for name in lists.keys() - tables.keys() for _, item in lists[name])
    if len(lists) == len(entries) and _is_split(lists):
        names = [str(name) for _, name in lists["columns"]]
        _take_items(rows, iter([(line, dict(zip(names, item, strict=True))) for line, item in lists["data"]]))
    elif len(objects) == len(entries) and all(map(_is_column, objects)) and len(set(map(tuple, objects))) == 1:
        _take_items(rows, _transposed(start, {name: list(value.values()) for _, name, value in entries}))
    elif len(objects) * 2 > len(entries) and set.intersection(*map(set, objects)):
        _take_items(rows, _keyed(entries))
    elif len(entries) > 1 and len(lists) == len(entries) > len(tables) and are_even and not has_turns:
        _take_items(rows, _transposed(start, _plain(entries)))
    elif tables:
        return _take_tables(rows, tables, [name for _, name, _ in entries])
    else:
        _take_items(rows, iter([(start, _plain(entries))]))
    return ()


def _is_conversation(item: Any) -> bool:
    """True for a row that is nothing but a list of turns."""
    return isinstance(item, list) and bool(item) and all(isinstance(one, dict) and one.keys() & TURN for one in item)


def _is_split(lists: dict[str, _List]) -> bool:
    """True for a table as pandas writes it with orient="split": names of columns, and rows without names."""
    return {"columns", "data"} <= lists.keys() <= {"columns", "data", "index"} and all(
        isinstance(item, list) and len(item) == len(lists["columns"]) for _, item in lists["data"])


def _is_row(item: Any) -> bool:
    """True for an object that is no column of numbered values, and no turn of a conversation."""
    return isinstance(item, dict) and not _is_column(item) and not item.keys() & TURN


def _is_column(item: dict[str, Any]) -> bool:
    """True for what pandas writes of a column: {"0": value, "1": value, ...}."""
    return bool(item) and all(name.isdecimal() for name in item)


def _keyed(entries: list[Entry]) -> Iterator[Item]:
    are_numbers = _are_row_numbers([name for _, name, _ in entries])
    for line, name, value in entries:
        yield line, {KEY: name, **value} if isinstance(value, dict) and not are_numbers else value


def _are_row_numbers(names: list[str]) -> bool:
    """True for what pandas writes as an index: small numbers, also of a part drawn from a larger table."""
    are_small = all(name.isdecimal() and len(name) < MAX_DIGITS for name in names)
    return are_small and max(map(int, names)) < MOST_DRAWN_FROM * len(names)


def _transposed(line: int, columns: dict[str, list[Any]]) -> Iterator[Item]:
    for values in zip(*columns.values(), strict=True):
        yield line, dict(zip(columns, values, strict=True))


def _take_tables(rows: Rows, tables: dict[str, _List], names: list[str]) -> tuple[str, ...]:
    """Lists of objects under names: those named as splits, or the only one. A note of what else there is."""
    splits = {name: split for name in tables if (split := split_named(name))}
    if not splits and len(tables) > 1:
        raise UserError(f"{rows.file} holds {len(tables)} lists of objects ({', '.join(tables)}); keep the one with "
                        "the examples, or name them train, validation and test.")
    for name in splits or tables:
        _take_items(rows, iter(tables[name]), splits.get(name, ""))
    beside = [name for name in names if name not in (splits or tables)]
    read = f"{rows.file}: the rows are read from {', '.join(splits or tables)}"
    return (f"{read}; not read: {', '.join(beside)}.",) if beside else ()
