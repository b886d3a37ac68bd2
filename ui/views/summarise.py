"""A summary -> HTML: its text with the places that the conversation does not say, a legend, and the list in words."""

from collections import Counter
from collections.abc import Iterator, Sequence
from html import escape

from tasks.grounding import KINDS, Mark
from tasks.headers import HEADERS
from tasks.sections import BETWEEN
from tasks.summarise import Summary
from ui.actions.single import State
from ui.actions.summaries import SECTIONS, WHOLE, Wanted
from ui.terminal import duration

KIND_WORDS = {"number": "number", "dose": "dose", "date": "date", "frequency": "how often", "name": "name",
              "medicine": "medicine"}
LIMITS = ("A mark may be wrong, and so may be what is not marked: negations, sides and diagnoses are not looked at. "
          "English only.")
EMPTY = ("<p class=\"none\">Paste a conversation between a doctor and a patient above, or take the example. The "
         "summary will stand here, with every number, dose, date and name marked that was not said.</p>")


def result(state: State[Wanted, Summary]) -> str:
    """What stands where the summary will be, while it is written, and when it is there."""
    if state.asked is None:
        return EMPTY
    if state.problem:
        return f'<p class="problem" role="alert">{escape(state.problem)}</p>'
    if state.found is None:
        title = SECTIONS[state.asked.section] if state.asked.section else "Summary"
        ended = "Stopped; this is what had been written." if state.is_stopped else _doing(state)
        text = f'<div class="note">{_plain(state.text)}</div>' if state.text else ""
        return f'<article><h2>{escape(title)}</h2>{text}<p class="quiet" role="status">{escape(ended)}</p></article>'
    found = state.found
    notes = found.notes[:-1] if found.marks else found.notes        # the last one counts the marks, which are listed
    told = "".join(f"<p>{escape(note)}</p>" for note in notes)
    took = [duration(state.seconds)] if state.seconds >= 1 else []
    by = " · ".join([f"{state.model} {state.fingerprint[:4]}", *took])
    title = f'<div class="title"><h2>{escape(_title(state.asked, found))}</h2>{_copy(found)}</div>'
    return (f'<article data-plain="{escape(found.text)}">{title}<div class="note">{marked(found)}</div>'
            f'{marks(found.marks)}<div class="told">{told}</div><p class="quiet">{escape(by)}</p></article>')


def marked(found: Summary) -> str:
    """The text of a summary, headings as headings, its marks as marks: each says why where one points at it."""
    numbers = {mark.start: number for number, mark in enumerate(found.marks, 1)}
    parts = []
    for is_heading, start, end in _blocks(found):
        text = "".join(_pieces(found.text, start, end, found.marks, numbers))
        parts.append(f"<h3>{text}</h3>" if is_heading else f"<p>{text}</p>")
    return "".join(parts)


def marks(found: Sequence[Mark]) -> str:
    """The legend of the kinds that are marked, and every mark in words; a sentence where nothing is."""
    if not found:
        return f'<p class="legend">Nothing is marked. {LIMITS}</p>'
    counts = Counter(mark.kind for mark in found)
    legend = "".join(f'<li><mark class="{kind}">{KIND_WORDS[kind]}</mark> {counts[kind]}</li>'
                     for kind in KINDS if kind in counts)
    listed = Counter((mark.text, mark.kind, mark.why) for mark in found)
    lines = "".join(f"<li><b>{escape(text)}</b> ({KIND_WORDS[kind]}{f', {count} times' if count > 1 else ''}): "
                    f"{escape(why)}</li>" for (text, kind, why), count in listed.items())
    return (f'<section class="marks" aria-label="Marked places"><h3>Not said in the conversation</h3>'
            f'<ul class="legend">{legend}</ul><ol>{lines}</ol><p class="quiet">{LIMITS}</p></section>')


def _title(asked: Wanted, found: Summary) -> str:
    if asked.section == WHOLE:
        return "Clinical note"
    words = HEADERS.get(found.header, found.header)
    return f"{words} ({found.header})" if words and words != found.header else words or "Summary"


def _copy(found: Summary) -> str:
    return '<button type="button" class="copy" data-copy>Copy</button>' if found.text else ""


def _doing(state: State[Wanted, Summary]) -> str:
    return "Writing …" if state.text else "Reading the conversation …"


def _blocks(found: Summary) -> Iterator[tuple[bool, int, int]]:
    """(whether it is a heading, start, end) of the headings and paragraphs of a text, in order."""
    names = list(found.sections)
    at = 0
    for paragraph in found.text.split(BETWEEN):
        end = at + len(paragraph)
        if names and paragraph.split("\n", 1)[0] == names[0]:
            yield True, at, at + len(names[0])
            at += min(len(names.pop(0)) + 1, len(paragraph))
        if at < end:
            yield False, at, end
        at = end + len(BETWEEN)


def _pieces(text: str, start: int, end: int, found: Sequence[Mark], numbers: dict[int, int]) -> Iterator[str]:
    at = start
    for mark in found:
        low, high = max(mark.start, start), min(mark.end, end)
        if low >= high:
            continue
        number = numbers[mark.start]
        yield _plain(text[at:low])
        yield (f'<mark class="{mark.kind}" tabindex="0" aria-describedby="why-{number}">{_plain(text[low:high])}'
               f'<span class="why" role="tooltip" id="why-{number}">{KIND_WORDS[mark.kind].capitalize()}. '
               f'{escape(mark.why)}</span></mark>')
        at = high
    yield _plain(text[at:end])


def _plain(text: str) -> str:
    return escape(text).replace("\n", "<br>")
