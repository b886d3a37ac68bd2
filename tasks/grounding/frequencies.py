"""How often, in a text: "twice a day", "b.i.d.", "q6h", "every other week", as times a day."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tasks.grounding.quantities import Quantity
from tasks.grounding.tokens import Token, is_glued, low_at
from tasks.grounding.units import DAY, UNITS

LATIN = {"bid": 2.0, "tid": 3.0, "qid": 4.0, "qd": 1.0, "qday": 1.0, "qod": 0.5, "qhs": 1.0, "hs": 1.0,
         "qam": 1.0, "qpm": 1.0, "bd": 2.0, "tds": 3.0, "qds": 4.0}
ADVERBS = {"daily": 1.0, "everyday": 1.0, "nightly": 1.0, "nocte": 1.0, "hourly": 24.0, "weekly": 1 / 7,
           "monthly": 1 / 30.4375, "yearly": 1 / 365.25, "annually": 1 / 365.25, "annual": 1 / 365.25,
           "quarterly": 4 / 365.25, "biweekly": 1 / 14}
ADVERBIAL = {"once": 1.0, "twice": 2.0, "thrice": 3.0}
TIMES = {"time", "times", "x", "×"}
EACH = {"a", "an", "per", "each", "every", "/", "in", "the"}
PARTS_OF_DAY = {"morning", "mornings", "night", "nights", "evening", "evenings", "afternoon", "bedtime", "breakfast",
                "dinner", "lunch", "supper", "meal", "bed"}
PERIODS = {word: unit.size / DAY for word, unit in UNITS.items() if unit.dimension == "time"} | {
    "h": 1 / 24, "d": 1.0} | dict.fromkeys(PARTS_OF_DAY, 1.0)
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
IDIOMS = re.compile(r"(?:activities of|of) daily living|daily (?:living|life|activit\w+|routine|basis)", re.IGNORECASE)
NO_RATE = {"in", "for", "about", "after", "is", "was", "within", "over", "of", "only", "like"}
SPAN = 6                                        # tokens that one saying may be long


@dataclass(frozen=True, kw_only=True)
class Frequency:
    """Tokens first to last (not included) say how often: rate times a day. is_night: by saying when.

    each: of "two a day", which may be two times or two of a thing, the rate of "a day"; else 0.
    """

    first: int
    last: int
    rate: float
    is_night: bool = False
    each: float = 0.0


def frequencies(found: Sequence[Token], counted: Sequence[Quantity]) -> list[Frequency]:
    """Every frequency in order; a range ("every 6 to 8 hours") gives two at one place."""
    by_start: dict[int, list[Quantity]] = {}
    for one in counted:
        by_start.setdefault(one.first, []).append(one)
    result: list[Frequency] = []
    at = 0
    while at < len(found):
        here = list(_here(found, at, by_start))
        if here:
            last = max(one.last for one in here)
            result += [one for one in here if one.last == last]
            at = last
        else:
            at += 1
    return result


def _here(found: Sequence[Token], at: int, by_start: dict[int, list[Quantity]]) -> Iterator[Frequency]:
    yield from _latin(found, at)
    yield from _spoken(found, at, by_start)
    word = found[at].low
    if word in ("every", "each", "q") or (word == "once" and low_at(found, at + 1) == "every"):
        yield from _every(found, at + 1 + (word == "once"), at, by_start)
    if word.removesuffix("s") in WEEKDAYS and word.endswith("s"):
        yield Frequency(first=at, last=at + 1, rate=1 / 7)
    if word in ADVERBS:
        yield Frequency(first=at, last=at + 1, rate=ADVERBS[word])
    if word == "at" and low_at(found, at + 1) in ("bedtime", "night", "nighttime") or (
            word == "before" and low_at(found, at + 1) == "bed"):
        yield Frequency(first=at, last=at + 2, rate=1.0, is_night=True)
    period = low_at(found, at + 1)
    if word in ("a", "per", "/") and PERIODS.get(period, 0) >= 1 and (len(period) > 1 or word == "/"):
        is_counted = any(one.last + k == at for k in range(4) for start in range(max(0, at - 8), at)
                         for one in by_start.get(start, ()))
        is_inside = any(one.first < at < one.last for start in range(max(0, at - 4), at)
                        for one in by_start.get(start, ()))
        is_rate = word != "a" or (is_counted and not is_inside and low_at(found, at - 1) not in NO_RATE
                                  and low_at(found, at + 2) not in ("ago", "old", "later", "or")
                                  and not (low_at(found, at + 2) == "and" and low_at(found, at + 3) in ("a", "half"))
                                  and period not in PARTS_OF_DAY)
        if is_rate:
            yield Frequency(first=at, last=at + 2, rate=1 / PERIODS[period], is_night=period in ("night", "bedtime"))


def _latin(found: Sequence[Token], at: int) -> Iterator[Frequency]:
    """ "b.i.d.", "BID", "q.6h", "q 8 hours" """
    letters, last = "", at
    while last < len(found) and last - at < SPAN and len(letters) < 4:
        low = found[last].low
        if low == ".":
            if not letters or not is_glued(found, last):
                break
        elif not low.isalpha() or len(letters + low) > 4 or (letters and not is_glued(found, last)):
            break
        else:
            letters += low
        last += 1
        if letters in LATIN and low != "hs" and not (low_at(found, last).isalpha() and is_glued(found, last)):
            is_dotted = low != letters and low_at(found, last) == "."
            yield Frequency(first=at, last=last + is_dotted, rate=LATIN[letters])


def _spoken(found: Sequence[Token], at: int, by_start: dict[int, list[Quantity]]) -> Iterator[Frequency]:
    """ "twice a day", "3 times daily", "2x/day", "four times per week" """
    counts: list[tuple[float, int]] = []
    bare: set[int] = set()                      # ends of counts without "times"
    if found[at].low in ADVERBIAL:
        counts = [(ADVERBIAL[found[at].low], at + 1)]
        more = low_at(found, at + 2)
        if low_at(found, at + 1) in ("or", "to") and more in ADVERBIAL:
            counts = [(counts[0][0], at + 3), (ADVERBIAL[more], at + 3)]
    for one in by_start.get(at, ()):
        after = one.last
        if low_at(found, after) in ("more", "different"):
            after += 1
        if low_at(found, after) in TIMES or one.noun == "time":
            counts.append((one.value, after + 1))
        elif low_at(found, after) in ("a", "per", "each", "every", "/") and one.form in ("digits", "words") and (
                one.unit is None):
            counts.append((one.value, after))
            bare.add(after)
        elif low_at(found, after) in ("to", "or", "-") and low_at(found, after + 1).isalnum():
            for other in by_start.get(after + 1, ()):
                if low_at(found, other.last) in TIMES:
                    counts += [(one.value, other.last + 1), (other.value, other.last + 1)]
    for count, last in counts:
        is_bare = last in bare
        while low_at(found, last) in EACH and last - at < SPAN:
            last += 1
        word = low_at(found, last)
        if word in PERIODS and low_at(found, last - 1) in EACH:
            yield Frequency(first=at, last=last + 1, rate=count / PERIODS[word],
                            each=1 / PERIODS[word] if is_bare else 0.0)
        elif word in ADVERBS:
            yield Frequency(first=at, last=last + 1, rate=count * ADVERBS[word])


def _every(found: Sequence[Token], at: int, first: int, by_start: dict[int, list[Quantity]]) -> Iterator[Frequency]:
    """What follows "every": "other day", "6 to 8 hours", "single morning", "Monday"."""
    if low_at(found, at) in (".", "-"):
        at += 1
    word = low_at(found, at)
    if word in ("other", "second"):
        period = PERIODS.get(low_at(found, at + 1), 0.0)
        if period:
            yield Frequency(first=first, last=at + 2, rate=1 / (2 * period))
        return
    if word in ("single", "few"):
        at, word = at + 1, low_at(found, at + 1)
    if word in WEEKDAYS:
        yield Frequency(first=first, last=at + 1, rate=1 / 7)
    elif word in PERIODS and (found[first].low != "q" or is_glued(found, first + 1)):
        yield Frequency(first=first, last=at + 1, rate=1 / PERIODS[word])
    for one in by_start.get(at, ()):
        ends = [one.last]
        values = [one]
        if low_at(found, one.last) in ("to", "-", "–", "or") or one.unit:
            more = [other for other in by_start.get(one.last + 1, ()) if other.unit == one.unit]
            values += more
            ends += [other.last for other in more]
        if not one.unit and one.value and low_at(found, one.last) in ("h", "hr", "d"):
            yield Frequency(first=first, last=one.last + 1, rate=1 / (one.value * PERIODS[found[one.last].low]))
        if one.unit and one.unit.dimension == "time" and one.value:
            for value in values:
                yield Frequency(first=first, last=max(ends), rate=DAY / (value.value * one.unit.size))
