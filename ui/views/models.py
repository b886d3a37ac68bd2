"""Model files -> the cards of the Models page. Names come from files and are escaped here; no gradio."""

from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path

from models import removal
from ui.actions.models import Found, missing_mb

SHOWN_TYPES = 3
SHOWN = 30                      # cards at first: 500 files of another program would make the page heavy
EMPTY = ('<p class="hint">Only the embedded demonstration model is here. The real ones are below, with what fits this '
         "computer; or add a model file (GGUF) that you have.</p>")
THEIRS = ('<h3>Of other programs</h3><p class="quiet">Used where they lie, without a copy. Galen never changes or '
          "deletes them.</p>")
PLACES = {"embedded": "comes with Galen", "models folder": "models folder",
          "Hugging Face cache": "in the Hugging Face cache"}


def size(count: float) -> str:
    """Bytes in words: "2.5 GB", "6.9 MB"."""
    if count >= 1e9:
        return f"{count / 1e9:.1f} GB"
    if count >= 1e5:
        return f"{count / 1e6:.1f} MB"
    return f"{count / 1e3:.1f} kB" if count else "0 MB"


def rough(mb: float) -> str:
    """A reckoned number of MB in words, no finer than it is: "330 MB", "2.5 GB"."""
    return f"{mb / 1e3:.1f} GB" if mb >= 1000 else f"{max(10, round(mb, -1)):.0f} MB"


def cards(listed: Sequence[Found], is_in_use: Callable[[Found], bool], is_loading: bool, asked: str = "",
          needed_by: Sequence[str] = (), going: Sequence[Path] = (), most: int = SHOWN) -> str:
    """One card a file, ours first, then what other programs hold; at most so many, with a button for the rest.

    asked: the key whose deletion is to be confirmed; needed_by: the runs that name that file; going: all that would go.
    """
    ours, theirs = [one for one in listed if one.is_ours], [one for one in listed if not one.is_ours]
    ours.sort(key=lambda one: not is_in_use(one))       # the one in use is always among the first
    theirs.sort(key=lambda one: not is_in_use(one))
    room = max(most, 1)
    parts = []
    for heading, some in (("", ours[:room]), (THEIRS, theirs[:max(0, room - len(ours))])):
        rows = "".join(_card(one, is_in_use(one), is_loading,
                             _question(one, needed_by, going) if one.key == asked else "") for one in some)
        parts.append(f'{heading}<ul class="models">{rows}</ul>' if rows else "")
    rest = len(listed) - min(room, len(listed))
    more = f'<button type="button" class="rest" data-act="rest">Show {rest:,} more</button>' if rest else ""
    hint = EMPTY if len(listed) == 1 and listed[0].place == "embedded" else ""
    return f"{''.join(parts)}{more}{hint}"


def drawn_for(which: str, state: str, cards: str) -> str:
    """The cards with the state that they were drawn for: ui/pages/models.js holds what the person chose meanwhile."""
    return f'<div data-of="{which}" data-state="{escape(state)}">{cards}</div>'


def _card(one: Found, is_used: bool, is_loading: bool, question: str) -> str:
    title, key = escape(one.title or one.file), escape(one.key)
    state = f'<em class="state">{"loading" if is_loading else "in use"}</em>' if is_used else ""
    head = f'<h3>{title}</h3>{state}'
    if one.is_unread:
        body = '<p class="quiet">Galen is still looking at this file.</p>'
    elif one.problem:
        body = f'<p class="problem">{escape(one.problem)}</p>'
    else:
        body = f'<p class="facts">{_facts(one)}</p>{_fits(one, is_used)}'
        body += f'<p class="quiet">{escape(one.notice)}</p>' if one.notice else ""
    where = PLACES.get(one.place, f"from {one.place}" if one.is_ours else f"of {one.place}")
    place = f'<p class="quiet file">{escape(one.file)} · {escape(where)}</p>'
    return (f'<li{" class=used" if is_used else ""}><div class="about">{head}{body}{place}</div>'
            f'<div class="acts">{_acts(one, key, title, is_used)}</div>'
            f"{question}</li>")


def _facts(one: Found) -> str:
    large = [(name, share) for name, share in one.types[:SHOWN_TYPES] if share >= 0.01]
    mix = [f"{name} {share:.0%}" if len(large) > 1 else name for name, share in large]
    facts = [size(one.bytes), " ".join(mix), f"{count(one.parameters)} parameters"]
    facts += [f"{one.ctx_tokens:,} tokens of context"] if one.ctx_tokens else []
    facts += ["reads pictures"] if one.can_see else []
    facts += ["text only, no chat template"] if not one.can_chat else []
    facts += [f"licence {one.licence}" if one.licence else "the file names no licence"]
    return "".join(f"<span>{escape(fact)}</span>" for fact in facts)


def _fits(one: Found, is_used: bool) -> str:
    about = f"about {rough(one.memory_mb)} of memory with {one.uses_ctx_tokens:,} tokens"
    if is_used:
        return f'<p class="fits">takes {about}</p>'
    missing = missing_mb(one)
    if not missing:
        return f'<p class="fits good">fits: {about}</p>'
    return (f'<p class="fits caution">needs {about}, {rough(missing)} more than is free now; a shorter context, '
            f'or unloading the model in use, makes room</p>')


def _acts(one: Found, key: str, title: str, is_used: bool) -> str:
    use = "" if is_used or one.problem or one.is_unread or not one.can_chat else (
        f'<button type="button" data-act="use" data-key="{key}" aria-label="Use {title}">Use it</button>')
    delete = "" if is_used or one.place == "embedded" or not one.is_ours else (
        f'<button type="button" data-act="ask" data-key="{key}" aria-label="Delete {title}">Delete</button>')
    return use + delete


def _question(one: Found, needed_by: Sequence[str], going: Sequence[Path]) -> str:
    key, others = escape(one.key), [path.name for path in going if path.name != one.path.name]
    also = f" With it go {', '.join(others)}." if others else ""
    runs = ", ".join(needed_by[:4]) + (f" and {len(needed_by) - 4} more" if len(needed_by) > 4 else "")
    needed = f" These runs name it, and could not be repeated without it: {runs}." if needed_by else (
        " No run depends on it.")
    freed = sum(map(removal.frees, going or one.files))
    frees = f"That frees {size(freed)}." if freed else removal.KEPT
    return (f'<div class="question" role="group" aria-label="Confirm"><p>Delete {escape(one.file)}? '
            f'{frees}{escape(also + needed)}</p>'
            f'<button type="button" class="danger" data-act="delete" data-key="{key}">Delete it</button>'
            f'<button type="button" data-act="keep" data-key="{key}">Keep it</button></div>')


def count(parameters: int) -> str:
    """A number of parameters in words: "4.3 billion", "270 million"."""
    if parameters >= 9.95e8:
        return f"{parameters / 1e9:.1f} billion"
    digits = 0 if parameters >= 9.95e6 else 1
    return f"{parameters / 1e6:.{digits}f} million" if parameters >= 1e5 else f"{parameters:,}"


def adding(folder: Path) -> str:
    """How a model comes here: chosen in the browser, or put into the folder."""
    return (sending("/files/model", ".gguf", "Model file (GGUF)")
            + f'<p class="quiet">Or put the file into the folder; it appears here within two seconds: '
              f'<code>{escape(str(folder))}</code></p>')


def sending(to: str, endings: str, label: str) -> str:
    """A field for a file that ui/pages/send_file.js sends to an address of ours."""
    return (f'<div class="adding"><label>{escape(label)}<input type="file" accept="{endings}" data-to="{to}"></label>'
            '<div class="sending" hidden><div class="bar" role="progressbar" aria-label="Copying the file" '
            'aria-valuemin="0" aria-valuemax="100"><i></i></div><span class="words" aria-live="polite"></span>'
            '<button type="button">Cancel</button></div></div>')
