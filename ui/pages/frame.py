"""What surrounds every page: the rail, the header with the model, the notice and the reminder."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gradio as gr

from tasks.chat import REMINDER
from ui import show
from ui.errors import shown
from ui.pages.lock import build_button, build_lock, drawn, state_of, wire
from ui.workbench import Workbench

TICK_S = 1.0
# name, address, the icon's path, and the kinds of jobs whose progress is shown under the entry; None: a line between
PAGES: tuple[tuple[str, str, str, tuple[str, ...]] | None, ...] = (
    ("Chat", "/", "M4 5h16v11H10l-4 4v-4H4z", ()),
    ("Summarise", "/summarise", "M6 3h9l4 4v14H6zM15 3v4h4M9 12h7M9 16h4", ("summarise",)),
    ("Classify", "/classify", "M3 12V4h8l10 9-8 8zM7.5 8.5h.01", ("classify", "answer")),
    None,
    ("Train", "/train", "M3 20h18M5 16l4-5 4 3 6-9M19 5h-4M19 5v4", ("train", "preview", "estimate")),
    ("Evaluate", "/evaluate", "M6 4h12v17H6zM9 13l2 2 4-5M9 4V3h6v1", ("evaluate",)),
    ("Export", "/export", "M12 3v11M8 7l4-4 4 4M5 13v7h14v-7", ("export",)),
    ("Models", "/models", "M12 3l8 4.5v9L12 21l-8-4.5v-9zM4 7.5l8 4.5 8-4.5M12 12v9", ("download",)),
    None,
    ("Settings", "/settings", "M4 7h10M18 7h2M14 4v6M4 17h2M10 17h10M6 14v6", ()),
)
BRAND = '<a class="brand" href="/">Galen</a>'
STOP = '<button type="button" id="stop-galen" title="End Galen on this computer">Stop Galen</button>'

ANOTHER = ("Get another …", "+")                # last in the list of models; no model's name begins with a plus
TO_MODELS = f'(name) => {{ if (name === "{ANOTHER[1]}") window.location.href = "/models"; return name; }}'


def at_open(demo: gr.Blocks, fill: Callable[..., Any], outputs: Any, name: str | None = None) -> None:
    """Fill outputs when the page is opened; until then no person can change them (page.js), and lose what they did."""
    quiet: dict[str, Any] = dict(show_progress="hidden", queue=False, api_visibility="private")
    filled = demo.load(fill, None, outputs, js="() => opening.begin()", api_name=name, **quiet)
    filled.then(None, js="() => opening.end()", **quiet)


@contextmanager
def build_frame(demo: gr.Blocks, bench: Workbench, page: str) -> Iterator[None]:
    """Lay the frame inside demo; what is built inside the with block is the page called page."""
    with gr.Column(elem_id="frame", elem_classes=f"page-{page.lower()}"):
        with gr.Row(elem_id="head"):
            gr.HTML(BRAND, elem_id="brand")
            model = gr.Dropdown([], label="Model", show_label=False, container=False, filterable=False,
                                elem_id="model")
            facts = gr.HTML(elem_id="facts")
            outside = gr.HTML(elem_id="offline")
            lock_button = build_button()
            gr.HTML(STOP, elem_id="ending", apply_default_css=False)
        rail = gr.HTML(show.rail(PAGES, page, []), elem_id="rail", apply_default_css=False)
        with gr.Column(elem_id="main"):
            lock = build_lock(lock_button)
            notice = gr.HTML(elem_id="notice")
            yield
            gr.HTML(f"<p>{REMINDER}</p>", elem_id="reminder")
        seen = gr.Textbox(visible="hidden", label="seen")       # what of all this the page shows
        stale = gr.Textbox(visible="hidden", label="stale")     # changes when that is to be drawn anew
        timer = gr.Timer(TICK_S)

    def parts() -> tuple[str, str]:
        return (show.rail(PAGES, page, bench.jobs.all()),
                show.offline(bench.outside.count(), bench.settings.value.is_offline))

    def version(parts_now: tuple[str, str]) -> str:
        listed = tuple(one.name for one in bench.model.listed())
        return str(hash((bench.model.state, listed, parts_now, state_of(bench), bench.history.is_encrypted)))

    def on_look(seen_version: str) -> Any:
        """One box alone: each output of an event costs the browser more than all of this costs here."""
        bench.ending.page_looked()
        now = version(parts())
        return gr.skip() if now == seen_version else now

    def on_stale() -> dict[Any, Any]:
        state, (side, connections) = bench.model.state, parts()
        listed = bench.model.listed()
        chosen = next((one.name for one in listed if one.path == state.chosen), None)
        choices = [*((one.title, one.name) for one in listed), ANOTHER]
        return {model: gr.Dropdown(choices, value=chosen),
                facts: show.model_facts(state), notice: show.notice(state), rail: side, outside: connections,
                seen: version((side, connections)), **drawn(bench, lock)}

    @shown
    def on_choose(name: str) -> None:
        if name != ANOTHER[1]:
            bench.model.choose(name)

    quiet: dict[str, Any] = dict(queue=False, show_progress="hidden", api_visibility="private")
    shows = [model, facts, notice, rail, outside, seen, *lock.outputs]
    timer.tick(on_look, seen, stale, **quiet)
    at_open(demo, on_stale, shows)
    stale.change(on_stale, None, shows, **quiet)
    choice = model.input(on_choose, model, None, js=TO_MODELS, show_progress="hidden", api_visibility="private")
    choice.then(on_stale, None, shows, **quiet)         # at once, refused or not
    wire(bench, lock)
