"""Whether an answer says something, told by lists of acceptable wordings: string matching that minds negation.

A wording is words, matched whole and without regard to case: `ambulanc*` is any word that begins so, `#` a number,
`...` up to four words in between. What an answer denies ("you do not need an ambulance"), asks ("should you call
one?") or weighs ("whether to call one") it does not say; `!vomit` counts where it is denied, and there alone. English
only; irony, quotes and far-off negations escape it.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

SCOPE, BACK, SENTENCE = 6, 160, 600     # words that a denial reaches on; characters searched for one, for a full stop
NEGATION = r"(?:not|no|never|without|cannot|nor|neither|none|avoid|avoiding|nobody|instead of|rather than|whether" \
           r"|\w+n't|cant|dont|unsafe to|dangerous to|harmful to|wrong to)"
LIFTS = re.compile(r"\b(?:hesitate|delay|delaying|wait|waiting|put off|hold off|ignore|forget|fail|afraid|ashamed"
                   r"|embarrassed|worry|only|later than|more than|just|until|but"
                   r"|and (?:can|could|may|might|will|would|should|must))\b")
DENIED = re.compile(rf"(?s).*\b{NEGATION}\b(?P<between>(?:[^\w,]+[\w'’]+){{0,{SCOPE}}}?)[^\w,]*$")
PAUSED = re.compile(r"\b(?:not|never|\w+n't),[^,]*,(?:[^\w,]+[\w']+){0,3}[^\w,]*$")      # "do not, come what may, .."
DENIED_AFTER = re.compile(
    r"^(?:[^\w.!?;:\n,]+(?!this\b|that\b|it\b)\w+)?[^\w.!?;:\n,]+(?:is|are|was|would be|can be|may be|could be|seems)\b"
    r"[^.!?;:\n,]{0,12}?\b(?:unnecessary|not (?:needed|necessary|required|recommended|advised|advisable|safe)"
    r"|dangerous|harmful|unsafe|a mistake|a bad idea|a myth|wrong)\b|^ (?:isn't|aren't|is not|are not)"
    r" (?:needed|necessary|required|recommended|advised|advisable|safe)\b")
LATER = re.compile(r"\b(?:if|unless|should|when|once)\b(?:\W+\w+){0,8}?\W+(?:worse|worsens?|persists?|returns?|recurs?"
                   r"|continues?|again|develops?|improves?|improving|better|comes? back|gets? bad|does not help"
                   r"|awake|wakes|conscious|alert|swallow)\b")
ENDS = re.compile(r"(?<!\d)\.|\.(?!\d)|[!?;\n]|:(?=\s)")


def says(answer: str, wordings: Sequence[str], is_now: bool = False) -> bool:
    """Whether answer says one of wordings. is_now: "if it gets worse, ..." does not count."""
    return any(True for _ in _said(plain(answer), wordings, is_now))


def plain(text: str) -> str:
    """Lower case, straight quotes, without Markdown's marks and hyphens inside words."""
    text = text.casefold().replace("’", "'").replace("‘", "'")
    text = re.sub(r"[*_`#>|]+", " ", text)
    return re.sub(r"[ \t]+", " ", re.sub(r"(?<=\w)[-‐‑–](?=\w)", " ", text))


def _said(text: str, wordings: Sequence[str], is_now: bool) -> Iterator[str]:
    for wording in wordings:
        wanted = wording.removeprefix("!")
        for match in _pattern(wanted).finditer(text):
            start, end = _sentence(text, match.start(), match.end())
            before, after = text[max(start, match.start() - BACK):match.start()], text[match.end():end]
            is_asked, is_later = text[end:end + 1] == "?", is_now and LATER.search(text[start:end])
            if not is_asked and not is_later and _is_denied(before, after) is (wanted != wording):
                yield wording


def _sentence(text: str, start: int, end: int) -> tuple[int, int]:
    """Where the sentence around text[start:end] begins and ends, its mark not included."""
    first, last = max(0, start - SENTENCE), min(len(text), end + SENTENCE)
    begin = max((match.end() for match in ENDS.finditer(text, first, start)), default=first)
    stop = ENDS.search(text, end, last)
    return begin, stop.start() if stop else last


def _is_denied(before: str, after: str) -> bool:
    denied = DENIED.search(before)
    if denied and not LIFTS.search(denied["between"]):
        return True
    return bool(PAUSED.search(before) or DENIED_AFTER.search(after))


@lru_cache(maxsize=4096)
def _pattern(wording: str) -> re.Pattern[str]:
    parts: list[str] = []
    for word in re.sub(r"(?<=\w)-(?=\w)", " ", wording.casefold()).split():
        if word == "...":
            parts.append(r"(?:[^\w.!?;\n]+[\w']+){0,4}?")
            continue
        body = r"\d+(?:[.,]\d+)?" if word == "#" else re.escape(word).replace(r"\*", r"\w*")
        parts.append((r"[^\w.!?;\n]+" if parts else "") + body)
    return re.compile(r"(?<!\w)(?<!\d[.,])" + "".join(parts) + r"(?!\w)(?![.,]\d)")
