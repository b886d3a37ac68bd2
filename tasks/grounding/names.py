"""Names in a note that its conversation does not say: persons, places, firms, medicines."""

import difflib
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.grounding.dates import MONTHS, WEEKDAYS

if TYPE_CHECKING:
    from tasks.phi.words import Lists

WORD = re.compile(r"(?<![\w@./-])[^\W\d_]+(?:['’-][^\W\d_]+)*")
TITLE = re.compile(r"\b(?:Dr|Mr|Mrs|Ms|Miss|Doctor|Professor|Prof)\.? $")
LETTER = re.compile(r"\b(?:Dr|Mr|Mrs|Ms|Miss)\.? ([A-Z])\b(?![a-z'’-])")
BEFORE = re.compile(r"(?:^|[.!?:;•*\n\"“(/-])[ \t]*(?:\d+[.)] *)?$")
ENDINGS = ("pril", "olol", "statin", "sartan", "prazole", "oxetine", "cillin", "mycin", "floxacin", "azepam", "azolam",
           "cycline", "gliptin", "gliflozin", "glitazone", "triptan", "setron", "tidine", "dipine", "parin", "profen",
           "conazole", "cyclovir", "thiazide", "lukast", "terol", "olone", "asone", "oxacin", "barbital", "mab",
           "tinib")
NOT_MEDICINES = {"april", "cholesterol"}
TITLES = {"dr", "mr", "mrs", "ms", "miss", "doctor", "professor", "prof", "md", "jr", "sr"}
WORD_ENDINGS = ("tion", "tions", "ment", "ments", "ness", "ity", "ology", "tomy", "stomy", "itis", "osis", "therapy",
                "emia", "pathy", "plasty", "scopy", "graphy", "gram", "algia", "uria", "penia", "oma", "ism", "ist",
                "ists", "ing", "ed", "ly", "oid", "ous", "ory", "ary", "ial", "tal", "lus", "lysis", "ency", "ics")
PEOPLES = frozenset([
    "caucasian", "hispanic", "latino", "latina", "african", "american", "asian", "vietnamese", "chinese",
    "korean", "japanese", "indian", "filipino", "mexican", "spanish", "english", "french", "german", "italian",
    "russian", "polish", "portuguese", "arabic", "european", "jewish", "muslim", "catholic", "christian",
    "protestant"])
ABBREVIATED = {"para", "hgb", "hct", "plt", "etoh", "tob", "pts", "abd", "neuro", "psych", "gyn", "resp", "cardio",
               "htn", "afib", "ortho", "rehab", "max"}
ALIKE, ALIKE_MEDICINE = 0.9, 0.8                # of two spellings
NO_NAMES = {"states", "reading", *ABBREVIATED, *PEOPLES, *MONTHS, *WEEKDAYS, *TITLES, "tues", "weds", "thurs"}
HEADING = re.compile(r"^[^.\n:]{1,50}:")


@dataclass(frozen=True, kw_only=True)
class Name:
    """Characters start to end of a text name a person, a place or a thing, or a medicine."""

    start: int
    end: int
    low: str
    is_medicine: bool


def _lists() -> "Lists":
    """The lists of the identifier search: here, since its patterns take time to build and training needs none."""
    from tasks.phi.words import lists
    return lists()


@lru_cache(maxsize=1)
def medicines() -> dict[str, int]:
    """Each listed name of a medicine and the number of its line: two names of one line are one medicine."""
    lines = (Path(__file__).parent / "medicines.txt").read_text(encoding="utf-8").splitlines()
    return {name: number for number, line in enumerate(lines) if not line.startswith("#") for name in line.split()}


def is_medicine(word: str) -> bool:
    """Whether a word in lower case is a medicine, by the list or by its ending."""
    return word in medicines() or (len(word) > 6 and word.endswith(ENDINGS) and word not in NOT_MEDICINES
                                   and not _lists().is_ordinary(word))


def names(text: str) -> Iterator[Name]:
    """Every name of a text, in order."""
    known = _lists()
    for found in WORD.finditer(text):
        raw = re.sub("['’]s?$", "", found[0])
        low = raw.lower()
        end = found.start() + len(raw)
        if is_medicine(low):
            yield Name(start=found.start(), end=end, low=low, is_medicine=True)
        elif raw[0].isupper() and low not in NO_NAMES and not _is_abbreviation(raw) and (
                _is_name(text, found.start(), low, known)):
            yield Name(start=found.start(), end=end, low=low, is_medicine=False)
    for found in LETTER.finditer(text):
        yield Name(start=found.start(1), end=found.end(1), low=found[1].lower(), is_medicine=False)


def _is_name(text: str, start: int, low: str, known: "Lists") -> bool:
    left = text[max(0, start - 12):start]
    if TITLE.search(left):
        return True
    is_first = bool(BEFORE.search(left if start > 12 else text[:start]))
    is_place = low in known.cities or low in known.regions
    is_word = low.endswith(WORD_ENDINGS) and not (is_place or known.is_name(low))
    if len(low) < 3 or low[1:2] == "-" or is_word or (is_first and HEADING.match(text[start:start + 60])):
        return False
    parts = [part for part in low.split("-") if len(part) > 1]
    if all(part in known.words or part in known.general for part in parts) and not (is_place and not is_first):
        return False
    return not is_first or known.is_given(low) or known.is_surname(low)


def _is_abbreviation(word: str) -> bool:
    """True for "EKGs", "FHx" and "CT", not for "McMurray" and "O'Brien"."""
    rest = re.sub(r"^(?:Mc|Mac|De|La|Van|O['’])(?=[A-Z])", "", word)
    return len(word) < 2 or any(sum(letter.isupper() for letter in part) > 1 for part in re.split("[-'’]", rest))


def is_said(name: Name, words: set[str]) -> bool:
    """Whether the words of a conversation hold a name, another name of the same medicine, or a slip of spelling."""
    parts = [part for part in re.split("[-'’]", name.low) if part]
    if name.low in words or name.low.replace("-", "") in words or all(part in words for part in parts):
        return True
    if name.low + "s" in words or name.low.removesuffix("s") in words:
        return True
    alike = (word for word in words if word[0] == name.low[0] or not (word + name.low).isascii())
    if any(_plain(word) == _plain(name.low) for word in alike):
        return True                                             # "Mueller" is "Müller"
    line = medicines().get(name.low)
    if line is not None and any(medicines().get(word) == line for word in words):
        return True
    limit = ALIKE_MEDICINE if name.is_medicine else ALIKE
    return len(name.low) > 5 and any(_is_slip(name.low, word, limit) for word in words)


def _plain(word: str) -> str:
    """A word without its accents, and with "ue" as "u"."""
    letters = "".join(sign for sign in unicodedata.normalize("NFKD", word) if not unicodedata.combining(sign))
    return re.sub("(?<=[aou])e", "", letters)


def _is_slip(one: str, other: str, alike: float) -> bool:
    """Whether a word is another one misspelt: the same first letter, most of the rest, and no medicine itself."""
    if one[0] != other[0] or abs(len(one) - len(other)) > 2 or other in medicines():
        return False
    return difflib.SequenceMatcher(None, one, other, autojunk=False).ratio() >= alike
