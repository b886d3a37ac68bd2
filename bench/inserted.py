"""Errors put into real notes with a seed: a changed number, dose, unit, date, frequency, name or medicine.

Written before the patterns of tasks/grounding/, and by itself: it looks for places with searches of its own and
does not ask whether the marks would find them. A note is open or sealed by a hash of its row's id.
"""

import csv
import hashlib
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

QUOTA = {"number": 24, "dose": 20, "unit": 14, "date": 12, "frequency": 12, "name": 10, "medicine": 8}      # a half
SEED = 20261121
FILES = {"mts-train": "mts-dialog/train.csv", "mts-validation": "mts-dialog/validation.csv",
         "mts-test1": "mts-dialog/test1.csv", "aci-train": "aci-bench/train.csv", "aci-valid": "aci-bench/valid.csv"}
ONES = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]
TENS = ["zero", "ten", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
MONTHS = [
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
    "November", "December"]
UNITS = (("mg", "mcg"), ("mcg", "mg"), ("milligrams", "micrograms"), ("ml", "L"), ("mL", "L"), ("cc", "L"),
         ("days", "weeks"), ("day", "week"), ("weeks", "months"), ("week", "month"), ("months", "years"),
         ("month", "year"), ("years", "months"), ("hours", "days"), ("hour", "day"), ("minutes", "hours"),
         ("pounds", "kilograms"), ("pound", "kilogram"), ("lbs", "kg"), ("kg", "lbs"), ("cm", "mm"), ("mm", "cm"),
         ("inches", "feet"), ("feet", "inches"), ("miles", "blocks"))
FREQUENCIES = (("twice a day", "three times a day"), ("twice daily", "once daily"), ("two times a day", "once a day"),
               ("three times a day", "twice a day"), ("four times a day", "twice a day"), ("b.i.d.", "t.i.d."),
               ("t.i.d.", "b.i.d."), ("q.i.d.", "b.i.d."), ("BID", "TID"), ("TID", "BID"),
               ("once a day", "twice a day"),
               ("once daily", "twice daily"), ("every day", "every other day"), ("per day", "per week"),
               ("a day", "a week"), ("daily", "weekly"), ("weekly", "daily"), ("monthly", "weekly"),
               ("q.d.", "b.i.d."), ("q.h.s.", "b.i.d."), ("at bedtime", "every morning"), ("nightly", "twice a day"),
               ("per week", "per month"), ("a week", "a day"), ("every week", "every month"))
SURNAMES = [
    "Novak", "Hargrove", "Delacroix", "Pemberton", "Oyelaran", "Kowalski", "Whitfield", "Brannigan",
    "Castellano", "Thorsen"]
GIVEN = [
    "Beatrice", "Leopold", "Rosalind", "Desmond", "Imogen", "Cornelius", "Philippa", "Bartholomew", "Henrietta",
    "Augustus"]
PLACES = [
    "Wichita", "Tacoma", "Savannah", "Toledo", "Spokane", "Chattanooga", "Boise", "Duluth", "Amarillo", "Fresno"]
MEDICINES = [
    "lisinopril", "metformin", "metoprolol", "atenolol", "amlodipine", "hydrochlorothiazide", "furosemide",
    "warfarin", "aspirin", "ibuprofen", "acetaminophen", "omeprazole", "simvastatin", "atorvastatin",
    "levothyroxine", "prednisone", "albuterol", "gabapentin", "sertraline", "amoxicillin", "azithromycin",
    "ciprofloxacin", "digoxin", "insulin", "tramadol", "meloxicam", "Lasix", "Coumadin", "Synthroid", "Lipitor",
    "Zoloft", "Prozac", "Norvasc", "Tylenol", "Advil", "Plavix", "Celebrex", "Xanax", "Ativan", "Ambien",
    "Lexapro", "Zocor", "Advair", "Singulair", "Vicodin", "Percocet", "Motrin", "Flonase", "Protonix", "Nexium"]


@dataclass(frozen=True, kw_only=True)
class Row:
    """A conversation and the note that a person wrote from it."""

    id: str
    dialogue: str
    reference: str

    @property
    def is_sealed(self) -> bool:
        """By the hash of the id, so that no choice of seed moves a row over."""
        return hashlib.sha256(self.id.encode()).digest()[0] % 2 == 1


@dataclass(frozen=True, kw_only=True)
class Inserted:
    """A note with one error: characters start to end of summary stand where the row's reference had `was`."""

    row: Row
    kind: str
    summary: str
    start: int
    end: int
    was: str

    @property
    def now(self) -> str:
        """What stands there."""
        return self.summary[self.start:self.end]


def rows(data: Path) -> list[Row]:
    """Every conversation of MTS-Dialog and ACI-Bench under data."""
    found = []
    for name, file in FILES.items():
        with (data / file).open(encoding="utf-8-sig", newline="") as stream:
            for row in csv.DictReader(stream):
                key, note = ("ID", "section_text") if name.startswith("mts") else ("encounter_id", "note")
                found.append(Row(id=f"{name}-{row[key]}", dialogue=row["dialogue"], reference=row[note]))
    return found


def inserted(all_rows: list[Row], is_sealed: bool, seed: int = SEED) -> list[Inserted]:
    """100 errors, at most one of a kind in a row, in a fixed order."""
    half = [row for row in all_rows if row.is_sealed == is_sealed]
    errors = []
    for kind, count in QUOTA.items():
        rng = random.Random(f"{seed} {kind} {is_sealed}")
        rng.shuffle(half := sorted(half, key=lambda row: row.id))
        chosen = (error for row in half if (error := _one(row, kind, rng)))
        errors += [error for _, error in zip(range(count), chosen, strict=False)]
    return errors


def _one(row: Row, kind: str, rng: random.Random) -> Inserted | None:
    places = [one for one in FINDERS[kind](row.reference, rng) if row.reference[one[0]:one[1]] != one[2]]
    if not places:
        return None
    start, end, now = rng.choice(places)
    text = row.reference
    return Inserted(row=row, kind=kind, summary=text[:start] + now + text[end:], start=start, end=start + len(now),
                    was=text[start:end])


Place = tuple[int, int, str]                    # start, end, what is to stand there
DOSE = re.compile(r"(?<![\w./-])(\d[\d,]*(?:\.\d+)?)(?=[ -]?(?:mg|mcg|g|milligrams?|grams?|micrograms?|ml|mL|cc|units?|"
                  r"%|puffs?|tablets?|pills?|drops|mEq)(?![A-Za-z]))")
NUMBER = re.compile(r"(?<![\w./#-])(\d{1,3}(?:\.\d+)?)(?![\d./,%]\d|\w|[.)] +[A-Z]|/|:)")
PRESSURE = re.compile(r"(?<![\w./])(\d{2,3})/(\d{2,3})(?![\w/])")
SPELLED = re.compile(rf"(?<![\w-])({'|'.join([*ONES[2:], *TENS[2:]])})(?![\w-])", re.IGNORECASE)
YEAR = re.compile(r"(?<![\w./-])((?:19|20)\d\d)(?![\w/-])")
SLASHED = re.compile(r"(?<![\w/])(\d{1,2})/(\d{1,2})/(\d{4}|\d{2})(?![\w/])")
MONTH = re.compile(rf"\b({'|'.join(MONTHS)})\b(?: (\d{{1,2}})\b)?")
TITLED = re.compile(r"\b(?:Dr|Mr|Mrs|Ms|Miss)\.? ((?:[A-Z][a-z]+ )?)([A-Z][a-z]{2,})\b")
PATIENT = re.compile(r"(?<![\w.] )\b([A-Z][a-z]{2,}) [A-Z][a-z]{2,}(?= is an? )")
WHERE = re.compile(r"\b(?:in|from|to|at|near) ([A-Z][a-z]{3,})\b")


def _other_number(value: str, rng: random.Random) -> str:
    """A slip of another size: one off, digits swapped, a place moved, doubled or halved."""
    number = float(value.replace(",", ""))
    digits = len(value.partition(".")[2])
    ways = [number + 1, number + 2, number * 2, number * 10, number + 10]
    ways += [number - 1] if number > 2 else []
    ways += [float(value[::-1])] if value.isdigit() and value[::-1] != value and not value.endswith("0") else []
    return f"{rng.choice(ways):.{digits}f}"


def _numbers(text: str, rng: random.Random) -> Iterator[Place]:
    taken = [found.span() for pattern in (DOSE, YEAR, SLASHED, MONTH) for found in pattern.finditer(text)]
    for found in NUMBER.finditer(text):
        if not any(start < found.end() and found.start() < end for start, end in taken):
            yield found.start(1), found.end(1), _other_number(found[1], rng)
    for found in PRESSURE.finditer(text):
        group = rng.choice((1, 2))
        yield found.start(group), found.end(group), _other_number(found[group], rng)
    for found in SPELLED.finditer(text):
        others = [word for word in (ONES[2:13] if found[1].lower() in ONES else TENS[2:]) if word != found[1].lower()]
        yield found.start(1), found.end(1), rng.choice(others)


def _doses(text: str, rng: random.Random) -> Iterator[Place]:
    for found in DOSE.finditer(text):
        yield found.start(1), found.end(1), _other_number(found[1], rng)


def _units(text: str, rng: random.Random) -> Iterator[Place]:
    for unit, other in UNITS:
        counted = rf"(?<=\d|{'|'.join(f'(?<={word})' for word in ONES[1:11])})[ -]?(?P<unit>{unit})(?![A-Za-z-])"
        counted = counted.replace(r"(?<=\d|", r"(?:(?<=\d)|")
        for found in re.finditer(counted, text):
            yield found.start("unit"), found.end("unit"), other


def _dates(text: str, rng: random.Random) -> Iterator[Place]:
    for found in YEAR.finditer(text):
        yield found.start(1), found.end(1), str(int(found[1]) + rng.choice((-10, -3, -1, 1, 2)))
    for found in SLASHED.finditer(text):
        group = rng.choice((1, 2))
        others = [n for n in range(1, 13 if group == 1 else 29) if n != int(found[group])]
        yield found.start(group), found.end(group), str(rng.choice(others)).zfill(len(found[group]))
    for found in MONTH.finditer(text):
        if found[1] in ("May", "March") and not found[2]:
            continue
        if found[2] and rng.random() < 0.5:
            yield found.start(2), found.end(2), str(rng.choice([n for n in range(1, 29) if n != int(found[2])]))
        else:
            yield found.start(1), found.end(1), rng.choice([month for month in MONTHS if month != found[1]])


def _frequencies(text: str, rng: random.Random) -> Iterator[Place]:
    taken: list[tuple[int, int]] = []
    for was, now in FREQUENCIES:
        for found in re.finditer(rf"(?<![\w.]){re.escape(was)}(?!\w)", text):
            if not any(start < found.end() and found.start() < end for start, end in taken):
                taken.append(found.span())
                yield found.start(), found.end(), now


def _names(text: str, rng: random.Random) -> Iterator[Place]:
    for found in TITLED.finditer(text):
        yield found.start(2), found.end(2), rng.choice(SURNAMES)
    for found in PATIENT.finditer(text):
        yield found.start(1), found.end(1), rng.choice(GIVEN)
    for found in WHERE.finditer(text):
        if found[1] not in MONTHS:
            yield found.start(1), found.end(1), rng.choice(PLACES)


def _medicines(text: str, rng: random.Random) -> Iterator[Place]:
    for name in MEDICINES:
        for found in re.finditer(rf"\b{name}\b", text, re.IGNORECASE):
            same = [other for other in MEDICINES if other[0].isupper() == name[0].isupper() and other != name]
            yield found.start(), found.end(), rng.choice(same)


FINDERS: dict[str, Callable[[str, random.Random], Iterator[Place]]] = {
    "number": _numbers, "dose": _doses, "unit": _units, "date": _dates, "frequency": _frequencies, "name": _names,
    "medicine": _medicines}
