"""Numbers of a text, in digits and in words: "76", "seventy six", "two and a half", "one twenty", "O nine"."""

from collections.abc import Sequence
from typing import NamedTuple

from tasks.grounding.dates import MONTHS
from tasks.grounding.tokens import Token, is_digits, is_glued, low_at

FROM_ZERO = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen")
FROM_TWENTY = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
FROM_FIRST = (
    "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "eleventh",
    "twelfth", "thirteenth", "fourteenth", "fifteenth", "sixteenth", "seventeenth", "eighteenth", "nineteenth",
    "twentieth")
ONES = {word: value for value, word in enumerate(FROM_ZERO)}
TENS = {word: 10 * value for value, word in enumerate(FROM_TWENTY, start=2)} | {"fourty": 40, "ninty": 90}
SCALES = {"thousand": 1000, "thousands": 1000, "million": 10 ** 6}
ORDINALS = {word: value for value, word in enumerate(FROM_FIRST, start=1)} | {
    "thirtieth": 30, "fortieth": 40, "fiftieth": 50, "sixtieth": 60, "hundredth": 100}
DECADES = {"twenties": 20, "thirties": 30, "forties": 40, "fifties": 50, "sixties": 60, "seventies": 70,
           "eighties": 80, "nineties": 90}
IMPLIED = {"couple": 2, "pair": 2, "both": 2, "twins": 2, "twin": 2, "twice": 2, "double": 2, "bilateral": 2,
           "triplets": 3, "triple": 3, "thrice": 3, "single": 1, "once": 1, "another": 1, "a": 1, "an": 1, "only": 1,
           "noon": 12, "midday": 12, "midnight": 12}
SIGNS = {"½": 0.5, "¼": 0.25, "¾": 0.75, "⅓": 1 / 3, "⅔": 2 / 3}
PARTS = {"half": 0.5, "halves": 0.5, "third": 1 / 3, "thirds": 1 / 3, "quarter": 0.25, "quarters": 0.25}
ROMAN = {"i": 1, "ii": 2, "iii": 3, "iv": 4, "v": 5}
ROMAN_AFTER = {"type", "grade", "stage", "class", "level", "category", "phase"}
BOTTOMS = ("2", "3", "4")
NOUGHT = {"o", "oh"}
RELATIVES = {"brother", "brothers", "sister", "sisters", "sibling", "siblings"}
SPELLED_ROMAN = {("i", "i"): 2, ("i", "v"): 4, ("i", "i", "i"): 3}


class Number(NamedTuple):
    """Tokens first to last (not included) say a value.

    form: "digits", "words", "ordinal", "decade", "implied" (a couple, an). reading: 1 for a second way to read the
    same words ("one twenty" as 1 and 20).
    """

    first: int
    last: int
    value: float
    form: str
    reading: int = 0


def numbers(found: Sequence[Token]) -> list[Number]:
    """Every number in order of its place, other readings behind the first."""
    result: list[Number] = []
    at = 0
    while at < len(found):
        here = _digits(found, at) or _words(found, at) or _other(found, at)
        result += here
        at = here[-1].last if here else at + 1
    return result


def is_number_word(word: str) -> bool:
    """True for a word that a number can be made of."""
    return bool(_kind(word)) or word in DECADES or word in PARTS


def _digits(found: Sequence[Token], at: int) -> list[Number]:
    token = found[at]
    if token.low in SIGNS:
        return [Number(at, at + 1, SIGNS[token.low], "digits")]
    if not token.is_number:
        return []
    value, last, form = token.value, at + 1, "digits"
    after = low_at(found, last)
    if is_glued(found, last) and after in ("st", "nd", "rd", "th"):
        return [Number(at, last + 1, value, "ordinal")]
    if is_glued(found, last) and (after == "s" or (after in ("'", "’") and low_at(found, last + 1) == "s")):
        return [Number(at, last + (1 if after == "s" else 2), value, "decade")]
    if is_glued(found, last) and after in SIGNS:
        return [Number(at, last + 1, value + SIGNS[after], form)]
    mixed = last + (after == "-")
    if is_digits(low_at(found, mixed)) and low_at(found, mixed + 1) == "/" and low_at(found, mixed + 2) in BOTTOMS:
        top, bottom = int(low_at(found, mixed)), int(low_at(found, mixed + 2))
        if 0 < top < bottom and "." not in token.low and is_glued(found, mixed + 1) and is_glued(found, mixed + 2):
            return [Number(at, mixed + 3, value + top / bottom, form)]
    if after == "k" and is_glued(found, last) and value < 1000:
        return [Number(at, last + 1, value * 1000, form)]
    while low_at(found, last) in ("hundred", *SCALES):
        value *= SCALES.get(found[last].low, 100)
        last += 1
    return [_with_half(found, Number(at, last, value, form))]


def _words(found: Sequence[Token], at: int) -> list[Number]:
    """A run of number words, read as one number and, where they only stand side by side, also one by one."""
    chunks: list[Number] = []
    while not (chunks and chunks[-1].value == 1 and low_at(found, chunks[-1].last) in PARTS) and (
            chunk := _chunk(found, chunks[-1].last if chunks else at)):
        chunks.append(chunk)
        if chunk.form != "words" or len(chunks) == 6:
            break
    if not chunks:
        return []
    chunks[-1] = _with_half(found, chunks[-1])
    dotted = _dotted(found, chunks[-1])
    if len(chunks) == 1:
        return [*dotted, *chunks]
    joined = _joined([one.value for one in chunks], found[chunks[0].first].low in NOUGHT)
    first, last = chunks[0].first, chunks[-1].last
    wholes = [Number(first, last, value, chunks[-1].form) for value in joined]
    if wholes and wholes[0].value >= 1800:      # a year
        return wholes
    return [*dotted, *wholes, *(one._replace(reading=1 if wholes else 0) for one in chunks)]


def _dotted(found: Sequence[Token], number: Number) -> list[Number]:
    """What may be a decimal, since some transcripts write "ninety eight . seven"."""
    at = number.last
    if low_at(found, at) != "." or is_glued(found, at) or not 0 < ONES.get(low_at(found, at + 1), 0) < 10:
        return []
    return [number._replace(last=at + 2, value=number.value + ONES[found[at + 1].low] / 10)]


def _joined(values: list[float], is_from_nought: bool) -> list[float]:
    """What number words side by side may mean together: 1 20 -> 120, 19 82 -> 1982, 1 0 5 -> 105, 98 6 -> 98.6."""
    if is_from_nought and len(values) == 2:
        return [values[1]]
    if len(values) == 2:
        high, low = values
        if 1 <= high <= 20 and 10 <= low <= 99 and (high != low or high == 20):        # not "ten ten"
            return [high * 100 + low]
        return [high + low / 10] if 30 <= high <= 110 and 0 < low <= 9 else []
    if len(values) == 3 and values[1] == 0 and 1 <= values[0] <= 99 and values[2] <= 9:
        return [values[0] * 100 + values[2]]
    return []


def _chunk(found: Sequence[Token], at: int) -> Number | None:
    """One number in words by the rules of counting: "two hundred and fifty six", "ninety eight point six"."""
    total, current, last, before = 0.0, 0.0, at, ""
    form = "words"
    is_day = low_at(found, at - 1) in MONTHS
    while last < len(found):
        word = found[last].low
        kind = _kind(word)
        if is_day and before and low_at(found, last + 1) == "thousand":
            break                               # "June thirty two thousand four"
        if before and word in ("and", "-"):
            is_before = before in ("hundred", "scale") if word == "and" else before == "tens"
            if not is_before or _kind(low_at(found, last + 1)) not in ("ones", "teens", "tens", "ordinal"):
                break
            last += 1
            continue
        if not kind or not _goes_on(before, kind, word) or (kind == "hundred" and current >= 100):
            break
        if before == "hundred" and low_at(found, last + 1) == "hundred":
            break                               # "five hundred five hundred"
        if kind == "hundred":
            current = (current or 1) * 100
        elif kind == "scale":
            total, current = total + (current or 1) * SCALES[word], 0
        elif kind == "ordinal":
            current, form = current + ORDINALS[word], "ordinal"
        elif kind != "nought":
            current += ONES.get(word, TENS.get(word, 0))
        before, last = kind, last + 1
        if kind in ("ordinal", "nought"):
            break
    if not before or (before == "nought" and not _is_nought(found, at)):
        return None
    return _with_point(found, Number(at, last, total + current, form))


def _kind(word: str) -> str:
    if word in ONES:
        return "ones" if ONES[word] < 10 else "teens"
    if word in NOUGHT:
        return "nought"
    if word in ORDINALS:
        return "ordinal"
    if word in ("hundred", "hundreds"):
        return "hundred"
    return "tens" if word in TENS else "scale" if word in SCALES else ""


def _goes_on(before: str, kind: str, word: str) -> bool:
    """Whether a number word of this kind belongs to the number whose last word was of the kind before."""
    if kind in ("hundred", "scale"):
        return before in ("", "ones", "teens", "tens") or (kind == "scale" and before == "hundred")
    if kind == "ordinal":
        return before in ("", "hundred", "scale") or (before == "tens" and ORDINALS[word] < 10)
    if kind == "ones":
        return before in ("", "tens", "hundred", "scale")
    return before in ("", "hundred", "scale") if kind != "nought" else before == ""


def _is_nought(found: Sequence[Token], at: int) -> bool:
    """True for the O between digits in words: "one oh five", "January O nine"."""
    return low_at(found, at + 1) in ONES and low_at(found, at + 1) != "zero"


def _with_point(found: Sequence[Token], number: Number) -> Number:
    """The same with what follows the word "point"."""
    if low_at(found, number.last) != "point":
        return number
    last, digits = number.last + 1, ""
    while (word := low_at(found, last)) in ONES or word in NOUGHT or word in TENS or is_digits(word):
        after = low_at(found, last + 1)
        if word in TENS and 0 < ONES.get(after, 0) < 10:
            digits += str(TENS[word] + ONES[after])
            last += 1
        else:
            digits += word if is_digits(word) else str(ONES.get(word, TENS.get(word, 0)))
        last += 1
    if not digits:
        return number
    scale = SCALES.get(low_at(found, last), 1)      # "one point five million"
    return number._replace(last=last + (scale > 1), value=float(f"{int(number.value)}.{digits}") * scale)


def _with_half(found: Sequence[Token], number: Number) -> Number:
    """The same with "and a half", "and three quarters"; "two thirds" for "two"."""
    at = number.last + (low_at(found, number.last) == "-")
    word = low_at(found, at)
    if number.form == "words" and word in PARTS and (
            number.value == 1 or (number.value in (2, 3) and word.endswith("s"))):
        return number._replace(last=at + 1, value=number.value * PARTS[word])
    if word != "and":
        return number
    words = [(k, found[k].low) for k in range(at + 1, min(at + 6, len(found))) if found[k].low != "-"][:2]
    count = {"a": 1, "an": 1, "one": 1, "1": 1, "two": 2, "three": 3}.get(words[0][1], 0) if words else 0
    if len(words) < 2 or (not count and words[0][1] != "half"):
        return number
    last, word = words[1] if count else words[0]
    part = PARTS.get(word, 0.0)
    return number._replace(last=last + 1, value=number.value + (count or 1) * part) if part else number


def _other(found: Sequence[Token], at: int) -> list[Number]:
    word, after = found[at].low, low_at(found, at + 1)
    if word == "point" and (after in ONES or is_digits(after)):
        zero = _with_point(found, Number(at, at, 0, "words"))
        return [zero]
    if word in DECADES:
        return [Number(at, at + 1, DECADES[word], "decade")]
    if word in ROMAN and low_at(found, at - 1) in ROMAN_AFTER:
        for letters in ((low_at(found, at), low_at(found, at + 1), low_at(found, at + 2)), (word, after)):
            if letters in SPELLED_ROMAN:
                return [Number(at, at + len(letters), SPELLED_ROMAN[letters], "digits")]
        return [Number(at, at + 1, ROMAN[word], "digits")]
    if word == "dozen":
        return [Number(at, at + 1, 12, "words")]
    if word == "half":
        if after == "-" and low_at(found, at + 2) in RELATIVES or after in RELATIVES:
            return []
        dozen = at + 1 + (after == "a")
        if low_at(found, dozen) == "dozen":
            return [Number(at, dozen + 1, 6, "words")]
        return [Number(at, at + 1, 0.5, "words")]
    if word == "quarter" and low_at(found, at - 1) in ("a", "one"):
        return [Number(at, at + 1, 0.25, "words")]
    if word in IMPLIED:
        return [Number(at, at + 1, IMPLIED[word], "implied")]
    return []
