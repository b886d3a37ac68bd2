"""The lists behind names and places: given names, surnames, cities, and words that look like names and are none."""

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

FOLDER = Path(__file__).parent / "lists"

STATES = ("Alabama|Alaska|Arizona|Arkansas|California|Colorado|Connecticut|Delaware|Florida|Georgia|"
          "Hawaii|Idaho|Illinois|Indiana|Iowa|Kansas|Kentucky|Louisiana|Maine|Maryland|Massachusetts|"
          "Michigan|Minnesota|Mississippi|Missouri|Montana|Nebraska|Nevada|New Hampshire|New Jersey|"
          "New Mexico|New York|North Carolina|North Dakota|Ohio|Oklahoma|Oregon|Pennsylvania|"
          "Rhode Island|South Carolina|South Dakota|Tennessee|Texas|Utah|Vermont|Virginia|Washington|"
          "West Virginia|Wisconsin|Wyoming|Puerto Rico|Ontario|Quebec|Alberta|Manitoba|Saskatchewan|"
          "British Columbia|Nova Scotia|New Brunswick|Newfoundland|Victoria|Queensland|New South Wales|"
          "Tasmania")
CODES = ("AL|AK|AZ|AR|CA|CO|CT|DE|FL|GA|HI|ID|IL|IN|IA|KS|KY|LA|ME|MD|MA|MI|MN|MS|MO|MT|NE|NV|NH|NJ|NM|NY|NC|ND|OH"
         "|OK|OR|PA|RI|SC|SD|TN|TX|UT"
         "|VT|VA|WA|WV|WI|WY|DC|PR|ON|QC|BC|AB|NS|NB|NL|SK|MB|PE|NT|ACT|TAS|SA|NSW|QLD|VIC")


SURNAME_HEADS = ("o'", "o’", "mc", "fitz")
SURNAME_ENDS = ("ovic", "evic", "ović", "ević", "enko", "escu", "opoulos", "opoulou", "akis", "oglu", "oğlu",
    "ashvili", "sson",
                "sdottir", "sdóttir", "wicz", "owski", "ewski", "owska", "ewska", "chuk", "uddin", "ullah", "zadeh",
                "nejad",
                "swamy", "krishnan", "murthy", "moorthy", "ramanian", "lingam", "appan", "thwaite", "qvist", "gaard")
FOREIGN = re.compile("[čćđłńřśšźžąęőűşğıãõø]")


@dataclass(frozen=True, kw_only=True)
class Lists:
    """All in lower case. words: ordinary English. terms: drugs, eponyms, peoples and so on, which are written with
    a capital and are no names. general: words that give a hospital or school no name of its own. city_heads: the first
    words of the cities.
    """

    given: frozenset[str]
    surnames: frozenset[str]
    words: frozenset[str]
    terms: frozenset[str]
    cities: frozenset[str]
    regions: frozenset[str]
    general: frozenset[str]
    city_heads: frozenset[str]

    def is_given(self, word: str) -> bool:
        """True for a given name that is nothing else."""
        return not self._is_more(word) and self._is_in_given(word)

    def is_surname(self, word: str) -> bool:
        """True for a surname that is nothing else."""
        return not self._is_more(word) and self._is_in_surnames(word)

    def is_name(self, word: str) -> bool:
        """True for what can be a given name or a surname, and perhaps another word as well."""
        return self._is_in_surnames(word) or self._is_in_given(word)

    def is_other(self, word: str) -> bool:
        """True for what can be something else than a name or a place."""
        return word in self.words or word in self.terms

    def _is_in_surnames(self, word: str) -> bool:
        """True for a listed surname, two of them with a hyphen, and what has its form: "O'Kerrin", "Dragovic"."""
        if word in self.surnames:
            return True
        if self.is_other(word):
            return False
        first, hyphen, second = word.partition("-")
        if hyphen:
            return len(second) > 2 and (first in self.surnames or first in self.given) and (
                second in self.surnames and not self.is_other(first))
        if word.endswith(SURNAME_ENDS) or word.startswith(SURNAME_HEADS):
            return len(word) > 5
        return not word.isascii() and bool(FOREIGN.search(word))

    def _is_in_given(self, word: str) -> bool:
        return word in self.given or ("-" in word and all(part in self.given for part in word.split("-")))

    def _is_more(self, word: str) -> bool:
        return self.is_other(word) or word in self.cities or word in self.regions

    def is_ordinary(self, word: str) -> bool:
        """True for what can be something else than a name, and no name."""
        return (word in self.words or word in self.terms) and not self.is_name(word)

    def is_unknown(self, word: str) -> bool:
        """True for a word in none of the lists of what is no name."""
        return not self._is_more(word)


@lru_cache(maxsize=1)
def lists() -> Lists:
    """The lists, read once."""
    def read(name: str) -> frozenset[str]:
        return frozenset(word for line in (FOLDER / name).read_text(encoding="utf-8").lower().splitlines()
                         if not line.startswith("#") for word in line.split())

    def read_lines(name: str) -> frozenset[str]:
        return frozenset(line for line in (FOLDER / name).read_text(encoding="utf-8").lower().splitlines()
                         if not line.startswith("#"))

    cities = read_lines("cities.txt")
    return Lists(given=read("given.txt"), surnames=read("surnames.txt"), words=read("words.txt"),
                 terms=read("terms.txt"), cities=cities, regions=read_lines("regions.txt"),
                 general=read("general.txt"), city_heads=frozenset(city.split()[0] for city in cities if city))
