import threading
import time
from pathlib import Path

import pytest

from models.errors import UserError
from runtime.session import WorkerDied
from tests.ui.fakes import FakeSession, FakeStream, wait_for
from ui.actions.chat import Chat
from ui.history import BROKEN, STOPPED, WHOLE, History, new_id


@pytest.fixture
def session() -> FakeSession:
    return FakeSession()


@pytest.fixture
def chat(session: FakeSession, tmp_path: Path, galen_home: Path) -> Chat:
    made = Chat(session, History(tmp_path))
    made.preload(tmp_path / "demo.gguf")
    wait_for(lambda: made.model.info)
    return made


def reply(session: FakeSession, *pieces: str | Exception) -> FakeStream:
    """Put pieces into the stream that was asked for; the answer stays open."""
    stream = session.streams.get(timeout=5)
    for piece in pieces:
        stream.pieces.put(piece)
    return stream


def told(chat: Chat, session: FakeSession, conversation: str, question: str, text: str) -> None:
    """One whole exchange."""
    chat.send(conversation, question)
    reply(session, text, None)
    wait_for(lambda: not chat.view(conversation).is_writing)


def test_answer_arrives_piece_by_piece_and_stays(chat: Chat, session: FakeSession):
    one = new_id()
    chat.send(one, "  What is asthma?  ")
    stream = reply(session, "Asthma ")
    wait_for(lambda: chat.view(one).turns[-1].text == "Asthma ")
    before = chat.version(one)
    stream.pieces.put("is common.")
    wait_for(lambda: chat.view(one).turns[-1].text == "Asthma is common.")
    assert chat.view(one).is_writing and chat.version(one) != before
    stream.pieces.put(None)
    wait_for(lambda: not chat.view(one).is_writing)
    last = chat.view(one).turns[-1]
    assert (last.text, last.state, last.tokens, last.model) == ("Asthma is common.", WHOLE, 2, "demo Q8_0")
    assert last.fingerprint == "7f3a9c21d0b1e2f3"
    assert session.asked == [[{"role": "user", "content": "What is asthma?"}]]


def test_whole_conversation_is_the_prompt_without_unanswered_questions(chat: Chat, session: FakeSession):
    one = new_id()
    told(chat, session, one, "a", "A")
    chat.send(one, "lost")
    reply(session, WorkerDied("The model's process ended."))
    wait_for(lambda: not chat.view(one).is_writing)
    told(chat, session, one, "b", "B")
    told(chat, session, one, "c", "C")
    roles = [(message["role"], message["content"]) for message in session.asked[-1]]
    assert roles == [("user", "a"), ("assistant", "A"), ("user", "b"), ("assistant", "B"), ("user", "c")]


def test_stop_keeps_what_came(chat: Chat, session: FakeSession):
    one = new_id()
    chat.send(one, "a")
    reply(session, "so ", "far")
    wait_for(lambda: chat.view(one).turns[-1].text == "so far")
    chat.stop(one)
    wait_for(lambda: not chat.view(one).is_writing)
    assert (chat.view(one).turns[-1].text, chat.view(one).turns[-1].state) == ("so far", STOPPED)
    chat.stop(one)                                      # nothing runs: nothing happens


def test_stop_before_the_stream_exists_is_not_lost(session: FakeSession, tmp_path: Path, galen_home: Path):
    class SlowSession(FakeSession):
        may_start = threading.Event()

        def chat(self, messages, sample=None):
            self.may_start.wait(5)
            return super().chat(messages, sample)

    slow = SlowSession()
    chat, one = Chat(slow, History(tmp_path)), new_id()
    chat.send(one, "a")
    chat.stop(one)
    slow.may_start.set()
    wait_for(lambda: not chat.view(one).is_writing)
    assert chat.view(one).turns[-1].state == STOPPED


def test_second_message_is_refused_while_one_runs_but_not_elsewhere(chat: Chat, session: FakeSession):
    one, two = new_id(), new_id()
    chat.send(one, "a")
    with pytest.raises(UserError, match="still being written in this conversation"):
        chat.send(one, "b")
    with pytest.raises(UserError, match="still being written in this conversation"):
        chat.regenerate(one)
    chat.send(two, "c")
    assert [turn.text for turn in chat.view(one).turns] == ["a", ""] and chat.view(two).is_writing


def test_two_pages_at_once_ask_only_once(chat: Chat, session: FakeSession):
    one, refused = new_id(), []

    def ask(text: str) -> None:
        try:
            chat.send(one, text)
        except UserError as error:
            refused.append(error)

    threads = [threading.Thread(target=ask, args=(f"q{k}",)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 7 and len(chat.view(one).turns) == 2


def test_regenerate_replaces_the_shown_answer(chat: Chat, session: FakeSession):
    one = new_id()
    told(chat, session, one, "a", "first")
    chat.regenerate(one)
    assert [turn.text for turn in chat.view(one).turns] == ["a", ""]
    reply(session, "second", None)
    wait_for(lambda: not chat.view(one).is_writing)
    assert [turn.text for turn in chat.view(one).turns] == ["a", "second"] and session.asked[0] == session.asked[1]
    with pytest.raises(UserError, match="no question to answer yet"):
        chat.regenerate(new_id())


def test_dead_worker_leaves_a_sentence_and_the_next_message_works(chat: Chat, session: FakeSession):
    one = new_id()
    chat.send(one, "a")
    reply(session, "half ", WorkerDied("The model's process was ended by the signal SIGKILL."))
    wait_for(lambda: not chat.view(one).is_writing)
    last = chat.view(one).turns[-1]
    assert (last.text, last.state) == ("half ", BROKEN) and "SIGKILL" in last.problem
    told(chat, session, one, "b", "whole")
    assert chat.view(one).turns[-1].text == "whole"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_bug_in_the_stream_does_not_hang_the_conversation(chat: Chat, session: FakeSession):
    one = new_id()
    chat.send(one, "a")
    reply(session, "half ", ZeroDivisionError("ours"))
    wait_for(lambda: not chat.view(one).is_writing)
    last = chat.view(one).turns[-1]
    assert (last.text, last.state) == ("half ", BROKEN) and "inside Galen" in last.problem


def test_deleting_a_running_conversation_ends_it(chat: Chat, session: FakeSession):
    one = new_id()
    chat.send(one, "a")
    reply(session, "half ")
    chat.delete(one)
    wait_for(lambda: not chat._answers)
    assert chat.view(one).turns == [] and chat.conversations() == []


def test_half_a_character_is_replaced(chat: Chat, session: FakeSession):
    one = new_id()
    told(chat, session, one, "fever \ud83d and \U0001f600", "A")
    assert chat.view(one).turns[0].text == "fever \ufffd and \U0001f600" == session.asked[0][0]["content"]


def test_empty_message_is_refused(chat: Chat):
    with pytest.raises(UserError, match="nothing to send yet"):
        chat.send(new_id(), " \n ")
    assert chat.conversations() == []


def test_running_answer_is_on_disk_within_a_second(chat: Chat, session: FakeSession, tmp_path: Path):
    one, other = new_id(), History(tmp_path)
    chat.send(one, "a")
    reply(session, "kept")
    start = time.monotonic()
    wait_for(lambda: other.thread(one)[-1].text == "kept")
    assert time.monotonic() - start < 1.0


def test_restart_keeps_everything_and_marks_what_was_cut_off(chat: Chat, session: FakeSession, tmp_path: Path):
    one = new_id()
    told(chat, session, one, "a", "A")
    chat.send(one, "b")
    reply(session, "half ")
    wait_for(lambda: History(tmp_path).thread(one)[-1].text == "half ")
    again = Chat(FakeSession(), History(tmp_path))      # as after a kill
    assert [turn.text for turn in again.view(one).turns] == ["a", "A", "b", "half "]
    assert again.view(one).turns[-1].state == BROKEN


def test_close_stops_keeps_and_ends_the_session(chat: Chat, session: FakeSession, tmp_path: Path):
    one = new_id()
    chat.send(one, "a")
    reply(session, "half ")
    wait_for(lambda: chat.view(one).turns[-1].text)
    chat.close()
    last = History(tmp_path).thread(one)[-1]
    assert session.is_closed and (last.text, last.state) == ("half ", STOPPED)


def test_model_given_at_start_stays_in_the_list_and_a_broken_one_is_refused(chat: Chat, tmp_path: Path):
    given = str(tmp_path / "demo.gguf")
    assert given in [model.name for model in chat.models()]
    chat.preload(tmp_path / "broken.gguf")
    wait_for(lambda: chat.model.problem)
    assert "cut short" in chat.model.problem and chat.model.chosen == tmp_path / "demo.gguf"    # it still answers
    assert chat.model.info.name == "demo"


def test_silence_of_the_process_is_part_of_the_model_as_it_is_now(chat: Chat, session: FakeSession):
    before = chat.model
    session.is_stuck = True
    assert not before.is_silent and chat.model.is_silent
    session.is_stuck = False
    assert chat.model == before


def test_a_model_that_was_lost_is_loaded_again_when_it_is_chosen_again(chat: Chat, session: FakeSession):
    name, loads = chat.models()[-1].name, []
    load = session.load
    session.load = lambda *given: loads.append(given) or load(*given)
    chat.choose_model(name)                             # it is there: nothing to do
    assert not loads
    session.pid = None                                  # it died, and its reload failed: the session still knows it
    chat.choose_model(name)
    wait_for(lambda: len(loads) == 1 and chat.model.info)
    session.info = None                                 # another one was tried, which took its memory
    chat.choose_model(name)
    wait_for(lambda: len(loads) == 2 and chat.model.info)


def test_model_is_not_changed_under_a_running_answer(chat: Chat, session: FakeSession, tmp_path: Path):
    name = chat.models()[-1].name
    chat.choose_model(name)                             # the loaded one: nothing to do
    assert chat.model.info
    session.info = None
    chat._model.refuse("none")
    one = new_id()
    chat.send(one, "a")
    with pytest.raises(UserError, match="Stop it, or wait for its end"):
        chat.choose_model(name)
    with pytest.raises(UserError, match="no model '../../etc/passwd' here"):
        chat.choose_model("../../etc/passwd")
