"""Conversations -> the HTML of the chat page. What a person wrote is escaped here, a model's text in markdown.py."""

import functools
import time
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import quote

from ui.actions.chat import View
from ui.actions.model import ModelState
from ui.history import BROKEN, CUT, STOPPED, WRITING, Conversation, File, Message
from ui.views.markdown import rendered

if TYPE_CHECKING:
    from ui.actions.offers import Suggested

DAY_S = 24 * 3600
DEMO_EXAMPLES = (
    "What are the symptoms of asthma?",
    "What causes iron deficiency anemia?",
    "How is high blood pressure treated?",
)
EXAMPLES = (
    "Explain the stages of wound healing to a first-year student.",
    "Which questions should I ask before a course of antibiotics?",
    "Summarise in three sentences how insulin lowers blood glucose.",
)
ICON = ('<svg viewBox="0 0 24 24" width="16" height="16" fill="none" stroke="currentColor" stroke-width="1.8" '
        'stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><path d="{}"/></svg>')
PENCIL = ICON.format("M4 20h4L19 9l-4-4L4 16zM13 7l4 4")
STAR = ICON.format("M12 4l2.5 5.2 5.7.8-4.1 4 1 5.7L12 17l-5.1 2.7 1-5.7-4.1-4 5.7-.8z")
DOTS = ICON.format("M6 12h.01M12 12h.01M18 12h.01").replace('"1.8"', '"3"')
SHEET = ICON.format("M6 3h9l4 4v14H6zM15 3v4h4")
PICTURE = ICON.format("M4 5h16v14H4zM4 16l5-5 4 4 3-3 4 4M15 9h.01")

finished = functools.lru_cache(maxsize=512)(rendered)       # of answers that do not change any more


def split(turns: Sequence[Message]) -> tuple[list[Message], list[Message]]:
    """The turns before the last question, which no update touches; and that question with what followed it."""
    last = max((k for k, turn in enumerate(turns) if turn.role == "user"), default=0)
    return list(turns[:last]), list(turns[last:])


def thread(turns: Sequence[Message], is_writing: bool, model: ModelState) -> str:
    """Turns as rows. A red-flag notice stands behind the question that raised it, before the answer."""
    rows, k = [], 0
    while k < len(turns):
        turn = turns[k]
        if turn.role == "user":
            rows.append(_question(turn))
        elif turn.side == "a" and k + 1 < len(turns) and turns[k + 1].side == "b":
            rows.append(_pair(turn, turns[k + 1], is_writing, model))
            k += 1
        else:
            rows.append(_answer(turn, is_writing, model, "Galen"))
        k += 1
    return "".join(rows)


def live(view: View) -> str:
    """What tells the page's script to follow the answers that are being written; "" when there are none."""
    if not view.is_writing:
        return ""
    answers = ",".join(str(turn.id) for turn in view.turns if turn.state == WRITING)
    return (f'<i class="live" data-conversation="{escape(view.conversation)}" data-answers="{answers}"></i>'
            '<p class="sr" role="status">Galen writes</p>')


def _question(turn: Message) -> str:
    chips = "".join(chip(file) for file in turn.files)
    files = f'<ul class="chips" aria-label="Files">{chips}</ul>' if chips else ""
    lines = "<br>".join(escape(line) for line in turn.notice.split("\n"))
    flag = (f'<div class="turn flag-row"><div class="who">This may be an emergency</div>'
            f'<p class="flag" role="note">{lines}</p></div>') if turn.notice else ""
    return (f'<div class="turn user-row" data-id="{turn.id}"><div class="who">You</div>{files}'
            f'<div class="prose plain">{escape(turn.text)}</div><div class="tools">{versions(turn)}'
            f'<button type="button" data-act="edit" data-id="{turn.id}" aria-label="Edit this question" title="Edit">'
            f"{PENCIL}</button></div></div>{flag}")


def _answer(turn: Message, is_writing: bool, model: ModelState, who: str, mark: str = "") -> str:
    is_on_its_way = is_writing and turn.state == WRITING
    if is_on_its_way and not turn.text:
        loading = "the model" if turn.side else model.loading           # the name would tell who writes which
        words = f"Loading {loading}" if model.loading else "Reading your message"
        text = f'<p class="waiting">{escape(words)} …</p>'
    elif turn.text:
        text = rendered(turn.text) if is_on_its_way else finished(turn.text)
    else:
        text = "" if problem_of(turn) else "<p>(no answer)</p>"
    problem = problem_of(turn) if not is_on_its_way else ""
    told = f'<p class="problem">{escape(problem)}</p>' if problem else ""
    label = (f'<button type="button" class="who" data-act="select" data-id="{turn.id}" '
             f'title="Show the figures of this answer">{escape(who)}</button>')
    tools = versions(turn) if turn.side != "b" and not is_on_its_way else ""
    return (f'<div class="turn bot-row{mark}" data-id="{turn.id}">{label}<div class="prose">{text}</div>{told}'
            f'<div class="tools">{tools}</div></div>')


def _pair(left: Message, right: Message, is_writing: bool, model: ModelState) -> str:
    both, is_over = (left, right), not is_writing
    columns = "".join(_answer(one, is_writing, model, _name_in_pair(one), " voted" if one.vote == one.side else "")
                      for one in both)
    ask = ""
    if is_over and not left.vote and any(one.text for one in both):
        buttons = "".join(f'<button type="button" data-act="vote" data-id="{left.parent}" data-vote="{vote}">{words}'
                          "</button>" for vote, words in (("a", "A is better"), ("b", "B is better"), ("tie", "Equal")))
        ask = f'<div class="vote"><span>Which answer is better? Then you see who wrote which.</span>{buttons}</div>'
    return f'<div class="pair">{columns}</div>{ask}'


def _name_in_pair(turn: Message) -> str:
    """A or B, and after the vote who that was."""
    if not turn.vote:
        return turn.side.upper()
    better = " · better" if turn.vote == turn.side else " · equal" if turn.vote == "tie" else ""
    return f"{turn.side.upper()} · {_signature(turn)}{better}"


def versions(turn: Message) -> str:
    """The switch between versions of a turn: "2 of 3"; "" where there is one only."""
    if turn.versions < 2:
        return ""
    back, on = ("disabled" if is_end else "" for is_end in (turn.version == 1, turn.version == turn.versions))
    button = '<button type="button" data-act="version" data-id="{}" data-step="{}" aria-label="{}" {}>{}</button>'
    return ('<span class="versions">' + button.format(turn.id, -1, "Version before", back, "‹") +
            f"<span>{turn.version} of {turn.versions}</span>" + button.format(turn.id, 1, "Next version", on, "›") +
            "</span>")


def chip(file: File, place: int | None = None) -> str:
    """A file in a message: its name and how much of it was read. place: it can still be taken out."""
    icon = PICTURE if file.kind == "picture" else SHEET
    note = f'<span class="note">{escape(file.note)}</span>' if file.note else ""
    name = escape(file.name)
    remove = (f'<button type="button" data-act="remove" data-place="{place}" aria-label="Leave out {name}">×</button>'
              if place is not None else "")
    return f'<li class="chip">{icon}<span class="name">{name}</span>{note}{remove}</li>'


def pending(files: Sequence[File]) -> str:
    """The files that go with the next question."""
    chips = "".join(chip(file, k) for k, file in enumerate(files))
    return f'<ul class="chips" aria-label="Files for this message">{chips}</ul>' if chips else ""


def problem_of(turn: Message) -> str:
    """The sentence that belongs under an answer that did not end well; "" for the others."""
    if turn.state == WRITING:
        return "Galen was interrupted while this answer was written."
    return turn.problem if turn.state == BROKEN else ""


def answer_line(view: View, selected: int | None = None) -> str:
    """The quiet line under the thread: speed, tokens, context and writer of the last answer, or the selected one."""
    answers = [turn for turn in view.turns if turn.role == "assistant"]
    if not answers or view.is_writing:
        return ""
    turn = next((one for one in answers if one.id == selected), answers[-1])
    parts = " · ".join(f"<span>{escape(fact)}</span>" for fact in facts(turn))
    copy = f'<button type="button" data-act="copy" data-id="{turn.id}">Copy</button>' if turn.text else ""
    return f"{parts}{copy}"


def facts(turn: Message) -> list[str]:
    """What an answer's line says. Who wrote one of a pair stays hidden until the vote."""
    is_hidden = _is_hidden(turn)
    said = [f"answer {turn.side.upper()}"] if turn.side else []
    said += [f"{turn.tokens_per_s:,.0f} tok/s"] if turn.tokens_per_s and not is_hidden else []
    said += [f"{turn.tokens:,} tokens"] if turn.tokens else []
    said += [f"context {context_share(turn):.0%}"] if context_share(turn) and not is_hidden else []
    said += [_signature(turn)] if turn.model and not is_hidden else []
    said += [f"{turn.version} of {turn.versions}"] if turn.versions > 1 else []
    said += {STOPPED: ["stopped"], CUT: ["length limit"]}.get(turn.state, [])
    said += [f"first {turn.dropped_turns} messages left out, the context is full"] if turn.dropped_turns else []
    said += ["demonstration only"] if turn.notice and not is_hidden else []
    return said


def context_share(turn: Message) -> float:
    """How much of the context question and answer took, 0 to 1; 0 where it is not known."""
    return min(1.0, (turn.prompt_tokens + turn.tokens) / turn.ctx_tokens) if turn.ctx_tokens else 0.0


def context(view: View) -> str:
    """The context's use in words and as a bar, for the drawer."""
    answers = [turn for turn in view.turns if turn.role == "assistant" and turn.ctx_tokens]
    if not answers:
        return '<p class="quiet">Context: nothing in it yet.</p>'
    if _is_hidden(answers[-1]):
        return '<p class="quiet">Context: shown after your vote.</p>'
    last, share = answers[-1], context_share(answers[-1])
    words = f"Context {share:.0%}: {last.prompt_tokens + last.tokens:,} of {last.ctx_tokens:,} tokens"
    return f'<p class="quiet">{words}</p><i class="bar" style="--share: {share:.3f}"></i>'


def lacks(controls: Sequence[str]) -> str:
    """What tells the style which controls the model has no use for; "" for none."""
    return f'<i data-lacks="{escape(" ".join(controls))}" hidden></i>' if controls else ""


def _is_hidden(turn: Message) -> bool:
    """True for one of a pair before the vote: neither its writer nor what would tell it is shown."""
    return bool(turn.side) and not turn.vote


def _signature(turn: Message) -> str:
    return " ".join(filter(None, (turn.model, turn.fingerprint[:4])))


def empty(model: ModelState, suggested: "Suggested | None" = None) -> str:
    """What stands where the thread will be: what this is, questions to begin with, and the way to a real model."""
    name = escape(model.info.name if model.info else "your model")
    words = escape(model.notice) if model.notice else "It runs on this computer; nothing you write leaves it."
    examples = "".join(f'<button type="button" data-text="{escape(text)}">{escape(text)}</button>'
                       for text in (DEMO_EXAMPLES if model.notice else EXAMPLES))
    more = f'<p class="more">{_get(suggested)}</p>' if model.notice else ""
    return f'<h1>Ask {name}</h1><p>{words}</p><div class="examples">{examples}</div>{more}'


def _get(suggested: "Suggested | None") -> str:
    if suggested is None:
        return '<a href="/models">Get a real medical model</a>: the Models page says which ones this computer can run.'
    entry, name = suggested.entry, escape(f"{suggested.entry.title} {suggested.type}".strip())
    words = f"Use {name}" if suggested.is_here else f"Get {name}"
    address = escape(f"/models?get={quote(f'{entry.id}/{suggested.type}'.strip('/'))}")
    return (f'For real questions: <a href="{address}">{words}</a>, which suits this computer; the Models page says '
            "why.")


def conversations(listed: Iterable[Conversation], current: str, query: str = "", more: int = 0,
                  now: float | None = None) -> str:
    """The list of conversations: starred ones, then under the days they were used on. more: how many lie behind it."""
    parts, before = [], ""
    for one in listed:
        heading = "Starred" if one.is_starred else _day(one.updated, time.time() if now is None else now)
        if heading != before:
            parts.append(f"<h2>{heading}</h2>")
            before = heading
        parts.append(_entry(one, one.id == current))
    if more > 0:
        parts.append(f'<button type="button" class="older" data-act="older">{more:,} older ones</button>')
    none = "Nothing found." if query else "Your conversations will stand here."
    entries = "".join(parts) or f'<p class="none">{none}</p>'
    return f'<nav aria-label="Conversations">{entries}</nav>'


def _entry(one: Conversation, is_here: bool) -> str:
    here, title, key = ' aria-current="page"' if is_here else "", escape(one.title), escape(one.id)
    star = "true" if one.is_starred else "false"
    button = '<button type="button" class="{}" data-act="{}" data-id="{}" aria-label="{}" title="{}" {}>{}</button>'
    stars = button.format("star", "star", key, f"Star: {title}", "Star",
                          f'data-pressed="{star}" aria-pressed="{star}"', STAR)
    more = button.format("more", "menu", key, f"More: {title}", "More", 'aria-haspopup="menu"', DOTS)
    return (f'<div class="entry"{here}><a href="?c={key}" data-act="open" data-id="{key}" title="{title}"{here}>'
            f"{title}</a>{stars}{more}</div>")


def deleted(title: str, conversation: str) -> str:
    """The toast after a deletion, with its way back."""
    return (f'<p role="status">Deleted “{escape(title)}”.</p>'
            f'<button type="button" data-act="undo" data-id="{escape(conversation)}">Undo</button>')


def _day(then: float, now: float) -> str:
    local = time.localtime(now)
    midnight = now - (local.tm_hour * 3600 + local.tm_min * 60 + local.tm_sec)
    if then >= midnight:
        return "Today"
    return "Yesterday" if then >= midnight - DAY_S else "Earlier"
