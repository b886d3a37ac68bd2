"""Where a text holds telephone and fax numbers, addresses of the mail, the web and the network, and home folders."""

import re
from collections.abc import Iterator
from ipaddress import ip_address

from tasks.phi.page import Page, near, starting
from tasks.phi.span import Span, before

LEFT_OF_AT = re.compile(r"[\w.+'-]*[\w+-]$")
RIGHT_OF_AT = re.compile(r"(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}\b")
# "j.doe (at) clinic (dot) org", as people write it against robots
SPELLED_MAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64} ?[(\[](?:at|AT|At)[)\]] ?[\w-]{1,63}"
                          r"(?:(?: ?[(\[](?:dot|DOT|Dot)[)\]] ?|\.)[\w-]{1,63}){0,7}"
                          r"(?: ?[(\[](?:dot|DOT|Dot)[)\]] ?|\.)(?:[a-z]{2,24}|[A-Z]{2,24})\b")
WEB = re.compile(r"(?<![\w@])(?:(?:https?|ftp|sftp)://|www\.)[^\s\"'<>()\[\]{}|\\^`;]+", re.IGNORECASE)
DOMAIN_END = re.compile(r"\.(?:com|org|net|edu|gov|mil|info|io|app|health|care|clinic|doctor|hospital|example|invalid"
                        r"|test|(?:com|co|org|net|edu|gov|ac|nhs|sch|govt|health|school|asn|id|nic|gob|gouv"
                        r"|police)\.[a-z]{2}|de|fr|ca|eu|ch|nl|uk"
                        r"|ie|nz|za|au|se|dk|scot|wales|cymru|london|online|site|local|intranet)(?![\w-]|\.\w)"
                        r"(?:/[^\s\"'<>()\[\]{}|\\^`;,]*)?", re.IGNORECASE)
DOMAIN_HEAD = re.compile(r"(?<![\w@.-])[A-Za-z0-9][A-Za-z0-9-]{1,62}(?:\.[A-Za-z0-9-]{1,63}){0,5}$")
COUNTRY_ENDS = (".ie", ".nz", ".za", ".au", ".se", ".dk", ".online", ".site", ".local", ".london", ".scot", ".de",
    ".fr", ".ca", ".eu", ".ch", ".nl", ".uk", ".io", ".test", ".app", ".care")
IPV4 = re.compile(r"(?<![\w.])\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}(?![\w]|\.\d)")
IPV6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![\w:])")
COLONS = re.compile(":[0-9A-Fa-f]{0,4}:")
HOME = re.compile(r"(?:/home/|/Users/)[^\s/\\\"'<>:|]+"
                  r"|\b[A-Za-z]:(?:\\{1,2}|/)Users(?:\\{1,2}|/)[^/\\\"'<>:|\n]+")

EXTENSION = r"(?:,? ?(?:ext\.?|extension|x)[ .:]{0,2}\d{1,6})?"
PHONE = re.compile(
    r"(?<![\w.+/-])(?:"
    r"(?:\+\d{1,3}|00\d{1,3}[ .-])(?:[ .-]?\(?\d{1,5}\)?){2,6}"
    r"|(?:1[ .-]?)?\(\d{3}\)[ .-]?\d{3}[ .-]\d{4}"
    r"|(?:1[ .-])?\d{3}[ .-]\d{3}[ .-]\d{4}"
    r"|\(?0\d{2,5}\)?[ -/]\d{3,4}[ -]?\d{3,5}"
    r"|\(0\d\)[ -]?\d{4}[ -]?\d{4}|0\d[ -]\d{3,4}[ -]\d{4}|0\d(?:[ .]\d\d){4}|1[38]00[ -]\d{3}[ -]\d{3}"
    r"|0\d{2} \d{4} \d{4}|0\d{9,10}"
    rf"){EXTENSION}(?![\w/-]|[.,]\d)", re.IGNORECASE)
SHORT_PHONE = re.compile(rf"(?<![\w.+/#-])(?:[2-9]\d{{2}}[ .-]\d{{4}}|[6-9]\d{{4}}[ -]\d{{5}}|[2-9]\d{{6}}|[2-9]\d{{9}}"
                         rf"|1[2-9]\d{{9}}){EXTENSION}"
                         r"(?![\w/-]|[.,]\d)", re.IGNORECASE)
SHORT_SIZES = (3, 5, 7, 10, 11)                 # how many digits in a row a short number begins with
EXTENSION_ALONE = re.compile(r"\b(?:ext\.?|extension)[ :#]{1,3}(\d{2,6})(?![\w.-])", re.IGNORECASE)
PHONE_WORD = re.compile(r"\b(?:tele)?phon\w*|\btel\b|\bcell\w*|\bmob(?:ile)?|\blandline|\bpager?\b|\bpaged?\b|\bbeeper"
                        r"|\bcall\w*"
                        r"|\bdial\w*|\bring\b|\brang\b|\btext(?:s|ed|ing)?\b|\breach\w*|\bcontact\w*|\bvoice ?mail"
                        r"|\bhot ?line"
                        r"|\bwhatsapp|\bph\b|\bhome\b|\bwork\b|\bnumber\b|\bhelp ?line|(?<!\w)[tcmhpw]\b[.:]|\bdesk\b"
                        r"|\bask for\b|\bstore\b|\boffice\b|\bfront\b|\bline\b|\bsms\b|\bmsg\b", re.IGNORECASE)
FAX_WORD = re.compile(r"\bfax\w*|\bfacsimile|\btelefax|(?<!\w)f\b[.:]", re.IGNORECASE)
# the page before a fax
COVER = re.compile(r"\b(?:FAX|Fax) [^\n]{0,30}\n(?:[^\n]{0,80}\n){0,2}(?:To|TO|Attn)\b[^\n]{0,60}$")
UNIT = re.compile(r"\s?(?:m?c?g|mcg|ml|mm|iu|units?|kcal|steps|patients|people|cells?|copies|/|%|years|words)\b",
                  re.IGNORECASE)
DIGIT_WORD = r"(?:zero|oh|one|two|three|four|five|six|seven|eight|nine|double|triple|hundred)"
DIGIT_WORDS = set(re.findall("[a-z]+", DIGIT_WORD))
SPOKEN = re.compile(rf"\b{DIGIT_WORD}(?:[ ,.-]{{1,3}}{DIGIT_WORD}){{5,14}}\b", re.IGNORECASE)
SPOKEN_HERE = re.compile(rf"[ ,.-]{DIGIT_WORD}[ ,.-]{{1,3}}{DIGIT_WORD}[ ,.-]{{1,3}}{DIGIT_WORD}")     # in lower case
MIN_DIGITS, MAX_DIGITS = 8, 15                  # of a whole telephone number


def spans(page: Page) -> Iterator[Span]:
    """Every span of these kinds, in no order; they may overlap."""
    text = page.text
    yield from _mail(text)
    yield from _web(page)
    for found in starting(IPV4, text, (start for start, end in page.numbers if text[end:end + 1] == ".")):
        if _is_address(found[0]):
            yield Span(found.start(), found.end(), "network address", rank=0)
    for found in IPV6.finditer(text) if page.numbers and COLONS.search(text) else ():
        if _is_address(found[0]) and any(c.isdigit() for c in found[0]):
            yield Span(found.start(), found.end(), "network address", rank=0)
    for found in HOME.finditer(text) if "/home/" in text or "Users" in text else ():
        yield Span(found.start(), found.end(), "home folder", rank=0)
    yield from _phones(page)


def _mail(text: str) -> Iterator[Span]:
    at = text.find("@")
    while at >= 0:
        left = LEFT_OF_AT.search(text, max(0, at - 64), at)
        right = RIGHT_OF_AT.match(text, at + 1)
        if left and right:
            yield Span(left.start(), right.end(), "e-mail", rank=0)
        at = text.find("@", at + 1)
    for found in SPELLED_MAIL.finditer(text) if re.search(r"(?i)\bat[)\]]", text) else ():
        yield Span(found.start(), found.end(), "e-mail", rank=0)


def _web(page: Page) -> Iterator[Span]:
    text = page.text
    for found in WEB.finditer(text) if page.is_any_in(("://", "www.")) else ():
        value = found[0].rstrip(".,:!?*_")
        if len(value) > len("www.") and not value.endswith("//"):
            port = re.search(r":\d+$", value)
            yield Span(found.start(), found.start() + (port.start() if port else len(value)), "web address", rank=0)
    for found in DOMAIN_END.finditer(text):
        low = max(0, found.start() - 80)
        head = DOMAIN_HEAD.search(text, low, found.start())
        if not head or (low and head.start() == low) or head[0].isdigit():
            continue
        ending = found[0].lower().split("/")[0]
        if ending in COUNTRY_ENDS and "-" not in head[0] and "." not in head[0] and "/" not in found[0]:
            continue                            # "today.de": more often a missing space than an address
        yield Span(head.start(), head.start() + len((head[0] + found[0]).rstrip(".,:!?")), "web address", rank=0)


def _is_address(value: str) -> bool:
    try:
        address = ip_address(value)
    except ValueError:
        return False
    return not (address.is_loopback or address.is_unspecified)


def _phones(page: Page) -> Iterator[Span]:
    text = page.text
    for found in starting(PHONE, text, _phone_starts(page)):
        digits = sum(c.isdigit() for c in re.split(r"(?i)e?xt?", found[0])[0])
        if MIN_DIGITS <= digits <= MAX_DIGITS and not UNIT.match(text, found.end()):
            yield Span(found.start(), found.end(), _phone_kind(text, found.start(), found.end()),
                       rank=2)
    for found in starting(SHORT_PHONE, text, (start for start, end in page.numbers if end - start in SHORT_SIZES)):
        left, right = before(text, found.start(), 60), text[found.end():found.end() + 30].split("\n")[0]
        if UNIT.match(text, found.end()) or not (PHONE_WORD.search(left) or FAX_WORD.search(left)
                                                 or PHONE_WORD.search(right) or FAX_WORD.search(right)):
            continue
        yield Span(found.start(), found.end(), _phone_kind(text, found.start(), found.end()), rank=2)
    for found in EXTENSION_ALONE.finditer(text) if page.numbers and "ext" in page.low else ():
        yield Span(found.start(1), found.end(1), "telephone", rank=2)
    is_any = not page.words.isdisjoint(DIGIT_WORDS)
    spoken = [found.start() for found in SPOKEN_HERE.finditer(page.low)] if is_any else []
    for found in near(SPOKEN, text, spoken, 80, 160):
        left = before(text, found.start(), 80).lower()
        if "social" in left or "ssn" in left:
            yield Span(found.start(), found.end(), "social security number", rank=1)
        elif PHONE_WORD.search(left) or FAX_WORD.search(left):
            yield Span(found.start(), found.end(), _phone_kind(text, found.start(), found.end()))


def _phone_starts(page: Page) -> Iterator[int]:
    """Where a whole telephone number can begin: at digits, or at the + or ( before them."""
    for start, _ in page.numbers:
        if page.text[start - 1:start] in ("+", "("):
            yield start - 1
        yield start


def _phone_kind(text: str, start: int, end: int) -> str:
    """fax where the nearest word before says so, or the one right after: "(fax)"."""
    if re.match(r"[ ]?[(\[,]? ?(?:is (?:the|my|our|a) )?fax\b(?! ?[:#.(+\d])", text[end:end + 24], re.IGNORECASE):
        return "fax"
    left = before(text, start, 60)
    if re.search(r"(?:^|[|;,\t(]|  )\s{0,3}[Ff][:.]? ?$", left) or COVER.search(text, max(0, start - 300), start):
        return "fax"
    fax = max((one.start() for one in FAX_WORD.finditer(left)), default=-1)
    phone = max((one.start() for one in PHONE_WORD.finditer(left) if one[0].lower() not in ("number", "office", "line",
    "reach")),
                default=-1)
    return "fax" if fax > phone else "telephone"
