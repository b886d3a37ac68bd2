"""Units of measure, their spellings, and what makes two of them comparable."""

from collections.abc import Sequence
from typing import NamedTuple

from tasks.grounding.tokens import Token, is_glued, low_at


class Unit(NamedTuple):
    """size: in the base of its dimension. name: how a reader writes it behind a number."""

    dimension: str
    size: float
    name: str


HOUR, DAY = 3600.0, 86400.0
SPELLINGS: dict[tuple[str, float, str], str] = {
    ("time", 1, "seconds"): "seconds sec secs",
    ("time", 60, "minutes"): "minute minutes min mins",
    ("time", HOUR, "hours"): "hour hours hr hrs",
    ("time", DAY, "days"): "day days",
    ("time", 7 * DAY, "weeks"): "week weeks wk wks",
    ("time", 14 * DAY, "fortnights"): "fortnight fortnights",
    ("time", 30.4375 * DAY, "months"): "month months mo mos mth mths",
    ("time", 365.25 * DAY, "years"): "year years yr yrs yo",
    ("time", 3652.5 * DAY, "decades"): "decade decades",
    ("mass", 1e-6, "mcg"): "mcg mcgs microgram micrograms ug µg μg",
    ("mass", 1e-3, "mg"): "mg mgs milligram milligrams milligramme milligrammes",
    ("mass", 1, "g"): "gm gms gram grams gramme grammes",
    ("mass", 1e3, "kg"): "kg kgs kilo kilos kilogram kilograms",
    ("mass", 453.59, "pounds"): "pound pounds lb lbs",
    ("mass", 28.35, "ounces"): "ounce ounces oz",
    ("mass", 6350.3, "stone"): "stone",
    ("volume", 1, "ml"): "ml mls cc ccs milliliter milliliters millilitre millilitres",
    ("volume", 1e3, "l"): "liter liters litre litres",
    ("volume", 5, "teaspoons"): "teaspoon teaspoons tsp tsps",
    ("volume", 15, "tablespoons"): "tablespoon tablespoons tbsp",
    ("length", 1, "mm"): "mm millimeter millimeters millimetre millimetres",
    ("length", 10, "cm"): "cm cms centimeter centimeters centimetre centimetres",
    ("length", 1000, "m"): "meter meters metre metres",
    ("length", 25.4, "inches"): "inch inches",
    ("length", 304.8, "feet"): "foot feet ft",
    ("length", 914.4, "yards"): "yard yards yds",
    ("length", 1609344, "miles"): "mile miles",
    ("length", 1e6, "km"): "km kilometer kilometers kilometre kilometres",
    ("share", 1, "%"): "% percent pct",
    ("heat", 1, "degrees"): "° degree degrees",
    ("activity", 1, "units"): "unit units iu",
    ("charge", 1, "mEq"): "meq milliequivalents milliequivalent",
    ("tablet", 1, "tablets"): "tablet tablets tab tabs pill pills capsule capsules cap caps caplet caplets",
    ("puff", 1, "puffs"): "puff puffs",
    ("drop", 1, "drops"): "drop drops gtt gtts",
    ("pack", 1, "packs"): "pack packs pk pks",
}
UNITS = {spelling: Unit(*unit) for unit, spellings in SPELLINGS.items() for spelling in spellings.split()}
GLUED = {"g": UNITS["gram"], "l": UNITS["liter"], "h": UNITS["hour"], "d": UNITS["day"], "m": UNITS["meter"],
         "f": UNITS["degree"], "c": UNITS["degree"], "u": UNITS["unit"], "ppd": UNITS["pack"]}    # right behind digits
SPELLED = {"mg", "mcg", "ml", "cc", "mm", "cm", "kg", "iu", "lbs"}
DOSES = {"mass", "volume", "activity", "charge", "tablet", "puff", "drop"}
CUSTOMARY = {"pounds", "ounces", "stone", "inches", "feet", "yards", "miles"}
BETWEEN = {"-", "more", "full", "whole", "solid", "straight", "consecutive", "good", "additional", "extra", "other",
           "different", "baby", "small", "big", "little", "or", "so", "plus", "+", "odd"}


def unit_at(found: Sequence[Token], at: int, is_digits: bool) -> tuple[Unit, int] | None:
    """The unit of a number that ends before this token, and the token behind it."""
    skipped = at
    while skipped - at < 2 and low_at(found, skipped) in BETWEEN:
        skipped += 1
    word = low_at(found, skipped)
    after = low_at(found, skipped + 1)
    if word in UNITS:
        unit, last = UNITS[word], skipped + 1
        if word == "%" or word == "°":
            return unit, last
        if unit.name == "packs" and low_at(found, last + (low_at(found, last) == "-")).startswith("year"):
            return None                         # pack years are counted, not smoked
        return unit, last + _rest_of_age(found, last)
    for count in (3, 2):                        # "M G", as a transcript spells what it hears
        letters = [low_at(found, skipped + k) for k in range(count)]
        if all(len(letter) == 1 for letter in letters) and "".join(letters) in SPELLED:
            return UNITS["".join(letters)], skipped + count
    if word == "y" and after in ("/", ".") and low_at(found, skipped + 2) == "o":
        return UNITS["year"], skipped + 3
    if word in GLUED and is_digits and (is_glued(found, skipped) or word in "gf") and not is_glued(found, skipped + 1):
        return GLUED[word], skipped + 1
    if word == "ppd" and is_digits:
        return GLUED[word], skipped + 1
    return None


def _rest_of_age(found: Sequence[Token], at: int) -> int:
    """How many tokens of "-old" follow a unit."""
    if low_at(found, at) == "old":
        return 1
    return 2 if low_at(found, at) == "-" and low_at(found, at + 1) == "old" else 0


def is_same(one: float, one_unit: Unit, other: float, other_unit: Unit) -> bool:
    """Whether two quantities are one: 2 weeks and 14 days, 0.5 g and 500 mg."""
    if one_unit.dimension != other_unit.dimension:
        return False
    first, second = one * one_unit.size, other * other_unit.size
    slack = 1e-4
    if one_unit.dimension == "time" and one_unit != other_unit:
        is_about = one_unit.name == "months" or other_unit.name == "months"     # of 28 to 31 days
        slack = 0.09 if is_about and "years" not in (one_unit.name, other_unit.name) else 0.005
    elif (one_unit.name in CUSTOMARY) != (other_unit.name in CUSTOMARY):
        slack = 0.01                            # as persons round: 154 pounds, 70 kg
    return abs(first - second) <= slack * max(abs(first), abs(second))
