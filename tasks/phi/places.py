"""Where a text holds places smaller than a state: addresses, towns, named hospitals, shops and schools."""

import re
from collections.abc import Iterator

from tasks.phi.span import Span, before
from tasks.phi.words import CODES, STATES, Lists, lists

CAP = r"[A-ZÀ-Þ][\w'’-]{0,30}"
LOW = r"[A-ZÀ-Þ][a-zà-ÿ'’][\w'’-]{0,30}"
SUFFIX = (r"(?:Street|St|Avenue|Ave?|Road|Rd|Lane|Ln|Drive|Dr|Boulevard|Blvd|Court|Ct|Circle|Cir|Place|Pl|Way"
          r"|Terrace|Terr?|Parkway|Pkwy|Highway|Hwy"
          r"|Square|Sq|Trail|Trl|Close|Crescent|Cres|Mews|Row|Walk|Gardens?|Gdns|Grove|Hill|View|Alley|Plaza"
          r"|Turnpike|Tpke|Broadway|Quay|Loop|Path|Pike"
          r"|Run|Bend|Point|Crossing|Cove|Ridge|Green|Wharf|Vale|Rise|Parade|Promenade|Esplanade|Heights|Park|Gate"
          r"|Expressway|Causeway|Common|Meadows?)")
STATE = rf"(?:{STATES}|{CODES})"
ZIP = (r"(?:\d{5}(?:-\d{4})?|[A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2}|[A-Z]\d[A-Z] ?\d[A-Z]\d"
       r"|[A-Z]{1,2}\d{1,2}[A-Z]? \d[A-Z]{2}|\d{4}(?: [A-Z]{2})?)")
UNIT = (r"(?:,? ?(?:#|(?:Apt|Apartment|Unit|Suite|Ste|Flat|Floor|Fl|Rm|Room|Lot|Bldg|Building|Trlr|Space"
        r"|No)\b\.?) ?#?[\w-]{1,6}|,? \d{1,2}(?:st|nd|rd|th) [Ff]loor)")
TOWN = rf"(?:(?:St\.|Mt\.|Ft\.) )?{LOW}(?: (?:(?:of|on|upon|de|del|la|le|der|am|an|under) ){{0,2}}{LOW}){{0,3}}"
TAIL = (rf"(?:{UNIT}){{0,2}}(?:(?:, ?| ){STATE}\b\.?(?:,? {ZIP}\b)?"
        rf"|,? ?{TOWN}(?:,? {STATE}\b\.?)?(?:,? {ZIP}(?!\w))?|, {ZIP}\b"
        rf"|, \d{{4,6}}(?:-\d{{3}})? {TOWN})?(?:, (?:USA|UK|US|{TOWN})(?= ?(?:[.,;)]|$)))?")
TAIL_AFTER = rf"(?:{UNIT}){{0,2}}(?:,? (?:{TOWN})?(?:,? ?{STATE}\b\.?)?(?:,? {ZIP}(?!\w))?(?:,? {TOWN})?)?"
WAY = r"(?:(?:NE|NW|SE|SW|[NSEW]|North(?:east|west)?|South(?:east|west)?|East|West)\b\.? )"
STREET_NAME = (rf"(?:(?:{CAP}|\d{{1,3}}(?:st|nd|rd|th)|[Dd]e|[Ll]a|[Oo]f|[Tt]he|[Dd]el|[Ll]os|[Ll]as|St\."
               rf"|Dr\.)\.? ){{1,4}}")
HOUSE = r"(?<![\w./,:$-])\d{1,6}(?:[A-Za-z]|-\d{1,4}| ?1/2)?,?"
ADDRESSES = tuple(re.compile(one, re.MULTILINE) for one in (
    rf"{HOUSE} {WAY}?{STREET_NAME}{WAY}?{SUFFIX}\b\.?(?: (?:NE|NW|SE|SW|[NSEW])\b\.?)?{TAIL}",
    rf"{HOUSE} (?:{CAP} )?(?:Broadway|[A-Z][a-z]{{2,12}}(?:way|gate))\b{TAIL}",
    rf"{HOUSE} {WAY}(?:{CAP} ){{0,2}}{CAP}(?:, ?{TOWN})?(?:,? {STATE}\b)?(?:,? {ZIP}(?!\w))?",
    rf"{HOUSE} (?:Rue|Via|Viale|Calle|Avenida|Av\.|Avenue|Rua|Place|Piazza|Boulevard|Chemin|Camino|Paseo|Route"
    rf"|Highway|Broadway|Impasse|Quai|Carrer|Corso)\b"
    rf"(?: [\w'’.-]{{1,20}}){{0,4}}(?:, \d{{4,5}} {TOWN}|, {TOWN})?",
    rf"(?:{CAP}(?: |-))?{CAP}(?:stra(?:ss|ß)e|str\.|weg|gasse|platz|allee|laan|straat|gatan|vej|gade|plein|damm"
    rf"|ufer|ring|hof) ?\d{{1,4}}[a-z]?(?:,? (?:[A-Z]-?)?"
    rf"\d{{4,5}} {TOWN}|, {TOWN})?",
    rf"\b(?:Calle|Avenida|Via|Rua|Rue|Carrera|Ulica|ul\.) (?:{CAP} ?|de |la |del "
    rf"|los ){{1,4}},? ?\d{{1,4}}(?:,? \d{{4,5}} {TOWN}|, {TOWN})?",
    rf"\bP\.? ?O\.? Box \d{{1,6}}{TAIL}",
    rf"\b(?:Flat|Apt\.?|Apartment|Unit) \w{{1,5}},? \d{{1,5}} {STREET_NAME}{SUFFIX}\b\.?{TAIL}",
    r"(?<= )\d{1,5} (?!(?:miles?|minutes?|blocks?|feet|days?|hours?|times|of|or|to|and)\b)(?:(?!(?:a|the|on|in|per"
    r"|by|my|his|her|each)\b)[a-z0-9]{1,15} ){1,3}(?:street|avenue|ave|road|rd|lane|ln|drive|boulevard"
    r"|blvd|court|circle|terrace|way|place|highway)\b(?:,? (?:apt|unit|apartment|#) ?\w{1,5})?(?:,? \d{5}\b)?",
))
AT = re.compile(r"\b(?:at|address|address:|is|on|addr:?|to|lives?) $", re.IGNORECASE)
STREET = re.compile(rf"(?<![\w'’-])(?:{WAY})?(?:(?:{CAP}|\d{{1,3}}(?:st|nd|rd|th)|St\.|Dr\.) ){{1,3}}"
                    r"(?:Street|St(?=[\s,.;)]|$)|Avenue|Ave|Road|Rd|Lane|Ln|Boulevard|Blvd|Court|Drive|Crescent"
                    r"|Highway|Parkway|Turnpike|Terrace|Alley|Square"
                    r"|Expressway|Bypass|Bridge|Crossing|Mews|Trail|Plaza|Circle|Way|Close|Quay|Pier|Wharf)\b",
                    re.MULTILINE)
CROSSING = re.compile(rf"\b({CAP}|\d{{1,3}}(?:st|nd|rd|th))(?: {SUFFIX}\b\.?)? (?:and|&|at) (\d{{1,3}}(?:st|nd|rd"
                      rf"|th)|{CAP})(?: {SUFFIX}\b\.?)?")
ROUTE = re.compile(r"\b(?:Highway|Hwy\.?|Route|Rte\.?|Interstate|County Road|State Road|Exit) \d{1,4}[A-Z]?\b"
                   r"|\b(?:I|US|M|A)-\d{1,3}\b(?= (?:near|at|in|exit|north|south|east|west)|[.,])")
CITY_STATE = re.compile(rf"(?<![\w'’-])({TOWN}),? (?:(?P<long>{STATES})"
                        rf"|(?P<short>{CODES}))\b\.?(?:,? (?P<zip>\d{{5}}(?:-\d{{4}})?)(?!\w))?")
FIVE = re.compile(r"(?<= )\d{5}(?:-\d{4})?(?![\w-])")
STATE_BEFORE = re.compile(rf"\b(?:{STATE})\.?,? $")
ZIP_SAID = re.compile(r"\b(?i:zip(?: ?code)?|post(?:al)? ?code|postcode|plz|area)(?i:s|[ :#]|is|was|number|of|the"
                      r"|residence|,){0,6} ?(\d{5}(?:-\d{4})?|[A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2}"
                      r"|[A-Z]\d[A-Z] ?\d[A-Z]\d)(?!\w)")
POSTCODE = re.compile(r"(?<![\w-])(?:(?:[A-Z]{1,2}\d{1,2}[A-Z]?) \d(?!M[GLM]|CM|KG|PM|AM|ND|RD|TH"
                      r"|ST)[A-BD-HJLNP-UW-Z]{2}|[A-CEGHJ-NPR-TVXY]\d[A-Z] \d[A-Z]\d)(?![\w-])")

KIND_OF_HOUSE = (
    r"(?:Hospitals?|Hosp\.?|Clinics?|Infirmary|Hospice|Sanatorium|Sanitarium|(?:Medical|Health|Healthcare|Care"
    r"|Surgery|Surgical|Rehab|Rehabilitation|Kidney|Dialysis"
    r"|Cancer|Heart|Eye|Trauma|Imaging|Wellness|Birth|Birthing|Community|Recreation|Senior|Day|Detention|Shopping"
    r"|Convention|Fitness|Outpatient|Treatment|Nursing"
    r"|Memory Care|Diagnostic|Dental|Women's|Children's|Family|Youth|Sports|Garden|Crisis|Recovery|Burn|Spine"
    r"|Joint|Endoscopy|Infusion|Urgent Care|Learning)"
    r" (?:Cent(?:er|re)|Facility|Clinic|Group|Practice|Campus|Park|Pavilion)|Cent(?:er|re)"
    r"|Skilled Nursing(?: Facility)?|Nursing(?: Home| Facility| Cent(?:er|re))?|Rehab"
    r"|Rehabilitation|Care Home|Assisted Living|Senior Living|Living|Manor|Pharmacy|Pharmacies|Drugs?(?: Store)?"
    r"|Drugstore|Chemists?|Apothecary|Surgery|Practice"
    r"|(?:High |Middle |Elementary |Primary |Grammar |Secondary |Nursery |Boarding |Public )?School|Elementary"
    r"|Academy|College|University|Kindergarten|Preschool"
    r"|Day ?care|Church|Chapel|Cathedral|Temple|Mosque|Synagogue|Airport|Station|Zoo|Stadium|Arena|Mall|Hotel"
    r"|Motel|Inn|Gym|YMCA|Casino|Market|Supermarket"
    r"|Store|Bakery|Cafe|Café|Diner|Restaurant|Pub|Lodge|Estates?|Apartments|Towers|Hall|Shelter|Prison|Jail"
    r"|Penitentiary|Correctional(?: Facility| Institution)?"
    r"|Pediatrics|Paediatrics|Dermatology|Family Medicine|Orthop(?:a)?edics|Cardiology|Oncology|Internal Medicine"
    r"|Women's Health|Urgent Care|Primary Care|Dental"
    r"|Eye Care|Physical Therapy|Medical Group|Medical Associates|Family Practice|Health System|Nursing Home"
    r"|Retirement(?: Home| Village| Community)?|Camp(?:ground)?"
    r"|Residences?|Home|House|Villa|Villas|Village|Homes|Labs|Barracks|Dairy|Farms?|Ranch|Orchards?|Vineyards?"
    r"|Studios?|Salon|Deli|Grill|Hardware|Foods|Books|Tavern|Bar|Grocery|Mart)")
LINK = r"(?: (?:(?:of|de|the|for|and|del|la|&) ){0,2}| ?& ?|-)"
HOUSE_NAME = re.compile(rf"(?<![\w'’-])((?:(?:St|Mt|Univ"
                        rf"|Ft)\.? )?(?:{CAP}{LINK}){{1,5}}?)({KIND_OF_HOUSE})\b(?!['’-]\w)((?: (?:of"
                        rf"|at) (?:the )?(?:{CAP} ?){{1,3}}| (?:on|at) (?:{CAP} ){{1,3}}{SUFFIX}\b)?)")
HOUSE_OF = re.compile(rf"(?<![\w'’-])(?:University|Univ\.?|Hospital|College|Church|School|Clinic|Port"
                      rf"|Children's Hospital|Univ\. Hospital|University Hospital)s? (?:of"
                      rf"|at) (?:the )?(?:{CAP}[ ]?){{1,4}}"
                      r"(?:(?:Medical Center|Hospital|Clinic|Health))?")
SAINT = re.compile(rf"(?<![\w'’-])(?:St\.?|Saint|Mount|Mt\.?) {CAP}['’]s\b(?! (?:disease|fire|wort"
                   rf"|John))(?: {KIND_OF_HOUSE})?")
LAND = re.compile(rf"(?<![\w'’-])((?:{CAP} ){{1,3}})(Creek|County|Township|Beach|Heights|Valley|Hills|Springs"
                  rf"|Falls|Parish|Park|River|Lake|Island|Bay|Ridge|District"
                  r"|Borough|Canyon|Mountains?|Forest|National (?:Park|Forest)|Marina|Harbou?r|Peninsula"
                  r"|Reservation|Reservoir|Gardens|Meadows|Grove|Woods|Landing"
                  r"|Junction|Prairie|Crossing|Cove|Coast|Quarter|Acres|Ferry|Pond|Dam|Desert|Cemetery|Playground"
                  r"|Trailer Park|Mill|Mine|Glen|Moor|Downs|Dale)\b")
LAND_BEFORE = re.compile(rf"(?<![\w'’-])(?:Lake|Mount|Mt\.|Port|Fort|Ft\.|Camp|Cape|County|Loch|Isle of|Point"
                         rf"|Bay of|Glen|Rancho|Playa|Villa|Upper|Lower|East|West|North|South"
                         rf"|New) {CAP}(?: {CAP})?")
NOT_AFTER = re.compile(r"['’]?s? (?:spotted fever|(?:(?!with|for|after|and|due|had|has|was|is|in|on|of"
                       r"|to)\w+ )?(?:fever|virus|encephalitis|disease|syndrome|scores?|scales?|criteria|stages?"
                       r"|spider|classification|consensus|protocol|staging|system|index"
                       r"|questionnaire|stool|knee|hip|brace|tube|chromosomes?|collar|agitation|coma|inventory"
                       r"|test|method|technique|procedure|study|trial|agreement|guidelines?|variant|strain"
                       r"|hemorrhagic|tick|type|forceps|sign|regimen|diet|epilepsy|depression|cohort|grading"
                       r"|sedation|needle|retractor|catheter|beige|blue|plaster|formula|flu|heart study))\b"
                       r"| (?:Coma|Scale|Score|Criteria|Stool|Classification|Heart Study|Virus|Consensus|Protocol"
                       r"|Index|Agitation|Sedation|Hip|Knee|Depression|Brace)\b", re.IGNORECASE)
WHERE = re.compile(r"\b(?i:li(?:ve[sd]?|ving)|born|raised|mov(?:ed?|es|ing)|relocat\w+|travel\w*|trip|vacation\w*"
                   r"|holiday|back|return\w*|fl(?:ew|ies|ying)|dr(?:ove|iving|ives)|visit\w*|hik\w+|camp\w*"
                   r"|resid\w+|native|grew up|stationed|deployed|phon(?:ed|ing)|call(?:ed|ing)|came|go(?:es|ing)?"
                   r"|went|arriv\w+|transfer\w*|relatives|family|house|home|farm|apartment|plant|factory"
                   r"|flight|bus|train|stay\w*|stopped|died|fishing|skiing|swimming|kayak\w*|hunt\w*|summer|winter"
                   r"|retir\w+|immigrated|emigrated|sent|clinic|hospital|office|practice|seen|work(?:s|ed|ing)?"
                   r"|job|school|college|shelter|accident|crash|rehab|facility|referred|mail(?:ed)?|originally"
                   r"|hails|comes|local|outskirts|suburb|village|town|city|cabin|spent|wedding|conference|lake"
                   r"|beach)"
                   rf"(?: \w+){{0,3}} (?:in|to|from|near|of|at|around|outside|through|over|via|across"
                   rf"|by)(?: downtown| rural| (?:north|south|east|west)(?:ern)?)? ((?:(?:St\."
                   rf"|Mt\.) )?{LOW}(?: {LOW})?)(?![\w'’])")
NEAR = re.compile(rf"\b(?:near|outside|downtown|north of|south of|east of|west of|outskirts of|suburb of|town of"
                  rf"|city of|village of) ({LOW}(?: {LOW})?)(?![\w'’])")
BRINGS = re.compile(rf"\b(?:what brings you (?:in )?from|welcome to|i live in|i'm from|i am from|hometown is"
                    rf"|hometown:|residence:|city:|town:|county:|birthplace:|place of birth:"
                    rf"|location:) ({LOW}(?: {LOW})?)",
                    re.IGNORECASE)
SHOP = re.compile(r"\b(?:Walgreens|CVS|Walmart|Wal-Mart|Costco|Rite Aid|Boots|Kroger|Safeway|Tesco|Sainsbury's"
                  r"|Aldi|Lidl|Publix|Whole Foods|Starbucks|McDonald's|Home Depot|Duane Reade|Wegmans|IKEA)"
                  rf"(?: (?:on|at) (?:{CAP} ){{1,3}}{SUFFIX}\b)?")
LOCAL = re.compile(r"\b(?:in|to|from|near|at|of|over|around|outside|through|visiting|visited|via|toward|towards"
                   r"|between|and|downtown|for|leaving|left)(?: downtown| the)? $", re.IGNORECASE)
WEAK_HOUSES = {"Home", "House", "Bar", "Living", "Dental", "Village", "Hall", "Station", "Store", "Center", "Centre",
    "Drug", "Drugs", "Rehab", "Surgery", "Practice", "Nursing", "Market",
               "Dermatology", "Cardiology", "Oncology", "Pediatrics", "Foods", "Books", "Labs", "Mart", "Farm", "Inn",
               "Pub", "Camp", "Shelter", "University", "College", "Academy", "Temple",
               "Rehabilitation", "Internal Medicine", "Family Medicine", "Primary Care", "Physical Therapy", "Manor",
               "Hospice", "Hospital", "Clinic", "Hospitals", "Clinics"}
LOOSE_HOUSES = {"Surgery", "Practice", "Rehab", "Rehabilitation", "Living", "Internal Medicine", "Bar", "Home", "House",
                "Academy"}                      # ordinary words before these are no name: "Corrective Surgery"
DEGREES = re.compile("MD|PA|MA|DO|OR|OK|ME|IN|HI|DE|CT|AL|MS|ND|ID|CO|LA|PR|ON|MO|NE|MT|VA|BC|AB|SC|NC")
RUN = re.compile(r"(?<![\w'’-])(?:St\.? )?[A-ZÀ-Þ][a-zà-ÿ][\w-]{0,30}(?: (?:(?:de|es|of|am"
                 r"|upon) )?[A-ZÀ-Þ][a-zà-ÿ][\w-]{0,30}){0,3}")
BEFORE_OF = re.compile(r" (?:of|the|and|for) ")
DIRECTIONS = {"upper", "lower", "east", "west", "north", "south", "new", "point", "camp", "villa"}


def spans(text: str) -> Iterator[Span]:
    """Every place, in no order; they may overlap."""
    known = lists()
    for pattern in ADDRESSES:
        for found in pattern.finditer(text):
            if not found[0].islower() or AT.search(text, max(0, found.start() - 12), found.start()):
                yield _trimmed(text, found.start(), found.end())
    for pattern in (STREET, SAINT):
        for found in pattern.finditer(text):
            start = _specific(text, found.start(), found.end(), known)
            if " " in text[start:found.end()]:
                yield _trimmed(text, start, found.end())
    for found in CROSSING.finditer(text):
        names = (found[1].lower(), found[2].lower())
        if names[0][0].isdigit() != names[1][0].isdigit() and not known.general.intersection(names):
            yield Span(found.start(), found.end(), "place", rank=4)
    for pattern in (ROUTE, POSTCODE, SHOP):
        for found in pattern.finditer(text):
            yield Span(found.start(), found.end(), "place", rank=4)
    for found in FIVE.finditer(text):
        state = STATE_BEFORE.search(text, max(0, found.start() - 25), found.start())
        if state:
            yield Span(state.start(), found.end(), "place", rank=4)
    for found in ZIP_SAID.finditer(text):
        yield Span(found.start(1), found.end(1), "place", rank=4)
    yield from _houses(text, known)
    yield from _land(text, known)
    yield from _towns(text, known)
    yield from _cities(text, known)


def _trimmed(text: str, start: int, end: int) -> Span:
    """The place without the spaces and marks at its end."""
    value = text[start:end].rstrip(" ,;:")
    if value.endswith(".") and not re.search(r"\b(?:St|Ave|Rd|Ln|Dr|Blvd|Ct)\.$", value):
        value = value[:-1]
    return Span(start, start + len(value), "place", rank=4)


def _specific(text: str, start: int, end: int, known: Lists) -> int:
    """Where the name begins, general words at its front left out; end if it has nothing else."""
    for word in re.finditer(r"\S+", text[start:end]):
        low, stop = word[0].strip(".,").lower(), start + word.end()
        if low not in known.general and not (low in known.words and BEFORE_OF.match(text, stop)):
            return start + word.start()
    return end


def _houses(text: str, known: Lists) -> Iterator[Span]:
    """Hospitals, schools, shops and the like with a name of their own."""
    for found in HOUSE_OF.finditer(text):
        of = found.start() + max(found[0].find(" of "), found[0].find(" at "))
        if _specific(text, of, found.end(), known) < found.end():
            yield _trimmed(text, found.start(), found.end())
    for found in HOUSE_NAME.finditer(text):
        start = _specific(text, found.start(1), found.end(1), known)
        is_named_after = bool(found[3].strip()) and not found[2].startswith(("Center", "Centre", "Home"))
        if start == found.end(1) and not is_named_after:
            continue
        start = start if start < found.end(1) else found.start(1)
        if not NOT_AFTER.match(text, found.end()) and _is_house(text[start:found.end(1)], found[2], known):
            yield _trimmed(text, start, found.end())


def _is_house(name: str, kind: str, known: Lists) -> bool:
    """False where the name of a house is made of common words of medicine only."""
    words = [word.strip(".,").lower() for word in name.split()]
    telling = [word for word in words if word not in known.general and word != "&"]
    if kind in LOOSE_HOUSES:
        return any(word not in known.words or known.is_name(word) for word in telling)
    if kind not in WEAK_HOUSES:
        return bool(telling)
    return any(word not in known.terms or known.is_name(re.sub("['’]s$", "", word)) for word in telling)


def _land(text: str, known: Lists) -> Iterator[Span]:
    """Named land and water."""
    for found in LAND.finditer(text):
        start = _specific(text, found.start(1), found.end(1), known)
        if start < found.end(1) and not NOT_AFTER.match(text, found.end()):
            yield _trimmed(text, start, found.end())
    for found in LAND_BEFORE.finditer(text):
        name, words = found[0].lower(), found[0].lower().split()
        if words[-1] in known.general or not known.is_unknown(words[1]) or name in known.regions:
            continue
        is_local = words[0] not in DIRECTIONS or LOCAL.search(before(text, found.start(), 20))
        if is_local and not NOT_AFTER.match(text, found.end()):
            yield _trimmed(text, found.start(), found.end())


def _towns(text: str, known: Lists) -> Iterator[Span]:
    """Towns by their state, and unlisted ones by the words before them."""
    for found in CITY_STATE.finditer(text):
        start = _specific(text, found.start(1), found.end(1), known)
        town = text[start:found.end(1)].lower()
        is_sure = bool(found["zip"]) or town in known.cities
        is_state = (found["long"] and "," in found[0]) or (found["short"] and not DEGREES.fullmatch(found["short"]))
        is_words = all(known.is_other(word) for word in town.split())
        if town and (is_sure or (is_state and not is_words)):
            yield _trimmed(text, start, found.end())
    for pattern in (WHERE, BRINGS, NEAR):
        for found in pattern.finditer(text):
            words = found[1].split()
            if not known.is_unknown(words[-1].lower()) and known.is_unknown(words[0].lower()):
                words = words[:1]
            town, end = " ".join(words), found.start(1) + len(" ".join(words))
            if _is_new_town(town.lower(), known) and not NOT_AFTER.match(text, end):
                yield _trimmed(text, found.start(1), end)


def _is_new_town(town: str, known: Lists) -> bool:
    if town in known.cities:
        return True
    words = town.split()
    return town not in known.regions and not known.is_name(words[0]) and all(
        known.is_unknown(word) or word in known.cities for word in words)


def _cities(text: str, known: Lists) -> Iterator[Span]:
    """Listed cities; those that are also names or other words only where words around speak for them."""
    for run in RUN.finditer(text):
        words = list(re.finditer(r"(?:St\.? )?[^ ]+", run[0]))
        at = 0
        while at < len(words):
            for size in range(min(4, len(words) - at), 0, -1):
                start, end = run.start() + words[at].start(), run.start() + words[at + size - 1].end()
                if text[start:end].lower() in known.cities and _is_town(text, start, end, len(words) == size, known):
                    yield Span(start, end, "place", size > 1, 4)
                    at += size - 1
                    break
            at += 1


def _is_town(text: str, start: int, end: int, is_alone: bool, known: Lists) -> bool:
    town = text[start:end].lower()
    if NOT_AFTER.match(text, end) or text[end:end + 1] == "-":
        return False
    is_local = bool(LOCAL.search(before(text, start, 20)))
    if known.is_name(town) or known.is_other(town) or town in known.regions:
        return is_alone and is_local and not known.is_other(town) and not re.match(r" [A-Z]|['’]s", text[end:end + 2])
    return is_alone or is_local or " " in town
