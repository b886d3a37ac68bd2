"""What can be had -> the cards of the Models page: sizes, licence, what fits, the way to a gated model. No gradio."""

import re
from collections.abc import Sequence
from html import escape
from urllib.parse import quote

from models.access import licence_page
from models.catalog import IMAGE, TUNE, Entry
from models.token import NEW_PAGE
from ui.actions.downloads import Download
from ui.actions.offers import BASE, FILES, Choice, Offer, Suggested, title_of
from ui.views.models import count, rough, size

HUB, TOKEN = "https://huggingface.co", "/settings#hub-token"
NOTHING = "It holds no GGUF that could be used here, and no model that Galen could train from."
QUERY = re.compile(r"^https?://|[?#].*$")       # what an address is not shown with
ADDRESS = re.compile(r"https?://[^\s<>\"')]+[^\s<>\"').,;:]")
NAMES = {BASE: "The original, for training", FILES: "See which files there are"}
CAPABILITIES = {IMAGE: "reads pictures", TUNE: "can be trained further"}
OFFLINE = ("Galen is offline, and a download needs the network. Going online here counts until you go offline again; "
           "nothing but what you choose is fetched.")
ONLINE = "Galen is online, and stays so until you switch it off, here or in Settings."
PAUSES = " Going offline pauses what is being fetched."
NARROW = (("well", "Runs well here"), ("medical", "Medical"), ("sees", "Reads pictures"), ("trains", "Can be trained"))
ARRIVING = {"waiting": "being fetched", "running": "being fetched", "pausing": "being paused",
            "cancelling": "being cancelled", "paused": "download paused", "failed": "download stopped"}
ON_ITS_WAY = ("waiting", "running", "pausing", "cancelling")


def linked(text: str) -> str:
    """A sentence, escaped, with its addresses and the Settings page as links."""
    parts, end = [], 0
    for found in ADDRESS.finditer(text):
        parts += [_plain(text[end:found.start()]), link(found.group(), QUERY.sub("", found.group()))]
        end = found.end()
    return "".join([*parts, _plain(text[end:])])


def _plain(text: str) -> str:
    return escape(text).replace("in Settings", 'in <a href="/settings">Settings</a>')


def link(address: str, words: str) -> str:
    """A link out of this computer; it is opened by a click alone, and tells the other side nothing of this page."""
    if not address.startswith(("https://", "http://")):
        return escape(words)
    return f'<a href="{escape(address)}" target="_blank" rel="noopener noreferrer">{escape(words)}</a>'


def online(is_offline: bool, downloads: Sequence[Download]) -> str:
    """That Galen is online, and the way back; "" while it is offline."""
    if is_offline:
        return ""
    pauses = PAUSES if any(one.state in ON_ITS_WAY for one in downloads) else ""
    return (f'<p class="online"><span>{_plain(ONLINE + pauses)}</span>'
            '<button type="button" data-act="offline">Go offline</button></p>')


def cards(offers: Sequence[Offer], suggested: Suggested | None, opened: str, is_offline: bool, speed: str = "",
          downloads: Sequence[Download] = ()) -> str:
    """The recommended one, then a card for each entry. opened: "ENTRY" or "ENTRY/KIND", what the person has chosen.

    speed: what the speeds rest on.
    """
    entry, _, kind = opened.partition("/")
    listed = "".join(_card(one, one.entry.id == entry, kind, is_offline, _arriving(one, downloads)) for one in offers)
    chips = "".join(f'<button type="button" data-only="{name}" aria-pressed="false">{words}</button>'
                    for name, words in NARROW)
    narrow = (f'<div class="narrow" role="group" aria-label="Show only models that have all of these">{chips}'
              '<span class="quiet" role="status"></span></div>')
    told = f'<p class="quiet">{escape(speed)}</p>' if speed else ""
    return f'{_recommended(suggested)}{narrow}{told}<ul class="models offers">{listed}</ul>'


def asking() -> str:
    """The field for a repository of the hub that the catalog does not know."""
    return ('<div class="asking"><label>Another model of the Hugging Face hub<input type="text" maxlength="300" '
            'placeholder="OWNER/NAME" spellcheck="false"></label><button type="button" data-act="look">Look</button>'
            '<p class="problem" role="alert"></p></div>'
            '<p class="quiet">Any repository with GGUF files; its address can be pasted as well.</p>')


def _arriving(one: Offer, downloads: Sequence[Download]) -> list[Download]:
    """What is being fetched of it, or was begun."""
    return [each for each in downloads if each.state in ARRIVING and (
        each.entry == one.entry.id if each.entry else each.repo in (one.repo, one.entry.hub_id))]


def _recommended(suggested: Suggested | None) -> str:
    if suggested is None:
        return ""
    entry = suggested.entry
    words = f"{entry.title} {suggested.type}".strip()
    act = ('<p class="good">It is here already, in the list above.</p>' if suggested.is_here else
           _button("choose", entry.id, suggested.type, f"Get {words}", is_main=True))
    return (f'<div class="recommended" id="recommended"><h3>Recommended for this computer: {escape(words)}</h3>'
            f"<p>{escape(suggested.reason)}</p>{act}</div>")


def _card(one: Offer, is_open: bool, kind: str, is_offline: bool, arriving: list[Download]) -> str:
    entry, key = one.entry, escape(one.entry.id)
    act = "close" if is_open else "open"
    words = "Close" if is_open else "Get it"
    head = (f'<div class="about"><h3>{escape(entry.title)}</h3>{_state(one, arriving)}'
            f'<p class="for">{escape(entry.good_for)}</p>')
    facts = f'<p class="facts">{_facts(entry)}</p>'
    best = "" if is_open else _best(one)
    button = (f'<div class="acts"><button type="button" data-act="{act}" data-entry="{key}" aria-expanded='
              f'"{str(is_open).lower()}" aria-label="{words}: {escape(entry.title)}">{words}</button></div>')
    inside = _inside(one, kind, is_offline, arriving) if is_open else ""
    return f'<li id="offer-{key}" class="{_classes(one, is_open)}">{head}{facts}{best}</div>{button}{inside}</li>'


def _classes(one: Offer, is_open: bool) -> str:
    """What the card can be narrowed down by, and whether it is open."""
    has = {"open": is_open, "well": any(_mark(choice) == "good" for choice in one.choices),
           "medical": one.entry.is_medical, "sees": one.entry.can(IMAGE), "trains": one.entry.can(TUNE)}
    return " ".join(name for name, is_so in has.items() if is_so)


def _state(one: Offer, arriving: list[Download]) -> str:
    """Beside the title: that it is on its way, or here."""
    here = [kind for kind in one.held if kind]
    words = ARRIVING[arriving[0].state] if arriving else f"here as {', '.join(here)}" if here else (
        "is here" if one.held else "")
    return f'<em class="state">{escape(words)}</em>' if words else ""


def _facts(entry: Entry) -> str:
    if not entry.parameters:
        return f"<span>{link(entry.page, entry.hub_id)}</span>"
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
    return "good" if choice.fits.kind == "fits" and not choice.fits.is_slow else "caution"


def _words(choice: Choice) -> str:
    takes = size(choice.bytes) if choice.is_exact else f"about {rough(choice.bytes / 1e6)}"
    parts = [takes] if choice.bytes else []
    return escape(", ".join([*parts, *([_fits(choice)] if choice.fits else [])]))


def _fits(choice: Choice) -> str:
    return choice.fits.words + (", slow" if choice.fits.is_slow else "") if choice.fits else ""


def _inside(one: Offer, kind: str, is_offline: bool, arriving: list[Download]) -> str:
    types = "".join(_type(one, choice, choice.type == kind) for choice in one.choices)
    return (f'<div class="choices"><p class="quiet">{_lead(one)}</p><ul>{types}</ul>'
            f"{_chosen(one, kind, is_offline, arriving) if kind else ''}</div>")


def _lead(one: Offer) -> str:
    if not one.repo:
        return "Nobody offers this one as a GGUF that Galen knows of; it can be had for training."
    files = f"Files of {link(f'{HUB}/{quote(one.repo)}', one.repo)}."
    if all(choice.type in (BASE, FILES) for choice in one.choices):
        return files
    return (f"{files} The number behind Q is how many bits of each weight are kept: fewer are smaller, faster and a "
            "little less exact; Q4_K_M is the usual choice. Choosing one asks the Hugging Face hub for its exact size.")


def _type(one: Offer, choice: Choice, is_chosen: bool) -> str:
    name = NAMES.get(choice.type, choice.type)
    here = '<span class="good">is here</span>' if choice.is_here else ""
    here += "<span>asks for an account</span>" if choice.type == BASE and one.entry.is_gated else ""
    return (f'<li><button type="button" data-act="choose" data-entry="{escape(one.entry.id)}" '
            f'data-kind="{escape(choice.type)}" aria-pressed="{str(is_chosen).lower()}"><b>{escape(name)}</b> '
            f'<span class="{_mark(choice)}">{_words(choice)}</span>{here}</button></li>')


def _chosen(one: Offer, kind: str, is_offline: bool, arriving: list[Download]) -> str:
    """What is said of the chosen type: exact size, the way to it, and the button that begins."""
    choice = next((choice for choice in one.choices if choice.type == kind), None)
    if one.is_asking:
        return '<p class="told" role="status">Asking the hub …</p>'
    if one.problem:
        return (f'<p class="problem" role="alert">{linked(one.problem)}</p>{_steps(one)}'
                + _button("choose", one.entry.id, kind, "Ask again"))
    if choice is None:                          # what it stood for is known by now
        return f'<p class="told">{"These are there; choose one." if one.choices else NOTHING}</p>'
    before = next((each for each in arriving if each.title == title_of(one.entry, kind)), None)
    if before:
        return (f'<p class="told">This one is {"on its way" if before.state in ON_ITS_WAY else "begun already"}; it '
                "stands under Downloads, at the top of this page.</p>")
    if not choice.is_exact:
        if is_offline:
            act = _button("online", one.entry.id, kind, "Go online and ask the hub")
            return f'<p class="told">{_plain(OFFLINE)}</p>{act}'
        return _button("choose", one.entry.id, kind, "Ask the hub")
    if choice.is_here:
        return '<p class="told">This one is here already; it stands in the list above.</p>'
    room = f"{size(choice.bytes)} to fetch; {size(one.free_bytes)} are free on that disk."
    words = _fits(choice)
    fits = f" {words[:1].upper()}{words[1:]}." if words else ""
    if choice.fits and choice.fits.kind == "too large":
        fits += f" {choice.fits.about}"
    offline = f'<p class="told">{_plain(OFFLINE)}</p>' if is_offline else ""
    return f'<p class="told">{escape(room + fits)}</p>{_steps(one)}{offline}{_go(one, choice, is_offline)}'


def _go(one: Offer, choice: Choice, is_offline: bool) -> str:
    """The next step towards the chosen type: the token, the network, or the download itself."""
    entry, kind = one.entry.id, choice.type
    if is_offline:
        return _button("online", entry, kind, "Go online")
    if one.is_gated and not one.token_from:
        return (f'<a class="main" href="{TOKEN}">Give Galen a token</a> '
                + _button("get", entry, kind, "Try without one"))
    return _button("get", entry, kind, f"Download {size(choice.bytes)}", is_main=True)


def _steps(one: Offer) -> str:
    """The way to a model whose owner asks to accept a licence first."""
    if not one.is_gated:
        return ""
    page = licence_page(one.asked_repo) if one.asked_repo else one.entry.page
    token = (f"A token is here already (from {escape(one.token_from)})." if one.token_from else
             f'Make a token ({link(NEW_PAGE, "on this page")}), and give it to Galen in '
             f'<a href="{TOKEN}">Settings</a>.')
    return (f'<ol class="steps"><li>Make an account at {link(f"{HUB}/join", "huggingface.co")}, or log in there.</li>'
            f'<li>Read and accept the licence at {link(page, page)}.</li><li>{token}</li></ol>')


def _button(act: str, entry: str, kind: str, words: str, is_main: bool = False) -> str:
    main = ' class="main"' if is_main else ""
    return (f'<button type="button" data-act="{act}" data-entry="{escape(entry)}" data-kind="{escape(kind)}"{main}>'
            f"{escape(words)}</button>")
