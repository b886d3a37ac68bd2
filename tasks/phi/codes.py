"""Where a text holds numbers and codes that a label gives a kind, and pictures of faces."""

import re
from collections.abc import Iterator

from tasks.phi import tables
from tasks.phi.contact import PHONE
from tasks.phi.dates import is_date
from tasks.phi.labels import LABELS
from tasks.phi.page import Page, near, starting
from tasks.phi.span import Span, before


def _alternation() -> str:
    """All labels in one expression, those of one first letter together: most places are left after a look at it."""
    free: dict[bool, list[str]] = {True: [], False: []}
    letters: dict[str, list[str]] = {}
    for is_sure in (True, False):
        for number, labels in enumerate(LABELS.values()):
            chosen = [label.lstrip("!") for label in labels if label.startswith("!") == is_sure]
            name = f"{'s' if is_sure else 'w'}{number}"
            heads = {label[0] for label in chosen if label[0].isalpha()}
            for head in sorted(heads):
                rest = "|".join(label[1:] for label in chosen if label[0] == head)
                letters.setdefault(head, []).append(f"(?P<{name}_{head}>{rest})")
            rest = "|".join(label for label in chosen if not label[0].isalpha())
            free[is_sure] += [f"(?P<{name}_>{rest})"] if rest else []
    by_letter = [f"{head}(?:{'|'.join(groups)})" for head, groups in letters.items()]
    return "|".join([*free[True], *by_letter, *free[False]])


KINDS = tuple(LABELS)
LABEL = re.compile(rf"(?<![a-z0-9])(?:{_alternation()})(?![a-z])")       # of lower case
NUMBER_WORD = (r"(?:numbers?|nos?\.|no|nrs?\.?|num\.?|nbr|#|№|ids?|i\.d\.|identifiers?|identification|codes?|tags?"
               r"|card|ref(?:erence)?|key|"
               r"template|address|label|print)")
GAP = re.compile(rf"(?:[ \t]{{0,3}}(?:[:=#,(|\"“«–*-]|\.(?=[ :#])|(?:{NUMBER_WORD}|is|was|reads?|as|the|of|on"
                 rf"|ending(?: in)?|ends in|starting|"
                 r"said|given|noted|listed|recorded|registered|stored|under|same|his|her|my|your|our|their|says|shows?"
                 r"|file|called|"
                 r"scanned|labell?ed|marked|new|old|current|full|last four(?: digits)?|last 4)(?![A-Za-z/-])))"
                 r"{0,7}[ \t]{0,3}", re.IGNORECASE)
MARKER = re.compile(rf"(?<![A-Za-z])(?:{NUMBER_WORD}|is|was|reads?|ending|ends)(?![A-Za-z])|[#:=№]|\($", re.IGNORECASE)
FAR_GAP = re.compile(r"(?:[ \t]+[A-Za-z'’]{1,15}){1,8}?[ \t]+(?:is|was|reads?|as|says|said|shows|number|no\.?|code|id"
                     r"|template)[ \t:#]{1,3}", re.IGNORECASE)
LETTERS_GAP = re.compile(r"(?:[ \t]+[A-Za-z'’]{2,15}){1,3}[ \t]+(?=[A-Z]{0,4}-?\d)")
TOKEN = re.compile(r"[*#(]?[A-Za-z0-9]{1,40}(?:[-/.*_:#][A-Za-z0-9]{1,40}){0,8}\*?")
NOT_AFTER = re.compile(r"\s?(?:m?c?g\b|mcg|ml|mm\b|cm\b|kg|iu\b|%|years?|yo\b|days?|weeks?|months?|hours?|patients"
                       r"|people|times|participants|subjects|samples"
                       r"|women|men\b|children|cases|adults|genes|points?|dollars|x\b|/min|bpm|degrees|controls"
                       r"|infants|of (?:the|these|them)|families"
                       r"|individuals|specimens|minutes?|tablets?|doses?)|,\d{3}\b|\.\d", re.IGNORECASE)
YEAR = re.compile(r"(?:1[89]|20)\d{2}(?:[-/–](?:(?:1[89]|20)?\d{2}))?")
DATE = re.compile(r"(\d{1,4})([-/.])(\d{1,2})\2(\d{1,4})(?:T\d\w*)?|\d{1,2}/\d{2,4}"
                  r"|\d{1,2}(?i:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)\d{2,4}(?: \d{1,4})?")
DIGITS = re.compile(r"\d(?:[ ./*_-]{0,3}[A-Za-z]{0,4}[ ./*_-]{0,3}\d){1}[^\n]?")
HEAD_END = re.compile(r"[ _.]{0,2}(?:no|number|num|#|id|code|ref)\.?")
NUMBER_END = re.compile(r"\b(?:no|number|num|#|id|code|ref)$", re.IGNORECASE)
WINDOW = 120                                    # characters before digits in which a label is looked for
GENERAL = {"id", "identifier", "ref", "ref.", "reference", "bracelet", "wristband", "bed tag", "register", "scan",
    "box", "order", "pin",
    "barcode", "service", "notes"}                  # labels that another one right before them tells more than
NUMBER_SAID = re.compile(r"[#№]|\b(?:no|num\w*|id)\b", re.IGNORECASE)
REGISTRY = re.compile(r"(?:NCT|ISRCTN|EudraCT|PMID|PMC|ACTRN|ChiCTR|DOI|10\.\d{4})", re.IGNORECASE)
TRAILING = {"vehicle": 5, "licence number": 5, "health plan number": 2}      # letters of capitals behind the digits
RULES = {"vehicle": (2, 5)}                     # fewest digits, fewest letters and digits of a code; else 3, 3

BARE = {
    "social security number": re.compile(r"(?<![\w-])(?:\d{3}-\d{2}-\d{4}|[xX*]{3}-[xX*]{2}-\d{4})(?![\w-])"),
    "vehicle": re.compile(r"(?<![\w-])(?=[A-Z]*\d)(?=\d*[A-Z])[A-HJ-NPR-Z0-9]{11}[A-HJ-NPR-Z0-9]{2}\d{4}(?![\w-])"),
    "device": re.compile(r"(?<![\w:-])(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}(?![\w:-])"
                         r"|(?<!\w)\(01\)\d{14}(?:\(\d{2}\)[\w-]{1,20}){0,4}"),
    "account number": re.compile(r"(?<![\w-])(?:\d{4}[ -]\d{4}[ -]\d{4}[ -]\d{4}"
                                 r"|[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?)(?![\w-])"),
    "licence number": re.compile(r"(?<![\w-])[A-Z]{5}[ ]?\d{6}[ ]?[A-Z]{2}\d[A-Z]{2}(?!\w)"),
}
DEVICE_MARKS = re.compile(r"[:-][0-9A-Fa-f]{2}[:-][0-9A-Fa-f]{2}[:-]")
WORD_NEXT = re.compile(r" [a-z]|[.,]\d|[/-]")
PLATE = re.compile(r"(?<![\w-])[A-Z]{2}\d{2} ?[A-Z]{3}(?![\w-])")
CAR = re.compile(r"\b(?:car|van|bike|motor\w*|scooter|taxi|cab|lorry|truck|vehicle|drives?|drove|driving|driver"
                 r"|parked|parking|ford|toyota|honda"
                 r"|nissan|vauxhall|bmw|audi|vw|volkswagen|golf|fiesta|corsa|astra|mini|kia|hyundai|mazda|renault"
                 r"|peugeot|citroen|fiat|skoda"
                 r"|seat|volvo|mercedes|tesla|jeep|land rover|suzuki|ambulance|blue badge|hit by|collision|rtc|mva)\b",
                 re.IGNORECASE)
NINO = re.compile(r"[A-Z]{2} ?\d{2} ?\d{2} ?\d{2} ?[A-D]\b")
LINK = re.compile(r"(?:,? (?:and|&|or|plus|then|to) |, ?|; ?| ?/ )")
SPACED_DIGITS = re.compile(r"\d(?:[ -]{0,3}\d){7,10}(?!\d)")
HIDDEN = re.compile(r"[xX*•-]{0,12}\d{4}\b")

PICTURE_FILE = re.compile(r"(?<![\w./-])[\w-]{1,80}\.(?:png|jpe?g|heic|heif|tiff?|bmp|gif|webp|raw|cr2|dng)\b",
                          re.IGNORECASE)
PICTURE_ENDS = (".png", ".jp", ".hei", ".tif", ".bmp", ".gif", ".webp", ".raw", ".cr2", ".dng")
FACE = re.compile(r"(?:^|[^a-z])(?:face|facial|portrait|selfie|headshot|head_shot|frontal|mugshot|mug|profile"
                  r"|passport|full_?face|smile|patient_?photo"
                  r"|id_?photo|photo_?id|bust)(?:[^a-z]|$)|face(?:photo|pic|shot)|facephoto|(?:pt|patient)(?:photo"
                  r"|pic)|portrait|selfie|headshot|mugshot", re.IGNORECASE)
OTHER_PART = re.compile(r"(?:knee|hand|foot|wound|mri|ct|xray|x-ray|chest|leg|arm|back|rash|ecg|ekg|skin|hip|ulcer"
                        r"|lesion|mole|scan|spine|abd|shoulder|wrist"
                        r"|ankle|echo|nail|toe|finger|tongue|slide|graph|chart|logo|figure|fig)", re.IGNORECASE)
OF_PERSON = re.compile(r"\b(?:face|facial|portrait|selfie|headshot|patient['’]?s? (?:photo|picture)|(?:photo"
                       r"|picture|image)s? of (?:the )?(?:patient|him|her|me)"
                       r"|photo(?:graph)?s?|pictures?|snapshot)\b[^.\n]{0,30}$", re.IGNORECASE)
PICTURE_WORDS = re.compile(
    r"\b(?:selfies?|head ?shots?|mug ?shots?|(?:full[ -]face |facial |face |passport |profile |identity |frontal "
    r"|portrait )(?:photo(?:graph)?s?|pictures?|images?|"
    r"pics?|snapshots?|portraits?)|(?:photo(?:graph)?s?|pictures?|pics?|images?|snapshots?) of (?:(?:his|her|my"
    r"|your|their|the|patient['’]s|child['’]s|baby['’]s) "
    r"){1,3}(?:whole |full |entire |swollen |smiling )?(?:face|head and shoulders)|(?:photo(?:graph)?s?"
    r"|pictures?) of the (?:patient|child|baby|boy|girl|man|woman)\b"
    r"|(?:portrait|photo(?:graph)?|picture)s?(?: (?:is|are|was|were))?(?= (?:enclosed|attached|on file"
    r"|in (?:the )?(?:chart|file|record)|taken at admission|"
    r"taken at registration|taken for the chart)))(?:(?: (?:is|was|are|were))? (?:enclosed|attached|appended"
    r"|included|uploaded|on file|to follow))?\b", re.IGNORECASE)
PICTURES = frozenset(f"{word}{end}" for word in (
    "selfie", "shot", "headshot", "mugshot", "photo", "photograph", "picture", "pic", "image", "snapshot", "portrait")
    for end in ("", "s"))
PORTRAIT = re.compile(r"\bportraits?\b(?! of (?:health|a disease))", re.IGNORECASE)
IDENTITY = re.compile(r" (?:ID|id|identification)\b")
NO_PICTURE = re.compile(r"(?:x-?ray|mri|ct|wound|knee|skin|old|stick) $", re.IGNORECASE)


def spans(page: Page) -> Iterator[Span]:
    """Every span of these kinds, in no order; they may overlap."""
    nearest: dict[int, Span] = {}               # by where a code begins: the label right before it counts
    for found in _labels(page):
        group = found.lastgroup or ""
        span = _after_label(page, found.end(), KINDS[int(group[1:].partition("_")[0])], group.startswith("s"))
        if span and not (span.start in nearest and found[0] in GENERAL):
            nearest[span.start] = span
    for span in nearest.values():
        yield span
        yield from _listed(page.text, span)
    for kind, starts in _starts(page).items():
        for found in starting(BARE[kind], page.text, starts):
            yield Span(found.start(), found.end(), kind, False, 3)
    yield from tables.spans(page, _kind, _marked_code)
    yield from _plates(page)
    yield from _pictures(page)


def _kind(label: str) -> str | None:
    """The kind of code that a label alone stands for."""
    found = LABEL.match(label)
    is_whole = found and (found.end() == len(label) or HEAD_END.fullmatch(label, found.end()))
    if not found or not is_whole or not (found.lastgroup or "").startswith("s"):
        return None
    kind = KINDS[int((found.lastgroup or "")[1:].partition("_")[0])]
    return None if kind == "other number" and not NUMBER_END.search(label) else kind


def _marked_code(text: str, at: int, kind: str) -> Span | None:
    return _code(text, at, kind, True, True)


def _listed(text: str, span: Span) -> Iterator[Span]:
    """The codes of the same form that follow one: "samples S-79144 and S-16543"."""
    shape = _shape(text[span.start:span.end])
    for _ in range(8):
        link = LINK.match(text, span.end)
        if not link:
            return
        end = _code_end(text, link.end(), span.kind)
        if _shape(text[link.end():end]) != shape:
            return
        span = Span(link.end(), end, span.kind, rank=1)
        yield span


def _shape(code: str) -> str:
    return re.sub("[A-Za-z]+", "A", re.sub(r"\d+", "9", code))


def _starts(page: Page) -> dict[str, list[int]]:
    """Where codes of their own form can begin: at some distance before digits."""
    text = page.text
    starts: dict[str, list[int]] = {kind: [] for kind in BARE}
    for start, end in page.numbers:
        size = end - start
        if size in (3, 4):
            starts["social security number"] += [max(0, start - 7), start]
        if size >= 4:
            starts["vehicle"].append(max(0, end - 17))
        if size == 4:
            starts["account number"].append(start)
        if size >= 2:
            starts["account number"].append(max(0, start - 2))
        if size == 6:
            starts["licence number"] += [max(0, start - 6), max(0, start - 5)]
    for kind in starts:
        starts[kind].sort()
    if "(01)" in text or DEVICE_MARKS.search(text):
        starts["device"] = list(range(len(text)))
    return starts


def _labels(page: Page) -> Iterator[re.Match[str]]:
    """The labels on a line before digits: elsewhere none is worth a look."""
    text, end = page.text, 0
    for found in DIGITS.finditer(text) if page.numbers else ():
        start = max(end, text.rfind("\n", end, found.start()) + 1, found.start() - WINDOW)
        low = max(end, start - 60)              # of a run of signs without end
        while start > low and text[start - 1].isalnum():
            start -= 1
        for label in LABEL.finditer(page.low, start, found.start() + 1):
            yield label
            end = label.end()
        end = max(end, start)


def _after_label(page: Page, at: int, kind: str, is_sure: bool) -> Span | None:
    """The code that follows a label which ends at this place."""
    text = page.text
    gap = GAP.match(text, at)
    assert gap
    is_marked = bool(MARKER.search(gap[0]) or NUMBER_END.search(text, max(0, at - 10), at))
    span = _code(text, gap.end(), kind, is_marked, is_sure)
    if span or not is_sure:
        return span
    far = FAR_GAP.match(text, at)
    if far and all(one[0] in GENERAL for one in LABEL.finditer(page.low, at, far.end())):
        return _code(text, far.end(), kind, True, True)
    near = LETTERS_GAP.match(text, at)
    return _code(text, near.end(), kind, False, True) if near else None


def _code(text: str, at: int, kind: str, is_marked: bool, is_sure: bool) -> Span | None:
    """The code that begins here, if what stands here looks like one for its kind."""
    if kind == "social security number":
        found = NINO.match(text, at) or SPACED_DIGITS.match(text, at) or HIDDEN.match(text, at)
        return Span(found.start(), found.end(), kind, rank=1) if found else None
    start, end = at, _code_end(text, at, kind)
    value = text[start:end]
    digits, signs = sum(c.isdigit() for c in value), sum(c.isalnum() for c in value)
    fewest_digits, fewest = RULES.get(kind, (3, 3))
    if digits < fewest_digits or signs < fewest or NOT_AFTER.match(text, end) or REGISTRY.match(value):
        return None
    date = DATE.fullmatch(value)
    if YEAR.fullmatch(value) or (date and (not date[1] or is_date(date[1], date[3], date[4]))):
        return None
    if not is_marked and kind in ("device", "other number", "account number") and PHONE.match(text, start):
        return None
    if not is_marked and is_sure and not (signs >= 6 or (re.search(r"[A-Za-z]", value) and signs >= 5)):
        return None
    if not is_sure and not is_marked and not (signs >= 6 and (value[0] == "0" or re.search(r"[A-Z]", value))):
        return None
    if not is_sure and signs < 5 and not NUMBER_SAID.search(text, max(0, at - 12), at):
        return None
    start += len(value) - len(value.lstrip("(#")) if value[0] == "(" else 0
    return Span(start, end, kind, rank=1)


def _code_end(text: str, at: int, kind: str) -> int:
    """Where the tokens end that make up a code: they hold digits, or are a few capitals beside some that do."""
    end, kept, has_digit = at, at, False
    for number in range(6):
        token = TOKEN.match(text, end + (number > 0))
        if not token or (number and text[end] != " "):
            break
        value = token[0]
        if any(c.isdigit() for c in value):
            if number and (DATE.fullmatch(value) or value.upper() != value or NOT_AFTER.match(text, token.end())
                           or (has_digit and len(value) == 1 and kind != "vehicle" and not _is_last(text, token,
                               kind))):
                break
            has_digit = True
            kept = token.end()
        elif has_digit:
            if kind not in TRAILING or not value.isupper() or len(value) > TRAILING[kind]:
                break
            kept = token.end() if len(value) <= 3 else kept
        elif not (value.isupper() and len(value) <= 5) and not (
                number == 0 and len(value) == 3 and value.islower() and kind == "health plan number"):
            break
        end = token.end()
    return kept


def _is_last(text: str, token: re.Match[str], kind: str) -> bool:
    """Whether a single digit ends a number in groups: "Medicare 2428 77812 1"."""
    return kind in ("health plan number", "device") and token[0].isdigit() and not WORD_NEXT.match(text, token.end())


def _plates(page: Page) -> Iterator[Span]:
    """British plates where something before them is a car."""
    text = page.text
    for found in starting(PLATE, text, (max(0, start - 2) for start, end in page.numbers if end - start == 2)):
        if CAR.search(before(text, found.start(), 60)):
            yield Span(found.start(), found.end(), "vehicle", rank=2)


def _pictures(page: Page) -> Iterator[Span]:
    text = page.text
    for found in PICTURE_FILE.finditer(text) if page.is_any_in(PICTURE_ENDS) else ():
        stem = found[0].rpartition(".")[0]
        if FACE.search(stem) or (not OTHER_PART.search(stem) and OF_PERSON.search(before(text, found.start(), 60))):
            yield Span(found.start(), found.end(), "photograph", rank=0)
    for pattern in (PICTURE_WORDS, PORTRAIT):
        for found in near(pattern, text, page.places(PICTURES), 20, 130):
            if not NO_PICTURE.search(before(text, found.start(), 12)) and not IDENTITY.match(text, found.end()):
                yield Span(found.start(), found.end(), "photograph", rank=0)
