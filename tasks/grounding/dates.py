"""Dates of a text: "11/5/92", "October 2nd, 2008", "the seventh", "in 1962", "Saturday"."""

import re
from dataclasses import dataclass

MONTHS = {name: number for number, names in enumerate((
    "january jan", "february feb", "march mar", "april apr", "may", "june jun", "july jul", "august aug",
    "september sept sep", "october oct", "november nov", "december dec"), start=1) for name in names.split()}
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
NAMES = "|".join(sorted(MONTHS, key=len, reverse=True))
DAY = r"(?P<{0}>\d{{1,2}})(?:st|nd|rd|th)?"
YEAR = r"(?P<{0}>(?:18|19|20)\d\d|['’]\d\d)"
WRITTEN = re.compile(
    rf"\b(?P<month>{NAMES})\b\.?(?:,? (?:the )?{DAY.format('day')}(?![\d/.%-]|\.\d| ?mg))?"
    rf"(?:,? (?:of )?{YEAR.format('year')}\b)?", re.IGNORECASE)
DAY_FIRST = re.compile(rf"\b{DAY.format('day')} (?:of )?(?P<month>{NAMES})\b\.?(?:,? (?:of )?{YEAR.format('year')}\b)?",
                       re.IGNORECASE)
SLASHED = re.compile(
    r"(?<![\w/.-])(?P<a>\d{1,2})(?P<sign>[/-])(?P<b>\d{1,2})(?P=sign)(?P<year>\d{4}|\d{2})(?![\w/]|-\d)")
ISO = re.compile(r"(?<![\w/.-])(?P<year>(?:18|19|20)\d\d)[-/](?P<a>\d{1,2})[-/](?P<b>\d{1,2})(?![\w/-])")
SHORT = re.compile(r"(?<![\w/.-])(?P<a>\d{1,2})/(?P<b>\d{4}|\d{2})(?![\w/]|-\d)")
DOTTED = re.compile(r"(?<![\w/.-])(?P<b>\d{1,2})\. ?(?P<a>\d{1,2})\. ?(?P<year>(?:18|19|20)\d\d)(?![\w/]|[.-]\d)")
LONE_YEAR = re.compile(r"(?<![\w/.,$-])(?P<year>(?:19|20)\d\d)"
                       r"(?=(?:[-–](?:19|20)?\d\d)?(?!\w|[,.]\d|[/%]| ?(?:mg|ml|cc|calorie)))")
NEVER_MONTH = re.compile(r"(?:may|mar|march|jan|dec|sep)", re.IGNORECASE)
BEFORE_MONTH = re.compile(r"\b(?:in|of|since|last|this|next|by|until|till|from|late|early|mid|on|through|to|around) $",
                          re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Date:
    """Characters start to end name a day, a month, a year or a day of the week; None for what they do not say.

    year: as written, 92 or 1992. is_short: "3/08", whose second number may as well be a day.
    """

    start: int
    end: int
    month: int | None = None
    day: int | None = None
    year: int | None = None
    weekday: str = ""
    is_short: bool = False


def dates(text: str) -> list[Date]:
    """Every written date, in order, none within another."""
    listed: list[Date] = []
    for pattern in (ISO, DOTTED, SLASHED, DAY_FIRST, WRITTEN, SHORT, LONE_YEAR):
        for found in pattern.finditer(text):
            date = _date(pattern, found, text)
            if date and not any(other.start < date.end and date.start < other.end for other in listed):
                listed.append(date)
    for found in re.finditer(rf"\b(?:{'|'.join(WEEKDAYS)})s?\b", text, re.IGNORECASE):
        listed.append(Date(start=found.start(), end=found.end(), weekday=found[0].lower().rstrip("s")))
    return sorted(listed, key=lambda date: date.start)


def _date(pattern: re.Pattern[str], found: re.Match[str], text: str) -> Date | None:
    parts = found.groupdict()
    year = int(parts["year"].lstrip("'’")) if parts.get("year") else None
    if pattern in (WRITTEN, DAY_FIRST):
        is_date = bool(parts.get("day") or year is not None or not NEVER_MONTH.fullmatch(parts["month"])
                       or (parts["month"][0].isupper() and BEFORE_MONTH.search(text[:found.start()][-12:])))
        day = int(parts["day"]) if parts.get("day") else None
        end = found.end() - (found[0].endswith(".") and not parts.get("day") and year is None)
        return Date(start=found.start(), end=end, month=MONTHS[parts["month"].lower()], day=day,
                    year=year) if is_date else None
    if pattern is LONE_YEAR:
        return Date(start=found.start(), end=found.end(), year=year)
    first, second = int(parts["a"]), int(parts["b"])
    if pattern is SHORT:
        if len(parts["b"]) == 4:
            return Date(start=found.start(), end=found.end(), month=first, year=second) if 1 <= first <= 12 else None
        is_date = 1 <= first <= 12 and (parts["b"][0] == "0" or parts["a"][0] == "0" or second > 60)
        return Date(start=found.start(), end=found.end(), month=first, year=second, is_short=True) if is_date else None
    if first > 12 >= second:
        first, second = second, first
    return Date(start=found.start(), end=found.end(), month=first, day=second, year=year) if (
        1 <= first <= 12 and 1 <= second <= 31) else None
