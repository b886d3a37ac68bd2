"""What the chat page's own events and addresses give out while the conversations are locked, whoever sends them."""

import inspect
import json
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from fastapi.testclient import TestClient

from models.errors import UserError
from tests.ui.fakes import wait_for
from ui.actions.asking import Asking
from ui.api.server import create_api
from ui.history import new_id
from ui.pages.chat import build_chat_page
from ui.workbench import Workbench

WORD, PASSPHRASE = "Quorlbexin", "open sesame"
ACTS = ("open", "markdown", "json", "older", "select", "version", "star", "rename", "delete")


@pytest.fixture
def conversation(bench: Workbench) -> str:
    """One that has the word in its title, question, answer and system prompt; and a preset of that name."""
    made = new_id()
    bench.chat.send(made, f"about {WORD}", Asking(system=f"You know {WORD}."))
    stream = bench.session.streams.get(timeout=60)
    for piece in (f"{WORD} helps.", None):
        stream.pieces.put(piece)
    wait_for(lambda: not bench.chat.is_writing)
    bench.history.save_preset(f"{WORD} preset", Asking(system=WORD).to_json())
    bench.history.set_passphrase("", PASSPHRASE)
    return made


def events(demo: gr.Blocks, conversation: str) -> list[tuple[str, Any]]:
    """Every event of the page with values as a browser would send them: its name, and how to send it."""
    request = SimpleNamespace(query_params={"c": conversation}, session_hash="abc")
    given = {"conversation": conversation, "selected": "2", "length": "100", "Preset": f"{WORD} preset"}
    found = []
    for one in demo.fns.values():
        called = inspect.unwrap(one.fn) if one.fn else None
        if not getattr(called, "__module__", "").startswith("ui.pages.") or "unlock" in called.__name__:
            continue
        kinds = [parameter.annotation for parameter in inspect.signature(called).parameters.values()]
        values = [given.get(box.label, box.value or "") for box in one.inputs]
        for act in ACTS if gr.EventData in kinds else ("",):
            number = "1" if act in ("select", "version") else conversation
            event = SimpleNamespace(act=act, id=number, step="1", text="hello", title="t", pressed="true")
            left, arguments = iter(values), []
            for kind in kinds:
                known = {gr.Request: request, gr.EventData: event}.get(kind)
                arguments.append(known or next(left, ""))
            found.append((f"{called.__name__} {act}".strip(), lambda fn=one.fn, sent=(*arguments, *left): fn(*sent)))
    return found


def told(send: Any) -> str:
    """Everything that an event answers, whatever it is packed in."""
    def plain(value: Any) -> Any:
        return getattr(value, "_constructor_args", None) or repr(value)
    try:
        answer = send()
    except (gr.Error, UserError) as error:
        return str(error)
    return json.dumps(list(answer.values()) if isinstance(answer, dict) else answer, default=plain)


def test_no_event_of_the_page_answers_with_what_is_locked(bench: Workbench, conversation: str):
    with gr.Blocks() as demo:
        build_chat_page(demo, bench)
    sent = [one for one in events(demo, conversation) if one[0] not in ("on_list delete", "on_thread star")]
    assert {"on_load", "on_stale", "on_list open", "on_list markdown", "on_list json", "on_preset"} <= {
        name for name, send in sent if WORD in told(send)}
    bench.lock()
    answers = {name: told(send).replace(f"{WORD} preset", "") for name, send in events(demo, conversation)}
    assert [name for name, answer in answers.items() if WORD in answer] == []
    bench.history.unlock(PASSPHRASE)
    assert len(bench.history.conversations()) == 1      # none of them deleted it


def test_no_address_answers_with_what_is_locked(bench: Workbench, conversation: str):
    bench.lock()
    client = TestClient(create_api(bench))
    asked = {"conversation_id": conversation, "stream": False, "user_message": [{"type": "text", "text": "And now?"}]}
    answer = client.post("/medgemma", json=asked)
    assert answer.status_code >= 400 and "locked" in answer.text and bench.session.streams.empty()
