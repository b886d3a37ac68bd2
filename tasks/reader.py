"""The strict reader of free answers: the decision that one states, or nothing. English only.

A word decides only where an answer stands: at the beginning, or behind words that announce one ("the answer is"). What
is denied, asked, offered beside another or contradicted later decides nothing, so "" never means "no".
"""

import re
from collections.abc import Iterator, Mapping

from tasks.answer import DECISIONS

LOOK_BACK = 300
MARKUP = re.compile(r"\\boxed\{([^{}]*)\}|<(answer|decision)>|</?\w+>|[*`#>\"{}$]+")
SIGNS = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "–": " - ", "—": " - ", "_": " "})
SENTENCE_END = re.compile(r"(?<=[.!?])(?<!\b[A-Za-z]\.)\s+|\n")       # "B. Hypnozoite" is one
ASIDE = re.compile(r",\s*(?!\w+\s+(?:is|are|was)\b)(?:[\w'-]+\s+){0,3}[\w'-]+\s*,")
CLAUSE = re.compile(r"[,;:()\n]|\.\s|\b(?:but|so|therefore|thus|hence|then|although|though|because|since|and)\b", re.I)
DENIED = re.compile(r"\b(?:not|never|cannot|neither|nor|hardly|unlikely|unclear|unsure|uncertain|doubt\w*|wrong|"
                    r"incorrect|false|instead|rather|except|exclud\w+|rul\w+ out|eliminat\w+|unlike|versus|if|whether|"
                    r"unless|could|might|may)\b|n't\b", re.I)
EXCEPTED = re.compile(r"\b(?:everything|anything|all|any)(?:\s+\w+)?\s+but\s+(?:(?:the\s+)?(?:option|answer)\s+)?$",
                      re.I)
SUPPOSED = re.compile(r"\b(?:if|unless)\s+(?!(?:i|we|you|one|forced)\b)[^.;:]*\bwould\s+be\b", re.I)
NAME = re.compile(r"\b(?:vitamin|hepatitis|influenza|ha?emophilia|type|group|grade|stage|class|factor|protein|category|"
                  r"strain|virus|toxin|amphotericin)\s+$", re.I)       # what has a letter in its own name
BULLET = re.compile(r"^[-\u2022]\s+")
ANNOUNCED = (r"(?:(?:answer|decision|conclusion|verdict|response|choice|option|letter|diagnosis)"
             r"(?:\s+(?:to|for|of)\s+(?:the|this|your)\s+(?:question|case))?(?:\s*\([^()]{1,40}\))?"
             r"(?:\s*[:=-]\s*|\s+(?:is|was|would\s+be|should\s+be|must\s+be)(?:\s+|\s*:\s*)))"
             r"(?:(?:clearly|definitely|therefore|thus|simply|probably|most\s+likely|likely)\s+)?")
LEAD_IN = re.compile(r"(?:(?:well|in\s+short|in\s+summary|in\s+conclusion|overall|briefly|so|thus|therefore|hence|"
                     r"ultimately|to\s+conclude|definitely|clearly|probably|likely|absolutely|certainly|of\s+course)[,:]?\s+|"
                     r"(?:based\s+on|according\s+to|given|considering)\b[^.;:!?,\n]{1,120},\s+)", re.I)
OPENERS = r"[\"'(\[]*"

DECIDED = re.compile(
    r"(?P<said>yes|no|maybe)\b(?![-'/]\w)(?!\s*/\s*\w)"
    r"(?!\s+(?:or|and|nor)\s+(?:yes|no|maybe)\b)(?!\s+(?:yes|no)\b)", re.I)
NO_GOES_ON = re.compile(r"\s*(?:$|[,;:!\n()\]'-]|\.(?!\d)|(?:it|they|there|this|that|these|those|we|i|you|he|she|"
                        r"because|since|as|the|although|but|however)\b)", re.I)
NAMED = re.compile(r"[\"']?\s+(?:is|was|would|isn't|cannot|can|seems|may|might)\b(?!\s+(?:be\s+)?(?:the\s+)?"
                   r"(?:correct|right|best|answer))", re.I)
ANOTHER = re.compile(r"[\"')\]]*\s*[,/|;.]\s*(?P<said>yes|no|maybe)\b(?=\s*(?:$|[.,;/|!\n]|or\b|and\b))", re.I)
STATED = re.compile(rf"\b(?:{ANNOUNCED}|(?:say|think|believe)\s+){OPENERS}(?=(?:yes|no|maybe)\b)", re.I)

REFUSED = re.compile(r"\b(?:not|wrong|incorrect|false|unlikely|ruled|cannot)\b|n't", re.I)
BARE = re.compile(r"\W*(?:yes|no|maybe)\W*", re.I)

RIGHT_ONE = (r"(?:is|would\s+be|'s)\s+(?:(?:clearly|definitely|probably|most\s+likely|likely)\s+)?(?:the\s+|my\s+)?"
             r"(?:(?:most|single)\s+)?(?:likely|correct|right|best|answer|true|appropriate)\b")
ENDS = re.compile(rf"\s*(?:$|[.):,;!\]\n\"'-](?!\w)|(?:because|since|as|{RIGHT_ONE}))", re.I)
CUED = re.compile(rf"(?:\b{ANNOUNCED}(?:option|choice|letter|answer)?\s*|\b(?:option|choice|letter|answer)\s+|"
                  r"\b(?:is|be|'s|case\s+of|choose|chose|select|pick|go\s+with|think|"
                  r"believe|say|guess|but|so|thus|hence|therefore)\s+(?:the\s+)?)[\"'(\[]*$", re.I)
STRONG = re.compile(rf"(?:\b{ANNOUNCED}(?:option|choice|letter|answer)?\s*|\b(?:option|choice|letter|answer)\s+)"
                    r"[\"'(\[]*$", re.I)
TEXT_CUED = re.compile(rf"(?:\b{ANNOUNCED}|\b(?:this|it)\s+is\s+|\bcase\s+of\s+)(?:an?\s+|the\s+)?[\"'(\[]*$", re.I)


def read_decision(answer: str) -> str:
    """ "yes", "no" or "maybe", if the answer states just one of them; else ""."""
    text = _plain(answer)
    found = set(_leading(text))
    for sentence in _sentences(text):
        for cue in STATED.finditer(sentence):
            if not _is_denied(sentence[:cue.start()]) and not SUPPOSED.search(_before(sentence, cue.end())):
                found |= set(_said(sentence[cue.end():]))
        lead = LEAD_IN.match(sentence)
        if lead or BARE.fullmatch(sentence):
            found |= set(_said(sentence[lead.end() if lead else 0:]))
    return found.pop() if len(found) == 1 else ""


def read_choice(answer: str, options: Mapping[str, str]) -> str:
    """The letter of the one option that the answer states, by its letter or by its text; else "".

    options: {letter: text}, letters in capitals.
    """
    text = _plain(answer)
    letters, texts = _Letters(text, options), set(_texts(text, options))
    named = letters.stated | (set() if letters.is_list else letters.leading)
    found = (named or letters.mentioned) | (set() if letters.is_list else texts)
    return found.pop() if len(found) == 1 else ""


def _plain(answer: str) -> str:
    text = MARKUP.sub(lambda one: one[1] or (f"{one[2]}: " if one[2] else ""), answer.translate(SIGNS)).strip()
    return "\n".join(BULLET.sub("", " ".join(line.split())) for line in text.splitlines() if line.strip())


def _sentences(text: str) -> Iterator[str]:
    """Its sentences and lines, without the questions."""
    return (one for one in SENTENCE_END.split(text) if one and not one.endswith("?"))


def _before(sentence: str, at: int) -> str:
    """What stands before a place, as far as it can matter: a sentence may be a whole answer without full stops."""
    return sentence[max(0, at - LOOK_BACK):at]


def _is_denied(before: str) -> bool:
    """True if the clause that leads up to here denies, asks or leaves open what follows."""
    before = before[-LOOK_BACK:]
    clause = CLAUSE.split(ASIDE.sub(" ", before))[-1]
    return bool(DENIED.search(clause) or EXCEPTED.search(before))


# yes, no and maybe


def _leading(text: str) -> Iterator[str]:
    """What the answer begins with, behind the question where that is repeated."""
    lead = re.match(r"[^.!?\n]{1,400}\?(?:\s+|$)", text)
    yield from _said(text[lead.end():] if lead else text)


def _said(text: str) -> Iterator[str]:
    """The decisions that text begins with; several are a contradiction."""
    start = re.match(OPENERS, text)
    assert start
    found = DECIDED.match(text, start.end())
    if not found:
        return
    said = found["said"].lower()
    rest = text[found.end():]
    if NAMED.match(rest) or said == "no" and not NO_GOES_ON.match(rest) and not re.match(rf"\s+{RIGHT_ONE}", rest):
        return
    assert said in DECISIONS
    yield said
    while another := ANOTHER.match(rest):
        yield another["said"].lower()
        rest = rest[another.end():]


# letters


class _Letters:
    """The letters of options that an answer names. stated: announced as the answer; leading: it begins with one;

    mentioned: named in a weaker way; is_list: it lists the options, so that what a line begins with says nothing.
    """

    def __init__(self, text: str, options: Mapping[str, str]):
        self._options = options
        keys = "".join(map(re.escape, options))
        self._letter = re.compile(rf"(?<![\w'/-])(?P<open>[(\[]?)(?P<said>[{keys}{keys.lower()}])(?![\w'/])"
                                  r"(?P<close>[)\]]?)")
        self._offered = re.compile(rf"(?<![\w'/-])[{keys}][)\]]?\s*(?:\bor|\band|\bnor|&|/)\s*$")
        self.stated: set[str] = set()
        self.leading: set[str] = set()
        self.mentioned: set[str] = set()
        lines = [found["said"].upper() for line in text.splitlines()
                 if (found := self._letter.match(line)) and self._ends(line, found)]
        self.is_list = len(lines) > 1 and lines == sorted(set(lines))
        for number, sentence in enumerate(_sentences(text)):
            lead = LEAD_IN.match(sentence)
            start = lead.end() if lead else 0
            for found in self._letter.finditer(sentence):
                begins = found.start() < LOOK_BACK and not sentence[start:found.start()].strip("\"' ")
                is_alone = len(sentence) < LOOK_BACK and not sentence[found.end():].strip("\"'.) ")
                self._note(sentence, found, is_first=begins and (not number or bool(lead) or is_alone))

    def _note(self, sentence: str, found: re.Match[str], is_first: bool) -> None:
        before, letter = _before(sentence, found.start("said")), found["said"].upper()
        is_bracketed = bool(found["open"] and found["close"])
        is_closed = bool(found["close"]) and is_first
        is_denied = _is_denied(_before(sentence, found.start())) or self._is_refused(sentence, found)
        supposed = SUPPOSED.search(_before(sentence, found.end() + len("  would be")))
        if is_denied or supposed or NAME.search(before) or not self._ends(sentence, found):
            return
        is_stated = bool(STRONG.search(before)) or bool(re.match(rf"\s+{RIGHT_ONE}", sentence[found.end():]))
        if found["said"].islower() and not (is_bracketed or is_closed or STRONG.search(before) or
                                            is_first and not sentence[found.end():].strip(".)")):
            return
        if is_stated:
            self.stated.add(letter)
        elif is_first:
            self.leading.add(letter)
        elif is_bracketed or CUED.search(before):
            self.mentioned.add(letter)

    def _ends(self, sentence: str, found: re.Match[str]) -> bool:
        """True if what follows the letter ends it as one, and does not offer another beside it."""
        if self._offered.search(_before(sentence, found.start())):
            return False
        rest = sentence[found.end():]
        own = self._options.get(found["said"].upper(), "").strip()
        is_own = bool(own) and rest.lstrip(" .:()-").casefold().startswith(own.casefold())
        if re.match(r"\s*(?:(?:or|and|nor)\b|[&/]|[:=-]\s*(?:yes|no|true|false|right|wrong|correct|incorrect)\b)", rest,
                    re.I):
            return False
        other = re.match(r"\s*[.,;&]\s*(?:or\s+|and\s+)?(?=[(\[]?\w)", rest)
        if other and not is_own:
            after = self._letter.match(rest, other.end())
            if after and after["said"].isupper() and re.match(r"\s*(?:$|[).,;&]|or\b|and\b)", rest[after.end():]):
                return False
        return is_own or bool(found["close"]) or bool(ENDS.match(rest))

    def _is_refused(self, sentence: str, found: re.Match[str]) -> bool:
        """True if what follows says that it is not this one: "B is wrong"."""
        after = re.match(r"\s*(?:[(\[][^)\]]*[)\]])?\s*(?:is|was|would\s+be|seems|can|isn't|cannot)\b"
                         r"((?:(?!\b(?:and|but|while|whereas)\b)[^,;.])*)",
                         sentence[found.end():], re.I)
        return after is not None and bool(REFUSED.search(after[0]))


def _texts(text: str, options: Mapping[str, str]) -> Iterator[str]:
    """Letters of the options whose text the answer begins with or announces; the longest, where one begins another."""
    mark = re.compile(r"[\"'(\[]*(?:[A-Za-z](?:[).:\]-]+\s*-?|\s+-)\s*)?(?:(?:an?|the)\s+)?[\"']*", re.I)
    known = sorted(((" ".join(option.split()).rstrip("."), letter) for letter, option in options.items()),
                   key=lambda pair: -len(pair[0]))
    for number, sentence in enumerate(_sentences(text)):
        at = 0
        while at < len(sentence):
            here = [(option, letter) for option, letter in known if option and _stands(sentence, at, option)]
            if not here:
                at += 1
                continue
            before, end = _before(sentence, at), at + len(here[0][0])
            lead = LEAD_IN.match(before)
            is_first = not number and at < LOOK_BACK and bool(mark.fullmatch(before, lead.end() if lead else 0))
            if (is_first or TEXT_CUED.search(before)) and not _is_denied(before) \
                    and re.match(r"\s*(?:$|[.,;:!)\n\"'-]|because|since|as\b)", sentence[end:]):
                yield from (letter for option, letter in here if len(option) == len(here[0][0]))
            at = end


def _stands(sentence: str, at: int, option: str) -> bool:
    """True if the option stands here as whole words."""
    end = at + len(option)
    return (sentence[at:end].casefold() == option.casefold() and not (at and sentence[at - 1].isalnum())
            and not sentence[end:end + 1].isalnum())
