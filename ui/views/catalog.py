"""What can be had -> the cards of the Models page: sizes, licence, what fits, the way to a gated model. No gradio."""

import re
from collections.abc import Sequence
from html import escape
from urllib.parse import quote

from models.access import licence_page
from models.catalog import IMAGE, TUNE, Entry
from models.token import NEW_PAGE
from ui.actions.offers import BASE, FILES, Choice, Offer, Suggested
from ui.views.models import count, rough, size

HUB = "https://huggingface.co"
ADDRESS = re.compile(r"https?://[^\s<>\"')]+[^\s<>\"').,;:]")
NAMES = {BASE: "The original, for training", FILES: "See which files there are"}
CAPABILITIES = {IMAGE: "reads pictures", TUNE: "can be trained further"}
OFFLINE = ("Galen is offline. A download needs the network: switch Offline off for it, here or in Settings, and on "
           "again there when it is done. Nothing but what you choose is fetched.")


def linked(text: str) -> str:
    """A sentence, escaped, with its addresses and the Settings page as links."""
    parts, end = [], 0
    for found in ADDRESS.finditer(text):
        parts += [_plain(text[end:found.start()]), link(found.group(), found.group())]
        end = found.end()
    return "".join([*parts, _plain(text[end:])])


def _plain(text: str) -> str:
    return escape(text).replace("in Settings", 'in <a href="/settings">Settings</a>')


def link(address: str, words: str) -> str:
    """A link out of this computer; it is opened by a click alone, and tells the other side nothing of this page."""
    if not address.startswith(("https://", "http://")):
        return escape(words)
    return f'<a href="{escape(address)}" target="_blank" rel="noopener noreferrer">{escape(words)}</a>'


def cards(offers: Sequence[Offer], suggested: Suggested | None, opened: str, is_offline: bool) -> str:
    """The recommended one, then a card for each entry. opened: "ENTRY" or "ENTRY/KIND", what the person has chosen."""
    entry, _, kind = opened.partition("/")
    listed = "".join(_card(one, one.entry.id == entry, kind, is_offline) for one in offers)
    return f'{_recommended(suggested)}<ul class="models offers">{listed}</ul>'


def _recommended(suggested: Suggested | None) -> str:
    if suggested is None:
        return ""
    entry = suggested.entry
    words = f"{entry.title} {suggested.type}".strip()
    act = ('<p class="good">It is here already.</p>' if suggested.is_here else
           _button("choose", entry.id, suggested.type, f"Get {words}", is_main=True))
    return (f'<div class="recommended" id="recommended"><h3>Recommended for this computer: {escape(words)}</h3>'
            f"<p>{escape(suggested.reason)}</p>{act}</div>")


def _card(one: Offer, is_open: bool, kind: str, is_offline: bool) -> str:
    entry, key = one.entry, escape(one.entry.id)
    act = "close" if is_open else "open"
    words = "Close" if is_open else "Get it"
    head = f'<div class="about"><h3>{escape(entry.title)}</h3><p class="for">{escape(entry.good_for)}</p>'
    facts = f'<p class="facts">{_facts(entry)}</p>'
    best = "" if is_open else _best(one)
    button = (f'<div class="acts"><button type="button" data-act="{act}" data-entry="{key}" aria-expanded='
              f'"{str(is_open).lower()}" aria-label="{words}: {escape(entry.title)}">{words}</button></div>')
    inside = _inside(one, kind, is_offline) if is_open else ""
    return f'<li id="offer-{key}"{" class=open" if is_open else ""}>{head}{facts}{best}</div>{button}{inside}</li>'


def _facts(entry: Entry) -> str:
    facts = [f"{count(entry.parameters)} parameters", f"{entry.ctx_tokens:,} tokens of context"]
    facts += [words for name, words in CAPABILITIES.items() if entry.can(name)]
    shown = [f"<span>{escape(fact)}</span>" for fact in facts]
    shown.append(f"<span>licence {link(entry.licence_url, entry.licence)}</span>")
    return "".join(shown)


def _best(one: Offer) -> str:
    """The smallest type, and the largest that fits: what a closed card says of this computer."""
    known = [choice for choice in one.choices if choice.fits]
    if not known:
        return ""
    least = min(known, key=lambda choice: choice.bytes)
    best = max((choice for choice in known if _mark(choice) == "good"), key=lambda choice: choice.bytes, default=least)
    shown = {choice.type: choice for choice in (least, best)}.values()
    return "".join(f'<p class="fits {_mark(choice)}">{escape(choice.type)}: {_words(choice)}</p>' for choice in shown)


def _mark(choice: Choice) -> str:
    if choice.fits is None:
        return ""
    return "good" if choice.fits.kind == "fits" else "caution"


def _words(choice: Choice) -> str:
    takes = size(choice.bytes) if choice.is_exact else f"about {rough(choice.bytes / 1e6)}"
    parts = [takes] if choice.bytes else []
    return escape(", ".join([*parts, *([choice.fits.words] if choice.fits else [])]))


def _inside(one: Offer, kind: str, is_offline: bool) -> str:
    types = "".join(_type(one, choice, choice.type == kind) for choice in one.choices)
    return (f'<div class="choices"><p class="quiet">{_lead(one)}</p><ul>{types}</ul>'
            f"{_chosen(one, kind, is_offline) if kind else ''}</div>")


def _lead(one: Offer) -> str:
    if not one.repo:
        return "Nobody offers this one as a GGUF that Galen knows of; it can be had for training."
    files = f"Files of {link(f'{HUB}/{quote(one.repo)}', one.repo)}."
    return f"{files} Fewer bits are smaller, faster, and a little less exact. Choosing one asks the hub for its size."


def _type(one: Offer, choice: Choice, is_chosen: bool) -> str:
    name = NAMES.get(choice.type, choice.type)
    here = '<span class="good">is here</span>' if choice.is_here else ""
    here += "<span>asks for an account</span>" if choice.type == BASE and one.entry.is_gated else ""
    return (f'<li><button type="button" data-act="choose" data-entry="{escape(one.entry.id)}" '
            f'data-kind="{escape(choice.type)}" aria-pressed="{str(is_chosen).lower()}"><b>{escape(name)}</b> '
            f'<span class="{_mark(choice)}">{_words(choice)}</span>{here}</button></li>')


def _chosen(one: Offer, kind: str, is_offline: bool) -> str:
    """What is said of the chosen type: exact size, the way to it, and the button that begins."""
    choice = next((choice for choice in one.choices if choice.type == kind), None)
    if one.is_asking:
        return '<p class="told" role="status">Asking the hub …</p>'
    if one.problem:
        return (f'<p class="problem" role="alert">{linked(one.problem)}</p>{_steps(one)}'
                + _button("choose", one.entry.id, kind, "Ask again"))
    if choice is None:                          # what it stood for is known by now
        return '<p class="told">These are there; choose one.</p>'
    if not choice.is_exact:
        if is_offline:
            act = _button("online", one.entry.id, kind, "Go online and ask the hub")
            return f'<p class="told">{_plain(OFFLINE)}</p>{act}'
        return _button("choose", one.entry.id, kind, "Ask the hub")
    if choice.is_here:
        return '<p class="told">This one is here already; it stands in the list above.</p>'
    room = f"{size(choice.bytes)} to fetch; {size(one.free_bytes)} are free on that disk."
    fits = f" {choice.fits.words[:1].upper()}{choice.fits.words[1:]}." if choice.fits else ""
    offline = f'<p class="told">{_plain(OFFLINE)}</p>' if is_offline else ""
    act = (_button("online", one.entry.id, kind, "Go online") if is_offline else
           _button("get", one.entry.id, kind, f"Download {size(choice.bytes)}", is_main=True))
    return f'<p class="told">{escape(room + fits)}</p>{_steps(one)}{offline}{act}'


def _steps(one: Offer) -> str:
    """The way to a model whose owner asks to accept a licence first."""
    if not one.is_gated:
        return ""
    page = licence_page(one.asked_repo) if one.asked_repo else one.entry.page
    token = (f"A token is here already (from {escape(one.token_from)})." if one.token_from else
             f'Make a token ({link(NEW_PAGE, "on this page")}), and give it to Galen in '
             '<a href="/settings#hub-token">Settings</a>.')
    return (f'<ol class="steps"><li>Make an account at {link(f"{HUB}/join", "huggingface.co")}, or log in there.</li>'
            f'<li>Read and accept the licence at {link(page, page)}.</li><li>{token}</li></ol>')


def _button(act: str, entry: str, kind: str, words: str, is_main: bool = False) -> str:
    main = ' class="main"' if is_main else ""
    return (f'<button type="button" data-act="{act}" data-entry="{escape(entry)}" data-kind="{escape(kind)}"{main}>'
            f"{escape(words)}</button>")
