"""The evaluate page: how well a model knows its job, alone or beside another one."""

from typing import Any

import gradio as gr

from evaluation.config import EvaluateConfig
from ui.actions import evaluate, uploads
from ui.errors import shown
from ui.form import Form
from ui.pages.frame import at_open, build_frame
from ui.views import evaluate as view
from ui.workbench import Workbench

TICK_S = 1.0
FIRST, OWN = "safety", "own"       # the first asks for no file and no download
OWN_FILE = "Use a file of mine"
SAMPLES = [("100, drawn at random", "fast"), ("all of them", "all")]
# asked for above, or the name of a file here, which no browser may say
NOT_FOLDED = ("benchmark", "model", "against", "file", "fast", "guard", "dev", "calibration", "classifier")
ON_RUN_CLICK = """element.addEventListener("click", (event) => {
    const target = event.target.closest("[data-run]");
    if (!target || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const {act, run} = target.dataset;
    if (act === "delete" && !window.confirm(`Delete ${run} with its report for good?`)) return;
    trigger("click", {act, run});
});"""


def build_evaluate_page(demo: gr.Blocks, bench: Workbench) -> None:
    """Lay the evaluate page inside demo and wire it to the workbench."""
    page = evaluate.Evaluations(bench.jobs, bench.model)
    form = Form(EvaluateConfig)
    with build_frame(demo, bench, "Evaluate"), gr.Column(elem_id="evaluate", elem_classes="page"):
        gr.HTML(view.HEAD)
        with gr.Accordion("Ask a model", elem_classes="ask") as ask:
            with gr.Row():
                name = gr.Dropdown([], label="Benchmark", filterable=False)
                model = gr.Dropdown([], label="Model", filterable=False)
                against = gr.Dropdown([], label="Beside it", filterable=False)
            about = gr.HTML(elem_classes="about")
            sample = gr.Radio(SAMPLES, value="fast", label="Items")
            with gr.Accordion("More settings", open=False):
                guard = gr.Dropdown([], label="Look for rows that this training learned from", filterable=False)
                form.add(*form.rest(NOT_FOLDED))
            with gr.Row(elem_classes="acts"):
                start = gr.Button("Start", variant="primary", elem_id="evaluate-start")
                file = gr.UploadButton(OWN_FILE, file_types=list(uploads.TABLES), elem_id="evaluate-file")
        progress = gr.HTML(elem_id="evaluate-progress", js_on_load=ON_RUN_CLICK, apply_default_css=False)
        result = gr.HTML(elem_id="evaluate-result", apply_default_css=False)
        with gr.Row(elem_classes="acts", visible=False) as saves:
            as_page = gr.DownloadButton("Save the report", elem_id="evaluate-page", size="sm")
            as_table = gr.DownloadButton("Save as Markdown", size="sm")
            as_items = gr.DownloadButton("Save every item", size="sm")
        listing = gr.HTML(elem_id="evaluate-runs", js_on_load=ON_RUN_CLICK, apply_default_css=False)
        run = gr.Textbox(visible="hidden", label="run")
        seen = gr.Textbox(visible="hidden", label="seen")
        timer = gr.Timer(TICK_S)
    shows = [seen, progress, result, saves, as_page, as_table, as_items, listing]

    def drawn(current: str, before: str) -> dict[Any, Any]:
        jobs = page.jobs()
        now = view.version(current, jobs)
        if now == before:
            return gr.skip()
        job = next((one for one in jobs if one.folder.name == current), None)
        changed: dict[Any, Any] = {seen: now, progress: view.progress(job), listing: view.listing(jobs, current)}
        if view.result_of(now) == view.result_of(before):       # only the progress has moved
            return changed
        report, files = (page.report(current), page.saved(current)) if job else (None, [])
        saving = {button: gr.DownloadButton(value=path) for button, path in
                  zip((as_page, as_table, as_items), files, strict=False)}
        return {**changed, result: view.result(report) if report else "", saves: gr.Row(visible=bool(files)), **saving}

    @shown
    def on_load(request: gr.Request) -> dict[Any, Any]:
        current = page.known(request.query_params.get("run", ""))
        models = page.models()
        first = page.first(request.query_params.get("model", ""))
        known = [(one["title"], one["name"]) for one in evaluate.benchmarks()]
        return {run: current, name: gr.Dropdown(known, value=FIRST), ask: gr.Accordion(open=not current),
                model: gr.Dropdown(models, value=first),
                against: gr.Dropdown([("nothing", ""), *models], value=""),
                guard: gr.Dropdown([("the model's own, where it is known", ""), *page.trainings()], value=""),
                about: view.about(FIRST), **drawn(current, "")}

    @shown
    def on_start(benchmark: str, wanted: str, other: str, given: str | None, how: str, rows_of: str,
                 *others: Any) -> dict[Any, Any]:
        asked = evaluate.Question(benchmark=benchmark, model=wanted, against=other, file=given or "",
                                  is_sample=how == "fast", guard=rows_of, settings=form.values(others))
        current = page.start(asked)
        return {run: current, file: gr.UploadButton(OWN_FILE, value=None), ask: gr.Accordion(open=False),
                **drawn(current, "")}

    def on_file(given: str) -> dict[Any, Any]:
        return {file: gr.UploadButton(uploads.told_name(given)), name: OWN, about: view.about(OWN)}

    @shown
    def on_run(current: str, event: gr.EventData) -> dict[Any, Any]:
        current = page.act(event.act, event.run, current)
        return {run: current, **drawn(current, "")}

    quiet: dict[str, Any] = dict(show_progress="hidden", api_visibility="private")
    at_open(demo, on_load, [run, name, model, against, guard, about, ask, *shows])
    timer.tick(drawn, [run, seen], shows, queue=False, **quiet)
    name.change(view.about, name, about, queue=False, **quiet)
    file.upload(on_file, file, [file, name, about], **quiet)
    start.click(on_start, [name, model, against, file, sample, guard, *form.inputs], [run, file, ask, *shows], **quiet)
    for clicked in (progress, listing):
        clicked.click(on_run, run, [run, *shows], **quiet)
    run.change(None, run, None, js="(run) => toAddress('run', run)")
