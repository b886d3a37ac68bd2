"""The part of the settings page about the hub's token; what is typed there leaves the page at once."""

import logging
from typing import Any

import gradio as gr

from ui.actions import token as actions
from ui.errors import shown
from ui.pages.frame import at_open
from ui.views import settings as view
from ui.workbench import Workbench

ACTING: dict[str, Any] = dict(show_progress="hidden", api_visibility="private")
log = logging.getLogger("galen.token")


def build_hub_token(demo: gr.Blocks, bench: Workbench) -> None:
    """Lay it inside the settings page and wire it."""
    models = actions.gated()
    with gr.Column(elem_classes="part"):
        about = gr.HTML(elem_id="hub-token-about", apply_default_css=False)
        with gr.Row(elem_classes="fields"):
            model = gr.Dropdown([(one.title, one.repo) for one in models], value=models[0].repo, filterable=False,
                                label="Model to test it with", elem_id="hub-token-model")
            field = gr.Textbox(label="Token", type="password", max_lines=1, elem_id="hub-token-field",
                               html_attributes=gr.InputHTMLAttributes(autocomplete="off", spellcheck=False))
        with gr.Row(elem_classes="acts"):
            keep = gr.Button("Test and keep", elem_id="hub-token-keep")
            test = gr.Button("Test the one that is there", elem_id="hub-token-test")
            forget = gr.Button("Forget it", elem_id="hub-token-forget")
        said = gr.HTML(elem_id="hub-token-said", apply_default_css=False)

    def drawn(repo: str) -> dict[Any, Any]:
        now = actions.state()
        return {about: view.hub_token(now, actions.chosen(repo)), field: "", test: gr.Button(visible=bool(now.source)),
                forget: gr.Button(visible=now.is_stored)}

    @shown
    def on_keep(text: str, repo: str) -> dict[Any, Any]:
        bench.touch()
        told, words = actions.keep(text or "", repo)
        log.info("a token of the hub was kept")
        return {**drawn(repo), said: view.hub_answer(told, words)}

    @shown
    def on_test(repo: str) -> dict[Any, Any]:
        bench.touch()
        return {**drawn(repo), said: view.hub_answer(actions.test(repo), "")}

    @shown
    def on_forget(repo: str) -> dict[Any, Any]:
        bench.touch()
        words = actions.forget()
        log.info("the token of the hub was forgotten")
        return {**drawn(repo), said: view.hub_answer(None, words)}

    shows = [about, field, test, forget]
    at_open(demo, lambda: drawn(""), shows)
    model.input(lambda repo: view.hub_token(actions.state(), actions.chosen(repo)), model, about, queue=False, **ACTING)
    keeping = gr.on([keep.click, field.submit], on_keep, [field, model], [*shows, said], **ACTING)
    keeping.failure(lambda: ("", ""), None, [field, said], queue=False, **ACTING)
    test.click(on_test, model, [*shows, said], **ACTING)
    forget.click(on_forget, model, [*shows, said], **ACTING)
