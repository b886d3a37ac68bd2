"""Layouts of multiple choice: the options in one field, or each in a column of its own, and which one is right."""

import re
import string
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from corpus.layouts.layout import GROUP_ID, Field, Layout, Row, RowError, structure, text_of, turn
from models.errors import UserError
from tasks import answer

LETTERS = string.ascii_uppercase[:10]
LETTERS_SHARE = 0.9                 # of the last column, if a table without column names is one of choices
KEY_NAMES, TEXT_NAMES = ("key", "label", "letter", "id"), ("value", "text", "option", "answer")
Options = dict[str, str]


def _listed(row: Row) -> Options:
    """{letter: text} of the options in one field: an object, a list, a list of objects or an object of lists."""
    given = structure(row["options"])
    if isinstance(given, dict) and all(isinstance(value, list) for value in given.values()):
        texts: list[Any] = next((given[name] for name in TEXT_NAMES if name in given), [])
        keys: Sequence[Any] = next((given[name] for name in KEY_NAMES if name in given), LETTERS)
        given = dict(zip(map(str, keys), texts, strict=False))
    elif isinstance(given, list) and given and all(isinstance(one, dict) for one in given):
        given = {_first(one, KEY_NAMES, LETTERS[k % len(LETTERS)]): _first(one, TEXT_NAMES)
                 for k, one in enumerate(given)}
    if not isinstance(given, (list, dict)):
        raise RowError("options is not a list or an object of options")
    values = list(given.values() if isinstance(given, dict) else given)
    count = max((k + 1 for k, one in enumerate(values) if one not in (None, "")), default=0)     # others are padding
    if count > len(LETTERS):
        raise RowError(f"it has {count} options; a choice has {len(LETTERS)} at the most")
    if isinstance(given, list):
        given = dict(zip(LETTERS, given, strict=False))
    keys = [str(key).strip().upper() for key in given]
    if any(key not in LETTERS for key in keys):                 # numbered or named: by their order
        keys = list(LETTERS[:len(keys)])
    texts = [text_of("options", value) for value in given.values()]
    return _bare({key: text for key, text in zip(keys, texts, strict=False) if text})


def _bare(options: Options) -> Options:
    """Options without the letters that each of them begins with: {"A": "A. Aspirin"}."""
    found = {letter: re.match(rf"\(?{letter}[.):]\s*(.+)", text, re.I | re.S) for letter, text in options.items()}
    return {letter: one[1] for letter, one in found.items() if one} if all(found.values()) else options


def _first(one: Mapping[str, Any], names: Sequence[str], default: str = "") -> str:
    return next((str(one[name]) for name in names if one.get(name) is not None), default)


def _in_columns(row: Row) -> Options:
    return _bare({letter: row[letter] for letter in LETTERS if row[letter]})


def _builder(options_of: Callable[[Row], Options]) -> Callable[[Row, Any], dict[str, Any]]:
    def build(row: Row, first: int | None) -> dict[str, Any]:
        options = options_of(row)
        if len(options) < 2:
            raise RowError(f"it has {len(options)} options; a choice needs two")
        letter = _letter(row["letter"], options, first)
        said = _of_text(row["answer_text"], options)
        if said and options[said] != options[letter]:
            raise RowError(f"its answer is {letter} ({options[letter][:40]!r}), but its text is that of {said}")
        reply = answer.chosen(letter, options[letter], row["explanation"])
        return {"messages": turn(answer.choice_question(row["question"], options), reply),
                "input": row["question"], "label": letter, "group": row["group_id"]}
    return build


def _letter(given: str, options: Options, first: int | None) -> str:
    """The letter that an answer names: by letter ("B", "(b)", "B. Hypnozoite"), by the option's text, or by number.

    first: the number of the first option where answers are numbers, else None.
    """
    number = _number(given)
    if number is not None and first is not None:
        at = number - first
        letter = LETTERS[at] if 0 <= at < len(LETTERS) else ""
    else:
        named = re.match(r"(?:option|answer)?[\s:(\[]*([a-j])(?![\w'])\s*([.):\]-]?)\s*(.*)", given, re.I | re.S)
        letter = named[1].upper() if named else ""
        if named and named[3] and not named[2] and _same(named[3]) != _same(options.get(letter, "")):
            letter = ""                         # "A lesion of the nerve"
        letter = letter or _of_text(given, options) or _of_place(given)
    if letter not in options:
        raise RowError(f"its answer {given[:40]!r} is none of its options")
    return letter


def _of_text(given: str, options: Options) -> str:
    """The letter of the one option with this text, "" if there is none."""
    found = [letter for letter, text in options.items() if _same(text) == _same(given)] if given else []
    return found[0] if len(found) == 1 else ""


def _of_place(given: str) -> str:
    """The letter that "option2" and "Choice 2" name, counted from 1; "" if it is neither."""
    named = re.fullmatch(r"(?:option|choice|op|opt)[\s_-]*(\d{1,2})", given, re.I)
    return LETTERS[int(named[1]) - 1] if named and 0 < int(named[1]) <= len(LETTERS) else ""


def _same(text: str) -> str:
    return " ".join(text.casefold().split()).rstrip(".")


def _number(text: str) -> int | None:
    return int(float(text)) if re.fullmatch(r"-?\d{1,3}(\.0+)?", text) else None


def _surveyor(options_of: Callable[[Row], Options],
              is_list: bool) -> Callable[[Sequence[Row], str], tuple[int | None, tuple[str, ...]]]:
    def survey(rows: Sequence[Row], file: str) -> tuple[int | None, tuple[str, ...]]:
        """The number of the first option, None where answers are no numbers. Raises UserError if it can not be told."""
        numbers = [_number(row["letter"]) for row in rows]
        if not rows or None in numbers:
            return None, ()
        if all(number is not None and number < 0 for number in numbers):
            raise UserError(f"{file}: every answer is {numbers[0]}, which stands for a hidden one (a published test "
                            "split); take a split whose answers are open, such as the validation rows.")
        known = [(number, options, row["answer_text"]) for number, row in zip(numbers, rows, strict=True)
                 if number is not None and number >= 0 and (options := _try(options_of, row))]
        first = _first_number(known, is_list)
        if first is None:
            raise UserError(f"{file}: its answers are numbers, and it can not be told whether the first option is "
                            "number 0 or 1; write letters (A, B, ...) instead.")
        return first, (f"The answers of {Path(file).name} are numbers; the first option is {first}.",)
    return survey


def _first_number(known: Sequence[tuple[int, Options, str]], is_list: bool) -> int | None:
    """What stands for the first option: by the answers' texts, by a number that only one way of counting has, and
    in a list, as programs count, 0. known: (number, options, the answer's text) of each row."""
    offsets = {number - LETTERS.index(letter) for number, options, text in known if (letter := _of_text(text, options))}
    if len(offsets) == 1 and offsets <= {0, 1}:
        return offsets.pop()
    if any(number == 0 for number, _, _ in known):
        return 0
    if any(number == len(options) for number, options, _ in known):
        return 1
    return 0 if is_list else None


def _try(options_of: Callable[[Row], Options], row: Row) -> Options:
    try:
        return options_of(row)
    except RowError:
        return {}


def _column(letter: str) -> Field:
    number = LETTERS.index(letter) + 1
    low = letter.lower()
    return Field(name=letter, is_needed=letter in "AB", is_ordered=True, names=(
        f"op{low}", f"option_{low}", f"choice_{low}", f"answer_{low}", f"option_{number}", f"choice_{number}",
        f"ending{number - 1}"))


SHARED = (
    Field(name="question", names=("stem", "question_text", "sent1"), weak=(("prompt", "input", "query"),)),
    Field(name="letter", is_ordered=True, names=(
        "answer_idx", "answer_index", "answer_key", "answer_letter", "correct_option", "correct_choice", "cop",
        "correct_answer", "correct", "answer", "label", "target", "gold")),
    Field(name="answer_text", is_needed=False, is_ordered=True, names=("answer", "correct_answer", "answers")),
    Field(name="explanation", names=("exp", "rationale", "reason"), is_needed=False, is_ordered=True), GROUP_ID)
CHOICE = Layout(
    name="multiple choice", target="letter", build=_builder(_listed), survey=_surveyor(_listed, is_list=True),
    fields=(Field(name="options", names=("choices", "answer_choices", "answer_options"), is_text=False), *SHARED))
CHOICE_COLUMNS = Layout(
    name="multiple choice", target="letter", build=_builder(_in_columns), survey=_surveyor(_in_columns, is_list=False),
    fields=(*(_column(letter) for letter in LETTERS), *SHARED))


def options(layout: Layout, row: Row) -> Options:
    """{letter: text} of a row of one of the two. Raises RowError if its options are no list."""
    return _in_columns(row) if layout is CHOICE_COLUMNS else _listed(row)


def without_header(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """{field: column} of a table without column names, as MMLU has it: question, options, letter; {} if it is none."""
    if not 4 <= len(columns) <= len(LETTERS) + 2:
        return {}
    letters = LETTERS[:len(columns) - 2]
    last = [str(row.get(columns[-1], "")).strip().upper() for row in rows]
    if sum(one in [*LETTERS] for one in last) < LETTERS_SHARE * len(last):
        return {}
    return {"question": columns[0], **dict(zip(letters, columns[1:-1], strict=True)), "letter": columns[-1]}
