"""The train page: a path of five steps from a table of examples to an adapter, and the list of runs."""

import html
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import gradio as gr

from models.errors import UserError
from train.config import TrainConfig
from ui.actions import train_draft
from ui.actions.train_draft import CHOSEN_ELSEWHERE
from ui.actions.train_page import OF_STAGES, Trainings
from ui.actions.uploads import TABLES
from ui.errors import shown
from ui.form import Form
from ui.pages.frame import at_open, build_frame
from ui.pages.train_shown import DATA, PROMISE, RUN, Shown
from ui.views import train as views
from ui.workbench import Workbench

TICK_S = 1.0
COMMON = ("epochs", "lr", "rank", "alpha", "batch", "accumulate", "max_len", "evals")
OF_ROWS = ("min_chars", "max_words", "exact_duplicates", "near_duplicates", "similarity", "conflicts", "empty_answers",
           "leaks", "mask", "drop", "eval_share", "test_share", "seed", "limit_rows", "sheet", "dataset_split")

# The run's name stands in the address, so that a reload and a bookmark find it again.
TO_ADDRESS = """(name) => {
    const url = new URL(window.location.href);
    if ((url.searchParams.get("run") ?? "") === name) return;
    url.search = "";
    if (name) url.searchParams.set("run", name);
    window.history.pushState(null, "", url);
}"""
# Buttons and lists inside what is drawn as HTML say what they are for in data-act.
ON_ACT = """
element.addEventListener("click", (event) => {
    const target = event.target.closest("button[data-act]");
    if (!target) return;
    const {act, run, size} = target.dataset;
    if (act === "delete" && !window.confirm(`Delete ${run} with its rows and adapter? It frees ${size}.`)) return;
    trigger("click", {...target.dataset});
});
element.addEventListener("change", (event) => {
    const target = event.target.closest("select[data-act]");
    if (target) trigger("click", {...target.dataset, value: target.value});
});"""


@contextmanager
def _step(key: str) -> Iterator[gr.HTML]:
    """A step of the path around what is built inside; yields its head. train.js opens and closes it."""
    with gr.Column(elem_id=f"step-{key}", elem_classes="step"):
        head = gr.HTML(elem_classes="step-head", apply_default_css=False)
        with gr.Column(elem_classes="step-body"):
            yield head


def build_train_page(demo: gr.Blocks, bench: Workbench) -> None:
    """Lay the train page inside demo and wire it to the workbench."""
    trainings, form = Trainings(bench.home, bench.jobs), Form(TrainConfig)
    with build_frame(demo, bench, "Train"), gr.Column(elem_id="train", elem_classes="page"):
        title = gr.HTML(elem_id="train-title", apply_default_css=False)
        with _step("data") as data:
            with gr.Row(elem_id="train-begin"):
                files = gr.File(label="Tables of examples (CSV, TSV, XLSX, JSON, JSON lines, Parquet)", height=132,
                                file_count="multiple", file_types=list(TABLES), elem_id="train-files")
                try_demo = gr.Button("Try the demonstration", elem_id="train-demo", size="sm")
            tables = gr.HTML(elem_id="train-tables", js_on_load=ON_ACT, apply_default_css=False)
            look = gr.Button("Look at the rows", elem_id="train-look", size="sm", visible="hidden")
            data_state = gr.HTML(elem_id="train-data-state", apply_default_css=False)
            found = gr.HTML(elem_id="train-found", apply_default_css=False)
            to_see = gr.Button("Continue", elem_id="train-to-see", size="sm", variant="primary", visible="hidden")
        with _step("see") as see:
            tokens = gr.HTML(elem_id="train-tokens", apply_default_css=False)
            to_base = gr.Button("Continue", elem_id="train-to-base", size="sm", variant="primary")
        with _step("base") as base_step:
            told = gr.HTML(elem_id="train-told", apply_default_css=False)
            with gr.Column(elem_id="train-form"):
                recipe = gr.Radio([(f"{name}: {sentence}", name) for name, sentence in train_draft.recipes()],
                                  label="Recipe", elem_id="train-recipe")
                base = gr.Dropdown(train_draft.bases(), label="Base model", allow_custom_value=True,
                                   info="the embedded one, folders beside your models, and Hugging Face's cache",
                                   elem_id="train-base")
                with gr.Row(elem_classes="fields"):
                    form.add(*COMMON)
                of_stages = gr.Textbox(label="Settings of one stage", info="STAGE.setting=value, one a line", lines=2,
                                       elem_id="train-stages", visible="hidden")
                with (gr.Accordion("Rows: cleaning, repeats, identifiers, validation", open=False),
                      gr.Row(elem_classes="fields")):
                    form.add(*OF_ROWS)
                with gr.Accordion("Everything else", open=False), gr.Row(elem_classes="fields"):
                    form.add(*form.rest(CHOSEN_ELSEWHERE))
                to_promise = gr.Button("Make the promise", elem_id="train-promise", size="sm", variant="primary")
            settings = gr.HTML(elem_id="train-settings", apply_default_css=False)
        with _step("promise") as promise_step:
            promise_state = gr.HTML(elem_id="train-promise-state", apply_default_css=False)
            promise = gr.HTML(elem_id="train-promised", apply_default_css=False)
            start = gr.Button("Start", elem_id="train-start", variant="primary", size="sm")
        with _step("run") as run_step:
            with gr.Row(elem_id="train-acts"):
                stop = gr.Button("Stop", elem_id="train-stop", variant="stop", size="sm", visible="hidden")
                end = gr.Button("End it now", elem_id="train-end", variant="stop", size="sm", visible="hidden")
                resume = gr.Button("Resume", elem_id="train-resume", variant="primary", size="sm", visible="hidden")
                again = gr.Button("Begin another with these settings", elem_id="train-again", size="sm")
            run = gr.HTML(elem_id="train-run", apply_default_css=False)
        listing = gr.HTML(elem_id="train-list", js_on_load=ON_ACT, apply_default_css=False)
        name = gr.Textbox(visible="hidden", label="run", elem_id="train-name")
        other = gr.Textbox(visible="hidden", label="with")
        filled = gr.Textbox(visible="hidden", label="filled")   # what the form held when it was filled or kept last
        seen = gr.Textbox(visible="hidden", label="seen")       # the versions of what this page shows
        step_now = gr.Textbox(visible="hidden", label="step")   # the step to open, and a number that is new each time
        stale = gr.Textbox(visible="hidden", label="stale")     # new whenever something is no longer as it was seen
        timer = gr.Timer(TICK_S)
    page = Shown(trainings, alone=[seen, title, step_now, listing], heads=[
        data, see, base_step, promise_step, run_step], parts={
        "data": (tables, data_state, found), "see": (tokens,), "base": (told, settings),
        "promise": (promise_state, promise), "run": (run,)}, buttons={
        "files": files, "demo": try_demo, "look": look, "to_see": to_see, "to_base": to_base, "start": start,
        "stop": stop, "end": end, "resume": resume, "again": again})
    shows = page.outputs
    forms = [filled, recipe, base, of_stages, *form.inputs]
    opens = [name, other, *forms, *shows]

    def chosen(draft: train_draft.Draft) -> dict[Any, Any]:
        config, lines = draft.as_set(), "\n".join(draft.of_stages)
        return {recipe: draft.recipe, base: gr.Dropdown(choices=train_draft.bases(), value=config.base),
                of_stages: gr.Textbox(value=lines, visible=bool(draft.stages()) or "hidden"),
                filled: held(form.values_of(config), lines), **form.show(config)}

    def held(values: dict[str, Any], lines: str) -> str:
        return json.dumps({**values, OF_STAGES: lines})

    def keep(of_run: str, before: str, lines: str, given: Sequence[Any]) -> tuple[train_draft.Draft, dict[Any, Any]]:
        """The draft with what this page changed; and the form anew if another page has changed something else."""
        values, known = form.values(given), json.loads(before or "{}")
        known = {field: tuple(value) if isinstance(value, list) else value for field, value in known.items()}
        draft = trainings.set(of_run, values, lines, known)
        is_same = form.values_of(draft.as_set()) == values and "\n".join(draft.of_stages) == lines
        return draft, {filled: held(values, lines)} if is_same else chosen(draft)

    def do(action: Callable[[str], None], step: int | None, of_form: Sequence[Any]) -> dict[Any, Any]:
        """Keep the form and do something with the draft, if the draft is what this page shows."""
        of_run, before, of_recipe, of_base, lines, *given = of_form
        draft, changes = keep(of_run, before, lines, given)
        if recipe in changes or (draft.recipe, draft.as_set().base) != (of_recipe, of_base):
            gr.Warning("Another page has changed this run. Here is how it stands now; press the button again if that "
                       "is right.", title="Not yet")
            return {**chosen(draft), **page.whole(of_run)}
        action(of_run)
        return {**changes, **page.whole(of_run, step=step)}

    def opened(of_run: str, beside: str = "", step: int | None = None) -> dict[Any, Any]:
        values = chosen(trainings.draft(of_run)) if trainings.is_draft(of_run) else {}
        step = page.next_step(of_run) if step is None else step
        return {name: of_run, other: beside, **values, **page.whole(of_run, beside, step)}

    def looked(of_run: str) -> dict[Any, Any]:
        """Begin to read the rows at once where nothing is in the way; else the page says what is."""
        view = trainings.view(of_run)
        if not view.problem and not any(one.problem for one in view.tables):
            try:
                trainings.look(of_run)
            except UserError as error:                  # the draft is there all the same
                gr.Warning(html.escape(str(error)), title="Not yet")
        return opened(of_run, step=DATA)

    @shown
    def on_load(request: gr.Request) -> dict[Any, Any]:
        wanted, beside = (request.query_params.get(key, "") for key in ("run", "with"))
        return opened(wanted if trainings.is_known(wanted) else "", beside if trainings.is_known(beside) else "")

    def on_tick(of_run: str, beside: str, seen_versions: str) -> str:
        try:
            return str(time.monotonic_ns()) if page.is_stale(of_run, beside, seen_versions) else gr.skip()
        except (UserError, FileNotFoundError):          # deleted in this moment; the next look finds it gone
            return gr.skip()

    def on_stale(of_run: str, beside: str, seen_versions: str) -> dict[Any, Any]:
        try:
            return page.changed(of_run, beside, seen_versions) or gr.skip()
        except (UserError, FileNotFoundError):
            return gr.skip()

    @shown
    def on_upload(of_run: str, paths: list[str]) -> dict[Any, Any]:
        return {**looked(trainings.begin(of_run, paths)), files: gr.update(value=None)}

    @shown
    def on_table(of_run: str, event: gr.EventData) -> dict[Any, Any]:
        if event.act == "place":
            trainings.place(of_run, event.file, event.value)
        elif event.act == "remove":
            trainings.remove(of_run, event.file)
        elif event.act == "layout":
            trainings.change(of_run, layout=event.value)
        elif event.act == "sheet":
            trainings.read_sheet(of_run, event.value)
        elif event.act == "column":
            trainings.map(of_run, event.field, event.value)
        return opened(of_run, step=DATA)

    @shown
    def on_recipe(of_run: str, wanted: str) -> dict[Any, Any]:
        return {**chosen(trainings.change(of_run, recipe=wanted)), **page.whole(of_run)}

    @shown
    def on_base(of_run: str, wanted: str | None) -> dict[Any, Any]:
        trainings.change(of_run, base=wanted or "")
        return page.whole(of_run)

    @shown
    def on_settings(of_run: str, before: str, of_recipe: str, of_base: str, lines: str, *given: Any) -> dict[Any, Any]:
        return {**keep(of_run, before, lines, given)[1], **page.whole(of_run)}

    @shown
    def on_look(*of_form: Any) -> dict[Any, Any]:
        return do(trainings.look, None, of_form)

    @shown
    def on_promise(*of_form: Any) -> dict[Any, Any]:
        return do(trainings.promise, PROMISE, of_form)

    @shown
    def on_start(*of_form: Any) -> dict[Any, Any]:
        return do(trainings.start, RUN, of_form)

    @shown
    def on_stop(of_run: str, beside: str) -> dict[Any, Any]:
        trainings.stop(of_run)
        return page.whole(of_run, beside)

    @shown
    def on_end(of_run: str, beside: str) -> dict[Any, Any]:
        trainings.end(of_run)
        return page.whole(of_run, beside)

    @shown
    def on_resume(of_run: str, beside: str) -> dict[Any, Any]:
        trainings.resume(of_run)
        return page.whole(of_run, beside)

    @shown
    def on_list(of_run: str, beside: str, event: gr.EventData) -> dict[Any, Any]:
        gr.Info(views.freed(trainings.delete(event.run)), title="Deleted")
        is_here = event.run == of_run
        return opened("" if is_here else of_run, "" if beside == event.run else beside)

    told_wrong: dict[str, Any] = dict(show_progress="hidden", api_visibility="private")     # its notices need the queue
    quiet = {**told_wrong, "queue": False}
    whole_form, of_draft = [name, *forms], [*forms, *shows]
    at_open(demo, on_load, opens)
    timer.tick(on_tick, [name, other, seen], stale, **quiet)        # of one output: each costs the browser something
    stale.change(on_stale, [name, other, seen], shows, **quiet)
    files.upload(on_upload, [name, files], [files, *opens], **told_wrong)
    try_demo.click(shown(lambda: looked(trainings.begin_demonstration())), None, opens, **told_wrong)
    tables.click(on_table, name, opens, **told_wrong)
    recipe.input(on_recipe, [name, recipe], opens, **told_wrong)
    base.input(on_base, [name, base], shows, **told_wrong)
    gr.on([box.blur if isinstance(box, gr.Textbox) else box.input for box in (of_stages, *form.inputs)], on_settings,
          whole_form, of_draft, **told_wrong)
    look.click(on_look, whole_form, of_draft, **told_wrong)
    to_see.click(None, js="() => trainSteps.open(1)")
    to_base.click(None, js="() => trainSteps.open(2)")
    step_now.change(None, step_now, None, js="(step) => trainSteps.open(parseInt(step))")
    to_promise.click(on_promise, whole_form, of_draft, **told_wrong)
    start.click(on_start, whole_form, of_draft, **told_wrong)
    stop.click(on_stop, [name, other], shows, **told_wrong)
    end.click(on_end, [name, other], shows, **told_wrong)
    resume.click(on_resume, [name, other], shows, **told_wrong)
    again.click(shown(lambda of_run: looked(trainings.begin_again(of_run))), name, opens, **told_wrong)
    listing.click(on_list, [name, other], opens, **told_wrong)
    name.change(None, name, None, js=TO_ADDRESS)
