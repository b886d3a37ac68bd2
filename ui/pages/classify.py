"""The classify page: how likely each of some labels is for a text, and the labels of all texts of a file."""

from typing import Any

import gradio as gr

from ui.actions import classify, labellings, uploads
from ui.actions.labellings import Choice
from ui.errors import shown
from ui.pages.file_part import Part, build_file_part
from ui.pages.frame import at_open, build_frame
from ui.views import classify as views
from ui.workbench import Workbench

FOLLOW_S, IDLE_S = 0.2, 1.0                     # between two looks while a text is read, and otherwise
HEAD = ('<h1>Classify</h1><p class="lead">How likely each label is for a text, read from the model itself and never '
        "from what it happens to write.</p>")
FILE = ('<h2>Many texts</h2><p class="quiet">A table with a text in each row; the same table comes back with labels '
        "and their probabilities behind it. Rows that already have a label are scored.</p>")
LEARN = ('<p class="quiet">A table of texts with their right labels. What is learned is weighted and calibrated on '
         "rows that it has not seen, and stands in the list at the top afterwards.</p>")
EXAMPLE_LABELS = """cardiology: heart and blood vessels
neurology: brain, spinal cord and nerves
gastroenterology: stomach, bowel, liver and pancreas
oncology: tumours and cancer"""
EXAMPLE = ("A randomized trial of early rhythm control in 2,789 patients with recently diagnosed atrial fibrillation. "
           "Cardiovascular death, stroke and hospitalization for heart failure occurred less often than under usual "
           "care.")


def build_classify_page(demo: gr.Blocks, bench: Workbench) -> None:
    """Lay the classify page inside demo and wire it to the workbench."""
    work = bench.labellings
    with build_frame(demo, bench, "Classify"), gr.Column(elem_id="classify", elem_classes="page"):
        gr.HTML(HEAD)
        by = gr.Dropdown(views.learned([]), value="", label="Decided by", elem_id="by", interactive=True,
                         filterable=False)
        with gr.Column(elem_id="by-labels") as by_labels:
            names = gr.Textbox(label="Labels, one on each line, or pasted from a table", lines=4, max_lines=12,
                               elem_id="labels",
                               placeholder="cardiology: heart and blood vessels\nneurology: brain and nerves")
            several = gr.Radio([("any number of labels", "several"), ("exactly one label", "single")], value="several",
                               label="A text has", elem_id="several")
        box = gr.Textbox(label="Text", lines=5, max_lines=14, elem_id="text",
                         placeholder="Paste a title and an abstract")
        with gr.Row(elem_id="ask"):
            go = gr.Button("Classify", variant="primary", elem_id="go")
            stop = gr.Button("Stop", variant="stop", elem_id="stop", visible="hidden")
            example = gr.Button("Take the example", elem_id="example")
        result = gr.HTML(elem_id="result", apply_default_css=False)
        gr.HTML(FILE)
        with gr.Accordion("Learn from labelled rows first", open=False, elem_id="learn"):
            gr.HTML(LEARN)
            train = gr.File(label="Labelled rows", file_types=list(uploads.TABLES), elem_id="train-rows", height=140,
                            elem_classes="upload")
            fast = gr.Checkbox(label="By words alone, without the language model (fast)", value=False, elem_id="fast")
        build_file_part(demo, bench, Part(
            task="classify", address="/classify", settings=[by, names, several, train, fast], others=[train],
            words=("Column of the text", "Column of the right labels"),
            wanted=lambda file, columns, *said: classify.page_wish(bench.model, file, columns, form_of(*said))))
        seen = gr.Textbox(visible="hidden", label="seen")
        timer = gr.Timer(IDLE_S)
    shows = [seen, result, go, stop, example, by, by_labels, timer]

    def version() -> str:
        return f"{work.state.version}{labellings.classifiers()}"

    def drawn(decided_by: str | None) -> dict[Any, Any]:
        state, known = work.state, views.learned(labellings.learners(bench.jobs))
        decided_by = decided_by if decided_by in [run for _, run in known] else ""       # it may be deleted by now
        return {seen: version(), result: views.result(state),
                go: gr.Button(visible="hidden" if state.is_running else True),
                stop: gr.Button(visible=True if state.is_running else "hidden"),
                example: gr.Button(visible="hidden" if state.asked else True),
                by: gr.Dropdown(known, value=decided_by), by_labels: gr.Column(visible=not decided_by),
                timer: gr.Timer(FOLLOW_S if state.is_running else IDLE_S)}

    def on_load() -> dict[Any, Any]:
        asked = work.state.asked
        if asked is None:
            return drawn("")
        choice = asked.choice
        learned_in = choice.learned.parent.name if choice.learned else ""
        return {**drawn(learned_in), box: asked.text, names: labellings.written(choice.labels),
                several: "single" if choice.is_single else "several"}

    def on_tick(seen_version: str, decided_by: str | None) -> dict[Any, Any]:
        return gr.skip() if version() == seen_version else drawn(decided_by)

    @shown
    def on_go(text: str, decided_by: str, labels: str, how_many: str) -> dict[Any, Any]:
        bench.touch()
        work.begin(text or "", classify.choice(form_of(decided_by, labels, how_many)))
        return drawn(decided_by)

    @shown
    def on_example() -> dict[Any, Any]:
        bench.touch()
        work.begin(EXAMPLE, Choice(labels=labellings.read_labels(EXAMPLE_LABELS)))
        return {names: EXAMPLE_LABELS, box: EXAMPLE, several: "several", **drawn("")}

    def on_by(decided_by: str) -> dict[Any, Any]:
        return {by_labels: gr.Column(visible=not decided_by)}

    hidden: dict[str, Any] = dict(show_progress="hidden", api_visibility="private")
    quiet = {**hidden, "queue": False}              # for what raises nothing: its words would not be shown
    at_open(demo, on_load, [box, names, several, *shows])
    timer.tick(on_tick, [seen, by], shows, **quiet)
    go.click(on_go, [box, by, names, several], shows, **hidden)
    example.click(on_example, None, [names, box, several, *shows], **hidden)
    by.input(on_by, by, [by_labels], **quiet)
    stop.click(work.stop, None, None, **quiet)


def form_of(by: str | None, labels: str | None, how_many: str | None, train: str | None = None,
            is_fast: bool = False) -> classify.Form:
    """What stands on the page; Gradio gives None for what is empty."""
    return classify.Form(by=by or "", labels=labels or "", how_many=how_many or "", train=train or "", is_fast=is_fast)
