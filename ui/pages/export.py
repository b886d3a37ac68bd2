"""The export page: a trained run becomes checked GGUFs."""

from typing import Any

import gradio as gr

from convert.config import ExportConfig
from models.errors import UserError
from ui.actions.export_page import USUAL, Exports
from ui.errors import shown
from ui.form import Form
from ui.pages.frame import at_open, build_frame
from ui.views import export as view
from ui.workbench import Workbench

TICK_S = 1.0
LOOPBACK = ("127.0.0.1", "::1")
ON_CLICK = """element.addEventListener("click", (event) => {
    const target = event.target.closest("[data-act]");
    if (!target || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    trigger("click", {act: target.dataset.act, run: target.dataset.run ?? "", file: target.dataset.file ?? ""});
});"""
WITH_TICKS = "(run, source, ticks, ...others) => [run, source, exportTicks(), ...others]"
SCANNED = ('<p class="quiet">Before anything is sent, the texts are searched for what looks like personal data; a find '
           "stops the upload and is named. The repository is private unless you say otherwise. Galen must not be "
           "offline for it.</p>")


def build_export_page(demo: gr.Blocks, bench: Workbench) -> None:
    """Lay the export page inside demo and wire it to the workbench."""
    page = Exports(bench.jobs, bench.model, bench.outside)
    form = Form(ExportConfig)
    with build_frame(demo, bench, "Export"), gr.Column(elem_id="export", elem_classes="page"):
        gr.HTML(view.HEAD)
        with gr.Column(elem_classes="ask"):
            with gr.Row():
                source = gr.Dropdown([], label="Run or model", filterable=False, elem_id="export-source")
                form.add("name")
            table = gr.HTML(elem_id="export-table", apply_default_css=False)
            with gr.Accordion("More settings", open=False):
                form.add("compare", "importance", "force", "threads")
            with gr.Row(elem_classes="acts"):
                start = gr.Button("Start", variant="primary", elem_id="export-start")
        progress = gr.HTML(elem_id="export-progress", js_on_load=ON_CLICK, apply_default_css=False)
        result = gr.HTML(elem_id="export-result", js_on_load=ON_CLICK, apply_default_css=False)
        with gr.Column(elem_classes="uses", visible=False) as uses:
            gr.HTML("<h2>Use the files</h2>")
            with gr.Row(elem_classes="acts"):
                folder = gr.Button("Open folder", elem_id="export-folder")
            with gr.Row(elem_classes="acts", equal_height=False):
                ollama_name = gr.Textbox(label="Name in Ollama", placeholder="notes:q4", max_lines=1)
                to_ollama = gr.Button("Send to Ollama", elem_id="export-ollama")
            with gr.Accordion("Push to the hub", open=False):
                gr.HTML(SCANNED)
                repository = gr.Textbox(label="Repository", placeholder="owner/name", max_lines=1)
                is_public = gr.Checkbox(label="Anybody may see it")
                allows = gr.Checkbox(label="What was found is no personal data: push nevertheless")
                push = gr.Button("Push to the hub", elem_id="export-push")
        listing = gr.HTML(elem_id="export-runs", js_on_load=ON_CLICK, apply_default_css=False)
        run, ticks, goto, seen, stale = (gr.Textbox(visible="hidden", label=label) for label in (
            "run", "ticks", "go to", "seen", "stale"))
        timer = gr.Timer(TICK_S)
    shows = [seen, table, progress, result, uses, listing]
    knows = [run, source, ticks]

    def drawn(current: str, wanted: str, ticked: str, before: str = "") -> dict[Any, Any]:
        before_all, *before_each = before.split(" ")
        version = page.version(current, wanted)
        if version == before_all:
            return gr.skip()
        found = page.view(current)
        choice = page.choice(page.first(wanted))
        is_of_this = found is not None and page.choice_of(found) == choice
        rows = page.rows(choice, found if is_of_this else None)
        texts = {table: view.table(rows, ticked.split(","), page.sizes(choice), page.room_mb()),
                 progress: view.progress(found), result: view.result(found),
                 listing: view.listing(page.earlier(), current)}
        marks = [str(hash(text)) for text in texts.values()]
        is_known = len(before_each) == len(marks)               # what is drawn anew folds what was unfolded
        changed = {one: text for k, (one, text) in enumerate(texts.items())
                   if not is_known or before_each[k] != marks[k]}
        return {seen: " ".join([version, *marks]), uses: gr.Column(visible=bool(found and found.folder)), **changed}

    def on_tick(current: str, wanted: str, before: str) -> Any:
        now = page.version(current, wanted)
        return now if before and before.split(" ")[0] != now else gr.skip()     # at first its drawing is on the way

    @shown
    def on_load(request: gr.Request) -> dict[Any, Any]:
        current = request.query_params.get("run", "")
        found = page.view(current)
        made_from = page.choice_of(found) if found else None
        first = made_from.name if made_from else page.first(request.query_params.get("source", ""))
        ticked = ",".join(found.config.get("types", ()) if found else USUAL)
        return {run: current if found else "", source: gr.Dropdown(
            [(one.title, one.name) for one in page.choices()], value=first), **drawn(current, first, ticked)}

    @shown
    def on_source(current: str, wanted: str, ticked: str) -> dict[Any, Any]:
        return drawn(current, wanted, ticked)

    @shown
    def on_start(current: str, wanted: str, ticked: str, *settings: Any) -> dict[Any, Any]:
        kinds = [kind for kind in ticked.split(",") if kind]
        current = page.start(page.choice(wanted), kinds, form.values(settings))
        return {run: current, **drawn(current, wanted, ticked)}

    @shown
    def on_act(current: str, wanted: str, ticked: str, event: gr.EventData) -> dict[Any, Any]:
        if event.act == "chat":
            page.chat_with(current, event.file)
            return {goto: "/"}
        if event.act == "open":
            current = event.run
        elif event.act == "stop":
            page.stop(event.run)
        elif event.act == "end":
            page.end(event.run)
        else:
            page.again(event.run)
        return {run: current, **drawn(current, wanted, ticked)}

    @shown
    def on_folder(current: str, request: gr.Request) -> None:
        if request.client is None or request.client.host not in LOOPBACK:
            raise UserError("The folder is on the computer that runs Galen; open it there.")
        page.open_folder(current)

    @shown
    def on_ollama(current: str, wanted: str, ticked: str, called: str) -> dict[Any, Any]:
        page.to_ollama(current, called)
        return drawn(current, wanted, ticked)

    @shown
    def on_push(current: str, wanted: str, ticked: str, to: str, public: bool, allowed: bool) -> dict[Any, Any]:
        page.push(current, to, public, allowed)
        return drawn(current, wanted, ticked)

    quiet: dict[str, Any] = dict(show_progress="hidden", api_visibility="private")
    at_open(demo, on_load, [run, source, *shows])
    timer.tick(on_tick, [run, source, seen], stale, queue=False, **quiet)    # each output costs the browser something
    stale.change(shown(drawn), [*knows, seen], shows, queue=False, js=WITH_TICKS, **quiet)
    source.input(on_source, knows, shows, js=WITH_TICKS, **quiet)
    start.click(on_start, [*knows, *form.inputs], [run, *shows], js=WITH_TICKS, **quiet)
    for clicked in (progress, result, listing):
        clicked.click(on_act, knows, [run, goto, *shows], js=WITH_TICKS, **quiet)
    folder.click(on_folder, run, None, **quiet)
    to_ollama.click(on_ollama, [*knows, ollama_name], shows, js=WITH_TICKS, **quiet)
    push.click(on_push, [*knows, repository, is_public, allows], shows, js=WITH_TICKS, **quiet)
    run.change(None, run, None, js="(run) => toAddress('run', run)")
    goto.change(None, goto, None, js="(to) => { if (to) window.location.href = to; }")
