"""An example: a conversation to learn from, with what is known of its row; and the files that hold examples."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from corpus.table import Unusable
from models import runs


@dataclass(frozen=True, kw_only=True)
class Example:
    """A conversation to learn from.

    file, line: the row it came from. messages: {"role", "content"} each, roles system, user, assistant; the last
    is the assistant's and the target. section: the note section asked for, "" where there is none. input: the part
    of the messages that may be cut when the sample is too long; "" = the longest user message. group: the id of the
    patient, encounter or document with its column, as "patientid=p1". label: the gold labels joined by " | ", yes / no
    / maybe, or the letter of a multiple choice; "" where the answer is free text. split: train, validation or test
    where the file gives it. is_instruction: its user message is an instruction without an input: no part may be cut.
    """

    file: str
    line: int
    messages: tuple[dict[str, str], ...]
    section: str = ""
    input: str = ""
    group: str = ""
    label: str = ""
    split: str = ""
    is_instruction: bool = False


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
