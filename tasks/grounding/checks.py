"""Which numbers, doses, dates, frequencies and names of a note its conversation does not say, and what it does."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from tasks.grounding import names
from tasks.grounding.dates import Date
from tasks.grounding.frequencies import IDIOMS, Frequency
from tasks.grounding.numbers import IMPLIED
from tasks.grounding.quantities import Pair, Quantity
from tasks.grounding.said import NEAR, Said, date_parts, is_close
from tasks.grounding.tokens import DECIMAL_COMMA, is_digits, is_glued, low_at
from tasks.grounding.units import DOSES, is_same

ENUMERATED = re.compile(r"(?:^|(?<=[\s.:;]))(\d{1,2})(?=[.)](?:\s|$))")
FIXED = {"covid-19", "a1c", "hba1c", "spo2", "sao2", "po2", "pco2", "co2", "o2", "s1", "s2", "s3", "s4", "h2",
         "cd4", "cd8"}
CODE = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]+-?\d+(?:\.\d+)?[A-Za-z]?(?:[-/][A-Za-z]?\d+)*")
EVERY_MORNING = re.compile(r"(?:every|each) (?:single )?morning", re.IGNORECASE)
NIGHT = {"night", "nights", "nighttime", "bedtime", "bed", "evening", "evenings", "sleep", "sleeping", "asleep"}
WEIGHTS = {"kg", "pounds", "ounces", "stone"}  # of a person, not of a medicine
SUBJECT = 6                                     # tokens between a medicine and its dose in a note
TOLD = 3                                        # values that a mark names


class Found(NamedTuple):
    """Characters start to end of a note, what they are, and why the conversation does not hold them."""

    start: int
    end: int
    kind: str
    why: str


def unsaid(note: Said, said: Said) -> Iterator[Found]:
    """Everything of a note that a conversation does not say, in no order."""
    taken: set[int] = set()                     # tokens that have been looked at
    yield from _dates(note, said, taken)
    yield from _frequencies(note, said, taken)
    yield from _pairs(note, said, taken)
    yield from _quantities(note, said, taken)
    is_said: dict[str, bool] = {}
    for name in names.names(note.text):
        if name.low not in is_said:
            is_said[name.low] = names.is_said(name, said.words)
        if not is_said[name.low]:
            kind = "medicine" if name.is_medicine else "name"
            yield Found(name.start, name.end, kind, "The conversation does not name it.")


def _dates(note: Said, said: Said, taken: set[int]) -> Iterator[Found]:
    for date in note.dates:
        at = [k for k, token in enumerate(note.tokens) if date.start <= token.start < date.end]
        if date.is_short and said.is_pair(_values_of(note, at)):
            taken.update(at)
            continue
        taken.update(at)
        missing = min((_missing(date, parts, said) for parts in date_parts(date)), key=len)
        if missing:
            yield Found(date.start, date.end, "date", f"The conversation does not say {' or '.join(missing)}.")


def _values_of(note: Said, at: list[int]) -> tuple[float, float]:
    values = [float(note.tokens[k].low) for k in at if is_digits(note.tokens[k].low)]
    return values[0], values[-1]


def _missing(date: Date, parts: tuple[int | None, int | None, int | None], said: Said) -> list[str]:
    """What of a date is not said, in words."""
    month, day, year = parts
    missing = []
    if month and not said.is_month(month):
        missing.append("the month")
    if day and not said.is_day(month, day):
        missing.append("the day")
    if year is not None and not said.is_year(year):
        missing.append("the year")
    if date.weekday and not any(one.weekday == date.weekday for one in said.dates):
        missing.append(date.weekday.capitalize())
    return missing


def _frequencies(note: Said, said: Said, taken: set[int]) -> Iterator[Found]:
    idioms = [found.span() for found in IDIOMS.finditer(note.text)]
    twice = Counter(often.first for often in note.frequencies)      # of a range there are two at one place
    for often in note.frequencies:
        start, end = note.tokens[often.first].start, note.tokens[often.last - 1].end
        is_idiom = any(low <= start < high for low, high in idioms)
        if is_idiom or (twice[often.first] == 1 and taken.intersection(range(often.first, often.last))):
            continue
        taken.update(range(often.first, often.last))
        text = note.text[start:end]
        if often.is_night and not said.words.isdisjoint(NIGHT):
            continue
        if EVERY_MORNING.fullmatch(text) and said.has_mornings():
            continue
        if not said.is_often(often):
            yield Found(start, end, "frequency", f'The conversation does not say "{text}".')
            continue
        by_dose = [one for dose in _before(note, often) for one in said.rates_of(dose)]
        by_name = [one for word in _subjects(note, often.first) for one in said.rates_after(word)]
        for told in (by_dose, by_name):
            if told and not any(is_close(often.rate, one.rate) for one in told):
                words = _quoted(said, [(one.first, one.last) for one in told])
                yield Found(start, end, "frequency", f"Of this the conversation says {words}.")
                break


def _before(note: Said, often: Frequency) -> list[Quantity]:
    """The dose that a frequency belongs to."""
    return [one for one in note.quantities if one.unit and one.unit.dimension in {*DOSES, "pack"}
            and 0 <= often.first - one.last < NEAR]


def _pairs(note: Said, said: Said, taken: set[int]) -> Iterator[Found]:
    for pair in note.pairs:
        at = range(pair.first, pair.last)
        if taken.intersection(at) or any(low_at(note.tokens, k) in ("of", "by", "over") for k in at[1:]) and not (
                said.is_pair(pair.values)) and any(said.with_value(value) for value in pair.values):
            continue
        taken.update(at)
        if not said.is_pair(pair.values):
            yield _found(note, pair, "number", f'The conversation does not say "{_text(note, pair)}".')


def _quantities(note: Said, said: Said, taken: set[int]) -> Iterator[Found]:
    listed = _enumerated(note.text)
    for one in note.quantities:
        number = note.tokens[one.first]
        if one.first in taken or number.start in listed or not one.is_sure or _is_light(note, one):
            continue
        if one.unit is None and _are_listed(number.low, said):
            continue
        kind = "dose" if one.unit and one.unit.dimension in DOSES and one.unit.name not in WEIGHTS else "number"
        if not _is_said(one, said) and not _is_code_said(note, one, said):
            yield _found(note, one, kind, _instead(one, said, _text(note, one)))
        else:
            conflict = _conflict(note, one, said)
            if conflict:
                yield _found(note, one, kind, conflict)


def _are_listed(number: str, said: Said) -> bool:
    """Whether "4,5" is no fraction, but two numbers that are both said."""
    return bool(re.fullmatch(DECIMAL_COMMA, number)) and all(said.with_value(float(one)) for one in number.split(","))


def _is_light(note: Said, one: Quantity) -> bool:
    """True for what says no number of its own: "a", "one of", "the first", "COVID-19"."""
    word = note.tokens[one.first].low
    if one.form == "implied":
        return not (word in IMPLIED and one.unit and (one.value >= 2 or one.unit.dimension == "time"))
    if one.form == "ordinal" and one.value <= 2:
        return True
    if one.unit is None and one.value in (0, 1) and not note.kind_before(one):
        return True
    return _code(note, one).lower() in FIXED


def _code(note: Said, one: Quantity) -> str:
    """The letters and digits that a number is part of, "C5-6", or ""."""
    if one.form != "digits" or not is_glued(note.tokens, one.first):
        return ""
    start = note.tokens[one.first].start
    return next((found[0] for found in CODE.finditer(note.text, max(0, start - 12), start + 8)
                 if found.start() < start < found.end()), "")


def _is_code_said(note: Said, one: Quantity, said: Said) -> bool:
    """Whether a conversation holds "C5-6" in one piece, as "c56"."""
    code = re.sub("[-/.]", "", _code(note, one).lower())
    return bool(code) and code in said.codes


def _is_said(one: Quantity, said: Said) -> bool:
    if one.form == "decade":
        base = one.value % 100
        if one.value >= 1800 and any(said.is_year(int(one.value) + k) for k in range(10)):
            return True
        return any(said.with_value(value) for value in (base, one.value, 1900 + base)) or said.is_of_decade(base)
    if one.form == "ordinal":
        return bool(said.with_value(one.value))
    if (one.unit is None or one.unit.dimension == "heat") and said.is_temperature(one.value):
        return True
    return said.is_measured(one.value, one.unit) if one.unit else bool(said.with_value(one.value))


def _conflict(note: Said, one: Quantity, said: Said) -> str:
    """What the conversation says of the same thing or medicine instead of this value, if it says that; or ""."""
    if kind := note.kind_before(one):
        told = said.of_kind(kind)
        if told and not any(other.value == one.value for other in told):
            return f"The conversation says {_quoted(said, [(other.first - 1, other.last) for other in told])}."
    if one.noun and one.form in ("digits", "words"):
        told = said.counts(one.noun)
        if told and not any(other.value == one.value for other in told) and not _is_loose(one, said):
            return f"The conversation counts {_quoted(said, [(other.first, other.last + 1) for other in told])}."
    if one.unit and one.unit.dimension in DOSES:
        for word in _subjects(note, one.first):
            told = said.doses_of(word, one.unit.dimension)
            is_told = said.is_near(word, one.value) or any(
                is_same(one.value, one.unit, other.value, other.unit) for other in told if other.unit)
            if told and not is_told:
                doses = _quoted(said, [(other.first, other.last) for other in told])
                return f"Near {word} the conversation says {doses}."
    return ""


def _is_loose(one: Quantity, said: Said) -> bool:
    """Whether the number is also said of nothing in particular."""
    return any(other.is_bare for other in said.with_value(one.value))


def _subjects(note: Said, before: int) -> list[str]:
    """The medicine that stands nearest before a token in its sentence, under all its names."""
    for at in range(before - 1, max(-1, before - SUBJECT - 1), -1):
        word = note.tokens[at].low
        if word in (".", ";") and not is_glued(note.tokens, at + 1):
            break
        if names.is_medicine(word):
            line = names.medicines().get(word)
            return [word] + [other for other, number in names.medicines().items() if number == line and other != word]
    return []


def _instead(one: Quantity, said: Said, text: str) -> str:
    """A sentence: that it is not said, and which quantities of its unit are."""
    near = said.of_dimension(one.unit.dimension) if one.unit else said.counts(one.noun) if one.noun else []
    near = [other for other in near if other.form in ("digits", "words")]
    where = [(other.first, other.last if one.unit else other.last + 1) for other in near]
    return f'The conversation does not say "{text}"' + (f"; it says {_quoted(said, where)}." if where else ".")


def _quoted(said: Said, places: list[tuple[int, int]]) -> str:
    """The words at these places of a conversation, the first few of them."""
    told = dict.fromkeys(f'"{said.text[said.tokens[first].start:said.tokens[min(last, len(said.tokens)) - 1].end]}"'
                         for first, last in places)
    return ", ".join(list(told)[:TOLD]) + (" and more" if len(told) > TOLD else "")


def _text(note: Said, one: Quantity | Pair) -> str:
    return note.text[note.tokens[one.first].start:note.tokens[one.last - 1].end]


def _found(note: Said, one: Quantity | Pair, kind: str, why: str) -> Found:
    return Found(note.tokens[one.first].start, note.tokens[one.last - 1].end, kind, why)


def _enumerated(text: str) -> set[int]:
    """Where the numbers of a list stand: "1. ... 2. ..."."""
    places: set[int] = set()
    run: list[int] = []
    for found in ENUMERATED.finditer(text):
        number = int(found[1])
        if number == len(run) + 1:
            run.append(found.start(1))
        elif number == 1:
            run = [found.start(1)]
        if len(run) > 1:
            places.update(run)
    return places
