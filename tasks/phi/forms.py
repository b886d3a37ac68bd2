"""Places that their form tells: rural routes, plots, names with hyphens, endings of towns, hospitals named General."""

import re
from collections.abc import Iterator

from tasks.phi.page import Page, near, starting
from tasks.phi.span import Span
from tasks.phi.words import Lists

CAP = r"[A-ZÀ-Þ][\w'’]{0,30}"
LOW = r"[A-ZÀ-Þ][a-zà-ÿ'’][\w'’]{0,30}"
PROVINCE = r"(?:NS|NB|NL|PE|QC|ON|MB|SK|AB|BC|YT|NT|NU|NSW|VIC|QLD|SA|WA|TAS|ACT)"
PIN = r"(?:[A-Z]\d[A-Z] ?\d[A-Z]\d|\d{6}|\d{3} \d{3}|\d{4,5})(?![\w-])"
ROUTE_WORDS = {"RR", "RFD", "RMB", "RSD", "Rural", "GPO", "PMB", "Locked", "Private", "General"}
ROUTE = re.compile(rf"\b(?:RR ?#?\d{{1,4}}(?=,? (?:Box|Site|Comp|Stn)\b"
                   rf"|,? [A-Z][a-z]{{2,20}}(?: [A-Z][a-z]{{2,20}})?(?:,? {PROVINCE}\b|,? {PIN}|[.;]|$))"
                   rf"|(?:RFD|RMB|RSD|Rural Route|Rural Delivery)(?: No\.?)? ?#?\d{{1,4}}|(?:GPO Box|PMB|Locked Bag"
                   rf"|Private Bag"
                   rf"|General Delivery) ?\d{{0,6}}(?=,| \d|$))(?:,? (?:Box|Site|Comp\.?|Stn\.?) \w{{1,5}}){{0,2}}"
                   rf"(?:,? (?:{LOW}[ -]?){{1,3}})?(?:,? ?{PROVINCE}\b)?(?:,? {PIN})?")
PLOT_WORDS = {"H", "House", "Door", "Plot", "D", "Flat"}
PLOT = re.compile(rf"\b(?:H\.? ?No|House No|Door No|Plot(?: No)?|D\. ?No|Flat No)\.?:? ?#?\d[\w/-]{{0,12}}"
                  rf"(?:,? (?:\d{{1,3}}(?:st|nd|rd|th) )?{CAP}(?: {CAP}){{0,3}}){{1,5}}(?:[ ,–-]{{1,3}}{PIN})?")
# of lower case
CODE_SAID = re.compile(r"\b(?:post ?code|pin ?code|postal code|pin(?= ?[:-]))(?: is)?[ :-]{1,3}(\d{6}|\d{3} \d{3}"
                       r"|\d{4})(?!\w)")
HYPHENS = re.compile(rf"(?<![\w'’-])(?:{CAP}-(?:le|la|les|sur|sous|on|upon|under|in|by|next|y|yr|de|du|des|en|the"
                     rf"|over|am|of|o['’])(?:-(?:the|la|le))?"
                     rf"(?:-[A-ZÀ-Þ][\w'’]{{1,30}}){{1,3}}|(?:Saint|Sainte|St|Ste|Côte|Mont|Notre|Trois|Sept|Val"
                     rf"|Vieux|Pointe|Rivière|Baie|Île|Château|Lac|Anse)"
                     rf"(?:-(?:{CAP}|de|des|du|la|le|aux?|d['’]{CAP})){{1,5}})(?![\w-])")
HOUSE_WORDS = {"Clinique", "Hôpital", "Hopital", "Centre", "CHU", "CLSC", "CHSLD", "Résidence", "Manoir",
    "Pharmacie", "Foyer", "Polyclinique",
               "Clínica", "Clinica", "Ospedale", "Klinikum", "Krankenhaus", "Hospice", "École", "Maison"}
HOUSE = re.compile(rf"(?<![\w'’-])(?:Clinique|H[ôo]pital|Centre hospitalier|CHU|CLSC|CHSLD|Résidence|Manoir|Pharmacie"
                   rf"|Foyer|Polyclinique"
                   rf"|Cl[íi]nica|Ospedale|Klinikum|Krankenhaus|École|Maison)(?: (?:universitaire|générale?|médicale"
                   rf"|dentaire))?"
                   rf"(?: (?:de|du|des|la|le|les|di|San|Santa|d['’]|l['’])){{0,2}} ?{CAP}(?:[ -](?:(?:de|la|du"
                   rf"|le)[ -])?{CAP}){{0,3}}")
GENERAL_WORDS = {"General", "Regional", "Memorial", "Royal", "Infirmary", "Base", "Cottage", "District", "Mercy"}
GENERAL = re.compile(rf"\b(?:at|to|from|in|via|ex|under) (?:the )?((?:(?:St\.?|Saint"
                     rf"|Mt\.?) )?{LOW}(?:[ -]{LOW}){{0,2}} (?:General|Regional|Memorial|Royal"
                     rf"|Infirmary|Base|Cottage|District|Mercy)|Royal {LOW})(?![\w'’-]| [A-Z])")
LOCAL_ENDS = (" in ", " near ", " at ", " from ", " via ", " outside ", " around ", "In ", "From ", "Near ",
    "resident of ", "native of ")
TOWN = re.compile(r"(?:Llan|Aber|Inver|Bally|Castle|Kirk|Pont|Tre|Strath|Auchter|Glen|Newton|Wal?la|Wool"
                  r"|Kal)[a-z]{4,16}(?![\w'’])"
                  r"|[A-Z][a-z]{2,14}(?:bury|borough|brough|burgh|chester|cester|minster|stead|thorpe|mouth|haven"
                  r"|ford|ham|ton|ville|field|worth"
                  r"|bridge|dale|leigh|combe|holme|stow|wick|ness|abad|nagar|puram|halli|palli|gudi|wadi|garh|pura"
                  r"|pur|kot|patnam|palya|pettai"
                  r"|burg|dorf|heim|hausen|bong|dong|roo|warra|munda|bool|fontein|spruit|kloof|dorp)(?![\w'’])")
AREA_WORDS = {"branch", "locality", "suburb", "layout", "colony"}
AREA = re.compile(rf"(?<![\w'’-])({LOW})(?= (?:branch|locality|suburb|layout|colony)\b)")
AFTER_HOUSE = re.compile(rf",? (?:in |at )?({LOW}(?: {LOW})?)(?=[.;)]|, (?:[a-z]|[A-Z]{{2}}\b)| ?$| ?\n)")


def spans(page: Page, known: Lists) -> Iterator[Span]:
    """Every such place, in no order; they may overlap."""
    text = page.text
    for pattern, words in ((ROUTE, ROUTE_WORDS), (PLOT, PLOT_WORDS)):
        for found in starting(pattern, text, page.capitals_in(words)) if page.numbers else ():
            yield _span(text, found.start(), found.end())
    if page.numbers and page.is_any_in(("code", "pin")):
        for found in CODE_SAID.finditer(page.low):
            yield _span(text, found.start(1), found.end(1))
    for found in starting(HYPHENS, text, (at for at,
        word in page.capitals if text[at + len(word):at + len(word) + 1] == "-")):
        if not known.is_other(found[0].lower()) and not (known.is_given(found[0].lower()) or FOLLOWED.match(text,
            found.end())):
            yield _span(text, found.start(), found.end())
    for found in starting(HOUSE, text, page.capitals_in(HOUSE_WORDS)):
        yield _span(text, found.start(), found.end())
    for found in near(GENERAL, text, page.capitals_in(GENERAL_WORDS), 90, 60):
        parts = found[1].lower().replace("-", " ").split()
        if any(known.is_unknown(part) or known.is_name(part) or part in known.cities for part in parts):
            yield _span(text, found.start(1), found.end(1))
    yield from _towns(page, known)


FOLLOWED = re.compile(r"['’]s? (?:disease|syndrome)| (?:disease|syndrome|criteria|scale|score|test)")


def _towns(page: Page, known: Lists) -> Iterator[Span]:
    """Words in no list with the ending of a town, where something happens, and what is called a branch or a suburb."""
    text = page.text
    for at, word in page.capitals:
        if len(word) > 5 and text.endswith(LOCAL_ENDS, 0, at):
            found = TOWN.match(text, at)
            is_new = known.is_unknown(word.lower()) and not known.is_name(word.lower())
            if found and is_new and not FOLLOWED.match(text, found.end()):
                yield Span(at, found.end(), "place", False, 4)
    for found in near(AREA, text, page.places(AREA_WORDS), 40, 12):
        if known.is_unknown(found[1].lower()) or found[1].lower() in known.cities:
            yield Span(found.start(1), found.end(1), "place", False, 4)


def town_after(text: str, at: int, known: Lists) -> Iterator[Span]:
    """The town behind a hospital or a home: "Willowmere Care Home, Stroud"."""
    found = AFTER_HOUSE.match(text, at)
    if found:
        town = found[1].lower()
        is_new = all(known.is_unknown(word) for word in town.split()) and not known.is_name(town.split()[0])
        if town in known.cities or is_new:
            yield Span(found.start(1), found.end(1), "place", rank=4)


def _span(text: str, start: int, end: int) -> Span:
    return Span(start, start + len(text[start:end].rstrip(" ,;:-")), "place", rank=4)
