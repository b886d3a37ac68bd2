"""The chat page: conversations, the thread, the composer. It only follows; answers are written elsewhere."""

import hashlib
import json
import time
from pathlib import Path
from typing import Any

import gradio as gr

from ui.actions import controls
from ui.actions.chat import View
from ui.actions.offers import Suggested
from ui.errors import shown
from ui.history import History, is_id, new_id
from ui.pages.drawer import LABEL, Drawer
from ui.pages.frame import at_open, build_frame
from ui.views import chat as views
from ui.workbench import Workbench

LOOK_S = 1.0                                    # between two looks; what grows meanwhile comes by ui/api/growth.py
PART = 100                                      # conversations listed at once
ASSETS = Path(gr.__file__).parent / "templates" / "frontend" / "assets"
ON_CLICK = 'element.addEventListener("click", (event) => chatPage.onThreadClick(event, trigger));'
ON_LIST_CLICK = 'element.addEventListener("click", (event) => chatPage.list.onClick(event, trigger));'
ON_EXAMPLE_CLICK = """element.addEventListener("click", (event) => {
    const target = event.target.closest("[data-text]");
    if (target) trigger("click", {text: target.dataset.text});
});"""
ON_UNDO = ON_CLICK + """
watch("value", () => {
    clearTimeout(element.hiding);
    element.hiding = setTimeout(() => { props.value = ""; }, 30_000);
});"""
EDITING = ('<p>You are editing an earlier question; the answers to it stay as another version.</p>'
           '<button type="button" data-act="end-edit">Cancel</button>')
TAKE = ("(conversation, text, edited, ...rest) => "
        "[conversation, chatPage.message.take(text), chatPage.message.takeEdit(), ...rest]")


def build_chat_page(demo: gr.Blocks, bench: Workbench) -> None:
    """Lay the chat page inside demo and wire it to the workbench."""
    chat, history = bench.chat, bench.history
    with build_frame(demo, bench, "Chat"), gr.Row(elem_id="chat"):
        with gr.Column(elem_id="list"):
            new = gr.Button("New conversation", elem_id="new", size="sm")
            search = gr.Textbox(placeholder="Search", label="Search the conversations", show_label=False,
                                container=False, elem_id="search")
            listing = gr.HTML(elem_id="conversations", js_on_load=ON_LIST_CLICK, apply_default_css=False)
        with gr.Column(elem_id="thread"):
            open_list = gr.Button("Conversations", elem_id="open-list", size="sm")      # on narrow screens only
            empty = gr.HTML(elem_id="empty", js_on_load=ON_EXAMPLE_CLICK, apply_default_css=False)
            with gr.Column(elem_id="scroll"):
                gr.HTML('<h1 class="sr">Conversation</h1>', apply_default_css=False)
                turns = gr.HTML(elem_id="turns", js_on_load=ON_CLICK, apply_default_css=False)
                now = gr.HTML(elem_id="now", js_on_load=ON_CLICK, apply_default_css=False)
            with gr.Row(elem_id="under"):
                line = gr.HTML(elem_id="line", js_on_load=ON_CLICK, apply_default_css=False)
                again = gr.Button("Regenerate", elem_id="again", size="sm", visible="hidden")
                options = gr.Button("Options", elem_id="options", size="sm")
            gr.HTML(EDITING, elem_id="editing", js_on_load=ON_CLICK, apply_default_css=False)
            waiting = gr.HTML(elem_id="waiting", js_on_load=ON_CLICK, apply_default_css=False)
            with gr.Row(elem_id="composer"):
                attach = gr.UploadButton("Add a file", file_types=[".pdf", ".docx", ".txt", ".md"], elem_id="attach",
                                         size="sm")
                picture = gr.UploadButton("Add a picture", file_types=[".png", ".jpg", ".jpeg"], elem_id="picture",
                                          size="sm", visible="hidden")
                box = gr.Textbox(placeholder="Write a message", label="Message", show_label=False, container=False,
                                 lines=1, max_lines=8, autofocus=True, elem_id="box")
                send = gr.Button("Send", variant="primary", elem_id="send")
                stop = gr.Button("Stop", variant="stop", elem_id="stop", visible="hidden")
        drawer = Drawer(bench)
        undo = gr.HTML(elem_id="undo", js_on_load=ON_UNDO, apply_default_css=False)
        gr.HTML(_katex(), elem_id="katex", apply_default_css=False)
        conversation = gr.Textbox(visible="hidden", label="conversation", elem_id="conversation")
        seen = gr.Textbox(visible="hidden", label="seen")       # the versions of what this page shows
        selected = gr.Textbox(visible="hidden", label="selected")       # the answer whose figures the line has
        edited = gr.Textbox(visible="hidden", label="edited")   # the question that the next one is a version of
        length = gr.Textbox(str(PART), visible="hidden", label="length")        # how many conversations are listed
        saved = gr.Textbox(visible="hidden", label="saved")     # a file on its way to the browser
        stale = gr.Textbox(visible="hidden", label="stale", elem_id="stale")    # changes when the page has to be drawn
        timer = gr.Timer(LOOK_S)
    shows = [seen, listing, empty, turns, now, line, again, send, stop, waiting, picture, drawer.context]
    opens = [conversation, selected, *drawer.outputs, *shows]

    def suggestion() -> Suggested | None:
        """The model to get, while the embedded one is in use; None until that is known."""
        return bench.offers.suggested() if chat.model.state.notice else None

    def versions(of_view: str, query: str, most: str) -> str:
        files = chat.pending.version(of_view.partition(":")[0])
        found = suggestion()
        state = hash((chat.model.state, found and (found.entry.id, found.type, found.is_here)))
        return f"{chat.list_version()}|{state}|{files}|{query}|{most}|{of_view}"

    def listed(current: str, query: str, most: str) -> str:
        if history.is_locked:
            return ""
        count = int(most) if most.isdecimal() else PART
        return views.conversations(history.conversations(query, limit=count), current, query,
                                   max(0, history.count(query) - count))

    def drawn(view: View, query: str = "", most: str = "", answer: str = "") -> dict[Any, Any]:
        is_writing, model = view.is_writing, chat.model.state
        lacked = controls.lacking(model.info)
        can_see = model.info and model.info.projector and controls.PICTURE not in lacked
        earlier, last = views.split(view.turns)
        return {
            seen: versions(view.version, query, most), listing: listed(view.conversation, query, most),
            empty: "" if view.turns else views.empty(model, suggestion()),
            turns: views.thread(earlier, is_writing, model),
            now: views.thread(last, is_writing, model) + views.live(view),
            line: views.answer_line(view, int(answer) if answer.isdecimal() else None),
            again: gr.Button(visible=True if view.turns and not is_writing else "hidden"),
            send: gr.Button(visible="hidden" if is_writing else True),
            stop: gr.Button(visible=True if is_writing else "hidden"),
            waiting: views.pending(chat.pending.of(view.conversation)),
            picture: gr.UploadButton(visible=True if can_see else "hidden"),
            drawer.context: views.context(view) + views.lacks(lacked)}

    def opened(wanted: str, query: str = "", most: str = "") -> dict[Any, Any]:
        view = chat.view(wanted)
        return {conversation: wanted, selected: "", **drawer.show(view.asked), **drawn(view, query, most)}

    @shown
    def on_load(request: gr.Request) -> dict[Any, Any]:
        return opened(_conversation_of("", request))

    def on_look(current: str, seen_versions: str, query: str, most: str) -> Any:
        # an event costs the browser something for each of its outputs, so the look that finds nothing has one only;
        # a drawing that set off before another may come after it: the next look puts that right
        before = versions(chat.version(current), query, most)
        is_seen = before.rpartition(":")[0] == seen_versions.rpartition(":")[0]
        return gr.skip() if is_seen else str(time.monotonic_ns())

    def on_stale(current: str, query: str, most: str, answer: str) -> dict[Any, Any]:
        return drawn(chat.view(current), query, most, answer)

    def ask(current: str, text: str, changed: str, query: str, most: str, given: tuple[Any, ...]) -> dict[Any, Any]:
        bench.touch()
        asked, against = drawer.read(given)
        files = chat.pending.of(current)
        chat.send(current, text, asked, files, against, int(changed) if changed.isdecimal() else None)
        chat.pending.sent(current, files)
        return {conversation: current, selected: "", **drawn(chat.view(current), query, most)}

    @shown
    def on_send(request: gr.Request, current: str, text: str, changed: str, query: str, most: str,
                *given: Any) -> dict[Any, Any]:
        return ask(_conversation_of(current, request), text, changed, query, most, given)

    @shown
    def on_example(request: gr.Request, event: gr.EventData, current: str, query: str, most: str,
                   *given: Any) -> dict[Any, Any]:
        return ask(_conversation_of(current, request), event.text, "", query, most, given)

    @shown
    def on_again(current: str, answer: str, query: str, most: str, *given: Any) -> dict[Any, Any]:
        bench.touch()
        asked, against = drawer.read(given)
        chat.regenerate(current, asked, int(answer) if answer.isdecimal() else None, against)
        return {selected: "", **drawn(chat.view(current), query, most)}

    @shown
    def on_thread(event: gr.EventData, current: str, query: str, most: str, answer: str) -> dict[Any, Any]:
        bench.touch()
        if event.act == "version":
            history.choose_version(current, history.beside(current, int(event.id), int(event.step)))
            answer = ""
        elif event.act == "vote":
            history.vote(current, int(event.id), event.vote)
        elif event.act == "select":
            answer = event.id
        elif event.act == "remove":
            chat.pending.remove(current, int(event.place))
        return {selected: answer, **drawn(chat.view(current), query, most, answer)}

    @shown
    def on_search(request: gr.Request, current: str, query: str, most: str) -> str:
        return listed(_conversation_of(current, request), query, most)

    @shown
    def on_list(request: gr.Request, event: gr.EventData, current: str, query: str, most: str) -> dict[Any, Any]:
        bench.touch()
        current = _conversation_of(current, request)
        key = getattr(event, "id", "")
        if event.act == "open":
            return opened(key, query, most)
        if event.act in ("markdown", "json"):
            return {saved: _file(history, key, event.act)}
        if event.act == "delete":
            title = next((one.title for one in history.conversations() if one.id == key), "")
            chat.delete(key)
            if key == current:
                return {undo: views.deleted(title, key), **opened(new_id(), query, most)}
            return {undo: views.deleted(title, key), listing: listed(current, query, most)}
        if event.act == "rename":
            history.rename(key, event.title)
        elif event.act == "star":
            history.star(key, event.pressed != "true")
        elif event.act == "older":
            most = str(int(most) + 4 * PART)
        return {length: most, listing: listed(current, query, most)}

    @shown
    def on_undo(event: gr.EventData, query: str, most: str) -> dict[Any, Any]:
        history.restore(event.id)
        return {undo: "", **opened(event.id, query, most)}

    @shown
    def on_attach(request: gr.Request, current: str, uploaded: str, *given: Any) -> dict[Any, Any]:
        bench.touch()
        current = _conversation_of(current, request)
        turns = chat.view(current).turns
        chat.pending.add(current, uploaded, turns, drawer.read(given)[0].sampling.max_tokens)
        return {conversation: current, waiting: views.pending(chat.pending.of(current))}

    quiet: dict[str, Any] = dict(show_progress="hidden", queue=False, api_visibility="private")
    calm: dict[str, Any] = dict(show_progress="hidden", api_visibility="private")
    at_open(demo, on_load, opens, name="open")
    timer.tick(on_look, [conversation, seen, search, length], stale, **quiet)
    stale.change(on_stale, [conversation, search, length, selected], shows, **quiet)
    sent = gr.on([send.click, box.submit], on_send, [conversation, box, edited, search, length, *drawer.inputs],
                 [conversation, selected, *shows], js=TAKE, **calm)
    sent.failure(None, js="() => chatPage.message.putBack()")
    empty.click(on_example, [conversation, search, length, *drawer.inputs], [conversation, selected, *shows], **calm)
    again.click(on_again, [conversation, selected, search, length, *drawer.inputs], [selected, *shows], **calm)
    stop.click(chat.stop, conversation, None, **quiet)
    for one in (turns, now, line, waiting):
        one.click(on_thread, [conversation, search, length, selected], [selected, *shows], **calm)
    listing.click(on_list, [conversation, search, length], [length, undo, saved, *opens], **calm)
    undo.click(on_undo, [search, length], [undo, *opens], **calm)
    saved.change(None, saved, saved, js="(file) => chatPage.saveFile(file)", **quiet)
    search.change(on_search, [conversation, search, length], listing, trigger_mode="always_last", **quiet)
    new.click(lambda query, most: opened(new_id(), query, most), [search, length], opens, **quiet)
    for button in (attach, picture):
        button.upload(on_attach, [conversation, button, *drawer.inputs], [conversation, waiting], **calm)
    open_list.click(None, js="() => document.getElementById('frame').classList.toggle('list-open')")
    chosen = [drawer.preset, drawer.against]
    gr.on([one.change for one in chosen], None, chosen, options, js=LABEL, **quiet)
    options.click(None, js="() => chatPage.drawer.toggle()")
    conversation.change(None, conversation, None, js="(id) => toAddress('c', id)")


def _conversation_of(current: str, request: gr.Request) -> str:
    """The id a page shows; before it knows its own (a fast hand sends first), the one that its load will give it."""
    wanted = request.query_params.get("c", "")
    page = request.session_hash                 # one for each load of a page in a browser
    own = hashlib.sha256(page.encode()).hexdigest()[:len(new_id())] if page else new_id()
    return next(one for one in (current, wanted, own) if is_id(one))


def _katex() -> str:
    """Where Gradio's own KaTeX lies, for formulas; nothing if another version of Gradio has it elsewhere."""
    script, style = (next(iter(sorted(ASSETS.glob(name))), None) for name in ("katex-*.js", "katex-*.css"))
    if not script or not style:
        return ""
    return f'<i data-script="/assets/{script.name}" data-style="/assets/{style.name}"></i>'


def _file(history: History, conversation: str, kind: str) -> str:
    """A conversation as the browser saves it: {"name", "kind", "text"}."""
    title = next((one.title for one in history.conversations() if one.id == conversation), "conversation")
    if kind == "markdown":
        values = {"name": f"{title}.md", "kind": "text/markdown", "text": history.export_markdown(conversation)}
    else:
        values = {"name": f"{title}.json", "kind": "application/json", "text": history.export_json(conversation)}
    return json.dumps(values)
