"""What a conversation says, so that one can ask it for a number, a date, a frequency or a word."""

import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence

from tasks.grounding.dates import MONTHS, Date, dates
from tasks.grounding.frequencies import Frequency, frequencies
from tasks.grounding.names import is_medicine
from tasks.grounding.numbers import ROMAN_AFTER
from tasks.grounding.quantities import Quantity, and_a_half, quantities
from tasks.grounding.tokens import Token, low_at, spelled_out, tokens
from tasks.grounding.units import DOSES, UNITS, Unit, is_same

ONE_OF = {"last", "past", "this", "next", "per", "each", "every", "the", "previous", "following", "that", "all",
          "whole"}
BEFORE_YEAR = {"in", "since", "of", "from", "until", "till", "year", "early", "late", "mid", "'", "’", ",", "before",
               "after", "around", "about", "to"}
BEFORE_AGE = {"is", "was", "are", "were", "am", "'m", "i'm", "he's", "she's", "turned", "turning", "age", "aged"}
LABEL = re.compile(r"^[^\w\n]{0,3}(?:(?:speaker|person|spk|voice)[ _-]?\d{1,2}\b|\d{1,2}:\d\d(?::\d\d)?(?=[\]) ]))",
                   re.IGNORECASE | re.MULTILINE)                    # who speaks, and when: nothing that is said
TWICE = re.compile(r"\b(?:morning|breakfast)s?\b.{0,60}\b(?:night|evening|bedtime|dinner|supper|bed)\b", re.IGNORECASE)
MORNINGS = re.compile(r"\b(?:in the|every|each) morning\b|\b(?:mornings|breakfast)\b", re.IGNORECASE)
BEFORE_PRONOUN = {"last", "next", "first", "this", "that", "which", "the", "other", "another", "no", "any", "every",
                  "each", "new", "old", "same", "right", "left", "good", "big", "little", "your", "my"}
RARE = 0.1                                      # times a day below which months are weighed against weeks
NEAR = 5                                        # tokens between a dose and how often it is taken, in a note
LATER = 14                                      # the same in a conversation
AROUND = 12                                     # tokens between a medicine and its doses


class Said:
    """A text read once."""

    def __init__(self, text: str):
        self.text = text = LABEL.sub(lambda found: " " * len(found[0]), text)
        self.tokens: Sequence[Token] = tokens(text)
        self.words = {token.low.removesuffix("'s") for token in self.tokens if token.is_word} | spelled_out(text)
        self.quantities, self.pairs = quantities(self.tokens)
        self.quantities += _single(self.tokens) + _heights(self.tokens, self.quantities)
        self.frequencies = frequencies(self.tokens, self.quantities)
        self.dates = dates(text)
        self.codes = set(re.findall(r"\b[a-z]+\d+[a-z]?\b", re.sub("[-/.]", "", text.lower())))
        self._by_value: dict[float, list[Quantity]] = {}
        self._by_dimension: dict[str, list[Quantity]] = {}
        for one in self.quantities:
            self._by_value.setdefault(_key(one.value), []).append(one)
            if one.unit:
                self._by_dimension.setdefault(one.unit.dimension, []).append(one)
        self._doses: dict[tuple[str, str], list[Quantity]] = {}         # what doses_of and the two below it found
        self._rates: dict[str, list[Frequency]] = {}
        self._rates_behind: dict[tuple[float, Unit | None], list[Frequency]] = {}
        self._ratios = {(_key(pair.values[0]), _key(pair.values[1])) for pair in self.pairs}
        self._places: dict[str, list[int]] = {}
        for at, token in enumerate(self.tokens):
            self._places.setdefault(token.low, []).append(at)

    def with_value(self, value: float) -> list[Quantity]:
        """The quantities of this value, whatever they count."""
        return self._by_value.get(_key(value), [])

    def is_measured(self, value: float, unit: Unit) -> bool:
        """Whether this quantity is said, in this or another unit of its dimension, or the number with no unit."""
        near = self.with_value(value)
        if any(one.unit == unit for one in near) or any(
                is_same(value, unit, one.value, one.unit) for one in self.of_dimension(unit.dimension) if one.unit):
            return True
        if unit.dimension in DOSES and any(one.noun and is_medicine(one.noun) for one in near):
            return True                         # "two ibuprofen", "five hundred of metformin"
        if unit.name == "years" and any(one.is_bare and low_at(self.tokens, one.first - 1) in BEFORE_AGE
                                        for one in near):
            return True
        if unit.name == "%" and value < 100 and self.with_value(value / 100):
            return True                         # "half of it"
        if any(one.unit and one.unit.dimension == unit.dimension for one in near):
            return False                        # "two weeks" is said, and not two months
        if unit.dimension == "time" and unit.name != "years" and not self._is_named(unit):
            return False                        # a lone 13 counts years: it is no age in months
        return any((one.is_bare and not self._is_pronoun(one)) or (one.noun == "birthday" and unit.name == "years")
                   for one in near)

    def is_temperature(self, value: float) -> bool:
        """Whether a temperature of a body is said, in the other of Celsius and Fahrenheit."""
        other = value * 9 / 5 + 32 if 34 <= value <= 43 else (value - 32) * 5 / 9 if 93 <= value <= 110 else 0.0
        return bool(other) and any(abs(other - said) < 0.15 for said in self._by_value)

    def is_of_decade(self, base: float) -> bool:
        """Whether a number of these ten is said of years, or of nothing in particular: 43 of the forties."""
        return any(one.is_bare or (one.unit and one.unit.name == "years") for value in range(10)
                   for one in self.with_value(base + value))

    def _is_named(self, unit: Unit) -> bool:
        """Whether the word of a unit is said, whatever it counts: "How many weeks? Two."."""
        return any(UNITS[word] == unit for word in self.words & UNITS.keys())

    def _is_pronoun(self, one: Quantity) -> bool:
        """True for the "one" of "the last one"."""
        return one.value == 1 and one.form == "words" and low_at(self.tokens, one.first - 1) in BEFORE_PRONOUN

    def of_dimension(self, dimension: str) -> list[Quantity]:
        """Every quantity in units of a dimension."""
        return self._by_dimension.get(dimension, [])

    def is_pair(self, values: tuple[float, float]) -> bool:
        """Whether "120/80" is said, together or one by one."""
        if (_key(values[0]), _key(values[1])) in self._ratios:
            return True
        if self._is_clock(*values) or self._is_month_and_day(*values):
            return True
        if values[1] == 10 and values[0] <= 10 and any(
                one.is_bare and not self._is_pronoun(one) for one in self.with_value(values[0])):
            return True                         # of pain: "I'd say a seven"
        if values[0] < values[1] and values[1] in (2, 3, 4) and self.with_value(values[0] / values[1]):
            return True
        return all(self.with_value(value) for value in values)

    def _is_clock(self, hour: float, minute: float) -> bool:
        """Whether a time is said: "eleven thirty", "half past eleven", "eleven" for 11:00."""
        if self.with_value(hour * 100 + minute) and minute >= 10:
            return True
        if 12 < hour < 24 and hour % 1 == 0 and minute < 60 and self.is_pair((hour - 12, minute)):
            return True
        part = {0: "", 30: "half", 15: "quarter", 45: "quarter"}.get(int(minute))
        return part is not None and (not part or part in self.words) and bool(
            self.with_value(hour + (minute == 45)))      # a quarter to nine

    def _is_month_and_day(self, month: float, day: float) -> bool:
        """Whether "3/4" is a date that is said: "March fourth"."""
        return month in range(1, 13) and day in range(1, 32) and self.is_month(int(month)) and (
            self.is_day(int(month), int(day)))

    def counts(self, noun: str) -> list[Quantity]:
        """How many of a thing are said."""
        return [one for one in self.quantities if one.noun == noun and one.form in ("digits", "words")]

    def kind_before(self, one: Quantity) -> str:
        """What a number tells the kind of: "type" of "type 2", "T2DM" and "DM II"; or ""."""
        before = low_at(self.tokens, one.first - 1 - (low_at(self.tokens, one.first - 1) == "-"))
        if before == "dm" or (before == "t" and low_at(self.tokens, one.last) in ("dm", "d")):
            return "type"
        return before if before in ROMAN_AFTER and one.form in ("digits", "words") and not one.unit else ""

    def of_kind(self, kind: str) -> list[Quantity]:
        """The numbers that are said of a kind: of "type" in "type two"."""
        return [one for one in self.quantities if self.kind_before(one) == kind]

    def has_mornings(self) -> bool:
        """Whether something is said to happen in the mornings."""
        return MORNINGS.search(self.text) is not None

    def is_often(self, often: Frequency) -> bool:
        """Whether something is said to happen as often."""
        if self._is_rate(often.rate):
            return True
        return bool(often.each) and self._is_rate(often.each) and bool(self.with_value(often.rate / often.each))

    def _is_rate(self, rate: float) -> bool:
        if any(is_close(rate, one.rate) or is_close(rate, one.each) for one in self.frequencies):
            return True
        return rate == 2 and bool(TWICE.search(self.text))

    def rates_of(self, dose: Quantity) -> list[Frequency]:
        """How often a dose is said to be taken, where that stands behind it in its sentence."""
        key = (_key(dose.value), dose.unit)
        if key not in self._rates_behind:
            self._rates_behind[key] = [
                often for one in self.with_value(dose.value) if one.unit == dose.unit
                for often in self._often_from(one.last, LATER)
                if not any(token.low in (".", "?", "!") for token in self.tokens[one.last:often.first])]
        return self._rates_behind[key]

    def _often_from(self, at: int, most: int) -> list[Frequency]:
        """The frequencies that begin at a token or so many behind it, but for those that say a time of day."""
        low = bisect_left(self.frequencies, at, key=lambda often: often.first)
        high = bisect_left(self.frequencies, at + most + 1, key=lambda often: often.first)
        return [often for often in self.frequencies[low:high] if not often.is_night]

    def doses_of(self, word: str, dimension: str) -> list[Quantity]:
        """The quantities of a dimension that are said around a word, each once."""
        if (word, dimension) not in self._doses:
            places = self._places.get(word, [])
            near = [one for one in self.of_dimension(dimension) if any(
                at <= one.last + AROUND for at in _first(places, one.first - AROUND))]
            self._doses[word, dimension] = list({(one.value, one.unit): one for one in near[::-1]}.values())[::-1]
        return self._doses[word, dimension]

    def is_near(self, word: str, value: float) -> bool:
        """Whether a number without a unit stands around a word."""
        places = self._places.get(word, [])
        return any(at <= one.last + 2 * AROUND for one in self.with_value(value) if one.is_bare
                   for at in _first(places, one.first - 2 * AROUND))

    def rates_after(self, word: str) -> list[Frequency]:
        """How often something is said to be taken, behind its name in its sentence."""
        if word not in self._rates:
            self._rates[word] = [
                often for at in self._places.get(word, ()) for often in self._often_from(at + 1, AROUND - 1)
                if not any(token.low in (".", "?", "!") or is_medicine(token.low)
                           for token in self.tokens[at + 1:often.first])]
        return self._rates[word]

    def is_day(self, month: int | None, day: int) -> bool:
        """Whether this day of the month is said: with the month, as "the seventh", or as a lone number."""
        said = [one.day for one in self.dates if one.month == month and one.day]
        said += [int(one.value) for one in self.quantities if self._month_of(one) == month]
        if day in said:
            return True
        alone = [one for one in self.with_value(day) if self._month_of(one) is None and one.unit is None]
        if any(one.form == "ordinal" and not one.noun for one in alone):
            return True
        return not said and any(one.form in ("digits", "words") for one in alone)

    def is_month(self, month: int) -> bool:
        """Whether this month is said."""
        return any(one.month == month for one in self.dates) or any(
            number == month and name in self._places for name, number in MONTHS.items())

    def is_year(self, year: int) -> bool:
        """Whether this year is said, in full or by its last two digits."""
        if any(one.year is not None and one.year % 100 == year % 100 and (
                one.year == year or min(one.year, year) < 100) for one in self.dates):
            return True
        short = any(self._is_of_date(one) for one in self.with_value(year % 100))
        return bool(self.with_value(year) or short or (year < 100 and (
            self.with_value(1900 + year) or self.with_value(2000 + year))))

    def _is_of_date(self, one: Quantity) -> bool:
        """Whether a number stands where the last two digits of a year may: "back in eighty two", "January O nine"."""
        before = low_at(self.tokens, one.first - 1)
        return one.is_bare and (before in BEFORE_YEAR or before in MONTHS or any(
            other.last == one.first for other in self.quantities if other.form == "ordinal"))

    def _month_of(self, one: Quantity) -> int | None:
        """The month that a number stands beside as its day: "November fifth", "the fifth of November"."""
        if one.form not in ("digits", "words", "ordinal") or not 1 <= one.value <= 31:
            return None
        before, after = one.first - 1, one.last
        before -= low_at(self.tokens, before) in ("the", "on")
        after += low_at(self.tokens, after) == "of"
        return MONTHS.get(low_at(self.tokens, before)) or MONTHS.get(low_at(self.tokens, after))


def _first(places: Sequence[int], least: int) -> Sequence[int]:
    """The first of some places in order that is not below least; none where all are."""
    at = bisect_left(places, least)
    return places[at:at + 1]


def _key(value: float) -> float:
    return round(value, 3)


def is_close(one: float, other: float) -> bool:
    """Whether two rates are the same but for how long a month is: monthly, every four weeks."""
    return abs(one - other) <= (0.09 if max(one, other) < RARE else 0.02) * max(one, other)


def _single(found: Sequence[Token]) -> list[Quantity]:
    """ "last week" says one week, "the past week and a half" one and a half """
    return [Quantity(first=at, last=at + 2, form="implied", unit=UNITS[found[at + 1].low],
                     value=and_a_half(found, 1, at + 2)[0])
            for at in range(len(found) - 1)
            if found[at].low in ONE_OF and found[at + 1].low in UNITS and not found[at + 1].low.endswith("s")]


def _heights(found: Sequence[Token], said: Sequence[Quantity]) -> list[Quantity]:
    """ "five foot six" says 66 inches """
    by_start = {one.first: one for one in said}
    inches = UNITS["inch"]
    heights = []
    for feet in said:
        rest = by_start.get(feet.last + (low_at(found, feet.last) == "and"))
        if feet.unit == UNITS["foot"] and rest and rest.value < 12 and (rest.is_bare or rest.unit == inches):
            heights.append(Quantity(first=feet.first, last=rest.last, form="implied", unit=inches,
                                    value=12 * feet.value + rest.value))
    return heights


def date_parts(date: Date) -> Iterable[tuple[int | None, int | None, int | None]]:
    """The ways to read a date as month, day and year."""
    if not date.is_short:
        return [(date.month, date.day, date.year)]
    return [(date.month, None, date.year), (date.month, date.year, None)]
