"""The summarise page: a conversation becomes a section of a note, with what was not said in it marked."""

from typing import Any

import gradio as gr

from ui.actions import summarise
from ui.actions.file_task import Wanted, chosen
from ui.actions.summaries import LIKELIEST, SECTIONS
from ui.errors import shown
from ui.pages.file_part import Part, build_file_part
from ui.pages.frame import at_open, build_frame
from ui.views import summarise as views
from ui.workbench import Workbench

FOLLOW_S, IDLE_S = 0.12, 1.0                    # between two looks while something is written, and otherwise
HEAD = ('<h1>Summarise</h1><p class="lead">A conversation becomes a section of a clinical note, or a whole one. What '
        "the conversation does not say is marked.</p>")
FILE = ('<h2>Many conversations</h2><p class="quiet">A table with a conversation in each row; the same table comes '
        "back with the summaries behind it. A row that names its section gets that one.</p>")
EXAMPLE = """Doctor: Good morning. What brings you in today?
Patient: I have had chest pain for about three days. It gets worse when I climb the stairs.
Doctor: Any shortness of breath, or sweating?
Patient: A little short of breath, yes. No sweating.
Doctor: Which medicines do you take?
Patient: Lisinopril, twenty milligrams, once a day. My doctor in Boston started it two years ago.
Doctor: Are you allergic to anything?
Patient: Penicillin gives me a rash.
Doctor: We will do an EKG and some blood work today, and I want to see you again in two weeks."""


def build_summarise_page(demo: gr.Blocks, bench: Workbench) -> None:
    """Lay the summarise page inside demo and wire it to the workbench."""
    work = bench.summaries
    with build_frame(demo, bench, "Summarise"), gr.Column(elem_id="summarise", elem_classes="page"):
        gr.HTML(HEAD)
        box = gr.Textbox(label="Conversation", lines=8, max_lines=18, elem_id="dialogue",
                         placeholder="Paste a conversation, or drop a text file here")
        with gr.Row(elem_id="ask"):
            section = gr.Dropdown([(words, name) for name, words in SECTIONS.items()], value=LIKELIEST, label="Section",
                                  elem_id="section", interactive=True, filterable=False)
            go = gr.Button("Summarise", variant="primary", elem_id="go")
            stop = gr.Button("Stop", variant="stop", elem_id="stop", visible="hidden")
            example = gr.Button("Take the example", elem_id="example")
        result = gr.HTML(elem_id="result", apply_default_css=False)
        gr.HTML(FILE)
        build_file_part(demo, bench, Part(
            task="summarise", address="/summarise", settings=[section],
            words=("Column of the conversation", "Column of a summary to compare with"),
            wanted=lambda file, columns, header: Wanted(
                config=summarise.page_config(file, chosen(bench.model), columns, header))))
        seen = gr.Textbox(visible="hidden", label="seen")
        timer = gr.Timer(IDLE_S)
    shows = [seen, result, go, stop, example, timer]

    def drawn() -> dict[Any, Any]:
        state = work.state
        return {seen: state.version, result: views.result(state),
                go: gr.Button(visible="hidden" if state.is_running else True),
                stop: gr.Button(visible=True if state.is_running else "hidden"),
                example: gr.Button(visible="hidden" if state.asked else True),
                timer: gr.Timer(FOLLOW_S if state.is_running else IDLE_S)}

    def on_load() -> dict[Any, Any]:
        asked = work.state.asked
        return {**drawn(), **({box: asked.dialogue, section: asked.section} if asked else {})}

    def on_tick(seen_version: str) -> dict[Any, Any]:
        return gr.skip() if work.state.version == seen_version else drawn()

    @shown
    def on_go(dialogue: str, wanted: str) -> dict[Any, Any]:
        bench.touch()
        work.begin(dialogue or "", wanted or LIKELIEST)
        return drawn()

    @shown
    def on_example(wanted: str) -> dict[Any, Any]:
        bench.touch()
        work.begin(EXAMPLE, wanted or LIKELIEST)
        return {box: EXAMPLE, **drawn()}

    hidden: dict[str, Any] = dict(show_progress="hidden", api_visibility="private")
    quiet = {**hidden, "queue": False}              # for what raises nothing: its words would not be shown
    at_open(demo, on_load, [box, section, *shows])
    timer.tick(on_tick, seen, shows, **quiet)
    go.click(on_go, [box, section], shows, **hidden)
    example.click(on_example, section, [box, *shows], **hidden)
    stop.click(work.stop, None, None, **quiet)
