"""The names of labels that a table writes as numbers, as a short table beside it lists them."""

from collections.abc import Collection, Sequence
from pathlib import Path

from corpus.read import read_table
from corpus.table import Table
from models.errors import UserError

LIST_WORDS = ("label", "class", "categor", "group", "name", "legend", "code")
LIST_KINDS = (".csv", ".tsv", ".txt", ".xlsx", ".json", ".jsonl")
MAX_LIST_BYTES, MAX_LIST_ROWS = 200_000, 1000


def names_in(table: Table) -> dict[str, str]:
    """{number: name} if that is all the table holds, else {}."""
    if len(table.columns) != 2 or not 1 < len(table.records) <= MAX_LIST_ROWS:
        return {}
    pairs = [[str(record.fields.get(column, "")).strip() for column in table.columns] for record in table.records]
    if all(second.isdigit() and not first.isdigit() for first, second in pairs):
        pairs = [[second, first] for first, second in pairs]
    names = {code: " ".join(name.casefold().split()) for code, name in pairs}
    is_list = all(code.isdigit() and name and not name.isdigit() for code, name in names.items())
    return names if is_list and len(names) == len(pairs) == len(set(names.values())) else {}


def names_beside(path: Path, codes: Collection[str]) -> tuple[dict[str, str], str]:
    """({number: name}, the file's name) of the list beside path that names every code; ({}, "") if there is none."""
    folder = path if path.is_dir() else path.parent
    for sibling in sorted(folder.iterdir()) if folder.is_dir() else ():
        if sibling == path or not _may_list(sibling):
            continue
        try:
            names = names_in(read_table(sibling))
        except UserError:                       # no table, so no list of names
            continue
        if names.keys() >= set(codes):
            return names, sibling.name
    return {}, ""


def _may_list(path: Path) -> bool:
    return (path.suffix.lower() in LIST_KINDS and any(word in path.stem.lower() for word in LIST_WORDS)
            and path.is_file() and path.stat().st_size <= MAX_LIST_BYTES)


def without_lists(tables: Sequence[Table]) -> tuple[list[Table], list[str]]:
    """The tables without those that only name the labels of another one, and a note for each of these."""
    kept, notes = [], []
    for table in tables:
        others = {column for other in tables if other is not table for column in other.columns}
        if others.intersection(table.columns) and _may_list(Path(table.file)) and names_in(table):
            notes.append(f"{Path(table.file).name} names labels; it holds no examples.")
        else:
            kept.append(table)
    return kept, notes
