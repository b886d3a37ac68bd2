"""The chat page: conversations, the thread, the composer. It only follows; answers are written elsewhere."""

import hashlib
from typing import Any

import gradio as gr

from ui import show
from ui.actions.chat import Chat, View
from ui.errors import shown
from ui.history import is_id, new_id
from ui.pages.frame import build_frame

FOLLOW_S, IDLE_S = 0.08, 1.0                    # between two looks while an answer is written, and otherwise

# The conversation's id stands in the address, so that a reload and a bookmark find it again.
TO_ADDRESS = """(id) => {
    const url = new URL(window.location.href);
    const known = url.searchParams.get("c");
    if (known === id) return;
    url.searchParams.set("c", id);
    if (known) window.history.pushState(null, "", url); else window.history.replaceState(null, "", url);
}"""
ON_LIST_CLICK = """element.addEventListener("click", (event) => {
    const target = event.target.closest("[data-act]");
    if (!target || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    if (target.dataset.act === "delete" && !window.confirm("Delete this conversation for good?")) return;
    trigger("click", {act: target.dataset.act, id: target.dataset.id});
});"""
ON_EXAMPLE_CLICK = """element.addEventListener("click", (event) => {
    const target = event.target.closest("[data-text]");
    if (target) trigger("click", {text: target.dataset.text});
});"""


def build_chat_page(demo: gr.Blocks, chat: Chat) -> None:
    """Lay the chat page inside demo and wire it to chat."""
    with build_frame(demo, chat, "Chat"), gr.Row(elem_id="chat"):
        with gr.Column(elem_id="list"):
            new = gr.Button("New conversation", elem_id="new", size="sm")
            listing = gr.HTML(elem_id="conversations", js_on_load=ON_LIST_CLICK, apply_default_css=False)
        with gr.Column(elem_id="thread"):
            open_list = gr.Button("Conversations", elem_id="open-list", size="sm")      # on narrow screens only
            empty = gr.HTML(elem_id="empty", js_on_load=ON_EXAMPLE_CLICK, apply_default_css=False)
            turns = gr.Chatbot(elem_id="turns", label="Conversation", show_label=False, layout="panel", height=None,
                               container=False, buttons=["copy"], group_consecutive_messages=False,
                               feedback_options=None, allow_file_downloads=False, autoscroll=False)
            with gr.Row(elem_id="under"):
                line = gr.HTML(elem_id="line", apply_default_css=False)
                again = gr.Button("Regenerate", elem_id="again", size="sm", visible="hidden")
            with gr.Row(elem_id="composer"):
                box = gr.Textbox(placeholder="Write a message", label="Message", show_label=False, container=False,
                                 lines=1, max_lines=8, autofocus=True, elem_id="box")
                send = gr.Button("Send", variant="primary", elem_id="send")
                stop = gr.Button("Stop", variant="stop", elem_id="stop", visible="hidden")
        conversation = gr.Textbox(visible="hidden", label="conversation", elem_id="conversation")
        seen = gr.Textbox(visible="hidden", label="seen")       # the versions of what this page shows
        timer = gr.Timer(IDLE_S)
    shows = [seen, listing, empty, turns, line, again, send, stop, timer]
    opens = [conversation, *shows]

    def versions(of_view: str) -> str:
        return f"{chat.list_version()}|{hash(chat.model)}|{of_view}"

    def drawn(view: View) -> dict[Any, Any]:
        is_writing = view.is_writing
        return {
            seen: versions(view.version),
            listing: show.conversations(chat.conversations(), view.conversation),
            empty: "" if view.turns else show.empty(chat.model),
            turns: show.thread(view, chat.model), line: show.answer_line(view),
            again: gr.Button(visible=True if view.turns and not is_writing else "hidden"),
            send: gr.Button(visible="hidden" if is_writing else True),
            stop: gr.Button(visible=True if is_writing else "hidden"),
            timer: gr.Timer(FOLLOW_S if is_writing else IDLE_S)}

    def opened(wanted: str) -> dict[Any, Any]:
        return {conversation: wanted, **drawn(chat.view(wanted))}

    @shown
    def on_load(request: gr.Request) -> dict[Any, Any]:
        return opened(_conversation_of("", request))

    def on_tick(current: str, seen_versions: str) -> dict[Any, Any]:
        # a look that set off before another conversation was opened may come late: the next one puts it right
        now = versions(chat.version(current))
        if now == seen_versions:
            return gr.skip()
        view = chat.view(current)
        if now.rpartition(":")[0] == seen_versions.rpartition(":")[0]:      # nothing but the text has grown
            return {seen: versions(view.version), turns: show.thread(view, chat.model)}
        return drawn(view)

    @shown
    def on_send(current: str, text: str, request: gr.Request) -> dict[Any, Any]:
        current = _conversation_of(current, request)
        chat.send(current, text)
        return opened(current)

    @shown
    def on_example(current: str, event: gr.EventData, request: gr.Request) -> dict[Any, Any]:
        current = _conversation_of(current, request)
        chat.send(current, event.text)
        return opened(current)

    @shown
    def on_again(current: str) -> dict[Any, Any]:
        chat.regenerate(current)
        return drawn(chat.view(current))

    @shown
    def on_list(current: str, event: gr.EventData) -> dict[Any, Any]:
        if event.act == "open":
            return opened(event.id)
        chat.delete(event.id)
        return opened(new_id() if event.id == current else current)

    quiet: dict[str, Any] = dict(show_progress="hidden", queue=False)
    demo.load(on_load, None, opens, api_name="open", **quiet)
    timer.tick(on_tick, [conversation, seen], shows, api_name="follow", **quiet)
    sent = gr.on([send.click, box.submit], on_send, [conversation, box], opens, api_name="send",
                 show_progress="hidden", js="(conversation, text) => [conversation, message.take(text)]")
    sent.failure(None, js="() => message.putBack()")
    empty.click(on_example, conversation, opens, show_progress="hidden", api_visibility="private")
    again.click(on_again, conversation, shows, api_name="regenerate", show_progress="hidden")
    stop.click(chat.stop, conversation, None, api_name="stop", **quiet)
    listing.click(on_list, conversation, opens, show_progress="hidden", api_visibility="private")
    new.click(lambda: opened(new_id()), None, opens, api_visibility="private", **quiet)
    open_list.click(None, js="() => document.getElementById('frame').classList.toggle('list-open')")
    conversation.change(None, conversation, None, js=TO_ADDRESS)


def _conversation_of(current: str, request: gr.Request) -> str:
    """The id a page shows; before it knows its own (a fast hand sends first), the one that its load will give it."""
    wanted = request.query_params.get("c", "")
    page = request.session_hash                 # one for each load of a page in a browser
    own = hashlib.sha256(page.encode()).hexdigest()[:len(new_id())] if page else new_id()
    return next(one for one in (current, wanted, own) if is_id(one))
