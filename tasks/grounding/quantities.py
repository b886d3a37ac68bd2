"""Numbers of a text together with what they count: "two weeks", "40 mg", "3 to 4 days", "120 over 80"."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tasks.grounding.numbers import Number, is_number_word, numbers
from tasks.grounding.tokens import Token, is_glued, low_at
from tasks.grounding.units import DOSES, Unit, unit_at

RANGE = {"-", "–", "—", "to", "or", "and", "through", "maybe", "even", "probably", "perhaps", "x", "×", "by"}
OVER = {"/", "over", "by"}
LIGHT = frozenset([
    "a", "an", "and", "are", "as", "at", "be", "been", "before", "but", "by", "can", "did", "do", "each",
    "every", "for", "from", "had", "has", "have", "he", "her", "his", "i", "if", "in", "is", "it", "its",
    "just", "last", "like", "me", "my", "no", "nor", "not", "now", "of", "off", "on", "or", "our", "out",
    "over", "per", "pm", "she", "since", "so", "some", "than", "that", "the", "their", "them", "then", "us",
    "there", "these", "they", "this", "those", "to", "today", "total", "until", "up", "was", "we", "were",
    "when", "where", "which", "while", "who", "will", "with", "would", "yes", "you", "your", "yeah", "okay",
    "ok", "right", "um", "uh", "well", "am", "maybe", "about", "around", "daily", "twice", "once", "because",
    "also", "too", "again", "ago", "times", "through", "after", "though", "yesterday", "tomorrow", "tonight",
    "already", "actually", "currently", "recently", "almost", "years", "did", "didn", "don", "doesn", "isn",
    "wasn"])


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """Tokens first to last (not included) say value, of unit, or of the thing that the word noun names.

    form: as of a Number. is_part: of "120/80" or a like pair. is_sure: no second reading of the words.
    """

    first: int
    last: int
    value: float
    form: str
    unit: Unit | None = None
    noun: str = ""
    is_part: bool = False
    is_sure: bool = True

    @property
    def is_bare(self) -> bool:
        """True where nothing says what it counts, so that the words around may: "How many weeks? Two."."""
        return self.unit is None and not self.noun and not self.is_part and self.form in ("digits", "words")


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two numbers in one: "120/80", "three out of six", "11:30"."""

    first: int
    last: int
    values: tuple[float, float]


def quantities(found: Sequence[Token]) -> tuple[list[Quantity], list[Pair]]:
    """Every quantity in order, and the pairs among them."""
    every = numbers(found)
    pairs = _pairs(found, every)
    in_pairs = {at for pair in pairs for at in range(pair.first, pair.last)}
    listed: list[Quantity] = []
    covered = 0
    for number in every:
        if number.form != "implied" and number.value not in (0.25, 0.5, 0.75) or number.first >= covered:
            one = _quantity(found, number, number.first in in_pairs)
            if one.is_sure or (one.unit and one.unit.dimension in DOSES):       # "one twenty milligram tablet"
                listed.append(one)
            covered = max(covered, one.last)
    return _ranges(found, listed), pairs


def _quantity(found: Sequence[Token], number: Number, is_part: bool) -> Quantity:
    end = number.last
    plain = Quantity(first=number.first, last=end, value=number.value, form=number.form, is_part=is_part,
                     is_sure=not number.reading)
    if number.form == "implied" and low_at(found, end) == "of":
        end += 1
    if number.value in (0.25, 0.5, 0.75):
        end += (low_at(found, end) == "of") + (low_at(found, end + (low_at(found, end) == "of")) in ("a", "an"))
    measured = unit_at(found, end, number.form == "digits")
    if measured and number.form != "decade":
        unit, last = measured
        value, last = and_a_half(found, number.value, last)
        return replace(plain, last=last, unit=unit, value=value)
    noun_at = end + (low_at(found, end) in ("-", "more", "other", "of"))
    word = low_at(found, noun_at).partition("'")[0]
    if word[:1].isalpha() and len(word) > 2 and word not in LIGHT and not is_number_word(word):
        return replace(plain, noun=stem(word))
    return plain


def and_a_half(found: Sequence[Token], value: float, last: int) -> tuple[float, int]:
    """The value and the end of "a year and a half", where "a year" ends before this token."""
    words = [low_at(found, last + k) for k in range(3)]
    if words[0] == "and" and words[1] in ("a", "one") and words[2] in ("half", "quarter"):
        return value + (0.5 if words[2] == "half" else 0.25), last + 3
    return value, last


def stem(word: str) -> str:
    """A word without the ending of its plural."""
    irregular = {"children": "child", "kids": "child", "kid": "child", "feet": "foot", "men": "man", "women": "woman"}
    if word in irregular:
        return irregular[word]
    return re.sub("ies$", "y", word) if word.endswith("ies") else re.sub("(?<=[^s])s$", "", word)


def _pairs(found: Sequence[Token], every: Sequence[Number]) -> list[Pair]:
    starts: dict[int, list[Number]] = {}
    for number in every:
        starts.setdefault(number.first, []).append(number)
    result = []
    for one in every:
        if one.form not in ("digits", "words"):
            continue
        at = one.last
        if low_at(found, at) == "out" and low_at(found, at + 1) == "of":
            at += 2
        elif low_at(found, at) in OVER or (low_at(found, at) == ":" and is_glued(found, at + 1)) or (
                low_at(found, at) == "of" and one.form == "words"):
            at += 1
        else:
            continue
        result += [Pair(first=one.first, last=other.last, values=(one.value, other.value))
                   for other in starts.get(at, ()) if other.form in ("digits", "words")]
    return result


def _ranges(found: Sequence[Token], listed: list[Quantity]) -> list[Quantity]:
    """The same, where a number before "to 4 weeks" has the unit too."""
    done: list[Quantity] = []
    following: dict[int, Quantity] = {}
    for one in reversed(listed):
        at = one.last
        high = following.get(at + 1)
        if high and low_at(found, at) in ("to", "or") and one.value < 10 and high.value >= 100 and (
                high.value % 100 == 0 and one.form == high.form == "words"):
            done.append(replace(one, value=one.value * (1000 if high.value >= 1000 else 100), unit=high.unit))
        while at - one.last < 2 and low_at(found, at) in RANGE:
            at += 1
        after = following.get(at)
        if after and at > one.last and one.unit is None and after.unit and one.form in ("digits", "words") and (
                not one.noun or is_glued(found, at)) and after.form != "implied":
            one = replace(one, unit=after.unit)
        if one.first not in following or one.unit:
            following[one.first] = one
        done.append(one)
    return done[::-1]
