"""The chat's drawer: preset, system prompt, sampling, the context's use, and whom to compare with."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import gradio as gr

from runtime.config import SampleConfig
from tasks.chat import PRESETS
from ui.actions import asking, controls
from ui.actions.asking import SHOWN, Asking
from ui.errors import shown
from ui.form import Form
from ui.workbench import Workbench

SAME = "the same settings"
FIRST = SHOWN[:2]               # of the sampling; the others are folded away
TITLES = json.dumps({one.name: one.title for one in PRESETS})
# what the button says that opens the drawer: also what is chosen in it and changes the next answer
LABEL = f"""(preset, against) =>
    ["Options", {TITLES}[preset] ?? preset, against && "comparing"].filter(Boolean).join(" · ")"""


class Drawer:
    """Laid out where it is made. inputs: what its handlers and those of the page read."""

    def __init__(self, bench: Workbench):
        self._bench = bench
        self._form = Form(SampleConfig)
        with gr.Column(elem_id="drawer"):
            gr.HTML('<h2>Options</h2><button type="button" data-act="close" aria-label="Close the options">×</button>',
                    elem_id="drawer-head", apply_default_css=False,
                    js_on_load="element.addEventListener('click', (event) => "
                               "event.target.closest('[data-act]') && chatPage.drawer.set(false))")
            self.preset = gr.Dropdown(self._presets(), value="", label="Preset", filterable=False, elem_id="preset")
            self.system = gr.Textbox(label="System prompt", lines=3, max_lines=10, elem_id="system")
            self._form.add(*FIRST)
            with gr.Accordion("More sampling", open=False):
                self._form.add(*SHOWN[len(FIRST):])
            with gr.Row(elem_id="keep"):
                self._name = gr.Textbox(label="Save these as a preset", placeholder="Its name", elem_id="preset-name")
                self._save = gr.Button("Save", size="sm", elem_id="save-preset")
            self._delete = gr.Button("Delete this preset", size="sm", visible="hidden", elem_id="delete-preset")
            self.context = gr.HTML(elem_id="context", apply_default_css=False)
            self.against = gr.Dropdown([("Nobody", "")], value="", label="Compare with", filterable=False,
                                        elem_id="against")
            self._against_preset = gr.Dropdown([(SAME, SAME)], value=SAME, label="The other one's preset",
                                               filterable=False, elem_id="against-preset")
        self.inputs = [self.preset, self.system, *self._form.inputs, self.against, self._against_preset]
        self.outputs = [*self.inputs, self._delete, self._name]
        self._wire()

    def read(self, given: Sequence[Any]) -> tuple[Asking, Asking | None]:
        """What the answer is asked with, and the one beside it if there is to be a pair. given: the inputs' values."""
        preset, system, *values, against, other = given
        asked = Asking(preset=preset or "", system=system or "", sampling=self._form.read(values, SampleConfig()))
        asked = controls.without(asked, controls.lacking(self._bench.model.state.info))
        if not against:
            return asked, None
        beside = asked if not other or other == SAME else self._of(other)
        return asked, replace(beside, model=against)

    def show(self, asked: Asking) -> dict[Any, Any]:
        """What brings the drawer to the settings of a conversation."""
        known = self._presets()
        preset = asked.preset if asked.preset in [name for _, name in known] else ""
        listed = [(f"{one.title}", one.name) for one in self._bench.model.listed()]
        return {self.preset: gr.Dropdown(known, value=preset), self.system: asked.system,
                **self._form.show(asked.sampling), self._delete: self._delete_button(preset), self._name: "",
                self.against: gr.Dropdown([("Nobody", ""), *listed]),
                self._against_preset: gr.Dropdown([(SAME, SAME), *known])}

    def _wire(self) -> None:
        @shown
        def on_preset(name: str | None) -> dict[Any, Any]:
            asked = self._of(name or "")
            return {self.system: asked.system, **self._form.show(asked.sampling),
                    self._delete: self._delete_button(asked.preset)}

        @shown
        def on_save(name: str, *given: Any) -> dict[Any, Any]:
            name = name.strip()
            asked, _ = self.read(given)
            self._bench.history.save_preset(name, replace(asked, preset=name).to_json())
            return self.show(replace(asked, preset=name))

        @shown
        def on_delete(name: str) -> dict[Any, Any]:
            self._bench.history.delete_preset(name)
            return self.show(Asking())

        quiet: dict[str, Any] = dict(show_progress="hidden", api_visibility="private")
        self.preset.input(on_preset, self.preset, [self.system, *self._form.inputs, self._delete], **quiet)
        gr.on([self._save.click, self._name.submit], on_save, [self._name, *self.inputs], self.outputs, **quiet)
        self._delete.click(on_delete, self.preset, self.outputs, **quiet)

    def _presets(self) -> list[tuple[str, str]]:
        saved = [] if self._bench.history.is_locked else self._bench.history.presets()
        own = [(one.name, one.name) for one in saved]
        return [("No preset", ""), *((one.title, one.name) for one in PRESETS), *own]

    def _of(self, name: str) -> Asking:
        saved = next((one for one in self._bench.history.presets() if one.name == name), None)
        return asking.from_json(saved.settings) if saved else asking.of_preset(name)

    @staticmethod
    def _delete_button(preset: str) -> Any:
        return gr.Button(visible=True if preset and not asking.is_embedded(preset) else "hidden")
