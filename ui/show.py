"""Records -> text and HTML for the page. Everything a person or a model wrote is escaped here; no gradio."""

import re
import time
from collections.abc import Iterable
from html import escape
from typing import Any

from ui.actions.chat import View
from ui.actions.model import ModelState
from ui.history import BROKEN, CUT, STOPPED, WRITING, Conversation, Message

DIAGRAM = re.compile(r"(`{3,}|~{3,})[ \t]*mermaid\b", re.IGNORECASE)     # drawn by the browser, pictures included
# What begins a tag or a picture, in code too: which backticks begin code is for one renderer to say, not for two.
OPENER = re.compile(r"<(?=[A-Za-z/!?])|!(?=\[)")
APART = "\u2060"                # word joiner: no width, and no part of any tag; page.js takes it out of what is copied
DAY_S = 24 * 3600
REMINDER = "For learning and research. Not a medical device; no substitute for a doctor."

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


def thread(view: View, model: ModelState) -> list[dict[str, Any]]:
    """The turns as gr.Chatbot takes them: Markdown, which it renders and sanitizes."""
    messages: list[dict[str, Any]] = []
    for turn in view.turns:
        is_on_its_way = view.is_writing and turn.state == WRITING
        if turn.text or not is_on_its_way:
            messages.append({"role": turn.role, "content": harmless(turn.text) or "(no answer)"})
        else:
            words = f"Loading {model.loading}" if model.loading else "Reading your message"
            messages.append({"role": turn.role, "content": f'<p class="waiting">{escape(words)} …</p>'})
        problem = problem_of(turn) if not is_on_its_way else ""
        if problem:
            messages.append({"role": "assistant", "content": f'<p class="problem">{escape(problem)}</p>'})
    return messages


def harmless(text: str) -> str:
    """Markdown in which tags and pictures are plain text, in code and outside, and diagrams are code.

    Gradio's sanitizing keeps pictures, forms and styles, so a hostile answer could draw over the page, and only
    the content policy would keep it from loading things. Both still stand behind this.
    """
    return OPENER.sub(rf"\g<0>{APART}", DIAGRAM.sub(r"\1text", text))


def problem_of(turn: Message) -> str:
    """The sentence that belongs under an answer that did not end well; "" for the others."""
    if turn.state == WRITING:
        return "Galen was interrupted while this answer was written."
    return turn.problem if turn.state == BROKEN else ""


def answer_line(view: View) -> str:
    """The quiet line under the last answer: speed, tokens, what wrote it."""
    if not view.turns or view.is_writing or view.turns[-1].role != "assistant":
        return ""
    last = view.turns[-1]
    facts = [f"{last.tokens_per_s:,.0f} tok/s"] if last.tokens_per_s else []
    facts += [f"{last.tokens:,} tokens"] if last.tokens else []
    facts += [" ".join(filter(None, (last.model, last.fingerprint[:4])))] if last.model else []
    facts += {STOPPED: ["stopped"], CUT: ["length limit"]}.get(last.state, [])
    facts += [f"first {last.dropped_turns} messages left out, the context is full"] if last.dropped_turns else []
    facts += ["demonstration only"] if last.notice else []
    return " · ".join(f"<span>{escape(fact)}</span>" for fact in facts)


def empty(model: ModelState) -> str:
    """What stands where the thread will be: what this is, and questions to begin with."""
    name = escape(model.info.name if model.info else "your model")
    words = escape(model.notice) if model.notice else "It runs on this computer; nothing you write leaves it."
    examples = "".join(f'<button type="button" data-text="{escape(text)}">{escape(text)}</button>'
                       for text in (DEMO_EXAMPLES if model.notice else EXAMPLES))
    return f'<h1>Ask {name}</h1><p>{words}</p><div class="examples">{examples}</div>'


def conversations(listed: Iterable[Conversation], current: str, now: float | None = None) -> str:
    """The list of conversations under the days they were used on."""
    parts, day = [], ""
    for one in listed:
        heading = _day(one.updated, time.time() if now is None else now)
        if heading != day:
            parts.append(f"<h2>{heading}</h2>")
            day = heading
        here = ' aria-current="page"' if one.id == current else ""
        title, key = escape(one.title), escape(one.id)
        parts.append(f'<div class="entry"{here}><a href="?c={key}" data-act="open" data-id="{key}"{here}>{title}</a>'
                     f'<button type="button" data-act="delete" data-id="{key}" aria-label="Delete: {title}" '
                     f'title="Delete">×</button></div>')
    entries = "".join(parts) or '<p class="none">Your conversations will stand here.</p>'
    return f'<nav aria-label="Conversations">{entries}</nav>'


def _day(then: float, now: float) -> str:
    local = time.localtime(now)
    midnight = now - (local.tm_hour * 3600 + local.tm_min * 60 + local.tm_sec)
    if then >= midnight:
        return "Today"
    return "Yesterday" if then >= midnight - DAY_S else "Earlier"


def model_facts(model: ModelState) -> str:
    """What the list of models does not say of the loaded one."""
    return f"{model.info.ctx_tokens:,} tokens" if model.info and not model.loading else ""


def notice(model: ModelState) -> str:
    """The strip under the header: loading, a refused file, a silent model, or what must be said of it."""
    if model.loading:
        return f'<p class="loading">{escape(f"Loading {model.loading} … You can write meanwhile.")}</p>'
    if model.problem:
        return f'<p class="problem" role="alert">{escape(model.problem)}</p>'
    lines = [("silent", f"{model.name} does not answer at the moment.")] if model.is_silent else []
    lines += [("caution", model.notice)] if model.notice else []
    return "".join(f'<p class="{kind}">{escape(text)}</p>' for kind, text in lines)
