"""Where a text holds names of persons and their employers: by the words around them, and by lists."""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tasks.phi import cues
from tasks.phi.page import Page, folded, starting
from tasks.phi.span import Span, before
from tasks.phi.words import Lists, lists

LEFT_CHARS = 60             # of a line are looked at before a name


class Word(NamedTuple):
    """A word with a capital letter, without 's; low: in lower case."""

    start: int
    end: int
    low: str
    is_initial: bool
    is_caps: bool


def spans(page: Page) -> Iterator[Span]:
    """Every name, in no order; they may overlap."""
    text = page.text
    words, known, at = _words(page), lists(), 0
    is_any_title = not text.isascii() or not page.words.isdisjoint(cues.TITLES)
    while at < len(words):
        if not is_any_title and known.is_ordinary(words[at].low):
            at += 1
            continue
        span, at = _name_at(text, words, at, known)
        if span:
            yield span
    yield from _firms(page, known)
    yield from _initials(page)
    yield from _lower(page, known)
    yield from _greeted(page, known)


def _words(page: Page) -> list[Word]:
    found = []
    for one in starting(cues.WORD, page.text, (at for at, _ in page.capitals)):
        value = one[0]
        is_initial = value[1:2] == "." or (len(value) == 1 and value != "I")
        if not is_initial and value.endswith(("'s", "’s")):
            value = value[:-2]
        is_caps = len(value) > 1 and value.isupper() and not is_initial
        found.append(Word(one.start(), one.start() + len(value), value.lower(), is_initial, is_caps))
    return found


def _name_at(text: str, words: Sequence[Word], at: int, known: Lists) -> tuple[Span | None, int]:
    """The name that begins with this word, if one does, and the word to look at next."""
    word = words[at]
    if word.low in cues.TITLES and not (known.is_name(word.low) and text[word.end:word.end + 1] != " "):
        return None, at + 1
    left = before(text, word.start, LEFT_CHARS)
    if _may_end_in_particle(left):
        left = cues.PARTICLES.sub("", left)
    is_after_title = _ends_in_title(left, word)
    if known.is_ordinary(word.low) and not is_after_title:
        return None, at + 1
    if not left.strip():                        # a line of its own: what stands above it
        left = text[max(0, word.start - LEFT_CHARS):word.start]
    turned = _last_first(text, words, at, known, left)
    if turned:
        return turned
    is_titled = is_after_title and bool(cues.TITLE.search(left)) and _fits_title(word, left, known)
    last = _last(text, words, at, known, is_titled)
    run, start = words[at:last + 1], _start(text, word.start)
    if is_titled:
        return Span(start, run[-1].end, "name"), last + 1
    if _is_term(text, run, left, known):
        return None, last + 1
    is_said = _is_said(text, run, left, known)
    if is_said or _is_listed(text, run, left, known):
        return Span(start, run[-1].end, "name", is_said), last + 1
    return None, at + 1


def _may_end_in_particle(left: str) -> bool:
    """False where the last word is none of cues.PARTICLE, which most are."""
    if not left.endswith(" "):
        return False
    last = left[:-1].rpartition(" ")[2].lower()
    if last.isalpha() and last.isascii():
        return last in cues.PARTICLE_ENDS
    return last.endswith(tuple(cues.PARTICLE_ENDS)) or not last.isascii()


def _ends_in_title(left: str, word: Word) -> bool:
    title = left.rstrip(". ").rpartition(" ")[2] if left.endswith(" ") else ""
    if not title.isalpha():
        title = re.split(r"[^\w-]", title)[-1]
    if title.lower() not in cues.TITLES:
        return False
    is_short = title.isupper() and title not in ("DR", "MR", "MRS")         # MS is a disease
    return not is_short or word.is_caps or word.is_initial


def _start(text: str, start: int) -> int:
    """Where a name begins with the particles before it: "van der Meulen"."""
    left = before(text, start, 12)
    found = cues.PARTICLES.search(left) if _may_end_in_particle(left) else None
    if not found or found[0].strip().lower() in ("y", "e", "la", "le", "el", "ten", "da"):
        return start
    return start - len(found[0])


def _is_term(text: str, run: Sequence[Word], left: str, known: Lists) -> bool:
    """True for the name in "Bell palsy" and in "Smith et al."."""
    end = run[-1].end
    if cues.CITATION.match(text, end):
        return True
    is_person = len(run) > 1 and known.is_given(run[0].low) and known.is_surname(run[-1].low)
    return bool(cues.EPONYM.match(text, end)) and not (
        is_person or cues.DEGREE.match(text, end) or cues.CLOSING.search(left))


def _fits_title(word: Word, left: str, known: Lists) -> bool:
    if word.low in cues.STOP_TITLE or word.low in cues.SUFFIX:
        return False
    return not cues.SOFT.search(left) or word.is_initial or known.is_name(word.low) or known.is_unknown(word.low)


def _last(text: str, words: Sequence[Word], at: int, known: Lists, is_titled: bool) -> int:
    """The last word of the run that begins here and could be one name."""
    last = at
    while last + 1 < len(words) and last - at < 4:
        here, following = words[last], words[last + 1]
        gap, low = text[here.end:following.start], following.low
        is_suffix = low in cues.SUFFIX and gap in (" ", ", ")
        if not is_suffix and (not cues.SPACE.fullmatch(gap) or gap.strip() in ("'", "’")):
            break
        if not is_suffix and not following.is_initial and not _goes_on(here, following, known):
            break
        last += 1
    if last == at + 1 and not is_titled and words[last].is_initial and text[words[last].end - 1] != ".":
        return at                               # "Vitamin D"
    return last


def _goes_on(here: Word, following: Word, known: Lists) -> bool:
    """Whether two words side by side can be of one name."""
    low = following.low
    if following.is_caps != here.is_caps and not here.is_initial and len(low) > 1 and low[:2] != "mc":
        return False
    if low in known.regions or low in cues.STOP_TITLE:
        return False
    return known.is_name(low) or not (known.is_other(low) or low in known.cities)


def _last_first(text: str, words: Sequence[Word], at: int, known: Lists, left: str) -> tuple[Span, int] | None:
    """A surname, a comma and a given name, "Gutierrez, Ramon W.", and the word to look at next."""
    last = at
    while last + 1 < len(words) and last - at < 2 and cues.SPACE.fullmatch(text[words[last].end:words[last + 1].start]):
        last += 1
    gap = text[words[last].end:words[last + 1].start] if last + 1 < len(words) else ""
    if gap not in (", ", ",") and gap not in cues.CELLS:
        return None
    surname, given = words[last], words[last + 1]
    if cues.DEGREE.match(text, surname.end) or given.is_initial or given.is_caps != surname.is_caps:
        return None
    is_field = (not left.strip() or left.rstrip(" ")[-1:] in "|;\t(:\n" or bool(cues.LABEL.search(left))
                or bool(cues.FIELD.search(left)))
    is_word = surname.low in known.words and not cues.FIELD.search(left)
    is_listed = given.low in known.given or known.is_surname(surname.low) or bool(cues.FIELD.search(left))
    is_listed = is_listed or (last == at and gap == ", " and not left.strip() and bool(cues.CELL_END.match(text,
        given.end)))
    by_place = (is_field and not is_word and is_listed
                and all(known.is_name(one.low) or known.is_unknown(one.low) for one in words[at:last + 2]))
    by_lists = (gap not in cues.CELLS and known.is_surname(surname.low) and given.low in known.given and last == at
                and not known.is_given(surname.low))
    if not by_place and not by_lists:
        return None
    end = _last(text, words, last + 1, known, True)
    return Span(_start(text, words[at].start), words[end].end, "name", is_field), end + 1


def _whole(run: Sequence[Word]) -> list[Word]:
    """The words of a run that are no initials and no Jr."""
    return [word for word in run if not word.is_initial and word.low not in cues.SUFFIX]


def _is_said(text: str, run: Sequence[Word], left: str, known: Lists) -> bool:
    """True where the words around a run say that it is a name, and it is no other word."""
    first, end, names = run[0], run[-1].end, _whole(run)
    is_any = any(known.is_name(word.low) for word in names)
    if not names or not all((is_any and known.is_name(word.low)) or known.is_unknown(word.low) for word in names):
        return False
    if all(word.is_caps and len(word.low) < 4 for word in names):
        return False
    is_sure = any(known.is_given(word.low) or known.is_surname(word.low) for word in names)
    if "\n" in left and cues.CLOSING.search(left):
        return True
    if cues.SIGNED_INLINE.search(left) and cues.ENDS_LETTER.match(text, end):
        return True
    if cues.DEGREE.match(text, end):
        return bool(len(run) > 1 or known.is_name(first.low) or cues.NEXT_TO.search(folded(left))
                    or cues.FIELD.search(left))
    if cues.SPEAKER.search(left):
        is_pair = len(names) > 1 and not cues.LOWER_WORD.match(text, end)       # "Pt: Xyla Quorra  DOB"
        return is_pair or (is_sure and _ends_address(text, end))
    field = cues.FIELD.search(left)
    if field:
        if len(names) == 1 and known.is_other(first.low) and "name" not in field[0].lower():
            return False
        return is_sure or not cues.LOWER_WORD.match(text, end)
    low = folded(left)
    cue = (cues.NEXT_MORE.search(low) if low.endswith(cues.MORE_ENDS) else None) or cues.NEXT_TO.search(low)
    said = left[cue.start():cue.end()].lower().strip(" ,:(") if cue else ""
    return bool(cue) and _fits_cue(text, run, said, known)


def _fits_cue(text: str, run: Sequence[Word], cue: str, known: Lists) -> bool:
    """Whether a run after a cue is a name: any unlisted word after a telling cue, a listed name after a light one."""
    names, end = _whole(run), run[-1].end
    if any(known.is_given(word.low) or known.is_surname(word.low) for word in names):
        return True
    word, is_followed = names[0], bool(cues.VERB.match(text, run[-1].end))
    if not known.is_name(word.low):
        is_light = cue in cues.LIGHT or cue.endswith((" is", " was"))
        return not is_light and not word.is_caps and known.is_unknown(word.low)
    if len(run) == 1 and word.low in known.terms and cues.LOWER_WORD.match(text, end) and not is_followed:
        return False
    is_place = word.low in known.cities or word.low in known.regions
    if cue in cues.LIGHT and (is_place or not is_followed):
        return len(run) > 1 and not is_place
    return not (is_place and re.search(r"\b(?:from|to|in|of|contact)$", cue))


def _ends_address(text: str, end: int) -> bool:
    return text[end:end + 1] in (".", ",", "?", "!", "\n", "")


def _is_listed(text: str, run: Sequence[Word], left: str, known: Lists) -> bool:
    """True where the lists alone speak for a name."""
    names = _whole(run)
    if not names:
        return False
    if len(names) > 1:
        return _is_pair(names, left, known)
    first, end = names[0], run[-1].end
    if cues.NUMBERED.match(text, end):          # "Berg 41/56"
        return False
    if len(run) > 1:
        return _has_initial(text, run, first, left, known)
    if first.is_caps:
        return False
    if cues.PERSONS_VERB.match(text, end) and known.is_unknown(first.low) and len(first.low) > 3:
        return True
    is_given = known.is_given(first.low)
    if is_given or known.is_surname(first.low):
        return text[end:end + 1] != "-" and (is_given or not cues.CAPITAL.match(text, end))
    is_other_name = first.low in known.given and not (
        first.low in known.regions or first.low in known.cities or first.low in cues.MONTHS)
    if not is_other_name or len(first.low) < 3:
        return False
    is_inside = bool(re.search(r"[a-z,] $", left)) and first.low not in known.terms
    return bool(cues.RELATIVE.match(text, end)) or (
        is_inside and (bool(cues.VERB.match(text, end)) or _ends_address(text, end)))


def _is_pair(names: Sequence[Word], left: str, known: Lists) -> bool:
    """True for a given name and a surname side by side, one of them listed."""
    if not all(known.is_name(word.low) or known.is_unknown(word.low) for word in names):
        return False
    first, last = names[0], names[-1]
    is_given, is_surname = known.is_given(first.low), known.is_surname(last.low)
    if first.is_caps:
        return last.is_caps and first.low in known.given and (is_surname or is_given)
    if is_given or is_surname:
        return True
    if known.is_surname(first.low) and names[1].low in known.given:
        return True                             # "Nguyen Thi Hoa"
    if first.low not in known.given or first.low in known.regions:
        return False
    is_free = last.low not in known.given and not known.is_other(first.low) and not cues.PLACE_BEFORE.search(left)
    return known.is_name(last.low) or is_free


def _has_initial(text: str, run: Sequence[Word], name: Word, left: str, known: Lists) -> bool:
    """Whether an initial and one word are a name: "T. Alvarado", not "Vitamin D. Milk"."""
    if not run[0].is_initial:
        return known.is_name(name.low) and not known.is_other(name.low)
    if cues.BEFORE_LETTER.search(left):
        return False
    if "." not in text[run[0].start:run[0].end]:
        return known.is_surname(name.low) and not re.search(r"\b[A-Z0-9] $", left)
    if known.is_name(name.low):
        return not known.is_other(name.low)
    return known.is_unknown(name.low) and not name.is_caps


def _firms(page: Page, known: Lists) -> Iterator[Span]:
    text = page.text
    is_any = not page.capital_words.isdisjoint(cues.FIRM_WORDS)
    for found in starting(cues.FIRM, text, (at for at, _ in page.capitals)) if is_any else ():
        words = [word.lower() for word in re.split(r"[ &]+", found[0])[:-1] if word]
        if any(known.is_unknown(word) or known.is_name(word) for word in words):
            yield Span(found.start(), found.end(), "name")
    is_any = any(_is_firm_said(page, at) for at, _ in page.capitals)
    for found in cues.FIRM_RUN.finditer(text) if is_any else ():
        if not _is_firm_said(page, found.start()) or cues.PUBLIC.search(found[0]):
            continue
        value = found[0] if " " in found[0] else found[0].removesuffix("'s")
        words = [word.lower().removesuffix("'s") for word in re.split(r"[ &-]+", value) if word]
        is_region = len(words) == 1 and (words[0] in known.cities or words[0] in known.regions)
        if not is_region and any(known.is_unknown(word) or known.is_name(word) for word in words):
            yield Span(found.start(), found.start() + len(value), "name", rank=3)


def _is_firm_said(page: Page, at: int) -> bool:
    """Whether the words before a place speak of work."""
    return page.low.endswith(cues.FIRM_BEFORE, 0, at) and bool(cues.FIRM_CUE.search(before(page.low, at, 70)))


def _initials(page: Page) -> Iterator[Span]:
    text = page.text
    for found in starting(cues.INITIALS, text, (at for at, word in page.capitals if len(word) == 1)):
        if found[0] not in cues.NO_INITIALS and cues.INITIALS_CUE.search(before(text, found.start(), 30)):
            yield Span(found.start(), found.end(), "name")
    for found in starting(cues.BARE_INITIALS, text, page.places(cues.BARE_WORDS)):
        group = 1 if found[1] else 2
        yield Span(found.start(group), found.end(group), "name")


def _lower(page: Page, known: Lists) -> Iterator[Span]:
    """Names in lower case, as people write in a chat: after a title, after "my husband", after "hi"."""
    text = page.text
    for found in starting(cues.LOWER_TITLE, text, page.places(cues.LOWER_TITLES)):
        word = found[2].removesuffix("'s").removesuffix("’s").rstrip("-'’")
        if not _fits_lower(found[1], word, known):
            continue
        is_followed = found[3] and word == found[2] and known.is_surname(found[3])
        yield Span(found.start(2), found.end(3) if is_followed else found.start(2) + len(word), "name")
    for found in starting(cues.LOWER_CUE, page.low, page.places(cues.LOWER_STARTS)):
        word = text[found.start(2):found.end(2)]
        if word not in known.given or word in cues.NEVER_LOWER or word in known.regions:
            continue
        if known.is_other(word) and len(found[1].split()) < 2:
            continue
        is_followed = found[3] and known.is_surname(text[found.start(3):found.end(3)])
        yield Span(found.start(2), found.end(3 if is_followed else 2), "name")


def _fits_lower(title: str, word: str, known: Lists) -> bool:
    """Whether a word in lower case after a title is a name: "mr crenshaw", not "doctor said"."""
    if word in cues.STOP_TITLE:
        return False
    if known.is_other(word):
        is_personal = title in ("mr", "mrs", "ms", "miss", "uncle", "aunt", "auntie")
        return is_personal and word in known.given and word not in cues.NEVER_LOWER
    return known.is_name(word) or (known.is_unknown(word) and not cues.NO_SURNAME.search(word))


def _greeted(page: Page, known: Lists) -> Iterator[Span]:
    """Names in lower case of those who call or sign: "its marisol here", "cheers, rhodri"."""
    text = page.text
    for pattern, words in ((cues.LOWER_SIGN, cues.SIGN_OFF), (cues.LOWER_HERE, cues.HERE_WORDS)):
        for found in starting(pattern, text if pattern is cues.LOWER_HERE else page.low, page.places(words)):
            word = text[found.start(1):found.end(1)]
            if word in known.given and word not in cues.NEVER_LOWER or (
                    known.is_unknown(word) and word.islower() and len(word) > 3 and not cues.NO_SURNAME.search(word)):
                yield Span(found.start(1), found.end(1), "name")
