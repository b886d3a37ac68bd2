"""Where a text holds places smaller than a state: addresses, towns, named hospitals, shops and schools."""

import re
from collections.abc import Iterator

from tasks.phi import forms
from tasks.phi.page import Page, near, starting, within
from tasks.phi.span import Span, before
from tasks.phi.words import CODES, STATES, Lists, lists

CAP = r"[A-ZÀ-Þ][\w'’-]{0,30}"
LOW = r"[A-ZÀ-Þ][a-zà-ÿ'’][\w'’-]{0,30}"
SUFFIX = (r"(?:Street|St|Avenue|Ave?|Road|Rd|Lane|Ln|Drive|Dr|Boulevard|Blvd|Court|Ct|Circle|Cir|Place|Pl|Way"
          r"|Terrace|Terr?|Parkway|Pkwy|Highway|Hwy"
          r"|Square|Sq|Trail|Trl|Close|Crescent|Cres|Mews|Row|Walk|Gardens?|Gdns|Grove|Hill|View|Alley|Plaza"
          r"|Turnpike|Tpke|Broadway|Quay|Loop|Path|Pike"
          r"|Run|Bend|Point|Crossing|Cove|Ridge|Green|Wharf|Vale|Rise|Parade|Promenade|Esplanade|Heights|Park|Gate"
          r"|Expressway|Causeway|Common|Meadows?|Brae|Wynd|Croft|Garth|Strand|Pde|Cct|Circuit|Concession|Sideroad"
          r"|Marg|Salai|Nagar"
          r"|Colony|Layout|Chowk|Enclave|Vihar|Bazaar|Drove|Grange|Crct|Boreen)")
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
HEAD = re.compile(rf"{HOUSE} [A-ZÀ-Þ\ddlot]")
HOUSE_FIRST = tuple(re.compile(one, re.MULTILINE) for one in (
    rf"{HOUSE} {WAY}?{STREET_NAME}{WAY}?{SUFFIX}\b\.?(?: (?:NE|NW|SE|SW|[NSEW])\b\.?)?{TAIL}",
    rf"{HOUSE} (?:{CAP} )?(?:Broadway|[A-Z][a-z]{{2,12}}(?:way|gate))\b{TAIL}",
    rf"{HOUSE} {WAY}(?:{CAP} ){{0,2}}{CAP}(?:, ?{TOWN})?(?:,? {STATE}\b)?(?:,? {ZIP}(?!\w))?",
    rf"{HOUSE} (?:Rue|Via|Viale|Calle|Avenida|Av\.|Avenue|Rua|Place|Piazza|Boulevard|Chemin|Camino|Paseo|Route"
    rf"|Highway|Broadway|Impasse|Quai|Carrer|Corso)\b"
    rf"(?: [\w'’.-]{{1,20}}){{0,4}}(?:, \d{{4,5}} {TOWN}|, {TOWN})?"))
GERMAN = re.compile(
    rf"(?:{CAP}(?: |-))?{CAP}(?:stra(?:ss|ß)e|str\.|weg|gasse|platz|allee|laan|straat|gatan|vej|gade|plein|damm"
    rf"|ufer|ring|hof) ?\d{{1,4}}[a-z]?(?:,? (?:[A-Z]-?)?"
    rf"\d{{4,5}} {TOWN}|, {TOWN})?", re.MULTILINE)
GERMAN_ENDS = tuple(f"{way}{gap}" for gap in ("", " ") for way in (
    "strasse", "straße", "str.", "weg", "gasse", "platz", "allee", "laan", "straat", "gatan", "vej", "gade", "plein",
    "damm", "ufer", "ring", "hof"))
ABROAD_WORDS = {"calle", "avenida", "via", "rua", "rue", "carrera", "ulica", "ul"}
ABROAD = re.compile(
    rf"\b(?:Calle|Avenida|Via|Rua|Rue|Carrera|Ulica|ul\.) (?:{CAP} ?|de |la |del "
    rf"|los ){{1,4}},? ?\d{{1,4}}(?:,? \d{{4,5}} {TOWN}|, {TOWN})?", re.MULTILINE)
BOX = re.compile(rf"\bP\.? ?O\.? Box \d{{1,6}}{TAIL}", re.MULTILINE)
FLAT_WORDS = {"Flat", "Apt", "Apartment", "Unit"}
FLAT = re.compile(rf"\b(?:Flat|Apt\.?|Apartment|Unit) \w{{1,5}},? \d{{1,5}} {STREET_NAME}{SUFFIX}\b\.?{TAIL}",
                  re.MULTILINE)
LOWER_WAYS = {"street", "avenue", "ave", "road", "rd", "lane", "ln", "drive", "boulevard", "blvd", "court", "circle",
              "terrace", "way", "place", "highway"}
LOWER_ADDRESS = re.compile(
    r"(?<= )\d{1,5} (?!(?:miles?|minutes?|blocks?|feet|days?|hours?|times|of|or|to|and)\b)(?:(?!(?:a|the|on|in|per"
    r"|by|my|his|her|each)\b)[a-z0-9]{1,15} ){1,3}(?:street|avenue|ave|road|rd|lane|ln|drive|boulevard"
    r"|blvd|court|circle|terrace|way|place|highway)\b(?:,? (?:apt|unit|apartment|#) ?\w{1,5})?(?:,? \d{5}\b)?")
AT = re.compile(r"\b(?:at|address|address:|is|on|addr:?|to|lives?) $", re.IGNORECASE)
STREET = re.compile(rf"(?<![\w'’-])(?:{WAY})?(?:(?:{CAP}|\d{{1,3}}(?:st|nd|rd|th)|St\.|Dr\.) ){{1,3}}"
                    r"(?:Street|St(?=[\s,.;)]|$)|Avenue|Ave|Road|Rd|Lane|Ln|Boulevard|Blvd|Court|Drive|Crescent"
                    r"|Highway|Parkway|Turnpike|Terrace|Alley|Square"
                    r"|Expressway|Bypass|Bridge|Crossing|Mews|Trail|Plaza|Circle|Way|Close|Quay|Pier|Wharf)\b",
                    re.MULTILINE)
STREET_WORDS = set(re.findall("[A-Z][a-z]+", STREET.pattern)) - {"North", "South", "East", "West"}
NTH = re.compile(r"\d(?:st|nd|rd|th)")
CROSSING = re.compile(rf"\b({CAP}|\d{{1,3}}(?:st|nd|rd|th))(?: {SUFFIX}\b\.?)? (?:and|&|at) (\d{{1,3}}(?:st|nd|rd"
                      rf"|th)|{CAP})(?: {SUFFIX}\b\.?)?")
ROUTE = re.compile(r"\b(?:Highway|Hwy\.?|Route|Rte\.?|Interstate|County Road|State Road|Exit) \d{1,4}[A-Z]?\b"
                   r"|\b(?:I|US|M|A)-\d{1,3}\b(?= (?:near|at|in|exit|north|south|east|west)|[.,])")
ROUTE_WORDS = {"Highway", "Hwy", "Route", "Rte", "Interstate", "County", "State", "Exit", "I", "US", "M", "A"}
STATE_WORDS = {state.split()[0] for state in (*STATES.split("|"), *CODES.split("|"))}
CITY_STATE = re.compile(rf"(?<![\w'’-])({TOWN}),? (?:(?P<long>{STATES})"
                        rf"|(?P<short>{CODES}))\b\.?(?:,? (?P<zip>\d{{5}}(?:-\d{{4}})?|[A-Z]\d[A-Z] ?\d[A-Z]\d"
                        rf"|\d{{4}})(?!\w))?")
FIVE = re.compile(r"(?<= )\d{5}(?:-\d{4})?(?![\w-])")
STATE_BEFORE = re.compile(rf"\b(?:{STATE})\.?,? $")
ZIP_SAID = re.compile(r"\b(?i:zip(?: ?code)?|post(?:al)? ?code|postcode|plz|area)(?i:s|[ :#]|is|was|number|of|the"
                      r"|residence|,){0,6} ?(\d{5}(?:-\d{4})?|[A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2}"
                      r"|[A-Z]\d[A-Z] ?\d[A-Z]\d)(?!\w)")
ZIP_PARTS = ("zip", "post", "plz", "area")
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
KIND_WORDS = {"Center", "Centre", "Orthopedics", "Orthopaedics", "Daycare", "Campground"} | {
    one for word in re.findall("[A-Z][A-Za-zé]+", KIND_OF_HOUSE) for one in (word, word.removesuffix("s"))}
LINK = r"(?: (?:(?:of|de|the|for|and|del|la|&) ){0,2}| ?& ?|-)"
HOUSE_NAME = re.compile(rf"(?<![\w'’-])((?:(?:St|Mt|Univ"
                        rf"|Ft)\.? )?(?:{CAP}{LINK}){{1,5}}?)({KIND_OF_HOUSE})\b(?!['’-]\w)((?: (?:of"
                        rf"|at) (?:the )?(?:{CAP} ?){{1,3}}| (?:on|at) (?:{CAP} ){{1,3}}{SUFFIX}\b)?)")
HOUSE_OF_WORDS = {"Children"} | {f"{word}{end}" for end in ("", "s") for word in (
    "University", "Univ", "Hospital", "College", "Church", "School", "Clinic", "Port")}
HOUSE_OF = re.compile(rf"(?<![\w'’-])(?:University|Univ\.?|Hospital|College|Church|School|Clinic|Port"
                      rf"|Children's Hospital|Univ\. Hospital|University Hospital)s? (?:of"
                      rf"|at) (?:the )?(?:{CAP}[ ]?){{1,4}}"
                      r"(?:(?:Medical Center|Hospital|Clinic|Health))?")
SAINT_WORDS = {"St", "Saint", "Mount", "Mt"}
SAINT = re.compile(rf"(?<![\w'’-])(?:St\.?|Saint|Mount|Mt\.?) {CAP}['’]s\b(?! (?:disease|fire|wort"
                   rf"|John))(?: {KIND_OF_HOUSE})?")
LAND = re.compile(rf"(?<![\w'’-])((?:{CAP} ){{1,3}})(Creek|County|Township|Beach|Heights|Valley|Hills|Springs"
                  rf"|Falls|Parish|Park|River|Lake|Island|Bay|Ridge|District"
                  r"|Borough|Canyon|Mountains?|Forest|National (?:Park|Forest)|Marina|Harbou?r|Peninsula"
                  r"|Reservation|Reservoir|Gardens|Meadows|Grove|Woods|Landing"
                  r"|Junction|Prairie|Crossing|Cove|Coast|Quarter|Acres|Ferry|Pond|Dam|Desert|Cemetery|Playground"
                  r"|Trailer Park|Mill|Mine|Glen|Moor|Downs|Dale)\b")
LAND_WORDS = {one for word in re.findall("[A-Z][a-z]+", LAND.pattern) for one in (word, word.removesuffix("s"))} | {
    "Harbor", "Harbour"}
LAND_BEFORE = re.compile(rf"(?<![\w'’-])(?:Lake|Mount|Mt\.|Port|Fort|Ft\.|Camp|Cape|County|Loch|Isle of|Point"
                         rf"|Bay of|Glen|Rancho|Playa|Villa|Upper|Lower|East|West|North|South"
                         rf"|New) {CAP}(?: {CAP})?")
LAND_FIRST = set(re.findall("[A-Z][a-z]+", LAND_BEFORE.pattern))
NOT_AFTER = re.compile(r"['’]?s? (?:spotted fever|(?:(?!with|for|after|and|due|had|has|was|is|in|on|of"
                       r"|to)\w+ )?(?:fever|virus|encephalitis|disease|syndrome|scores?|scales?|criteria|stages?"
                       r"|spider|classification|consensus|protocol|staging|system|index"
                       r"|questionnaire|stool|knee|hip|brace|tube|chromosomes?|collar|agitation|coma|inventory"
                       r"|test|method|technique|procedure|study|trial|agreement|guidelines?|variant|strain"
                       r"|hemorrhagic|tick|type|forceps|sign|regimen|diet|epilepsy|depression|cohort|grading"
                       r"|sedation|needle|retractor|catheter|beige|blue|plaster|formula|flu|heart study))\b"
                       r"| (?:Coma|(?-i:(?:I|II|III|IV|V|VI|[A-D])\b)|(?:grade|category|class|score) "
                       r"|(?:\w+ )?rules?\b|Scale|Score|Criteria|Stool|Classification|Heart Study|Virus|Consensus"
                       r"|Protocol"
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
WHERE_ENDS = tuple(f" {word} " for word in (
    "in", "to", "from", "near", "of", "at", "around", "outside", "through", "over", "via", "across", "by", "downtown",
    "rural", "St.", "Mt.", *(f"{way}{end}" for way in ("north", "south", "east", "west") for end in ("", "ern"))))
NEAR_ENDS = ("near ", "outside ", "downtown ", "th of ", "st of ", "skirts of ", "suburb of ", "town of ", "city of ",
             "village of ")
NEAR = re.compile(rf"\b(?:near|outside|downtown|north of|south of|east of|west of|outskirts of|suburb of|town of"
                  rf"|city of|village of) ({LOW}(?: {LOW})?)(?![\w'’])")
BRINGS = re.compile(rf"\b(?:what brings you (?:in )?from|welcome to|i live in|i'm from|i am from|hometown is"
                    rf"|hometown:|residence:|suburb:|district:|village:|locality:|address:|resides at|city:|town:"
                    rf"|county:|birthplace:|place of birth:"
                    rf"|location:) ({LOW}(?: {LOW})?)",
                    re.IGNORECASE)
BRINGS_PARTS = ("brings you", "welcome to", "i live in", "i'm from", "i am from", "hometown", "residence:", "city:",
                "suburb:", "district:", "village:", "locality:", "resides at", "address:", "town:", "county:",
                "birthplace:", "birth:", "location:")
SHOP_HEADS = ("Walgreens", "CVS", "Walmart", "Wal", "Costco", "Rite", "Boots", "Kroger", "Safeway", "Tesco",
              "Sainsbury", "Aldi", "Lidl", "Publix", "Whole", "Starbucks", "McDonald", "Home", "Duane", "Wegmans",
              "IKEA")
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
DEGREES = re.compile("NS|PE|SK|MB|NB|NL|NT|SA|ACT|TAS|WA|MD|PA|MA|DO|OR|OK|ME|IN|HI|DE|CT|AL|MS|ND|ID|CO|LA|PR|ON|MO"
                     "|NE|MT|VA|BC|AB|SC|NC")
RUN = re.compile(r"(?<![\w'’-])(?:St\.? )?[A-ZÀ-Þ][a-zà-ÿ][\w-]{0,30}(?: (?:(?:de|es|of|am"
                 r"|upon) )?[A-ZÀ-Þ][a-zà-ÿ][\w-]{0,30}){0,3}")
BEFORE_OF = re.compile(r" (?:of|the|and|for) ")
DIRECTIONS = {"upper", "lower", "east", "west", "north", "south", "new", "point", "camp", "villa"}


def spans(page: Page) -> Iterator[Span]:
    """Every place, in no order; they may overlap."""
    known = lists()
    yield from _streets(page, known)
    yield from _codes(page)
    yield from _houses(page, known)
    for part in (_land, _towns, _cities, forms.spans):
        yield from part(page, known)


def _addresses(page: Page) -> Iterator[re.Match[str]]:
    """Addresses: digits first, or at the digits after certain words."""
    text = page.text
    heads = [start for start, _ in page.numbers if HEAD.match(text, start)]
    for pattern in HOUSE_FIRST:
        yield from starting(pattern, text, heads)
    ends = [start for start, _ in page.numbers if text.endswith(GERMAN_ENDS, 0, start)]
    yield from near(GERMAN, text, ends, 100, 300)
    yield from starting(ABROAD, text, page.places(ABROAD_WORDS))
    yield from BOX.finditer(text) if "Box" in page.capital_words else ()
    yield from starting(FLAT, text, page.capitals_in(FLAT_WORDS))
    if not page.words.isdisjoint(LOWER_WAYS):
        yield from starting(LOWER_ADDRESS, text, (start for start, _ in page.numbers))


def _streets(page: Page, known: Lists) -> Iterator[Span]:
    """Addresses, streets and corners of streets."""
    text = page.text
    if page.numbers:
        for found in _addresses(page):
            if not found[0].islower() or AT.search(text, max(0, found.start() - 12), found.start()):
                yield _trimmed(text, found.start(), found.end())
    for founds in (near(STREET, text, page.capitals_in(STREET_WORDS), 150, 20),
                   starting(SAINT, text, page.capitals_in(SAINT_WORDS))):
        for found in founds:
            start = _specific(text, found.start(), found.end(), known)
            if " " in text[start:found.end()]:
                yield _trimmed(text, start, found.end())
    for found in CROSSING.finditer(text) if page.numbers and NTH.search(text) else ():
        names = (found[1].lower(), found[2].lower())
        if names[0][0].isdigit() != names[1][0].isdigit() and not known.general.intersection(names):
            yield Span(found.start(), found.end(), "place", rank=4)


def _codes(page: Page) -> Iterator[Span]:
    """Roads by their number, postcodes, and shops."""
    text = page.text
    coded = [at for start, _ in page.numbers if "A" <= text[start - 1:start] <= "Z"
             for at in (max(0, start - 2), start - 1)]
    shops = {word for word in page.capital_words if word.startswith(SHOP_HEADS)}
    for pattern, starts in ((ROUTE, page.capitals_in(ROUTE_WORDS)), (POSTCODE, coded), (SHOP, page.capitals_in(shops))):
        for found in starting(pattern, text, starts):
            yield Span(found.start(), found.end(), "place", rank=4)
    for found in starting(FIVE, text, (start for start, end in page.numbers if end - start == 5)):
        state = STATE_BEFORE.search(text, max(0, found.start() - 25), found.start())
        if state:
            yield Span(state.start(), found.end(), "place", rank=4)
    numbers = [start for start, _ in page.numbers] if page.is_any_in(ZIP_PARTS) else []
    for found in near(ZIP_SAID, text, numbers, 90, 20):
        yield Span(found.start(1), found.end(1), "place", rank=4)


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


def _houses(page: Page, known: Lists) -> Iterator[Span]:
    """Hospitals, schools, shops and the like with a name of their own."""
    text = page.text
    for found in starting(HOUSE_OF, text, page.capitals_in(HOUSE_OF_WORDS)):
        of = found.start() + max(found[0].find(" of "), found[0].find(" at "))
        if _specific(text, of, found.end(), known) < found.end():
            yield _trimmed(text, found.start(), found.end())
    for found in near(HOUSE_NAME, text, page.capitals_in(KIND_WORDS), 300, 300):
        start = _specific(text, found.start(1), found.end(1), known)
        is_named_after = bool(found[3].strip()) and not found[2].startswith(("Center", "Centre", "Home"))
        if start == found.end(1) and not is_named_after:
            continue
        start = start if start < found.end(1) else found.start(1)
        if not NOT_AFTER.match(text, found.end()) and _is_house(text[start:found.end(1)], found[2], known):
            yield _trimmed(text, start, found.end())
            yield from forms.town_after(text, found.end(), known)


def _is_house(name: str, kind: str, known: Lists) -> bool:
    """False where the name of a house is made of common words of medicine only."""
    words = [word.strip(".,").lower() for word in name.split()]
    telling = [word for word in words if word not in known.general and word != "&"]
    if kind in LOOSE_HOUSES:
        return any(word not in known.words or known.is_name(word) for word in telling)
    if kind not in WEAK_HOUSES:
        return bool(telling)
    return any(word not in known.terms or known.is_name(re.sub("['’]s$", "", word)) for word in telling)


def _land(page: Page, known: Lists) -> Iterator[Span]:
    """Named land and water."""
    text = page.text
    for found in near(LAND, text, page.capitals_in(LAND_WORDS), 150, 40):
        start = _specific(text, found.start(1), found.end(1), known)
        if start < found.end(1) and not NOT_AFTER.match(text, found.end()):
            yield _trimmed(text, start, found.end())
    for found in starting(LAND_BEFORE, text, page.capitals_in(LAND_FIRST)):
        name, words = found[0].lower(), found[0].lower().split()
        if words[-1] in known.general or not known.is_unknown(words[1]) or name in known.regions:
            continue
        is_local = words[0] not in DIRECTIONS or LOCAL.search(before(text, found.start(), 20))
        if is_local and not NOT_AFTER.match(text, found.end()):
            yield _trimmed(text, found.start(), found.end())


def _towns(page: Page, known: Lists) -> Iterator[Span]:
    """Towns by their state, and unlisted ones by the words before them."""
    text = page.text
    states = [at for at in page.capitals_in(STATE_WORDS) if text[at - 1:at] == " "]
    for found in near(CITY_STATE, text, states, 300, 80):
        start = _specific(text, found.start(1), found.end(1), known)
        town = text[start:found.end(1)].lower()
        is_sure = bool(found["zip"]) or town in known.cities
        is_state = (found["long"] and "," in found[0]) or (found["short"] and not DEGREES.fullmatch(found["short"]))
        is_words = all(known.is_other(word) for word in town.split())
        if town and (is_sure or (is_state and not is_words)):
            yield _trimmed(text, start, found.end())
    for found in _told_towns(page):
        words = found[1].split()
        if not known.is_unknown(words[-1].lower()) and known.is_unknown(words[0].lower()):
            words = words[:1]
        town, end = " ".join(words), found.start(1) + len(" ".join(words))
        if _is_new_town(town.lower(), known) and not NOT_AFTER.match(text, end):
            yield _trimmed(text, found.start(1), end)


def _told_towns(page: Page) -> Iterator[re.Match[str]]:
    """What may be a town by the words before it."""
    text = page.text
    ends = [at for at, _ in page.capitals if text[at - 1:at] == " "]
    yield from within(WHERE, text, ((_words_back(text, at), at + 100) for at in ends
                                    if text.endswith(WHERE_ENDS, 0, at)))
    yield from BRINGS.finditer(text) if page.is_any_in(BRINGS_PARTS) else ()
    yield from near(NEAR, text, (at for at in ends if text.endswith(NEAR_ENDS, 0, at)), 20, 100)


def _words_back(text: str, at: int) -> int:
    """Where the words begin that a cue before a town can be made of."""
    for _ in range(8):
        at = max(0, text.rfind(" ", 0, at))
    return at


def _is_new_town(town: str, known: Lists) -> bool:
    if town in known.cities:
        return True
    words = town.split()
    return town not in known.regions and not known.is_name(words[0]) and all(
        known.is_unknown(word) or word in known.cities for word in words)


def _cities(page: Page, known: Lists) -> Iterator[Span]:
    """Listed cities; those that are also names or other words only where words around speak for them."""
    text = page.text
    if known.city_heads.isdisjoint(page.low.split()) and known.city_heads.isdisjoint(page.words):
        return
    for run in starting(RUN, text, (at for at, _ in page.capitals)):
        if known.city_heads.isdisjoint(run[0].lower().split(" ")):
            continue
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
