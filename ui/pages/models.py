"""The models page: what arrives, what is here, what can be had, what fits, and what can go."""

import json
import time
from typing import Any

import gradio as gr

from models import removal
from ui.actions import desktop
from ui.errors import shown
from ui.pages.frame import at_open, build_frame
from ui.views import catalog as can_be_had
from ui.views import downloads as arriving
from ui.views import models as view
from ui.workbench import Workbench

LOOK_S = 1.0
ON_CLICK = """element.addEventListener("click", (event) => modelsPage.click(event, trigger));
watch("value", () => modelsPage.drawn(element, trigger));"""
ON_LOOK = """element.addEventListener("click", (event) => modelsPage.look(event, element, trigger));
element.addEventListener("keydown", (event) => modelsPage.look(event, element, trigger));"""
CHOSEN = "(...drawn) => [...drawn.slice(0, 3), modelsPage.state.list, modelsPage.state.shelf]"


def build_models_page(demo: gr.Blocks, bench: Workbench) -> None:
    """Lay the models page inside demo and wire it to the workbench."""
    models, downloads, offers = bench.models, bench.downloads, bench.offers
    with build_frame(demo, bench, "Models"), gr.Column(elem_id="models", elem_classes="page"):
        gr.HTML('<h1>Models</h1><p class="lead">What is on this computer works without a network. Only a download asks '
                "for one, and only when you press it.</p>")
        arrives = gr.HTML(elem_id="model-downloads", js_on_load=ON_CLICK, apply_default_css=False)
        online = gr.HTML(elem_id="model-online", js_on_load=ON_CLICK, apply_default_css=False)
        gr.HTML("<h2>On this computer</h2>", apply_default_css=False)
        listing = gr.HTML(elem_id="model-list", js_on_load=ON_CLICK, apply_default_css=False)
        gr.HTML("<h2>Get a model</h2>", apply_default_css=False)
        shelf = gr.HTML(elem_id="model-offers", js_on_load=ON_CLICK, apply_default_css=False)
        field = gr.HTML(can_be_had.asking(), elem_id="model-asking", js_on_load=ON_LOOK, apply_default_css=False)
        gr.HTML("<h2>Add a file that you have</h2>" + view.adding(bench.home), elem_id="model-add",
                apply_default_css=False)
        open_folder = gr.Button("Open the folder", elem_id="model-folder", size="sm")
        opened = [gr.Textbox(visible="hidden", label=name) for name in ("list", "shelf")]   # models.js says them
        told = gr.Textbox(visible="hidden", label="told")           # what changes every second: arriving.progress
        now = gr.Textbox(visible="hidden", label="now")             # changes when the page is to be drawn
        seen = [gr.Textbox(visible="hidden", label=f"seen {name}") for name in ("list", "downloads", "shelf")]
        # the version that each part was drawn of: who draws one says so with it, and what came between is seen
        timer = gr.Timer(LOOK_S)

    def versions() -> list[str]:
        here, states = models.version(), [(one.run, one.state) for one in downloads.listed()]
        arriving_now = str(hash((*states, bench.outside.is_offline)))
        return [here, arriving_now, f"{here} {arriving_now} {offers.version()}"]

    def drawn_list(state: str) -> dict[Any, Any]:
        version, (most, _, asked) = versions()[0], state.partition(":")
        listed = models.listed()
        chosen = next((one for one in listed if one.key == asked), None)
        cards = view.cards(listed, models.is_in_use, bool(bench.model.state.loading), asked,
                           models.depending(chosen) if chosen else (), models.going(chosen) if chosen else (),
                           len(listed) if most else view.SHOWN)
        return {seen[0]: version, listing: view.drawn_for("list", state, cards)}

    def drawn_shelf(card: str) -> dict[Any, Any]:
        version, is_offline, fetched = versions()[2], bench.outside.is_offline, downloads.listed()
        opened = offers.named(card)
        cards = can_be_had.cards(offers.listed(opened), offers.suggested(), opened, is_offline,
                                 bench.machine.speed_words(), fetched)
        return {seen[2]: version, shelf: view.drawn_for("shelf", card, cards),
                online: can_be_had.online(is_offline, fetched)}

    def drawn_downloads() -> dict[Any, Any]:
        version = versions()[1]
        return {seen[1]: version, arrives: arriving.rows(downloads.listed(), bench.outside.is_offline)}

    def on_open(request: gr.Request) -> dict[Any, Any]:
        return {**drawn_list(":"), **drawn_downloads(), **drawn_shelf(request.query_params.get("get", ""))}

    def on_look(before: str, *drawn: str) -> Any:
        now_is = versions()
        late = [] if now_is == [*drawn] else [str(time.monotonic_ns())]     # another drawing may come after this one's
        words = arriving.progress(downloads.listed(), json.dumps(now_is + late))
        return gr.skip() if words == before else words      # one output: each costs the browser

    def on_change(of_list: str, of_downloads: str, of_shelf: str, state: str, card: str) -> Any:
        here, arriving_now, offered = versions()
        return {**(drawn_list(state) if of_list != here else {}),
                **(drawn_downloads() if of_downloads != arriving_now else {}),
                **(drawn_shelf(card) if of_shelf != offered else {})} or gr.skip()

    @shown
    def on_list(event: gr.EventData) -> dict[Any, Any]:
        bench.touch()
        if event.act == "use":
            models.use(event.key)
        elif event.act == "delete":                 # the second press: the first one asked
            freed = models.delete(event.key)
            gr.Info(removal.told(freed, view.size(freed)))
        return drawn_list(event.state)

    @shown
    def on_shelf(event: gr.EventData) -> dict[Any, Any]:
        bench.touch()
        if event.act == "online":
            bench.outside.switch(False)
        elif event.act == "offline":
            for one in downloads.listed():
                if one.state in ("waiting", "running"):
                    downloads.pause(one.run)
            bench.outside.switch(True)
        if event.act in ("choose", "online"):
            offers.choose(event.entry, event.kind)
        elif event.act == "look" and (kind := offers.named(event.state).partition("/")[2]):
            offers.choose(event.state.partition("/")[0], kind)
        elif event.act == "get":
            downloads.start(*offers.config(event.entry, event.kind))
        return {**drawn_shelf(event.state), **drawn_downloads()}

    @shown
    def on_download(event: gr.EventData) -> dict[Any, Any]:
        bench.touch()
        acts = {"pause": downloads.pause, "resume": downloads.resume, "cancel": downloads.cancel,
                "use-download": downloads.use, "forget": downloads.forget, arriving.ONLINE: downloads.resume}
        if event.act == arriving.ONLINE:
            bench.outside.switch(False)
        acts[event.act](event.run)
        return drawn_downloads()

    quiet: dict[str, Any] = dict(show_progress="hidden", queue=False, api_visibility="private")
    # each click counts, also one that comes before the answer to the last
    calm: dict[str, Any] = dict(show_progress="hidden", api_visibility="private", trigger_mode="multiple")
    shows = [*seen, listing, shelf, online, arrives]
    at_open(demo, on_open, shows)
    timer.tick(on_look, [told, *seen], told, **quiet)
    told.change(None, told, now, js="(told) => modelsPage.renew(told)", **quiet)
    now.change(on_change, [*seen, *opened], shows, js=CHOSEN, **quiet)
    listing.click(on_list, None, [seen[0], listing], **calm)
    for part in (shelf, online, field):
        part.click(on_shelf, None, [*seen[1:], shelf, online, arrives], **calm)
    arrives.click(on_download, None, [seen[1], arrives], **calm)
    open_folder.click(shown(lambda: desktop.open_folder(bench.home)), None, None, **quiet)
