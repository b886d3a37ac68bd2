"""The part of a page that takes a file in and gives a file out: upload, a look, the job with its progress, download."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from models.errors import UserError
from ui.actions import file_task, uploads
from ui.errors import shown
from ui.pages.frame import at_open
from ui.views import file_task as views
from ui.workbench import Workbench

TICK_S = 1.0
FORMS = [("as the file that is read", ""), ("CSV", ".csv"), ("Excel (XLSX)", ".xlsx"), ("JSON", ".json"),
         ("JSON lines", ".jsonl"), ("Parquet", ".parquet")]
# The run's name stands in the address, so that a reload and a bookmark find it again.
TO_ADDRESS = """(run) => {
    const url = new URL(window.location.href);
    if (run) url.searchParams.set("run", run); else url.searchParams.delete("run");
    window.history.replaceState(null, "", url);
}"""
SURE = "(run) => window.confirm('Delete the run with its file and its results for good?') ? run : ''"


@dataclass(frozen=True, kw_only=True)
class Part:
    """What a page says of its file part. wanted: the uploaded file, the columns by hand and the values of settings ->
    what is to be done."""

    task: str
    address: str
    words: tuple[str, str]                      # of the column that is read, and of the one with the right answers
    settings: Sequence[Any]
    wanted: Callable[..., file_task.Wanted]
    others: Sequence[Any] = ()                  # components that hold further uploads, empty once it has started


def build_file_part(demo: gr.Blocks, bench: Workbench, part: Part) -> None:
    """Lay the part inside demo and wire it to the workbench."""
    task, jobs = part.task, bench.jobs
    with gr.Column(elem_classes="file-part"):
        upload = gr.File(label="The file", file_types=list(uploads.TABLES), elem_classes="upload", height=140)
        looked = gr.HTML(elem_classes="looked", apply_default_css=False)
        with gr.Row(visible=False, elem_classes="chosen") as choices:
            text = gr.Dropdown([], label=part.words[0], interactive=True, filterable=False)
            gold = gr.Dropdown([], label=part.words[1], interactive=True, filterable=False)
            form = gr.Dropdown(FORMS, value="", label="File to write", interactive=True, filterable=False)
        start = gr.Button("Start", variant="primary", elem_classes="start", visible="hidden")
        card = gr.HTML(elem_classes="card", apply_default_css=False)
        with gr.Row(elem_classes="acts"):
            download = gr.DownloadButton("Download", variant="primary", visible="hidden", elem_classes="download")
            stop = gr.Button("Stop", variant="stop", visible="hidden", elem_classes="stop")
            end = gr.Button("End it now", variant="stop", visible="hidden", elem_classes="end")
            again = gr.Button("Go on", visible="hidden", elem_classes="again")
            delete = gr.Button("Delete", visible="hidden", elem_classes="delete")
        table = gr.HTML(elem_classes="rows", apply_default_css=False)
        before = gr.HTML(elem_classes="before", apply_default_css=False)
        run = gr.Textbox(visible="hidden", label="run")
        seen = gr.Textbox(visible="hidden", label="seen")
        timer = gr.Timer(TICK_S)
    begun: dict[str, str] = {}                      # {upload: its run}: a second click on Start is no second wish
    looks = [looked, choices, text, gold, start]
    shows = [seen, card, table, before, download, stop, end, again, delete]

    def version(name: str) -> str:
        listed = repr([(one.folder.name, one.state) for one in file_task.earlier(jobs, task)])
        return listed + (file_task.version(jobs, name) if name else "")

    def drawn(name: str) -> dict[Any, Any]:
        now, found = version(name), file_task.seen(jobs, name) if name else None
        out = file_task.written(found) if found else None
        is_over = bool(found and found.view.is_over)
        return {
            seen: now, before: views.earlier(file_task.earlier(jobs, task), part.address, name),
            card: views.job(found) + views.scores(found.result) if found else "",
            table: views.rows(found, task) if found else "",
            download: gr.DownloadButton(value=str(out) if out else None, visible=True if out else "hidden"),
            stop: gr.Button(visible=True if found and not is_over else "hidden"),
            end: gr.Button(visible=True if found and found.view.is_deaf else "hidden"),
            again: gr.Button(visible=True if found and is_over and found.view.state != "done" else "hidden"),
            delete: gr.Button(visible=True if is_over else "hidden")}

    @shown
    def on_load(request: gr.Request) -> dict[Any, Any]:
        known = {one.folder.name: one for one in file_task.earlier(jobs, task)}
        asked = request.query_params.get("run", "")
        name = asked if asked in known else next((one for one in known if not known[one].is_over), "")
        return {run: name, **drawn(name)}

    def on_tick(name: str, before_now: str) -> dict[Any, Any]:
        if name and name not in [one.folder.name for one in jobs.all()]:        # deleted by another page
            return {run: "", **drawn("")}
        return gr.skip() if version(name) == before_now else drawn(name)

    @shown
    def on_upload(path: str | None) -> dict[Any, Any]:
        if not path:
            return {looked: "", choices: gr.Row(visible=False), start: gr.Button(visible="hidden")}
        found = file_task.look(path, task)
        listed = [(name, name) for name in found.columns]
        return {looked: views.look(found), start: gr.Button(visible=True), choices: gr.Row(visible=True),
                text: gr.Dropdown([("recognised when it is read", ""), *listed] if not found.used else listed,
                                  value=found.used.get(file_task.TEXT[task], "")),
                gold: gr.Dropdown([("none", ""), *listed], value=found.used.get(file_task.GOLD[task], ""))}

    @shown
    def on_start(path: str | None, of_text: str, of_gold: str, ending: str, *settings: Any) -> dict[Any, Any]:
        bench.touch()
        if not path:
            raise UserError("There is no file yet; choose one, or drop it on the page.")
        if path in begun and not Path(path).exists() and begun[path] in [one.folder.name for one in jobs.all()]:
            return started(begun[path])
        columns = file_task.columns_by_hand(file_task.look(path, task), task, of_text or "", of_gold or "")
        begun[path] = file_task.start(jobs, part.wanted(path, columns, *settings), path, ending)
        return started(begun[path])

    def started(name: str) -> dict[Any, Any]:
        return {run: name, **dict.fromkeys([upload, *part.others]), looked: "", choices: gr.Row(visible=False),
                start: gr.Button(visible="hidden"), **drawn(name)}

    @shown
    def on_stop(name: str) -> dict[Any, Any]:
        jobs.stop(jobs.folder_of(name))
        return drawn(name)

    @shown
    def on_end(name: str) -> dict[Any, Any]:
        jobs.end(jobs.folder_of(name))
        return drawn(name)

    @shown
    def on_again(name: str) -> dict[Any, Any]:
        jobs.start_again(jobs.folder_of(name))
        return drawn(name)

    @shown
    def on_delete(name: str, sure: str) -> dict[Any, Any]:
        if not sure:
            return gr.skip()
        jobs.delete(jobs.folder_of(name))
        return {run: "", **drawn("")}

    hidden: dict[str, Any] = dict(show_progress="hidden", api_visibility="private")
    at_open(demo, on_load, [run, *shows])
    timer.tick(on_tick, [run, seen], [run, *shows], queue=False, **hidden)
    gr.on([upload.upload, upload.clear], on_upload, upload, looks, **hidden)
    start.click(on_start, [upload, text, gold, form, *part.settings], [run, upload, *part.others, *looks, *shows],
                **hidden)
    stop.click(on_stop, run, shows, **hidden)
    end.click(on_end, run, shows, **hidden)
    again.click(on_again, run, shows, **hidden)
    delete.click(on_delete, [run, run], [run, *shows], js=f"(run) => [run, ({SURE})(run)]", **hidden)
    run.change(None, run, None, js=TO_ADDRESS)
