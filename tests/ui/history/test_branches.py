import subprocess
import sys
from pathlib import Path

import pytest

from models import runs
from models.errors import UserError
from tests.ui.history.asked import answered, whole
from ui.history import STOPPED, File, History, Message, new_id


def texts(history: History, conversation: str) -> list[str]:
    return [turn.text for turn in history.thread(conversation)]


def places(history: History, conversation: str) -> list[str]:
    return [f"{turn.version}/{turn.versions}" for turn in history.thread(conversation)]


def test_versions_of_an_answer_are_counted_and_chosen(tmp_path: Path):
    history, one = History(tmp_path), new_id()
    first = answered(history, one, "Why?", "first")
    again, = history.ask_again(one)
    history.finish(one, Message(id=again, role="assistant", text="second", state=STOPPED))
    answered(history, one, "And?", "third")
    assert texts(history, one) == ["Why?", "second", "And?", "third"]
    assert places(history, one) == ["1/1", "2/2", "1/1", "1/1"]
    history.choose_version(one, history.beside(one, again, -1))
    assert texts(history, one) == ["Why?", "first"] and places(history, one) == ["1/1", "1/2"]
    answered(history, one, "Else?", "fourth")                   # what follows the other version stays with it
    assert texts(history, one) == ["Why?", "first", "Else?", "fourth"]
    history.choose_version(one, again)
    assert texts(history, one) == ["Why?", "second", "And?", "third"]
    assert [history.beside(one, first, step) for step in (-1, 0, 1, 2)] == [first, first, again, again]


def test_an_earlier_answer_is_written_again(tmp_path: Path):
    history, one = History(tmp_path), new_id()
    first = answered(history, one, "Why?", "first")
    answered(history, one, "And?", "second")
    again, = history.ask_again(one, of=first)
    whole(history, one, again, "other")
    assert texts(history, one) == ["Why?", "other"] and places(history, one) == ["1/1", "2/2"]


def test_an_edited_question_is_a_branch(tmp_path: Path):
    history, one = History(tmp_path), new_id()
    answered(history, one, "Why?", "first")
    answered(history, one, "And?", "second")
    begin, _, question, _ = history.thread(one)
    edited, = history.ask_beside(one, question.id, "And then?")
    whole(history, one, edited, "third")
    assert texts(history, one) == ["Why?", "first", "And then?", "third"]
    assert places(history, one) == ["1/1", "1/1", "2/2", "1/1"]
    start, = history.ask_beside(one, begin.id, "Who?")
    whole(history, one, start, "me")
    assert texts(history, one) == ["Who?", "me"] and places(history, one) == ["2/2", "1/1"]
    history.choose_version(one, question.id)                    # deep in the branch that is not shown
    assert texts(history, one) == ["Why?", "first", "And?", "second"]
    assert [turn.text for turn in history.path_to(edited)] == ["Why?", "first", "And then?", "third"]


def test_a_pair_is_one_version_and_goes_on_with_the_better_one(tmp_path: Path):
    history, one = History(tmp_path), new_id()
    answered(history, one, "Why?", "alone")
    left, right = history.ask_again(one, sides=("a", "b"))
    whole(history, one, right, "right")
    whole(history, one, left, "left")
    assert texts(history, one) == ["Why?", "left", "right"] and places(history, one) == ["1/1", "2/2", "2/2"]
    assert [turn.side for turn in history.thread(one)] == ["", "a", "b"]
    question = history.thread(one)[0].id
    history.vote(one, question, "b")
    assert [turn.vote for turn in history.thread(one)] == ["", "b", "b"]
    answered(history, one, "And?", "next")
    assert texts(history, one) == ["Why?", "left", "right", "And?", "next"]
    assert history.thread(one)[3].parent == right
    history.vote(one, question, "a")                            # too late to lead the path
    assert texts(history, one)[3:] == ["And?", "next"] and history.thread(one)[1].vote == "a"
    history.choose_version(one, left)
    assert texts(history, one) == ["Why?", "left", "right"]
    answered(history, one, "Hm?", "other")
    assert history.thread(one)[3].parent == left and texts(history, one)[3:] == ["Hm?", "other"]
    history.choose_version(one, history.beside(one, right, -1))
    assert texts(history, one) == ["Why?", "alone"]


def test_a_pair_without_a_vote_goes_on_with_a(tmp_path: Path):
    history, one = History(tmp_path), new_id()
    left, right = history.ask(one, "Why?", sides=("a", "b"))
    history.vote(one, history.thread(one)[0].id, "tie")
    last, = history.ask(one, "And?")
    assert [turn.id for turn in history.path_to(last)][1] == left
    assert {turn.vote for turn in history.thread(one)[1:3]} == {"tie"}


def test_each_answer_keeps_what_it_was_asked_with(tmp_path: Path):
    history, one = History(tmp_path), new_id()
    left, right = history.ask(one, "Why?", settings='{"preset": "tutor"}', sides=("a", "b"))
    history.keep_settings(right, '{"preset": "brief"}')
    whole(history, one, right, "b")
    assert [turn.settings for turn in history.thread(one)] == ["", '{"preset": "tutor"}', '{"preset": "brief"}']
    again, = history.ask_again(one, of=right)
    assert history.path_to(again)[-1].settings == history.settings(one) == '{"preset": "brief"}'
    other, = history.ask_again(one, '{"preset": "note"}')
    assert history.path_to(other)[-1].settings == history.settings(one) == '{"preset": "note"}'


def test_files_are_kept_with_their_question(tmp_path: Path):
    history, one = History(tmp_path), new_id()
    letter = File(name="Brief.pdf", kind="text", text="Sehr geehrte …", note="Page 3 and on were left out.")
    picture = File(name="skin.png", kind="picture", data=bytes(range(256)))
    number, = history.ask(one, "What is it?", files=(letter, picture))
    answered(history, one, "Else?", "no")
    listed = history.thread(one)[0].files
    assert [(file.name, file.kind, file.note, file.text, file.data) for file in listed] == [
        ("Brief.pdf", "text", letter.note, "", b""), ("skin.png", "picture", "", "", b"")]
    assert history.file(one, listed[1].id).data == picture.data
    assert [file.text or file.data for file in history.path_to(number)[0].files] == [letter.text, picture.data]
    other = new_id()
    history.ask(other, "", files=(letter,))
    assert history.conversations()[0].title == "Brief.pdf"
    with pytest.raises(UserError, match="no longer there"):
        history.file(other, listed[1].id)


def test_what_is_not_there_can_not_be_followed(tmp_path: Path):
    history, one, two = History(tmp_path), new_id(), new_id()
    number = answered(history, one, "Why?", "a")
    answered(history, two, "Who?", "b")
    for wrong in (lambda: history.choose_version(two, number), lambda: history.ask_again(two, of=number),
                  lambda: history.ask_beside(one, number, "an answer is no question"),
                  lambda: history.beside(one, 99, 1)):
        with pytest.raises(UserError, match="no longer there"):
            wrong()
    with pytest.raises(UserError, match="no two answers"):
        history.vote(one, history.thread(one)[0].id, "a")
    assert texts(history, one) == ["Why?", "a"] and texts(history, two) == ["Who?", "b"]


WRITER = """
import sys
from pathlib import Path
from tests.ui.history.asked import answered
from ui.history import History
history = History(Path(sys.argv[1]))
history.unlock("a")
sys.stdin.readline()
for k in range(25):
    answered(history, sys.argv[2], f"{sys.argv[3]} {k}", f"answer to {sys.argv[3]} {k}")
"""


def test_two_processes_on_one_conversation_keep_every_turn(tmp_path: Path):
    history, one = History(tmp_path), new_id()
    history.set_passphrase("", "a")
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, tmp_path, one, name], cwd=runs.ROOT, text=True,
                                stdin=subprocess.PIPE) for name in ("left", "right")]
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("\n")
        writer.stdin.flush()
    assert [writer.wait() for writer in writers] == [0, 0]
    turns = history.thread(one)
    for name in ("left", "right"):
        assert [turn.text for turn in turns if turn.text.startswith(name)] == [f"{name} {k}" for k in range(25)]
        told = history.path_to(turns[-1].id)
        assert [turn.text for turn in told] == [turn.text for turn in turns] and len(turns) == 100
    following = {turn.parent: turn for turn in turns if turn.role == "assistant"}
    assert all(following[turn.id].text == f"answer to {turn.text}" for turn in turns if turn.role == "user")
