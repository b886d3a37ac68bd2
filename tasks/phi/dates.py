"""Where a text holds dates that are finer than a year, and ages over 89."""

import re
from collections.abc import Iterator, Sequence

from tasks.phi.page import Page, near, starting
from tasks.phi.span import Span, before
from tasks.phi.words import lists

MONTHS = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
          "december")
SURE = {"january", "february", "july", "september", "october", "november", "december"}     # no name, no other word
SHORT = r"jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec"
MONTH = re.compile(rf"(?<![A-Za-z])(?:{'|'.join(MONTHS)}|{SHORT})(?![a-z])", re.IGNORECASE)
MONTH_WORDS = {*MONTHS, *SHORT.replace("sept?", "sep|sept").split("|")}
ONES = r"first|second|third|fourth|fifth|sixth|seventh|eighth|ninth"
ORDINAL = (rf"(?:{ONES}|tenth|eleventh|twelfth|(?:thir|four|fif|six|seven|eigh|nine)teenth|twentieth|thirtieth"
           rf"|twenty[ -](?:{ONES})|thirty[ -]first)")
ORDINAL_WORDS = {*ONES.split("|"), "tenth", "eleventh", "twelfth", "twentieth", "thirtieth", "twenty", "thirty", *(
    f"{one}teenth" for one in ("thir", "four", "fif", "six", "seven", "eigh", "nine"))}
CARDINAL = (r"(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|(?:thir|four|fif|six|seven|eigh"
            r"|nine)teen"
            r"|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety)")
DAY = r"(?:0?[1-9]|[12]\d|3[01])"
DAY_BEFORE = re.compile(rf"(?<![\w./:-])(?:{DAY}(?:st|nd|rd|th)?(?: day)?(?: of |[ .,/–-]{{0,2}})"
                        rf"|{ORDINAL}(?: day)? of |{DAY}(?:st|nd|rd|th)? ?(?:-|–|to|and|&) ?{DAY}(?:st|nd|rd"
                        rf"|th)? (?:of )?)$",
                        re.IGNORECASE)
NOT_UNIT = (r"(?! ?(?:mg|mcg|ml|kg|g\b|%|mm|cm|times|tablets?|percent|years?|yo\b|y/o|weeks?|days?|hours?|pounds"
            r"|lbs?|units?|more))")
DAY_AFTER = re.compile(rf"\.?[ /-]{{0,2}}(?:the )?(?:{DAY}(?:st|nd|rd|th)?(?: ?[-–] ?{DAY}(?:st|nd|rd|th)?)?"
                       rf"(?![\w:]|[.,/-]\d){NOT_UNIT}|{ORDINAL}\b)", re.IGNORECASE)
FULL_YEAR = re.compile(r"\.?(?:,? ?(?:of )?|[-/.])(?:1[89]|20)\d{2}(?![\w]|[.,]\d|-\d)"
                       r"|,? (?:of )?(?:two thousand(?: and)?|nineteen|twenty) "
                       rf"(?:(?:twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety)[ -]?)?{CARDINAL}?\b"
                       rf"|,? (?:of )?o[h']? ?{CARDINAL}\b"
                       rf"|,? of (?:twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety)(?:[ -]{CARDINAL})?\b",
                       re.IGNORECASE)
SHORT_YEAR = re.compile(r"(?: ?['’]|[-/]| )\d{2}(?![\w:%/]|[.,]\d)" + NOT_UNIT)
QUOTED_YEAR = re.compile(r"\.? ?['’]\d{2}(?![\w])|[-/]\d{2}(?![\w/-])")
IN_MONTH = re.compile(r"\b(?:in|since|until|till|til|by|from|through|thru|during|last|next|this|past|early|late"
                      r"|mid|middle of|end of"
                      r"|beginning of|start of|month of|each|every|before|after|around|of|between|around|starting"
                      r"|approximately)"
                      r"(?: about| early| late| mid| the)?[ -]$", re.IGNORECASE)
IN_LOWER = re.compile(r"\b(?:in|since|until|till|last|next|early|late|mid|during|from|of|middle of|end of)[ -]$",
                      re.IGNORECASE)
AUXILIARY = re.compile(r" (?:be|have|not)\b")
NEXT_MONTH = re.compile(rf" ?(?:,|and|or|to|through|until|/|-|–) ?(?:in )?(?:{'|'.join(m.title() for m in MONTHS)})\b")

THREE = re.compile(r"(?<![\w./-])(\d{1,4})([-/.])(\d{1,2})\2(\d{1,4})(?![A-SU-Za-z\d_]|[./-]\d)" + NOT_UNIT)
SPACED = re.compile(r"(?<![\w./-])((?:0?[1-9]|1[0-2]|[12]\d|3[01])) ?([-/.]) ?(\d{1,2}) ?\2 ?((?:19|20)\d{2})(?!\w)")
MONTH_YEAR = re.compile(r"(?<![\w./-])(?:0?[1-9]|1[0-2])(?:/|(?<=\d\d)[-.])(?:19|20)\d{2}(?![\w]|[./-]\d)" + NOT_UNIT)
MONTH_SHORT_YEAR = re.compile(r"(?<![\w./-])(?:0?[1-9]|1[0-2])/[0-9]{2}(?![\w/]|[.-]\d)")
YEAR_MONTH = re.compile(r"(?<![\w./-])(?:19|20)\d{2}[-/](?:0[1-9]|1[0-2])(?![\w]|[./-]\d)")
MONTH_DAY = re.compile(r"(?<![\w./,-])(\d{1,2})/(\d{1,2})(?![\w%]|[./]\d|/)"
                       r"(?! ?(?:tab|tablet|cup|pill|dose|pack|of |strength|power|murmur|mmhg|systolic|lymph"
                       r"|nodes?|hpf|day|week))", re.IGNORECASE)
DOTTED = re.compile(r"(?<![\w.,/-])(\d{1,2})\.(\d{1,2})\.(?=[,;:) ]|$)", re.MULTILINE)
COMPACT = re.compile(r"\b(?i:d\.?o\.?b\.?|date(?: of birth)?|birth ?date|born|collected|dated|admitted|discharged"
                     r"|signed)[:= ]{1,3}"
                     r"((?:19|20)\d{2}[01]\d[0-3]\d|[0-3]\d[0-3]\d(?:19|20)\d{2}|[01]\d[0-3]\d\d{2})(?!\w)")
DATE_CUE = re.compile(
    r"\b(?:on|since|from|until|till|til|before|after|through|thru|dated?|starting|started|began|begins?|due|visit"
    r"|appt|appointment"
    r"|surgery|op|seen|admit\w*|adm|discharged?|d/c|dc|lmp|dob|edd|last|next|[cd]\d{1,2}|cycle \d+|week of|labs?"
    r"|ct|mri|us|cxr|ekg"
    r"|ecg|echo|scan|x-?ray|biopsy|culture|f/u|follow-?up|refill\w*|done|drawn|performed|collected|received"
    r"|reported|signed|scheduled"
    r"|resulted|today|yesterday|tomorrow|by|vaccin\w*|shot|booster|return|rtc|deliver\w*|removed|placed|repeat"
    r"|recheck|transfused|ended"
    r"|stopped|onset|fell|injury|doi|dos|dov|session|treatment|chemo|call|note|report|updated|expires?|exp|filled"
    r"|written|rx|screen\w*"
    r"|mon|tues?|wed|thurs?|fri|sat|sun|monday|tuesday|wednesday|thursday|friday|saturday|sunday)\b[.,:(]?(?: the"
    r"| of)? ?\(?$",
    re.IGNORECASE)
SCORE = re.compile(r"\b(?:pain|scor\w+|scale|strength|power|murmur|grade\w*|rat(?:ed|ing|es)|vision|acuity"
                   r"|reflex\w*|apgar\w*|moca|mmse"
                   r"|mini-cog|nodes?|out of|ratio|bp|pressure|pulses?|stage|gcs|phq|gad|cores|quadrants"
                   r"|cycles? \d)\b[^.;\n]*$", re.IGNORECASE)
TO_DATE = re.compile(r" ?(?:-|–|to|through|thru|until) ?\d{1,2}/\d{1,2}(?![/\d])")
IS_LIST = re.compile(r"^(?:,|;|and|&|to|through|-|–|until|or|/|\s|C\d+|D\d+|then|again|on)*$", re.IGNORECASE)
DAY_ALONE = re.compile(
    rf"\b(?:home|review(?:ed)?|seen|appt|appointment|booked|due|scheduled|theatre|surgery|clinic|dc|d/c|discharged?"
    rf"|admitted|bloods|scan|list)"
    rf" ({DAY}(?:st|nd|rd|th))(?= ?[.,;:!?)]|$| (?:if|at|for|with|w/|am|pm|and)\b)|\b(?:on|by|since|until|till|from"
    rf"|through|before|after|(?:began|started|starts|arrived|due|admitted|left"
    rf"|came|happened|starting) (?=the)) ?(?:the )?((?:{DAY}(?:st|nd|rd|th)|{ORDINAL}))"
    r"(?= ?[.,;:!?)]|$| (?:of (?:the|this|last|next|that) month|of the|and(?! \w+(?:al|ar|ic)\b)|at|with|because"
    r"|when|but|if|w/|for (?:review|theatre|surgery|scan|bloods)|in the (?:morning|afternoon|evening)"
    r"|he|she|they|we|i|it|until|to|through|so|if|as|which|for)\b)", re.IGNORECASE)
DAY_OF_MONTH = re.compile(rf"\bthe ({DAY}(?:st|nd|rd|th)|{ORDINAL})(?= of (?:the|this|last|next|each|every"
                          rf"|that) month)", re.IGNORECASE)
HOLIDAY = re.compile(
    r"\b(?:Christmas(?: (?:Eve|Day))?|Xmas|Thanksgiving(?: Day)?|Easter(?: (?:Sunday|Monday))?|Halloween"
    r"|New Year['’]?s?(?:['’]? (?:Eve|Day))"
    r"|New Year['’]?s|Valentine['’]?s(?: Day)?|Independence Day|(?:Fourth|4th) of July|July (?:Fourth|4th)"
    r"|Labou?r Day|Memorial Day|Boxing Day"
    r"|(?:St\.?|Saint) Patrick['’]?s Day|Veterans['’]? Day|Juneteenth|Groundhog Day|Mother['’]?s Day"
    r"|Father['’]?s Day|President['’]?s['’]? Day"
    r"|Martin Luther King(?: Jr\.?)? Day|MLK Day|Columbus Day|Canada Day|Australia Day|Guy Fawkes(?: Night)?"
    r"|Bonfire Night|All Saints['’]? Day"
    r"|Epiphany|Bastille Day|May Day|Good Friday|Ash Wednesday|Palm Sunday|Hogmanay|Cinco de Mayo|Armistice Day"
    r"|Remembrance Day"
    r"|All Souls['’]? Day|Twelfth Night|Michaelmas|Anzac Day)\b|\b(?:christmas|thanksgiving|halloween|xmas"
    r"|new year['’]?s|easter)\b")
HOLIDAY_WORDS = {"christmas", "xmas", "thanksgiving", "easter", "halloween", "year", "years", "valentine", "valentines",
    "july", "day", "juneteenth", "fawkes", "night", "epiphany", "friday", "wednesday", "sunday", "hogmanay", "mayo",
                 "michaelmas"}

NUMBER_WORD = (r"(?:ninety(?:[ -](?:one|two|three|four|five|six|seven|eight|nine|first|second|third|fourth|fifth|sixth"
               r"|seventh|eighth|ninth))?|ninetieth|(?:one[ -])?hundredth"
               r"|(?:a|one) hundred(?:(?: and)?[ -](?:one|two|three|four|five|six|seven|eight|nine|ten|eleven"
               r"|twelve|thirteen|fourteen|fifteen))?)"
               r"(?:[ -]and[ -]a[ -]half)?")
OVER_89 = rf"(?:(?:9\d|1[01]\d)(?:[.,]\d| ?1/2|½)?(?![\d/.,-]\d)|{NUMBER_WORD})"
PERSON = (r"(?:he|she|i|who|shes|hes|theyre|im|they|him|her|s?he|mother|father|moms?|mums?|dads?|mam|mammy|mummy|mama"
          r"|papa|grans?|grann?y|nana?|nans|grandma|grandpa|grandad"
          r"|granddad|gramps|grammy|oma|opa|nonn[ao]|abuel[ao]|yiayia|bubbe|babcia|dadi|nani|great-\w+|mother-in-law"
          r"|father-in-law"
          r"|spouse|partner|son|daughter|fianc[eé]e?|[mp]gf|[mp]gm|gf|gm|mil|fil|nonagenarian|centenarian"
          r"|supercentenarian|pensioner"
          r"|retiree|carer|caregiver|householder|proband|great-?aunt|great-?uncle"
          r"|grand(?:mother|father)|aunt|uncle"
          r"|sister|brother|husband|wife|patient|pt|man|woman|lady|gentleman|neighbou?r|resident|friend|client"
          r"|widow(?:er)?|veteran|twin"
          r"|cousin|person|one|male|female|grandparent|great-\w+|caller|donor|recipient)")
UNIT_AFTER = re.compile(r" ?(?:%|percent|kg|lbs?\b|pounds|bpm|beats|mm|cm|mg|mcg|ml|degrees|°|over|/|points?"
                        r"|minutes?|hours?"
           r"|days?|weeks?|months?|times"
           r"|feet|miles|centimeters|inches|meters|mmhg|f\b|c\b|celsius|fahrenheit|dollars|cents|on (?:room|ra|2|3"
           r"|4)\b|stairs|steps|beds|patients|people|cases|units|k\b)", re.IGNORECASE)
STRONG_AGE = re.compile(r"\b(?:aged?(?: of)?|ages|age ?/ ?(?:sex|gender)|(?:current |patient )?age ?\((?:in )?(?:yrs?"
                        r"|years|y)\)|age in years|ripe old age of"
                        r"|(?:li(?:ved|ves?|ving)|survived) (?:to|until|till|past)(?: be)?|(?:died|dead|deceased"
                        r"|dec['’]?d|(?<=[a-z] )d\.?|death|passed"
                        r"(?: away)?|alive|still (?:alive|living|well|going|driving|working|independent|active)"
                        r"|alive and well|well|living|widowed|demise)(?: at|,)?"
                        r"(?: age)?|celebrat\w+ (?:(?:his|her|their|my|a) )?|died at|passed(?: away)? at"
                        r"|age at \w+|turn(?:s|ed|ing)?|turning|death at"
                        r"|at the age of)[ :(=-]{0,3}(?:just |only |about |nearly |almost )?$", re.IGNORECASE)
IS_PERSON = re.compile(rf"\b{PERSON}(?:,? (?:\w+,? ){{0,2}})?(?:(?<=hes)|(?<=im)|(?<=mums)|(?<=moms)|(?<=dads)"
                       rf"|(?<=grans)|(?<=nans)|(?<=theyre)|'s|’s|'ll be|’ll be|'m|’m|'re|is|was|am|are"
                       rf"|will (?:soon )?be|would be|turned|turns|reached|reaches|hit|hits|lived to|made it to"
                       rf"|pushing|nearing|approaching|of|must be"
                       r"|has turned|has reached|have turned|'d be|’d be|'d be|just turned|about to turn|about to be"
                       r"|due to turn"
                       r"|has been|recently|just|being|now|at)(?: now| already| just| only| nearly| almost| about"
                       r"| still| soon| turning| turned"
                       r"| going to be| over| \w+ly){0,2} $", re.IGNORECASE)
AFTER_AGE = re.compile(r"(?:st|nd|rd|th)?[ -]{0,2}(?:(?:y(?:ea)?rs?|years?|y)[ .-]{0,2}(?:old|of age|o\b|young)"
                       r"|y\.?/?o\b|yr?/o\b|y\.o\.|years? of age|yo[mf]?\b"
                       r"|y\b(?= ?[)/,])|[mf]\b(?! ?\d)|(?:-year-old)|[ -]?y[ /.-]{0,2}o(?:ld)?\b"
                       r"|[ -]?yrs?\b(?= ?(?:[,;)]|male|female|m\b|f\b|lady|man\b|woman"
                       r"|gentleman|w/|with|who|$))|[ -]?years?,? (?=(?:male|female|lady|gentleman|woman|man)\b)"
                       r"|,? ?/ ?(?:m|f|male|female)\b"
                       r"|[ -]?y[mf]\b|,? (?:wm|wf|bm|bf|af|am(?= with)|male|female|lady|gentleman)\b(?! (?:patients"
                       r"|rats|mice|infants)))", re.IGNORECASE)
BIRTHDAY = re.compile(r"(?:(?:st|nd|rd|th)\b|(?<=[a-z])) (?:birthday|b-?day)", re.IGNORECASE)
NTH_YEAR = re.compile(r"(?:st|nd|rd|th)? year\b", re.IGNORECASE)
POSSESSIVE = re.compile(r"\b(?:his|her|their|my|your|the patient['’]s) $", re.IGNORECASE)
HERE = (r"(?= ?(?:[.,;:)!?\n]|$| -| –)| (?:and|but|with|who|on|now|next|this|last|today|in|lives?|living|is|was|both"
       r"|also|from|c/o|w/|with|after|post|c)\b)")
AGE_END = re.compile(HERE, re.IGNORECASE)
BY_PERSON = re.compile(r"(?:\b(?:mother|father|mom|mum|dad|gran|grandma|grandpa|grand(?:mother|father)|aunt|uncle"
                       r"|sister|brother|husband|wife"
                       r"|spouse|partner|nan|nana|widow(?:er)?|[mp]g[mf]|mil|fil|neighbou?r|lady|gentleman"
                       r"|nonagenarian|centenarian|shes|hes)"
                       r"|(?:^|[.;:,\n] ?|\b(?:the|this|our|elderly|female|male|frail|nh) )(?:pt|patient|resident"
                       r"|client|man|woman|female|male))"
                       r"(?:,| is| now|:)? \(?$", re.IGNORECASE)
HALF_SEX = re.compile(r"(?<!\w)[mf] ?/ ?$|\((?:[mf]|male|female), $", re.IGNORECASE)
IN_BRACKETS = re.compile(r"\b([A-ZÀ-Þ][a-zà-ÿ]+) \($")
NOT_NUMBERED = re.compile(r"[,.;:)](?! ?\d)|\n|$")
STUDIED = re.compile(r"patient:? ?\(?$", re.IGNORECASE)
AT_AGE = re.compile(r"(?:^|[.;:,!?]|\b(?:now|still|and|but|even|that)) ?(?:at|now|already|only|just) $", re.IGNORECASE)
SUBJECT = re.compile(r",? (?:s?he|i|they|we|my|his|her|the (?:patient|lady|gentleman)|mum|mom|dad|gran"
                     r"|(?-i:[A-Z][a-z]+) (?:still|is|was|lives|has))\b", re.IGNORECASE)
FRAIL = re.compile(r", (?:lives?|living|frail|retired|widow\w*|male|female|independent|admitted|fell|found|c/o"
                   r"|from (?:home|nh|a )|bed-?bound|house-?bound"
                   r"|nursing home|wheelchair|still (?:drives?|lives|works?))\b", re.IGNORECASE)
AGE = re.compile(rf"(?<![\w.,:$#-])(?<![^MFmf]/)(?<!\w[MFmf]/){OVER_89}(?!\d|(?<=[a-z])(?:\w|[ -]?{CARDINAL}\b"
                 rf"|[ -]?fifty|[ -]ninety))",
                 re.IGNORECASE)
SEX = re.compile(r",? ?(?:[mMfF]|male|female|[wb][mf])\b(?!,? (?:and )?\d)")
SEX_NEXT = re.compile(r",? (?:[mMfF]|male|female|[wb][mf])\b")
OPENING = re.compile(r"(?:\b(?:an?|this|the|pt|patient|is|old)|[,;(:|]) ?$", re.IGNORECASE)
NAMED = re.compile(r"\b([A-Z][a-z]+) (?:is|was|turned|turns|will be|just turned|is now|is turning) $"
                   r"|\b([A-Z][a-z]+), $")
IN_COMMAS = re.compile(rf"\b{PERSON}, $", re.IGNORECASE)
TEMPERATURE = re.compile(r"\b(?:temp\w*|t|tmax|fever|sat\w*|rate|hr|pulse|o2|spo2|bp|oxygen|weighs?|weight|glucose"
                         r"|sugar|ht|wt|up to)\b[^.;\n]{0,15}$", re.IGNORECASE)


def spans(page: Page) -> Iterator[Span]:
    """Every date and every age over 89, in no order; they may overlap."""
    text = page.text
    for start in page.places(MONTH_WORDS):
        found = MONTH.match(text, start)
        span = _around_month(text, start, found.end()) if found else None
        if span:
            yield span
    for found in near(HOLIDAY, text, page.places(HOLIDAY_WORDS), 40, 40):
        yield Span(found.start(), found.end(), "date", rank=3)
    marked = [start for start, end in page.numbers if text[end:end + 1] in "-/."]
    for pattern in (YEAR_MONTH, MONTH_YEAR):
        for found in starting(pattern, text, marked):
            yield Span(found.start(), found.end(), "date", rank=3)
    days = sorted([*page.places(ORDINAL_WORDS), *(
        start for start, end in page.numbers if page.low[end:end + 2] in ("st", "nd", "rd", "th"))])
    for pattern in (DAY_ALONE, DAY_OF_MONTH):
        for found in near(pattern, text, days, 60, 80):
            yield Span(found.start(found.lastindex or 0), found.end(found.lastindex or 0), "date", rank=3)
    for found in near(COMPACT, text, (start for start, end in page.numbers if end - start in (6, 8)), 40, 12):
        yield Span(found.start(1), found.end(1), "date", rank=3)
    yield from _numeric(page, marked)
    yield from _ages(page)


def _around_month(text: str, start: int, end: int) -> Span | None:
    """The date that a month's name belongs to, or None where it is another word or a person's name."""
    name = text[start:end]
    is_lower, word = name[0].islower(), name.lower()
    if name.isupper() and text[end:end + 1].isdigit() and not text[start - 1:start].isdigit():
        return None                             # SEPT9 is a gene
    left = before(text, start, 40)
    day = DAY_BEFORE.search(left)
    is_verb = is_lower and word in ("may", "march", "mar")
    if day and not (is_verb and not re.search(r"(?:st|nd|rd|th| of) ?(?:of )?$", day[0])):
        return Span(start - len(left) + day.start(), _year_end(text, end, is_day_there=True), "date", rank=3)
    year = FULL_YEAR.match(text, end)
    if year:
        return Span(start, year.end(), "date", rank=3)
    after = DAY_AFTER.match(text, end)
    if after and after[0].strip(" .") and not (is_verb and not re.search(r"(?:th|st|nd|rd|[a-z])$", after[0])):
        return Span(start, _year_end(text, after.end(), is_day_there=False), "date", rank=3)
    quoted = QUOTED_YEAR.match(text, end)
    if quoted and not is_lower:
        return Span(start, quoted.end(), "date", rank=3)
    if word in SURE or (is_lower and IN_LOWER.search(left) and word in MONTHS and not AUXILIARY.match(text, end)):
        return Span(start, end, "date", rank=3)
    if not is_lower and (IN_MONTH.search(left) or (word in MONTHS and NEXT_MONTH.match(text, end))) and not re.match(
            r"['’]s\b| [A-Z][a-z]", text[end:end + 3]):
        return Span(start, end, "date", rank=3)
    return None


def _year_end(text: str, end: int, is_day_there: bool) -> int:
    """Where a date ends that may go on with its year."""
    year = FULL_YEAR.match(text, end) or (SHORT_YEAR if is_day_there else QUOTED_YEAR).match(text, end)
    return year.end() if year else end


def _numeric(page: Page, marked: Sequence[int]) -> Iterator[Span]:
    """The dates of numbers. marked: where numbers with a mark behind them begin."""
    text = page.text
    spaced = [start for start, end in page.numbers if text[end:end + 1] in "-/. "]
    for pattern, starts in ((THREE, marked), (SPACED, spaced)):
        for found in starting(pattern, text, starts):
            if is_date(found[1], found[3], found[4]):
                yield Span(found.start(), found.end(), "date", rank=3)
    last = -1                                   # where the last date of a list ended: "1/5, 1/26 and 2/16"
    for found in starting(MONTH_DAY, text, marked):
        month, day = sorted((int(found[1]), int(found[2])))
        if not (1 <= month <= 12 and day <= 31):
            continue
        left = before(text, found.start(), 40)
        goes_on = last >= 0 and found.start() - last < 12 and IS_LIST.match(text[last:found.start()])
        begins = DATE_CUE.search(left) or TO_DATE.match(text, found.end())
        if goes_on or (begins and not SCORE.search(left)):
            yield Span(found.start(), found.end(), "date", rank=3)
            last = found.end()
    for found in starting(DOTTED, text, marked):
        first, second = int(found[1]), int(found[2])
        if 1 <= first <= 31 and 1 <= second <= 12 and DATE_CUE.search(before(text, found.start(), 40)):
            yield Span(found.start(), found.end(), "date", rank=3)


def is_date(first: str, second: str, third: str) -> bool:
    """True for the parts of a date in any of the usual orders."""
    a, b, c = int(first), int(second), int(third)
    if len(first) == 4:
        return 1800 <= a <= 2199 and 1 <= b <= 12 and 1 <= c <= 31
    if len(first) > 2 or len(third) not in (2, 4) or (len(third) == 4 and not 1800 <= c <= 2199):
        return False
    return 1 <= min(a, b) <= 12 and 1 <= max(a, b) <= 31


def _ages(page: Page) -> Iterator[Span]:
    text = page.text
    starts = [start for start, _ in page.numbers if text[start] in "91"]
    if page.is_any_in(("ninety", "hundred")):
        starts = sorted([*starts, *page.places(("ninety", "a", "one"))])
    for found in starting(AGE, text, starts):
        left, right = before(text, found.start(), 50), text[found.end():found.end() + 24]
        if _is_age(left, right):
            yield Span(found.start(), found.end(), "age over 89", rank=3)


def _is_age(left: str, right: str) -> bool:
    """Whether a number between these texts is an age."""
    if AFTER_AGE.match(right):
        if right[:1] in "fF" and TEMPERATURE.search(left):
            return False
        return not SEX_NEXT.match(right) or (bool(SEX.match(right)) and _opens(left))
    if BIRTHDAY.match(right) or (NTH_YEAR.match(right) and POSSESSIVE.search(left)):
        return True
    if UNIT_AFTER.match(right):
        return False
    if AGE_END.match(right) and (HALF_SEX.search(left) or (
            BY_PERSON.search(left) and (NOT_NUMBERED.match(right) or not STUDIED.search(left)))):
        return True
    bracket = IN_BRACKETS.search(left) if right[:1] == ")" else None
    if bracket and lists().is_given(bracket[1].lower()):
        return True
    if SUBJECT.match(right) and AT_AGE.search(left) or FRAIL.match(right) and _opens(left):
        return True
    is_of_person = IS_PERSON.search(left) or _is_named(left) or (right[:1] == "," and IN_COMMAS.search(left))
    return bool(STRONG_AGE.search(left)) or (bool(is_of_person) and not TEMPERATURE.search(left))


def _is_named(left: str) -> bool:
    """True after "Rosa is" and the like."""
    found = NAMED.search(left)
    return bool(found and lists().is_name((found[1] or found[2]).lower()))


def _opens(left: str) -> bool:
    """True where "93 F" is an age and a sex: at the beginning, or after an article."""
    return not left.strip() or bool(OPENING.search(left))
