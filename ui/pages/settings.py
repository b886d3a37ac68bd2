"""The settings page: look, privacy, connections, the hub's token, API, machine, the folder and the log."""

from typing import Any

import gradio as gr

from ui import log
from ui.actions import backup, desktop, relocate, space
from ui.actions import settings as actions
from ui.errors import shown
from ui.form import Form
from ui.pages.frame import at_open, build_frame
from ui.pages.hub_token import build_hub_token
from ui.settings import Settings
from ui.views import settings as view
from ui.views.models import sending, size
from ui.workbench import Workbench

LOOK_S = 1.0
MACHINE = ("keep_awake", "idle_minutes", "ctx_tokens", "threads", "device", "gpu_layers")
ON_CLICK = """element.addEventListener("click", (event) => {
    const target = event.target.closest("[data-act]");
    if (!target || (target.dataset.confirm && !window.confirm(target.dataset.confirm))) return;
    trigger("click", {act: target.dataset.act, key: target.dataset.key});
});"""
QUIET: dict[str, Any] = dict(show_progress="hidden", queue=False, api_visibility="private")
ACTING: dict[str, Any] = dict(show_progress="hidden", api_visibility="private")


def build_settings_page(demo: gr.Blocks, bench: Workbench) -> None:
    """Lay the settings page inside demo and wire it to the workbench."""
    with build_frame(demo, bench, "Settings"), gr.Column(elem_id="settings", elem_classes="page"):
        gr.HTML("<h1>Settings</h1>")
        build_look(demo, bench)
        build_privacy(demo, bench)
        build_connections(demo, bench)
        build_hub_token(demo, bench)
        build_api(demo, bench)
        build_machine(demo, bench)
        build_folder(demo, bench)
        build_log(demo, bench)


def build_look(demo: gr.Blocks, bench: Workbench) -> None:
    """The theme."""
    with gr.Column(elem_classes="part"):
        gr.HTML("<h2>Look</h2>")
        theme = gr.Radio([("As the system", "system"), ("Light", "light"), ("Dark", "dark")], label="Theme",
                         elem_id="theme")

    @shown
    def on_theme(chosen: str) -> None:
        actions.change(bench, theme=chosen)

    at_open(demo, lambda: bench.settings.value.theme, theme)
    theme.input(on_theme, theme, None, js="(theme) => { window.setTheme(theme); return theme; }", **QUIET)


def build_privacy(demo: gr.Blocks, bench: Workbench) -> None:
    """Passphrase, lock, leave-no-trace."""
    form = Form(Settings)
    with gr.Column(elem_classes="part"):
        state = gr.HTML("<h2>Privacy</h2>", elem_id="privacy-state")
        with gr.Row(elem_classes="fields"):
            old = gr.Textbox(label="Passphrase now", type="password", max_lines=1, elem_id="passphrase-old")
            new = gr.Textbox(label="New passphrase", type="password", max_lines=1, elem_id="passphrase-new")
            again = gr.Textbox(label="The new one again", type="password", max_lines=1, elem_id="passphrase-again")
        with gr.Row(elem_classes="acts"):
            keep = gr.Button("Set the passphrase", elem_id="passphrase-set")
            remove = gr.Button("Remove it", elem_id="passphrase-remove")
            lock = gr.Button("Lock now", elem_id="lock-now")
        with gr.Row(elem_classes="fields"):
            form.add("lock_minutes")
            keep_minutes = gr.Button("Keep", elem_id="lock-minutes-keep")
        gr.HTML('<p class="quiet">A leave-no-trace session keeps what is written in memory only; it is gone when the '
                "session or Galen ends.</p>")
        with gr.Row(elem_classes="acts"):
            private = gr.Button("Start a leave-no-trace session", elem_id="private-start")
            end = gr.Button("End the leave-no-trace session", elem_id="private-end")

    def drawn() -> dict[Any, Any]:
        history = bench.history
        is_encrypted, is_private = history.is_encrypted, history.is_private
        return {state: "<h2>Privacy</h2>" + view.privacy(is_encrypted, is_private),
                old: gr.Textbox(value="", visible=is_encrypted), new: "", again: "",
                keep: gr.Button("Change the passphrase" if is_encrypted else "Set the passphrase"),
                remove: gr.Button(visible=is_encrypted), lock: gr.Button(visible=is_encrypted),
                private: gr.Button(visible=not is_private), end: gr.Button(visible=is_private),
                **form.show(bench.settings.value)}

    @shown
    def on_set(old_one: str, new_one: str, again_one: str) -> dict[Any, Any]:
        bench.touch()
        gr.Info(actions.set_passphrase(bench, old_one or "", new_one or "", again_one or ""))
        return drawn()

    @shown
    def on_remove(old_one: str) -> dict[Any, Any]:
        gr.Info(actions.set_passphrase(bench, old_one or "", "", ""))
        return drawn()

    @shown
    def on_private() -> dict[Any, Any]:
        actions.start_private(bench)
        return drawn()

    @shown
    def on_end() -> dict[Any, Any]:
        actions.end_private(bench)
        return drawn()

    @shown
    def on_minutes(*given: Any) -> None:
        gr.Info(actions.change(bench, **form.values(given)))

    shows = [state, old, new, again, keep, remove, lock, private, end, *form.inputs]
    at_open(demo, drawn, shows)
    keep.click(on_set, [old, new, again], shows, **ACTING)
    remove.click(on_remove, old, shows, **ACTING)
    lock.click(shown(bench.lock), None, None, **ACTING)
    private.click(on_private, None, shows, **ACTING)
    end.click(on_end, None, shows, **ACTING)
    keep_minutes.click(on_minutes, form.inputs, None, **QUIET)


def build_connections(demo: gr.Blocks, bench: Workbench) -> None:
    """The offline switch and what went outside."""
    with gr.Column(elem_classes="part"):
        gr.HTML('<h2 id="connections">Connections outside this computer</h2>')
        switch = gr.Checkbox(label="Offline: refuse every connection outside this computer", elem_id="offline-switch")
        listing = gr.HTML(elem_id="connection-list", apply_default_css=False)
        timer = gr.Timer(LOOK_S)
        seen = gr.Textbox(visible="hidden", label="seen")

    def version() -> str:
        return f"{bench.settings.value.is_offline} {bench.outside.count()} {bench.outside.refused()}"

    def drawn() -> dict[Any, Any]:
        outside = bench.outside
        return {switch: bench.settings.value.is_offline,
                listing: view.connections(outside.listed(), outside.count(), outside.refused())}

    @shown
    def on_switch(is_offline: bool) -> None:
        gr.Info(actions.set_offline(bench, is_offline))

    gr.on([demo.load, timer.tick], version, None, seen, **QUIET)      # one output: each costs the browser
    seen.change(drawn, None, [switch, listing], **QUIET)
    switch.input(on_switch, switch, None, **QUIET)


def build_api(demo: gr.Blocks, bench: Workbench) -> None:
    """Where the API is, and its token."""
    with gr.Column(elem_classes="part"):
        about = gr.HTML(elem_id="api-about", apply_default_css=False)
        needs = gr.Checkbox(label="Ask for the token on this computer too", elem_id="needs-token")
        token = gr.Textbox(label="The new token, shown this once", interactive=False, visible=False,
                           buttons=["copy"], elem_id="token")
        make = gr.Button("Make a new token", elem_id="token-make")

    def said(request: gr.Request) -> str:
        return "<h2>API</h2>" + view.api(f"http://{request.headers.get('host', '127.0.0.1')}/",
                                         bool(bench.settings.value.token))

    def on_load(request: gr.Request) -> tuple[str, bool]:
        return said(request), bench.settings.value.needs_token

    @shown
    def on_make(request: gr.Request) -> dict[Any, Any]:
        return {token: gr.Textbox(value=actions.new_token(bench), visible=True), about: said(request)}

    @shown
    def on_needs(is_needed: bool) -> None:
        gr.Info(actions.require_token(bench, is_needed))

    at_open(demo, on_load, [about, needs])
    make.click(on_make, None, [token, about], **ACTING)
    back = needs.input(on_needs, needs, None, **QUIET)
    back.failure(lambda: bench.settings.value.needs_token, None, needs, **QUIET)


def build_machine(demo: gr.Blocks, bench: Workbench) -> None:
    """What of the machine a model gets, and whether it stays awake."""
    form = Form(Settings)
    with gr.Column(elem_classes="part"):
        gr.HTML("<h2>Machine</h2>")
        with gr.Row(elem_classes="fields"):
            form.add(*MACHINE)
        note = gr.HTML(elem_id="awake-note", apply_default_css=False)
        keep = gr.Button("Keep", elem_id="machine-keep")

    def drawn() -> dict[Any, Any]:
        return {note: view.awake(bench.awake.problem), **form.show(bench.settings.value)}

    @shown
    def on_keep(*given: Any) -> dict[Any, Any]:
        gr.Info(actions.change(bench, **form.values(given)))
        return drawn()

    shows = [note, *form.inputs]
    at_open(demo, drawn, shows)
    keep.click(on_keep, form.inputs, shows, **ACTING)


def build_folder(demo: gr.Blocks, bench: Workbench) -> None:
    """What the folder takes; backing it up, restoring and moving it."""
    with gr.Column(elem_classes="part"):
        gr.HTML('<h2 id="folder">Folder</h2>')
        about = gr.HTML(elem_id="space", js_on_load=ON_CLICK, apply_default_css=False)
        state = gr.HTML(elem_id="chore", js_on_load=ON_CLICK, apply_default_css=False)
        gr.HTML("<h3>Back up</h3>")
        with gr.Row(elem_classes="acts"):
            models = gr.Checkbox(label="With the models", value=False, elem_id="backup-models")
            checkpoints = gr.Checkbox(label="With checkpoints", value=False, elem_id="backup-checkpoints")
            back_up = gr.Button("Back up", elem_id="backup")
        listing = gr.HTML(elem_id="backups", js_on_load=ON_CLICK, apply_default_css=False)
        gr.HTML(sending("/files/backup", ".zip", "Add a backup from elsewhere"), apply_default_css=False)
        gr.HTML("<h3>Move to another disk</h3>")
        with gr.Row(elem_classes="fields"):
            place = gr.Dropdown([], label="To", filterable=False, elem_id="move-place")
            move = gr.Button("Move", elem_id="move")
        timer = gr.Timer(LOOK_S)
        seen = gr.Textbox(visible="hidden", label="seen")

    def version() -> str:
        known = [(one.name, one.bytes) for one in backup.listed(bench.home)]
        return repr((bench.chore.state, known, actions.waiting(bench)))

    def drawn() -> dict[Any, Any]:
        if bench.chore.state.is_running:
            return {state: view.chore(bench.chore.state, "")}
        used, runs = space.used(bench.home, bench.jobs), space.list_runs(bench.home, bench.jobs)
        offered = [(f"{one.folder} ({size(one.free)} free)", str(one.folder)) for one in relocate.places(bench.home)]
        return {about: view.space(bench.home, used, runs, relocate.old_folder(bench.home)),
                state: view.chore(bench.chore.state, actions.waiting(bench)),
                listing: view.backups(backup.listed(bench.home)), place: gr.Dropdown(choices=offered)}

    @shown
    def on_act(event: gr.EventData) -> dict[Any, Any]:
        bench.touch()
        gr.Info(actions.clear(bench, event.act, event.key))
        return drawn()

    @shown
    def on_back_up(with_models: bool, with_checkpoints: bool) -> dict[Any, Any]:
        actions.back_up(bench, with_models, with_checkpoints)
        return drawn()

    @shown
    def on_move(to: str | None) -> dict[Any, Any]:
        actions.move(bench, to or "")
        return drawn()

    shows = [about, state, listing, place]
    gr.on([demo.load, timer.tick], version, None, seen, **QUIET)
    seen.change(drawn, None, shows, **QUIET)
    gr.on([about.click, state.click, listing.click], on_act, None, shows, **ACTING)
    back_up.click(on_back_up, [models, checkpoints], shows, **ACTING)
    move.click(on_move, place, shows, **ACTING)


def build_log(demo: gr.Blocks, bench: Workbench) -> None:
    """The end of the log."""
    folder = bench.home / log.FOLDER
    with gr.Column(elem_classes="part"):
        gr.HTML("<h2>Log</h2>")
        lines = gr.HTML(elem_id="log", apply_default_css=False)
        with gr.Row(elem_classes="acts"):
            again = gr.Button("Look again", elem_id="log-again")
            show = gr.Button("Open the folder", elem_id="log-folder")

    def drawn() -> str:
        return view.log_lines(log.last_lines(bench.home), folder)

    gr.on([demo.load, again.click], drawn, None, lines, **QUIET)
    show.click(shown(lambda: desktop.open_folder(folder)), None, None, **QUIET)
