import asyncio
import json
import threading

from fastapi import FastAPI
from fastapi.testclient import TestClient

from tests.ui.fakes import FakeSession, wait_for
from ui.actions.chat import Chat
from ui.api import growth
from ui.history import new_id


def test_what_grows_is_sent_as_safe_html_until_the_answer_has_ended(chat: Chat, session: FakeSession):
    one = new_id()
    chat.send(one, "a")
    stream = session.streams.get(timeout=60)
    number = chat.running(one)[0].number

    async def collect() -> list[str]:
        events: list[str] = []
        stream.pieces.put("**so** <img src=x>")
        async for event in growth.updates(chat, one):
            events.append(event)
            if len(events) < 3:                         # some looks later, in which there is nothing new
                later = " far\n\nend" if len(events) == 1 else None
                threading.Timer(5 * growth.LOOK_S, stream.pieces.put, [later]).start()
        return events

    *events, end = asyncio.run(collect())
    assert end.startswith("event: end\n")
    sent = [json.loads(event.removeprefix("data: ")) for event in events]
    assert {one["id"] for one in sent} == {number} and len(sent) == 2           # nothing is sent twice
    assert sent[0]["html"] == "<p><strong>so</strong> &lt;img src=x&gt;</p>\n"
    assert sent[1]["html"].endswith("far</p>\n<p>end</p>\n")


def test_nothing_to_follow_ends_the_following(chat: Chat):
    app = FastAPI()
    app.include_router(growth.router(chat))
    answer = TestClient(app).get("/chat/growth", params={"c": new_id()})
    assert answer.status_code == 204 and not answer.content


def test_nothing_is_sent_while_the_conversations_are_locked(chat: Chat, session: FakeSession):
    one = new_id()
    chat.history.set_passphrase("", "open sesame")
    chat.send(one, "a")
    stream = session.streams.get(timeout=60)
    stream.cancel = lambda: None                        # a model that is busy with a long question hears late
    stream.pieces.put("what nobody may read now")
    wait_for(lambda: chat.running(one)[0].text)
    chat.stop_all(wait_s=0.1)
    chat.history.lock()
    app = FastAPI()
    app.include_router(growth.router(chat))
    assert TestClient(app).get("/chat/growth", params={"c": one}).status_code == 204
    assert chat.running(one) == () and chat.is_writing
    stream.pieces.put(None)
    wait_for(lambda: not chat.is_writing)


def test_updates_are_at_most_twenty_a_second():
    assert growth.LOOK_S >= 1 / 20
