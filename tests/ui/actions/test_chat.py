import shutil
import threading
from pathlib import Path

import pytest

from models.errors import UserError
from runtime.config import SampleConfig
from runtime.session import WorkerDied
from tasks.chat import preset
from tests.ui.fakes import FakeSession, FakeStream, chat_of, wait_for
from ui.actions import asking
from ui.actions.asking import Asking
from ui.actions.chat import KEEP_S, Chat
from ui.actions.compare import Models, shuffled
from ui.actions.model import CurrentModel
from ui.history import BROKEN, STOPPED, WHOLE, File, History, Message, new_id
from ui.settings import SettingsFile


def reply(session: FakeSession, *pieces: str | Exception) -> FakeStream:
    """Put pieces into the stream that was asked for; the answer stays open."""
    stream = session.streams.get(timeout=60)
    for piece in pieces:
        stream.pieces.put(piece)
    return stream


def told(chat: Chat, session: FakeSession, conversation: str, question: str, text: str,
         asked: Asking | None = None) -> None:
    """One whole exchange."""
    chat.send(conversation, question, asked)
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
            self.may_start.wait(60)
            return super().chat(messages, sample)

    slow = SlowSession()
    chat, one = chat_of(slow, tmp_path), new_id()
    chat.send(one, "a")
    chat.stop(one)
    slow.may_start.set()
    wait_for(lambda: not chat.view(one).is_writing)
    assert chat.view(one).turns[-1].state == STOPPED


def test_stop_is_heard_while_the_question_waits_for_its_turn(chat: Chat, session: FakeSession):
    one = new_id()
    with chat.model.in_use():
        client = chat.model.line_up("")         # who waits for another model
        chat.send(one, "a")
        wait_for(lambda: len(chat.model._line) == 2)
        chat.stop(one)
        wait_for(lambda: not chat.running(one))
        chat.model.leave(client)
    assert chat.view(one).turns[-1].state == "stopped" and not session.asked


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
    assert chat.view(one).turns == [] and chat.history.conversations() == []


def test_half_a_character_is_replaced(chat: Chat, session: FakeSession):
    one = new_id()
    told(chat, session, one, "fever \ud83d and \U0001f600", "A")
    assert chat.view(one).turns[0].text == "fever \ufffd and \U0001f600" == session.asked[0][0]["content"]


def test_empty_message_is_refused(chat: Chat):
    with pytest.raises(UserError, match="nothing to send yet"):
        chat.send(new_id(), " \n ")
    assert chat.history.conversations() == []


def test_running_answer_is_on_disk_within_a_second(chat: Chat, session: FakeSession, tmp_path: Path):
    one, other = new_id(), History(tmp_path)
    chat.send(one, "a")
    reply(session, "kept")
    wait_for(lambda: other.thread(one)[-1].text == "kept")
    assert KEEP_S < 1.0 and chat.view(one).is_writing


def test_restart_keeps_everything_and_marks_what_was_cut_off(chat: Chat, session: FakeSession, tmp_path: Path):
    one = new_id()
    told(chat, session, one, "a", "A")
    chat.send(one, "b")
    reply(session, "half ")
    wait_for(lambda: History(tmp_path).thread(one)[-1].text == "half ")
    again = chat_of(FakeSession(), tmp_path)      # as after a kill
    assert [turn.text for turn in again.view(one).turns] == ["a", "A", "b", "half "]
    assert again.view(one).turns[-1].state == BROKEN


def test_close_stops_and_keeps(chat: Chat, session: FakeSession, tmp_path: Path):
    one = new_id()
    chat.send(one, "a")
    reply(session, "half ")
    wait_for(lambda: chat.view(one).turns[-1].text)
    chat.close()
    last = History(tmp_path).thread(one)[-1]
    assert (last.text, last.state) == ("half ", STOPPED)


FLAGGED = "My dad has crushing chest pain and is sweating"


def test_a_red_flag_stands_before_the_answer_and_is_not_read_by_the_model(
        chat: Chat, session: FakeSession, tmp_path: Path):
    one = new_id()
    chat.send(one, FLAGGED)
    question, answer = chat.view(one).turns             # at once, before any word of the answer
    assert "112" in question.notice and "heart attack" in question.notice and not answer.text
    reply(session, "It may be serious.", None)
    wait_for(lambda: not chat.view(one).is_writing)
    told(chat, session, one, "Thank you", "A")
    chat.regenerate(one)
    reply(session, "B", None)
    wait_for(lambda: not chat.view(one).is_writing)
    assert "112" not in str(session.asked) and not chat.view(one).turns[2].notice
    assert History(tmp_path).thread(one)[0].notice == question.notice       # a restart keeps it


class Listening(FakeSession):
    """Keeps the sampling it was asked with too."""

    def __init__(self) -> None:
        super().__init__()
        self.samples: list[SampleConfig] = []

    def chat(self, messages, sample=None):
        self.samples.append(sample)
        return super().chat(messages, sample)


def test_settings_belong_to_an_answer_and_are_kept_with_the_conversation(tmp_path: Path, galen_home: Path):
    session = Listening()
    chat, one = chat_of(session, tmp_path), new_id()
    told(chat, session, one, "a", "A", asking.of_preset("tutor"))
    assert session.asked[0][0] == {"role": "system", "content": preset("tutor").system}
    assert session.samples[0].temperature == preset("tutor").sampling["temperature"]
    assert chat_of(FakeSession(), tmp_path).view(one).asked == asking.of_preset("tutor")
    own = Asking(preset="mine", system="Be brief.", sampling=SampleConfig(temperature=0.1, stop=("END",)))
    chat.regenerate(one, own)
    reply(session, "B", None)
    wait_for(lambda: not chat.view(one).is_writing)
    assert session.asked[1][0]["content"] == "Be brief." and chat.view(one).asked == own
    assert session.samples[1] == own.sampling
    told(chat, session, one, "b", "C", Asking())
    assert session.asked[2][0]["role"] == "user" and session.samples[2] == SampleConfig()


def test_an_edited_question_is_a_branch_and_both_stay(chat: Chat, session: FakeSession):
    one = new_id()
    told(chat, session, one, "a", "A")
    told(chat, session, one, "b", "B")
    first = chat.view(one).turns[0]
    chat.send(one, "a, edited", beside=first.id)
    reply(session, "C", None)
    wait_for(lambda: not chat.view(one).is_writing)
    assert [turn.text for turn in chat.view(one).turns] == ["a, edited", "C"]
    assert session.asked[-1] == [{"role": "user", "content": "a, edited"}]
    edited = chat.view(one).turns[0]
    assert (edited.version, edited.versions) == (2, 2)
    chat.history.choose_version(one, chat.history.beside(one, edited.id, -1))
    assert [turn.text for turn in chat.view(one).turns] == ["a", "A", "b", "B"]


def test_files_go_to_the_model_in_front_of_the_question_and_stay_with_it(chat: Chat, session: FakeSession):
    one = new_id()
    picture = File(name="x.png", kind="picture", data=b"bytes")
    chat.send(one, "What is it?", files=[File(name="a.txt", kind="text", text="body of a"), picture])
    reply(session, "A", None)
    wait_for(lambda: not chat.view(one).is_writing)
    told(chat, session, one, "And?", "B")
    shown, text = session.asked[1][0]["content"]
    assert shown == {"type": "image", "data": b"bytes"}
    assert text["text"] == "The file a.txt:\n\nbody of a\n\n(end of a.txt)\n\nWhat is it?"
    assert [file.name for file in chat.view(one).turns[0].files] == ["a.txt", "x.png"]
    first = chat.view(one).turns[0].id                  # edited: it keeps its files, and may get more
    chat.send(one, "What was it?", files=[File(name="b.txt", kind="text", text="body of b")], beside=first)
    reply(session, "C", None)
    wait_for(lambda: not chat.view(one).is_writing)
    shown, text = session.asked[2][0]["content"]
    assert shown["data"] == b"bytes" and "body of a" in text["text"] and "body of b" in text["text"]
    assert [file.name for file in chat.view(one).turns[0].files] == ["a.txt", "x.png", "b.txt"]


def ended(chat: Chat, conversation: str) -> list[Message]:
    """The pair, once both have ended."""
    wait_for(lambda: not chat.view(conversation).is_writing)
    return chat.view(conversation).turns[1:]


def test_one_model_with_two_settings_answers_side_by_side(tmp_path: Path, galen_home: Path):
    session = Listening()
    chat, one = chat_of(session, tmp_path), new_id()
    chat.model.preload(tmp_path / "demo.gguf")
    wait_for(lambda: chat.model.state.info)
    name = chat.models.chosen_name()
    chat.send(one, "a", Asking(system="S1"), against=Asking(system="S2", model=name))
    streams = [session.streams.get(timeout=60), session.streams.get(timeout=60)]        # both at once
    for stream, messages in zip(streams, session.asked, strict=True):
        stream.pieces.put(f"by {messages[0]['content']}")
        stream.pieces.put(None)
    left, right = ended(chat, one)
    assert [left.side, right.side] == ["a", "b"] and {left.text, right.text} == {"by S1", "by S2"}
    for turn in (left, right):                          # each was asked with what it is kept with
        assert f"by {asking.from_json(turn.settings).system}" == turn.text and turn.fingerprint
    better = left if left.text == "by S2" else right
    chat.history.vote(one, chat.view(one).turns[0].id, better.side)
    told(chat, session, one, "b", "B")
    assert [one["content"] for one in session.asked[-1]] == ["a", "by S2", "b"]     # what was voted for goes on
    with pytest.raises(UserError, match="Both sides are the same"):
        chat.send(one, "c", Asking(), against=Asking(model=name))


@pytest.mark.parametrize("is_fitting", [True, False])
def test_two_models_answer_at_once_where_both_fit_else_in_turn(tmp_path: Path, galen_home: Path, demo_gguf: Path,
                                                               is_fitting: bool):
    shutil.copy(demo_gguf, galen_home / "second.gguf")
    first, second = FakeSession(), FakeSession()
    model = CurrentModel(first, SettingsFile(tmp_path))
    chat = Chat(model, History(tmp_path), Models(model, second, lambda path, config: is_fitting))
    model.preload(demo_gguf)
    wait_for(lambda: model.state.info)
    one, chosen = new_id(), chat.models.chosen_name()
    chat.send(one, "a", against=Asking(model="second"))
    for session in (first, second if is_fitting else first):
        stream = session.streams.get(timeout=60)         # now it is known which model the session holds
        stream.pieces.put(f"by {Path(session.info.path).name}")
        stream.pieces.put(None)
    left, right = ended(chat, one)
    assert {left.text, right.text} == {f"by {demo_gguf.name}", "by second.gguf"}
    for turn in (left, right):                          # who wrote it is who is named
        assert turn.text == ("by second.gguf" if "second" in turn.model else f"by {demo_gguf.name}")
        assert asking.from_json(turn.settings).model == ("second" if "second" in turn.model else chosen)
    wait_for(lambda: model.state.info and model.state.chosen == demo_gguf)      # and comes back


def test_sides_are_dealt_fairly():
    one, two = Asking(system="1"), Asking(system="2")
    left = sum(shuffled(one, two)[0] is one for _ in range(2000))
    assert 800 < left < 1200                            # 9 standard deviations


def test_a_second_model_that_is_gone_or_broken_is_told(chat: Chat, session: FakeSession):
    one = new_id()
    with pytest.raises(UserError, match="There is no model 'nobody'"):
        chat.send(one, "a", against=Asking(model="nobody"))
    assert chat.view(one).turns == []


@pytest.mark.parametrize("text", ["", "[]", "{", '{"sampling": {"temperature": 99}, "new": 1}', '{"sampling": 3}',
                                  '{"preset": 7, "system": null}'])
def test_settings_of_another_version_are_read_as_far_as_they_go(text: str):
    assert asking.from_json(text) == Asking()


def test_settings_of_the_first_versions_name_a_preset_alone():
    assert asking.from_json('{"preset": "tutor"}') == asking.of_preset("tutor")
    with pytest.raises(UserError, match="no preset 'nurse'"):
        asking.of_preset("nurse")
