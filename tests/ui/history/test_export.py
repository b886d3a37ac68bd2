import base64
import json
from pathlib import Path

from tests.ui.history.asked import whole
from ui.history import BROKEN, File, History, Message, new_id


def talk(folder: Path) -> tuple[History, str]:
    history, one = History(folder), new_id()
    files = (File(name="Brief.pdf", kind="text", text="Sehr geehrte …", note="Page 3 was left out."),
             File(name="skin.png", kind="picture", data=b"\x89PNG"))
    number, = history.ask(one, "What *is* it?", "Call 112.", '{"preset": "tutor"}', files)
    history.finish(one, Message(id=number, role="assistant", text="| a | b |\n|---|---|\n| 1 | 2 |", model="MedGemma",
                                fingerprint="7f3a", tokens=12, state="cut"))
    other, = history.ask_again(one)
    whole(history, one, other, "Another.")
    left, right = history.ask(one, "Sure?", sides=("a", "b"))
    history.finish(one, Message(id=left, role="assistant", text="Yes.", model="Base"))
    history.finish(one, Message(id=right, role="assistant", text="", model="Tuned", state=BROKEN, problem="It died."))
    history.vote(one, history.thread(one)[2].id, "a")
    history.choose_version(one, number)
    history.choose_version(one, left)
    return history, one


def test_markdown_holds_what_is_shown(tmp_path: Path):
    history, one = talk(tmp_path)
    shown = history.export_markdown(one).splitlines()
    assert shown[0] == "# What *is* it?"
    assert [line for line in shown if line.startswith("## ")] == [
        "## You", "## Answer", "## You", "## Base (A, voted the better one)", "## Tuned (B)"]
    assert "*Read from Brief.pdf. Page 3 was left out.*" in shown and "> Call 112." in shown and "> It died." in shown
    assert "Another." in shown
    history.choose_version(one, history.beside(one, history.thread(one)[1].id, -1))
    table = history.export_markdown(one)
    assert "| a | b |\n|---|---|\n| 1 | 2 |" in table and "Another." not in table
    assert "*12 tokens · 7f3a · cut at its longest length*" in table.splitlines()


def test_json_holds_everything(tmp_path: Path):
    history, one = talk(tmp_path)
    told = json.loads(history.export_json(one))
    assert told["id"] == one and told["title"] == "What *is* it?"
    messages = told["messages"]
    assert [message["text"] for message in messages] == [
        "What *is* it?", "| a | b |\n|---|---|\n| 1 | 2 |", "Another.", "Sure?", "Yes.", ""]
    assert [message["is_shown"] for message in messages] == [True, False, True, True, True, True]
    assert messages[1]["settings"] == {"preset": "tutor"} == messages[2]["settings"] and messages[1]["tokens"] == 12
    letter, picture = messages[0]["files"]
    assert letter["text"] == "Sehr geehrte …" and base64.b64decode(picture["data"]) == b"\x89PNG"
    assert [message["vote"] for message in messages[4:]] == ["a", "a"] and messages[3]["parent"] == messages[2]["id"]
