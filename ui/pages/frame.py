"""What surrounds every page: the rail, the header with the model, the notice and the reminder."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gradio as gr

from ui import show
from ui.actions.chat import Chat
from ui.errors import shown

TICK_S = 1.0
CHAT_ICON = ('<svg viewBox="0 0 24 24" width="20" height="20" fill="none" stroke="currentColor" stroke-width="1.7" '
             'stroke-linejoin="round" aria-hidden="true"><path d="M4 5h16v11H10l-4 4v-4H4z"/></svg>')
PAGES = (("Chat", "/", CHAT_ICON),)
BRAND = '<a class="brand" href="/">Galen</a>'
OFFLINE = '<span title="Galen makes no connection outside this computer.">offline</span>'


@contextmanager
def build_frame(demo: gr.Blocks, chat: Chat, page: str) -> Iterator[None]:
    """Lay the frame inside demo; what is built inside the with block is the page called page."""
    with gr.Column(elem_id="frame"):
        with gr.Row(elem_id="head"):
            gr.HTML(BRAND, elem_id="brand")
            model = gr.Dropdown([], label="Model", show_label=False, container=False, filterable=False,
                                elem_id="model")
            facts = gr.HTML(elem_id="facts")
            gr.HTML(OFFLINE, elem_id="offline")
        gr.HTML(_rail(page), elem_id="rail")
        with gr.Column(elem_id="main"):
            notice = gr.HTML(elem_id="notice")
            yield
            gr.HTML(f"<p>{show.REMINDER}</p>", elem_id="reminder")
        seen = gr.Textbox(visible="hidden", label="seen")       # the model's state that this page shows
        timer = gr.Timer(TICK_S)

    def on_tick(seen_state: str) -> dict[Any, Any]:
        state = chat.model
        if repr(state) == seen_state:
            return gr.skip()
        listed = chat.models()
        chosen = next((one.name for one in listed if one.path == state.chosen), None)
        return {model: gr.Dropdown([(one.title, one.name) for one in listed], value=chosen),
                facts: show.model_facts(state), notice: show.notice(state), seen: repr(state)}

    @shown
    def on_choose(name: str) -> str:
        chat.choose_model(name)
        return ""                                               # look again at once

    gr.on([demo.load, timer.tick], on_tick, seen, [model, facts, notice, seen], queue=False, show_progress="hidden",
          api_name="model_status")
    choice = model.input(on_choose, model, seen, show_progress="hidden", api_name="choose_model")
    choice.failure(lambda: "", None, seen, queue=False, show_progress="hidden", api_visibility="private")


def _rail(page: str) -> str:
    links = "".join(f'<a href="{path}"{" aria-current=page" if name == page else ""}>{icon}<span>{name}</span></a>'
                    for name, path, icon in PAGES)
    return f'<nav aria-label="Pages">{links}</nav>'
