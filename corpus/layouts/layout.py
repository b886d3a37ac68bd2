"""What a layout is: the fields it has, the column names it knows them by, and how a row becomes an example."""

import ast
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from corpus.table import whole_text

Row = Mapping[str, Any]             # {field of the layout: value}; text is stripped, "" where there is none


ARRAY, ARRAY_END = re.compile(r"(?<![\w'\"])array\(\["), re.compile(r"\](,\s*dtype=[\w'<>]+)?\)(?=[,}\]\s]|$)")


class RowError(ValueError):
    """Why one row can not be used."""


@dataclass(frozen=True, kw_only=True)
class Field:
    """A field and the columns it is known by, in any case and with any spaces, dashes or underscores.

    names: others than its own. weak: groups of names that count only where there is no better one. is_needed: a row
    without it can not be used. is_text: False where the value may be a list or an object. is_ordered: of several
    columns so named the first is taken; else they are ambiguous.
    """

    name: str
    names: tuple[str, ...] = ()
    weak: tuple[tuple[str, ...], ...] = ()
    is_needed: bool = True
    is_text: bool = True
    is_ordered: bool = False


@dataclass(frozen=True, kw_only=True)
class Layout:
    """One known kind of table.

    target: the field that is learned. build: a row, and what survey found (None without one), to the fields of an
    Example; raises RowError. survey: the rows of a whole table and its file, to what all of them must share and notes
    for the person. fits: whether the columns mapped to the fields hold what they should, by a few rows.
    """

    name: str
    fields: tuple[Field, ...]
    target: str
    build: Callable[[Row, Any], dict[str, Any]]
    survey: Callable[[Sequence[Row], str], tuple[Any, tuple[str, ...]]] | None = None
    fits: Callable[[Mapping[str, str], Sequence[Row]], bool] = lambda columns, rows: True

    def describe(self) -> str:
        """"question + answer" and the like: what it needs."""
        return " + ".join(field.name for field in self.fields if field.is_needed)


# the coarsest first: rows of one patient stay together though their encounters differ
GROUP_ID = Field(name="group_id", is_needed=False, is_ordered=True, names=(
    "patient_id", "pat_id", "pid", "patient_no", "patient_number", "mrn", "subject_id", "participant_id", "person_id",
    "pat_nr", "patient", "subject", "person", "fallnummer", "fall_nr", "case_id", "case_no", "case_number",
    "encounter_id", "encounter", "visit_id", "hadm_id", "admission_id", "stay_id", "study_id", "accession_number",
    "dialogue_id", "dialog_id", "conversation_id", "conv_id", "thread_id", "document_id", "doc_id", "doc", "note_id",
    "article_id", "pmid", "pubmed_id", "pubid", "key"))
SYSTEM = Field(name="system", names=("system_prompt", "system_message"), is_needed=False)


def text_of(column: str, value: Any) -> str:
    """The value as text, stripped; "" for null. Raises RowError for a list or an object."""
    if value is None or value != value:             # NaN, as tables write a missing number
        return ""
    if isinstance(value, dict):
        inner = next(iter(value), "field")
        raise RowError(f"{column} holds an object, not text (map a part of it by hand, as {column}.{inner})")
    if isinstance(value, (list, tuple, bytes)):
        raise RowError(f"{column} holds {'bytes' if isinstance(value, bytes) else 'a list'}, not text")
    return whole_text(str(value)).replace("\r\n", "\n").strip()


def structure(value: Any) -> Any:
    """The list or object that a cell holds as JSON or as Python prints it; any other value as it is."""
    text = value.strip() if isinstance(value, str) else ""
    if "array([" in text:
        text = ARRAY.sub("[", ARRAY_END.sub("]", text))             # as numpy prints a list
    if text[:1] + text[-1:] not in ("[]", "{}"):
        return value
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    return value


def is_filled(value: Any) -> bool:
    """Whether there is anything in a field."""
    return value not in ("", None, [], {}, ())


def turn(user: str, answer: str, system: str = "") -> tuple[dict[str, str], ...]:
    """The messages of one question and its answer."""
    first = ({"role": "system", "content": system},) if system else ()
    return *first, {"role": "user", "content": user}, {"role": "assistant", "content": answer}
